"""What a build tells while it goes on."""

from __future__ import annotations

from dataclasses import dataclass

from dxforge.build.model import Step, StepResult
from dxforge.events import Event, Notice


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildStarted(Event):
    """A build of ``steps`` begins, in the order of ``dx.toml``; ``needs`` are tools that it keeps running."""

    steps: tuple[Step, ...]
    needs: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepStarted(Event):
    """A step's program is about to run; ``why`` it has to."""

    index: int
    tool: str
    args: tuple[str, ...]
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepOutput(Event):
    """Output of a step: as it comes, or (``replayed``) what a cached step printed when it ran.

    ``stream`` is "stdout" or "stderr"; ``text`` need not end at a line.
    """

    index: int
    tool: str
    stream: str
    text: str
    replayed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFinished(Event):
    """A step is done: built, restored, found up to date, failed or skipped."""

    result: StepResult


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingForBuild(Notice):
    """Another build of this project goes on, in process ``pid`` where that is known; this one waits for its end."""

    pid: int | None
