"""Results of everything that goes through the traffic light: operations, the review, a file's diff, the status."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dxforge.commands.changes import (
    awaiting,
    by_package,
    change_rows,
    file_commands,
    light_counts,
    next_commands,
    pending_blocks,
    review_item,
)
from dxforge.commands.result import DONE, FAILED, UNDECIDED, Result, plural
from dxforge.commands.shown import lines_of, quoted
from dxforge.commands.tasks import shown_in_status, task_blocks
from dxforge.commands.tools import tool_table, up_count
from dxforge.commands.view import Block, Commands, Diff, Gap, Line, Section, Span, Table, Text, light_span, line
from dxforge.orchestrator.status import ToolInfo, ToolState
from dxforge.traffic.model import Action, Change, FileDiff, InstallReport, PackageChange, TrafficLight

if TYPE_CHECKING:
    from dxforge.background.tasks import TaskInfo
    from dxforge.errors import DxForgeError

_SOURCES = {"pypi": "PyPI", "npm": "npm", "path": "path", "git": "git", "url": "url"}
_DECIDED = {"accept": "Accepted", "reject": "Kept yours:", "resolve": "Resolved"}
_UNDONE = {Action.CREATE: "Brought back", Action.UPDATE: "Put back", Action.DELETE: "Took away", Action.KEEP: "Left"}
_LISTED_AT_MOST = 20
_FOLDED_LINES = 400


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class OperationResult(Result):
    """What install, add, remove, accept, reject, resolve or undo did (``command``)."""

    command: str
    report: InstallReport
    strict: bool = False
    headline: str = ""
    """What undo took back."""

    @property
    def exit_code(self) -> int:
        if not self.report.ok:
            return FAILED
        if self.report.pending:
            return FAILED if self.strict else UNDECIDED
        return DONE

    def to_json(self) -> dict[str, Any]:
        data = self.report.to_json()
        if error := self.failure():
            data["ok"] = False
            data["error"] = {"kind": error.kind, "what": error.what, "where": error.where, "hint": error.hint}
        return data

    def failure(self) -> DxForgeError | None:
        if not (self.strict and self.report.pending):
            return None
        from dxforge.errors import UndecidedError

        return UndecidedError(
            awaiting(len(self.report.pending)),
            where=self.report.pending[0].path,
            hint=f"Decide with `{self.program} review`, or run without --strict",
        )

    @property
    def panel(self) -> str:
        asks = self.report.pending and not self.report.dry_run and not self._decides
        return "review" if asks else ""

    @property
    def panel_tells_all(self) -> bool:
        return False  # it has what is left, not what was done

    @property
    def _decides(self) -> bool:
        return self.command in {*_DECIDED, "undo"}

    def summary(self) -> str:
        counts = self.report.counts
        lights = f"{counts.green} green, {counts.yellow} yellow, {counts.red} red"
        return f"{self.command}: {lights}; {len(self.report.pending)} pending"

    def view(self) -> Sequence[Block]:
        report = self.report
        blocks: list[Block] = []
        if self._decides:
            blocks.extend(self._decided())
        else:
            blocks.extend(self._installed())
        if self.verbose and not self._decides:
            green = [change for change in report.changes if change.light is TrafficLight.GREEN]
            if green:
                blocks.extend((Gap(), Table(change_rows(green, hunks=False), indent=1)))
        blocks.extend(Text(line(Span("note: ", "strong"), note)) for note in report.notes)
        if report.pending:
            word = "would await" if report.dry_run else ""
            title = (
                f"{plural(len(report.pending), 'change')} {word} your decision"
                if word
                else awaiting(len(report.pending))
            )
            blocks.extend((Gap(), Text(line(Span(title, "strong"))), Gap()))
            if self._decides:
                blocks.append(Commands(((f"{self.program} review", "see and decide"),)))
            else:
                known = any(change.hunks for change in report.pending)
                blocks.extend(pending_blocks(report.pending, hunks=known))
                if not report.dry_run:
                    blocks.append(next_commands(report.pending, self.program))
        if report.dry_run:
            blocks.extend((Gap(), Text(line(Span("Nothing was written (--dry-run).", "dim")))))
        return _tidy(blocks)

    def _installed(self) -> list[Block]:
        report = self.report
        groups = by_package(report.changes)
        moves = {package.name: package for package in report.packages}
        moving = [name for name, move in moves.items() if move.from_version != move.to_version]
        names = [*moving, *(name for name in groups if name not in moving)]
        still = len(moves) - sum(name in moves for name in names)
        blocks: list[Block] = []
        if names:
            rows = [self._row(name, moves.get(name), groups.get(name, [])) for name in names]
            blocks.append(Table(tuple(rows), ("Package", "Version", "Source", "Files")))
        if still:
            blocks.append(Text(line(f"{plural(still, 'package')} up to date.")))
        elif not names:
            blocks.append(Text(line("There are no packages in dx.toml yet.")))
        return blocks

    def _row(self, name: str, move: PackageChange | None, changes: Sequence[Change]) -> tuple[Line, ...]:
        source = _SOURCES.get(move.source, move.source) if move else ""
        counts = light_counts(changes, dry_run=self.report.dry_run)
        return line(Span(name, "strong")), _move(move), line(Span(source, "dim")), counts

    def _decided(self) -> list[Block]:
        changes = self.report.changes
        if not changes and not self.headline:
            return [Text(line("Nothing awaits a decision."))]
        left = {change.path: len(change.hunks) for change in self.report.pending}
        blocks: list[Block] = [Text(line(Span(self.headline, "strong")))] if self.headline else []
        for change in changes if self.verbose else changes[:_LISTED_AT_MOST]:
            verb = _UNDONE[change.action] if self.command == "undo" else _DECIDED[self.command]
            blocks.append(Text(line(f"{verb} ", Span(change.path, "strong"), self._left(change, left))))
            if change.broken and self.command == "accept":
                blocks.append(Text(line(Span(f"warning: would not parse: {change.broken}", "red")), indent=1))
        if len(changes) > _LISTED_AT_MOST and not self.verbose:
            blocks.append(Text(line(f"… and {len(changes) - _LISTED_AT_MOST} more (-v lists them)")))
        return blocks

    def _left(self, change: Change, left: Mapping[str, int]) -> str:
        """What is still to be decided about a file that was decided on, or whose decision was taken back."""
        if change.path not in left:
            return ""
        hunks = plural(left[change.path], "hunk")
        if self.command != "undo":
            return f" in part, {hunks} left"
        deleted = ", which you had deleted" if change.action is Action.DELETE else ""
        return f"{deleted}, {hunks} to decide" if left[change.path] else f"{deleted}, to be decided again"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ReviewResult(Result):
    """Everything that awaits a decision. ``diffs`` (by path) are there where the face shows them folded."""

    pending: tuple[Change, ...]
    diffs: Mapping[str, FileDiff] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        return UNDECIDED if self.pending else DONE

    @property
    def panel(self) -> str:
        return "review"

    def to_json(self) -> dict[str, Any]:
        return {"pending": [review_item(change) for change in self.pending]}

    def summary(self) -> str:
        return f"review: {len(self.pending)} pending"

    def view(self) -> Sequence[Block]:
        if self.verbose and self.diffs:
            return self.folding_view()
        if not self.pending:
            return [Text(line(light_span(TrafficLight.GREEN), "  Nothing awaits a decision."))]
        title = Text(line(Span(awaiting(len(self.pending)), "strong")))
        return [title, Gap(), *pending_blocks(self.pending), next_commands(self.pending, self.program)]

    def folding_view(self) -> Sequence[Block]:
        if not self.diffs:
            return self.view()
        blocks: list[Block] = [Text(line(Span(awaiting(len(self.pending)), "strong"))), Gap()]
        for package, group in by_package(self.pending).items():
            if package:
                blocks.append(Text(line(Span(package, "strong"))))
            blocks.extend(self._file(change) for change in group)
        if len(self.pending) > 1 and all(change.light is TrafficLight.YELLOW for change in self.pending):
            every = ((f"{self.program} accept --all", "take every proposal"),)
            blocks.append(Commands((*every, (f"{self.program} undo", "take the last operation back"))))
        return blocks

    def _file(self, change: Change) -> Block:
        title = line(*_title(change))
        diff = self.diffs.get(change.path)
        shown = () if diff is None else _sides(diff, limit=_FOLDED_LINES)
        whole = Commands(((f"{self.program} diff {quoted(change.path)}", "all of it"),))
        return Section(title, (*shown, whole, file_commands(change, self.program)))


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class DiffResult(Result):
    """One file seen from every side."""

    diff: FileDiff

    def to_json(self) -> dict[str, Any]:
        change = self.diff.change
        item = {**review_item(change), "action": change.action.value}
        return {"ok": True, **item, "mine": self.diff.mine, "theirs": self.diff.theirs, "proposal": self.diff.proposal}

    def summary(self) -> str:
        return f"diff: {self.diff.change.light.value}, {plural(len(self.diff.change.hunks), 'hunk')}"

    def view(self) -> Sequence[Block]:
        change = self.diff.change
        light, gap, path, *more = _title(change)
        title = (Text(line(light, gap, path)), Text(line(*more)), Gap())
        todo = () if change.light is TrafficLight.GREEN else (file_commands(change, self.program),)
        return [*title, *_sides(self.diff), *todo]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class StatusResult(Result):
    """The project at a glance. ``packages`` are ``{"name", "version", "source", "edited", "pending"}``."""

    project: str
    packages: tuple[Mapping[str, Any], ...]
    pending: tuple[Change, ...]
    tools: tuple[ToolInfo, ...] = ()
    tasks: tuple[TaskInfo, ...] = ()

    @property
    def panel(self) -> str:
        return "status"

    def to_json(self) -> dict[str, Any]:
        return {
            "tools": [info.to_json() for info in self.tools],
            "tasks": [info.to_json() for info in self.tasks],
            "packages": [dict(package) for package in self.packages],
            "pending": [review_item(change) for change in self.pending],
        }

    def summary(self) -> str:
        tools = f", {up_count(self.tools)}" if self.tools else ""
        failed = sum(info.state.value == "failed" for info in self.tasks)
        tasks = f", {plural(failed, 'failed task')}" if failed else ""
        return f"status: {plural(len(self.packages), 'package')}, {len(self.pending)} pending{tools}{tasks}"

    def view(self) -> Sequence[Block]:
        blocks: list[Block] = [Text(line("Project ", Span(self.project, "strong"))), Gap()]
        if self.packages or not self.tools:
            blocks.extend((*self._packages(), Gap()))
        if self.tools:
            blocks.append(tool_table(self.tools))
            if all(info.status.state is ToolState.STOPPED for info in self.tools):
                start = (f"{self.program} start TOOL", "start a tool, and what it depends on")
                blocks.extend((Gap(), Commands((start,))))
        if not self.tools:
            blocks = blocks[:-1]
        if tasks := shown_in_status(self.tasks):
            blocks.extend((Gap(), *task_blocks(tasks, self.program, verbose=self.verbose)))
        return blocks

    def _packages(self) -> list[Block]:
        if not self.packages:
            add = Commands(((f"{self.program} add humanize", "a package of the Python index, as source you own"),))
            return [Text(line("No packages yet.")), Gap(), add]
        rows = tuple(self._row(package) for package in self.packages)
        blocks: list[Block] = [Table(rows, ("Package", "Version", "Source", "You changed", "Pending")), Gap()]
        if self.pending:
            blocks.append(Text(line(Span(awaiting(len(self.pending)), "strong"))))
            blocks.append(Commands(((f"{self.program} review", "see and decide"),)))
        elif any(package.get("version") is None for package in self.packages):
            blocks.append(Commands(((f"{self.program} install", "install what dx.toml asks for"),)))
        else:
            blocks.append(Text(line(light_span(TrafficLight.GREEN), "  Nothing awaits a decision.")))
        return blocks

    @staticmethod
    def _row(package: Mapping[str, Any]) -> tuple[Line, ...]:
        source = str(package.get("source") or "")
        return (
            line(Span(package["name"], "strong")),
            _installed_version(package),
            line(Span(_SOURCES.get(source, source), "dim")),
            line(plural(package["edited"], "file")) if package.get("edited") else line(Span("-", "dim")),
            line(Span(plural(package["pending"], "file"), "yellow"))
            if package.get("pending")
            else line(Span("-", "dim")),
        )


def _installed_version(package: Mapping[str, Any]) -> Line:
    if package.get("version") is None:
        return line(Span("not installed", "dim"))
    return line(package["version"], Span(" (removed; edits await you)" if package.get("leaving") else "", "dim"))


def _move(move: PackageChange | None) -> Line:
    if move is None:
        return line(Span("as it was", "dim"))
    if move.from_version is None:
        return line(move.to_version or "", Span(" (new)", "dim"))
    if move.to_version is None:
        return line(move.from_version, Span(" (removed)", "dim"))
    if move.from_version == move.to_version:
        return line(move.to_version)
    return line(f"{move.from_version} → {move.to_version}")


def _title(change: Change) -> list[Span]:
    size = [Span(f"  {plural(len(change.hunks), 'hunk')}", "dim")] if change.hunks else []
    parts = [light_span(change.light), Span("  "), Span(change.path, "strong"), Span(f"  {change.reason}"), *size]
    if change.broken:
        parts.append(Span(f"  would not parse: {change.broken}", "red"))
    return parts


def _sides(diff: FileDiff, *, limit: int | None = None) -> list[Block]:
    """Both edits apart, then the proposal; at most ``limit`` lines of each."""
    change = diff.change
    blocks: list[Block] = []
    if change.new_path:
        blocks.append(Text(line("upstream renamed it to ", Span(change.new_path, "strong"))))
    if change.set_aside:
        blocks.append(Text(line("their version lies in ", Span(change.set_aside, "strong"))))
    if change.binary:
        blocks.append(Text(line("The file is binary: there is nothing to show line by line.")))
    proposal = lines_of(diff.proposal)
    labels: tuple[str, ...] = ()
    if change.hunks:
        proposal = [text for hunk in change.hunks for text in (hunk.header, *hunk.lines)]
        labels = tuple(f"hunk {hunk.id}{', overlaps your edit' * hunk.overlaps}" for hunk in change.hunks)
    for name, meaning, lines in (
        ("my edits", "as installed → yours", lines_of(diff.mine)),
        ("theirs", "as installed → new version", lines_of(diff.theirs)),
        ("proposal", "yours → proposed", proposal),
    ):
        if lines:
            title = line(Span(name, "strong"), Span(f" ({meaning})", "dim"))
            body: list[Block] = [Diff(tuple(lines[:limit]), labels if lines is proposal else ())]
            if limit is not None and len(lines) > limit:
                body.append(Text(line(Span(f"… and {plural(len(lines) - limit, 'line')} more", "dim"))))
            blocks.append(Section(title, tuple(body), opened=lines is proposal))
    return blocks


def _tidy(blocks: list[Block]) -> list[Block]:
    """Without a gap at the start, and never two in a row."""
    tidy: list[Block] = []
    for block in blocks:
        if isinstance(block, Gap) and (not tidy or isinstance(tidy[-1], Gap)):
            continue
        tidy.append(block)
    return tidy
