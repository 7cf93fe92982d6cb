"""The small numbers of hunks, kept in ``.dx/state.db`` so that ``--hunk 2`` means the same hunk until it is gone."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

_SCHEMA = """
CREATE TABLE IF NOT EXISTS hunk (
    path TEXT NOT NULL, proposal TEXT NOT NULL, digest TEXT NOT NULL, number INTEGER NOT NULL,
    PRIMARY KEY (path, proposal, digest)
) WITHOUT ROWID
"""


class HunkNumbers:
    """Numbers by (path, proposal, digest); a number is never given to a second hunk of the same proposal.

    Where the database cannot be written (a read-only checkout), numbers follow the hunks' order.
    """

    def __init__(self, state: Path) -> None:
        self._file = state / "state.db"

    def of(self, path: str, proposal: str, digests: Sequence[str]) -> list[str]:
        """The number of each digest, as text.

        Args:
            path: the file, from the project's root.
            proposal: what identifies the proposal: the incoming file's blob id, "" for a deletion.
            digests: the hunks, in the file's order.
        """
        import sqlite3

        key = (path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"), proposal)
        try:
            with contextlib.closing(sqlite3.connect(self._file, timeout=10, isolation_level=None)) as database:
                database.execute("PRAGMA journal_mode=WAL")
                database.execute(_SCHEMA)
                database.execute("BEGIN IMMEDIATE")
                rows = database.execute("SELECT digest, number FROM hunk WHERE path = ? AND proposal = ?", key)
                known: dict[str, int] = dict(rows)
                for digest in digests:
                    if digest not in known:
                        known[digest] = max(known.values(), default=0) + 1
                        database.execute("INSERT INTO hunk VALUES (?, ?, ?, ?)", (*key, digest, known[digest]))
                database.execute("COMMIT")
        except sqlite3.Error:
            known = {digest: number for number, digest in enumerate(digests, 1)}
        return [str(known[digest]) for digest in digests]
