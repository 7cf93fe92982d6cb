"""Packages from this machine: a folder, packed as it is now, or an archive. The version is what is in it."""

from __future__ import annotations

import os
from pathlib import Path

from dxforge.config.model import PathSpec
from dxforge.errors import PackageNotFoundError, SourceError
from dxforge.sources.catalogue import Packed
from dxforge.sources.context import Context
from dxforge.sources.model import Candidate, Layout, Pin
from dxforge.sources.packing import Folder, look, pack, read_members

VERSION_DIGITS = 12


def layout_of(filename: str) -> Layout:
    """How an archive of that name becomes a package: a wheel as it is, anything else without its one top folder."""
    return Layout.AS_IS if filename.endswith(".whl") else Layout.TOP_FOLDER


class PathSource:
    """Finds what a path means now. Thread-safe."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def find(self, spec: PathSpec) -> Candidate:
        """The folder or archive as it is now; it is in the cache afterwards.

        Raises:
            PackageNotFoundError: there is nothing.
            SourceError, UnsafeArchiveError: it cannot be read, or holds what no package may.
        """
        return self._take(spec.name, spec.path)

    def locate(self, pin: Pin) -> Candidate:
        """The locked archive, where the folder or file still is what it was then.

        Raises:
            SourceError: it is not.
        """
        found = self._take(pin.name, pin.ref)
        if found.sha256 != pin.sha256:
            raise SourceError(
                f"{pin.ref} has changed since dx.lock was written, and what it was then is in no cache here",
                where=f"{pin.name} {pin.version}",
                hint="Bring the folder back to that state, or fetch the archive from another checkout's cache",
            )
        return found

    def _take(self, name: str, written: str) -> Candidate:
        where = f"{name}: {written}"
        path = Path(os.path.abspath(self._context.root / written))
        if path.is_dir():
            return self._folder(name, written, path, where)
        if not path.exists():
            raise PackageNotFoundError(
                "there is no such folder or archive",
                where=where,
                hint="Paths in dx.toml are relative to the project's folder",
            )
        try:
            archive = self._context.store.add(path, what=where)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise SourceError(f"it cannot be read: {reason}", where=where, hint="Check its permissions") from error
        return _candidate(name, written, path.name, archive.name, layout_of(path.name))

    def _folder(self, name: str, written: str, path: Path, where: str) -> Candidate:
        context = self._context
        found = look(path, where=where)
        known = context.catalogue.packed(str(path))
        if known is not None and found.settled and known.mark == found.mark and context.store.get(known.sha256):
            sha256 = known.sha256
        else:
            sha256 = self._pack(path, found, where)
        return _candidate(name, written, f"{path.name}.tar", sha256, Layout.AS_IS)

    def _pack(self, path: Path, found: Folder, where: str) -> str:
        store = self._context.store
        with store.incoming() as incoming:
            pack(read_members(path, found, where=where), incoming)
            sha256 = incoming.sha256
            if store.get(sha256) is None:
                store.keep(incoming, what=where)
        # Only where nothing moved in the meantime do these times stand for this content.
        if found.settled and look(path, where=where).mark == found.mark:
            self._context.catalogue.record_packed(str(path), Packed(mark=found.mark, sha256=sha256))
        return sha256


def _candidate(name: str, written: str, filename: str, sha256: str, layout: Layout) -> Candidate:
    return Candidate(
        name=name,
        kind="path",
        ref=written,
        version=sha256[:VERSION_DIGITS],
        filename=filename,
        layout=layout,
        sha256=sha256,
    )
