"""Reading tars in one forward pass: headers by tarfile, decompression and contents by ourselves, within limits.

Formats: POSIX.1-2001 pax, ustar and GNU; gzip (RFC 1952), bzip2, xz.
"""

from __future__ import annotations

import bz2
import hashlib
import lzma
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

from dxforge.sources.examine import Examination
from dxforge.sources.manifest import Manifest, Place
from dxforge.sources.model import Layout
from dxforge.store.tree import EXECUTABLE, FILE

_IN = 1 << 18
_OUT = 1 << 20
# No honest header is longer, and tarfile reads a whole one into memory and through regular expressions.
_MAX_HEADER = 1 << 17
_XZ_MEMORY = 1 << 28
_KINDS = (*tarfile.REGULAR_TYPES, tarfile.SYMTYPE, tarfile.LNKTYPE)
_BROKEN = (tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, ValueError, OverflowError, RecursionError)


class _Decompressor(Protocol):
    """What bz2 and lzma have in common."""

    @property
    def eof(self) -> bool:
        """The stream's end was met."""

    @property
    def needs_input(self) -> bool:
        """Nothing more comes without input."""

    @property
    def unused_data(self) -> bytes:
        """What follows the stream."""

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        """At most ``max_length`` more bytes."""


def unpacked(stream: BinaryIO, container: str) -> Iterator[bytes]:
    """The plain tar inside of ``stream``, in blocks of at most 1 MiB.

    Raises:
        EOFError: it is cut off.
        zlib.error, lzma.LZMAError, OSError: it is damaged.
    """
    if container == "tar":
        yield from iter(lambda: stream.read(_OUT), b"")
    elif container == "tar.gz":
        yield from _gunzipped(stream)
    elif container == "tar.bz2":
        yield from _streams(stream, bz2.BZ2Decompressor)
    else:
        yield from _streams(stream, lambda: lzma.LZMADecompressor(memlimit=_XZ_MEMORY))


def _gunzipped(stream: BinaryIO) -> Iterator[bytes]:
    pending = stream.read(_IN)
    if not pending:
        raise EOFError("it is empty")
    while pending:
        inflate = zlib.decompressobj(16 + zlib.MAX_WBITS)
        while not inflate.eof:
            pending = pending or stream.read(_IN)
            out = inflate.decompress(pending, _OUT)
            if not pending and not out and not inflate.eof:
                raise EOFError("it is cut off")
            pending = inflate.unconsumed_tail
            if out:
                yield out
        pending = _next_member(stream, inflate.unused_data)


def _streams(stream: BinaryIO, make: Callable[[], _Decompressor]) -> Iterator[bytes]:
    pending = stream.read(_IN)
    if not pending:
        raise EOFError("it is empty")
    while pending:
        decompressor = make()
        while not decompressor.eof:
            if decompressor.needs_input and not pending:
                pending = stream.read(_IN)
                if not pending:
                    raise EOFError("it is cut off")
            out = decompressor.decompress(pending, _OUT)
            pending = b""
            if out:
                yield out
        pending = _next_member(stream, decompressor.unused_data)


def _next_member(stream: BinaryIO, rest: bytes) -> bytes:
    """What follows a compressed member, without the zeros that tapes and xz pad with."""
    while True:
        rest = rest.lstrip(b"\0") or b""
        if rest:
            return rest
        rest = stream.read(_IN)
        if not rest:
            return b""


class Forward:
    """A file object over blocks that only goes forward: what tarfile reads headers from, and we contents."""

    def __init__(self, blocks: Iterator[bytes], spend: Callable[[int], None] | None = None) -> None:
        self._blocks = blocks
        self._spend = spend
        self._buffer = b""
        self._at = 0
        self._position = 0
        self.last = b""
        """What the last :meth:`read` gave."""

    def tell(self) -> int:
        """Bytes given out or skipped so far."""
        return self._position

    def seek(self, position: int) -> int:
        """Skip forward to ``position``, or to the end where there is less."""
        if position < self._position:
            raise tarfile.ReadError("a header leads backwards")
        for _ in self.pieces(position - self._position):
            pass
        return self._position

    def read(self, size: int) -> bytes:
        """Exactly ``size`` bytes, fewer only at the end; of a header, so never many."""
        if not 0 <= size <= _MAX_HEADER:
            raise tarfile.ReadError(f"a header of {size} bytes")
        self.last = b"".join(self.pieces(size))
        return self.last

    def pieces(self, size: int) -> Iterator[bytes]:
        """The next ``size`` bytes (fewer at the end) in whatever pieces they come."""
        while size > 0:
            if self._at >= len(self._buffer):
                block = next(self._blocks, None)
                if block is None:
                    return
                if self._spend is not None:
                    self._spend(len(block))
                self._buffer, self._at = block, 0
            piece = self._buffer[self._at : self._at + size]
            self._at += len(piece)
            self._position += len(piece)
            size -= len(piece)
            yield piece


def examine_tar(path: Path, container: str, layout: Layout, gate: Examination) -> Manifest:
    """Check a whole tar: names, types, links, sizes, checksums.

    Raises:
        UnsafeArchiveError, ArchiveError: see :class:`Examination`.
        OSError: the file cannot be read.
    """
    current = [""]
    with path.open("rb") as raw:
        stream = Forward(unpacked(raw, container), lambda size: gate.spend(size, current[0]))
        try:
            # tarfile asks no more of a file object than Forward has.
            with tarfile.TarFile(
                fileobj=stream,  # type: ignore[arg-type]
                mode="r",
                encoding="utf-8",
                errors="surrogateescape",
            ) as archive:
                while (member := archive.next()) is not None:
                    current[0] = member.name
                    _member(member, stream, gate)
                    # tarfile would keep every header.
                    archive.members = []  # type: ignore[attr-defined]
            _sound_end(stream, container, gate)
        except OSError as error:
            if error.errno is not None:
                raise
            raise gate.damaged(f"it cannot be unpacked: {error}") from error  # bz2's "Invalid data stream"
        except _BROKEN as error:
            raise gate.damaged(f"it is no sound tar: {error}") from error
    return gate.finish(container, layout)


def _member(member: tarfile.TarInfo, stream: Forward, gate: Examination) -> None:
    if member.isdir():
        gate.folder(member.name)
        return
    if member.ischr() or member.isblk() or member.isfifo():
        gate.refuse(member.name, "is a device or a pipe")
    if member.issparse() or member.type not in _KINDS:
        gate.refuse(member.name, "is of a kind that packages do not hold")
    path = gate.claim(member.name)
    if member.issym():
        gate.symlink(path, member.linkname, Place(0, target=member.linkname))
    elif member.islnk():
        gate.hard_link(path, member.linkname)
    else:
        if member.size < 0:
            gate.refuse(member.name, "has a negative size")
        offset = stream.tell()
        digest = hashlib.sha1(b"blob %d\0" % member.size, usedforsecurity=False)
        for piece in stream.pieces(member.size):
            digest.update(piece)
        if stream.tell() != offset + member.size:
            raise gate.damaged(f'it is cut off in "{member.name}"')
        mode = EXECUTABLE if member.mode & 0o111 else FILE
        gate.file(path, mode, digest.hexdigest(), member.size, Place(offset))


def _sound_end(stream: Forward, container: str, gate: Examination) -> None:
    """See that the archive ended where it says, and read on to the compressor's own checksum."""
    # tarfile takes a damaged header in the middle for the end; the end is a block of zeros. Some packers leave that
    # out, which is no loss where the compressor marks its own end.
    if stream.last.strip(b"\0") or (not stream.last and container == "tar") or 0 < len(stream.last) < tarfile.BLOCKSIZE:
        raise gate.damaged("it is cut off, or damaged in the middle")
    while any(True for _ in stream.pieces(_OUT)):
        pass
