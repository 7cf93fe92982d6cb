"""What a review panel works with: the list, one file's view, decisions that name the version they are about."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Literal

from dxforge.errors import ReviewError
from dxforge.traffic.model import Decision, FileView, Operation, Standing

if TYPE_CHECKING:
    from dxforge.traffic.deciding import Decider
    from dxforge.traffic.ground import Ground
    from dxforge.traffic.standing import Standings
    from dxforge.traffic.undoing import Undoer


class Reviewing:
    """Reviewing for those who show a list and come back to it: cheap between two looks, and never about old news.

    Everything blocks; call it in a thread. Decisions wait for the project's lock as every operation does.

    Args:
        ground: the project.
        standings: what is known of its pending files.
        decider: carries decisions out.
        undoer: takes them back.
    """

    def __init__(self, ground: Ground, standings: Standings, decider: Decider, undoer: Undoer) -> None:
        self._ground = ground
        self._standings = standings
        self._decider = decider
        self._undoer = undoer

    def pending(self, paths: Collection[str] | None = None) -> list[Standing]:
        """Everything that awaits a decision, by path; evaluates only what has changed since the last time.

        Args:
            paths: only these files, from the project's root (None: all).

        Raises:
            ChangedMeanwhileError: a file is being written just now.
            DxForgeError: the project cannot be read.
        """
        self._ground.recover()
        return self._standings.look(self._ground.review(self._ground.workspace()), paths)

    def paths(self) -> list[str]:
        """The files that ``dx.lock`` lists as pending, those too that need no decision as they are now."""
        review = self._ground.review(self._ground.workspace())
        return [review.path(name, item.path) for name, items in review.items() for item in items]

    def prepare(self) -> None:
        """Do now what the first decision would wait for, and no later one: all of ``dx.lock`` is put into words once.

        Raises:
            DxForgeError: the project cannot be read.
        """
        self._ground.locks.dumps(self._ground.workspace().lock)

    def view(self, path: str) -> FileView:
        """One pending file from every side.

        Args:
            path: from the project's root.

        Raises:
            StaleDecisionError: it is not pending (any more).
            ChangedMeanwhileError: it is being written just now.
        """
        from dxforge.traffic.deciding import check_versions
        from dxforge.traffic.view import view

        self._ground.recover()
        review = self._ground.review(self._ground.workspace())
        matters = list(review.matters({path}))
        if not matters:
            check_versions(review, matters, {path: ""})
        self._standings.note(matters)
        return view(review, matters[0])

    def decide(
        self,
        what: Literal["accept", "reject"],
        versions: Mapping[str, str],
        hunks: Collection[str] | None = None,
    ) -> Decision:
        """Accept or reject files, or hunks of one file; all or nothing. Looks at no other pending file.

        Args:
            what: which of the two.
            versions: the files' paths from the project's root, each with the version that the user saw.
            hunks: ids of hunks; only with exactly one file.

        Raises:
            StaleDecisionError: a file has changed since; nothing was done.
            DxForgeError: what ``TrafficManager.accept`` raises; nothing was done.
        """
        from dxforge.traffic.outcome import Choice

        choice = Choice(command=what, hunks=None if hunks is None else tuple(hunks))
        return self._ground.with_lock(lambda: self._decider.by_version(choice, versions))

    def resolve(self, path: str, version: str, content: str) -> Decision:
        """Decide on one file by giving its content, in the encoding in which its view showed it.

        Raises:
            StaleDecisionError: the file has changed since; nothing was done.
            ReviewError: it has no text to be edited, or cannot hold this text; nothing was done.
        """

        def work() -> Decision:
            from dxforge.traffic.outcome import Choice

            shown = self.view(path)
            same = shown.standing.version == version  # otherwise nothing is written, whatever it may be
            data = _encoded(shown, content) if same else b""
            return self._decider.by_version(Choice(command="resolve", content=data), {path: version})

        return self._ground.with_lock(work)

    def newest(self) -> str:
        """The id of the newest operation of any kind; empty where nothing has been done."""
        return self._undoer.newest()

    def last(self) -> Operation | None:
        """The last decision that still holds, which undo would take back; None where that is none."""
        return self._undoer.decision()

    def undo(self, operation: str) -> Decision:
        """Take back ``operation``, which must be the last decision that still holds; then the one before it is.

        Raises:
            StaleDecisionError: it is not, any more; nothing was done.
            UndoError: later edits are in the way; nothing was done.
        """

        def work() -> Decision:
            done = self._undoer.only(operation)
            notes = self._ground.loaded(done.changes)
            if done.review is None:
                return Decision(operation=done.record.id, notes=tuple(notes))
            before = self._ground.locks.loads(done.job.lock_before)
            written = {change.path for change in done.changes}
            return self._decider.decision(done.record, before, done.review, written, notes)

        return self._ground.with_lock(work)


def _encoded(shown: FileView, content: str) -> bytes:
    path = shown.standing.path
    if shown.why_not:
        raise ReviewError(
            f"its text cannot be edited here: {shown.why_not}",
            where=path,
            hint=f"Write the file elsewhere, then `dxforge resolve {path} --file F`",
        )
    try:
        return content.encode(shown.encoding)
    except UnicodeEncodeError as error:
        raise ReviewError(
            f"it is written in {shown.encoding}, which has no {content[error.start]!r}",
            where=path,
            hint="Use another character, or write the file elsewhere and resolve with that",
        ) from error
