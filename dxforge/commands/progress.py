"""What a command line shows on standard error while it works."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, TextIO

from dxforge.background.tasks import TaskChanged, TaskProgressed
from dxforge.build.events import BuildStarted, StepFinished, StepOutput, StepStarted
from dxforge.commands.board import Board, line_of
from dxforge.commands.live import Live, Outlet
from dxforge.commands.phases import IN_BYTES, LABELS
from dxforge.commands.shown import shown
from dxforge.commands.terminal import encodable
from dxforge.events import Event, Notice, Progress, WaitingForProject
from dxforge.orchestrator.status import ToolChanged

if TYPE_CHECKING:
    from rich.live import Live as Screen
    from rich.progress import Progress as Bars

_TOLD = 32
"""So many lines are remembered, so that they are not told twice."""
_PATIENCE_S = 0.4


def waiting_line(event: WaitingForProject) -> str:
    """Whom we wait for, and how long."""
    holder = f"process {event.pid}" if event.pid else "another process"
    return f"waiting for {holder}, which works on this project (at most {event.timeout_s:g} s)"


class Reporter(Live):
    """Listens to events: bars and a board on a terminal once the work takes a moment, lines for what must be said.

    Events come from any thread. ``close`` takes bars and board off the screen.

    Args:
        stream: where all this goes, standard error.
        bars: whether that is a terminal that may be drawn on.
        output: where a tool's standard output goes, and its standard error to ``stream``; None: nowhere.
        verbose: show what build steps print.
        quiet: say only what must be said.
    """

    def __init__(
        self, stream: TextIO, *, bars: bool, output: TextIO | None = None, verbose: bool = False, quiet: bool = False
    ) -> None:
        self._stream = stream
        self._wants_bars = bars
        self._output = output
        self._verbose = verbose
        self._quiet = quiet
        self._bars: Bars | None = None
        self._tasks: dict[tuple[str, str], Any] = {}
        self._board = Board()
        self._screen: Screen | None = None
        self._outlet = Outlet()
        self._lock = threading.Lock()
        self._start = time.monotonic()
        self._closed = False
        self._told: deque[str] | None = deque(maxlen=_TOLD) if _same_place(stream, output) else None

    def __call__(self, event: Event) -> None:
        """Take one event."""
        with self._lock:
            if self._closed:
                return
            if isinstance(event, Notice):
                self._say(f"note: {shown(event.text)}")
            elif isinstance(event, WaitingForProject):
                self._say(waiting_line(event))
            elif isinstance(event, StepOutput):
                if self._verbose and not self._quiet:
                    self._outlet.put("stderr", event.text)
            elif isinstance(event, ToolChanged | StepStarted | StepFinished | TaskChanged):
                self._tell(event)
            elif isinstance(event, TaskProgressed | BuildStarted):
                self._board(event)
            elif isinstance(event, Progress):
                if event.phase == "build":
                    self._board(event)
                elif self._wants_bars:
                    self._advance(event)

    def output(self, stream: str, text: str) -> None:
        if self._output is not None:
            self._outlet.put(stream, text)

    def draw(self) -> None:
        self._outlet.drain(self._write)
        with self._lock:
            if not self._wants_bars or self._closed or self._bars or self._board.empty or not self._patient:
                return
            from dxforge.commands.terminal import console_for, redraw, start_screen

            if self._screen is None:
                self._screen = start_screen(console_for(self._stream))
            redraw(self._screen, self._board.blocks())

    def close(self) -> None:
        """Take everything off the screen; later events are dropped."""
        with self._lock:
            self._closed = True
            self._clear()

    @property
    def _patient(self) -> bool:
        # Most work is over before a bar could be read; it does not even pay for importing rich.
        return time.monotonic() - self._start >= _PATIENCE_S

    def _tell(self, event: Event) -> None:
        if self._wants_bars:
            self._board(event)
        elif not self._quiet and (told := line_of(event)):
            text = "".join(shown(span.text) for span in told)
            self._say(text)
            if self._told is not None:
                self._told.append(f"{text}\n")

    def _clear(self) -> None:
        for shown_now in (self._bars, self._screen):
            if shown_now is not None:
                shown_now.stop()
        self._bars = self._screen = None

    def _write(self, stream: str, text: str) -> None:
        with self._lock:
            # From here on, the screen is the tool's.
            self._clear()
            self._wants_bars = False
        target = self._stream if stream == "stderr" or self._output is None else self._output
        if self._told and target is self._output:
            # `watch` says there how a tool stands, for whoever reads only that.
            text = "".join(part for part in text.splitlines(keepends=True) if part not in self._told)
        target.write(encodable(text, target))
        target.flush()

    def _say(self, text: str) -> None:
        drawn = self._bars or self._screen
        if drawn is not None:
            from rich.text import Text

            drawn.console.print(Text(text))
        else:
            print(encodable(text, self._stream), file=self._stream, flush=True)

    def _advance(self, event: Progress) -> None:
        if self._bars is None:
            if not self._patient:
                return
            self._bars = self._start_bars()
        key = (event.phase, event.item if event.phase == "download" else "")
        task = self._tasks.get(key)
        if task is None:
            label = LABELS.get(event.phase, event.phase.capitalize())
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


def _same_place(one: TextIO, other: TextIO | None) -> bool:
    """Whether what is written to both lands in one place: a terminal, a file, a pipe."""
    try:
        return one is other or (other is not None and os.path.sameopenfile(one.fileno(), other.fileno()))
    except (OSError, ValueError):
        return False


def _amount(event: Progress) -> str:
    from rich.filesize import decimal

    write = decimal if event.phase in IN_BYTES else str
    return write(event.done) if event.total is None else f"{write(event.done)} of {write(event.total)}"
