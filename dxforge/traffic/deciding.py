"""Carrying out decisions: by path, as a command names them, or by version, as a panel showed them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from dxforge.errors import StaleDecisionError, StaleHunkError, UsageError
from dxforge.traffic.ground import Ground
from dxforge.traffic.hunks import syntax_problem
from dxforge.traffic.lock import Lock
from dxforge.traffic.model import Action, Change, Decision, InstallReport
from dxforge.traffic.outcome import Choice, Outcome, outcome, settled
from dxforge.traffic.record import Job, Record, Write
from dxforge.traffic.review import Matter, Review
from dxforge.traffic.standing import NEEDS_NONE, NOT_PENDING, Standings, difference, standing, touched

Chosen = tuple[list[Matter], set[tuple[str, str]]]
"""The files to decide on, and (package, path) of those that have come to need no decision."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What a decision did. ``review`` is how things are after it."""

    record: Record
    changes: list[Change]
    review: Review
    before: Lock

    @property
    def written(self) -> set[str]:
        """The paths from the root that it wrote."""
        return {write.path for write in self.record.writes}


class Decider:
    """Decides on pending files of one project. All calls need the project's lock.

    Args:
        ground: the project.
        standings: what is known of its pending files.
        now: the time for the log, ISO 8601.
    """

    def __init__(self, ground: Ground, standings: Standings, now: Callable[[], str]) -> None:
        self._ground = ground
        self._standings = standings
        self._now = now

    def by_path(self, choice: Choice, paths: Collection[str]) -> InstallReport:
        """Decide on what ``paths`` (from the root: files, folders, globs) mean; see ``TrafficManager.accept``."""

        def choose(review: Review) -> Chosen:
            matters, closed = review.choose(paths)
            if choice.of_one and len(matters) != 1:
                raise _not_one(len(matters), paths)
            return matters, closed

        done = self._run(choice, choose)
        left = done.review.shown(list(done.review.matters()))
        notes = self._ground.loaded(done.changes)
        return InstallReport(changes=done.changes, pending=left, operation=done.record.id, notes=notes)

    def by_version(self, choice: Choice, versions: Mapping[str, str]) -> Decision:
        """Decide on files as they were shown; all or nothing, and no other file is looked at.

        Args:
            choice: what was decided.
            versions: the paths from the root, each with the version that was shown.

        Raises:
            StaleDecisionError: one of them is not as it was shown; nothing was done.
        """
        if not versions or (choice.of_one and len(versions) != 1):
            raise _not_one(len(versions), versions)

        def choose(review: Review) -> Chosen:
            matters = list(review.matters(versions))
            self._standings.note(matters)
            check_versions(review, matters, versions)
            return matters, set()

        try:
            done = self._run(choice, choose)
        except StaleHunkError as error:
            raise _stale([(error.where, error.what)]) from error
        return self.decision(done.record, done.before, done.review, done.written, self._ground.loaded(done.changes))

    def decision(
        self, record: Record, before: Lock, review: Review, written: Collection[str], notes: Collection[str] = ()
    ) -> Decision:
        """What an operation did to the list of pending files.

        Args:
            record: the operation.
            before: the lock before it.
            review: how things are after it.
            written: the paths from the root that it wrote.
            notes: lines for the user.
        """
        affected, gone = touched(review, before, written)
        changed = self._standings.look(review, affected)
        gone |= affected - {found.path for found in changed}
        return Decision(operation=record.id, changed=tuple(changed), gone=tuple(sorted(gone)), notes=tuple(notes))

    def _run(self, choice: Choice, choose: Callable[[Review], Chosen]) -> Done:
        lock_text = self._ground.lock_text()
        workspace = self._ground.workspace(lock_text=lock_text)
        review = self._ground.review(workspace)
        matters, closed = choose(review)
        outcomes = {(matter.name, matter.item.path): outcome(review, matter, choice) for matter in matters}
        lock = settled(workspace.lock, outcomes, closed)
        job = Job(
            command=choice.command,
            summary=_names([matter.change.path for matter in matters]),
            writes=_distinct([write for known in outcomes.values() for write in (*known.writes, *known.asides)]),
            lock_before=lock_text,
            lock_after=self._ground.locks.dumps(lock),
        )
        journal = self._ground.journal()
        record = journal.run(job, now=self._now())
        after = self._ground.workspace(lock_text=job.lock_after)
        with self._ground.after_commit():
            self._ground.keep_archives(after, journal, lock_text)
        changes = [
            _decided(matter.change, outcomes[(matter.name, matter.item.path)], choice.command) for matter in matters
        ]
        return Done(record=record, changes=changes, review=self._ground.review(after), before=workspace.lock)


def check_versions(review: Review, matters: Collection[Matter], versions: Mapping[str, str]) -> None:
    """Whether all files are as they were shown.

    Raises:
        StaleDecisionError: some are not; says which, and what is new about each.
    """
    found = {matter.change.path: standing(matter).version for matter in matters}
    pending = {review.path(name, item.path) for name, items in review.items(versions) for item in items}
    stale = [
        (path, difference(version, found[path]) if path in found else NEEDS_NONE if path in pending else NOT_PENDING)
        for path, version in versions.items()
        if found.get(path) != version
    ]
    if stale:
        raise _stale(stale)


def _stale(files: list[tuple[str, str]]) -> StaleDecisionError:
    path, what = files[0]
    more = f" (and {len(files) - 1} more have changed)" if len(files) > 1 else ""
    return StaleDecisionError(
        f"{what}{more}", where=path, hint="Nothing was done; look at it again, then decide", files=tuple(files)
    )


def _not_one(count: int, paths: Collection[str]) -> UsageError:
    if not paths:
        return UsageError("no file was named", hint="Name what to decide on")
    return UsageError(
        f"{count} files match, and hunks or a resolution belong to exactly one",
        where=", ".join(paths),
        hint="Name one file",
    )


def _names(paths: list[str]) -> str:
    return paths[0] if len(paths) == 1 else f"{len(paths)} files"


def _distinct(writes: list[Write]) -> tuple[Write, ...]:
    """One write per path: two renames may end at the same file only once."""
    seen: set[str] = set()
    for write in writes:
        if write.path in seen:
            raise UsageError(
                "two of these changes end in the same file", where=write.path, hint="Decide on them one by one"
            )
        seen.add(write.path)
    return tuple(writes)


def _decided(change: Change, written: Outcome, command: str) -> Change:
    """A pending change as it reads once decided; ``broken`` where what was written does not compile."""
    write = next((write for write in written.writes if write.path == change.path), None)
    action = Action.KEEP
    if write is not None:
        action = Action.DELETE if write.after is None else Action.CREATE if write.before is None else Action.UPDATE
    said = {"accept": "accepted", "reject": "rejected", "resolve": "resolved"}[command]
    partly = " in part" if written.left is not None else ""
    broken = syntax_problem(write.path, write.content) if write is not None and write.content is not None else ""
    return dataclasses.replace(change, action=action, reason=f"{said}{partly}: {change.reason}", broken=broken)
