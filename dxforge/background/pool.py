"""The threads that carry out runs: made when they are needed, and kept."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue

from dxforge.background.priority import lower_this_thread
from dxforge.background.run import Run, TaskContext


class Pool:
    """Threads of one worker.

    Args:
        finished: is given each run when it is over, in its thread.
    """

    def __init__(self, finished: Callable[[Run], object]) -> None:
        self._finished = finished
        self._jobs: SimpleQueue[tuple[Run, TaskContext] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []

    def grow(self, count: int) -> bool:
        """See to it that there are ``count`` threads; whether there are."""
        while len(self._threads) < count:
            name = f"dxforge-worker-{len(self._threads) + 1}"
            thread = threading.Thread(target=self._serve, name=name, daemon=True)
            try:
                thread.start()
            except RuntimeError:  # there may be no more of them, or the interpreter ends
                return False
            self._threads.append(thread)
        return True

    def give(self, run: Run, context: TaskContext) -> None:
        """Have a run carried out by the next thread that is free."""
        self._jobs.put((run, context))

    def end(self) -> None:
        """Let every thread end when it has nothing more to do."""
        for _ in self._threads:
            self._jobs.put(None)

    def wait(self, timeout_s: float) -> None:
        """Until each thread has ended, or for ``timeout_s`` seconds each."""
        for thread in self._threads:
            thread.join(timeout_s)

    def _serve(self) -> None:
        """The life of a thread, at low priority."""
        lower_this_thread()
        while (job := self._jobs.get()) is not None:
            run, context = job
            run.carry_out(context)
            del job, context
            self._finished(run)
            del run
