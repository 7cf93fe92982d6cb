"""Running contenders by turns, and what they cost."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

Say = Callable[[str], None]

_LAUNCH = Path(__file__).with_name("launch.py")
# Linux counts in KiB, macOS in bytes.
RSS_UNIT = 1 if sys.platform == "darwin" else 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """One run: seconds on the clock, and peak memory of the process and those it waited for."""

    seconds: float
    peak_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """Something to measure: ``run`` does it once and says what it cost; ``prepare`` runs before, off the clock."""

    name: str
    run: Callable[[], Cost]
    prepare: Callable[[], object] = field(default=lambda: None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """All runs of one contender."""

    name: str
    costs: tuple[Cost, ...]

    @property
    def seconds(self) -> float:
        """The median."""
        return statistics.median(cost.seconds for cost in self.costs)

    @property
    def peak_bytes(self) -> float:
        """The median."""
        return statistics.median(cost.peak_bytes for cost in self.costs)

    @property
    def spread(self) -> str:
        """Fastest to slowest."""
        seconds = sorted(cost.seconds for cost in self.costs)
        return f"{seconds[0]:.2f}-{seconds[-1]:.2f}"


def by_turns(contenders: Sequence[Contender], *, rounds: int, say: Say) -> list[Result]:
    """Run every contender once per round, each round starting with another: machines are noisy, so all share it."""
    costs: dict[str, list[Cost]] = {contender.name: [] for contender in contenders}
    for number in range(rounds):
        start = number % len(contenders)
        for contender in (*contenders[start:], *contenders[:start]):
            contender.prepare()
            os.sync()  # what came before is not for this run to write to disk
            cost = contender.run()
            costs[contender.name].append(cost)
            say(f"  {number + 1}/{rounds} {contender.name}: {cost.seconds:.3f} s, {cost.peak_bytes / 2**20:.0f} MiB")
    return [Result(name=name, costs=tuple(runs)) for name, runs in costs.items()]


def process(
    command: Sequence[str | Path],
    *,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    expect: tuple[int, ...] = (0,),
) -> Cost:
    """Run a whole process and measure it.

    Raises:
        RuntimeError: it ended with an exit status that was not expected.
    """
    with tempfile.TemporaryDirectory() as folder:
        report, output = Path(folder, "report"), Path(folder, "output")
        with output.open("wb") as stream:
            subprocess.run(
                [sys.executable, "-I", "-S", _LAUNCH, report, *command],
                cwd=cwd,
                env={**os.environ, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                check=True,
            )
        seconds, peak, status = report.read_text().split()
        if int(status) not in expect:
            text = output.read_text(errors="replace")[-4000:]
            raise RuntimeError(f"{command} ended with {status}:\n{text}")
    return Cost(seconds=float(seconds), peak_bytes=int(peak) * RSS_UNIT)
