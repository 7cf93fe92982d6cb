"""What a build has that is worth having elsewhere too: kept results, their contents, and what was built last."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from dxforge.build.cache import LocalCache
from dxforge.build.last import last_build
from dxforge.build.planner import Records
from dxforge.build.record import Record, Row, decode
from dxforge.build.through import ReadThrough, is_digest
from dxforge.events import EventBus
from dxforge.files import prepare_state_dir, project_lock

_WAIT_S = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptResult:
    """A result in the cache: its key, its file's bytes, and the contents it consists of (sha256 -> size)."""

    key: str
    data: bytes
    blobs: dict[str, int]


class BuildStore:
    """``.dx/build`` of a project, for those who carry it elsewhere and back."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / ".dx" / "build"
        self._cache = LocalCache(self.folder)

    def results(self) -> Iterator[KeptResult]:
        """Every result that is kept, with all its contents, by key. Nothing is locked: it may vanish meanwhile."""
        try:
            names = sorted(os.listdir(self.folder / "actions"))
        except OSError:
            return
        for name in names:
            with contextlib.suppress(OSError, ValueError):
                data = (self.folder / "actions" / name).read_bytes()
                record = decode(data)
                whole = all(self._cache.has(digest, size) for digest, size in record.blobs.items())
                if record.outcome == "ok" and f"{record.key}.json" == name and whole:
                    yield KeptResult(key=record.key, data=data, blobs=record.blobs)

    def blob(self, digest: str) -> Path:
        """Where a content lies."""
        return self.folder / "blobs" / digest[:2] / digest

    def has_blob(self, digest: str, size: int) -> bool:
        """Whether a content is there."""
        try:
            return is_digest(digest) and self._cache.has(digest, size)
        except OSError:
            return False

    def forget(self, digests: Iterable[str]) -> None:
        """Drop contents that turned out to be damaged; results that need them are no longer whole."""
        for digest in filter(is_digest, digests):
            self.blob(digest).unlink(missing_ok=True)

    def has_result(self, key: str) -> bool:
        """Whether a result is there."""
        return is_digest(key) and (self.folder / "actions" / f"{key}.json").exists()

    def products(self) -> dict[str, Row]:
        """What the last build's steps have put out: by path from the root, empty where it did not succeed."""
        report = last_build(self.root)
        if report is None or not report.ok:
            return {}
        records = Records(self.folder)
        found: dict[str, Row] = {}
        for result in report.steps:
            record = records.get(result.step.id)
            if record is not None and record.outcome in ("ok", "uncached"):
                found.update(record.rows)
        return found

    @contextlib.contextmanager
    def intake(self, events: EventBus, check: Callable[[], None]) -> Iterator[Intake]:
        """Take results over from elsewhere; keeps builds waiting until it is left.

        Raises:
            ProjectBusyError: a build goes on for too long.
            WriteError: the project cannot be written.
        """
        prepare_state_dir(self.root)
        self.folder.mkdir(exist_ok=True)
        with project_lock(self.folder, wait_s=_WAIT_S, events=events, check=check):
            taking = Intake(self)
            yield taking
            taking.finish()


class Intake:
    """What came from elsewhere, in any order; a result counts once its contents are all there.

    Attributes:
        results: how many were taken over.
    """

    def __init__(self, store: BuildStore) -> None:
        self.results = 0
        self._store = store
        self._cache = ReadThrough(store.folder, _Nowhere())
        self._records: list[Record] = []

    def blob(self, digest: str, content: bytes | memoryview) -> None:
        """Take a content."""
        if is_digest(digest):
            self._cache.take(digest, content)

    def result(self, key: str, data: bytes) -> None:
        """Take a result; one that is none is left aside."""
        with contextlib.suppress(ValueError):
            record = decode(data)
            if is_digest(key) and record.key == key and record.outcome == "ok":
                self._records.append(record)

    def finish(self) -> None:
        """Keep the results whose contents are there."""
        for record in self._records:
            if all(self._store.has_blob(digest, size) for digest, size in record.blobs.items()):
                self._cache.put(record)
                self.results += 1
        self._cache.prune([record.key for record in self._records])


class _Nowhere:
    def record(self, key: str) -> bytes | None:  # noqa: ARG002
        return None

    def contents(self, digests: object) -> dict[str, bytes]:  # noqa: ARG002
        return {}


def listing(rows: dict[str, Row]) -> bytes:
    """Products as a text that travels with them: JSON of path -> kind, mode, sha256 (or target), size."""
    return json.dumps({path: list(row) for path, row in sorted(rows.items())}, indent=0).encode()
