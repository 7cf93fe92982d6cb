"""Which files a user means: paths from the current folder or the project's root, folders, globs."""

from __future__ import annotations

import difflib
import fnmatch
import os
from collections.abc import Collection, Sequence
from pathlib import Path

from dxforge.commands.shown import may_be_escaped, shown
from dxforge.errors import NotPendingError, UsageError
from dxforge.traffic.model import Change


def from_root(path: str, *, root: Path, cwd: Path) -> list[str]:
    """What ``path`` may mean, from the project's root with ``/``: first as seen from ``cwd``, then from the root.

    Where ``path`` leads out of the project one way or the other, that reading is left out.
    """
    if not path:
        return []
    readings = []
    for folder in (cwd, root):
        typed = os.path.normpath(os.path.join(folder, path))
        # The project, or the way to it, may go through a symlink; a file that is one stays what it is.
        real = os.path.join(os.path.realpath(os.path.dirname(typed)), os.path.basename(typed))
        for target, start in ((typed, os.path.abspath(root)), (real, os.path.realpath(root))):
            relative = os.path.relpath(target, start)
            if relative != ".." and not relative.startswith(f"..{os.sep}") and not os.path.isabs(relative):
                readings.append(relative.replace(os.sep, "/"))
    return list(dict.fromkeys(readings))


def from_folder(path: str, *, root: Path, cwd: Path) -> str | None:
    """``path`` (from the project's root) as seen from ``cwd``; None where ``cwd`` is not inside the project."""
    here = os.path.relpath(os.path.realpath(cwd), os.path.realpath(root))
    if here == ".." or here.startswith(f"..{os.sep}"):
        return None
    return os.path.relpath(path, here).replace(os.sep, "/")


def pending_at(paths: Collection[str], pending: Sequence[Change], *, root: Path, cwd: Path) -> list[Change]:
    """The pending changes that ``paths`` name, each once, in their own order.

    Raises:
        NotPendingError: a path names none; says which one is nearest.
    """
    chosen: set[str] = set()
    for path in paths:
        found = _named(path, pending, root=root, cwd=cwd)
        if not found:
            raise _not_pending(path, pending)
        chosen.update(found)
    return [change for change in pending if change.path in chosen]


def one_file(path: str, pending: Sequence[Change], *, root: Path, cwd: Path) -> str:
    """The one file that ``path`` names, from the root: a pending one, else one that exists.

    Raises:
        UsageError: a folder or glob that names several.
        NotPendingError: nothing pending and no such file.
    """
    found = _named(path, pending, root=root, cwd=cwd)
    if len(found) > 1:
        raise UsageError(
            f"that names {len(found)} pending files, and one is needed", where=path, hint=f"Take {found[0]}"
        )
    if found:
        return found[0]
    for reading in from_root(path, root=root, cwd=cwd):
        if os.path.lexists(root / reading) and not (root / reading).is_dir():
            return reading
    raise _not_pending(path, pending)


def _named(path: str, pending: Sequence[Change], *, root: Path, cwd: Path) -> list[str]:
    known = [change.path for change in pending]
    readings = from_root(path, root=root, cwd=cwd)
    # Names first: a file may really be called "a[1].py".
    for reading in readings:
        if reading in known:
            return [reading]
    for change in pending:
        if change.new_path is not None and change.new_path in readings:
            return [change.path]
    for reading in readings:
        below = known if reading == "." else [name for name in known if name.startswith(f"{reading}/")]
        if below:
            return below
    if any(sign in path for sign in "*?["):
        for reading in readings:
            matching = [name for name in known if _glob(name, reading)]
            if matching:
                return matching
    if may_be_escaped(path):
        matching = [name for name in known if shown(name) in readings]
        if len(matching) == 1:
            return matching
    return []


def _glob(name: str, pattern: str) -> bool:
    """As git's pathspecs: ``*`` spans folders, and ``**/`` may stand for none."""
    return fnmatch.fnmatchcase(name, pattern) or (
        "**/" in pattern and fnmatch.fnmatchcase(name, pattern.replace("**/", ""))
    )


def _not_pending(path: str, pending: Sequence[Change]) -> NotPendingError:
    known = [change.path for change in pending]
    if not known:
        return NotPendingError("nothing is pending there", where=path, hint="Nothing awaits a decision in this project")
    # By the last name only: in whole paths the common folders drown what is different.
    names = {name.rsplit("/", 1)[-1]: name for name in known}
    nearest = difflib.get_close_matches(path.rsplit("/", 1)[-1], list(names), n=1, cutoff=0.75)
    hint = f"Did you mean {shown(names[nearest[0]])}" if nearest else "`dxforge review` lists what is"
    return NotPendingError("nothing is pending there", where=path, hint=hint)
