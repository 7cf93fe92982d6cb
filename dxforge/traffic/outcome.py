"""What a decision writes. Plans only; ``deciding.py`` carries it out."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from dxforge.errors import ApplyError, ReviewError, StaleHunkError, UsageError
from dxforge.store.tree import FILE, Entry, blob_oid
from dxforge.traffic.hunks import take_hunks
from dxforge.traffic.light import Obstacle
from dxforge.traffic.lock import Lock, LockedPackage, PendingFile
from dxforge.traffic.merge import merge3
from dxforge.traffic.model import TrafficLight
from dxforge.traffic.record import Write
from dxforge.traffic.review import Matter, Review


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What the user decided.

    ``hunks`` are ids of hunks of the one file that it is about (None: the whole file, or all files); ``content`` is
    the user's own resolution, of "resolve" only.
    """

    command: Literal["accept", "reject", "resolve"]
    hunks: tuple[str, ...] | None = None
    content: bytes = b""

    @property
    def of_one(self) -> bool:
        """Whether it can only be about one file."""
        return self.hunks is not None or self.command == "resolve"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a decision writes, and what is ``left`` to decide (None: the file's base moves to the incoming one)."""

    writes: tuple[Write, ...] = ()
    asides: tuple[Write, ...] = ()
    left: PendingFile | None = None


def outcome(review: Review, matter: Matter, choice: Choice) -> Outcome:
    """What ``choice`` writes of one pending file.

    Raises:
        ReviewError: it cannot be done.
        StaleHunkError: one of the hunks is not there.
        UsageError: the file has no hunks to choose from.
    """
    if choice.command == "accept":
        return _accepted(review, matter, choice.hunks)
    if choice.command == "reject":
        return _rejected(review, matter, choice.hunks)
    return _resolved(review, matter, choice.content)


def _accepted(review: Review, matter: Matter, chosen: Collection[str] | None) -> Outcome:
    if chosen is None:
        return _all_taken(review, matter)
    digests = _digests(review, matter, chosen)
    content = take_hunks(matter.old or b"", matter.new or b"", matter.every, digests)
    left = [hunk for hunk in matter.raw if hunk.digest not in digests]
    mode = matter.verdict.after.mode if matter.verdict.after is not None and not left else None
    writes = _replaced(matter, content, mode)
    if left:
        return Outcome(writes=writes, left=dataclasses.replace(matter.item, taken=True))
    return Outcome(writes=writes, asides=_asides(review, matter))


def _all_taken(review: Review, matter: Matter) -> Outcome:
    verdict, item = matter.verdict, matter.item
    if isinstance(verdict.case.local, Obstacle):
        raise ReviewError(
            f"it cannot be taken while {verdict.case.local.what}",
            where=matter.change.path,
            hint="Move that away first, or reject the change to keep it",
        )
    if verdict.after is not None and matter.new is None:
        raise _lost(matter)
    if item.new_path is not None:
        writes = _moved(review, matter)
    elif verdict.after is None:
        writes = (Write(path=matter.change.path, before=matter.local, after=None),)
    else:
        writes = _replaced(matter, proposed(matter) or b"", verdict.after.mode)
    return Outcome(writes=writes, asides=_asides(review, matter))


def proposed(matter: Matter) -> bytes | None:
    """What taking the whole proposal puts in the file's place: without the hunks that were refused already."""
    if matter.item.rejected and matter.every and matter.old is not None and matter.new is not None:
        return take_hunks(matter.old, matter.new, matter.every, {hunk.digest for hunk in matter.raw})
    return matter.new


def _replaced(matter: Matter, content: bytes, mode: int | None) -> tuple[Write, ...]:
    local = matter.local
    if mode is None:
        mode = local.mode if local is not None else FILE
    after = Entry(mode, blob_oid(content), len(content))
    if after == local:
        return ()
    return (Write(path=matter.change.path, before=local, after=after, content=content),)


def _moved(review: Review, matter: Matter) -> tuple[Write, ...]:
    item, verdict = matter.item, matter.verdict
    gone = Write(path=matter.change.path, before=matter.local, after=None)
    there = matter.facts.there
    new = matter.new or b""
    if verdict.after is None or (matter.change.light is TrafficLight.RED and there is not None):
        return (gone,)
    if there not in (None, item.incoming) and matter.old is not None:
        where = item.new_path or ""
        upstream = review.readers(matter).incoming([where]).get(where)
        if upstream is None:
            raise _lost(matter)
        merged = merge3(upstream, matter.old, new, path=where)
        if not merged.clean:
            raise ReviewError(
                f"you have edited {matter.change.new_path} too, and the two edits overlap",
                where=matter.change.path,
                hint="Carry the edit over yourself with `dxforge resolve`, or reject to keep both files",
            )
        new = merged.content
    after = Entry(verdict.after.mode, blob_oid(new), len(new))
    if after == there:
        return (gone,)
    return (gone, Write(path=matter.change.new_path or "", before=there, after=after, content=new))


def _rejected(review: Review, matter: Matter, chosen: Collection[str] | None) -> Outcome:
    if chosen is None:
        return Outcome(asides=_asides(review, matter))
    digests = _digests(review, matter, chosen)
    if all(hunk.digest in digests for hunk in matter.raw):
        return Outcome(asides=_asides(review, matter))
    rejected = tuple(sorted({*matter.item.rejected, *digests}))
    return Outcome(left=dataclasses.replace(matter.item, rejected=rejected))


def _resolved(review: Review, matter: Matter, content: bytes) -> Outcome:
    """The user's own resolution in the file's place (for a rename: at the new name)."""
    verdict = matter.verdict
    if isinstance(verdict.case.local, Obstacle):
        return _all_taken(review, matter)  # says what stands in the way
    mode = verdict.after.mode if verdict.after is not None else matter.local.mode if matter.local else FILE
    if matter.item.new_path is None:
        writes = _replaced(matter, content, mode)
    else:
        there = matter.facts.there
        after = Entry(mode, blob_oid(content), len(content))
        writes = (Write(path=matter.change.path, before=matter.local, after=None),)
        if after != there:
            writes += (Write(path=matter.change.new_path or "", before=there, after=after, content=content),)
    return Outcome(writes=writes, asides=_asides(review, matter))


def _asides(review: Review, matter: Matter) -> tuple[Write, ...]:
    """The ``.new`` file goes with the matter, unless the user has changed it."""
    item = matter.item
    if item.incoming is None or review.file(matter, item.set_aside) != item.incoming:
        return ()
    return (Write(path=matter.change.set_aside or "", before=item.incoming, after=None),)


def _digests(review: Review, matter: Matter, chosen: Collection[str]) -> set[str]:
    if not matter.raw:
        raise UsageError(
            "this change has no hunks to choose from; it is taken or refused as a whole",
            where=matter.change.path,
            hint=f"Use `dxforge accept {matter.change.path}` or `dxforge reject {matter.change.path}`",
        )
    known = dict(zip(review.ids(matter), (raw.digest for raw in matter.raw), strict=True))
    unknown = [number for number in chosen if number not in known]
    if unknown:
        ids = tuple(known)
        raise StaleHunkError(
            f"hunk {', '.join(unknown)} is not there (any more); there are {', '.join(ids)}",
            where=matter.change.path,
            hint=f"Look again with `dxforge diff {matter.change.path}`",
            hunks=ids,
        )
    return {known[number] for number in chosen}


def _lost(matter: Matter) -> ReviewError:
    return ReviewError(
        "the proposed version can no longer be had: the folder that it came from has changed since",
        where=matter.change.path,
        hint="Run `dxforge install`, which proposes what is there now; or resolve it, or reject it to keep yours",
    )


def settled(lock: Lock, outcomes: Mapping[tuple[str, str], Outcome], closed: Collection[tuple[str, str]]) -> Lock:
    """The lock after decisions: ``outcomes`` by (package, path), and what is ``closed`` because it needs none."""
    for name in {name for name, _ in (*outcomes, *closed)}:
        package = lock.packages[name]
        pending: list[PendingFile] = []
        for item in package.pending:
            decided = outcomes.get((name, item.path))
            if decided is not None:
                if decided.left is not None:
                    pending.append(decided.left)
            elif (name, item.path) not in closed:
                pending.append(item)
        updated: LockedPackage | None = dataclasses.replace(package, pending=tuple(pending))
        lock = lock.with_package(name, None if package.leaving and not pending else updated)
    return lock


def check_text(content: str | bytes) -> bytes:
    """A resolution's content as bytes.

    Raises:
        ApplyError: text that cannot be encoded.
    """
    if isinstance(content, bytes):
        return content
    try:
        return content.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise ApplyError("the text cannot be encoded as UTF-8", hint="Pass bytes instead") from error
