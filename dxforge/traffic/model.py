"""The data of the traffic light: frozen, decided once, shown everywhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class TrafficLight(StrEnum):
    """Whether a change is safe: applied, proposed, or kept apart."""

    GREEN = "green"
    YELLOW = "yellow"
    RED = "red"


class Action(StrEnum):
    """What install does with a file (Green), or did in place of deciding (Yellow, Red)."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    KEEP = "keep"
    PROPOSE = "propose"
    """Yellow: the user's file stays, the merge waits for a decision."""
    SET_ASIDE = "set-aside"
    """Red: the user's file stays, the incoming one is written beside it as ``.new`` where there is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hunk:
    """One decidable piece of a proposal.

    ``id`` is a small number as text, as in ``--hunk 2``: the same as long as the hunk itself is the same, never
    given to another hunk of this proposal. ``header`` is the unified diff's ``@@ ... @@`` line; ``lines`` are the
    diff's lines with their ``-``, ``+`` or space, line ends included. ``overlaps`` marks, in a :class:`FileDiff` of a
    Red file, what changes lines that the user has edited.
    """

    id: str
    header: str
    lines: tuple[str, ...] = ()
    overlaps: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What happens to one file, and why.

    ``path`` and ``new_path`` are from the project's root with ``/``. ``new_path`` is set where upstream renamed the
    file. ``set_aside`` is the path of the ``.new`` file, where one was written. ``broken`` says why the proposal
    would not parse (``.py`` only), empty when it does. ``binary`` changes have no hunks.
    """

    path: str
    light: TrafficLight
    reason: str
    action: Action
    package: str = ""
    new_path: str | None = None
    set_aside: str | None = None
    hunks: tuple[Hunk, ...] = ()
    binary: bool = False
    broken: str = ""

    def to_json(self) -> dict[str, Any]:
        """The contract's ``{"path", "light", "reason", "action"}``, plus what else is known."""
        data: dict[str, Any] = {
            "path": self.path,
            "light": self.light.value,
            "reason": self.reason,
            "action": self.action.value,
            "package": self.package,
        }
        if self.new_path is not None:
            data["new_path"] = self.new_path
        if self.set_aside is not None:
            data["set_aside"] = self.set_aside
        if self.broken:
            data["broken"] = self.broken
        return data


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageChange:
    """A package's way from one version to another; None where it is new or removed."""

    name: str
    from_version: str | None
    to_version: str | None
    source: str

    def to_json(self) -> dict[str, Any]:
        """The contract's ``{"name", "from", "to", "source"}``."""
        return {"name": self.name, "from": self.from_version, "to": self.to_version, "source": self.source}


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How many changes there are of each light."""

    green: int = 0
    yellow: int = 0
    red: int = 0

    @classmethod
    def of(cls, changes: tuple[Change, ...]) -> Counts:
        """Count ``changes``."""
        lights = [change.light for change in changes]
        return cls(
            green=lights.count(TrafficLight.GREEN),
            yellow=lights.count(TrafficLight.YELLOW),
            red=lights.count(TrafficLight.RED),
        )

    def to_json(self) -> dict[str, int]:
        """``{"green", "yellow", "red"}``."""
        return {"green": self.green, "yellow": self.yellow, "red": self.red}


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class InstallReport:
    """What an operation on packages did: install, add, remove, accept, reject, resolve, undo.

    ``changes`` are the files that this operation had something to say about; ``pending`` everything in the project
    that still awaits a decision. ``ok`` is False only where something failed without
    being an exception (an unknown pipeline command). ``notes`` are lines for the user, e.g. modules that are still
    loaded from the old source. ``operation`` is the id in ``log``, None where nothing was written.
    """

    changes: list[Change] = field(default_factory=list)
    packages: list[PackageChange] = field(default_factory=list)
    pending: list[Change] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    ok: bool = True
    dry_run: bool = False
    operation: str | None = None

    def __repr__(self) -> str:
        """One line: a report of an install may hold thousands of changes."""
        counts = self.counts
        return (
            f"<InstallReport: {counts.green} green, {counts.yellow} yellow, {counts.red} red; "
            f"{len(self.packages)} packages, {len(self.pending)} pending>"
        )

    @property
    def counts(self) -> Counts:
        """How many of ``changes`` there are of each light."""
        return Counts.of(tuple(self.changes))

    def to_json(self) -> dict[str, Any]:
        """The contract's ``install --json``."""
        return {
            "ok": self.ok,
            "packages": [package.to_json() for package in self.packages],
            "changes": [change.to_json() for change in self.changes],
            "counts": self.counts.to_json(),
            "pending": [change.to_json() for change in self.pending],
            "notes": self.notes,
            "dry_run": self.dry_run,
            "operation": self.operation,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class FileDiff:
    """A pending (or edited) file seen from every side, as unified diffs (text, empty where equal or binary).

    ``mine`` is base -> local, ``theirs`` base -> incoming, ``proposal`` local -> proposal.
    """

    change: Change
    mine: str
    theirs: str
    proposal: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A pending file in a list: a :class:`Change` with its hunks only counted.

    ``version`` is opaque, and another one whenever anything has changed that the decision depends on: the user's
    file, the base, the update, modes, hunks that were taken or rejected already, and so the proposal.
    """

    path: str
    package: str
    light: TrafficLight
    reason: str
    hunks: int
    binary: bool
    new_path: str | None
    set_aside: str | None
    broken: str
    version: str

    def to_json(self) -> dict[str, Any]:
        """All fields."""
        return {
            "path": self.path,
            "package": self.package,
            "light": self.light.value,
            "reason": self.reason,
            "hunks": self.hunks,
            "binary": self.binary,
            "new_path": self.new_path,
            "set_aside": self.set_aside,
            "broken": self.broken,
            "version": self.version,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What deciding (or undoing) did to the list of pending files.

    ``operation`` is the id in ``log``. ``changed`` are the files that still, or again, await a decision and may stand
    differently now; ``gone`` are the paths that do no longer. ``notes`` are lines for the user.
    """

    operation: str
    changed: tuple[Standing, ...] = ()
    gone: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HunkView:
    """One undecided piece of a proposal: the lines ``old`` of what is there become ``new`` of the proposal.

    Lines are counted from 0, the end is excluded, and text that ends in a line feed has an empty last line, as in
    ``text.split("\\n")``. ``id`` and ``header`` are those of :class:`Hunk`. ``overlaps``: the file is Red, and this
    changes lines that the user has edited.
    """

    id: str
    header: str
    old: tuple[int, int]
    new: tuple[int, int]
    overlaps: bool = False

    def to_json(self) -> dict[str, Any]:
        """All fields."""
        data = {"id": self.id, "header": self.header, "old": list(self.old), "new": list(self.new)}
        return {**data, "overlaps": self.overlaps}


@dataclass(frozen=True, slots=True, kw_only=True)
class FileView:
    """A pending file as text, from every side.

    ``sides`` and ``modes`` (git's, in octal) have "base", "local", "incoming" and "proposal". Both are None where there
    is no such file; only the side, where its content can no longer be had. ``proposal`` is what accepting the file
    would write, so without what was rejected already; of a rename it is the file at the new name. Text is exact: a
    line ends at a line feed, and a carriage return before one is a part of its line. ``encoding`` is Python's name for
    what the bytes were read as, and what a resolution has to be written in; ``newline`` is a line feed, or a carriage
    return and a line feed, where all lines of the user's file (or else the proposal) end so, "mixed" where some do,
    "" where none ends. Where the sides cannot be shown as text, ``why_not`` says why, and all are None.
    """

    standing: Standing
    sides: Mapping[str, str | None]
    modes: Mapping[str, str | None]
    hunks: tuple[HunkView, ...] = ()
    encoding: str = ""
    newline: str = ""
    why_not: str = ""

    def to_json(self) -> dict[str, Any]:
        """All fields; ``standing`` as "entry"."""
        return {
            "entry": self.standing.to_json(),
            "sides": dict(self.sides),
            "modes": dict(self.modes),
            "hunks": [hunk.to_json() for hunk in self.hunks],
            "encoding": self.encoding,
            "newline": self.newline,
            "why_not": self.why_not,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One line of ``log``: what was done, when (ISO 8601, UTC), to how many files."""

    id: str
    time: str
    command: str
    summary: str
    files: int
    undone: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageStatus:
    """An installed package: ``edited`` files of the user's, ``pending`` ones that await a decision.

    ``leaving``: gone from ``dx.toml``, but edited files still await a decision.
    """

    name: str
    version: str
    source: str
    edited: int
    pending: int
    leaving: bool = False

    def to_json(self) -> dict[str, Any]:
        """All fields."""
        return {
            "name": self.name,
            "version": self.version,
            "source": self.source,
            "edited": self.edited,
            "pending": self.pending,
            "leaving": self.leaving,
        }
