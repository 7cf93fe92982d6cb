"""Results about snapshots: one that was taken, the list, what differs, a rollback."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from dxforge.commands.result import DONE, FAILED, Result, plural, shorter_time
from dxforge.commands.shown import lines_of
from dxforge.commands.view import Block, Commands, Diff, Gap, Line, Section, Span, Style, Table, Text, line, size
from dxforge.store.model import FileChange, LeftOut, Snapshot, SnapshotDiff
from dxforge.traffic.model import Action
from dxforge.traffic.restore_plan import RollbackReport

_LISTED_AT_MOST = 20
_SHOWN_LINES = 400
_DONE: dict[Action, tuple[str, Style]] = {
    Action.CREATE: ("+ created", "green"),
    Action.UPDATE: ("~ changed", "yellow"),
    Action.DELETE: ("- deleted", "red"),
}


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class SnapshotResult(Result):
    """What ``snapshot`` did; ``snapshot`` is None where nothing had changed since the newest."""

    snapshot: Snapshot | None
    newest: Snapshot | None

    def to_json(self) -> dict[str, Any]:
        shown = self.snapshot or self.newest
        return {
            "ok": True,
            "taken": self.snapshot is not None,
            "snapshot": None if shown is None else shown.to_json(),
        }

    def summary(self) -> str:
        return "snapshot: taken" if self.snapshot is not None else "snapshot: nothing has changed"

    def view(self) -> Sequence[Block]:
        if self.snapshot is None:
            name = f" {self.newest.id}" if self.newest is not None else ""
            label = f" ({self.newest.label})" if self.newest is not None and self.newest.label else ""
            return [Text(line(f"Nothing has changed since snapshot{name}{label}."))]
        taken = self.snapshot
        label = f" ({taken.label})" if taken.label else ""
        files = Span(f"  {plural(taken.files, 'file')}, {size(taken.size_bytes)}", "dim")
        blocks: list[Block] = [Text(line("Snapshot ", Span(taken.id, "strong"), label, files))]
        blocks.extend(_left_out(taken.left_out, verbose=self.verbose))
        torn = taken.changed_meanwhile[: None if self.verbose else _LISTED_AT_MOST]
        blocks += [
            Text(line(Span("note: ", "strong"), f"{path} changed while the snapshot was taken")) for path in torn
        ]
        blocks.append(Gap())
        blocks.append(
            Commands(
                (
                    (f"{self.program} snapshots diff {taken.id}", "what has changed since"),
                    (f"{self.program} rollback {taken.id}", "go back to it"),
                )
            )
        )
        return blocks


def _left_out(items: Sequence[LeftOut], *, verbose: bool) -> Iterable[Block]:
    shown = items if verbose else items[:_LISTED_AT_MOST]
    for item in shown:
        yield Text(line(Span("left out: ", "yellow"), f"{item.path} ({item.reason})"))
    if len(shown) < len(items):
        yield Text(line(f"… and {len(items) - len(shown)} more (-v lists them)"))


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class SnapshotsResult(Result):
    """The snapshots, newest first."""

    snapshots: tuple[Snapshot, ...]

    def to_json(self) -> dict[str, Any]:
        return {"snapshots": [snapshot.to_json() for snapshot in self.snapshots]}

    def summary(self) -> str:
        return f"snapshots: {len(self.snapshots)}"

    def view(self) -> Sequence[Block]:
        if not self.snapshots:
            return [
                Text(line("No snapshots yet.")),
                Gap(),
                Commands(((f"{self.program} snapshot LABEL", "take one; each install takes one, too"),)),
            ]
        rows = tuple(
            (
                line(Span(item.id, "strong")),
                line(Span(shorter_time(item.time), "dim")),
                line(plural(item.files, "file")),
                line(Span(size(item.size_bytes), "dim")),
                line(item.label),
            )
            for item in self.snapshots
        )
        return [Table(rows, ("Id", "When (UTC)", "Files", "Size", "Label"))]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class SnapshotDiffResult(Result):
    """What differs between snapshot ``old`` and ``new`` (None: the project as it is). ``texts`` are unified diffs."""

    old: Snapshot
    new: Snapshot | None
    diff: SnapshotDiff
    texts: dict[str, str] = field(default_factory=dict)

    @property
    def _changes(self) -> list[tuple[str, Style, FileChange]]:
        found: list[tuple[str, Style, FileChange]] = [("+ added", "green", item) for item in self.diff.added]
        found += [("~ changed", "yellow", item) for item in self.diff.changed]
        found += [("- removed", "red", item) for item in self.diff.removed]
        return sorted(found, key=lambda item: item[2].path)

    def to_json(self) -> dict[str, Any]:
        return {
            "ok": True,
            "old": self.old.id,
            "new": None if self.new is None else self.new.id,
            **self.diff.to_json(),
            "texts": self.texts,
        }

    def summary(self) -> str:
        counts = (len(self.diff.added), len(self.diff.changed), len(self.diff.removed))
        return "snapshots diff: {} added, {} changed, {} removed".format(*counts)

    def view(self) -> Sequence[Block]:
        other = "the project as it is" if self.new is None else f"snapshot {self.new.id}"
        if not self.diff:
            return [Text(line(f"Nothing differs between snapshot {self.old.id} and {other}."))]
        blocks: list[Block] = [Text(line(f"From snapshot {self.old.id} to {other}:")), Gap()]
        if self.verbose:
            return [*blocks, *(self._section(*item) for item in self._changes), *self._folders()]
        rows = tuple(
            (line(Span(word, style)), line(change.path), line(Span(_mode(change), "dim")))
            for word, style, change in self._changes
        )
        blocks.append(Table(rows, indent=1))
        return [*blocks, *self._folders()]

    def folding_view(self) -> Sequence[Block]:
        if not self.texts:
            return self.view()
        return [*self.view()[:2], *(self._section(*item) for item in self._changes), *self._folders()]

    def _section(self, word: str, style: Style, change: FileChange) -> Block:
        lines = lines_of(self.texts.get(change.path, ""))
        more = (
            [Text(line(f"… and {plural(len(lines) - _SHOWN_LINES, 'line')} more"))] if len(lines) > _SHOWN_LINES else []
        )
        shown: tuple[Block, ...] = (Diff(tuple(lines[:_SHOWN_LINES])), *more) if lines else ()
        return Section(line(Span(word, style), f"  {change.path}", Span(f"  {_mode(change)}", "dim")), shown)

    def _folders(self) -> Iterable[Block]:
        yield from _empty_folders("+ added", "green", self.diff.added_folders)
        yield from _empty_folders("- removed", "red", self.diff.removed_folders)


def _empty_folders(word: str, style: Style, folders: Iterable[str]) -> Iterable[Block]:
    for folder in folders:
        yield Text(line(Span(word, style), f"  {folder}/ (an empty folder)"), indent=1)


def _mode(change: FileChange) -> str:
    if change.before is None or change.after is None or change.before.mode == change.after.mode:
        return ""
    return f"mode {change.before.mode:o} → {change.after.mode:o}"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class RollbackResult(Result):
    """What a rollback did, or would do."""

    report: RollbackReport

    @property
    def exit_code(self) -> int:
        return DONE if self.report.ok else FAILED

    def to_json(self) -> dict[str, Any]:
        return self.report.to_json()

    def summary(self) -> str:
        count = len(self.report.added_folders) + len(self.report.removed_folders)
        folders = f", {plural(count, 'empty folder')}" if count else ""
        return f"rollback: {plural(len(self.report.changes), 'file')}{folders}"

    def view(self) -> Sequence[Block]:
        report = self.report
        target = report.snapshot.id if report.snapshot is not None else ""
        changes = report.changes if self.verbose or report.dry_run else report.changes[:_LISTED_AT_MOST]
        blocks: list[Block] = []
        folders = [*_empty_folders("+ created", "green", report.added_folders)]
        folders += _empty_folders("- deleted", "red", report.removed_folders)
        if not report.changes and not folders:
            blocks.append(Text(line(f"Everything is as in snapshot {target} already.")))
        else:
            verb = "Would go" if report.dry_run else "Went"
            counts = [plural(len(report.changes), "file")] if report.changes else []
            counts += [plural(len(folders), "empty folder")] if folders else []
            blocks += [Text(line(Span(f"{verb} back to snapshot {target}: {', '.join(counts)}", "strong"))), Gap()]
            if changes:
                blocks.append(Table(tuple(map(self._row, changes)), indent=1))
        if len(changes) < len(report.changes):
            blocks.append(Text(line(f"… and {len(report.changes) - len(changes)} more (-v lists them)"), indent=1))
        blocks.extend(folders)
        blocks.extend(Text(line(Span("note: ", "strong"), note)) for note in report.notes)
        if report.dry_run:
            return [*blocks, Gap(), Text(line(Span("Nothing was written (--dry-run).", "dim")))]
        if report.changes or folders:
            rows = [(f"{self.program} undo", "take the rollback back")]
            if report.saved is not None:
                rows.append((f"{self.program} rollback {report.saved.id}", "the same, at any later time"))
            blocks += [Gap(), Commands(tuple(rows))]
        return blocks

    @staticmethod
    def _row(change: Any) -> tuple[Line, ...]:
        word, style = _DONE.get(change.action, ("= kept", ""))
        mode = change.reason.partition(", ")[2]
        return line(Span(word, style)), line(change.path), line(Span(mode, "dim"))
