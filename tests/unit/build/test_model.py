"""Plans and reports: what they say, and the JSON that the contract promises."""

from __future__ import annotations

import json

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
    how_changed,
)

STEP = Step(index=0, id="i", tool="js", args=("build", "-m"), inputs=("src/**",), outputs=("dist",), after=(1,), wave=1)
PENDING = PendingFile(path="src/p/a", light="red", reason="overlapping edits", package="p")


def test_changes_name_few_paths_and_keep_all() -> None:
    changes = Changes(
        added={"b": "file:1"},
        removed={f"r{number}": "file:2" for number in range(4)},
        changed={"x": ("file:3", "exec:3"), "w": ("file:3", "file:4")},
        other=("args changed: a → b",),
    )
    assert changes.text() == ("args changed: a → b; b added; 2 inputs changed: w, x; 4 inputs removed: r0, r1, r2, …")
    assert Changes.from_json(json.loads(json.dumps(changes.to_json()))) == changes
    assert not Changes() and Changes().text() == "" and changes


def test_a_plan_and_a_report_speak_the_contracts_language() -> None:
    plan = StepPlan(step=STEP, state=StepState.RESTORE, why="src/a changed: restored from the cache", key="k")
    contract = {"tool": "js", "args": ["build", "-m"], "cached": True, "why": plan.why}
    data = plan.to_json()
    assert data | contract | {"exit_code": None} == data
    result = StepResult(step=STEP, state=StepState.RESTORED, why=plan.why, exit_code=0)
    data = result.to_json()
    assert data | contract | {"exit_code": 0} == data
    assert set(BuildPlan().to_json()) <= set(BuildReport(ok=True).to_json())
    assert BuildPlan().to_json()["dry_run"] is True and BuildReport(ok=True).to_json()["dry_run"] is False
    assert (result.tool, result.args, result.cached, result.ok) == ("js", ("build", "-m"), True, True)


@pytest.mark.parametrize(
    ("state", "cached", "ok"),
    [
        (StepState.BUILT, False, True),
        (StepState.RESTORED, True, True),
        (StepState.UP_TO_DATE, True, True),
        (StepState.FAILED, False, False),
        (StepState.SKIPPED, False, False),
    ],
)
def test_states(state: StepState, *, cached: bool, ok: bool) -> None:
    result = StepResult(step=STEP, state=state, why="")
    assert (result.cached, result.ok) == (cached, ok)


def test_a_report_comes_back_from_json() -> None:
    report = BuildReport(
        ok=False,
        steps=(
            StepResult(
                step=STEP, state=StepState.FAILED, why="first build", exit_code=2, error="exit status 2",
                changes=Changes(added={"a": "file:1"}), key="k", started_s=0.5, duration_s=1.25, stdout="o", stderr="e",
                stdout_path="p", stderr_path="q", notes=("n",),
            ),
        ),
        pending=(PENDING,), needs=("style",), notes=("note",), duration_s=2.5, started="2026-11-23T12:00:00.000+00:00",
    )  # fmt: skip
    assert BuildReport.from_json(json.loads(json.dumps(report.to_json()))) == report


def test_in_a_word() -> None:
    states = (StepState.UP_TO_DATE, StepState.BUILT, StepState.UP_TO_DATE)
    report = BuildReport(ok=True, steps=tuple(StepResult(step=STEP, state=state, why="") for state in states))
    assert repr(report) == "<BuildReport: ok, 1 built, 2 up to date>"
    assert report.counts() == {"built": 1, "up-to-date": 2}
    assert repr(BuildReport(ok=False, pending=(PENDING,))) == "<BuildReport: failed, 1 pending>"
    assert repr(BuildReport(ok=True)) == "<BuildReport: ok, no steps>"
    assert BuildPlan(pending=(PENDING,)).ok is False


@pytest.mark.parametrize(
    ("old", "new", "how"),
    [
        ("file:1", "file:2", ""),
        ("file:1", "exec:1", "mode 644 → 755"),
        ("exec:1", "file:2", "mode 755 → 644, and its content"),
        ("link:a file:1", "link:b file:1", "link a → b"),
        ("link:a dangling", "link:b c", "link a → b c"),
        ("link:a file:1", "link:a exec:1", ""),
        ("exec:1", "link:a file:1", "file → link"),
        ("fifo", "file:1", "fifo → file"),
    ],
)
def test_what_else_than_content_is_another(old: str, new: str, how: str) -> None:
    assert how_changed(old, new) == how
    assert Changes(changed={"p": (old, new)}).text() == (f"p changed ({how})" if how else "p changed")
