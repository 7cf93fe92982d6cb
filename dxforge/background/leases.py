"""Signs of life: ours for the other workers of the project, and theirs for us."""

from __future__ import annotations

import time

from dxforge.background.book import Book
from dxforge.background.identity import Owner, started
from dxforge.background.journal import Journal
from dxforge.background.policy import BEAT_S, MAX_LOSSES, Sighting, abandoned
from dxforge.background.run import Run
from dxforge.background.tasks import TaskState

_alive: set[str] = set()
"""Tokens of the workers whose threads live in this process."""


def forget_threads() -> None:
    """In a forked child: no worker's thread came along."""
    _alive.clear()


class Leases:
    """What one worker knows of who runs which task; used by its keeper's thread alone.

    Args:
        book: who waits for what.
        running: our own runs, by number.
    """

    def __init__(self, book: Book, running: dict[int, Run]) -> None:
        self._book = book
        self._running = running
        self._token = ""
        self._seen: dict[int, Sighting] = {}
        self._version = -1
        self._beat_s = 0.0

    @property
    def watching(self) -> bool:
        """Whether another worker runs something, as far as we know."""
        return bool(self._seen)

    def live(self, owner: Owner) -> None:
        """The worker begins."""
        self._token = owner.token
        _alive.add(self._token)

    def die(self) -> None:
        """The worker has ended."""
        _alive.discard(self._token)

    def begin_anew(self) -> None:
        """There is another journal."""
        self._seen = {}
        self.look_again()

    def look_again(self) -> None:
        """Look into the journal next time, though nobody else should have written there."""
        self._version = -1

    def look(self, journal: Journal, owner: Owner) -> None:
        """Tell that we live, and act on what the others did since we last looked."""
        version = journal.version()
        news, self._version = version != self._version, version
        now_s = time.monotonic()
        stopped: set[int] = set()
        if self._running and now_s - self._beat_s >= BEAT_S:
            self._beat_s = now_s
            lost, stopped = journal.beat({number: run.progress for number, run in self._running.items()}, now_s)
            for number in lost:
                self._lose(self._running[number])
        elif self._running and news:
            stopped = journal.stops()
        for number in stopped & self._running.keys():
            self._running[number].cancelled = True
            self._running[number].ask_to_stop()
        if news:
            self._follow(journal)
        if news or self._seen:
            self._take_over(journal, owner, now_s)

    def _lose(self, run: Run) -> None:
        run.lost = True
        run.ask_to_stop()
        self.look_again()

    def _follow(self, journal: Journal) -> None:
        """How the tasks stand that somebody here waits for and others run."""
        numbers = [n for n in self._book.open if n not in self._running or self._running[n].lost]
        infos = journal.infos(numbers)
        for number in numbers:
            info, became = infos.get(number, (None, None))
            if info is None:
                gone = "nothing is known of it any more"
                self._book.over(number, None, TaskState.FAILED, reason=gone)
            elif became is not None:
                self._book.moved(number, became)
                self.look_again()
            elif info.state.ended:
                self._book.over(
                    number, None, info.state, reason=info.reason, result=info.result, attempts=info.attempts
                )
            else:
                self._book.follow(number, info.state, info.reason, info.progress)

    def _take_over(self, journal: Journal, owner: Owner, now_s: float) -> None:
        """Let tasks wait again whose process is dead."""
        seen: dict[int, Sighting] = {}
        for held in journal.held():
            before = self._seen.get(held.id)
            sighting = Sighting(lease=held.lease, since_s=now_s)
            if before is not None and before.lease == held.lease:
                sighting = before
            alive = frozenset(_alive)
            if not abandoned(held.lease, sighting, owner, now_s, started=started, alive=alive):
                seen[held.id] = sighting
            elif journal.take_over(held, max_losses=MAX_LOSSES):
                self.look_again()
        self._seen = seen
