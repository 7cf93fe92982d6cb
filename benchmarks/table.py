"""The README's table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.measure import Result


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table."""

    what: str
    ours: str
    theirs: str
    ratio: str
    goal: str
    memory: str


def row(what: str, peer: str, results: Sequence[Result], goal: float | None) -> Row:
    """Ours beside one peer's; ``goal`` is ours over theirs at most (None: for information)."""
    ours, theirs = results
    ratio = ours.seconds / theirs.seconds
    slower = goal is None or goal >= 1
    return Row(
        what=what,
        ours=f"{ours.seconds:.2f} s ({ours.spread})",
        theirs=f"{theirs.seconds:.2f} s ({theirs.spread}), `{peer}`",
        ratio=f"{ratio:.2f}×" if slower else f"{1 / ratio:.0f}× faster",
        goal="–" if goal is None else f"≤ {goal:.1f}×" if slower else f"≥ {1 / goal:.0f}× faster",
        memory=memory(results),
    )


def memory(results: Sequence[Result]) -> str:
    """Peaks in MiB, ours first."""
    return " / ".join(f"{result.peak_bytes / 2**20:.0f}" if result.peak_bytes else "–" for result in results)
