"""The archives that the lock names, at hand: the project's own links first, then the user's cache, then the source."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
from collections import OrderedDict
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from dxforge.errors import SourceError
from dxforge.sources.model import Package, Pin
from dxforge.store.tree import Tree

if TYPE_CHECKING:
    from dxforge.config.load import Environment
    from dxforge.config.model import Config
    from dxforge.events import EventBus
    from dxforge.sources.registry import Sources
    from dxforge.store.archives import ArchiveStore

_OPENED_KEPT = 8


class LazyPackage:
    """A package whose archive is opened only when its files are not known (``tree`` None), or a content is wanted."""

    def __init__(self, pin: Pin, tree: Tree | None, shelf: Shelf) -> None:
        self._pin, self._tree, self._shelf = pin, tree, shelf

    @property
    def pin(self) -> Pin:
        """Which archive this is."""
        return self._pin

    @property
    def tree(self) -> Tree:
        """Its files."""
        if self._tree is None:
            self._tree = self._shelf.package(self._pin).tree
        return self._tree

    def read(self, paths: Collection[str] | None = None) -> Iterator[tuple[str, bytes]]:
        """Contents of ``paths`` (None: of every file)."""
        return self._shelf.package(self._pin).read(paths)


class Opened:
    """Packages that were opened from a project's own archives, while those are the same files. Thread-safe.

    What an archive holds is long to read, and asked for with every file that is looked at. Each content is checked
    when it is read, so an archive that was tampered with is noticed all the same.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[Pin, tuple[object, Package]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, pin: Pin, mark: object) -> Package | None:
        """The package of ``pin``, if it was opened while its archive had this ``mark``."""
        with self._lock:
            known = self._known.get(pin)
            if known is None or known[0] != mark:
                return None
            self._known.move_to_end(pin)
            return known[1]

    def put(self, pin: Pin, mark: object, package: Package) -> None:
        """Remember a package, and forget what was longest not asked for."""
        with self._lock:
            self._known[pin] = (mark, package)
            self._known.move_to_end(pin)
            while len(self._known) > _OPENED_KEPT:
                self._known.popitem(last=False)


class Shelf:
    """Finds packages by pin, and keeps links to their archives in ``.dx/archives``.

    A base must survive a cleared cache, a changed folder and an index that is down, and costs nothing as a hard link:
    nobody edits an archive, and each is verified by its sha256 when it is opened.
    """

    def __init__(
        self,
        config: Config,
        environment: Environment,
        state: Path,
        events: EventBus,
        *,
        offline: bool = False,
        opened: Opened | None = None,
    ) -> None:
        self._config = config
        self._environment = environment
        self._state = state
        self._events = events
        self._offline = offline or environment.offline
        self._open: dict[str, Package] = {}
        self._opened = opened or Opened()
        self._sources: Sources | None = None

    @property
    def sources(self) -> Sources:
        """Where packages come from; made when first needed."""
        if self._sources is None:
            from dxforge.sources.registry import Sources

            self._sources = Sources(self._config, self._environment, self.cache, self._events, offline=self._offline)
        return self._sources

    @property
    def cache(self) -> ArchiveStore:
        """The user-wide cache."""
        return self._store(self._environment.cache_dir)

    def _store(self, folder: Path) -> ArchiveStore:
        from dxforge.store.archives import ArchiveStore

        return ArchiveStore(folder, self._config.limits, self._events)

    def package(self, pin: Pin) -> Package:
        """The package of ``pin``.

        Raises:
            SourceError: it is nowhere to be had.
        """
        known = self._open.get(pin.sha256)
        if known is None:
            known = self._kept(pin) or self.sources.recall(pin)
            self._open[pin.sha256] = known
        return known

    def hold(self, package: Package) -> None:
        """Remember a package that has just been obtained."""
        self._open[package.pin.sha256] = package

    def _kept(self, pin: Pin) -> Package | None:
        try:
            status = self._link(pin.sha256).stat()
        except OSError:
            return None
        mark = (status.st_size, status.st_mtime_ns, status.st_ino, self._config.limits)
        known = self._opened.get(pin, mark)
        if known is None:
            from dxforge.sources.unpack import open_package

            path = self._store(self._state).get(pin.sha256)
            if path is not None:
                known = open_package(path, pin, self._config.limits, store=self.cache)
                self._opened.put(pin, mark, known)
        return known

    def tree(self, pin: Pin, files: Tree | None) -> Tree:
        """The files of ``pin``; ``files`` (from the lock) serve where its archive cannot be had any more."""
        try:
            return self.package(pin).tree
        except SourceError:
            if files is None:
                raise
            return files

    def keep(self, pins: Collection[Pin], *, wanted: Collection[str]) -> None:
        """Link the archives of ``pins`` into ``.dx/archives``, and drop links whose sha256 is not ``wanted``."""
        for pin in pins:
            link = self._link(pin.sha256)
            if link.exists():
                continue
            source = self.cache.get(pin.sha256)
            if source is None:
                continue
            link.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(source, link)
            except FileExistsError:
                continue
            except OSError:  # another file system, or one without hard links
                temporary = link.with_suffix(".tmp")
                shutil.copyfile(source, temporary)
                os.replace(temporary, link)
        for folder in self._state.glob("archives/??"):
            for link in folder.iterdir():
                if link.name not in wanted:
                    with contextlib.suppress(OSError):
                        link.unlink()

    def _link(self, sha256: str) -> Path:
        return self._state / "archives" / sha256[:2] / sha256
