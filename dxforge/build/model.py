"""The data of a build: steps, what is to become of them and why, and what became of them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

SHOWN = 3
"""So many paths are named in a line of text; JSON has them all."""


class StepState(StrEnum):
    """What is to become of a step, and what became of it."""

    RUN = "run"
    RESTORE = "restore"
    """Its result is in the cache, its outputs on disk are not that result."""
    DEPENDS = "depends"
    """A step before it runs; what that writes decides."""
    BUILT = "built"
    RESTORED = "restored"
    UP_TO_DATE = "up-to-date"
    """In a plan and after a build: its outputs were found to be exactly what it wrote."""
    FAILED = "failed"
    SKIPPED = "skipped"

    @property
    def cached(self) -> bool:
        """Whether the step's program need not run, or did not need to."""
        return self in {StepState.UP_TO_DATE, StepState.RESTORE, StepState.RESTORED}

    @property
    def word(self) -> str:
        """For pictures and tables."""
        return self.value.replace("-", " ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One of ``[[build.steps]]`` with its place in the graph."""

    index: int
    """Its position in ``dx.toml``, from 0."""
    id: str
    """Stays the same while inputs, arguments and position change."""
    tool: str
    args: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    after: tuple[int, ...] = ()
    """The steps that must be done before it, by index."""
    wave: int = 0
    """The length of the longest way to it."""

    @property
    def name(self) -> str:
        """Tool and arguments, as one would type them."""
        return " ".join([self.tool, *self.args])

    @property
    def cacheable(self) -> bool:
        """A step that names no inputs may read anything, so it always runs."""
        return bool(self.inputs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """How what a step depends on differs from its last run. Paths from the project's root.

    ``changed`` maps a path to its old and new content (``file:<sha256>``, ``exec:<sha256>``, ``link:...``); ``other``
    are lines about everything that is no input. Values of the environment only where ``dx.toml`` has them.
    """

    added: Mapping[str, str] = field(default_factory=dict)
    removed: Mapping[str, str] = field(default_factory=dict)
    changed: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    other: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed or self.other)

    def text(self) -> str:
        """One line: what differs, with at most three paths named."""
        changed = f"changed{self._only_how()}"
        kinds = (("added", [*self.added]), (changed, [*self.changed]), ("removed", [*self.removed]))
        parts = [_some(paths, what) for what, paths in kinds if paths]
        return "; ".join([*self.other, *parts])

    def _only_how(self) -> str:
        how = how_changed(*next(iter(self.changed.values()))) if len(self.changed) == 1 else ""
        return f" ({how})" if how else ""

    def to_json(self) -> dict[str, Any]:
        """All of it."""
        return {
            "added": dict(self.added),
            "removed": dict(self.removed),
            "changed": {path: list(pair) for path, pair in self.changed.items()},
            "other": list(self.other),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Changes:
        """The inverse of `to_json`."""
        return cls(
            added=data["added"],
            removed=data["removed"],
            changed={path: (old, new) for path, (old, new) in data["changed"].items()},
            other=tuple(data["other"]),
        )


def how_changed(old: str, new: str) -> str:
    """What else than its content is another of an input (see `Changes`): permissions, target, kind; else nothing."""
    was, _, before = old.partition(":")
    now, _, after = new.partition(":")
    if was == now == "link":
        one, other = _link_target(before), _link_target(after)
        return f"link {one} → {other}" if one != other else ""
    if was == now:
        return ""
    if was in _MODES and now in _MODES:
        return f"mode {_MODES[was]} → {_MODES[now]}" + (", and its content" if before != after else "")
    return f"{_KINDS.get(was, was)} → {_KINDS.get(now, now)}"


_MODES = {"file": "644", "exec": "755"}
"""As git has it: executable by its owner, or not."""
_KINDS = {"exec": "file"}


def _link_target(text: str) -> str:
    """Of ``target what-is-there``, where the second is missing for a folder."""
    target, _, there = text.rpartition(" ")
    known = there.startswith(("file:", "exec:")) or there in {"dangling", "fifo", "socket", "device"}
    return target if known and target else text


def _some(paths: list[str], what: str) -> str:
    if len(paths) == 1:
        return f"{paths[0]} {what}"
    named = sorted(paths)[:SHOWN]
    more = ", …" if len(paths) > SHOWN else ""
    return f"{len(paths)} inputs {what}: {', '.join(named)}{more}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingFile:
    """A file of a package that awaits a decision (Yellow or Red), with the reason."""

    path: str
    light: str
    reason: str
    package: str

    def to_json(self) -> dict[str, str]:
        """All fields."""
        return {"path": self.path, "light": self.light, "reason": self.reason, "package": self.package}


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPlan:
    """What is to become of a step, and why."""

    step: Step
    state: StepState
    why: str
    changes: Changes = field(default_factory=Changes)
    key: str = ""
    """The action's key, 64 hex digits; empty where it cannot be known yet, or there is none."""
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As `StepResult.to_json`; nothing ran, so there is no exit code."""
        return {
            "tool": self.step.tool,
            "args": list(self.step.args),
            "cached": self.state.cached,
            "exit_code": None,
            "why": self.why,
            "state": self.state.value,
            "changes": self.changes.to_json(),
            "key": self.key,
            "outputs": list(self.step.outputs),
            "after": list(self.step.after),
            "notes": list(self.notes),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildPlan:
    """What a build would do now. ``pending`` are the files that would keep it from doing anything."""

    steps: tuple[StepPlan, ...] = ()
    needs: tuple[str, ...] = ()
    pending: tuple[PendingFile, ...] = ()
    notes: tuple[str, ...] = ()
    duration_s: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether the build would start."""
        return not self.pending

    def to_json(self) -> dict[str, Any]:
        """As `BuildReport.to_json`."""
        return {
            "ok": self.ok,
            "steps": [step.to_json() for step in self.steps],
            "pending": [file.to_json() for file in self.pending],
            "needs": list(self.needs),
            "notes": list(self.notes),
            "duration_s": round(self.duration_s, 6),
            "dry_run": True,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """What became of a step.

    ``exit_code`` is 0 for a cached step and None for one that did not run; ``error`` says why a step failed.
    ``started_s`` counts from the build's start.
    ``saved_s`` is how long the run took that a cached result comes from. Output is the program's, or what it printed
    back then; ``stdout_path`` and ``stderr_path`` are whole logs, of a step that ran.
    """

    step: Step
    state: StepState
    why: str
    exit_code: int | None = None
    error: str = ""
    changes: Changes = field(default_factory=Changes)
    key: str = ""
    started_s: float = 0.0
    duration_s: float = 0.0
    saved_s: float = 0.0
    stdout: str = ""
    stderr: str = ""
    stdout_path: str = ""
    stderr_path: str = ""
    notes: tuple[str, ...] = ()

    @property
    def tool(self) -> str:
        """The tool's name."""
        return self.step.tool

    @property
    def args(self) -> tuple[str, ...]:
        """Its arguments."""
        return self.step.args

    @property
    def cached(self) -> bool:
        """Whether its program did not need to run."""
        return self.state.cached

    @property
    def ok(self) -> bool:
        """Whether its outputs are what they should be."""
        return self.state in {StepState.BUILT, StepState.UP_TO_DATE, StepState.RESTORED}

    def to_json(self) -> dict[str, Any]:
        """The contract's ``{"tool", "args", "cached", "exit_code", "why"}``, and the rest."""
        return {
            "tool": self.step.tool,
            "args": list(self.step.args),
            "cached": self.cached,
            "exit_code": self.exit_code,
            "why": self.why,
            "state": self.state.value,
            "error": self.error,
            "changes": self.changes.to_json(),
            "key": self.key,
            "inputs": list(self.step.inputs),
            "outputs": list(self.step.outputs),
            "after": list(self.step.after),
            "wave": self.step.wave,
            "id": self.step.id,
            "started_s": round(self.started_s, 6),
            "duration_s": round(self.duration_s, 6),
            "saved_s": round(self.saved_s, 6),
            "stdout": self.stdout,
            "stderr": self.stderr,
            "stdout_path": self.stdout_path,
            "stderr_path": self.stderr_path,
            "notes": list(self.notes),
        }

    @classmethod
    def from_json(cls, index: int, data: Mapping[str, Any]) -> StepResult:
        """The inverse of `to_json`.

        Raises:
            KeyError, TypeError, ValueError: it was not that.
        """
        step = Step(
            index=index,
            id=data["id"],
            tool=data["tool"],
            args=tuple(data["args"]),
            inputs=tuple(data["inputs"]),
            outputs=tuple(data["outputs"]),
            after=tuple(data["after"]),
            wave=data["wave"],
        )
        return cls(
            step=step,
            state=StepState(data["state"]),
            changes=Changes.from_json(data["changes"]),
            notes=tuple(data["notes"]),
            **{name: data[name] for name in _PLAIN},
        )


_PLAIN = (
    "why", "exit_code", "error", "key", "started_s", "duration_s", "saved_s", "stdout", "stderr", "stdout_path",
    "stderr_path",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class BuildReport:
    """What a build did.

    ``pending`` are files that await a decision in what a step reads: unless that was allowed, nothing was run, and
    ``ok`` is False.
    """

    ok: bool
    steps: tuple[StepResult, ...] = ()
    pending: tuple[PendingFile, ...] = ()
    needs: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    duration_s: float = 0.0
    started: str = ""
    """When, ISO 8601 in UTC."""
    dry_run: bool = False

    def __repr__(self) -> str:
        return f"<BuildReport: {'ok' if self.ok else 'failed'}, {self.counts_text()}>"

    def counts(self) -> dict[str, int]:
        """How many steps there are of each state, those without any left out."""
        states = [step.state for step in self.steps]
        return {state.value: states.count(state) for state in StepState if state in states}

    def counts_text(self) -> str:
        """``3 built, 2 up to date``."""
        if self.pending and not self.steps:
            return f"{len(self.pending)} pending"
        return ", ".join(f"{count} {StepState(state).word}" for state, count in self.counts().items()) or "no steps"

    def to_json(self) -> dict[str, Any]:
        """The contract's ``build --json``, and the rest."""
        return {
            "ok": self.ok,
            "steps": [step.to_json() for step in self.steps],
            "pending": [file.to_json() for file in self.pending],
            "needs": list(self.needs),
            "notes": list(self.notes),
            "duration_s": round(self.duration_s, 6),
            "started": self.started,
            "dry_run": self.dry_run,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> BuildReport:
        """The inverse of `to_json`.

        Raises:
            KeyError, TypeError, ValueError: it was not that.
        """
        return cls(
            ok=data["ok"],
            steps=tuple(StepResult.from_json(index, step) for index, step in enumerate(data["steps"])),
            pending=tuple(PendingFile(**file) for file in data["pending"]),
            needs=tuple(data["needs"]),
            notes=tuple(data["notes"]),
            duration_s=data["duration_s"],
            started=data["started"],
            dry_run=data["dry_run"],
        )
