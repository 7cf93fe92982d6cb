"""Real projects for the stories: made, edited, looked at whole."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from dxforge.store.tree import EXECUTABLE, FILE, SYMLINK


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A tree as it is: files (and symlinks) by path with git's mode and content, folders, special files by kind."""

    files: dict[str, tuple[int, bytes]]
    folders: frozenset[str]
    special: dict[str, str]


def snapshot(root: Path, *, without: tuple[str, ...] = (".dx",)) -> Snapshot:
    """Look at everything below ``root`` but the top entries ``without`` and compiled leftovers."""
    files: dict[str, tuple[int, bytes]] = {}
    folders: set[str] = set()
    special: dict[str, str] = {}
    for where, names, others in os.walk(root):
        for name in [*names, *others]:
            path = Path(where, name)
            relative = path.relative_to(root).as_posix()
            if relative in without or name == "__pycache__":
                if name in names:
                    names.remove(name)
                continue
            mode = path.lstat().st_mode
            if stat.S_ISLNK(mode):
                files[relative] = (SYMLINK, os.fsencode(os.readlink(path)))
            elif stat.S_ISDIR(mode):
                folders.add(relative)
            elif stat.S_ISREG(mode):
                files[relative] = (EXECUTABLE if mode & stat.S_IXUSR else FILE, path.read_bytes())
            else:
                special[relative] = "FIFO" if stat.S_ISFIFO(mode) else "other"
    return Snapshot(files, frozenset(folders), special)
