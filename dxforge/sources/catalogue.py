"""What this user has fetched so far, so that ``--offline`` can choose from it: one small SQLite file in the cache.

It only speeds up and serves ``--offline``; losing it loses no package. So a catalogue that cannot be written is no
error, and a damaged one is begun anew.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dxforge.events import EventBus, Notice
from dxforge.sources.model import Candidate, Layout

if TYPE_CHECKING:
    import sqlite3

_SCHEMA = """
create table if not exists archives (
    kind text, origin text, ref text, version text, filename text, sha256 text, layout text, requires_python text,
    yanked integer, revision text, rev text, subdir text, digests text,
    primary key (kind, origin, ref, filename, rev, subdir, sha256)
);
create table if not exists requirements (sha256 text primary key, lines text);
create table if not exists folders (path text primary key, mark text, sha256 text);
"""
_FORMAT = 1
_WAIT_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """The archive that a folder was packed to while its files bore ``mark`` (sizes, times, inodes)."""

    mark: str
    sha256: str


class Catalogue:
    """The file ``<cache>/catalogue.db``. Thread-safe, and safe beside other processes; made when first written."""

    def __init__(self, cache_dir: Path, events: EventBus) -> None:
        self._file = cache_dir / "catalogue.db"
        self._events = events
        self._lock = threading.Lock()

    # -- archives ---------------------------------------------------------------------------------------------------

    def record(self, candidate: Candidate, origin: str) -> None:
        """Remember a candidate whose archive is now in the cache.

        Args:
            origin: tells apart sources that know different things by the same name, e.g. two indexes.
        """
        row = (
            candidate.kind, origin, candidate.ref, candidate.version, candidate.filename, candidate.sha256,
            candidate.layout.value, candidate.requires_python, int(candidate.yanked), candidate.commit,
            candidate.rev, candidate.subdir, json.dumps(candidate.digests),
        )  # fmt: skip
        self._write("insert or replace into archives values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)

    def archives(self, kind: str, origin: str, ref: str) -> list[Candidate]:
        """All that was fetched of one package; whether the archives are still in the cache is another question."""
        query = (
            "select version, filename, sha256, layout, requires_python, yanked, revision, rev, subdir, digests "
            "from archives where kind = ? and origin = ? and ref = ? order by rowid"
        )
        found = []
        for version, filename, sha256, layout, python, yanked, commit, rev, subdir, digests in self._read(
            query, (kind, origin, ref)
        ):
            candidate = Candidate(
                name="", kind=kind, ref=ref, version=version, filename=filename, sha256=sha256, layout=Layout(layout),
                requires_python=python, yanked=bool(yanked), commit=commit, rev=rev, subdir=subdir,
                digests=tuple((algorithm, value) for algorithm, value in json.loads(digests)),
            )  # fmt: skip
            found.append(candidate)
        return found

    def same(self, candidate: Candidate, origin: str) -> Candidate:
        """``candidate`` with its sha256, where a file of that name and with those digests was fetched before."""
        for known in self.archives(candidate.kind, origin, candidate.ref):
            if known.filename == candidate.filename and known.digests == candidate.digests and known.digests:
                return replace(candidate, sha256=known.sha256)
        return candidate

    # -- requirements -----------------------------------------------------------------------------------------------

    def requirements(self, sha256: str) -> tuple[str, ...] | None:
        """The ``Requires-Dist`` lines of an archive; None where they are not known."""
        for (lines,) in self._read("select lines from requirements where sha256 = ?", (sha256,)):
            return tuple(str(line) for line in json.loads(lines))
        return None

    def record_requirements(self, sha256: str, lines: Sequence[str]) -> None:
        """Remember the ``Requires-Dist`` lines of an archive."""
        self._write("insert or replace into requirements values (?, ?)", (sha256, json.dumps(list(lines))))

    # -- folders ----------------------------------------------------------------------------------------------------

    def packed(self, folder: str) -> Packed | None:
        """What ``folder`` (absolute) was packed to last."""
        for mark, sha256 in self._read("select mark, sha256 from folders where path = ?", (folder,)):
            return Packed(mark=mark, sha256=sha256)
        return None

    def record_packed(self, folder: str, packed: Packed) -> None:
        """Remember what ``folder`` was packed to."""
        self._write("insert or replace into folders values (?, ?, ?)", (folder, packed.mark, packed.sha256))

    # -- the file ---------------------------------------------------------------------------------------------------

    def _read(self, query: str, values: tuple[object, ...]) -> list[tuple[str, ...]]:
        if not self._file.exists():
            return []
        import sqlite3

        try:
            with self._lock, self._connection() as connection:
                return connection.execute(query, values).fetchall()
        except sqlite3.DatabaseError as error:
            self._begin_anew(error)
            return []

    def _write(self, statement: str, values: tuple[object, ...]) -> None:
        import sqlite3

        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with self._lock, self._connection() as connection:
                connection.execute(statement, values)
        except sqlite3.DatabaseError as error:
            self._begin_anew(error)
        except OSError:
            pass  # a cache on a read-only disk; only --offline would have profited

    @contextlib.contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        import sqlite3

        connection = sqlite3.connect(self._file, timeout=_WAIT_S)
        try:
            # A power cut may cost the catalogue, which costs nothing; waiting for the disk would cost time.
            connection.execute("pragma synchronous = off")
            with connection:
                if connection.execute("pragma user_version").fetchone() != (_FORMAT,):
                    connection.executescript(f"{_SCHEMA} pragma user_version = {_FORMAT};")
                yield connection
        finally:
            connection.close()

    def _begin_anew(self, error: sqlite3.DatabaseError) -> None:
        import sqlite3

        if isinstance(error, sqlite3.OperationalError):
            return  # busy, read-only or full: it is whole, only not now
        with contextlib.suppress(OSError):
            self._file.unlink()
        self._events.emit(Notice(text=f"The catalogue of cached packages was damaged and is begun anew ({error})"))
