"""Output on disk: bounded, and never in the tool's way. It needs the standard library only."""

from __future__ import annotations

import contextlib
import os

KEPT_TAIL_BYTES = 1 << 19
"""Of a stream that is longer than its cap, so much of the end is kept."""


class LogFile:
    """Appends to a file. What the disk refuses is counted in ``lost_bytes``, and nothing is ever raised."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.descriptor = -1
        self.size_bytes = 0
        self.lost_bytes = 0

    def write(self, data: bytes) -> None:
        """Append ``data``; when the disk is full, as much of it as there is room for."""
        done = 0
        try:
            self.make_room(len(data))
            if self.descriptor < 0:
                self.open()
            while done < len(data):
                done += os.write(self.descriptor, data[done:] if done else data)
        except OSError:
            self.lost_bytes += len(data) - done
        self.size_bytes += done

    def make_room(self, size_bytes: int) -> None:
        """Called before ``size_bytes`` are written."""

    def open(self) -> None:
        # Neither through a symlink nor into a pipe that somebody put there: that could block, or write elsewhere.
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        self.descriptor = os.open(self.path, flags, 0o666)
        self.size_bytes = os.fstat(self.descriptor).st_size

    def close(self) -> None:
        """Close the file; a later ``write`` opens it again."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


class RotatedLog(LogFile):
    """At most ``files`` files of ``limit_bytes``: ``log`` is written, ``log.1`` is the one before, and so on."""

    def __init__(self, path: str, limit_bytes: int, files: int) -> None:
        super().__init__(path)
        self.limit_bytes = limit_bytes
        self.files = files

    def make_room(self, size_bytes: int) -> None:
        if self.descriptor < 0:
            self.open()
        if not self.size_bytes or self.size_bytes + size_bytes <= self.limit_bytes:
            return
        self.close()
        for number in range(self.files - 1, 0, -1):
            newer = f"{self.path}.{number - 1}" if number > 1 else self.path
            with contextlib.suppress(FileNotFoundError):
                os.replace(newer, f"{self.path}.{number}")
        if self.files == 1:
            os.unlink(self.path)


class CappedLog(LogFile):
    """At most ``cap_bytes``: the beginning as it comes, and when it is closed the end, with a line between them."""

    def __init__(self, path: str, cap_bytes: int) -> None:
        super().__init__(path)
        self.tail_bytes = min(KEPT_TAIL_BYTES, cap_bytes // 2)
        self.room_bytes = cap_bytes - self.tail_bytes
        self.tail = bytearray()
        self.skipped_bytes = 0

    def write(self, data: bytes) -> None:
        head = data[: self.room_bytes]
        self.room_bytes -= len(head)
        if head:
            super().write(head)
        self.tail += data[len(head) :]
        if len(self.tail) > 2 * self.tail_bytes:
            self.skip()

    def skip(self) -> None:
        more = max(0, len(self.tail) - self.tail_bytes)
        self.skipped_bytes += more
        self.lost_bytes += more
        del self.tail[:more]

    def close(self) -> None:
        self.skip()
        if self.skipped_bytes:
            super().write(f"\n[{self.skipped_bytes} bytes are left out here]\n".encode())
        if self.tail:
            super().write(bytes(self.tail))
            self.tail.clear()
        super().close()
