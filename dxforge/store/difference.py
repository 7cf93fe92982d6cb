"""What differs between two pictures of a project."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from dxforge.errors import ChangedMeanwhileError
from dxforge.files import read_entry
from dxforge.store.model import FileChange, Picture, SnapshotDiff
from dxforge.store.objects import object_oid
from dxforge.store.repository import Repository
from dxforge.store.tree import Entry

_BINARY_PROBE_BYTES = 8000


def difference(
    repository: Repository, old: Picture, new: Picture, *, disk: Mapping[str, Entry], root: Path
) -> SnapshotDiff:
    """Compare two pictures.

    Args:
        repository: has the contents of ``old``, and those of ``new`` where they are not on disk.
        old: the one side.
        new: the other side.
        disk: the files of ``new`` where it is the project itself; else empty.
        root: the project's folder.
    """
    added: list[FileChange] = []
    removed: list[FileChange] = []
    changed: list[FileChange] = []
    for path in sorted({*old.files, *new.files}):
        before, after = old.files.get(path), new.files.get(path)
        if before == after:
            continue
        sides = (_entry(repository, before), disk.get(path) or _entry(repository, after))
        change = FileChange(path=path, before=sides[0], after=sides[1])
        (added if before is None else removed if after is None else changed).append(change)

    def read(change: FileChange) -> str:
        def newer(entry: Entry) -> bytes:
            return _on_disk(root, change.path, entry) if disk else repository.blob(entry.oid)

        return unified(change, lambda entry: repository.blob(entry.oid), newer)

    return SnapshotDiff(
        added=tuple(added),
        removed=tuple(removed),
        changed=tuple(changed),
        added_folders=tuple(sorted(_empty(new) - old.folders)),
        removed_folders=tuple(sorted(_empty(old) - new.folders)),
        read=read,
    )


def _entry(repository: Repository, side: tuple[int, str] | None) -> Entry | None:
    return None if side is None else Entry(side[0], side[1], repository.size(side[1]))


def _empty(picture: Picture) -> frozenset[str]:
    """The folders with nothing in them."""
    return picture.folders - {path.rpartition("/")[0] for path in (*picture.files, *picture.folders)}


def _on_disk(root: Path, path: str, entry: Entry) -> bytes:
    found = read_entry(root / path)
    if found is None or object_oid("blob", found[1]) != entry.oid:
        raise ChangedMeanwhileError("it changed after it was compared", where=path, hint="Compare again")
    return found[1]


def unified(change: FileChange, older: Callable[[Entry], bytes], newer: Callable[[Entry], bytes]) -> str:
    """One file's unified diff as git writes it, modes included; text that is not UTF-8 is shown as far as it is."""
    import pygit2

    before = older(change.before) if change.before is not None else b""
    after = newer(change.after) if change.after is not None else b""
    path = os.fsencode(change.path).decode("utf-8", "replace")
    lines = [f"diff --git a/{path} b/{path}"]
    modes = [None if entry is None else entry.mode for entry in (change.before, change.after)]
    if modes[0] is None:
        lines.append(f"new file mode {modes[1]:o}")
    elif modes[1] is None:
        lines.append(f"deleted file mode {modes[0]:o}")
    elif modes[0] != modes[1]:
        lines += [f"old mode {modes[0]:o}", f"new mode {modes[1]:o}"]
    if before != after:
        old_name = "/dev/null" if change.before is None else f"a/{path}"
        new_name = "/dev/null" if change.after is None else f"b/{path}"
        if b"\0" in before[:_BINARY_PROBE_BYTES] or b"\0" in after[:_BINARY_PROBE_BYTES]:
            lines.append(f"Binary files {old_name} and {new_name} differ")
        else:
            lines += [f"--- {old_name}", f"+++ {new_name}"]
            patch = pygit2.Patch.create_from(before, after).data.decode("utf-8", "replace")
            return "\n".join(lines) + "\n" + patch[patch.index("\n@@") + 1 :]
    return "\n".join(lines) + "\n"
