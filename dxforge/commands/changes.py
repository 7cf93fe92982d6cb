"""How changes that await a decision are listed, and which commands decide them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from dxforge.commands.result import plural
from dxforge.commands.shown import quoted
from dxforge.commands.view import Block, Commands, Gap, Line, Span, Table, Text, light_span, line
from dxforge.traffic.model import Action, Change, TrafficLight

LISTED_AT_MOST = 200
_DONE = {Action.CREATE: "created", Action.UPDATE: "updated", Action.DELETE: "deleted", Action.KEEP: "kept"}
_PLANNED = {Action.CREATE: "to create", Action.UPDATE: "to update", Action.DELETE: "to delete", Action.KEEP: "kept"}


def review_item(change: Change) -> dict[str, Any]:
    """The contract's item of ``review --json``."""
    item: dict[str, Any] = {
        "path": change.path,
        "light": change.light.value,
        "reason": change.reason,
        "package": change.package,
        "hunks": [{"id": hunk.id, "header": hunk.header} for hunk in change.hunks],
    }
    for key in ("new_path", "set_aside", "broken"):
        if value := getattr(change, key):
            item[key] = value
    if change.binary:
        item["binary"] = True
    return item


def by_package(changes: Iterable[Change]) -> dict[str, list[Change]]:
    """Changes by package, in the order in which packages first appear."""
    groups: dict[str, list[Change]] = {}
    for change in changes:
        groups.setdefault(change.package, []).append(change)
    return groups


def awaiting(count: int) -> str:
    """``2 changes await your decision``."""
    return f"{plural(count, 'change')} {'awaits' if count == 1 else 'await'} your decision"


def light_counts(changes: Sequence[Change], *, dry_run: bool) -> Line:
    """``12 updated, 2 created  ▲ 1 Yellow``: Green by what was done, the others by number."""
    words = _PLANNED if dry_run else _DONE
    green = [change for change in changes if change.light is TrafficLight.GREEN]
    actions = [change.action for change in green]
    spans: list[Span] = []
    if green:
        spans.append(light_span(TrafficLight.GREEN, count=len(green)))
        counts = ", ".join(f"{actions.count(action)} {word}" for action, word in words.items() if action in actions)
        spans.append(Span(f" ({counts})" if counts else ""))
    for light in (TrafficLight.YELLOW, TrafficLight.RED):
        if count := sum(change.light is light for change in changes):
            spans.extend((Span("  " if spans else ""), light_span(light, count=count)))
    return line(*spans)


def change_rows(changes: Iterable[Change], *, hunks: bool) -> tuple[tuple[Line, ...], ...]:
    """One row per change: light, path, (hunks,) why."""
    rows: list[tuple[Line, ...]] = []
    for change in changes:
        row = [line(light_span(change.light)), line(change.path)]
        if hunks:
            row.append(line(Span(_size(change), "dim")))
        rows.append((*row, line(*_why(change))))
    return tuple(rows)


def pending_blocks(changes: Sequence[Change], *, hunks: bool = True) -> list[Block]:
    """What awaits a decision, by package; ``hunks`` says whether they are known."""
    blocks: list[Block] = []
    for package, group in by_package(changes[:LISTED_AT_MOST]).items():
        if package:
            blocks.append(Text(line(Span(package, "strong"))))
        blocks.extend((Table(change_rows(group, hunks=hunks), indent=1), Gap()))
    if len(changes) > LISTED_AT_MOST:
        blocks.extend(
            (Text(line(f"… and {len(changes) - LISTED_AT_MOST} more; name a folder to see just its changes")), Gap())
        )
    return blocks


def next_commands(changes: Sequence[Change], program: str) -> Commands:
    """What to type next, spelled out for the first change that it fits."""
    first = next((change for change in changes if change.light is TrafficLight.YELLOW), changes[0])
    path = quoted(first.path)
    rows = [(f"{program} diff {path}", "your edits, theirs, and the proposal")]
    if len(first.hunks) > 1:
        rows.append((f"{program} accept {path} --hunk {first.hunks[0].id}", "take one hunk; the others stay undecided"))
    rows.append((f"{program} accept {path}", _meaning_of_accept(first)))
    rows.append((f"{program} reject {path}", "keep yours"))
    red = next((change for change in changes if change.light is TrafficLight.RED), None)
    if red is not None:
        rows.append((f"{program} resolve {quoted(red.path)} --file FILE", "settle it with a merge of your own"))
    if len(changes) > 1 and red is None:  # with Red, "all" would take theirs over what is the user's own
        rows.append((f"{program} accept --all", "take every proposal"))
    rows.append((f"{program} undo", "take the last operation back"))
    return Commands(tuple(rows))


def file_commands(change: Change, program: str) -> Commands:
    """What to type to decide on ``change``."""
    path = quoted(change.path)
    rows = [(f"{program} accept {path}", _meaning_of_accept(change)), (f"{program} reject {path}", "keep yours")]
    if len(change.hunks) > 1:
        rows.insert(
            1, (f"{program} accept {path} --hunk {change.hunks[0].id}", "take one hunk; the others stay undecided")
        )
    if change.light is TrafficLight.RED:
        rows.append((f"{program} resolve {path} --file FILE", "settle it with a merge of your own"))
    return Commands(tuple(rows))


def _meaning_of_accept(change: Change) -> str:
    if change.light is not TrafficLight.RED:
        return "take the proposal"
    return "take theirs in place of yours" if change.set_aside or change.binary else "take theirs: yours goes"


def _size(change: Change) -> str:
    if change.binary:
        return "binary"
    return plural(len(change.hunks), "hunk") if change.hunks else "whole file"


def _why(change: Change) -> list[Span]:
    spans = [Span(change.reason)]
    if change.new_path:
        spans.append(Span(f"; now {change.new_path}"))
    if change.set_aside:
        spans.append(Span(f"; theirs is in {change.set_aside}"))
    if change.broken:
        spans.extend((Span("; "), Span(f"would not parse: {change.broken}", "red")))
    return spans
