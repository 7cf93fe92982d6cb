"""What files hold, as digests; a stat cache spares opening those that nobody touched."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path

from dxforge.build.look import Found, Stamp, cannot_read, kind, stamp
from dxforge.errors import BuildError

_FORMAT = 1
_RACY_NS = 50_000_000
"""A file touched this shortly before it was looked at may change again without its times showing it."""
_COARSE_NS = 2_000_000_000
"""The same on file systems whose times are whole seconds."""
_TRIES = 5
_PIECE = 1 << 20


def _go_on() -> None:
    """Never give up."""


class Digests:
    """Digests of files by path: relative ones from the project's root, absolute ones anywhere (programs).

    May be asked from several threads.

    Args:
        root: the project's folder.
        file: where the stat cache is kept; unreadable or damaged, it only costs time.
        stop: called while inputs are read; raises to give up.
    """

    def __init__(self, root: str, file: Path, *, stop: Callable[[], None] = _go_on) -> None:
        self._root = root
        self._file = file
        self._stop = stop
        self._known = _load(file)
        self._used: dict[str, tuple[Stamp, str]] = {}
        self.opened = 0
        """How many files had to be read."""

    def token(self, path: str, known: Stamp, looked_ns: int) -> str | None:
        """``file:<sha256>``, or ``exec:<sha256>`` of a file that its owner may execute; None: it is gone.

        Args:
            path: the file.
            known: its stamp.
            looked_ns: the time before that stamp was taken.

        Raises:
            BuildError: it cannot be read, or keeps changing.
        """
        entry = self._used.get(path) or self._known.get(path)
        if entry is not None and entry[0] == known:
            self._used[path] = entry
            return entry[1]
        return self._read(path, looked_ns)

    def _read(self, path: str, looked_ns: int, stop: Callable[[], None] = _go_on) -> str | None:
        full = path if os.path.isabs(path) else f"{self._root}/{path}"
        for _ in range(_TRIES):
            self.opened += 1
            try:
                before, digest, after = _digest(full, stop)
            except FileNotFoundError:
                return None
            except OSError as error:
                raise cannot_read(error, path) from error
            if before == after:
                token = f"{'exec' if before[4] & stat.S_IXUSR else 'file'}:{digest}"
                if settled(before, looked_ns):
                    self._used[path] = (before, token)
                return token
            looked_ns = time.time_ns()
        raise BuildError("it changes while it is being read", where=path, hint="Stop what writes it, and build again")

    def inputs(self, found: Found, *, patient: bool = False) -> dict[str, str]:
        """What a step reads: path -> what is there (see `Changes`). ``patient``: without giving up on ``stop``.

        Raises:
            BuildError: something cannot be read.
        """
        tokens: dict[str, str] = {}
        used, known, looked_ns = self._used, self._known, found.looked_ns
        for path, current in found.files.items():
            entry = used.get(path) or known.get(path)
            if entry is not None and entry[0] == current:
                used[path] = entry
                tokens[path] = entry[1]
                continue
            token = self._read(path, looked_ns, _go_on if patient else self._stop)
            if token is not None:
                tokens[path] = token
        for path, target in found.links.items():
            tokens[path] = f"link:{target} {self._target(path)}".rstrip()
        tokens.update(found.special)
        return tokens

    def _target(self, path: str) -> str:
        """What a symlink leads to: a file's token, or a word for what has no content of its own."""
        real = os.path.realpath(f"{self._root}/{path}")
        looked_ns = time.time_ns()
        try:
            status = os.stat(real)
        except OSError:
            return "dangling"
        if stat.S_ISDIR(status.st_mode):
            return ""
        if not stat.S_ISREG(status.st_mode):
            return kind(status.st_mode)
        return self.token(real, stamp(status), looked_ns) or "dangling"

    def moved(self, path: str, now: str, current: Stamp) -> str | None:
        """The sha256 of the file that was at ``path`` and has been moved to ``now``; None: it cannot be read."""
        entry = self._used.get(path) or self._known.get(path)
        if entry is not None and entry[0] == current:
            return entry[1][5:]
        try:
            _, digest, _ = _digest(now)
        except OSError:
            return None
        return digest

    def program(self, path: str) -> str:
        """The token of a program, symlinks followed; a word where it is no file.

        Raises:
            BuildError: it cannot be read.
        """
        looked_ns = time.time_ns()
        real = os.path.realpath(path)
        try:
            status = os.stat(real)
        except OSError:
            return "missing"
        if not stat.S_ISREG(status.st_mode):
            return "no file"
        return self.token(real, stamp(status), looked_ns) or "missing"

    def save(self, *, complete: bool) -> None:
        """Keep what was learnt, if anything was.

        Args:
            complete: every path of the project's steps was asked for, so others can be forgotten.

        Raises:
            OSError: it cannot be written; the old one is as it was.
        """
        entries = self._used if complete else {**self._known, **self._used}
        if entries != self._known:
            _save(self._file, entries)
            self._known = entries


def settled(current: Stamp, looked_ns: int) -> bool:
    """Whether a file that is changed from now on will have another stamp."""
    coarse = current[0] % 1_000_000_000 == 0 and current[1] % 1_000_000_000 == 0
    limit = looked_ns - (_COARSE_NS if coarse else _RACY_NS)
    return current[0] < limit and current[1] < limit


def _digest(path: str, stop: Callable[[], None] = _go_on) -> tuple[Stamp, str, Stamp]:
    # Non-blocking: what was a file may have become a FIFO, whose opening would hang.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode):
            raise FileNotFoundError(path)
        digest = hashlib.sha256()
        while piece := os.read(descriptor, _PIECE):
            digest.update(piece)
            stop()
        return stamp(before), digest.hexdigest(), stamp(os.fstat(descriptor))
    finally:
        os.close(descriptor)


def _load(file: Path) -> dict[str, tuple[Stamp, str]]:
    try:
        digest, _, body = file.read_bytes().partition(b"\n")
        # A flipped bit would pass for another content.
        if hashlib.sha256(body).hexdigest().encode() != digest:
            return {}
        data = json.loads(body)
        if data["format"] != _FORMAT:
            return {}
        stamps = zip(*data["stamps"], strict=True)
        return dict(zip(data["paths"], zip(stamps, data["tokens"], strict=True), strict=True))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _save(file: Path, entries: dict[str, tuple[Stamp, str]]) -> None:
    columns = list(zip(*(entry[0] for entry in entries.values()), strict=True)) or [()] * 5
    data = {
        "format": _FORMAT,
        "paths": list(entries),
        "stamps": columns,
        "tokens": [entry[1] for entry in entries.values()],
    }
    body = json.dumps(data, separators=(",", ":")).encode()
    temporary = file.with_name(f"{file.name}.new")
    temporary.write_bytes(hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
    # No sync: after a power cut it may be damaged, and is then made again.
    os.replace(temporary, file)
