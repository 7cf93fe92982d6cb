"""What an operation writes, and how it stands in ``record.json``."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from dxforge.store.tree import Entry, Tree


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """One file that changes: from ``before`` to ``after`` (None = no file). ``path`` is from the project's root.

    ``content`` is the new content; None where ``after`` is None or the stream of contents brings it.
    """

    path: str
    before: Entry | None
    after: Entry | None
    content: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeWrite:
    """A whole folder that appears (``created``) or disappears; ``files`` are relative to ``path``."""

    path: str
    files: Tree
    created: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Everything that one operation writes, decided beforehand. The texts of ``dx.lock`` are None where it is absent.

    ``contents`` brings what the writes do not carry themselves: pairs of a path from the project's root and bytes, in
    any order, for every created tree's file and every write without content.
    """

    command: str
    summary: str
    writes: tuple[Write, ...] = ()
    trees: tuple[TreeWrite, ...] = ()
    lock_before: str | None = None
    lock_after: str | None = None
    contents: Callable[[], Iterable[tuple[str, bytes]]] = tuple
    undoes: str | None = None
    folders: frozenset[str] | None = None
    """The only folders that may go when they become empty; None: any below the packages' folder."""
    make: frozenset[str] = frozenset()
    """Folders to be made, empty ones too."""
    drop: frozenset[str] = frozenset()
    """Folders to be removed where nothing is left in them, also where nothing of this job was."""
    permissions: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    """The bits of new files that not everybody may read, by path from the root."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A job as it stands in ``record.json``."""

    id: str
    time: str
    command: str
    summary: str
    folder: Path
    writes: tuple[Write, ...] = ()
    trees: tuple[TreeWrite, ...] = ()
    lock_before: str | None = None
    lock_after: str | None = None
    undoes: str | None = None
    made: frozenset[str] = frozenset()
    """The folders that were not there before."""
    folders: frozenset[str] | None = None
    make: frozenset[str] = frozenset()
    drop: frozenset[str] = frozenset()
    own: tuple[int, ...] = ()
    """The writes whose contents no archive has; copies lie one after the other in ``own``, for undo."""

    def slot(self, number: int) -> Path:
        """Where write ``number`` keeps what is not in the tree."""
        return self.folder / "files" / str(number)

    @property
    def own_file(self) -> Path:
        """The copies of contents that no archive has."""
        return self.folder / "own"

    def after(self, number: int) -> bytes | None:
        """A copy of what write ``number`` wrote, where one was kept; the tree's file may have been edited since."""
        if number not in self.own:
            return None
        sizes = [entry.size for kept in self.own if kept <= number and (entry := self.writes[kept].after) is not None]
        try:
            with self.own_file.open("rb") as stream:
                stream.seek(sum(sizes[:-1]))
                return stream.read(sizes[-1])
        except OSError:
            return None

    def in_new_trees(self) -> frozenset[str]:
        """Those of the folders to be made that come with a created tree."""
        trees = tuple(f"{tree.path}/" for tree in self.trees if tree.created)
        return frozenset(folder for folder in self.make if f"{folder}/".startswith(trees)) if trees else frozenset()

    def tree_slot(self, number: int) -> Path:
        """The same for tree ``number``."""
        return self.folder / "trees" / str(number)


def moved(record: Record, folder: Path) -> Record:
    """The record, now in ``folder``."""
    return dataclasses.replace(record, folder=folder)


def _entry_json(entry: Entry | None) -> list[Any] | None:
    return None if entry is None else [entry.mode, entry.oid, entry.size]


def encode(record: Record) -> dict[str, Any]:
    """The record as JSON."""
    return {
        "version": 1,
        "id": record.id,
        "time": record.time,
        "command": record.command,
        "summary": record.summary,
        "undoes": record.undoes,
        "made": sorted(record.made),
        "folders": None if record.folders is None else sorted(record.folders),
        "make": sorted(record.make),
        "drop": sorted(record.drop),
        "own": list(record.own),
        "lock_before": record.lock_before,
        "lock_after": record.lock_after,
        "writes": [[write.path, _entry_json(write.before), _entry_json(write.after)] for write in record.writes],
        "trees": [
            [tree.path, tree.created, {path: _entry_json(entry) for path, entry in tree.files.items()}]
            for tree in record.trees
        ],
    }


def decode(folder: Path) -> Record:
    """Read the record of the operation in ``folder``.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no record.
    """
    text = (folder / "record.json").read_bytes()
    try:
        return _decode(json.loads(text), folder)
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error


def _decode(data: dict[str, Any], folder: Path) -> Record:
    def entry(value: list[Any] | None) -> Entry | None:
        return None if value is None else Entry(*value)

    return Record(
        id=data["id"],
        time=data["time"],
        command=data["command"],
        summary=data["summary"],
        folder=folder,
        undoes=data["undoes"],
        made=frozenset(data["made"]),
        folders=None if data["folders"] is None else frozenset(data["folders"]),
        make=frozenset(data.get("make", ())),
        drop=frozenset(data.get("drop", ())),
        own=tuple(int(number) for number in data["own"]),
        lock_before=data["lock_before"],
        lock_after=data["lock_after"],
        writes=tuple(
            Write(path=path, before=entry(before), after=entry(after)) for path, before, after in data["writes"]
        ),
        trees=tuple(
            TreeWrite(path=path, created=created, files={name: Entry(*value) for name, value in files.items()})
            for path, created, files in data["trees"]
        ),
    )
