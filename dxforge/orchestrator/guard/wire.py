"""What a session and a guard say to each other. Both sides use this file; it needs the standard library only."""

from __future__ import annotations

import json
import struct

FRAME_BYTES = 1 << 24

# A frame: one byte for the kind, four for the length, then bytes of a stream, or a note: an object in JSON.
STDOUT, STDERR, NOTE = b"o", b"e", b"n"
_HEADER = struct.Struct("!cI")


def frame(kind: bytes, payload: bytes) -> bytes:
    """One frame, ready to be sent."""
    return _HEADER.pack(kind, len(payload)) + payload


def note(**fields: object) -> bytes:
    """A frame that carries an object."""
    return frame(NOTE, json.dumps(fields).encode())


class Frames:
    """Takes a stream of bytes apart into frames."""

    def __init__(self) -> None:
        self.buffer = bytearray()

    def feed(self, data: bytes) -> list[tuple[bytes, bytes]]:
        """The frames that are complete now, as (kind, payload).

        Raises:
            ValueError: a frame that is longer than any that is sent.
        """
        self.buffer += data
        found = []
        start = 0
        while len(self.buffer) - start >= _HEADER.size:
            kind, length = _HEADER.unpack_from(self.buffer, start)
            if length > FRAME_BYTES:
                raise ValueError(length)
            end = start + _HEADER.size + length
            if end > len(self.buffer):
                break
            found.append((kind, bytes(self.buffer[start + _HEADER.size : end])))
            start = end
        del self.buffer[:start]
        return found
