"""Background tasks in real kernels: done beside the cells, and by the next session where a kernel was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import until
from tests.support.project import lay

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")


@pytest.fixture
def project(tmp_path: Path, cache_dir: Path, background: None) -> Path:
    lay(tmp_path / "theme", {"m.py": "x = 1\n"})
    (tmp_path / "dx.toml").write_text('[project]\nname = "nb"\n\n[packages]\ntheme = { path = "./theme" }\n')
    return tmp_path


def test_a_notebooks_day(dx, project: Path) -> None:  # type: ignore[no-untyped-def]
    assert dx.run("%dx install").error is None
    assert dx.run("import dxforge_nb; w = dxforge_nb.forge().background_worker").error is None
    assert dx.value("w.join(60)") == "True"
    shown = dx.run("%dx snapshots")
    assert "automatic" in shown.text
    assert dx.run("%dx snapshot 'by hand'").error is None  # nothing has changed, and that is no error
    (project / "theme.py").write_text("y = 1\n")
    assert "by hand" in dx.run("%dx snapshot 'by hand'").text
    (project / "theme.py").unlink()
    went = dx.run("%dx rollback latest")
    assert went.error is None
    assert (project / "theme.py").read_text() == "y = 1\n"
    dx.run("%dx sync -o sent")
    assert dx.value("sent.exit_code") == "0"
    assert dx.value("sent.to_json()['uploads'] > 0") == "True"
    found = dx.run("%dx analyze")
    assert "Injected but unused" in found.text
    assert "<table" in found.html
    assert dx.value("[info.state.value for info in w.tasks() if info.kind == 'CacheCurrentState']") == "['done']"
    assert "Snapshot" in dx.run("%dx tasks").text
    from_python = dx.value("import dxforge; w.enqueue(dxforge.BackgroundTask.CacheCurrentState()).result(60)")
    assert "label='automatic'" in from_python
    wrong = dx.run("%dx rollback 0000")
    assert wrong.error is not None
    assert wrong.error["ename"] == "SnapshotNotFoundError"


def test_what_a_killed_kernel_left_is_done_by_the_next_session(dx, project: Path) -> None:  # type: ignore[no-untyped-def]
    code = """
import threading, dxforge, dxforge_nb
from dxforge.background.worker import BackgroundWorker
held = threading.Event()
stuck = BackgroundWorker(".", runners={"CacheCurrentState": lambda context: held.wait()})
stuck.enqueue(dxforge.BackgroundTask.CacheCurrentState())
stuck.enqueue(dxforge.BackgroundTask.SyncToCloudflareR2())
stuck.flush(30)
"""
    assert dx.run(code).error is None
    pid = int(dx.value("import os; os.getpid()"))
    os.kill(pid, signal.SIGKILL)

    def states() -> dict[str, str]:
        from dxforge import BackgroundWorker

        return {info.kind: info.state.value for info in BackgroundWorker(project).tasks()}

    until(lambda: states().get("SyncToCloudflareR2") == "waiting", "the journal was lost")
    resumed = subprocess.run(
        [sys.executable, "-c", _NEXT, str(project)], timeout=90, check=True, capture_output=True, text=True
    )
    assert resumed.stdout.strip() == "True"
    assert states() == {"CacheCurrentState": "done", "SyncToCloudflareR2": "done"}


_NEXT = """
import sys, time, dxforge
with dxforge.ForgeThread(sys.argv[1]) as thread:  # it asks for nothing: what was left goes on
    until_s = time.monotonic() + 60
    while any(not info.state.ended for info in thread.background_worker.tasks()) and time.monotonic() < until_s:
        time.sleep(0.05)
    print(all(info.state.value == "done" for info in thread.background_worker.tasks()))
"""
