"""How each pending file stands, as a list with versions; what has not changed is not evaluated again."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from dxforge.traffic import light as table
from dxforge.traffic.lock import Lock
from dxforge.traffic.model import Standing
from dxforge.traffic.review import Facts, Matter, Review

_LOCAL, _UPDATE, _DECIDED, _PROPOSAL = range(4)
_CHANGED = {
    _LOCAL: "your file has changed",
    _UPDATE: "another version of the package has come in",
    _DECIDED: "some of its hunks have been decided on",
    _PROPOSAL: "its proposal is another one",
}
NOT_PENDING = "it has been decided on"
NEEDS_NONE = "it has come to need no decision"


def standing(matter: Matter) -> Standing:
    """How a file stands that needs a decision."""
    change = matter.change
    return Standing(
        path=change.path,
        package=change.package,
        light=change.light,
        reason=change.reason,
        hunks=len(matter.raw),
        binary=change.binary,
        new_path=change.new_path,
        set_aside=change.set_aside,
        broken=change.broken,
        version=_version(matter),
    )


def _version(matter: Matter) -> str:
    """One digest for each kind of thing that the decision depends on, so that a later look can say which it was."""
    facts, verdict, item = matter.facts, matter.verdict, matter.item
    proposal = (verdict.light.value, verdict.action.value, verdict.reason, verdict.after, facts.review)
    parts = {
        _LOCAL: (facts.local, facts.there),
        _UPDATE: (item.base, item.incoming, item.former, item.new_path, item.candidates, facts.leaving),
        _DECIDED: (item.rejected, item.taken),
        _PROPOSAL: (*proposal, matter.new is None),
    }
    return "-".join(
        hashlib.sha256(repr(parts[key]).encode("utf-8", "surrogateescape")).hexdigest()[:12] for key in parts
    )


def difference(expected: str, found: str) -> str:
    """What two different versions of one file differ in, for the user."""
    old, new = expected.split("-"), found.split("-")
    if len(old) != len(_CHANGED):
        return "it has changed"
    # The first of these is the reason for what else has changed.
    return next((_CHANGED[key] for key in (_UPDATE, _DECIDED, _LOCAL) if old[key] != new[key]), _CHANGED[_PROPOSAL])


@dataclass(frozen=True, slots=True)
class _Known:
    facts: Facts
    standing: Standing | None


class Standings:
    """The list of pending files of one project, remembered between two looks."""

    def __init__(self) -> None:
        self._known: Mapping[str, _Known] = {}

    def look(self, review: Review, wanted: Collection[str] | None = None) -> list[Standing]:
        """Every pending file (``wanted``: only these paths from the root) that needs a decision, by its path."""
        before = self._known
        now: dict[str, _Known] = {}
        fresh: dict[str, Facts] = {}
        for name, items in review.items(wanted):
            for item, facts in zip(items, review.facts(name, items), strict=True):
                path = review.path(name, item.path)
                known = before.get(path)
                if known is None or known.facts != facts:
                    fresh[path] = facts
                else:
                    now[path] = known
        evaluated = {matter.change.path: matter for matter in review.matters(fresh)}
        lost = {path for path, matter in evaluated.items() if _is_lost(matter)}
        for path, facts in fresh.items():
            now[path] = _Known(facts, standing(evaluated[path]) if path in evaluated else None)
        self._known = {
            **(before if wanted is not None else {}),
            **{path: known for path, known in now.items() if path not in lost},
        }
        return [known.standing for _, known in sorted(now.items()) if known.standing is not None]

    def note(self, matters: Iterable[Matter]) -> None:
        """Take over what has been evaluated elsewhere."""
        fresh = {
            matter.change.path: _Known(matter.facts, standing(matter)) for matter in matters if not _is_lost(matter)
        }
        self._known = {**self._known, **fresh}


def _is_lost(matter: Matter) -> bool:
    """Whether an archive could not be had, which may be another time."""
    return matter.verdict.reason in (table.BASE_LOST, table.INCOMING_LOST) or (
        matter.verdict.after is not None and matter.new is None
    )


def touched(review: Review, before: Lock, written: Collection[str]) -> tuple[set[str], set[str]]:
    """The pending files that an operation may have changed.

    Args:
        review: how things are after it.
        before: the lock before it.
        written: the paths from the root that it wrote.

    Returns:
        The paths of those that are (still) pending, and of those that no longer are.
    """
    old = {(name, item.path): item for name, package in before.packages.items() for item in package.pending}
    changed: set[str] = set()
    for name, items in review.items():
        for item in items:
            path = review.path(name, item.path)
            new_path = None if item.new_path is None else review.path(name, item.new_path)
            if old.pop((name, item.path), None) != item or path in written or new_path in written:
                changed.add(path)
    return changed, {review.path(*key) for key in old}
