from __future__ import annotations

import io

import pytest

from dxforge.commands import progress
from dxforge.commands.progress import Reporter
from dxforge.events import Notice, Progress, WaitingForProject
from dxforge.orchestrator.status import ToolChanged, ToolState, ToolStatus


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_pipe_hears_only_what_must_be_said() -> None:
    stream = io.StringIO()
    reporter = Reporter(stream, bars=False)
    reporter(Progress(phase="download", item="a.whl", done=1, total=10))
    reporter(Notice(text="damaged \x1b[31mentry"))
    reporter(WaitingForProject(pid=42, timeout_s=30.0))
    reporter(WaitingForProject(pid=None, timeout_s=30.0))
    reporter.close()
    reporter(Notice(text="too late"))
    assert stream.getvalue().split("\n") == [
        "note: damaged \\x1b[31mentry",
        "waiting for process 42, which works on this project (at most 30 s)",
        "waiting for another process, which works on this project (at most 30 s)",
        "",
    ]


def test_a_terminal_sees_bars_with_names_that_cannot_act(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_PATIENCE_S", 0.0)
    monkeypatch.setenv("TERM", "xterm-256color")
    stream = Terminal()
    reporter = Reporter(stream, bars=True)
    reporter(Progress(phase="resolve", done=0, total=2))
    reporter(Progress(phase="download", item="[bold]\x07a.whl", done=1, total=10))
    reporter(Notice(text="said between"))
    reporter(Progress(phase="download", item="[bold]\x07a.whl", done=10, total=10))
    reporter.close()
    output = stream.getvalue()
    assert "Resolving" in output
    assert "Downloading [bold]\\x07a.whl" in output
    assert "said between" in output
    assert "\x07" not in output


def test_short_work_shows_no_bar() -> None:
    stream = Terminal()
    reporter = Reporter(stream, bars=True)
    reporter(Progress(phase="apply", done=1, total=2))
    reporter.close()
    assert stream.getvalue() == ""


@pytest.mark.parametrize("together", [True, False])
def test_what_was_told_is_not_told_again_in_the_same_place(*, together: bool) -> None:
    stream = io.StringIO()
    output = stream if together else io.StringIO()
    reporter = Reporter(stream, bars=False, output=output)
    starting = ToolStatus(state=ToolState.STARTING)
    healthy = ToolStatus(state=ToolState.HEALTHY, pid=7)
    reporter(ToolChanged(name="web", status=healthy, previous=starting))
    reporter.output("stdout", "● Healthy  web  pid 7\n")
    reporter.output("stdout", "● Healthy  web  pid 8\n")
    reporter.draw()
    reporter.close()
    assert stream.getvalue().count("pid 7") == 1
    assert output.getvalue().count("pid 7") == 1
    assert output.getvalue().count("pid 8") == 1
