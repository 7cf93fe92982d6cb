"""When re-running has become a loop: pure."""

from __future__ import annotations


class Flapping:
    """Tells when runs follow each other in a loop because each of them changes what the next one reads.

    ``limit`` runs in a row, each with a change during the run before it or within ``settle_s`` of its end, are a loop.
    The next run then waits until nothing changed for ``quiet_s``, and takes all that has changed; if it brings
    about the next change as well, that one waits twice as long, up to ``longest_s``, and so on until a run leaves
    things in peace. So every change is followed by a run, and a loop slows down to almost nothing.

    Pure: ``now`` is in seconds of a clock that never goes back. All arguments are in seconds but for ``limit``.
    """

    def __init__(
        self, *, limit: int = 5, settle_s: float = 2.0, quiet_s: float = 2.0, longest_s: float = 300.0
    ) -> None:
        self._limit = limit
        self._settle_s = settle_s
        self._quiet_s = quiet_s
        self._longest_s = longest_s
        self._row = 0
        self._own = False
        self._running = False
        self._ended = float("-inf")
        self._changed = float("-inf")

    def began(self) -> None:
        """A run begins; it takes all changes up to now."""
        self._row = self._row + 1 if self._own else 0
        self._own = False
        self._running = True

    def ended(self, now: float) -> None:
        """The run ended."""
        self._running = False
        self._ended = now

    def changed(self, now: float) -> None:
        """Something changed, or was found to have."""
        self._changed = now
        self._own = self._own or self._running or now - self._ended <= self._settle_s

    @property
    def runs(self) -> int:
        """How many runs in a row a change during or just after the run before brought about."""
        return self._row

    def quiet_s(self) -> float:
        """How long nothing may change before the next run; 0.0 while there is no loop."""
        if not self._own or self._row < self._limit:
            return 0.0
        doublings = min(self._row - self._limit, 32)  # beyond any longest_s
        return min(self._quiet_s * 2.0**doublings, self._longest_s)

    def wait_s(self, now: float) -> float:
        """How long the next run is to wait, if nothing changes meanwhile."""
        return max(0.0, self._changed + self.quiet_s() - now) if self.quiet_s() else 0.0
