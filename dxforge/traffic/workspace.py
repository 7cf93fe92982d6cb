"""One look at a project: configuration, lock, and each package's three sides. Reads everything, writes nothing."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dxforge.errors import ApplyError, ChangedMeanwhileError, SourceError
from dxforge.files import read_entry, write_error
from dxforge.sources.model import Package, Pin
from dxforge.store.tree import Entry, Tree
from dxforge.traffic.judge import Readers
from dxforge.traffic.local import (
    Index,
    Scan,
    Stamp,
    load_index,
    local_entries,
    make_index,
    now_ns,
    save_index,
    scan,
    stamp_of,
    still_clean,
    trusted,
)
from dxforge.traffic.lock import Lock, LockedPackage
from dxforge.traffic.plan import Given, PackagePlan
from dxforge.traffic.shelf import LazyPackage, Shelf

if TYPE_CHECKING:
    from dxforge.config.model import Config, OnYellow


_CLOCK_NS = 10_000_000
"""File times come from a clock that lags by up to a tick (4 ms on common kernels)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A package's folder as it was found at one moment."""

    name: str
    folder: Path
    prefix: str
    found: Scan
    looked_ns: int
    index: Index | None


class Indexes:
    """The stat caches in ``.dx/index``, kept in memory while their files do not change."""

    def __init__(self, state: Path) -> None:
        self._folder = state / "index"
        self._memory: dict[str, tuple[int, Index]] = {}
        self._recent: dict[str, dict[str, tuple[Stamp, Entry]]] = {}

    def get(self, name: str) -> Index | None:
        """The package's index, None where there is none."""
        try:
            stamp = (self._folder / f"{name}.json").stat().st_mtime_ns
        except OSError:
            return None
        known = self._memory.get(name)
        if known is not None and known[0] == stamp:
            return known[1]
        index = load_index(self._folder / f"{name}.json")
        if index is not None:
            self._memory[name] = (stamp, index)
        return index

    def recent(self, name: str) -> dict[str, tuple[Stamp, Entry]]:
        """The package's files as they were last read in this process, to be added to; only trusted stamps."""
        return self._recent.setdefault(name, {})

    def put(self, name: str, index: Index | None) -> None:
        """Save the package's index; None forgets it."""
        path = self._folder / f"{name}.json"
        self._memory.pop(name, None)
        if index is None:
            path.unlink(missing_ok=True)
            return
        save_index(path, index)
        try:
            self._memory[name] = (path.stat().st_mtime_ns, index)
        except OSError:
            return


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """What planning and reviewing read from."""

    config: Config
    lock: Lock
    shelf: Shelf
    indexes: Indexes

    def look(self, name: str, paths: Collection[str] | None = None) -> Look:
        """Look at a package's folder now, or only at some ``paths`` in it.

        Raises:
            ApplyError: something that is no folder is in its place.
        """
        prefix = f"{self.config.packages_dir}/{name}"
        folder = self.config.packages_path / name
        if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
            raise ApplyError(
                "something that is not a folder is where the package should be",
                where=prefix,
                hint="Move it away and run the command again",
            )
        looked = now_ns()
        try:
            found = scan(folder, paths)
        except OSError as error:
            raise write_error(error, error.filename or folder, "cannot be read") from error
        return Look(
            name=name, folder=folder, prefix=prefix, found=found, looked_ns=looked, index=self.indexes.get(name)
        )

    def local(self, look: Look, paths: set[str]) -> dict[str, Entry]:
        """The user's files among ``paths``; what was read before and has its stamp still is not read again."""
        recent = self.indexes.recent(look.name)
        entries = local_entries(look.folder, look.found, look.index, paths, recent=recent)
        recent.update(trusted(look.found.files, entries, look.looked_ns))
        return entries

    def untouched(self, name: str) -> bool:
        """Whether the stat cache alone proves that every file is the locked archive's and nothing is pending."""
        locked = self.lock.packages.get(name)
        index = self.indexes.get(name)
        return (
            locked is not None
            and index is not None
            and index.clean is not None
            and not locked.pending
            and not locked.leaving
            and index.sha256 == locked.pin.sha256
            and still_clean(self.config.packages_path / name, index.clean)
        )

    def base_tree(self, look: Look) -> Tree:
        """The locked archive's files; none of a package that is leaving: all but what is pending is gone."""
        locked = self.lock.packages.get(look.name)
        if locked is None or locked.leaving:
            return {}
        if look.index is not None and look.index.sha256 == locked.pin.sha256:
            return look.index.tree
        return self.shelf.tree(locked.pin, locked.files)

    def lazy(self, name: str, pin: Pin) -> Package:
        """The locked archive of ``name``; opened only when its files are not known, or a content is wanted."""
        index = self.indexes.get(name)
        known = index is not None and index.sha256 == pin.sha256
        return LazyPackage(pin, index.tree if known and index is not None else None, self.shelf)

    def given(self, look: Look, incoming: Package | None, *, on_yellow: OnYellow) -> Given:
        """Everything that the plan for one package depends on."""
        locked = self.lock.packages.get(look.name)
        base_tree = self.base_tree(look)
        tree = incoming.tree if incoming is not None else {}
        wanted = {*base_tree, *tree}
        for item in locked.pending if locked is not None else ():
            wanted |= {item.path, item.set_aside or item.path, item.new_path or item.path}
        same = locked is not None and look.index is not None and look.index.sha256 == locked.pin.sha256
        local = local_entries(look.folder, look.found, look.index, wanted)
        return Given(
            name=look.name,
            prefix=look.prefix,
            locked=locked,
            base_tree=base_tree,
            incoming=incoming,
            found=look.found,
            local=local,
            readers=self.readers(look, local, incoming),
            said=look.index.said if same and look.index is not None else frozenset(),
            review=self.config.traffic.review,
            on_yellow=on_yellow,
        )

    def readers(self, look: Look, local: Mapping[str, Entry], incoming: Package | None) -> Readers:
        """How to read a package's three sides."""
        locked = self.lock.packages.get(look.name)

        def read_base(paths: Collection[str]) -> dict[str, bytes]:
            return self._bases(locked, paths) if locked is not None else {}

        def read_local(paths: Collection[str]) -> dict[str, bytes]:
            return {path: read_unchanged(look.folder / path, local[path]) for path in paths}

        def read_incoming(paths: Collection[str]) -> dict[str, bytes]:
            if incoming is None or not paths:
                return {}
            try:
                return dict(incoming.read(set(paths)))
            except SourceError:
                if incoming.pin.kind != "path":  # only a folder's past can be gone for good
                    raise
                return {}

        return Readers(base=read_base, local=read_local, incoming=read_incoming)

    def _bases(self, locked: LockedPackage, paths: Collection[str]) -> dict[str, bytes]:
        """Base contents, each from the archive that it was last decided on; those that are lost are left out."""
        pending = {item.path: item for item in locked.pending}
        former = {pin.sha256: pin for pin in (*locked.former, locked.pin)}
        wanted: dict[str, set[str]] = {}
        for path in paths:
            item = pending.get(path)
            sha256 = item.former if item is not None else locked.pin.sha256
            if sha256:
                wanted.setdefault(sha256, set()).add(path)
        contents: dict[str, bytes] = {}
        for sha256, names in wanted.items():
            pin = former.get(sha256)
            if pin is None:
                continue
            try:
                package = self.shelf.package(pin)
            except SourceError:
                if pin.kind != "path":  # only a folder's past can be gone for good
                    raise
                continue
            contents.update(package.read({name for name in names if name in package.tree}))
        return contents

    def remember(self, look: Look, plan: PackagePlan, package: Package, *, staged_ns: int) -> None:
        """Bring a package's stat cache up to date after its plan was carried out.

        Args:
            look: the look that the plan was made from.
            plan: what was done.
            package: what the lock names now.
            staged_ns: when everything had been written, before any of it was put in place.
        """
        if any(tree.created for tree in plan.trees):
            seen = _appeared(look.folder, package.tree, staged_ns)
        else:
            inside = len(look.prefix) + 1
            seen = trusted(look.found.files, plan.local, look.looked_ns)
            for path in (write.path[inside:] for write in plan.writes):
                seen.pop(path, None)
                seen.update(_now(look.folder, path))
        fresh = make_index(package.pin.sha256, package.tree, seen, said=plan.said)
        if fresh != look.index:
            self.indexes.put(look.name, fresh)


def _appeared(folder: Path, tree: Tree, staged_ns: int) -> dict[str, tuple[Stamp, Entry]]:
    """What may be trusted of a folder that has just appeared whole: files older than its appearance are the tree's."""
    limit = staged_ns - _CLOCK_NS
    return {
        path: (stamp, tree[path])
        for path, stamp in scan(folder).files.items()
        if path in tree and stamp[0] < limit and stamp[1] < limit
    }


def _now(folder: Path, path: str) -> dict[str, tuple[Stamp, Entry]]:
    """One file as it is now, where that may be trusted already."""
    looked = now_ns()
    stamp = stamp_of(folder / path)
    found = read_entry(folder / path) if stamp is not None else None
    return trusted({path: stamp}, {path: found[0]}, looked) if stamp is not None and found is not None else {}


def read_unchanged(path: Path, expected: Entry) -> bytes:
    """The content of a file that must still be what it was when it was looked at.

    Raises:
        ChangedMeanwhileError: it is not.
    """
    found = read_entry(path)
    if found is None or found[0] != expected:
        raise ChangedMeanwhileError(
            "it changed while it was being read", where=str(path), hint="Nothing was changed; run the command again"
        )
    return found[1]
