"""What is kept of a step's run: what it depended on, what it wrote and what it printed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

Outcome = Literal["ok", "failed", "kept", "running", "uncached"]
"""``kept``: it failed, and its outputs are again those of the run before."""
"""``running``: its build was killed. ``uncached``: it succeeded, and its reason says why that cannot be used again."""

_KINDS = ("file", "dir", "link", "special")
_OUTCOMES = ("ok", "failed", "kept", "running", "uncached")


class Row(NamedTuple):
    """One thing in an output: ``kind`` is "file", "dir", "link" or "special" (which cannot be restored).

    ``mode`` are permissions (of a file or folder), ``what`` is a file's sha256, a link's target or what a special file
    is, ``size`` in bytes.
    """

    kind: str
    mode: int
    what: str
    size: int


Rows = Mapping[str, Row]
"""Path from the project's root -> what is there; folders included, so that empty ones count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One run of a step. The same form is kept of each step's last run, and as the cache's entry of a key."""

    key: str
    outcome: Outcome
    reason: str = ""
    """Why it cannot be used again, for the user."""
    rows: Rows
    duration_s: float = 0.0
    raw_manifest: bytes = b"{}"
    raw_log: bytes = b"[]"

    @property
    def manifest(self) -> dict[str, Any]:
        """See `action.make_manifest`. Read only when asked for: most builds never do."""
        return dict(json.loads(self.raw_manifest))

    @property
    def log(self) -> list[tuple[str, str]]:
        """What it printed, as ("stdout" or "stderr", text) in the order it came."""
        return [(str(stream), str(text)) for stream, text in json.loads(self.raw_log)]

    @property
    def blobs(self) -> dict[str, int]:
        """The contents that its outputs consist of: sha256 -> size."""
        return {row.what: row.size for row in self.rows.values() if row.kind == "file"}


def encode(record: Record) -> bytes:
    """A line with the digest of the rest, then the head, the manifest and the log on a line each."""
    head = {
        "key": record.key,
        "outcome": record.outcome,
        "reason": record.reason,
        "duration_s": round(record.duration_s, 6),
        "rows": [[path, *row] for path, row in record.rows.items()],
    }
    body = b"\n".join([_json(head), record.raw_manifest, record.raw_log])
    return hashlib.sha256(body).hexdigest().encode() + b"\n" + body


def decode(data: bytes) -> Record:
    """The inverse of `encode`.

    Raises:
        ValueError: it was not that: cut off, or with a flipped bit.
    """
    digest, _, body = data.partition(b"\n")
    if hashlib.sha256(body).hexdigest().encode() != digest:
        raise ValueError("the record is damaged")
    raw_head, raw_manifest, raw_log = body.split(b"\n")
    head = json.loads(raw_head)
    try:
        if head["outcome"] not in _OUTCOMES:
            raise ValueError(f"unknown outcome {head['outcome']!r}")
        rows = {path: Row(*row) for path, *row in head["rows"]}
        if any(row.kind not in _KINDS for row in rows.values()):
            raise ValueError("an output is of no known kind")
        return Record(
            key=head["key"],
            outcome=head["outcome"],
            reason=head["reason"],
            rows=rows,
            duration_s=head["duration_s"],
            raw_manifest=raw_manifest,
            raw_log=raw_log,
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"the record has another form: {error}") from error


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def encode_manifest(manifest: Mapping[str, Any]) -> bytes:
    """For ``Record.raw_manifest``."""
    return _json(manifest)


class Transcript:
    """What a program printed, in the order it came; of very much, the beginning and the end.

    Args:
        half: so many characters are kept of each.
    """

    def __init__(self, half: int = 512 * 1024) -> None:
        self._half = half
        self._first: list[tuple[str, str]] = []
        self._last: list[tuple[str, str]] = []
        self._room = half
        self._chars = 0
        self._lost = 0

    def add(self, stream: str, text: str) -> None:
        """``text`` came on ``stream``."""
        if text and self._room > 0:
            head, text = text[: self._room], text[self._room :]
            self._room -= len(head)
            _append(self._first, stream, head)
        if not text:
            return
        _append(self._last, stream, text)
        self._chars += len(text)
        if self._chars > 2 * self._half:
            self._trim()

    def _trim(self) -> None:
        while self._chars > self._half:
            stream, text = self._last[0]
            over = self._chars - self._half
            cut = min(over, len(text))
            self._last[0] = (stream, text[cut:])
            if cut == len(text):
                del self._last[0]
            self._chars -= cut
            self._lost += cut

    def pieces(self) -> list[tuple[str, str]]:
        """What is kept."""
        self._trim()
        gap = [("stderr", f"\n[{self._lost} characters left out]\n")] if self._lost else []
        return [*self._first, *gap, *self._last]

    def encode(self) -> bytes:
        """For ``Record.raw_log``."""
        return _json(self.pieces())


def _append(pieces: list[tuple[str, str]], stream: str, text: str) -> None:
    # Joined where a program writes byte by byte, up to a size at which joining stays cheap.
    if pieces and pieces[-1][0] == stream and len(pieces[-1][1]) < 4096:
        pieces[-1] = (stream, pieces[-1][1] + text)
    else:
        pieces.append((stream, text))
