"""A tool's output as lines: in memory while it runs, and from disk. The guard writes it (``guard/disk.py``)."""

from __future__ import annotations

import codecs
import contextlib
import os
import shutil
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from dxforge.files import write_error
from dxforge.orchestrator.record import guard_lives

LINE_BYTES = 1 << 16
"""A longer line is split."""
_BLOCK_BYTES = 1 << 16
_TAIL_BYTES = 16 << 20
_RUNS_KEPT = 20


class Ring:
    """The last lines of a stream of bytes, bounded by lines and by bytes. Not thread-safe.

    UTF-8, what is not is replaced; lines end with LF or CR LF, and one longer than 64 KiB is split.
    """

    def __init__(self, max_lines: int = 1000, max_bytes: int = 1 << 20) -> None:
        self._lines: deque[tuple[str, int]] = deque()
        self._max_lines = max_lines
        self._max_bytes = max_bytes
        self._bytes = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._open = ""

    def feed(self, data: bytes) -> list[str]:
        """Take in a piece that may begin and end anywhere; returns the lines that it completed."""
        text = self._open + self._decoder.decode(data)
        # By whole pieces, not line by line: a tool may print a million short lines a second.
        *done, self._open = (text.replace("\r\n", "\n") if "\r" in text else text).split("\n")
        if len(text) > LINE_BYTES and max(map(len, done), default=0) > LINE_BYTES:
            done = [part for line in done for part in _split(line)]
        if len(self._open) > LINE_BYTES:
            *parts, self._open = _split(self._open)
            done += parts
        for line in done[-self._max_lines :]:
            self._keep(line)
        return done

    def lines(self) -> list[str]:
        """All of them, oldest first; one that is not complete yet is the last."""
        lines = [line for line, _ in self._lines]
        return [*lines, self._open] if self._open else lines

    def tail(self, last: int) -> list[str]:
        """The last ``last`` of them, oldest first."""
        lines = self.lines()
        return lines[max(0, len(lines) - last) :]

    @property
    def partial(self) -> str:
        """The beginning of a line that is not complete yet."""
        return self._open

    def _keep(self, line: str) -> None:
        size = len(line.encode())
        self._lines.append((line, size))
        self._bytes += size
        while len(self._lines) > self._max_lines or (self._bytes > self._max_bytes and len(self._lines) > 1):
            self._bytes -= self._lines.popleft()[1]


def _split(line: str) -> list[str]:
    return [line[start : start + LINE_BYTES] for start in range(0, len(line), LINE_BYTES)] or [""]


def tail(folder: Path, lines: int, *, name: str = "log") -> list[str]:
    """The last ``lines`` lines of ``name`` in a tool's folder, oldest first, across rotated files; [] without any.

    Reads 16 MiB at most, so that many long lines may be fewer. Any thread.
    """
    ring = Ring(lines, _TAIL_BYTES)
    ring.feed(_last_bytes(folder, name, lines, (0, 0)))
    return ring.tail(lines)


def replay(folder: Path, ring: Ring, *, mark: tuple[int, int], lines: int = 1000) -> None:
    """Feed ``ring`` with the end of the log as it was at ``mark`` (``Process.log_mark``).

    What a session is shown after it has joined comes after that, without a gap and without repeating anything.
    """
    ring.feed(_last_bytes(folder, "log", lines, mark))


def since(folder: Path, mark: tuple[int, int]) -> Iterator[bytes]:
    """What was logged after ``mark`` (inode number and size in bytes; (0, 0): all of it), oldest first.

    As far as it is there: what was rotated away is left out.
    """
    inode, marked_bytes = mark
    with contextlib.ExitStack() as stack:
        newer = []
        for stream, _ in _files(folder, "log", (0, 0), stack):
            newer.append(stream)
            if os.fstat(stream.fileno()).st_ino == inode:
                stream.seek(marked_bytes)
                break
        for stream in reversed(newer):
            while block := stream.read(_BLOCK_BYTES):
                yield block


def new_run(folder: Path, *, kept: int = _RUNS_KEPT) -> Path:
    """Make the folder of one execution, ``runs/<number>`` in a tool's folder, and remove all but the last ones.

    One that still runs is not removed. Numbers grow, whatever the clock does.

    Raises:
        WriteError: the folder cannot be made.
    """
    runs = folder / "runs"
    try:
        runs.mkdir(parents=True, exist_ok=True)
        numbers = sorted(int(entry) for entry in os.listdir(runs) if entry.isascii() and entry.isdigit())
        number = numbers[-1] + 1 if numbers else 1
        while True:
            new = runs / f"{number:06}"
            try:
                new.mkdir()
                break
            except FileExistsError:
                number += 1
    except OSError as error:
        raise write_error(error, runs, "cannot be made") from error
    for old in numbers[: max(0, len(numbers) + 1 - kept)]:
        path = runs / f"{old:06}"
        if not guard_lives(path):
            shutil.rmtree(path, ignore_errors=True)
    return new


def _last_bytes(folder: Path, name: str, lines: int, mark: tuple[int, int]) -> bytes:
    blocks: list[bytes] = []
    newlines = size = 0
    with contextlib.ExitStack() as stack:
        for block in _blocks_backward(_files(folder, name, mark, stack)):
            blocks.append(block)
            newlines += block.count(b"\n")
            size += len(block)
            if newlines > lines or size >= _TAIL_BYTES:
                break
    return b"".join(reversed(blocks))


def _files(folder: Path, name: str, mark: tuple[int, int], stack: contextlib.ExitStack) -> list[tuple[BinaryIO, int]]:
    """The files of a log with the size that counts, newest first."""
    found: list[tuple[BinaryIO, int]] = []
    seen: set[int] = set()
    inode, marked_bytes = mark
    number = 0
    while True:
        try:
            stream = stack.enter_context((folder / (f"{name}.{number}" if number else name)).open("rb"))
        except OSError:
            break
        number += 1
        status = os.fstat(stream.fileno())
        if status.st_ino in seen:
            continue  # rotated while we looked
        seen.add(status.st_ino)
        if not inode or found:
            found.append((stream, status.st_size))
        elif status.st_ino == inode:
            found.append((stream, min(marked_bytes, status.st_size)))
    return found


def _blocks_backward(files: list[tuple[BinaryIO, int]]) -> Iterator[bytes]:
    for stream, size in files:
        end = size
        while end > 0:
            start = max(0, end - _BLOCK_BYTES)
            stream.seek(start)
            yield stream.read(end - start)
            end = start
