"""Running a command's asynchronous work beside the kernel's own loop."""

from __future__ import annotations

import dataclasses
import sys
import threading
from typing import TYPE_CHECKING, Any, TypeVar

from dxforge.commands.progress import waiting_line
from dxforge.events import Event, Notice, WaitingForProject

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path

    from dxforge.commands.result import Result

T = TypeVar("T")


def run_in_thread(root: Path, coroutine: Coroutine[Any, Any, T]) -> T:
    """Run ``coroutine`` on a loop and thread of its own; interrupting the cell cancels it and waits for its end."""
    from dxforge.thread import ForgeThread

    with ForgeThread(root) as forge:
        return forge.run(coroutine)


class Notices:
    """Collects what must be said, to be shown with the result; says at once why nothing happens while we wait.

    Events come from any thread. What is written while a cell runs lands below that cell on every ipykernel, since the
    thread is the cell's own.
    """

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        """Take one event."""
        with self._lock:
            if isinstance(event, Notice):
                self._lines.append(event.text)
            elif isinstance(event, WaitingForProject):
                print(waiting_line(event), file=sys.stderr, flush=True)  # noqa: T201

    def added_to(self, result: Result) -> Result:
        """``result`` with the notices."""
        return dataclasses.replace(result, notices=(*result.notices, *self._lines)) if self._lines else result
