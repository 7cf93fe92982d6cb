"""Putting an operation's new contents beside the tree, synced, before anything in the tree is touched."""

from __future__ import annotations

import json
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from dxforge.errors import ApplyError
from dxforge.events import EventBus, Progress
from dxforge.files import atomic_write, sync_folder, sync_tree, write_error, write_new
from dxforge.store.tree import Entry, blob_oid
from dxforge.traffic.record import Job, Record, encode

_WRITERS = 2
"""More would only wait for each other: what is not the kernel's work is under one lock."""
_BATCH = 64
_AHEAD = 4
"""Batches that may wait for a writer, so that memory stays bounded."""

_Staged = tuple[str, str, bytes, Entry]
"""Where it is written, the path that it is for, content, entry."""


def stage(record: Record, job: Job, *, events: EventBus, checkpoint: Callable[[str], None]) -> int:
    """Write every new content of ``job`` into its slot, then ``record.json``.

    Args:
        record: the job as it will stand in ``record.json``; its folder must not exist.
        job: what to write.
        events: hears Progress ("apply", files).
        checkpoint: called between any two steps.

    Returns:
        When everything had been written, in nanoseconds.

    Raises:
        WriteError: the file system refused.
        ApplyError: a content is missing, or not what the plan says.
    """
    checkpoint("stage")
    try:
        (record.folder / "files").mkdir(parents=True)
        streamed = _slots(record, job)
        _make_folders(record.folder, {slot.rpartition("/")[0] for slot, _ in streamed.values()} | _empty(record))
        synced = _write_all(_contents(record, job, streamed), events, total=len(streamed))
        synced += _keep_own(record, job)
        _restrict(record, job)
        checkpoint("staged")
        sync_tree(record.folder, synced)
        staged_ns = time.time_ns()
        atomic_write(record.folder / "record.json", json.dumps(encode(record)).encode())
        sync_folder(record.folder.parent)
    except OSError as error:
        raise write_error(error, error.filename or record.folder, "cannot be staged") from error
    checkpoint("recorded")
    return staged_ns


def _slots(record: Record, job: Job) -> dict[str, tuple[str, Entry]]:
    """Where each content goes that the job's stream brings, by its path from the project's root."""
    slots: dict[str, tuple[str, Entry]] = {}
    for number, write in enumerate(job.writes):
        if write.after is not None and write.content is None:
            slots[write.path] = record.slot(number).as_posix(), write.after
    for number, tree in enumerate(job.trees):
        if tree.created:
            slot = record.tree_slot(number).as_posix()
            slots.update({f"{tree.path}/{path}": (f"{slot}/{path}", entry) for path, entry in tree.files.items()})
    return slots


def _make_folders(top: Path, folders: set[str]) -> None:
    known = {top.as_posix(), (top / "files").as_posix()}
    wanted = {(top / "trees").as_posix()}
    for folder in folders:
        while folder not in known and folder not in wanted:
            wanted.add(folder)
            folder = folder.rpartition("/")[0]  # noqa: PLW2901
    for folder in sorted(wanted):
        os.mkdir(folder)


def _empty(record: Record) -> set[str]:
    """The folders to be made inside of created trees, which come along with those."""
    return {
        record.tree_slot(number).as_posix() + folder.removeprefix(tree.path)
        for number, tree in enumerate(record.trees)
        if tree.created
        for folder in record.make
        if folder.startswith(f"{tree.path}/")
    }


def _restrict(record: Record, job: Job) -> None:
    """Let nobody read a copy who may not read the file."""
    if not job.permissions:
        return
    slots = {write.path: record.slot(number) for number, write in enumerate(job.writes) if write.after is not None}
    for number, tree in enumerate(job.trees):
        if tree.created:
            slots.update({f"{tree.path}/{path}": record.tree_slot(number) / path for path in tree.files})
    for path, bits in job.permissions.items():
        if path in slots:
            os.chmod(slots[path], bits)


def _contents(record: Record, job: Job, streamed: dict[str, tuple[str, Entry]]) -> Iterator[_Staged]:
    for number, write in enumerate(job.writes):
        if write.after is not None and write.content is not None:
            if blob_oid(write.content) != write.after.oid:
                raise _other_content(write.path)
            yield record.slot(number).as_posix(), write.path, write.content, write.after
    missing = dict(streamed)
    for path, content in job.contents():  # each checked by the package that it comes from
        slot, entry = missing.pop(path)
        yield slot, path, content, entry
    if missing:
        raise ApplyError("its content did not come", where=next(iter(missing)), hint="Run the command again")


def _write_all(contents: Iterable[_Staged], events: EventBus, *, total: int) -> list[str]:
    """Write what comes, in several threads where it is much; returns what was written."""
    written: list[str] = []
    waiting: deque[Future[None]] = deque()
    batch: list[_Staged] = []
    with ThreadPoolExecutor(_WRITERS, thread_name_prefix="dxforge-write") as pool:
        for item in contents:
            written.append(item[0])
            batch.append(item)
            if len(batch) < _BATCH:
                continue
            waiting.append(pool.submit(_write_batch, batch))
            batch = []
            if len(waiting) > _AHEAD:
                waiting.popleft().result()
                events.emit(Progress(phase="apply", done=min(len(written), total), total=total))
        _write_batch(batch)
        for future in waiting:
            future.result()
    if total:
        events.emit(Progress(phase="apply", done=total, total=total))
    return written


def _write_batch(batch: list[_Staged]) -> None:
    for slot, path, content, entry in batch:
        if len(content) != entry.size:
            raise _other_content(path)
        try:
            write_new(slot, content, entry.mode)
        except OSError as error:
            raise write_error(error, path, "cannot be written") from error


def _other_content(path: str) -> ApplyError:
    return ApplyError("its content is not what the plan says", where=path, hint="Run the command again")


def _keep_own(record: Record, job: Job) -> list[str]:
    """Copies, for undo, of contents that no archive has: what is in the tree by then may have been edited further."""
    own = [write.content for write in job.writes if write.content is not None]
    if not own:
        return []
    with record.own_file.open("wb") as stream:
        stream.writelines(own)
    return [str(record.own_file)]
