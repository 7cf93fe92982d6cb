"""Results of sync, prefetch and analyze."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dxforge.background.analysis import AnalysisReport
from dxforge.background.prefetch import PrefetchReport
from dxforge.commands.result import DONE, FAILED, Result, plural
from dxforge.commands.view import Block, Gap, Picture, Section, Span, Table, Text, line, size
from dxforge.remote.model import PullReport, SyncPlan, SyncReport

if TYPE_CHECKING:
    from dxforge.syncing import Pulled

_SHOWN_ROWS = 50


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class SyncPlanResult(Result):
    """What a sync would send. ``where`` names the remote."""

    plan: SyncPlan
    where: str

    def to_json(self) -> dict[str, Any]:
        return {"ok": True, "dry_run": True, "remote": self.where, **self.plan.to_json()}

    def summary(self) -> str:
        return f"sync: {plural(self.plan.uploads, 'item')} to send"

    def view(self) -> Sequence[Block]:
        plan = self.plan
        operations = f"{plan.requests.class_a} of class A (writes, lists), {plan.requests.class_b} of class B (reads)"
        rows = (
            (line("to send"), line(f"{plan.uploads} of {plural(plan.items, 'item')}, {size(plan.size_bytes)}")),
            (line("operations"), line(operations)),
        )
        title = line("Remote ", Span(self.where, "strong"))
        return [Text(title), Table(rows, indent=1), Gap(), Text(line(Span("Nothing was sent (--dry-run).", "dim")))]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class SyncResult(Result):
    """What a sync sent."""

    report: SyncReport
    where: str

    @property
    def exit_code(self) -> int:
        return DONE if self.report.ok else FAILED

    def to_json(self) -> dict[str, Any]:
        return {**self.report.to_json(), "remote": self.where}

    def summary(self) -> str:
        return f"sync: {plural(self.report.uploads, 'item')} sent"

    def view(self) -> Sequence[Block]:
        report = self.report
        sent = f"{plural(report.uploads, 'item')} sent, {size(report.size_bytes)}"
        if not report.uploads:
            sent = "everything was there already"
        blocks: list[Block] = [Text(line("Remote ", Span(self.where, "strong"), f": {sent}."))]
        blocks += [
            Text(line(Span("left out: ", "yellow"), f"{left.kind} {left.name} ({left.reason})"))
            for left in report.left_out
        ]
        if report.left_out:
            blocks.append(Text(line("The next sync sends it.")))
        return blocks


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class PullResult(Result):
    """What ``sync --pull`` brought."""

    pulled: Pulled
    where: str

    @property
    def exit_code(self) -> int:
        return DONE if self.pulled.ok else FAILED

    def to_json(self) -> dict[str, Any]:
        return {**self.pulled.to_json(), "remote": self.where}

    def summary(self) -> str:
        found = f"{plural(len(self.pulled.snapshots), 'snapshot')}, {plural(self.pulled.results, 'build result')}"
        return f"sync: fetched {found}"

    def view(self) -> Sequence[Block]:
        pulled = self.pulled
        found = f"{plural(len(pulled.snapshots), 'new snapshot')}, {plural(pulled.results, 'new build result')}"
        read = Span(f"  {size(pulled.report.size_bytes)} read", "dim")
        blocks: list[Block] = [Text(line("Remote ", Span(self.where, "strong"), f": {found}", read))]
        blocks.extend(_damage(pulled))
        if pulled.others:
            text = f"it also holds snapshots of {', '.join(pulled.others)}; they were left there"
            blocks.append(Text(line(Span("note: ", "strong"), text)))
        return blocks


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class VerifyResult(Result):
    """What ``sync --verify`` found."""

    found: Pulled
    where: str

    @property
    def exit_code(self) -> int:
        return DONE if self.found.ok else FAILED

    def to_json(self) -> dict[str, Any]:
        found = self.found
        return {**found.report.to_json(), "ok": found.ok, "lost": list(found.lost), "remote": self.where}

    def summary(self) -> str:
        report = self.found.report
        return f"sync: {plural(report.items, 'item')} checked, {len(report.damage)} damaged"

    def view(self) -> Sequence[Block]:
        report = self.found.report
        checked = f": {plural(report.items, 'item')}, {size(report.size_bytes)}, as they were uploaded."
        title = Text(line("Remote ", Span(self.where, "strong"), "." if _is_empty(report) else checked))
        return [title, *_damage(self.found)]


def _is_empty(report: PullReport) -> bool:
    """Whether nothing was ever uploaded there, or nothing is left of it."""
    return not (report.items or report.refs or report.damage)


def _damage(found: Pulled) -> list[Block]:
    report = found.report
    if _is_empty(report):
        return [Text(line(Span("note: ", "strong"), "nothing has been uploaded there yet"))]
    blocks: list[Block] = []
    count = sum(damage.items for damage in report.damage)
    if count:
        blocks.append(Text(line(Span("damage: ", "red"), f"{plural(count, 'item')} there damaged or gone")))
    if found.lost:
        names = ", ".join(oid[:8] for oid in found.lost)
        blocks.append(Text(line(Span("snapshots no longer whole there: ", "red"), names)))
    if blocks:
        blocks.append(Text(line("The next sync from a machine that still has them heals it.")))
    return blocks


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class PrefetchResult(Result):
    """What is in the cache now."""

    report: PrefetchReport

    def to_json(self) -> dict[str, Any]:
        return {"ok": True, **self.report.to_json()}

    def summary(self) -> str:
        return f"prefetch: {plural(len(self.report.packages), 'package')}"

    def view(self) -> Sequence[Block]:
        blocks: list[Block] = [Text(line(text)) for text in str(self.report).split("\n")]
        if self.report.declared and self.report.newer:
            name = self.report.name
            text = f"`{self.program} install {name} --upgrade` takes it; with --offline, without a network."
            blocks.append(Text(line(Span(text, "dim"))))
        return blocks


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class AnalyzeResult(Result):
    """What the analysis found."""

    report: AnalysisReport

    def to_json(self) -> dict[str, Any]:
        return {"ok": True, **self.report.to_json()}

    def summary(self) -> str:
        report = self.report
        found = (len(report.imports), len(report.unused), len(report.undeclared), len(report.edits))
        return "analyze: {} imported, {} unused, {} undeclared, {} edited".format(*found)

    def view(self) -> Sequence[Block]:
        return self._blocks(limit=None if self.verbose else _SHOWN_ROWS)

    def folding_view(self) -> Sequence[Block]:
        svg = self.report.svg()
        pictures: list[Block] = [Section(line("Edits per package"), (Picture(svg),), opened=True)] if svg else []
        return [*self._blocks(limit=None), *pictures]

    def _blocks(self, *, limit: int | None) -> list[Block]:
        report = self.report
        modules = f"{plural(len(report.imports), 'module')} imported"
        title = f"{plural(report.files, 'file')}, {report.read} of them read anew; {modules}"
        blocks: list[Block] = [Text(line(Span(title, "strong")))]
        for name, headings, rows in report.tables():
            table = Table(tuple(tuple(line(cell) for cell in row) for row in rows[:limit]), headings, indent=1)
            blocks += [Gap(), Text(line(Span(name, "strong"))), table]
            if limit is not None and len(rows) > limit:
                blocks.append(Text(line(f"… and {len(rows) - limit} more (-v lists them)"), indent=1))
        return blocks
