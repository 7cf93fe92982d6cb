"""Results of sync, tasks, snapshots and analysis: rendering needs nothing but data."""

from __future__ import annotations

import json

import pytest

from dxforge.background.analysis import AnalysisReport, EditedPackage, FilePlace, ImportedModule
from dxforge.background.edits import EditedFile
from dxforge.background.prefetch import Prefetched, PrefetchReport
from dxforge.background.tasks import TaskInfo, TaskProgress, TaskState
from dxforge.commands.reports import StatusResult
from dxforge.commands.result import Result
from dxforge.commands.snapshots import RollbackResult, SnapshotDiffResult, SnapshotResult, SnapshotsResult
from dxforge.commands.tasks import TasksResult
from dxforge.commands.work import (
    AnalyzeResult,
    PrefetchResult,
    PullResult,
    SyncPlanResult,
    SyncResult,
    VerifyResult,
)
from dxforge.remote.model import Damage, LeftOut, PullReport, Requests, SyncPlan, SyncReport
from dxforge.remote.model import Entry as Stored
from dxforge.store import model as store
from dxforge.store.tree import Entry
from dxforge.syncing import Pulled
from dxforge.traffic.model import Action, Change, TrafficLight
from dxforge.traffic.restore_plan import RollbackReport
from tests.support.strict_html import read

HOSTILE = "\x1b[31m<script>alert(1)</script>\u202e"
SNAPSHOT = store.Snapshot(
    oid="ab" * 20, tree="cd" * 20, id="abababab", time="2026-11-23T10:00:00+00:00", label=HOSTILE, files=2,
    size_bytes=2048, left_out=(store.LeftOut(path=HOSTILE, size_bytes=1, reason="too large"),),
    changed_meanwhile=(HOSTILE,),
)  # fmt: skip
DIFF = store.SnapshotDiff(
    added=(store.FileChange(path=HOSTILE, before=None, after=Entry(0o100644, "e" * 40, 1)),),
    removed=(),
    changed=(store.FileChange(path="x", before=Entry(0o100644, "e" * 40, 1), after=Entry(0o100755, "f" * 40, 1)),),
    added_folders=("empty",),
)
FAILED = TaskInfo(id=3, kind="SyncToCloudflareR2", argument="", state=TaskState.FAILED, reason=HOSTILE)
RUNNING = TaskInfo(
    id=4, kind="PrefetchPackage", argument="x", state=TaskState.RUNNING, pid=1, progress=TaskProgress(done=1, total=4)
)
WAITING = TaskInfo(id=None, kind="CacheCurrentState", argument="", state=TaskState.WAITING, retry_in_s=3.0, reason="no")
DONE = TaskInfo(id=1, kind="CacheCurrentState", argument="", state=TaskState.DONE)
TASKS = (FAILED, RUNNING, WAITING, DONE)
RUNNING_ALONE = TaskInfo(id=4, kind="PrefetchPackage", argument="x", state=TaskState.RUNNING)
MANY = (
    *(TaskInfo(id=n, kind="PrefetchPackage", argument=f"w{n}", state=TaskState.WAITING) for n in range(1, 301)),
    *(TaskInfo(id=n, kind="PrefetchPackage", argument=f"f{n}", state=TaskState.FAILED) for n in range(301, 351)),
    TaskInfo(
        id=351, kind="SyncToCloudflareR2", argument="", state=TaskState.RUNNING, pid=1, attempts=3, reason="no network"
    ),
)
DAMAGE = Damage(pack="p", items=1, entries=(Stored("blob", "", "a", 1, "p", 0, 0),), reason="gone")
ANALYSIS = AnalysisReport(
    files=3,
    read=1,
    imports=(
        ImportedModule(module=HOSTILE, provider="unknown", declared=False, places=(FilePlace(path="a.py", line=1),)),
    ),
    edits=(EditedPackage(name="p", version="1", files=(EditedFile(path="m.py", kind="changed", lines_added=2),)),),
)
CHANGE = Change(path=HOSTILE, light=TrafficLight.GREEN, reason="as in snapshot x, mode 100644", action=Action.UPDATE)
RESULTS: list[tuple[Result, int, str]] = [
    (SnapshotResult(snapshot=SNAPSHOT, newest=SNAPSHOT), 0, "snapshot: taken"),
    (SnapshotResult(snapshot=None, newest=SNAPSHOT), 0, "snapshot: nothing has changed"),
    (SnapshotResult(snapshot=None, newest=None), 0, "snapshot: nothing has changed"),
    (SnapshotsResult(snapshots=(SNAPSHOT,)), 0, "snapshots: 1"),
    (SnapshotsResult(snapshots=()), 0, "snapshots: 0"),
    (
        SnapshotDiffResult(old=SNAPSHOT, new=None, diff=DIFF, texts={HOSTILE: f"+{HOSTILE}\n"}, verbose=True),
        0,
        "snapshots diff: 1 added, 1 changed, 0 removed",
    ),
    (
        SnapshotDiffResult(old=SNAPSHOT, new=SNAPSHOT, diff=store.SnapshotDiff(added=(), removed=(), changed=())),
        0,
        "snapshots diff: 0 added, 0 changed, 0 removed",
    ),
    (
        RollbackResult(report=RollbackReport(changes=[CHANGE], snapshot=SNAPSHOT, saved=SNAPSHOT)),
        0,
        "rollback: 1 file",
    ),
    (RollbackResult(report=RollbackReport(snapshot=SNAPSHOT, dry_run=True)), 0, "rollback: 0 files"),
    (
        RollbackResult(report=RollbackReport(snapshot=SNAPSHOT, added_folders=(HOSTILE,), removed_folders=("old",))),
        0,
        "rollback: 0 files, 2 empty folders",
    ),
    (RollbackResult(report=RollbackReport(snapshot=SNAPSHOT, dry_run=True, ok=False)), 1, "rollback: 0 files"),
    (TasksResult(command="list", tasks=TASKS), 0, "tasks: 1 running, 1 waiting, 1 failed, 1 done"),
    (TasksResult(command="run", tasks=TASKS), 1, "tasks: 1 running, 1 waiting, 1 failed, 1 done"),
    (TasksResult(command="retry", tasks=TASKS, about=3), 0, "tasks: 1 running, 1 waiting, 1 failed, 1 done"),
    (TasksResult(command="list", tasks=()), 0, "tasks: none"),
    (TasksResult(command="list", tasks=MANY), 0, "tasks: 1 running, 300 waiting, 50 failed"),
    (
        SyncPlanResult(
            plan=SyncPlan(
                items=9, uploads=2, size_bytes=5000, packs=1, publishes=True, requests=Requests(class_a=3, class_b=1)
            ),
            where=HOSTILE,
        ),
        0,
        "sync: 2 items to send",
    ),
    (SyncResult(report=SyncReport(generation=1, published=True, uploads=2), where="r"), 0, "sync: 2 items sent"),
    (
        SyncResult(
            report=SyncReport(
                generation=1, published=False, left_out=(LeftOut(kind="blob", name=HOSTILE, reason=HOSTILE),)
            ),
            where="r",
        ),
        1,
        "sync: 0 items sent",
    ),
    (
        PullResult(pulled=Pulled(report=PullReport(), snapshots=(SNAPSHOT,), results=3, others=(HOSTILE,)), where="r"),
        0,
        "sync: fetched 1 snapshot, 3 build results",
    ),
    (
        PullResult(pulled=Pulled(report=PullReport(damage=(DAMAGE,)), lost=("ab" * 20,)), where="r"),
        1,
        "sync: fetched 0 snapshots, 0 build results",
    ),
    (
        VerifyResult(found=Pulled(report=PullReport(items=4), lost=("ab" * 20,)), where="r"),
        1,
        "sync: 4 items checked, 0 damaged",
    ),
    (VerifyResult(found=Pulled(report=PullReport()), where="r"), 0, "sync: 0 items checked, 0 damaged"),
    (
        VerifyResult(found=Pulled(report=PullReport(items=4, damage=(DAMAGE,))), where="r"),
        1,
        "sync: 4 items checked, 1 damaged",
    ),
    (
        PrefetchResult(
            report=PrefetchReport(
                name="x",
                declared=True,
                packages=(
                    Prefetched(name="x", version="2", before="1", source="pypi", filename="x.whl", sha256="a" * 64),
                ),
            )
        ),
        0,
        "prefetch: 1 package",
    ),
    (AnalyzeResult(report=ANALYSIS), 0, "analyze: 1 imported, 0 unused, 1 undeclared, 1 edited"),
]


@pytest.mark.parametrize(("result", "status", "summary"), RESULTS)
def test_every_result_is_text_json_and_html(result: Result, status: int, summary: str) -> None:
    assert result.exit_code == status
    assert result.summary() == summary
    text = result.text()
    assert text.strip()
    assert all(character.isprintable() or character == "\n" for character in text)
    assert json.loads(json.dumps(result.to_json()))
    words = read(result._repr_html_())
    assert all(character.isprintable() or character in "\n\t" for character in words)


def test_the_contracts_json_of_snapshots() -> None:
    (item,) = SnapshotsResult(snapshots=(SNAPSHOT,)).to_json()["snapshots"]
    assert (item["id"], item["time"], item["label"]) == ("abababab", SNAPSHOT.time, HOSTILE)


def test_the_status_shows_what_is_to_be_done_and_hides_what_is_done() -> None:
    result = StatusResult(project="p", packages=(), pending=(), tasks=TASKS)
    lines = result.text().split("\n")
    rows = [text for text in lines if "Snapshot" in text or "Sync" in text or "Prefetch" in text]
    assert [row.split()[1] for row in rows] == ["Prefetch", "Snapshot", "Sync"]
    assert "1 of 4" in rows[0]
    assert "again in 3.0 s: no" in rows[1]
    assert "  dxforge tasks retry 3  once more" in lines
    assert [task["state"] for task in result.to_json()["tasks"]] == ["failed", "running", "waiting", "done"]
    assert result.summary() == "status: 0 packages, 0 pending, 1 failed task"


def test_an_analysis_has_its_picture_where_there_is_room() -> None:
    assert "<svg" in AnalyzeResult(report=ANALYSIS)._repr_html_()
    assert "<svg" not in AnalyzeResult(report=ANALYSIS).text()


def test_of_very_many_tasks_those_are_listed_that_are_next_or_the_latest() -> None:
    text = str(TasksResult(command="list", tasks=MANY))
    assert "w20 " in text
    assert "w21 " not in text
    assert "f350 " in text
    assert "f330 " not in text
    assert "… and 280 more waiting (-v lists them)" in text
    assert "… and 30 more failed (-v lists them)" in text
    assert "attempt 3: no network" in text
    assert "w300 " in str(TasksResult(command="list", tasks=MANY, verbose=True))
    assert len(TasksResult(command="list", tasks=MANY).to_json()["tasks"]) == len(MANY)


def test_a_task_whose_process_has_ended() -> None:
    assert "its process has ended" in str(TasksResult(command="list", tasks=(RUNNING_ALONE,)))
