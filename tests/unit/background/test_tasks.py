"""Tasks are values, and their journal form comes back as the same value."""

from __future__ import annotations

import dataclasses

import pytest

from dxforge.background.tasks import KINDS, TASKS, BackgroundTask, TaskInfo, TaskProgress, TaskState, task_of
from dxforge.errors import UsageError

ALL = [
    BackgroundTask.CacheCurrentState(),
    BackgroundTask.SyncToCloudflareR2(),
    BackgroundTask.PrefetchPackage("humanize"),
    BackgroundTask.AnalyzeCodebasePatterns(),
]


@pytest.mark.parametrize("task", ALL, ids=str)
def test_a_task_is_a_frozen_hashable_comparable_value(task: BackgroundTask) -> None:
    again = type(task)(*(getattr(task, field.name) for field in dataclasses.fields(task)))  # type: ignore[arg-type]
    assert again == task and hash(again) == hash(task) and again is not task
    assert isinstance(task, BackgroundTask)
    with pytest.raises((dataclasses.FrozenInstanceError, TypeError)):
        task.name = "other"  # type: ignore[attr-defined]


def test_different_tasks_differ() -> None:
    assert len(set(ALL)) == len({task.key for task in ALL}) == 4
    assert BackgroundTask.PrefetchPackage("a") != BackgroundTask.PrefetchPackage("b")


@pytest.mark.parametrize("task", ALL, ids=str)
def test_kind_and_argument_bring_the_task_back(task: BackgroundTask) -> None:
    assert task_of(task.kind, task.argument) == task
    assert str(task) == f"{task.kind} {task.argument}".strip()


def test_every_kind_is_known() -> None:
    assert [task.kind for task in ALL] == list(KINDS)
    assert [type(task) for task in ALL] == list(TASKS)


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * 501, "\x00"])
def test_a_name_that_cannot_be_one_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=r"cannot be a package's name") as caught:
        BackgroundTask.PrefetchPackage(name)
    assert caught.value.hint


def test_a_name_must_be_a_text() -> None:
    with pytest.raises(UsageError, match="is a text"):
        BackgroundTask.PrefetchPackage(7)  # type: ignore[arg-type]


def test_what_another_version_wrote_is_no_task() -> None:
    assert task_of("ReticulateSplines", "") is None
    assert task_of("PrefetchPackage", "") is None


def test_an_info_says_everything_in_json() -> None:
    info = TaskInfo(
        id=3, kind="PrefetchPackage", argument="x", state=TaskState.RUNNING, attempts=2, reason="no network",
        progress=TaskProgress(done=1, total=4, item="y"), retry_in_s=1.26, pid=7,
    )  # fmt: skip
    assert info.task == BackgroundTask.PrefetchPackage("x")
    assert info.to_json() == {
        "id": 3, "kind": "PrefetchPackage", "argument": "x", "state": "running", "attempts": 2,
        "reason": "no network", "done": 1, "total": 4, "item": "y", "retry_in_s": 1.3, "pid": 7, "created": "",
        "started": "", "ended": "", "result": None,
    }  # fmt: skip


def test_which_states_are_an_end() -> None:
    assert [state.value for state in TaskState if state.ended] == ["done", "failed", "cancelled"]
