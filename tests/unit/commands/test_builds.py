from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest

from dxforge.build.model import (
    BuildPlan,
    BuildReport,
    Changes,
    PendingFile,
    Step,
    StepPlan,
    StepResult,
    StepState,
)
from dxforge.commands.builds import BuildResult
from tests.support.strict_html import read

HOSTILE = "\x1b[31m<script>alert(1)</script>\u202e</pre>'\""


def step(index: int, *words: str, after: tuple[int, ...] = (), **more: Any) -> Step:
    return Step(index=index, id=str(index), tool=words[0], args=words[1:], after=after, wave=len(after), **more)


CSS = StepResult(
    step=step(0, "sass", "a.scss", outputs=("a.css",)),
    state=StepState.BUILT,
    why="a.scss changed",
    exit_code=0,
    duration_s=1.234,
    changes=Changes(
        added={"b.scss": "file:1"},
        removed={"c.scss": "file:1"},
        changed={"a.scss": ("file:1", "file:2")},
        other=("the program sass is another one",),
    ),
    stdout="compiled\n",
    stdout_path="/p/.dx/tools/sass/runs/000001/stdout",
    stderr_path="/p/.dx/tools/sass/runs/000001/stderr",
)
FAILED = StepResult(
    step=step(1, "js", "build", after=(0,)),
    state=StepState.FAILED,
    why="b.js changed",
    error="exit status 2",
    exit_code=2,
    duration_s=0.5,
    stdout="bundling\n",
    stderr="".join(f"line {number}\n" for number in range(30)) + "\x1b[31mboom\x1b[0m\n",
    stdout_path="/p/.dx/tools/js/runs/000001/stdout",
    stderr_path="/p/.dx/tools/js/runs/000001/stderr",
)
SKIPPED = StepResult(step=step(2, "copy", after=(1,)), state=StepState.SKIPPED, why="js build failed")
CACHED = StepResult(step=step(3, "docs"), state=StepState.UP_TO_DATE, why="up to date", exit_code=0, saved_s=12.0)
ALSO_CACHED = StepResult(step=step(4, "icons"), state=StepState.UP_TO_DATE, why="up to date", exit_code=0)
PENDING = PendingFile(path="src/dx_packages/a/a.py", light="yellow", reason="both changed it", package="a")
GOOD = BuildReport(ok=True, steps=(CSS, CACHED, ALSO_CACHED), needs=("dx-style",), duration_s=1.3)
BAD = BuildReport(ok=False, steps=(CSS, FAILED, SKIPPED), duration_s=2.0)
BLOCKED = BuildReport(ok=False, pending=(PENDING,))
PLAN = BuildPlan(
    steps=(
        StepPlan(step=step(0, "sass"), state=StepState.RUN, why="a.scss changed", changes=CSS.changes),
        StepPlan(step=step(1, "js", after=(0,)), state=StepState.DEPENDS, why="sass runs first"),
    )
)


def test_a_good_build_lists_what_ran_and_counts_the_rest() -> None:
    result = BuildResult(report=GOOD, stopped=("dx-style",), folder="/p")
    assert (result.exit_code, result.failure()) == (0, None)
    lines = result.text().split("\n")
    assert re.fullmatch(r"Step +Result +Time +Why", lines[0])
    assert re.fullmatch(r"sass a.scss +● Built +1\.2 s +a\.scss changed", lines[1])
    assert "2 steps up to date." in lines
    assert "Built in 1.3 s: 1 built, 2 up to date; the cache spared 12 s." in lines
    assert "Stopped again: dx-style. `dxforge start dx-style` keeps it running between builds." in lines
    assert "docs" not in result.text()
    verbose = BuildResult(report=GOOD, verbose=True).text()
    assert re.search(r"docs +● Up to date +-$", verbose, re.MULTILINE)
    one = BuildResult(report=BuildReport(ok=True, steps=(CSS, CACHED)))
    assert "docs" in one.text()


def test_the_json_is_the_contracts() -> None:
    data = BuildResult(report=GOOD).to_json()
    assert data["ok"] is True
    assert [item["cached"] for item in data["steps"]] == [False, True, True]
    for item in data["steps"]:
        assert item.keys() >= {"tool", "args", "cached", "exit_code", "why"}
    failed = BuildResult(report=BAD, folder="/p").to_json()
    assert failed["ok"] is False
    assert [item["exit_code"] for item in failed["steps"]] == [0, 2, None]
    assert failed["error"] == {
        "kind": "BuildFailedError",
        "what": "failed: exit status 2",
        "where": "step js build",
        "hint": "All that it wrote is in .dx/tools/js/runs/000001",
    }


def test_a_failing_step_shows_its_last_lines() -> None:
    result = BuildResult(report=BAD, folder="/p")
    assert result.exit_code == 1
    text = result.text()
    assert re.search(r"js build +■ Failed +0\.50 s +exit status 2", text)
    assert re.search(r"copy +○ Skipped +- +js build failed", text)
    assert "■ js build: exit status 2; the last that it wrote:\n  line 11\n" in text
    assert "\n  boom\n  All of it is in .dx/tools/js/runs/000001\n" in text
    assert "Failed after 2.0 s: 1 built, 1 failed, 1 skipped." in text
    assert "line 10\n" not in text


def test_explained_every_difference_is_named() -> None:
    text = BuildResult(report=GOOD, explain=True).text()
    assert "sass a.scss is different from its last run:" in text
    for expected in ("~ changed  the program sass is another one", "~ changed  a.scss", "+ added    b.scss"):
        assert f"  {expected}\n" in text
    assert "  - removed  c.scss\n" in text
    assert "different" not in BuildResult(report=GOOD).text()


def test_explained_signs_agree_with_what_is_said() -> None:
    changes = Changes(
        changed={"run.sh": ("file:1", "exec:1")},
        other=(
            "env A added: 1",
            "env B removed",
            "cwd of js added",
            "env C changed: 1 → 2",
            "args changed: x added → y",
        ),
    )
    one = StepPlan(step=step(0, "x"), state=StepState.RUN, why="", changes=changes)
    text = BuildResult(report=BuildPlan(steps=(one,)), explain=True).text()
    for expected in (
        "+ added    env A added: 1",
        "- removed  env B removed",
        "+ added    cwd of js added",
        "~ changed  env C changed: 1 → 2",
        "~ changed  args changed: x added → y",
        "~ changed  run.sh  mode 644 → 755",
    ):
        assert f"  {expected}\n" in text


def test_many_differences_are_cut_short() -> None:
    changes = Changes(added={f"f{number:03}": "file:1" for number in range(500)})
    many = StepPlan(step=step(0, "x"), state=StepState.RUN, why="500 inputs added", changes=changes)
    text = BuildResult(report=BuildPlan(steps=(many,)), explain=True).text()
    assert "… and 300 more (--json has all)" in text
    assert text.count("+ added") == 201


@pytest.mark.parametrize(("strict", "exit_code"), [(False, 3), (True, 1)])
def test_pending_files_keep_it_from_building(*, strict: bool, exit_code: int) -> None:
    result = BuildResult(report=BLOCKED, strict=strict)
    assert result.exit_code == exit_code
    text = result.text()
    assert "1 change awaits your decision, so nothing was built" in text
    assert "▲ Yellow  src/dx_packages/a/a.py  both changed it" in text
    assert "dxforge build --allow-pending" in text
    assert "Built in" not in text
    failure = result.failure()
    assert (failure is not None) == strict
    if failure is not None:
        assert failure.kind == "BuildPendingError"
        assert result.to_json()["error"]["where"] == PENDING.path
    data = result.to_json()
    assert data["ok"] is False
    assert data["pending"] == [PENDING.to_json()]


def test_pending_files_that_are_allowed() -> None:
    report = BuildReport(ok=True, steps=(CSS,), pending=(PENDING,), notes=("built although a decision is due",))
    result = BuildResult(report=report, allow_pending=True)
    assert (result.exit_code, result.failure()) == (0, None)
    assert "note: built although a decision is due" in result.text()
    failed = BuildResult(report=BuildReport(ok=False, steps=(FAILED,), pending=(PENDING,)), allow_pending=True)
    assert failed.exit_code == 1


def test_a_plan_says_what_would_run() -> None:
    result = BuildResult(report=PLAN, explain=True)
    assert result.exit_code == 0
    text = result.text()
    assert re.search(r"^sass +◐ To run +a\.scss changed$", text, re.MULTILINE)
    assert re.search(r"^js +◐ Depends +sass runs first$", text, re.MULTILINE)
    assert text.endswith("Nothing was run (--dry-run).")
    assert result.to_json()["dry_run"] is True
    blocked = BuildResult(report=BuildPlan(steps=PLAN.steps, pending=(PENDING,)))
    assert blocked.exit_code == 3


def test_results_say_whether_all_is_well() -> None:
    assert BuildResult(report=GOOD).ok
    assert not BuildResult(report=BLOCKED).ok


def test_no_steps_at_all() -> None:
    assert "There are no steps in [build]." in BuildResult(report=BuildReport(ok=True)).text()


def test_a_notebook_sees_pictures_and_folded_output() -> None:
    html = BuildResult(report=BAD, detailed=True)._repr_html_()
    words = read(html)
    assert html.count("<svg") == 2
    assert html.count("<details") == 4
    assert "Output of js build" in words
    assert "boom" in words
    assert "line 0" in words
    assert "<svg" not in BuildResult(report=BAD)._repr_html_()
    assert "<svg" in BuildResult(report=PLAN, detailed=True)._repr_html_()


def test_a_graph_of_very_many_steps_is_left_to_a_file() -> None:
    many = tuple(StepPlan(step=step(index, "x", str(index)), state=StepState.RUN, why="") for index in range(300))
    html = BuildResult(report=BuildPlan(steps=many), detailed=True, program="%dx")._repr_html_()
    assert "<svg" not in html
    assert "%dx build --graph FILE.svg" in read(html)


def test_hostile_texts_are_text_everywhere() -> None:
    result = StepResult(
        step=step(0, HOSTILE, HOSTILE, outputs=(HOSTILE,)),
        state=StepState.FAILED,
        why=HOSTILE,
        error=HOSTILE,
        stdout=HOSTILE,
        stderr=HOSTILE,
        changes=Changes(added={HOSTILE: "x"}, other=(HOSTILE,)),
        notes=(HOSTILE,),
        duration_s=1.0,
    )
    other = StepResult(step=step(1, HOSTILE, after=(0,)), state=StepState.BUILT, why=HOSTILE, duration_s=1.0)
    report = BuildReport(ok=False, steps=(result, other), notes=(HOSTILE,))
    shown = BuildResult(report=report, explain=True, detailed=True, stopped=(HOSTILE,), graph=HOSTILE)
    for text in (shown.text(), read(shown._repr_html_())):
        assert all(character.isprintable() or character in "\n\t" for character in text)
    pending = PendingFile(path=HOSTILE, light="red", reason=HOSTILE, package="")
    assert read(BuildResult(report=BuildReport(ok=False, pending=(pending,)))._repr_html_())


def test_the_repr_is_one_stable_line() -> None:
    assert repr(BuildResult(report=BAD)) == "<dxforge build: 1 built, 1 failed, 1 skipped; 0 pending>"
    assert repr(BuildResult(report=BLOCKED)) == "<dxforge build: no steps; 1 pending>"


def test_of_long_output_the_end_is_kept_and_how_much_there_was() -> None:
    long = dataclasses.replace(CSS, stdout="".join(f"line {number}\n" for number in range(1000)))
    words = read(BuildResult(report=dataclasses.replace(GOOD, steps=(long,)), detailed=True)._repr_html_())
    assert "the last 200 of 1000 lines" in words
    assert "line 999" in words
    assert "line 800" in words
    assert "line 799" not in words
    endless = dataclasses.replace(CSS, stdout=f"{'x' * 1_000_000}the end")
    words = read(BuildResult(report=dataclasses.replace(GOOD, steps=(endless,)), detailed=True)._repr_html_())
    assert "xxthe end" in words
    assert len(words) < 25_000


def test_the_outputs_of_many_steps_are_folded_into_one_and_bounded() -> None:
    steps = tuple(
        dataclasses.replace(CSS, step=step(index, f"tool{index}"), stdout="x" * 99 + "\n" * 1 + "y" * 30_000 + "\n")
        for index in range(40)
    )
    text = BuildResult(report=dataclasses.replace(GOOD, steps=steps), detailed=True)._repr_html_()
    words = read(text)
    assert "Output of 40 steps" in words
    assert words.count("Output of tool") == 40
    assert "2 lines, not kept here" in words
    assert words.count("y") < 110_000
