"""What of a project belongs into a snapshot: one look at its folders that opens no file.

Paths are bytes with ``/``, a folder's with a slash at the end ("" is the root), as git compares them.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from dxforge.config.model import SnapshotLimits
from dxforge.store.ignore import Ignore
from dxforge.store.model import LeftOut
from dxforge.store.objects import TREE_MODE, encode_tree, object_oid, reserved
from dxforge.store.tree import EXECUTABLE, FILE, SYMLINK, Entry

_RACY_NS = 50_000_000
"""A file touched this shortly before it was looked at may change again without its times showing it."""
_MB = 1_000_000
_NEVER = frozenset({b".git", b".dx"})
_CACHES = b"__pycache__"
"""Python's leftovers, which dxforge nowhere takes for the user's (see ``files.walk``)."""
_RULES = b".gitignore"
FOLD_CASE = sys.platform in ("darwin", "win32")

Stamp = tuple[int, int, int, int, int]
"""st_mtime_ns, st_ctime_ns, st_ino, st_size, st_mode."""
Known = tuple[Stamp, str]
"""A file as it was looked at, and the id of its content ("" while it has not been read)."""


@dataclass(slots=True)
class Folder:
    """One folder: the files that belong to it, the names of its folders that do, its tree's id ("" where unknown)."""

    files: dict[bytes, Known] = field(default_factory=dict)
    folders: set[bytes] = field(default_factory=set)
    tree: str = ""
    rules: Stamp | None = None
    """The stamp of its ``.gitignore``, None where it has none."""
    skipped: bool = False
    """Whether it holds something that is not in the snapshot."""


_UNKNOWN = Folder()
Memory = Mapping[bytes, Folder]
"""The folders of an earlier survey, for what has not changed since."""


@dataclass(slots=True)
class Survey:
    """One look. ``unread`` are the files whose content is not known from an earlier one, as (folder, name)."""

    root: bytes
    looked_ns: int
    folders: dict[bytes, Folder] = field(default_factory=dict)
    """Parents before what is in them."""
    unread: list[tuple[bytes, bytes]] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    changed: set[str] = field(default_factory=set)
    """What changed or vanished while it was being looked at."""
    hidden: list[str] = field(default_factory=list)
    """Folders that hold nothing but what is not in the snapshot."""

    def leave_out(self, folder: bytes, name: bytes, size_bytes: int, reason: str) -> None:
        """Note that something is not in the snapshot."""
        self.left_out.append(LeftOut(path=os.fsdecode(folder + name), size_bytes=size_bytes, reason=reason))
        row = self.folders[folder]
        row.skipped = True
        row.tree = ""
        row.files.pop(name, None)

    def trusts(self, stamp: Stamp) -> bool:
        """Whether the same stamp will prove that a file is the same."""
        limit = self.looked_ns - _RACY_NS
        return stamp[0] < limit and stamp[1] < limit

    def memory(self) -> dict[bytes, Folder]:
        """What the next survey may rely on."""
        kept: dict[bytes, Folder] = {}
        for path, row in self.folders.items():
            files = {name: known for name, known in row.files.items() if self.trusts(known[0])}
            rules = row.rules if row.rules is None or self.trusts(row.rules) else (0, 0, 0, 0, 0)
            tree = row.tree if len(files) == len(row.files) else ""
            kept[path] = Folder(files, row.folders, tree, rules)
        return kept

    def files(self) -> dict[str, Entry]:
        """Every file by its path, once all have been read."""
        return {
            os.fsdecode(path + name): Entry(git_mode(stamp[4]), oid, stamp[3])
            for path, row in self.folders.items()
            for name, (stamp, oid) in row.files.items()
        }


def stamp_of(status: os.stat_result) -> Stamp:
    """A file's stamp."""
    return (status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_size, status.st_mode)


def git_mode(st_mode: int) -> int:
    """Git's mode for a file or symlink."""
    if stat.S_ISLNK(st_mode):
        return SYMLINK
    return EXECUTABLE if st_mode & stat.S_IXUSR else FILE


def look(root: bytes, memory: Memory, limits: SnapshotLimits, check: Callable[[], None] = lambda: None) -> Survey:
    """Look at everything below ``root``.

    Args:
        root: the project's folder.
        memory: of an earlier look; each file with the same stamp has the same content.
        limits: what is too large is left out, of too many bytes the largest files.
        check: called for each folder; raises to stop.
    """
    survey = Survey(root, time.time_ns())
    walker = _Walker(survey, memory, limits.max_file_mb * _MB)
    stack = [_Visit(path=b"", above=None, rules_same=True)]
    while stack:
        check()
        stack += walker.visit(stack.pop())
    _cap(survey, limits.max_total_mb * _MB)
    survey.unread = [
        (path, name) for path, row in survey.folders.items() for name, known in row.files.items() if not known[1]
    ]
    return survey


@dataclass(frozen=True, slots=True, kw_only=True)
class _Visit:
    """A folder to look at: the rules in force above it, and whether those are the ones the memory was made under."""

    path: bytes
    above: Ignore | None
    rules_same: bool


class _Walker:
    """One survey in the making."""

    def __init__(self, survey: Survey, memory: Memory, max_file_bytes: int) -> None:
        self._survey = survey
        self._root = survey.root.rstrip(b"/") + b"/"
        self._memory = memory
        self._max_file_bytes = max_file_bytes

    def visit(self, visit: _Visit) -> list[_Visit]:
        """Look at one folder; returns what to look at next."""
        path = visit.path
        where = self._root + path
        try:
            with os.scandir(where) as listing:
                entries = list(listing)
        except OSError as error:
            self._unlistable(path, error)
            return []
        row = self._survey.folders[path] = Folder()
        old = self._memory.get(path, _UNKNOWN)
        ignore = visit.above
        for entry in entries:
            if entry.name == _RULES:
                row.rules = _stamp_or_none(entry)
                ignore = Ignore(path, lambda: _read_rules(where + _RULES), ignore, FOLD_CASE)
        same = visit.rules_same and old is not _UNKNOWN and old.rules == row.rules
        decided = old if same else _UNKNOWN
        folders: list[bytes] = []
        for entry in entries:
            name = entry.name
            try:
                folder = entry.is_dir(follow_symlinks=False)
                known = name in (decided.folders if folder else decided.files)
                if not known and not self._belongs(row, path, name, ignore, folder=folder):
                    continue
                if folder:
                    folders.append(name)
                else:
                    self._file(row, path, entry, old.files.get(name))
            except OSError:  # gone meanwhile
                self._survey.changed.add(os.fsdecode(path + name))
        row.folders.update(folders)
        if same and len(row.files) == len(old.files) and row.folders == old.folders:
            row.tree = old.tree  # until something in it turns out to be new
        return [_Visit(path=path + name + b"/", above=ignore, rules_same=same) for name in folders]

    def _belongs(self, row: Folder, path: bytes, name: bytes, ignore: Ignore | None, *, folder: bool) -> bool:
        ignored = ignore is not None and ignore.ignores(path + name, name, folder=folder)
        if ignored or name in _NEVER or (folder and name == _CACHES):
            row.skipped = True
            return False
        if reserved(name):
            self._survey.leave_out(path, name + (b"/" if folder else b""), 0, "its name is git's own or dxforge's")
            return False
        return True

    def _file(self, row: Folder, path: bytes, entry: os.DirEntry[bytes], known: Known | None) -> None:
        status = entry.stat(follow_symlinks=False)
        stamp = (status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_size, status.st_mode)
        if stamp[3] > self._max_file_bytes:
            self._survey.leave_out(path, entry.name, stamp[3], "it is larger than max_file_mb")
        elif known is not None and known[0] == stamp:
            row.files[entry.name] = known
        elif stat.S_ISREG(stamp[4]) or stat.S_ISLNK(stamp[4]):
            row.files[entry.name] = (stamp, "")
        else:
            self._survey.leave_out(path, entry.name, 0, f"it is a {_kind(stamp[4])}")

    def _unlistable(self, path: bytes, error: OSError) -> None:
        if not path:
            raise error
        parent, name = _split(path)
        self._survey.folders[parent].folders.discard(name)
        self._survey.folders[parent].tree = ""
        if isinstance(error, FileNotFoundError | NotADirectoryError):
            self._survey.changed.add(os.fsdecode(path))
        else:
            reason = f"it cannot be read: {(error.strerror or str(error)).lower()}"
            self._survey.leave_out(parent, name + b"/", 0, reason)


def _split(folder: bytes) -> tuple[bytes, bytes]:
    """A folder's parent (with its slash) and name."""
    parent, slash, name = folder[:-1].rpartition(b"/")
    return parent + slash, name


def _kind(mode: int) -> str:
    for name, test in (("FIFO", stat.S_ISFIFO), ("socket", stat.S_ISSOCK)):
        if test(mode):
            return name
    return "device"


def _stamp_or_none(entry: os.DirEntry[bytes]) -> Stamp | None:
    try:
        return stamp_of(entry.stat(follow_symlinks=False))
    except OSError:
        return None


def _read_rules(path: bytes) -> bytes | None:
    """A ``.gitignore``, where it is a plain file: git follows no symlink there."""
    with contextlib.suppress(OSError):
        if stat.S_ISREG(os.lstat(path).st_mode):
            with open(path, "rb") as stream:
                return stream.read()
    return None


def _cap(survey: Survey, max_total_bytes: int) -> None:
    """Leave out the largest files until the rest is small enough."""
    sizes = [(known[0][3], path, name) for path, row in survey.folders.items() for name, known in row.files.items()]
    total = sum(size for size, _, _ in sizes)
    if total <= max_total_bytes:
        return
    for size, path, name in sorted(sizes, key=lambda item: (-item[0], item[1], item[2])):
        if total <= max_total_bytes:
            break
        total -= size
        survey.leave_out(path, name, size, "the project is larger than max_total_mb")


def build_trees(survey: Survey, add: Callable[[str, bytes], None]) -> str:
    """The project's tree, of files that have all been read; folders that hold only what is left out go.

    Args:
        survey: gets the ids of its folders' trees.
        add: takes each tree that the survey's memory did not have: its id and bytes.

    Returns:
        The id of the root's tree. Empty folders are in it as empty trees.
    """
    survey.hidden.clear()
    folders = survey.folders
    for path in [*folders][::-1]:
        row = folders[path]
        if row.tree:
            continue
        parent, name = _split(path)
        if path:
            folders[parent].tree = ""
        if path and row.skipped and not row.files and not row.folders:
            folders[parent].folders.discard(name)
            folders[parent].skipped = True
            survey.hidden.append(os.fsdecode(path[:-1]))
            del folders[path]
            continue
        items = [(name, git_mode(stamp[4]), oid) for name, (stamp, oid) in row.files.items()]
        items += [(name, TREE_MODE, folders[path + name + b"/"].tree) for name in row.folders]
        data = encode_tree(items)
        row.tree = object_oid("tree", data)
        add(row.tree, data)
    return folders[b""].tree
