"""Archives become packages here: what kind it is, whether it is safe, what it holds, and its contents, checked."""

from __future__ import annotations

import mmap
import zlib
from collections.abc import Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from dxforge.config.model import Limits
from dxforge.errors import ArchiveError, IntegrityError
from dxforge.sources import manifest as manifests
from dxforge.sources.examine import Examination
from dxforge.sources.manifest import Manifest
from dxforge.sources.model import Layout, Pin
from dxforge.store.archives import ArchiveStore
from dxforge.store.tree import Entry, Tree, blob_oid

_MAGIC = (
    (0, b"PK\x03\x04", "zip"),
    (0, b"PK\x05\x06", "zip"),
    (0, b"\x1f\x8b", "tar.gz"),
    (0, b"BZh", "tar.bz2"),
    (0, b"\xfd7zXZ\0", "tar.xz"),
    (257, b"ustar", "tar"),
)
_BATCH_BYTES = 4 << 20
_BATCH_FILES = 256
_AHEAD = 2


class ArchivePackage:
    """A verified archive at hand: the :class:`~dxforge.sources.model.Package` of every source."""

    __slots__ = ("_manifest", "_path", "_pin")

    def __init__(self, path: Path, pin: Pin, manifest: Manifest) -> None:
        self._path = path
        self._pin = pin
        self._manifest = manifest

    @property
    def pin(self) -> Pin:
        """Which archive this is."""
        return self._pin

    @property
    def tree(self) -> Tree:
        """Its files as they will lie in the package's folder."""
        return self._manifest.tree

    @property
    def path(self) -> Path:
        """The archive itself."""
        return self._path

    def read(self, paths: Collection[str] | None = None) -> Iterator[tuple[str, bytes]]:
        """Contents of ``paths`` (None: of every file), in the archive's order; each is checked against ``tree``.

        A zip's members are read at random and in batches ahead of the consumer, in one thread of its own; a
        compressed tar is streamed once, up to the last wanted file.

        Raises:
            ArchiveError: a path is not in the archive, or the archive cannot be read.
            IntegrityError: its content changed since it was verified.
        """
        wanted = None if paths is None else frozenset(paths)
        if wanted is not None:
            unknown = sorted(wanted.difference(self.tree))
            if unknown:
                raise ArchiveError(f'there is no "{unknown[0]}" in it', where=_label(self._pin))
        try:
            if self._manifest.container == "zip":
                yield from self._read_zip(wanted)
            else:
                yield from self._read_tar(wanted)
        except (OSError, EOFError, zlib.error) as error:
            raise ArchiveError(
                f"it cannot be read: {error}", where=str(self._path), hint="Run the command again: it is fetched anew"
            ) from error

    def __repr__(self) -> str:
        return f"ArchivePackage({self._pin.name} {self._pin.version}, {len(self.tree)} files)"

    def _read_zip(self, wanted: frozenset[str] | None) -> Iterator[tuple[str, bytes]]:
        from dxforge.sources.zips import read_member

        found = self._manifest
        rows = list(zip(found.tree.items(), found.offsets, found.packed, found.methods, strict=True))
        if wanted is not None:
            rows = [row for row in rows if row[0][0] in wanted]
        if not rows:
            return
        with self._path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:

            def load(batch: list[tuple[tuple[str, Entry], int, int, int]]) -> list[tuple[str, bytes]]:
                return [
                    (path, self._checked(path, entry, read_member(data, offset, packed, entry.size, method)))
                    for (path, entry), offset, packed, method in batch
                ]

            batches = _batches(rows)
            if len(batches) == 1:
                yield from load(batches[0])
                return
            with ThreadPoolExecutor(1, thread_name_prefix="dxforge-unpack") as pool:
                ahead: list[Future[list[tuple[str, bytes]]]] = []
                try:
                    for batch in batches:
                        ahead.append(pool.submit(load, batch))
                        if len(ahead) > _AHEAD:
                            yield from ahead.pop(0).result()
                    while ahead:
                        yield from ahead.pop(0).result()
                finally:
                    for future in ahead:
                        future.cancel()

    def _read_tar(self, wanted: frozenset[str] | None) -> Iterator[tuple[str, bytes]]:
        from dxforge.sources.tars import Forward, unpacked

        found = self._manifest
        rows = [
            (offset, path, entry)
            for (path, entry), offset in zip(found.tree.items(), found.offsets, strict=True)
            if wanted is None or path in wanted
        ]
        # Hard links are copies with their original's place, so they may lead back a bit: read by place.
        rows.sort(key=lambda row: row[0])
        with self._path.open("rb") as raw:
            stream = Forward(unpacked(raw, found.container))
            last, content = -1, b""
            for offset, path, entry in rows:
                target = found.targets.get(path)
                if target is not None:
                    yield path, self._checked(path, entry, target.encode("utf-8", "surrogateescape"))
                    continue
                if offset != last:
                    stream.seek(offset)
                    content = b"".join(stream.pieces(entry.size))
                    last = offset
                yield path, self._checked(path, entry, content)

    def _checked(self, path: str, entry: Entry, content: bytes) -> bytes:
        if blob_oid(content) != entry.oid:
            raise IntegrityError(
                f'the content of "{path}" is no longer what it was when the archive was verified',
                where=str(self._path),
                hint="Run the command again: it is fetched anew",
            )
        return content


def open_package(path: Path, pin: Pin, limits: Limits, store: ArchiveStore | None = None) -> ArchivePackage:
    """Examine the archive at ``path`` and give access to it; nothing is written but the manifest into ``store``.

    Args:
        path: an archive whose content is ``pin.sha256`` (checked by the store, not here).
        pin: which archive it is; ``pin.layout`` says how its entries become files.
        limits: what it may be at most.
        store: remembers what the archive holds, so that the next time it is not unpacked for it; None: it is.

    Raises:
        UnsafeArchiveError: an entry must not be unpacked; it is named.
        ArchiveError: it is no archive, of a kind not known, damaged, or cut off.
    """
    kind = f"{pin.layout.value}-{manifests.RULES}"
    if store is not None and pin.sha256:
        body = store.load_manifest(pin.sha256, kind)
        known = manifests.loads(body) if body is not None else None
        if known is not None and known.sizes.within(limits):
            return ArchivePackage(path, pin, known)
    manifest = examine(path, pin.layout, limits, where=_label(pin))
    if store is not None and pin.sha256:
        store.save_manifest(pin.sha256, kind, manifests.dumps(manifest))
    return ArchivePackage(path, pin, manifest)


def examine(path: Path, layout: Layout, limits: Limits, *, where: str) -> Manifest:
    """Check a whole archive and say what it holds; see :func:`open_package`."""
    try:
        container = _container(path, where)
        gate = Examination(where, path.stat().st_size, limits)
        if container == "zip":
            from dxforge.sources.zips import examine_zip

            return examine_zip(path, layout, gate)
        from dxforge.sources.tars import examine_tar

        return examine_tar(path, container, layout, gate)
    except OSError as error:
        raise ArchiveError(f"it cannot be read: {(error.strerror or str(error)).lower()}", where=str(path)) from error


def _container(path: Path, where: str) -> str:
    """The kind of archive, by its content: names are not to be trusted."""
    with path.open("rb") as stream:
        head = stream.read(512)
    for at, magic, container in _MAGIC:
        if head[at : at + len(magic)] == magic:
            return container
    raise ArchiveError(
        "it is no archive that dxforge knows",
        where=where,
        hint="Wheels, zips and tars (plain, gzip, bzip2, xz) are known; a page of HTML here means a wrong address",
    )


def _batches(
    rows: list[tuple[tuple[str, Entry], int, int, int]],
) -> list[list[tuple[tuple[str, Entry], int, int, int]]]:
    """Cut into pieces that are worth a hand-over between threads and no burden on memory."""
    batches = [[rows[0]]]
    size = rows[0][0][1].size
    for row in rows[1:]:
        size += row[0][1].size
        if size > _BATCH_BYTES or len(batches[-1]) >= _BATCH_FILES:
            batches.append([])
            size = row[0][1].size
        batches[-1].append(row)
    return batches


def _label(pin: Pin) -> str:
    return f"{pin.name} {pin.version} ({pin.filename})" if pin.filename else f"{pin.name} {pin.version}"
