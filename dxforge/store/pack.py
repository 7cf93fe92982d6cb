"""Many git objects as one file with one sync: what makes a snapshot of ten thousand files fast, and all or nothing.

A pack and its index appear under their names when they are complete and on disk. Written without deltas; read (with
whatever git itself may have made of them) by libgit2. Source: git's ``Documentation/gitformat-pack.txt``, version 2.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import struct
import threading
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self

from dxforge.files import sync_folder
from dxforge.store.objects import object_oid

_KINDS = {"commit": 1, "tree": 2, "blob": 3, "tag": 4}
_PROBE_BYTES = 64 * 1024
_DENSE = 0.95
"""What a probe shrinks to less than this is worth compressing."""
_CHUNK_BYTES = 1024 * 1024
_LARGE_OFFSET = 0x80000000
"""From here on an offset stands in a table of its own ..."""
_IS_LARGE = 0x80000000
"""... to which this bit points."""
TEMPORARY = "tmp_pack_"
"""How files in the making begin, as git's do."""


@dataclass(frozen=True, slots=True)
class Packed:
    """An object as it stands in a pack: header and compressed data. ``crc`` is the CRC-32 of ``data``."""

    oid: str
    data: bytes
    crc: int


def packed(kind: str, content: bytes, oid: str = "") -> Packed:
    """An object, ready to be written; to be called from many threads.

    Args:
        kind: blob, tree, commit or tag.
        content: of the object.
        oid: its id, where known.
    """
    size = len(content)
    code = _KINDS[kind] << 4 | (size & 15)
    size >>= 4
    header = bytearray()
    while size:
        header.append(code | 0x80)
        code, size = size & 0x7F, size >> 7
    header.append(code)
    data = bytes(header) + zlib.compress(content, _level(content))
    return Packed(oid or object_oid(kind, content), data, zlib.crc32(data))


def _level(content: bytes) -> int:
    """Pictures and archives do not shrink; trying costs more than writing them."""
    if len(content) <= _PROBE_BYTES:
        return 1
    middle = len(content) // 2
    probe = content[middle : middle + _PROBE_BYTES // 2]
    return 1 if len(zlib.compress(probe, 1)) < _DENSE * len(probe) else 0


class PackWriter:
    """Writes one pack into the folder ``objects/pack``. As a context manager: what is not finished is taken away.

    Every method may raise OSError, with nothing left behind.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._entries: dict[str, tuple[int, int]] = {}
        self._stream: BinaryIO | None = None
        self._temporary = Path()
        self._offset = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._stream is not None:
            with contextlib.suppress(OSError):
                self._stream.close()
            with contextlib.suppress(OSError):
                self._temporary.unlink()
            self._stream = None

    def __contains__(self, oid: str) -> bool:
        return oid in self._entries

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, item: Packed) -> None:
        """Write an object; one that is here already is not written again."""
        if item.oid in self._entries:
            return
        if self._stream is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._temporary = self._folder / f"{TEMPORARY}{os.getpid()}_{threading.get_ident()}"
            self._stream = open(self._temporary, "w+b", buffering=_CHUNK_BYTES)  # noqa: SIM115 - closed in the end
            self._write(b"PACK" + struct.pack(">II", 2, 0))
        self._entries[item.oid] = (self._offset, item.crc)
        self._write(item.data)

    def _write(self, data: bytes) -> None:
        assert self._stream is not None  # noqa: S101 - opened by add
        self._stream.write(data)
        self._offset += len(data)

    def finish(self) -> Path | None:
        """Put pack and index in place, synced; returns the pack, None where nothing was added."""
        if self._stream is None:
            return None
        stream = self._stream
        stream.seek(8)
        stream.write(struct.pack(">I", len(self._entries)))
        stream.flush()
        stream.seek(0)
        digest = hashlib.sha1(usedforsecurity=False)
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
        stream.write(digest.digest())
        stream.flush()
        os.fsync(stream.fileno())
        index = self._index(digest.digest())
        target = self._folder / f"pack-{digest.hexdigest()}.pack"
        os.replace(self._temporary, target)
        self._temporary = index
        os.replace(index, target.with_suffix(".idx"))
        stream.close()
        self._stream = None
        sync_folder(self._folder)
        return target

    def _index(self, trailer: bytes) -> Path:
        """Write the index into a temporary file, synced."""
        entries = sorted((bytes.fromhex(oid), *where) for oid, where in self._entries.items())
        counts = [0] * 256
        for oid, _, _ in entries:
            counts[oid[0]] += 1
        total = 0
        fanout = []
        for count in counts:
            total += count
            fanout.append(total)
        large = [offset for _, offset, _ in entries if offset >= _LARGE_OFFSET]
        numbers = {offset: number for number, offset in enumerate(large)}
        small = [_IS_LARGE | numbers[offset] if offset in numbers else offset for _, offset, _ in entries]
        body = b"".join(
            [
                b"\xfftOc",
                struct.pack(">I256I", 2, *fanout),
                *(oid for oid, _, _ in entries),
                struct.pack(f">{total}I", *(crc for _, _, crc in entries)),
                struct.pack(f">{total}I", *small),
                struct.pack(f">{len(large)}Q", *large),
                trailer,
            ]
        )
        path = self._temporary.with_name(self._temporary.name + ".idx")
        try:
            with path.open("wb") as stream:
                stream.write(body + hashlib.sha1(body, usedforsecurity=False).digest())
                stream.flush()
                os.fsync(stream.fileno())
        except OSError:
            with contextlib.suppress(OSError):
                path.unlink()
            raise
        return path


def read_index(pack: Path) -> dict[str, int]:
    """The ids of a pack's objects and how many bytes of the pack each takes.

    Raises:
        ValueError: the index is damaged, or is no version 2.
    """
    data = pack.with_suffix(".idx").read_bytes()
    if data[:8] != b"\xfftOc\0\0\0\2" or hashlib.sha1(data[:-20], usedforsecurity=False).digest() != data[-20:]:
        raise ValueError("not an index")
    total = int(struct.unpack(">I", data[8 + 255 * 4 : 8 + 256 * 4])[0])
    names = 8 + 256 * 4
    oids = [data[names + 20 * number : names + 20 * number + 20].hex() for number in range(total)]
    after = names + 24 * total
    offsets = list(struct.unpack(f">{total}I", data[after : after + 4 * total]))
    wide = data[after + 4 * total : -40]
    large = struct.unpack(f">{len(wide) // 8}Q", wide)
    offsets = [large[offset & ~_IS_LARGE] if offset & _IS_LARGE else offset for offset in offsets]
    ends = [*sorted(offsets)[1:], pack.stat().st_size - 20]
    sizes = {start: end - start for start, end in zip(sorted(offsets), ends, strict=True)}
    return {oid: sizes[offset] for oid, offset in zip(oids, offsets, strict=True)}


def packs(folder: Path) -> dict[Path, int]:
    """The complete packs in a folder ``objects/pack`` and their sizes in bytes."""
    found: dict[Path, int] = {}
    for path in folder.glob("pack-*.idx"):
        pack = path.with_suffix(".pack")
        with contextlib.suppress(FileNotFoundError):
            found[pack] = pack.stat().st_size
    return found


def sweep(folder: Path) -> None:
    """Take away what killed writers left: temporary files, packs and indexes without each other. Needs the lock."""
    halves = {".pack": ".idx", ".idx": ".pack"}
    for path in list(folder.glob("*")):
        half = halves.get(path.suffix)
        if path.name.startswith(TEMPORARY) or (half is not None and not path.with_suffix(half).exists()):
            with contextlib.suppress(OSError):
                path.unlink()


def remove(pack: Path) -> None:
    """Take a pack away with all that git keeps beside it, its index first: without that nobody looks for it."""
    pack.with_suffix(".idx").unlink()
    for path in pack.parent.glob(f"{pack.stem}.*"):
        path.unlink()
