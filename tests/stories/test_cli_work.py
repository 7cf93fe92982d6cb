"""Snapshots, sync and background tasks on the command line, as a user meets them: nothing is made up."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.object_server import ObjectServer, new_prefix
from tests.support.processes import until
from tests.support.project import lay
from tests.support.tool_project import CONCATENATE, ToolProject

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX programs and signals")
THEME = '[packages]\ntheme = { path = "../theme" }\n'
STEP = """\
[[build.steps]]
tool = "join"
args = ["src/a.txt", "src/b.txt", "dist/all.txt"]
inputs = ["src/*.txt"]
outputs = ["dist"]
"""


def workers(root: Path) -> list[int]:
    """The processes that do what commands of this project left behind."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                words = (folder / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if os.fsencode(root) in words and words[-3:-1] == [b"tasks", b"run"]:
                found.append(int(folder.name))
    return found


@pytest.fixture
def project(tmp_path: Path, cache_dir: Path, background: None) -> Iterator[ToolProject]:
    """A path package, and a build of one step; whatever is left to the background ends by itself."""
    root = tmp_path / "project"
    root.mkdir()
    made = ToolProject(root)
    lay(tmp_path / "theme", {"m.py": "x = 1\n"})
    lay(root, {"src/a.txt": "a\n", "src/b.txt": "b\n"})
    made.toml(THEME)
    made.script("join", CONCATENATE)
    made.toml(STEP)
    yield made
    until(lambda: not workers(root), "a process that does background tasks did not end")
    made.end()


def snapshots(project: ToolProject) -> list[dict[str, Any]]:
    return project.answer("snapshots")["snapshots"]


def tasks(project: ToolProject, kind: str) -> list[dict[str, Any]]:
    return [task for task in project.answer("status")["tasks"] if task["kind"] == kind]


def done(project: ToolProject, kind: str) -> Callable[[], bool]:
    return lambda: any(task["state"] == "done" for task in tasks(project, kind))


def test_after_an_install_there_is_a_snapshot(project: ToolProject) -> None:
    project.dx("install", "-q")
    until(lambda: snapshots(project), "no snapshot was taken")
    (taken,) = snapshots(project)
    assert {"id", "time", "label"} <= taken.keys()
    assert taken["label"] == "automatic"
    until(done(project, "CacheCurrentState"), "the task did not end")
    until(lambda: not workers(project.root), "its process did not end")
    assert (project.root / ".dx/worker.log").read_text() == ""


def test_edit_snapshot_rollback_undo(project: ToolProject) -> None:
    project.dx("install", "-q")
    until(done(project, "CacheCurrentState"), "no snapshot was taken")
    file = project.root / "src/dx_packages/theme/m.py"
    file.write_text("x = 'mine'\n")
    (project.root / "src/new.txt").write_text("new\n")
    taken = project.answer("snapshot", "my edit")
    assert taken["taken"] is True
    assert taken["snapshot"]["label"] == "my edit"
    assert project.answer("snapshot")["taken"] is False
    assert "(my edit)." in project.dx("snapshot", "another label").stdout  # nothing new to give it to
    newest, oldest = snapshots(project)
    assert newest["id"] == taken["snapshot"]["id"]

    (project.root / "src/new.txt").unlink()
    file.write_text("x = 'worse'\n")
    shown = project.dx("snapshots", "diff", newest["id"], "-v").stdout
    assert "-x = 'mine'\n" in shown
    assert "+x = 'worse'\n" in shown
    found = project.answer("snapshots", "diff", oldest["id"], newest["id"])
    assert [item["path"] for item in found["added"]] == ["src/new.txt"]
    assert [item["path"] for item in found["changed"]] == ["src/dx_packages/theme/m.py"]
    only = project.answer("snapshots", "diff", oldest["id"], newest["id"], "--path", "src/*.txt")
    assert ([item["path"] for item in only["added"]], only["changed"]) == (["src/new.txt"], [])
    unknown = project.dx("snapshots", "diff", newest["id"], "--path", "nothing", status=2)
    assert "neither the snapshot nor the project" in unknown.stderr

    planned = project.answer("rollback", newest["id"], "--dry-run")
    assert [(item["path"], item["action"]) for item in planned["changes"]] == [
        ("src/dx_packages/theme/m.py", "update"),
        ("src/new.txt", "create"),
    ]
    assert file.read_text() == "x = 'worse'\n"
    # A path as seen from where the user stands.
    project.dx("rollback", newest["id"], "m.py", cwd="src/dx_packages/theme")
    assert file.read_text() == "x = 'mine'\n"
    assert not (project.root / "src/new.txt").exists()
    went = project.dx("rollback", newest["id"]).stdout
    assert "Went back to snapshot" in went
    assert (project.root / "src/new.txt").read_text() == "new\n"
    project.dx("undo")
    assert not (project.root / "src/new.txt").exists()
    assert file.read_text() == "x = 'mine'\n"
    nowhere = project.answer("rollback", "0000", status=1)
    assert nowhere["error"]["kind"] == "SnapshotNotFoundError"


def on_a_new_machine(project: ToolProject, base: Path) -> ToolProject:
    """What a colleague has after `git clone`: everything but ``.dx`` and what was built."""
    root = base / "elsewhere" / "project"
    shutil.copytree(project.root, root, ignore=shutil.ignore_patterns(".dx", "dist"))
    shutil.copytree(base / "theme", base / "elsewhere" / "theme")
    other = ToolProject.__new__(ToolProject)
    other.root, other.mark, other._parts = root, project.mark, list(project._parts)
    other.toml()
    return other


def test_build_sync_and_a_new_machine_that_pulls(project: ToolProject, tmp_path: Path) -> None:
    project.toml(f'[remote]\nurl = "file://{tmp_path}/shared"\n')
    (tmp_path / "shared").mkdir()
    project.dx("snapshot", "by hand", "-q")
    project.dx("build", "-q")
    until(done(project, "SyncToCloudflareR2"), "nothing was synced")
    assert project.answer("sync", "--dry-run")["uploads"] == 0
    assert project.answer("sync")["uploads"] == 0

    other = on_a_new_machine(project, tmp_path)
    pulled = other.answer("sync", "--pull")
    assert pulled["ok"] is True
    assert [item["label"] for item in pulled["snapshots"]] == ["by hand"]
    assert pulled["results"] == 1
    assert [item["label"] for item in snapshots(other)] == ["by hand"]
    (step,) = other.answer("build")["steps"]
    assert (step["cached"], step["state"]) == (True, "restored")
    assert (other.root / "dist/all.txt").read_text() == "a\nb\n"
    (other.root / "src/a.txt").write_text("changed\n")
    other.dx("rollback", "latest", "src/a.txt")
    assert (other.root / "src/a.txt").read_text() == "a\n"
    again = other.answer("sync", "--pull")
    assert (again["snapshots"], again["results"], again["items"]) == ([], 0, 0)
    until(lambda: not workers(other.root), "a process was left behind")


def test_a_build_reads_through_to_the_remote(project: ToolProject, tmp_path: Path) -> None:
    project.toml(f'[remote]\nurl = "file://{tmp_path}/shared"\n')
    (tmp_path / "shared").mkdir()
    project.dx("build", "-q")
    until(done(project, "SyncToCloudflareR2"), "nothing was synced")
    for switch, state in (("0", "built"), ("1", "restored")):
        other = on_a_new_machine(project, tmp_path)
        (step,) = other.answer("build", DXFORGE_REMOTE_READ=switch, DXFORGE_BACKGROUND="0")["steps"]
        assert step["state"] == state
        assert (other.root / "dist/all.txt").read_text() == "a\nb\n"
        assert other.answer("build", "--dry-run")["steps"][0]["state"] == "up-to-date"
        shutil.rmtree(tmp_path / "elsewhere")


def test_a_failed_sync_is_seen_and_tried_again(project: ToolProject, tmp_path: Path) -> None:
    """The folder of the remote is on a disk that is not there; the build is none the worse."""
    project.toml(f'[remote]\nurl = "file://{tmp_path}/disk/shared"\n')
    assert project.answer("build")["ok"] is True
    until(lambda: any(t["state"] == "failed" for t in tasks(project, "SyncToCloudflareR2")), "it did not fail")
    (task,) = tasks(project, "SyncToCloudflareR2")
    assert str(tmp_path / "disk") in task["reason"]
    shown = project.dx("status").stdout
    assert "■ Failed" in shown
    assert f"dxforge tasks retry {task['id']}" in shown
    (found,) = [check for check in project.answer("doctor")["checks"] if check["name"] == "tasks"]
    assert found["state"] == "warning"
    assert f"tasks retry {task['id']}" in found["hint"]

    (tmp_path / "disk/shared").mkdir(parents=True)
    project.dx("tasks", "retry", str(task["id"]))
    until(done(project, "SyncToCloudflareR2"), "it was not tried again")
    assert list((tmp_path / "disk/shared").rglob("*"))
    assert project.answer("tasks", "cancel", "9999", status=1)["error"]["kind"] == "UnknownTaskError"


def test_tasks_that_a_killed_process_left_are_done_by_the_next(project: ToolProject) -> None:
    project.dx("install", "-q", DXFORGE_BACKGROUND="0")
    assert snapshots(project) == []
    code = """
import asyncio, os, signal, sys
from dxforge import BackgroundTask, DxForge
async def main():
    forge = DxForge(sys.argv[1], run_tasks=False)
    forge.background_worker.enqueue(BackgroundTask.CacheCurrentState())
    assert forge.background_worker.flush(30)
    os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""
    killed = subprocess.run([sys.executable, "-c", code, str(project.root)], timeout=60, check=False)
    assert killed.returncode == -signal.SIGKILL
    (task,) = tasks(project, "CacheCurrentState")
    assert task["state"] == "waiting"
    assert "dxforge tasks run" in project.dx("status").stdout
    ran = project.answer("tasks", "run")
    assert [(item["kind"], item["state"]) for item in ran["tasks"]] == [("CacheCurrentState", "done")]
    assert len(snapshots(project)) == 1


def test_nothing_is_done_in_the_background_where_that_is_off(project: ToolProject) -> None:
    for words in (("install",), ("build",)):
        project.dx(*words, "-q", DXFORGE_BACKGROUND="0")
    time.sleep(0.2)
    assert not workers(project.root)
    assert project.answer("status")["tasks"] == []
    assert not (project.root / ".dx/worker.log").exists()


def test_an_analysis_and_what_it_leaves_to_the_background(project: ToolProject) -> None:
    project.dx("install", "-q", DXFORGE_BACKGROUND="0")
    (project.root / "src/dx_packages/theme/m.py").write_text("x = 1\ny = 2\n")
    (project.root / "main.py").write_text("import json\nimport m\nimport nowhere_to_be_found\n")
    data = project.answer("analyze")
    assert data["ok"] is True
    assert data["undeclared"] == ["nowhere_to_be_found"]
    assert [(item["name"], item["lines_added"]) for item in data["edits"]] == [("theme", 1)]
    shown = project.dx("analyze").stdout
    assert "Used but not declared" in shown
    assert "theme/m.py" in shown


def test_sync_to_an_object_server_and_back(
    project: ToolProject, tmp_path: Path, object_server: ObjectServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    location = object_server.location(new_prefix())
    project.toml(f'[remote]\nurl = "s3://{location.bucket}/{location.prefix}?endpoint={location.endpoint}"\n')
    for name in ("R2_ACCESS_KEY_ID", "R2_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    missing = project.answer("sync", status=1)
    assert missing["error"]["kind"] == "RemoteCredentialsError"
    assert project.answer("build")["ok"] is True  # without credentials, too

    key, secret = object_server.key
    env = {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret}
    project.dx("snapshot", "one", "-q")
    sent = project.dx("--json", "sync", **env)
    assert json.loads(sent.stdout)["uploads"] > 0
    wrong = project.dx("sync", status=1, **{**env, "AWS_SECRET_ACCESS_KEY": "wrong-canary-4711"})
    for text in (sent.stdout, sent.stderr, wrong.stdout, wrong.stderr, project.dx("doctor", **env).stdout):
        assert secret not in text
        assert "wrong-canary-4711" not in text
    assert project.answer("sync", "--verify", **env)["ok"] is True

    other = on_a_new_machine(project, tmp_path)
    (step,) = other.answer("build", DXFORGE_BACKGROUND="0", **env)["steps"]
    assert step["state"] == "restored"
    assert [item["label"] for item in other.answer("sync", "--pull", **env)["snapshots"]] == ["one"]


def test_a_build_does_not_wait_for_a_remote_that_is_not_there(project: ToolProject) -> None:
    project.toml('[remote]\nurl = "s3://bucket/x?endpoint=http://127.0.0.1:9"\n')
    env = {"AWS_ACCESS_KEY_ID": "AKIACANARY", "AWS_SECRET_ACCESS_KEY": "secret-canary", "DXFORGE_BACKGROUND": "0"}
    done = project.dx("--json", "build", **env)
    data = json.loads(done.stdout)
    assert data["ok"] is True
    assert data["steps"][0]["state"] == "built"
    assert "secret-canary" not in done.stdout + done.stderr
