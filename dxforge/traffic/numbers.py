"""The small numbers of hunks, kept in ``.dx/state.db`` so that ``--hunk 2`` means the same hunk until it is gone."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3

_SCHEMA = """
CREATE TABLE IF NOT EXISTS hunk (
    path TEXT NOT NULL, proposal TEXT NOT NULL, digest TEXT NOT NULL, number INTEGER NOT NULL,
    PRIMARY KEY (path, proposal, digest)
) WITHOUT ROWID
"""


@dataclass(frozen=True, slots=True)
class Numbered:
    """The hunks of one proposal, in the file's order.

    Args:
        path: the file, from the project's root.
        proposal: what identifies the proposal: the incoming file's blob id, "" for a deletion.
        digests: the hunks.
    """

    path: str
    proposal: str
    digests: Sequence[str]


class HunkNumbers:
    """Numbers by (path, proposal, digest); a number is never given to a second hunk of the same proposal.

    Where the database cannot be written (a read-only checkout), numbers follow the hunks' order.
    """

    def __init__(self, state: Path) -> None:
        self._file = state / "state.db"

    def of(self, path: str, proposal: str, digests: Sequence[str]) -> list[str]:
        """The number of each digest of one proposal, as text; see :class:`Numbered`."""
        return self.of_all([Numbered(path, proposal, digests)])[0]

    def of_all(self, proposals: Sequence[Numbered]) -> list[list[str]]:
        """The same for many proposals, in one transaction."""
        import sqlite3

        if not proposals:
            return []
        try:
            with contextlib.closing(sqlite3.connect(self._file, timeout=10, isolation_level=None)) as database:
                # Where another is just making it, this fails at once; then that other one sets the mode.
                with contextlib.suppress(sqlite3.OperationalError):
                    database.execute("PRAGMA journal_mode=WAL")
                database.execute(_SCHEMA)
                database.execute("BEGIN IMMEDIATE")
                found = [_number(database, proposal) for proposal in proposals]
                database.execute("COMMIT")
        except sqlite3.Error:
            found = [{digest: number for number, digest in enumerate(known.digests, 1)} for known in proposals]
        return [
            [str(known[digest]) for digest in proposal.digests]
            for known, proposal in zip(found, proposals, strict=True)
        ]


def _number(database: sqlite3.Connection, proposal: Numbered) -> dict[str, int]:
    key = (proposal.path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"), proposal.proposal)
    rows = database.execute("SELECT digest, number FROM hunk WHERE path = ? AND proposal = ?", key)
    known: dict[str, int] = dict(rows)
    for digest in proposal.digests:
        if digest not in known:
            known[digest] = max(known.values(), default=0) + 1
            database.execute("INSERT INTO hunk VALUES (?, ?, ?, ?)", (*key, digest, known[digest]))
    return known
