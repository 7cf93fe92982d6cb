"""What a command line shows on standard error while it works."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, TextIO

from dxforge.commands.shown import shown
from dxforge.events import Event, Notice, Progress, WaitingForProject

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

_PATIENCE_S = 0.4
_LABELS = {
    "resolve": "Resolving",
    "download": "Downloading",
    "unpack": "Unpacking",
    "merge": "Comparing",
    "apply": "Writing",
}


def waiting_line(event: WaitingForProject) -> str:
    """Whom we wait for, and how long."""
    holder = f"process {event.pid}" if event.pid else "another process"
    return f"waiting for {holder}, which works on this project (at most {event.timeout_s:g} s)"


class Reporter:
    """Listens to events: bars on a terminal once the work takes a moment, lines for what must be said.

    Events come from any thread. ``close`` removes the bars.
    """

    def __init__(self, stream: TextIO, *, bars: bool) -> None:
        self._stream = stream
        self._wants_bars = bars
        self._bars: Bars | None = None
        self._tasks: dict[tuple[str, str], Any] = {}
        self._lock = threading.Lock()
        self._start = time.monotonic()
        self._closed = False

    def __call__(self, event: Event) -> None:
        """Take one event."""
        with self._lock:
            if self._closed:
                return
            if isinstance(event, Notice):
                self._say(f"note: {shown(event.text)}")
            elif isinstance(event, WaitingForProject):
                self._say(waiting_line(event))
            elif isinstance(event, Progress) and self._wants_bars:
                self._advance(event)

    def close(self) -> None:
        """Take the bars off the screen; later events are dropped."""
        with self._lock:
            self._closed = True
            if self._bars is not None:
                self._bars.stop()

    def _say(self, text: str) -> None:
        if self._bars is not None:
            from rich.text import Text

            self._bars.console.print(Text(text))
        else:
            print(text, file=self._stream, flush=True)

    def _advance(self, event: Progress) -> None:
        # Most runs are over before a bar could be read; they do not even pay for importing rich.
        if self._bars is None:
            if time.monotonic() - self._start < _PATIENCE_S:
                return
            self._bars = self._start_bars()
        key = (event.phase, event.item if event.phase == "download" else "")
        task = self._tasks.get(key)
        if task is None:
            label = _LABELS.get(event.phase, event.phase.capitalize())
            name = f"{label} {shown(event.item)}" if key[1] else label
            task = self._tasks[key] = self._bars.add_task(name, total=event.total, amount="")
        self._bars.update(task, completed=event.done, total=event.total, amount=_amount(event))
        if event.phase == "download" and event.total is not None and event.done >= event.total:
            self._bars.remove_task(task)
            del self._tasks[key]

    def _start_bars(self) -> Bars:
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bars

        from dxforge.commands.terminal import console_for

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[amount]}", markup=False),
            TimeElapsedColumn(),
        )
        bars = Bars(*columns, console=console_for(self._stream), transient=True)
        bars.start()
        return bars


def _amount(event: Progress) -> str:
    from rich.filesize import decimal

    write = decimal if event.phase == "download" else str
    return write(event.done) if event.total is None else f"{write(event.done)} of {write(event.total)}"
