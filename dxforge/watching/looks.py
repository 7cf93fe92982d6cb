"""Looking at a tree again and again: what changed is the difference between two looks."""

from __future__ import annotations

import contextlib
import fnmatch
import os
import stat
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dxforge.errors import WatchError

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

    from dxforge.watching.globs import Globs

Signature = tuple[int, ...]

# State, and what no one edits by hand: left out unless a glob spells the way to it.
_LEFT_OUT = frozenset((".git", ".hg", ".svn", ".dx", "__pycache__", ".ipynb_checkpoints", "node_modules", ".venv"))
# What editors and systems write beside the files that are meant.
_TEMPORARY = ("*.py[co]", "*~", ".#*", "*.sw[a-z]", "4913", "*___jb_???___", ".~lock.*#", ".DS_Store")
# A file's times are those of the clock's last tick, up to 10 ms ago: within a tick two writes look like one.
_TICK_NS = 10_000_000


class _Folder(NamedTuple):
    """A folder to look into, with what was found on the way to it."""

    path: str
    inode: int
    specs: tuple[str, ...]
    """Where the .gitignore files lie that count here."""
    same: bool
    """Whether these are as they were, so that the last look's verdicts hold."""
    below: bool
    """Whether a glob starts above: everything counts. Elsewhere only what is on the way to where one starts."""


class Looks:
    """Looks at a tree again and again, and says how it differs from the time before."""

    def __init__(self, root: Path, globs: Globs) -> None:
        self._root = root
        self._globs = globs
        self._ways = frozenset(way for base in globs.bases for way in _ways(base))
        self._files: dict[str, Signature] = {}
        self._rules: dict[str, Signature] = {}
        self._specs: dict[str, GitIgnoreSpec] = {}
        # Whether a path is meant (a file) or entered (a folder, with a "/" at its end): asked once per path.
        self._verdicts: dict[str, bool] = {}
        self._at_ns = 0
        self.folders: dict[str, int] = {}
        """Folders that were looked into, from the root ("" itself), with their inodes."""
        self.cost_s = 0.0
        """How long the last look took."""

    def again(self, named: Collection[str] = ()) -> frozenset[str]:
        """The files that differ from the last look; ``named`` are those that something is known to have happened to.

        Raises:
            WatchError: the root is gone.
        """
        began, at_ns = time.perf_counter(), time.time_ns()
        files, rules = self._files, self._rules
        self._look()
        now = self._files
        paths = files.keys() | now.keys()
        if rules != self._rules:
            # What is left out now, or no longer, has not changed for that.
            paths = files.keys() & now.keys()
        changed = {path for path in paths if files.get(path) != now.get(path)}
        changed |= {path for path in named if path in now and now[path][2] > self._at_ns - _TICK_NS}
        self._at_ns = at_ns
        self.cost_s = time.perf_counter() - began
        return frozenset(changed)

    def _look(self) -> None:
        try:
            inode = os.stat(self._root).st_ino
        except OSError as error:
            raise self._gone(error) from error
        verdicts, rules = self._verdicts, self._rules
        self._files, self._rules, self._verdicts, self.folders = {}, {}, {}, {}
        left = [_Folder("", inode, specs=(), same=True, below=False)]
        while left:
            folder = left.pop()
            below = folder.below or folder.path in self._globs.bases
            prefix = f"{folder.path}/" if folder.path else ""
            try:
                with os.scandir(os.path.join(self._root, folder.path)) as found:
                    entries = {entry.name: entry for entry in found}
            except OSError as error:
                if not folder.path:
                    raise self._gone(error) from error
                continue  # gone meanwhile, or not ours to read, and then the system will not watch it either
            self.folders[folder.path] = folder.inode
            specs = folder.specs
            if self._read_rules(prefix, entries.get(".gitignore")):
                specs = (*specs, prefix)
            same = folder.same and rules.get(prefix) == self._rules.get(prefix)
            for name, entry in entries.items():
                path = prefix + name
                on_way = path in self._ways
                if not (below or on_way):
                    continue
                is_folder = entry.is_dir(follow_symlinks=False)
                key = f"{path}/" if is_folder else path
                good = verdicts.get(key) if same else None
                if good is None:
                    good = self._judge(key, name, specs)
                self._verdicts[key] = good
                if is_folder and (good or on_way):
                    # Through what is left out leads only the way that a glob spells, and no .gitignore above counts.
                    left.append(
                        _Folder(path, entry.inode(), specs=specs if good else (), same=same, below=below and good)
                    )
                elif not is_folder and (good or (path in self._globs.bases and self._globs.match(path))):
                    self._sign(path, entry)

    def _gone(self, error: OSError) -> WatchError:
        return WatchError(
            f"the folder to watch is not there, or cannot be read: {(error.strerror or str(error)).lower()}",
            where=str(self._root),
            hint="Start again where the project is now",
        )

    def _judge(self, key: str, name: str, specs: tuple[str, ...]) -> bool:
        if key.endswith("/"):
            if name in _LEFT_OUT:
                return False
        elif not self._globs.match(key) or any(fnmatch.fnmatchcase(name, pattern) for pattern in _TEMPORARY):
            return False
        for prefix in reversed(specs):
            ignored = self._specs[prefix].check_file(key[len(prefix) :]).include
            if ignored is not None:
                return not ignored
        return True

    def _read_rules(self, prefix: str, entry: os.DirEntry[str] | None) -> bool:
        """Read a ``.gitignore`` unless it is known as it is; whether there is one."""
        # As git does, a symlink is not followed.
        if entry is None or not entry.is_file(follow_symlinks=False):
            return False
        try:
            signature = _signature(entry.stat(follow_symlinks=False))
            if prefix not in self._specs or self._rules.get(prefix) != signature:
                self._specs[prefix] = _spec(Path(entry.path).read_text(encoding="utf-8", errors="replace"))
        except OSError:
            return False
        self._rules[prefix] = signature
        return True

    def _sign(self, path: str, entry: os.DirEntry[str]) -> None:
        with contextlib.suppress(OSError):
            self._files[path] = _signature(entry.stat(follow_symlinks=False))
            if entry.is_symlink():
                target = os.stat(entry.path)
                if stat.S_ISREG(target.st_mode):
                    self._files[path] += _signature(target)


def _ways(base: str) -> Iterator[str]:
    parts = base.split("/")
    return ("/".join(parts[: count + 1]) for count in range(len(parts)))


def _signature(status: os.stat_result) -> Signature:
    # The time of change tells what keeps size and modification time, such as `cp --preserve` over a file.
    return status.st_mode, status.st_size, status.st_ctime_ns, status.st_mtime_ns, status.st_ino


def _spec(text: str) -> GitIgnoreSpec:
    from pathspec import GitIgnoreSpec

    try:
        return GitIgnoreSpec.from_lines(text.splitlines())
    except ValueError:
        return GitIgnoreSpec.from_lines(line for line in text.splitlines() if _is_pattern(line))


def _is_pattern(line: str) -> bool:
    from pathspec import GitIgnoreSpec

    try:
        GitIgnoreSpec.from_lines([line])
    except ValueError:
        return False
    return True
