"""Undo: the job that takes the last operation back, later edits kept where that is possible."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from dxforge.errors import UndoError
from dxforge.files import exact_tree, private_bits, read_entry, walk
from dxforge.store.tree import SYMLINK, Entry, blob_oid
from dxforge.traffic.journal import has_text
from dxforge.traffic.light import merged_mode
from dxforge.traffic.merge import merge3
from dxforge.traffic.model import Action, Change, Operation, TrafficLight
from dxforge.traffic.record import Job, Record, TreeWrite, Write

ContentOf = Callable[[Entry], bytes | None]
"""A content by its entry, from the archives that the operation's locks name; None where none has it."""


def undo_job(record: Record, root: Path, content_of: ContentOf) -> Job:
    """What takes ``record`` back.

    A file that the user has edited since keeps the later edit: the operation is merged out of it. Where the two
    overlap, nothing is undone.

    Raises:
        UndoError: later edits stand in the way, or ``dx.lock`` is another one by now.
    """
    if not has_text(root / "dx.lock", record.lock_after):
        raise UndoError(
            f"dx.lock is no longer as {record.command} left it (another branch, or an edit)",
            where=str(root / "dx.lock"),
            hint="Bring that dx.lock back, or copy what you need from " + str(record.folder),
        )
    writes: list[Write] = []
    trees: list[TreeWrite] = []
    blocked: list[str] = []
    doomed = _doomed(record, root)
    for number, write in enumerate(record.writes):
        planned = _reverse(record, number, write, root, content_of, doomed=doomed)
        if isinstance(planned, str):
            blocked.append(planned)
        elif planned is not None:
            writes.append(planned)
    for tree in record.trees:
        if tree.created:
            _take_tree_away(root, tree, writes, trees, blocked)
        elif _behind(tree.path, doomed) or not os.path.lexists(root / tree.path) or tree.path in doomed:
            trees.append(TreeWrite(path=tree.path, files=tree.files, created=True))
        else:
            blocked.append(tree.path)
    if blocked:
        raise UndoError(
            f"you have edited what {record.command} wrote, and the edits overlap with undoing it",
            where=", ".join(blocked[:5]) + (f" and {len(blocked) - 5} more" if len(blocked) > 5 else ""),
            hint="Nothing was changed; put these edits elsewhere first, then undo again",
        )
    reborn = {tree.path: number for number, tree in enumerate(record.trees) if not tree.created}

    def contents() -> Iterator[tuple[str, bytes]]:
        for tree in trees:
            if tree.created:
                yield from _tree_contents(record.tree_slot(reborn[tree.path]), tree)

    return Job(
        command="undo",
        summary=f"undid {record.command} ({record.id})",
        writes=tuple(writes),
        trees=tuple(trees),
        lock_before=record.lock_after,
        lock_after=record.lock_before,
        contents=contents,
        undoes=record.id,
        folders=record.made,
        make=record.drop,
        drop=record.make,
        permissions=_private(record, trees),
    )


def _doomed(record: Record, root: Path) -> set[str]:
    """What this undo takes away: files by path, folders with a slash at the end."""
    doomed = {write.path for write in record.writes if write.before is None and _is(root / write.path, write.after)}
    doomed |= {f"{folder}/" for folder in record.make}
    for tree in record.trees:
        if tree.created and any(f"{tree.path}/".startswith(f"{write.path}/") for write in record.writes):
            names = (f"{tree.path}/{path}" for path in tree.files if _is(root / tree.path / path, tree.files[path]))
            doomed.update(names)
    return doomed


def _private(record: Record, trees: Collection[TreeWrite]) -> dict[str, int]:
    """The permission bits of those saved files that not everybody may read."""
    files = {write.path: record.slot(number) for number, write in enumerate(record.writes) if write.before is not None}
    for number, tree in enumerate(record.trees):
        if any(known.created and known.path == tree.path for known in trees):
            files.update({f"{tree.path}/{path}": record.tree_slot(number) / path for path in tree.files})
    found: dict[str, int] = {}
    for path, file in files.items():
        with contextlib.suppress(FileNotFoundError):
            bits = private_bits(file.lstat().st_mode)
            if bits is not None:
                found[path] = bits
    return found


def _tree_contents(slot: Path, tree: TreeWrite) -> Iterator[tuple[str, bytes]]:
    for path in tree.files:
        found = read_entry(slot / path)
        if found is not None:
            yield f"{tree.path}/{path}", found[1]


def _is(target: Path, entry: Entry | None) -> bool:
    found = read_entry(target)
    return found is not None and found[0] == entry


def _behind(path: str, doomed: Collection[str]) -> bool:
    """Whether a folder above ``path`` is now a file or symlink that goes, so that what is seen there is elsewhere."""
    while path := path.rpartition("/")[0]:
        if path in doomed:
            return True
    return False


def _free(root: Path, path: str, doomed: Collection[str]) -> bool:
    """Whether nothing is at ``path``, or only a folder of files (or an empty one) that this undo takes away."""
    target = root / path
    if _behind(path, doomed) or not os.path.lexists(target):
        return True
    if target.is_symlink() or not target.is_dir():
        return False
    inside = [f"{path}/{name}" for name in walk(target)]
    return (bool(inside) or f"{path}/" in doomed) and all(name in doomed for name in inside)


def _reverse(
    record: Record, number: int, write: Write, root: Path, content_of: ContentOf, *, doomed: Collection[str]
) -> Write | str | None:
    """The write that takes one write back, None where nothing is to be done, or the path that blocks it."""
    current = None if _behind(write.path, doomed) else read_entry(root / write.path)
    now = current[0] if current is not None else None
    if now == write.before:
        return None
    before = b""
    if write.before is not None:
        saved = read_entry(record.slot(number))
        if saved is None or saved[0] != write.before:
            raise UndoError(
                "the copy that was saved of it is gone or damaged",
                where=write.path,
                hint=f"See what is left in {record.folder}",
            )
        before = saved[1]
    if now == write.after and (current is not None or _free(root, write.path, doomed)):
        content = None if write.before is None else before
        return Write(path=write.path, before=now, after=write.before, content=content)
    if current is None or write.before is None or write.after is None:
        return write.path
    wrote = record.after(number)
    if wrote is None or blob_oid(wrote) != write.after.oid:
        wrote = content_of(write.after)
    if wrote is None or SYMLINK in (current[0].mode, write.before.mode, write.after.mode):
        return write.path
    merged = merge3(wrote, current[1], before, path=write.path)
    if not merged.clean:
        return write.path
    mode = merged_mode(write.after.mode, current[0].mode, write.before.mode)
    entry = Entry(mode, blob_oid(merged.content), len(merged.content))
    return Write(path=write.path, before=now, after=entry, content=merged.content)


def _take_tree_away(
    root: Path, tree: TreeWrite, writes: list[Write], trees: list[TreeWrite], blocked: list[str]
) -> None:
    folder = root / tree.path
    if not folder.is_dir():
        return
    if exact_tree(folder, tree.files):
        trees.append(TreeWrite(path=tree.path, files=tree.files, created=False))
        return
    for path, entry in tree.files.items():
        found = read_entry(folder / path)
        if found is not None and found[0] == entry:
            writes.append(Write(path=f"{tree.path}/{path}", before=entry, after=None))
        elif found is not None:
            blocked.append(f"{tree.path}/{path}")


def undone_changes(job: Job) -> list[Change]:
    """What undo did, file by file."""
    changes = []
    for write in job.writes:
        action = Action.CREATE if write.before is None else Action.DELETE if write.after is None else Action.UPDATE
        changes.append(_change(write.path, action))
    for tree in job.trees:
        action = Action.CREATE if tree.created else Action.DELETE
        changes += [_change(f"{tree.path}/{path}", action) for path in tree.files]
    return changes


def _change(path: str, action: Action) -> Change:
    return Change(path=path, light=TrafficLight.GREEN, reason="put back as it was before", action=action)


def operations(records: list[Record]) -> list[Operation]:
    """The log, newest first."""
    undone: set[str] = set()
    found = []
    for record in reversed(records):
        if record.id not in undone and record.undoes is not None:
            undone.add(record.undoes)
        found.append(
            Operation(
                id=record.id,
                time=record.time,
                command=record.command,
                summary=record.summary,
                files=len(record.writes) + sum(len(tree.files) for tree in record.trees),
                undone=record.id in undone,
            )
        )
    return found
