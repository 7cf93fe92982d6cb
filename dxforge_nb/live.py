"""What a cell shows while its command works."""

from __future__ import annotations

import dataclasses
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from dxforge.build.events import WaitingForBuild
from dxforge.commands.board import Board
from dxforge.commands.html import html
from dxforge.commands.layout import plain
from dxforge.commands.live import Live, Outlet
from dxforge.commands.progress import waiting_line
from dxforge.events import Event, Notice, WaitingForProject

if TYPE_CHECKING:
    from dxforge.commands.result import Result

_PATIENCE_S = 1.0
_INTERVAL_S = 0.5


class CellLive(Live):
    """Below the running cell: output of tools as it comes, and what is under way once that takes a moment.

    Events come from any thread, and are kept until the cell's own thread draws: what another thread writes lands below
    a wrong cell, depending on the version of ipykernel.
    """

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._notices: list[str] = []
        self._outlet = Outlet()
        self._board = Board()
        self._lock = threading.Lock()
        self._drawn_at = time.monotonic() + _PATIENCE_S - _INTERVAL_S
        self._display: Any = None

    def __call__(self, event: Event) -> None:
        """Take one event."""
        if isinstance(event, WaitingForBuild):
            self._outlet.put("stderr", f"{event.text}\n")
        elif isinstance(event, Notice):
            with self._lock:
                self._notices.append(event.text)
        elif isinstance(event, WaitingForProject):
            self._outlet.put("stderr", f"{waiting_line(event)}\n")
        else:
            self._board(event)

    def output(self, stream: str, text: str) -> None:
        if not self._quiet:
            self._outlet.put(stream, text)

    def draw(self) -> None:
        self._outlet.drain(_write)
        now = time.monotonic()
        if self._quiet or self._board.empty or now - self._drawn_at < _INTERVAL_S:
            return
        self._drawn_at = now
        blocks = self._board.blocks()
        self._show({"text/plain": plain(blocks), "text/html": html(blocks)})

    def close(self) -> None:
        """Take the board away: the result says it all."""
        if self._display is not None:
            self._show({"text/plain": "", "text/html": ""})

    def added_to(self, result: Result) -> Result:
        """``result`` with the notices."""
        with self._lock:
            lines = tuple(self._notices)
        return dataclasses.replace(result, notices=(*result.notices, *lines)) if lines else result

    def _show(self, bundle: dict[str, str]) -> None:
        from IPython.display import display

        if self._display is None:
            self._display = display(bundle, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._display.update(bundle, raw=True)


def _write(stream: str, text: str) -> None:
    target = sys.stderr if stream == "stderr" else sys.stdout
    target.write(text)
    target.flush()
