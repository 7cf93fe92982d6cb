from __future__ import annotations

import re

from dxforge.build.events import BuildStarted, StepFinished, StepOutput, StepStarted
from dxforge.build.model import Step, StepResult, StepState
from dxforge.commands.html import html
from dxforge.commands.layout import plain
from dxforge.commands.steps import Steps
from dxforge.commands.view import Bar, Picture, Table
from tests.support.strict_html import read


def chain(count: int) -> tuple[Step, ...]:
    """Steps of which each waits for the one before."""
    return tuple(
        Step(index=index, id=str(index), tool="sass", args=(f"{index}.scss",), after=(index - 1,) if index else ())
        for index in range(count)
    )


def begun(count: int) -> Steps:
    steps = Steps()
    assert steps.take(BuildStarted(steps=chain(count), needs=()), 100.0)
    return steps


def start(steps: Steps, index: int, now_s: float = 100.0) -> None:
    steps.take(StepStarted(index=index, tool="sass", args=(f"{index}.scss",), why="a.scss changed"), now_s)


def finish(steps: Steps, index: int, state: StepState = StepState.BUILT, **fields: object) -> None:
    result = StepResult(step=chain(index + 1)[index], state=state, why="a.scss changed", duration_s=1.5, **fields)  # type: ignore[arg-type]
    steps.take(StepFinished(result=result), 100.0)


def says(steps: Steps, index: int, text: str) -> bool:
    return steps.take(StepOutput(index=index, tool="sass", stream="stdout", text=text), 100.0)


def rows(steps: Steps, now_s: float = 104.9, *, stopped: bool = False) -> list[list[str]]:
    (table,) = (block for block in steps.panel(now_s, stopped=stopped) if isinstance(block, Table))
    return [["".join(span.text for span in cell) for cell in row] for row in table.rows]


def test_every_step_has_its_row_from_the_start() -> None:
    steps = begun(3)
    assert rows(steps) == [
        ["sass 0.scss", "○ Waiting", "", ""],
        ["sass 1.scss", "○ Waiting", "", "for sass 0.scss"],
        ["sass 2.scss", "○ Waiting", "", "for sass 1.scss"],
    ]
    start(steps, 0)
    assert rows(steps)[0] == ["sass 0.scss", "◐ Running", "4 s", "a.scss changed"]
    finish(steps, 0, StepState.RESTORED, saved_s=3.0)
    finish(steps, 1, StepState.UP_TO_DATE)
    finish(steps, 2, StepState.FAILED, error="exit status 1")
    assert rows(steps) == [
        ["sass 0.scss", "● Restored", "1.5 s", "a.scss changed; spared 3.0 s"],
        ["sass 1.scss", "● Up to date", "1.5 s", ""],
        ["sass 2.scss", "■ Failed", "1.5 s", "exit status 1"],
    ]
    assert plain(steps.panel(160.0)).split("\n")[0] == "Failed after 0 s: 1 restored, 1 up to date, 1 failed"


def test_time_stands_still_between_the_builds_of_a_watch() -> None:
    steps = begun(1)
    assert plain(steps.panel(160.0)).startswith("Building for 1 min")
    start(steps, 0)
    finish(steps, 0)
    assert steps.over and plain(steps.panel(160.0)).startswith("Built in 0 s: 1 built")
    steps.take(BuildStarted(steps=chain(1), needs=()), 200.0)
    assert not steps.over and plain(steps.panel(203.0)).startswith("Building for 3 s")


def test_the_last_line_that_a_step_wrote() -> None:
    steps = begun(2)
    start(steps, 0)
    assert says(steps, 0, "one\ntwo")
    assert rows(steps)[0][3] == "two"
    assert not says(steps, 0, "\n")
    assert not says(steps, 0, " \n\n")
    assert rows(steps)[0][3] == "two"
    assert says(steps, 0, "\x1b[32m10%\r20%")
    assert rows(steps)[0][3] == "20%"
    assert not says(steps, 1, "of a step that does not run")
    replayed = StepOutput(index=0, tool="sass", stream="stdout", text="old\n", replayed=True)
    assert not steps.take(replayed, 100.0)
    assert says(steps, 0, "x" * 100_000)
    assert len(rows(steps)[0][3]) <= 4096


def test_time_goes_on_in_seconds_only() -> None:
    steps = begun(2)
    start(steps, 0)
    assert html(steps.panel(103.2)) == html(steps.panel(103.9))
    assert html(steps.panel(103.2)) != html(steps.panel(104.0))


def test_a_graph_is_drawn_of_a_few_steps_and_stays_where_it_is() -> None:
    def drawn(steps: Steps) -> list[Picture]:
        return [block for block in steps.panel(101.0) if isinstance(block, Picture)]

    assert drawn(begun(1)) == []
    assert drawn(begun(31)) == []
    steps = begun(30)
    (first,) = drawn(steps)
    start(steps, 0)
    (second,) = drawn(steps)
    places = re.compile(r'<rect class="dxb-c"[^>]*>')
    assert places.findall(first.svg) == places.findall(second.svg)
    assert 'class="dxb-running"' in second.svg
    assert "running · 1 s" in second.svg
    assert 'class="dxb-waiting"' in second.svg


def test_of_many_steps_those_are_listed_that_matter_in_as_many_rows() -> None:
    steps = begun(200)
    assert len(rows(steps)) == 12
    for index in range(50):
        finish(steps, index, StepState.FAILED if index == 3 else StepState.BUILT)
    start(steps, 50)
    shown = rows(steps)
    assert len(shown) == 12
    names = [row[0] for row in shown]
    assert names[0] == "sass 3.scss"
    assert names[-1] == "sass 50.scss"
    assert names == sorted(names, key=lambda name: int(name[5:].split(".")[0]))
    assert "… and 188 more" in plain(steps.panel(101.0))


def test_a_build_that_was_stopped() -> None:
    steps = begun(3)
    finish(steps, 0)
    start(steps, 1)
    assert steps.begun
    assert [row[1] for row in rows(steps, stopped=True)] == ["● Built", "○ Stopped", "○ Waiting"]
    text = plain(steps.panel(105.0, stopped=True))
    assert text.startswith("Stopped after 5 s: 1 built\n")
    (bar,) = (block for block in steps.panel(105.0, stopped=True) if isinstance(block, Bar))
    assert (bar.done, bar.total) == (1, 3)


def test_the_page_is_well_formed_whatever_a_step_writes() -> None:
    steps = begun(2)
    start(steps, 0)
    says(steps, 0, "<script>alert(1)</script>&amp;\x1b[31m\u202e</td>")
    words = read(html(steps.panel(101.0)))
    assert "<script>alert(1)</script>&amp;\\u202e</td>" in words
    assert "1 s" in words


def test_who_listens_late_learns_the_steps_one_by_one() -> None:
    steps = Steps()
    assert not steps
    start(steps, 4)
    assert steps
    assert [row[:2] for row in rows(steps)] == [["sass 4.scss", "◐ Running"]]
