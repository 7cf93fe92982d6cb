"""Reading zips and wheels: the directory by zipfile, the contents straight from a memory map.

Format: PKWARE's APPNOTE 6.3.10. Where directory and local header could be read in two ways, the archive is refused,
so that what we see is what every other unpacker sees.
"""

from __future__ import annotations

import mmap
import re
import stat
import struct
import zipfile
import zlib
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from dxforge.sources.examine import Examination
from dxforge.sources.manifest import DEFLATED, STORED, Manifest, Place
from dxforge.sources.model import Layout
from dxforge.store.tree import EXECUTABLE, FILE, blob_oid

_LOCAL = struct.Struct("<4s5H3I2H")
_LOCAL_SIGNATURE = b"PK\x03\x04"
_ENCRYPTED, _DESCRIPTOR, _UTF8 = 0x1 | 0x40 | 0x2000, 0x8, 0x800
_IN_ZIP64 = 0xFFFFFFFF
_END_SIGNATURE = b"PK\x05\x06"
# Of the end record with its comment; of the ZIP64 end record and locator, generously.
_LONGEST_END, _LONGEST_ZIP64_END = 22 + 0xFFFF, 1024
_ENTRY = re.compile(rb"PK\x01\x02")
# zipfile's own, and what it lets through of a directory that lies about its sizes.
_BROKEN = (zipfile.BadZipFile, NotImplementedError, UnicodeError, struct.error, ValueError, OverflowError, EOFError)


def examine_zip(path: Path, layout: Layout, gate: Examination) -> Manifest:
    """Check a whole zip: names, headers, sizes, checksums.

    Raises:
        UnsafeArchiveError, ArchiveError: see :class:`Examination`.
        OSError: the file cannot be read.
    """
    with path.open("rb") as stream:
        infos, end = _directory(stream, gate)
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            files = [_claimed(info, gate) for info in infos]
            wanted = [(info, name) for info, name in zip(infos, files, strict=True) if name is not None]
            offsets = {info.header_offset: _data_offset(data, info, gate) for info in infos}
            _no_overlap(infos, offsets, end, gate)
            if infos:
                largest = max(infos, key=lambda info: info.file_size)
                gate.foresee(sum(info.file_size for info in infos), largest.orig_filename)
            for info, name in wanted:
                _content(data, info, name, offsets[info.header_offset], gate)
    return gate.finish("zip", layout)


def read_member(data: mmap.mmap, offset: int, packed: int, size: int, method: int) -> bytes:
    """One member's content, of an archive that was examined before.

    Raises:
        zlib.error: the bytes are not what they were then.
    """
    with memoryview(data) as view, view[offset : offset + packed] as piece:
        return bytes(piece) if method == STORED else zlib.decompress(piece, -zlib.MAX_WBITS, size or 1)


def _directory(stream: BinaryIO, gate: Examination) -> tuple[list[zipfile.ZipInfo], int]:
    """The directory's entries, and where it begins."""
    _refuse_a_crowd(stream, gate)
    try:
        with zipfile.ZipFile(stream) as archive:
            return archive.infolist(), archive.start_dir
    except _BROKEN as error:
        raise gate.damaged(f"it is no sound zip: {error}") from error


def _refuse_a_crowd(stream: BinaryIO, gate: Examination) -> None:
    """Count the directory's entries roughly, before zipfile makes an object of half a kilobyte of each.

    What is counted are signatures where the directory may lie. There are at least as many as entries; more only where
    an archive of more than ``Limits.entries`` entries lies unpacked in this one's last member.
    """
    with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        end = data.rfind(_END_SIGNATURE, max(0, len(data) - _LONGEST_END))
        if end < 0 or end + 16 > len(data):
            return  # zipfile will say so
        (told,) = struct.unpack_from("<I", data, end + 12)
        begin = 0 if told == _IN_ZIP64 else max(0, end - told - _LONGEST_ZIP64_END)
        with memoryview(data) as view, view[begin:] as tail:
            matches = islice(_ENTRY.finditer(tail), gate.limits.entries, None)
            start = next((begin + match.start() for match in matches), None)
            del matches  # it holds the map open
        if start is not None:
            length = int.from_bytes(data[start + 28 : start + 30], "little")
            gate.refuse_another(data[start + 46 : start + 46 + length].decode("utf-8", "surrogateescape"))


def _claimed(info: zipfile.ZipInfo, gate: Examination) -> str | None:
    """The path of a file or link; None for a folder."""
    raw = _raw_name(info)
    name = raw.decode("utf-8", "surrogateescape")
    if info.flag_bits & _ENCRYPTED:
        gate.refuse(name, "is encrypted", hint="Unpack it yourself and use the folder as the package's path")
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFLNK, stat.S_IFDIR):
        gate.refuse(name, "is a device, a pipe or a socket")
    if name.endswith("/") or kind == stat.S_IFDIR:
        if info.file_size:
            gate.refuse(name, "is a folder with a content")
        gate.folder(name)
        return None
    if info.compress_type not in (STORED, DEFLATED):
        raise gate.damaged(f'"{name}" is packed by method {info.compress_type}, which wheels and zips do not use')
    return gate.claim(name)


def _raw_name(info: zipfile.ZipInfo) -> bytes:
    # orig_filename: `filename` is cut at a NUL. Undo zipfile's guess of cp437: names are bytes, mostly UTF-8.
    return info.orig_filename.encode("utf-8" if info.flag_bits & _UTF8 else "cp437")


def _data_offset(data: mmap.mmap, info: zipfile.ZipInfo, gate: Examination) -> int:
    """Where the content begins, having compared the local header with the directory."""
    raw = _raw_name(info)
    name = raw.decode("utf-8", "surrogateescape")
    start = info.header_offset
    if start < 0 or start + _LOCAL.size > len(data):
        raise gate.damaged(f'"{name}" lies outside of the archive, which is cut off or damaged')
    fields: tuple[bytes, int, int, int, int, int, int, int, int, int, int] = _LOCAL.unpack_from(data, start)
    signature, _, flags, method, _, _, crc, packed, size, name_size, extra_size = fields
    if signature != _LOCAL_SIGNATURE:
        raise gate.damaged(f'there is no header of "{name}" where the directory says')
    name_end = start + _LOCAL.size + name_size
    begin = name_end + extra_size
    if begin + info.compress_size > len(data):
        raise gate.damaged(f'"{name}" is cut off')
    if data[name_end - name_size : name_end] != raw:
        gate.refuse(name, "has another name in its own header than in the directory")
    if method != info.compress_type or (flags ^ info.flag_bits) & (_ENCRYPTED | _DESCRIPTOR):
        gate.refuse(name, "is packed in another way by its own header than by the directory")
    if _IN_ZIP64 in (packed, size):
        packed, size = _zip64(data[name_end:begin], packed, size)
    told = (crc, packed, size)
    if told != (info.CRC, info.compress_size, info.file_size) and not (flags & _DESCRIPTOR and not any(told)):
        gate.refuse(name, "has other sizes or another checksum in its own header than in the directory")
    return begin


def _zip64(extra: bytes, packed: int, size: int) -> tuple[int, int]:
    """Sizes from a local header's ZIP64 field (APPNOTE 4.5.3: both are there, the unpacked one first)."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        if kind == 1 and length >= 16 and at + 20 <= len(extra):
            wide_size, wide_packed = struct.unpack_from("<QQ", extra, at + 4)
            return (
                wide_packed if packed == _IN_ZIP64 else packed,
                wide_size if size == _IN_ZIP64 else size,
            )
        at += 4 + length
    return packed, size


def _no_overlap(infos: list[zipfile.ZipInfo], offsets: dict[int, int], end: int, gate: Examination) -> None:
    """Refuse archives whose entries share bytes: a bomb's way to be small, and two readings of one file."""
    covered = 0
    for info in sorted(infos, key=lambda info: info.header_offset):
        if info.header_offset < covered:
            gate.refuse(info.orig_filename, "overlaps another entry")
        covered = offsets[info.header_offset] + info.compress_size
    if covered > end and infos:
        last = max(infos, key=lambda info: info.header_offset)
        gate.refuse(last.orig_filename, "overlaps the directory")


def _content(data: mmap.mmap, info: zipfile.ZipInfo, path: str, offset: int, gate: Examination) -> None:
    """Unpack one member, check it, and tell the gate what it is."""
    with memoryview(data) as view, view[offset : offset + info.compress_size] as piece:
        content = bytes(piece) if info.compress_type == STORED else _inflated(piece, info, path, gate)
    gate.spend(len(content), path)
    if len(content) != info.file_size:
        gate.refuse(path, "has another size than it says")
    if zlib.crc32(content) != info.CRC:
        raise gate.damaged(f'the checksum of "{path}" is wrong')
    place = Place(offset, info.compress_size, info.compress_type)
    mode = info.external_attr >> 16
    if stat.S_ISLNK(mode):
        gate.symlink(path, content.decode("utf-8", "surrogateescape"), place)
    else:
        gate.file(path, EXECUTABLE if mode & 0o111 else FILE, blob_oid(content), len(content), place)


def _inflated(piece: memoryview, info: zipfile.ZipInfo, path: str, gate: Examination) -> bytes:
    """The content, never more than one byte beyond what the directory says."""
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        content = inflate.decompress(piece, info.file_size + 1)
    except zlib.error as error:
        raise gate.damaged(f'"{path}" cannot be unpacked: {error}') from error
    if len(content) > info.file_size:
        gate.refuse(path, "unpacks to more than it says")
    if not inflate.eof:
        raise gate.damaged(f'"{path}" is cut off')
    if inflate.unused_data:
        gate.refuse(path, "has bytes behind its content")
    return content
