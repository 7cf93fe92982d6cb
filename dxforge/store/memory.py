"""What the last look at the project found, in ``.dx/snapshots.json``: only a cache, dropped where it cannot be read."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dxforge.errors import WriteError
from dxforge.files import atomic_write
from dxforge.store.survey import Folder, Known

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Remembered:
    """The folders of the last look, the snapshot that holds their files (its commit's id), and the packs of then."""

    commit: str = ""
    packs: Mapping[str, int] = field(default_factory=dict)
    folders: Mapping[bytes, Folder] = field(default_factory=dict)


class MemoryFile:
    """The file at ``path``, read once while it does not change."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: tuple[int, Remembered] = (0, Remembered())

    def load(self) -> Remembered:
        """What was saved; nothing where there is no file, or an unreadable one."""
        try:
            stamp = self._path.stat().st_mtime_ns
        except OSError:
            return Remembered()
        if stamp != self._known[0]:
            self._known = (stamp, _load(self._path))
        return self._known[1]

    def save(self, memory: Remembered) -> None:
        """Write ``memory`` where it is news; a failure only costs time later."""
        if memory == self.load():
            return
        with contextlib.suppress(OSError, WriteError):
            content = json.dumps(_encode_all(memory), separators=(",", ":")).encode()
            atomic_write(self._path, content, temporary=self._path.with_suffix(".tmp"))
            self._known = (self._path.stat().st_mtime_ns, memory)


def _load(path: Path) -> Remembered:
    try:
        data = json.loads(path.read_bytes())
        if data["format"] != _FORMAT:
            return Remembered()
        folders = {os.fsencode(name): _decode(row) for name, row in data["folders"].items()}
        return Remembered(data["commit"], data["packs"], folders)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return Remembered()


def _encode_all(memory: Remembered) -> dict[str, Any]:
    return {
        "format": _FORMAT,
        "commit": memory.commit,
        "packs": dict(memory.packs),
        "folders": {os.fsdecode(name): _encode(row) for name, row in memory.folders.items()},
    }


def _encode(row: Folder) -> list[Any]:
    names = [os.fsdecode(name) for name in row.files]
    stamps = [stamp for stamp, _ in row.files.values()]
    oids = [oid for _, oid in row.files.values()]
    return [row.tree, row.rules, sorted(map(os.fsdecode, row.folders)), names, stamps, oids]


def _decode(row: list[Any]) -> Folder:
    tree, rules, folders, names, stamps, oids = row
    known: list[Known] = [((*stamp,), oid) for stamp, oid in zip(stamps, oids, strict=True)]
    files = dict(zip(map(os.fsencode, names), known, strict=True))
    return Folder(files, set(map(os.fsencode, folders)), tree, None if rules is None else (*rules,))
