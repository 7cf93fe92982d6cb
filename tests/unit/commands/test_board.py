from __future__ import annotations

from dxforge.build.events import BuildStarted, StepFinished, StepOutput, StepStarted
from dxforge.build.model import Step, StepResult, StepState
from dxforge.commands.board import Board, line_of
from dxforge.commands.layout import plain
from dxforge.commands.view import Bar, Picture, Table, Text
from dxforge.events import Event, Notice, Progress
from dxforge.orchestrator.status import ToolChanged, ToolState, ToolStatus


def changed(name: str, state: ToolState, detail: str = "", previous: ToolState = ToolState.STOPPED) -> ToolChanged:
    return ToolChanged(name=name, status=ToolStatus(state, 7, detail), previous=ToolStatus(previous))


def started(index: int) -> StepStarted:
    return StepStarted(index=index, tool="sass", args=(f"{index}.scss",), why="a.scss changed")


def finished(index: int, state: StepState = StepState.BUILT) -> StepFinished:
    step = Step(index=index, id=str(index), tool="sass", args=(f"{index}.scss",))
    return StepFinished(result=StepResult(step=step, state=state, why="", duration_s=1.0))


def told(event: Event) -> str | None:
    line = line_of(event)
    return None if line is None else plain([Text(line)])


def test_tools_under_way_stand_above_those_that_are_settled() -> None:
    board = Board()
    assert board.empty
    board(changed("a", ToolState.HEALTHY))
    board(changed("b", ToolState.STARTING, "waits for its port"))
    assert not board.empty
    assert plain(board.blocks()).split("\n") == ["◐ Starting  b  waits for its port", "● Healthy   a"]


def test_steps_that_run_those_that_failed_and_how_many_are_done() -> None:
    board = Board()
    for index in range(12):
        board(started(index))
    board(finished(0))
    board(finished(1, StepState.FAILED))
    board(Progress(phase="build", done=2, total=12))
    text = plain(board.blocks())
    assert text.startswith("■ Failed  sass 1.scss\n")
    assert text.count("◐ Running") == 8
    assert "… and 2 more" in text
    assert text.endswith("2 of 12 steps done")
    assert "sass 0.scss" not in text


def test_other_events_are_left_aside() -> None:
    board = Board()
    board(StepOutput(index=0, tool="sass", stream="stdout", text="x"))
    board(Notice(text="x"))
    assert board.empty
    assert board.blocks() == board.panel() == []
    assert board.stamp() == (0, 0)


def test_the_stamp_tells_whether_there_is_something_new() -> None:
    board = Board()
    board(Progress(phase="apply", done=1, total=2))
    first = board.stamp()
    board(Notice(text="x"))
    assert board.stamp() == first
    board(Progress(phase="apply", done=2, total=2))
    assert board.stamp() != first


def test_what_is_counted_is_shown_as_bars() -> None:
    board = Board()
    board(Progress(phase="resolve", item="humanize", done=1, total=3))
    board(Progress(phase="download", item="a.whl", done=1024, total=2048))
    board(Progress(phase="download", item="b.whl", done=1024, total=1024))
    assert plain(board.blocks()).split("\n") == [
        "Resolving  1 of 3  humanize",
        "Downloading  2.0 KiB of 3.0 KiB  b.whl",
    ]
    assert [block for block in board.panel() if isinstance(block, Bar)] == board.blocks()


def test_the_panel_keeps_tools_tasks_and_steps_in_their_places() -> None:
    board = Board()
    steps = tuple(Step(index=index, id=str(index), tool="sass", args=(f"{index}.scss",)) for index in range(2))
    board(changed("web", ToolState.HEALTHY))
    board(BuildStarted(steps=steps, needs=("web",)))
    assert not board.stopped_in_the_middle
    board(started(1))
    assert board.stopped_in_the_middle
    tools, *rest = board.panel()
    assert plain([tools]) == "● Healthy  web"
    assert [type(block) for block in rest] == [Text, Bar, Table, Picture]
    stopped = board.panel(stopped=True)
    assert plain(stopped).startswith("Stopped after 0 s")
    assert "Healthy" not in plain(stopped)


def test_another_build_begins_anew() -> None:
    board = Board()
    board(started(0))
    board(finished(0, StepState.FAILED))
    board(Progress(phase="build", done=1, total=1))
    board(BuildStarted(steps=(finished(0).result.step,), needs=()))
    assert board.blocks() == []
    assert "○ Waiting" in plain(board.panel())


def test_a_log_hears_what_changes_and_not_every_detail() -> None:
    assert told(changed("a", ToolState.STARTING)) == "◐ Starting  a  pid 7"
    assert told(changed("a", ToolState.STARTING, "still", ToolState.STARTING)) is None
    assert told(changed("a", ToolState.DEGRADED, "no answer")) == "■ Degraded  a  pid 7  no answer"
    assert told(started(3)) == "◐ Running  sass 3.scss  a.scss changed"
    assert told(finished(3)) == "● Built  sass 3.scss  1.0 s"
    assert told(finished(3, StepState.UP_TO_DATE)) is None
    assert told(Progress(phase="build", done=1)) is None
