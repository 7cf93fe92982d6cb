"""What ``watch`` tells while it goes on, in lines."""

from __future__ import annotations

from collections.abc import Sequence

from dxforge.commands.builds import BuildResult
from dxforge.commands.layout import plain
from dxforge.commands.live import Live
from dxforge.commands.result import log_tail, plural
from dxforge.commands.view import Block, Output, Span, Text, duration, line, state_span
from dxforge.events import Event
from dxforge.watcher import WatchFinished, Watching, WatchSuspended, WatchTriggered


class Narrator:
    """Listens to the watcher's events, from any thread, and puts them into words.

    Attributes:
        rounds: how many changes were answered.
    """

    def __init__(self, live: Live, *, program: str) -> None:
        self.rounds = 0
        self._live = live
        self._program = program

    def __call__(self, event: Event) -> None:
        """Take one event; those of others are left aside."""
        if isinstance(event, WatchTriggered):
            self.rounds += 1
        if blocks := self._blocks(event):
            self._live.output("stdout", f"{plain(blocks)}\n")

    def _blocks(self, event: Event) -> Sequence[Block]:
        match event:
            case Watching():
                what = ", ".join(event.what)
                return [
                    Text(line(f"Watching for {what}; an interrupt (Ctrl-C, or the notebook's stop button) ends it."))
                ]
            case WatchTriggered():
                more = f" and {plural(event.others, 'other file')}" if event.others else ""
                return [Text(line(f"{event.path}{more} changed: {event.what}"))]
            case WatchSuspended():
                wait = f"{event.what} waits until nothing has changed for {duration(event.quiet_s)}"
                return [Text(line(f"▲ {wait}: {event.reason}."))]
            case WatchFinished():
                return self._finished(event)
            case _:
                return ()

    def _finished(self, event: WatchFinished) -> Sequence[Block]:
        if event.error is not None:
            where = f"{event.error.where}: " if event.error.where else ""
            return [
                Text(line(f"■ {event.what}: {where}{event.error.what}")),
                Output(log_tail(event.error), indent=2),
                *([Text(line(Span(event.error.hint)), indent=1)] if event.error.hint else ()),
            ]
        if event.status is not None:
            return [Text(line(state_span(event.status.state), f"  {event.what}  pid {event.status.pid}"))]
        if event.report is not None:
            result = BuildResult(report=event.report, program=self._program)
            return [result.headline()] if event.report.ok else result.view()
        return ()
