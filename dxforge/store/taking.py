"""Bringing what is new in a project into the store: looking, reading, packing, building trees."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Container
from dataclasses import dataclass
from pathlib import Path

from dxforge.config.model import SnapshotLimits
from dxforge.events import EventBus, Progress
from dxforge.files import lock_is_held, private_bits
from dxforge.store.memory import Remembered
from dxforge.store.model import Picture, Snapshot
from dxforge.store.objects import object_oid
from dxforge.store.pack import Packed, PackWriter, packed
from dxforge.store.reading import Read, read_all
from dxforge.store.repository import Repository
from dxforge.store.survey import Folder, Memory, Survey, build_trees, look, stamp_of

_LOOKS = 5
_BETWEEN_LOOKS_S = 0.2
_READABLE = stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH


@dataclass(frozen=True, slots=True)
class _Content:
    """A content's id, and its object where it has to be written."""

    oid: str
    item: Packed | None = None


def vouched(repository: Repository, memory: Remembered, newest: Snapshot | None) -> Memory:
    """The memory, without those contents that the store no longer has."""
    if newest is None:
        return {}
    if newest.oid == memory.commit and repository.pack_sizes().items() >= memory.packs.items():
        return memory.folders
    return {
        path: Folder(
            {name: known for name, known in row.files.items() if known[1] in repository},
            row.folders,
            rules=row.rules,
        )
        for path, row in memory.folders.items()
    }


def settled(
    repository: Repository,
    memory: Memory,
    pack: PackWriter,
    *,
    root: Path,
    limits: SnapshotLimits,
    events: EventBus,
    check: Callable[[], None],
) -> tuple[Survey, str]:
    """Look at the project in ``root``, store what is new, build its tree; again where an install was writing meanwhile.

    Args:
        memory: what `vouched` left of the last look.
        pack: gets what ``repository`` lacks.

    Returns:
        What was seen, and the tree's id.

    Raises:
        OSError: the pack cannot be written.
    """
    for attempt in range(_LOOKS):
        before = _operations(root)
        survey = look(os.fsencode(root), memory, limits, check)
        stored = repository.having(len(survey.unread))

        def add(oid: str, data: bytes, stored: Container[str] = stored) -> None:
            if oid not in stored:
                pack.add(packed("tree", data, oid))

        store_contents(survey, pack, stored, events=events, check=check)
        tree = build_trees(survey, add)
        look_again(survey)
        writing = bool(before[0]) and lock_is_held(root / ".dx")
        if attempt == _LOOKS - 1 or (_operations(root) == before and not writing):
            break
        memory = survey.memory()
        check()
        time.sleep(_BETWEEN_LOOKS_S)
    return survey, tree


def _operations(root: Path) -> tuple[frozenset[str], frozenset[str]]:
    """The operations on the project's files that are under way, and those that are done."""
    state = root / ".dx"
    under_way = frozenset(path.parent.name for path in state.glob("journal/*/record.json"))
    return under_way, frozenset(path.name for path in state.glob("operations/*"))


def store_contents(
    survey: Survey, pack: PackWriter, stored: Container[str], *, events: EventBus, check: Callable[[], None]
) -> None:
    """Read what the survey has not, and write into ``pack`` what is not ``stored`` yet.

    Raises:
        OSError: the pack cannot be written.
    """

    def make(content: bytes) -> _Content:
        oid = object_oid("blob", content)
        return _Content(oid) if oid in pack or oid in stored else _Content(oid, packed("blob", content, oid))

    total = len(survey.unread)
    done = 0
    for batch in read_all(survey, make, check):
        for read in batch:
            content = note(survey, read)
            if content is not None and content.item is not None:
                pack.add(content.item)
        done += len(batch)
        events.emit(Progress(phase="snapshot", done=done, total=total))


def hash_contents(survey: Survey, check: Callable[[], None]) -> None:
    """Read what the survey has not, only to know what it is."""
    for batch in read_all(survey, lambda content: _Content(object_oid("blob", content)), check):
        for read in batch:
            note(survey, read)


def note(survey: Survey, read: Read[_Content]) -> _Content | None:
    """Enter into the survey what became of an unread file; returns its content, where it was had."""
    row = survey.folders[read.folder]
    row.tree = ""
    if read.changed:
        survey.changed.add(os.fsdecode(read.folder + read.name))
    if read.made is not None:
        row.files[read.name] = (read.stamp, read.made.oid)
    elif read.reason:
        survey.leave_out(read.folder, read.name, read.stamp[3], read.reason)
    else:
        row.files.pop(read.name, None)
    return read.made


def look_again(survey: Survey) -> None:
    """Note which of the files that were read have changed since."""
    root = survey.root + b"/"
    for folder, name in survey.unread:
        row = survey.folders.get(folder)
        known = row.files.get(name) if row is not None else None
        if known is None:
            continue
        try:
            same = stamp_of(os.lstat(root + folder + name)) == known[0]
        except OSError:
            same = False
        if not same:
            survey.changed.add(os.fsdecode(folder + name))


def private_files(survey: Survey) -> dict[str, int]:
    """The permission bits of files that not everybody may read.

    In a folder that nobody else can enter every file is private, and so is every copy: there is nothing to note.
    """
    if not os.lstat(survey.root).st_mode & (stat.S_IXGRP | stat.S_IXOTH):
        return {}
    return {
        os.fsdecode(path + name): bits
        for path, row in survey.folders.items()
        for name, (stamp, _) in row.files.items()
        if stamp[4] & _READABLE != _READABLE and (bits := private_bits(stamp[4])) is not None
    }


def describe(survey: Survey, tree: str, *, time: str, label: str) -> Snapshot:
    """The snapshot of a survey whose files have all been read and whose trees are built; it has no id yet."""
    sizes = [known[0][3] for row in survey.folders.values() for known in row.files.values()]
    empty = [path for path, row in survey.folders.items() if path and not row.files and not row.folders]
    return Snapshot(
        oid="",
        tree=tree,
        time=time,
        label=label,
        files=len(sizes),
        size_bytes=sum(sizes),
        left_out=tuple(sorted(survey.left_out, key=lambda item: item.path)),
        changed_meanwhile=tuple(sorted(survey.changed)),
        empty_folders=tuple(sorted(os.fsdecode(path[:-1]) for path in empty)),
        hidden_folders=tuple(sorted(survey.hidden)),
        permissions=private_files(survey),
    )


def picture(survey: Survey) -> Picture:
    """A survey whose files have all been read and whose trees are built, as data."""
    return Picture(
        files={path: (entry.mode, entry.oid) for path, entry in survey.files().items()},
        folders=frozenset(os.fsdecode(path[:-1]) for path in survey.folders if path),
        left_out=tuple(survey.left_out),
        hidden_folders=tuple(survey.hidden),
    )
