"""The traffic light for one file: a pure function of base, local and incoming."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dxforge.store.tree import SYMLINK, Entry
from dxforge.traffic.model import Action, TrafficLight


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What the table says. ``merge`` names what is still open: the contents must be merged to know the light.

    With ``merge``, ``light`` is what holds when the merge is clean; when it is not, the light is Red.
    """

    light: TrafficLight
    action: Action
    reason: str
    merge: bool = False


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Something at the path (or above it) that is neither a file nor a symlink; ``what`` names it."""

    what: str


def _green(action: Action, reason: str) -> Decision:
    return Decision(light=TrafficLight.GREEN, action=action, reason=reason)


def _yellow(reason: str, *, merge: bool = False) -> Decision:
    return Decision(light=TrafficLight.YELLOW, action=Action.PROPOSE, reason=reason, merge=merge)


def _red(reason: str) -> Decision:
    return Decision(light=TrafficLight.RED, action=Action.SET_ASIDE, reason=reason)


NEW = "new file"
SAME = "already the same"
UPDATED = "updated; you had not changed it"
REMOVED = "removed upstream; you had not changed it"
YOURS = "a file of your own; the package has none here"
YOUR_EDIT = "your edit; upstream did not change it"
YOUR_DELETION = "you deleted it; it stays deleted"
MERGED = "your edit and the update merge cleanly"
ALWAYS = 'updated; you had not changed it, but review = "always"'
DELETED_AND_CHANGED = "you deleted it, upstream changed it"
IN_THE_WAY = "a file of yours stands in the way and differs"
SAME_CHANGE = "upstream made the change that you had made"
OVERLAP = "your edit and the update overlap"
BINARY = "you and upstream both changed this binary file"
REMOVED_BUT_EDITED = "removed upstream, but you had edited it"
BASE_LOST = "both changed, and the version that you had edited can no longer be had: compare the two yourself"
INCOMING_LOST = "both changed, and the proposed version can no longer be had: install to see what there is now"
EDIT_TAKEN_BACK = "you took your edit back; the update can be applied"
SWAPPED = "a file on one side is a symlink or folder on the other"


def decide(
    base: Entry | None,
    local: Entry | Obstacle | None,
    incoming: Entry | None,
    *,
    review: Literal["modified", "always"] = "modified",
) -> Decision:
    """The contract's table, for content, mode and type.

    Args:
        base: the file as last installed.
        local: the file on disk, or what is there in place of a file.
        incoming: the file in the new version.
        review: "always" makes an update of an unedited file a proposal.

    Returns:
        The decision. Where contents must be merged first, ``merge`` is set (see :class:`Decision`).
    """
    if isinstance(local, Obstacle):
        return _obstructed(base, local, incoming)
    if local == incoming:
        return _green(Action.KEEP, SAME)
    if base is None:
        return _first(local, incoming)
    if local is None:
        return _green(Action.KEEP, YOUR_DELETION) if incoming == base else _yellow(DELETED_AND_CHANGED)
    if local == base:
        if incoming is None:
            return _green(Action.DELETE, REMOVED)
        return _yellow(ALWAYS) if review == "always" else _green(Action.UPDATE, UPDATED)
    if incoming == base:
        return _green(Action.KEEP, YOUR_EDIT)
    if incoming is None:
        return _red(REMOVED_BUT_EDITED)
    return _both_changed(base, local, incoming)


def _first(local: Entry | None, incoming: Entry | None) -> Decision:
    if local is None:
        return _green(Action.CREATE, NEW)
    if incoming is None:
        return _green(Action.KEEP, YOURS)
    swapped = (local.mode == SYMLINK) != (incoming.mode == SYMLINK)
    return _red(SWAPPED) if swapped else _yellow(IN_THE_WAY)


def _obstructed(base: Entry | None, local: Obstacle, incoming: Entry | None) -> Decision:
    if incoming is None or incoming == base:
        return _green(Action.KEEP, YOUR_EDIT)
    return _red(f"{SWAPPED} ({local.what})")


def _both_changed(base: Entry, local: Entry, incoming: Entry) -> Decision:
    if SYMLINK in (base.mode, local.mode, incoming.mode):
        kinds = {entry.mode == SYMLINK for entry in (base, local, incoming)}
        return _red(SWAPPED if len(kinds) > 1 else OVERLAP)
    return _yellow(MERGED, merge=len({base.oid, local.oid, incoming.oid}) == 3)


def merged_mode(base: int, local: int, incoming: int) -> int:
    """The mode that a clean merge has: the side that changed it wins (both can only have changed it alike)."""
    return incoming if local == base else local


def one_sided(base: Entry, local: Entry, incoming: Entry) -> str | None:
    """The merged content's blob id where only one side changed the content, None where both did."""
    if local.oid in (base.oid, incoming.oid):
        return incoming.oid
    return local.oid if incoming.oid == base.oid else None
