"""When to try again, and when to stop asking. Pure: time and chance are arguments."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Exponential backoff with jitter: ``attempts`` in all, waits of ``base_s``, twice that, ... up to ``longest_s``.

    A server that says it is too busy (429, 503) is given at least ``throttled_s``: R2 takes one write per second and
    key. Its ``Retry-After`` cannot be followed, because the client library does not hand it out.
    """

    attempts: int = 6
    base_s: float = 0.3
    longest_s: float = 20.0
    throttled_s: float = 1.0

    def wait_s(self, attempt: int, *, chance: float, throttled: bool = False) -> float | None:
        """How long to wait after the ``attempt``-th failure (the first is 1); None: give up.

        Args:
            chance: in [0, 1); waits lie between half and all of the step, so that many clients spread.
        """
        if attempt >= self.attempts:
            return None
        base_s = max(self.base_s, self.throttled_s) if throttled else self.base_s
        step_s = min(self.longest_s, base_s * 2.0 ** (attempt - 1))
        return max(self.throttled_s, step_s * (0.5 + chance / 2)) if throttled else step_s * (0.5 + chance / 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """Stops asking a remote that does not answer, so that nobody waits for it again and again.

    After ``limit`` operations in a row that failed (each after all of its attempts), nothing is asked for
    ``cool_down_s``; then one more failure doubles that, and one success closes the circuit.
    """

    limit: int = 2
    cool_down_s: float = 30.0
    longest_s: float = 600.0
    failures: int = 0
    open_until_s: float = 0.0

    def allows(self, now_s: float) -> bool:
        """Whether to ask at all; ``now_s`` is of a clock that never goes back."""
        return now_s >= self.open_until_s

    def failed(self, now_s: float) -> Breaker:
        """After an operation that failed for good; those that were under way when the circuit opened do not count."""
        if not self.allows(now_s):
            return self
        failures = self.failures + 1
        if failures < self.limit:
            return replace(self, failures=failures)
        # An exponent without bounds would overflow.
        pause_s = min(self.longest_s, self.cool_down_s * 2.0 ** min(failures - self.limit, 30))
        return replace(self, failures=failures, open_until_s=now_s + pause_s)

    def succeeded(self) -> Breaker:
        """After an operation that got an answer, whichever."""
        return replace(self, failures=0, open_until_s=0.0) if self.failures else self
