"""One run of a tool to its end."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from dxforge.errors import ToolTimeoutError
from dxforge.events import EventBus
from dxforge.orchestrator import lookup
from dxforge.orchestrator.definition import DxToolDefinition
from dxforge.orchestrator.life import TAIL_LINES, Common, signal_number
from dxforge.orchestrator.logs import Ring, new_run
from dxforge.orchestrator.process import Launch
from dxforge.orchestrator.status import ToolOutput, ToolRun

HALF_BYTES = 1 << 19
"""Of each stream, so much of the beginning and of the end is handed back."""
_BACKLOG_CHARS = 4 << 20

Show = Callable[[str, str], None]


async def execute(
    common: Common,
    definition: DxToolDefinition,
    args: Sequence[str],
    *,
    timeout_s: float | None,
    env: Mapping[str, str],
    show: Show,
) -> ToolRun:
    """Run the tool's program with ``args`` in the project's root; cancelled, it is stopped, with all it started.

    ``show`` is called on this loop with the stream's name and text, and must not block.

    Raises:
        ToolDefinitionError: its program is not there.
        ToolStartError: it cannot be run.
        ToolTimeoutError: it did not end in ``timeout_s``, and was stopped.
        ToolStopError: it was to be stopped, and something of it withstands KILL.
        WriteError: the folder for its logs cannot be made.
    """
    binary = lookup.find_binary(definition, common.root, os.environ)
    folder = await asyncio.to_thread(new_run, common.folder / definition.name)
    launch = Launch(
        argv=(str(binary), *args),
        cwd=str(common.root),
        env={**lookup.make_environment(definition, common.root, os.environ), **env},
        stop_signal=signal_number(definition.stop.signal),
        grace_s=definition.stop.grace_s,
        folder=folder,
        shared=False,
        name=definition.name,
    )
    output = _Output(show)
    began_s = time.monotonic()
    process = await common.launcher.start(launch, on_output=output.take)
    try:
        async with asyncio.timeout(timeout_s):
            ended = await process.wait()
    except TimeoutError as error:
        raise ToolTimeoutError(
            f"it did not end within {timeout_s:g} s, and was stopped",
            tool=definition.name,
            hint=f"Give it more time, or look at its output in {folder}",
            log_tail=tuple(output.both.tail(TAIL_LINES)),
        ) from error
    finally:
        await asyncio.shield(process.stop())  # nothing, where it has ended
    output.finish()
    if process.missed_bytes:
        # It printed faster than we took it; the disk has it all.
        await asyncio.to_thread(output.read, folder)
    return ToolRun(
        name=definition.name,
        args=tuple(args),
        exit_code=ended.exit_code,
        stdout=output.streams["stdout"].text(),
        stderr=output.streams["stderr"].text(),
        duration_s=time.monotonic() - began_s,
        truncated=any(stream.left_out_bytes for stream in output.streams.values()),
        stdout_path=str(folder / "stdout"),
        stderr_path=str(folder / "stderr"),
        cpu_s=ended.cpu_s,
        max_memory_bytes=ended.max_memory_bytes,
    )


class _Output:
    """What a run prints: shown as it comes, and kept for the end."""

    def __init__(self, show: Show) -> None:
        self.streams = {"stdout": Kept(), "stderr": Kept()}
        self.both = Ring()
        self._show = show
        self._decoders = {name: codecs.getincrementaldecoder("utf-8")(errors="replace") for name in self.streams}

    def take(self, stream: str, piece: bytes) -> None:
        self.streams[stream].add(piece)
        self.both.feed(piece)
        self._say(stream, piece)

    def finish(self) -> None:
        """What was half of a character at the end is shown as well."""
        for stream in self.streams:
            self._say(stream, b"", final=True)

    def read(self, folder: Path) -> None:
        """Take what is kept from the logs instead."""
        for name in self.streams:
            with contextlib.suppress(OSError):
                self.streams[name] = Kept.of_file(folder / name)

    def _say(self, stream: str, piece: bytes, *, final: bool = False) -> None:
        text = self._decoders[stream].decode(piece, final)
        if text:
            self._show(stream, text)


class Kept:
    """The beginning and the end of a stream; what is left out in between is counted."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._tail = bytearray()
        self._dropped_bytes = 0

    @classmethod
    def of_file(cls, file: Path) -> Kept:
        """What is kept of a file's bytes."""
        kept = cls()
        with file.open("rb") as stream:
            kept.add(stream.read(HALF_BYTES))
            kept._dropped_bytes = max(0, os.fstat(stream.fileno()).st_size - 2 * HALF_BYTES)
            stream.seek(kept._dropped_bytes, os.SEEK_CUR)
            kept._tail += stream.read(HALF_BYTES)
        return kept

    @property
    def left_out_bytes(self) -> int:
        """How many bytes `text` does not have."""
        return self._dropped_bytes + max(0, len(self._tail) - HALF_BYTES)

    def add(self, piece: bytes) -> None:
        """The stream goes on with ``piece``."""
        room = HALF_BYTES - len(self._head)
        self._head += piece[:room]
        self._tail += piece[room:]
        if len(self._tail) > 2 * HALF_BYTES:
            self._dropped_bytes += len(self._tail) - HALF_BYTES
            del self._tail[:-HALF_BYTES]

    def text(self) -> str:
        """As text, undecodable bytes replaced; a line says where something was left out."""
        left_out = self.left_out_bytes
        if not left_out:
            return (self._head + self._tail).decode(errors="replace")
        head, tail = self._head.decode(errors="replace"), self._tail[-HALF_BYTES:].decode(errors="replace")
        return f"{head}\n[{left_out} bytes are left out here; the log on disk has more]\n{tail}"


class Relay:
    """Hands output over to a callback on its caller's own loop, which supervision must never wait for.

    What the caller does not take in time is left out, and a line says so.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, callback: Show) -> None:
        self._loop = loop
        self._callback = callback
        self._lock = threading.Lock()
        self._pieces: deque[tuple[str, str]] = deque()
        self._chars = 0
        self._left_out_chars = 0

    def push(self, stream: str, text: str) -> None:
        """Hand ``text`` over; from any thread, never blocks."""
        with self._lock:
            if self._chars > _BACKLOG_CHARS:
                self._left_out_chars += len(text)
                return
            first = not self._pieces
            self._pieces.append((stream, text))
            self._chars += len(text)
        if first:
            with contextlib.suppress(RuntimeError):  # that loop is closed: nobody listens any more
                self._loop.call_soon_threadsafe(self.drain)

    def drain(self) -> None:
        """Call the callback with all that is there; on its loop. A fault of the callback goes to the loop's handler."""
        with self._lock:
            pieces, self._pieces = self._pieces, deque()
            self._chars = 0
            left_out, self._left_out_chars = self._left_out_chars, 0
        if left_out:
            pieces.append(("stderr", f"\n[{left_out} characters came too fast to be shown]\n"))
        for stream, text in pieces:
            try:
                self._callback(stream, text)
            except Exception as error:  # noqa: BLE001 - one fault must not hide the rest of the output
                self._loop.call_exception_handler({"message": "on_output has failed", "exception": error})


def announce(events: EventBus | None, name: str) -> Show:
    """Shows output as events."""

    def show(stream: str, text: str) -> None:
        if events is not None:
            events.emit(ToolOutput(name=name, stream=stream, text=text))

    return show
