"""What a rollback may touch: the paths that were chosen, and what a snapshot would have held."""

from __future__ import annotations

import difflib
import fnmatch
import os
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

from dxforge.errors import UsageError
from dxforge.store.ignore import Ignore
from dxforge.store.model import Picture
from dxforge.store.survey import FOLD_CASE
from dxforge.store.tree import SYMLINK


def selection(paths: Collection[str], known: Collection[str], root: Path) -> Callable[[str], bool]:
    """Which paths were chosen: by name, by a folder above, or by a glob where no such name is known.

    Args:
        paths: what the user named, from the root (none: everything).
        known: the paths of all files and folders.
        root: the project's folder, looked at for a better word where a path is not known.

    Raises:
        UsageError: one of them means none.
    """
    if not paths or "." in paths:
        return lambda _: True
    names: set[str] = set()
    globs: list[str] = []
    for path in paths:
        plain = path.rstrip("/")
        if plain in known:
            names.add(plain)
        elif any(fnmatch.fnmatchcase(item, plain) for item in known):
            globs.append(plain)
        elif os.path.lexists(root / plain):
            hint = "Name another file or folder; .gitignore and [snapshots] in dx.toml say what is left out"
            raise UsageError("snapshots leave it out", where=path, hint=hint)
        else:
            near = difflib.get_close_matches(plain, known, n=1, cutoff=0.6)
            hint = f"Did you mean {near[0]}" if near else "Name a file or folder that one of them has"
            raise UsageError("neither the snapshot nor the project has such a path", where=path, hint=hint)

    def selected(path: str) -> bool:
        above = path
        while above:
            if above in names:
                return True
            above = above.rpartition("/")[0]
        return any(fnmatch.fnmatchcase(path, glob) for glob in globs)

    return selected


@dataclass(frozen=True, slots=True)
class PastRules:
    """What the ``.gitignore`` files of a snapshot ignore."""

    picture: Picture
    content: Callable[[str], bytes]
    _levels: dict[str, tuple[Ignore | None, bool]] = field(default_factory=dict)

    def ignores(self, path: str, *, folder: bool) -> bool:
        """Whether something is ignored, or in a folder that is."""
        above, _, name = path.rpartition("/")
        ignore, ignored = self._level(above)
        return ignored or (ignore is not None and ignore.ignores(os.fsencode(path), os.fsencode(name), folder=folder))

    def _level(self, folder: str) -> tuple[Ignore | None, bool]:
        """The rules in force in a folder, and whether it is itself ignored."""
        if folder not in self._levels:
            ignore, ignored = None, False
            if folder:
                ignore, ignored = self._level(folder.rpartition("/")[0])
                name = os.fsencode(folder.rpartition("/")[2])
                ignored = ignored or (ignore is not None and ignore.ignores(os.fsencode(folder), name, folder=True))
            prefix = f"{folder}/" if folder else ""
            side = self.picture.files.get(f"{prefix}.gitignore")
            if side is not None and side[0] != SYMLINK:
                oid = side[1]
                ignore = Ignore(os.fsencode(prefix), lambda: self.content(oid), ignore, FOLD_CASE)
            self._levels[folder] = (ignore, ignored)
        return self._levels[folder]
