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
from dxforge_nb.redact import Redactor, redacted

if TYPE_CHECKING:
    from dxforge.commands.result import Result
    from dxforge.commands.view import Block

_PATIENCE_S = 0.5
_INTERVAL_S = 0.25
"""So long, at least, lies between two updates: at most four a second, whatever happens."""


class CellLive(Live):
    """Below the running cell: output of tools as it comes, and what is under way once that takes a moment.

    Events come from any thread, and are kept until the cell's own thread draws: what another thread writes lands below
    a wrong cell, depending on the version of ipykernel. The values of secrets are left out of everything.

    Args:
        quiet: show nothing, but for what the user must know at once.
        board: show what is under way.
        redactor: knows the secrets.
    """

    def __init__(self, *, quiet: bool, board: bool = True, redactor: Redactor | None = None) -> None:
        self._quiet = quiet
        self._boards = board and not quiet
        self._redactor = redactor or Redactor()
        self._notices: list[str] = []
        self._outlet = Outlet()
        self._streams = {name: self._redactor.stream() for name in ("stdout", "stderr")}
        self._board = Board()
        self._lock = threading.Lock()
        self._drawn_at = time.monotonic() + _PATIENCE_S - _INTERVAL_S
        self._stamp: tuple[int, int] | None = None
        self._shown = ""
        self._display: Any = None
        self._ended = False

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
        self._outlet.drain(self._write)
        now = time.monotonic()
        if not self._boards or self._board.empty or now - self._drawn_at < _INTERVAL_S:
            return
        stamp = self._board.stamp()
        if stamp == self._stamp:
            return
        self._stamp, self._drawn_at = stamp, now
        self._show(self._board.blocks(), self._board.panel())

    def close(self) -> None:
        """Take the board away, as the result says it all. Where there is none, what was done so far stays."""
        for name, stream in self._streams.items():
            _write(name, stream.rest())
        if self._ended:
            if self._display is not None:
                self._update({"text/plain": "", "text/html": ""})
            return
        if not self._quiet and self._board.stopped_in_the_middle:
            stopped = self._board.panel(stopped=True)
            self._show(stopped, stopped)
        elif self._display is not None:
            self._update({"text/plain": "", "text/html": ""})
        # There is no result to say it in.
        with self._lock:
            for text in self._notices:
                _write("stderr", f"note: {self._redactor(text)}\n")

    def added_to(self, result: Result) -> Result:
        """``result``, which ends the command: with the notices, without secrets."""
        self._ended = True
        with self._lock:
            lines = tuple(self._notices)
        whole = dataclasses.replace(result, notices=(*result.notices, *lines)) if lines else result
        return redacted(whole, self._redactor)

    def _show(self, text: list[Block], page: list[Block]) -> None:
        text, page = redacted(text, self._redactor), redacted(page, self._redactor)
        drawn = html(page)
        if drawn != self._shown:
            self._shown = drawn
            self._update({"text/plain": plain(text), "text/html": drawn})

    def _update(self, bundle: dict[str, str]) -> None:
        from IPython.display import display

        if self._display is None:
            self._display = display(bundle, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._display.update(bundle, raw=True)

    def _write(self, stream: str, text: str) -> None:
        _write(stream, self._streams["stderr" if stream == "stderr" else "stdout"](text))


def _write(stream: str, text: str) -> None:
    if text:
        target = sys.stderr if stream == "stderr" else sys.stdout
        target.write(text)
        target.flush()
