"""The data of snapshots: frozen, shown everywhere. Pure."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from dxforge.store.tree import Entry

_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A file (or, with a slash at the end, a folder) that is not in the snapshot, and why."""

    path: str
    size_bytes: int
    reason: str

    def to_json(self) -> dict[str, Any]:
        """All fields."""
        return {"path": self.path, "size_bytes": self.size_bytes, "reason": self.reason}


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The project at one moment.

    ``oid`` is the commit's id in the store, ``id`` as many of its first digits as tell it from the others; ``tree`` is
    its tree's. ``time`` is ISO 8601, UTC. ``files`` and ``size_bytes`` count what is in it. All paths are from the
    project's root with ``/``.
    """

    oid: str
    tree: str
    time: str
    id: str = ""
    label: str = ""
    files: int = 0
    size_bytes: int = 0
    left_out: tuple[LeftOut, ...] = ()
    changed_meanwhile: tuple[str, ...] = ()
    """What was being written while the snapshot was taken: each file is whole, but they may not fit together."""
    empty_folders: tuple[str, ...] = ()
    hidden_folders: tuple[str, ...] = ()
    """Folders that held only ignored things: they are not in the snapshot, but were there."""
    permissions: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    """Permission bits of files that not everybody may read; git knows only whether a file is executable."""

    def to_json(self) -> dict[str, Any]:
        """The contract's ``{"id", "time", "label"}``, plus what else is known."""
        return {
            "id": self.id,
            "time": self.time,
            "label": self.label,
            "oid": self.oid,
            "files": self.files,
            "size_bytes": self.size_bytes,
            "left_out": [item.to_json() for item in self.left_out],
            "changed_meanwhile": list(self.changed_meanwhile),
            "empty_folders": list(self.empty_folders),
        }


def encode_message(snapshot: Snapshot) -> bytes:
    """What is said of a snapshot, as its commit's message: a line for people, then JSON."""
    title = " ".join(snapshot.label.replace("\0", " ").split()) or "snapshot"
    data = {
        "version": _VERSION,
        "label": snapshot.label,
        "time": snapshot.time,
        "files": snapshot.files,
        "size_bytes": snapshot.size_bytes,
        "left_out": [[item.path, item.size_bytes, item.reason] for item in snapshot.left_out],
        "changed_meanwhile": snapshot.changed_meanwhile,
        "empty_folders": snapshot.empty_folders,
        "hidden_folders": snapshot.hidden_folders,
        "permissions": dict(snapshot.permissions),
    }
    return title.encode("utf-8", "backslashreplace") + b"\n\n" + json.dumps(data, ensure_ascii=True).encode() + b"\n"


def decode_message(message: bytes, *, oid: str, tree: str) -> Snapshot:
    """The snapshot that a commit's message speaks of; its ``id`` is not yet known.

    Raises:
        ValueError: it is no snapshot's.
    """
    try:
        data = json.loads(message.rpartition(b"\n\n")[2])
        if data["version"] != _VERSION:
            raise ValueError(f"version {data['version']}")
        return Snapshot(
            oid=oid,
            tree=tree,
            time=str(data["time"]),
            label=str(data["label"]),
            files=int(data["files"]),
            size_bytes=int(data["size_bytes"]),
            left_out=tuple(
                LeftOut(path=str(path), size_bytes=int(size), reason=str(reason))
                for path, size, reason in data["left_out"]
            ),
            changed_meanwhile=tuple(map(str, data["changed_meanwhile"])),
            empty_folders=tuple(map(str, data["empty_folders"])),
            hidden_folders=tuple(map(str, data["hidden_folders"])),
            permissions=MappingProxyType({str(path): int(bits) & 0o777 for path, bits in data["permissions"].items()}),
        )
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error


def with_ids(snapshots: list[Snapshot], *, at_least: int = 8) -> list[Snapshot]:
    """The same with ids: the shortest beginnings that are all different."""
    length = at_least
    oids = {snapshot.oid for snapshot in snapshots}
    while len({oid[:length] for oid in oids}) < len(oids):
        length += 1
    return [dataclasses.replace(snapshot, id=snapshot.oid[:length]) for snapshot in snapshots]


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A whole project as data: a snapshot's, or as it is on disk.

    ``files`` are modes and contents' ids by path from the root; ``folders`` every folder that holds one or is empty.
    """

    files: Mapping[str, tuple[int, str]]
    folders: frozenset[str]
    left_out: tuple[LeftOut, ...] = ()
    hidden_folders: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FileChange:
    """One file that differs: ``before`` and ``after``, None where there is none."""

    path: str
    before: Entry | None
    after: Entry | None

    def to_json(self) -> dict[str, Any]:
        """The path and both modes in octal."""
        modes = [None if entry is None else f"{entry.mode:o}" for entry in (self.before, self.after)]
        return {"path": self.path, "mode_before": modes[0], "mode_after": modes[1]}


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotDiff:
    """What differs between two states of a project, sorted by path. A file that became a symlink is changed."""

    added: tuple[FileChange, ...]
    removed: tuple[FileChange, ...]
    changed: tuple[FileChange, ...]
    added_folders: tuple[str, ...] = ()
    """Only those that are empty in the newer state; likewise ``removed_folders`` in the older."""
    removed_folders: tuple[str, ...] = ()
    read: Callable[[FileChange], str] = field(default=lambda _: "", repr=False, compare=False)

    def __bool__(self) -> bool:
        """Whether anything differs."""
        return bool(self.added or self.removed or self.changed or self.added_folders or self.removed_folders)

    def text(self, path: str) -> str:
        """The unified diff of one file, as git writes it; "" where nothing of it differs.

        Raises:
            SnapshotDamagedError: a content cannot be read.
        """
        change = next((item for item in (*self.added, *self.removed, *self.changed) if item.path == path), None)
        return "" if change is None else self.read(change)

    def to_json(self) -> dict[str, Any]:
        """All paths, with modes."""
        return {
            "added": [change.to_json() for change in self.added],
            "removed": [change.to_json() for change in self.removed],
            "changed": [change.to_json() for change in self.changed],
            "added_folders": list(self.added_folders),
            "removed_folders": list(self.removed_folders),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class GitObject:
    """One object of the store: git's id, kind (blob, tree, commit) and size; ``read`` brings its content."""

    oid: str
    kind: str
    size: int
    read: Callable[[], bytes] = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneReport:
    """What pruning did: the snapshots that are no more, and by how many bytes the store became smaller."""

    removed: tuple[Snapshot, ...] = ()
    freed_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairReport:
    """What repairing found: contents put back from the project, and snapshots that could not be made whole."""

    healed: int = 0
    lost: tuple[Snapshot, ...] = ()
    kept_in: str = ""
    """Where the damaged packs were put aside, "" where there were none."""
