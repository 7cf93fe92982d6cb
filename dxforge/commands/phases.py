"""Work that is counted while it goes on (`Progress`), as bars."""

from __future__ import annotations

from dataclasses import dataclass

from dxforge.commands.view import Bar, Span, line, size
from dxforge.events import Progress

LABELS = {
    "resolve": "Resolving",
    "download": "Downloading",
    "unpack": "Unpacking",
    "merge": "Comparing",
    "apply": "Writing",
    "snapshot": "Saving",
    "upload": "Uploading",
    "fetch": "Fetching",
    "analyze": "Reading",
}
IN_BYTES = frozenset({"download", "upload", "fetch"})
_SHOWN_CHARS = 48


@dataclass(frozen=True, slots=True, kw_only=True)
class _Count:
    done: int
    total: int | None


class Phases:
    """A bar for each phase, in the order in which they began; all downloads share one. Not thread-safe."""

    def __init__(self) -> None:
        self._counts: dict[str, dict[str, _Count]] = {}
        self._items: dict[str, str] = {}

    def __bool__(self) -> bool:
        return bool(self._counts)

    def take(self, event: Progress) -> None:
        """Note how far a phase is."""
        # Files are downloaded side by side; everything else counts for itself.
        item = event.item if event.phase == "download" else ""
        self._counts.setdefault(event.phase, {})[item] = _Count(done=event.done, total=event.total)
        self._items[event.phase] = event.item

    def bars(self) -> list[Bar]:
        """How far all are."""
        return [self._bar(phase, list(counts.values())) for phase, counts in self._counts.items()]

    def _bar(self, phase: str, counts: list[_Count]) -> Bar:
        done = sum(count.done for count in counts)
        totals = [count.total for count in counts if count.total is not None]
        total = sum(totals) if len(totals) == len(counts) else None
        write = size if phase in IN_BYTES else str
        amount = write(done) if total is None else f"{write(done)} of {write(total)}"
        item = self._items[phase]
        item = "" if done == total else item if len(item) <= _SHOWN_CHARS else f"…{item[1 - _SHOWN_CHARS :]}"
        label = line(LABELS.get(phase, phase.capitalize()))
        return Bar(label=label, done=done, total=total, amount=line(amount, Span(f"  {item}" if item else "", "dim")))
