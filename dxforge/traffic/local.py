"""The user's copy of a package as it lies on disk, and the stat cache that spares reading it."""

from __future__ import annotations

import contextlib
import json
import os
import stat
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from dxforge.errors import ChangedMeanwhileError, WriteError
from dxforge.files import atomic_write, read_entry
from dxforge.store.tree import Entry, Tree
from dxforge.traffic.light import Obstacle

_FORMAT = 3
_RACY_NS = 50_000_000
"""A file touched this shortly before it was looked at may change again without its times showing it."""

Stamp = tuple[int, int, int, int, int]
"""st_mtime_ns, st_ctime_ns, st_ino, st_size, st_mode."""


@dataclass(frozen=True, slots=True)
class Scan:
    """One look at a folder: ``files`` (and symlinks) with their stamps, ``folders``, and ``special`` things by kind."""

    files: dict[str, Stamp] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)
    special: dict[str, str] = field(default_factory=dict)
    exists: bool = False

    def obstacle(self, path: str) -> Obstacle | None:
        """What stands at or above ``path`` in place of a file that could be there; None when nothing does."""
        if path in self.folders:
            return Obstacle("a folder is there")
        if path in self.special:
            return Obstacle(f"a {self.special[path]} is there")
        parent = path.rpartition("/")[0]
        while parent:
            if parent in self.folders:
                return None
            if parent in self.files:
                kind = "symlink" if stat.S_ISLNK(self.files[parent][4]) else "file"
                return Obstacle(f"a {kind} is at {parent}")
            if parent in self.special:
                return Obstacle(f"a {self.special[parent]} is at {parent}")
            parent = parent.rpartition("/")[0]
        return None


def scan(folder: Path, paths: Collection[str] | None = None) -> Scan:
    """Look at everything below ``folder``, following no symlink and opening no file.

    Args:
        folder: the package's folder.
        paths: look only at these, and at what is above them (None: at everything).
    """
    found = Scan(exists=folder.is_dir() and not folder.is_symlink())
    if not found.exists:
        return found
    files, folders, special = found.files, found.folders, found.special
    wanted = None if paths is None else _with_parents(paths)
    stack = [(str(folder), "")]
    while stack:
        where, prefix = stack.pop()
        # Listed even where one name is wanted: only a listing tells how a name is really spelled.
        with os.scandir(where) as entries:
            for entry in entries:
                path = prefix + entry.name
                if wanted is not None and path not in wanted:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    if entry.name != "__pycache__":
                        folders.add(path)
                        stack.append((entry.path, path + "/"))
                    continue
                status = entry.stat(follow_symlinks=False)
                mode = status.st_mode
                if stat.S_ISREG(mode) or stat.S_ISLNK(mode):
                    files[path] = (status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_size, mode)
                else:
                    special[path] = _kind(mode)
    return found


def _with_parents(paths: Collection[str]) -> set[str]:
    wanted: set[str] = set()
    for path in paths:
        while path and path not in wanted:
            wanted.add(path)
            path = path.rpartition("/")[0]  # noqa: PLW2901
    return wanted


def _kind(mode: int) -> str:
    for name, test in (("FIFO", stat.S_ISFIFO), ("socket", stat.S_ISSOCK)):
        if test(mode):
            return name
    return "device"


@dataclass(frozen=True, slots=True)
class Index:
    """The stat cache of one package: the locked archive's files, and the disk's files as they were last read.

    ``seen`` holds only stamps that can be trusted; ``said`` the deletions that the user was told of.
    """

    sha256: str
    tree: Tree
    seen: Mapping[str, tuple[Stamp, Entry]]
    said: frozenset[str] = frozenset()
    clean: Mapping[str, Stamp] | None = None
    """The stamps of all the tree's files, where each on disk is the tree's own and trusted (see `still_clean`)."""


def local_entries(
    folder: Path,
    found: Scan,
    index: Index | None,
    paths: set[str] | None = None,
    *,
    recent: Mapping[str, tuple[Stamp, Entry]] = MappingProxyType({}),
) -> dict[str, Entry]:
    """The disk's files as entries; those whose stamp the index knows are not opened.

    Args:
        folder: the package's folder.
        found: a fresh look at it.
        index: the stat cache, if any.
        paths: only these (None: all).
        recent: a second cache, of what the index does not know.
    """
    seen = index.seen if index is not None else {}
    entries: dict[str, Entry] = {}
    for path, stamp in found.files.items():
        if paths is not None and path not in paths:
            continue
        known = seen.get(path)
        if known is None or known[0] != stamp:
            known = recent.get(path)
        if known is not None and known[0] == stamp:
            entries[path] = known[1]
            continue
        read = read_entry(folder / path)
        if read is None:
            raise ChangedMeanwhileError(
                "it changed while it was being read", where=str(folder / path), hint="Run the command again"
            )
        entries[path] = read[0]
    return entries


def stamp_of(path: Path) -> Stamp | None:
    """The stamp of one file or symlink, None where there is none."""
    try:
        status = path.lstat()
    except OSError:
        return None
    return (status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_size, status.st_mode)


def trusted(files: Mapping[str, Stamp], entries: Mapping[str, Entry], looked_ns: int) -> dict[str, tuple[Stamp, Entry]]:
    """The stamps that prove from now on that a file is still its entry.

    Args:
        files: the stamps, taken *before* the entries were read.
        entries: what was read.
        looked_ns: the time before the stamps were taken; files touched just before it are left out.
    """
    limit = looked_ns - _RACY_NS
    return {
        path: (stamp, entries[path])
        for path, stamp in files.items()
        if path in entries and stamp[0] < limit and stamp[1] < limit
    }


def make_index(sha256: str, tree: Tree, seen: Mapping[str, tuple[Stamp, Entry]], *, said: frozenset[str]) -> Index:
    """An index of a locked archive's files and of what is on disk (see :func:`trusted`)."""
    return Index(sha256, tree, seen, said, _clean(tree, seen))


def _clean(tree: Tree, seen: Mapping[str, tuple[Stamp, Entry]]) -> dict[str, Stamp] | None:
    """The stamps of all the tree's files where each is on disk as it is in the tree, else None."""
    if any(path not in seen or seen[path][1] != entry for path, entry in tree.items()):
        return None
    return {path: seen[path][0] for path in tree}


def still_clean(folder: Path, clean: Mapping[str, Stamp]) -> bool:
    """Whether every file still has its stamp. Lists no folder and opens no file: what else is there is the user's."""
    prefix = f"{folder}/"
    lstat = os.lstat
    try:
        for path, stamp in clean.items():
            status = lstat(prefix + path)
            if (status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_size, status.st_mode) != stamp:
                return False
    except OSError:
        return False
    return True


def now_ns() -> int:
    """The clock that file times are compared with, in nanoseconds."""
    return time.time_ns()


def load_index(path: Path) -> Index | None:
    """Read a saved index; None where there is none, or an unreadable one (it is only a cache)."""
    try:
        data = json.loads(path.read_bytes())
        if data["format"] != _FORMAT:
            return None
        tree = {name: Entry(*row) for name, row in zip(data["paths"], zip(*data["tree"], strict=True), strict=True)}
        seen = {
            name: ((*stamp,), tree[name] if row == 0 else Entry(*row))
            for name, stamp, row in zip(data["seen"], zip(*data["stamps"], strict=True), data["entries"], strict=True)
        }
        return Index(data["sha256"], tree, seen, frozenset(data["said"]), _clean(tree, seen))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def save_index(path: Path, index: Index) -> None:
    """Write an index beside its old self; a failure only costs time later."""
    entries = [0 if index.tree.get(name) == entry else _row(entry) for name, (_, entry) in index.seen.items()]
    data = {
        "format": _FORMAT,
        "sha256": index.sha256,
        "said": sorted(index.said),
        "paths": list(index.tree),
        "tree": _columns([_row(entry) for entry in index.tree.values()], 3),
        "seen": list(index.seen),
        "stamps": _columns([list(stamp) for stamp, _ in index.seen.values()], 5),
        "entries": entries,
    }
    with contextlib.suppress(OSError, WriteError):
        path.parent.mkdir(exist_ok=True)
        atomic_write(path, json.dumps(data, separators=(",", ":")).encode())


def _row(entry: Entry) -> list[int | str]:
    return [entry.mode, entry.oid, entry.size]


def _columns(rows: list[list[int | str]] | list[list[int]], width: int) -> list[list[int | str]]:
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(width)]
