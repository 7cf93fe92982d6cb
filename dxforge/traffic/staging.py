"""Putting an operation's new contents beside the tree, synced, before anything in the tree is touched."""

from __future__ import annotations

import json
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

_WRITERS = 4
"""Creating a file waits for the file system more than for us."""
_AHEAD = 256
_FEW = 64
_PROGRESS_EVERY = 200

_Staged = tuple[Path, str, bytes, Entry]


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
        _make_folders(record.folder, {slot.parent for slot, _ in streamed.values()})
        synced = _write_all(_contents(record, job, streamed), events, total=len(streamed))
        _keep_own(record, job)
        checkpoint("staged")
        sync_tree(record.folder, synced)
        staged_ns = time.time_ns()
        atomic_write(record.folder / "record.json", json.dumps(encode(record)).encode())
        sync_folder(record.folder.parent)
    except OSError as error:
        raise write_error(error, error.filename or record.folder, "cannot be staged") from error
    checkpoint("recorded")
    return staged_ns


def _slots(record: Record, job: Job) -> dict[str, tuple[Path, Entry]]:
    """Where each content goes that the job's stream brings, by its path from the project's root."""
    slots: dict[str, tuple[Path, Entry]] = {}
    for number, write in enumerate(job.writes):
        if write.after is not None and write.content is None:
            slots[write.path] = record.slot(number), write.after
    for number, tree in enumerate(job.trees):
        if tree.created:
            slot = record.tree_slot(number)
            slots.update({f"{tree.path}/{path}": (slot / path, entry) for path, entry in tree.files.items()})
    return slots


def _make_folders(top: Path, folders: set[Path]) -> None:
    wanted = {top / "trees"}
    for folder in folders:
        while folder != top and folder not in wanted:
            wanted.add(folder)
            folder = folder.parent  # noqa: PLW2901
    for folder in sorted(wanted):
        folder.mkdir(exist_ok=True)


def _contents(record: Record, job: Job, streamed: dict[str, tuple[Path, Entry]]) -> Iterator[_Staged]:
    for number, write in enumerate(job.writes):
        if write.after is not None and write.content is not None:
            yield record.slot(number), write.path, write.content, write.after
    missing = dict(streamed)
    for path, content in job.contents():
        slot, entry = missing.pop(path)
        yield slot, path, content, entry
    if missing:
        raise ApplyError("its content did not come", where=next(iter(missing)), hint="Run the command again")


def _write_all(contents: Iterable[_Staged], events: EventBus, *, total: int) -> list[Path]:
    """Write what comes, in several threads where it is much; returns what was written."""
    written: list[Path] = []
    waiting: deque[Future[None]] = deque()
    with ThreadPoolExecutor(_WRITERS, thread_name_prefix="dxforge-write") as pool:
        for item in contents:
            if total <= _FEW:
                _write_one(*item)
            else:
                waiting.append(pool.submit(_write_one, *item))
                if len(waiting) > _AHEAD:
                    waiting.popleft().result()
            written.append(item[0])
            if len(written) % _PROGRESS_EVERY == 0:
                events.emit(Progress(phase="apply", done=min(len(written), total), total=total))
        for future in waiting:
            future.result()
    if total:
        events.emit(Progress(phase="apply", done=total, total=total))
    return written


def _write_one(slot: Path, path: str, content: bytes, entry: Entry) -> None:
    if len(content) != entry.size or blob_oid(content) != entry.oid:
        raise ApplyError("its content is not what the plan says", where=path, hint="Run the command again")
    try:
        write_new(slot, content, entry.mode)
    except OSError as error:
        raise write_error(error, path, "cannot be written") from error


def _keep_own(record: Record, job: Job) -> None:
    """Copies, for undo, of contents that no archive has: what is in the tree by then may have been edited further."""
    own = [write.content for write in job.writes if write.content is not None]
    if own:
        with record.own_file.open("wb") as stream:
            stream.writelines(own)
