"""The stop button during long work: a bar while it goes on, and a project that is whole afterwards.

A listener in the kernel holds the work at a chosen event, so that the interrupt (jupyter_client's, a real SIGINT) comes
in the middle of it; what is on disk is then looked at from another process.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dxforge.config.load import load_config
from dxforge.store.snapshots import SnapshotStore
from tests.notebook.conftest import Cell, Kernel
from tests.support.index_server import IndexServer
from tests.support.processes import until
from tests.support.project import Snapshot, lay, snapshot
from tests.support.tool_project import ToolProject
from tests.support.wild_trees import fsck

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")

FILES = 700
"""So many that the writing of them has a middle."""
# Holds whoever tells of a phase, the `after`th time, until the test lets it go.
GATE = """
import os, time
from dxforge.events import Progress
from dxforge_nb.kernel import FORGES
def gate(phase, folder, after=1):
    seen = []
    def hold(event):
        if isinstance(event, Progress) and event.phase == phase:
            seen.append(event)
            if len(seen) == after:
                for other in FORGES.events._listeners:  # they would have to wait too
                    if other is not hold:
                        other(event)
                open(f"{folder}/reached", "w").close()
                until = time.monotonic() + 60
                while not os.path.exists(f"{folder}/go") and time.monotonic() < until:
                    time.sleep(0.01)
    FORGES.events.subscribe(hold)
"""


def files(version: int) -> dict[str, str]:
    """The package at a version; some files come, go and change."""
    same = {f"demo/m{number}.py": f"N = {number}\nV = {version}\n" for number in range(FILES)}
    return {**same, "demo/__init__.py": "", f"demo/only_in_{version}.py": "X = 1\n"}


@pytest.fixture
def project(tmp_path: Path, index: IndexServer, background: None) -> Path:
    """A project that wants demo; the index offers 1.0 and 2.0."""
    root = tmp_path / "project"
    root.mkdir()
    for version in (1, 2):
        index.wheel("demo", f"{version}.0", files(version))
    (root / "dx.toml").write_text('[project]\nname = "nb"\n\n[packages]\ndemo = "==1.0"\n')
    lay(root / "own", {f"f{number}.txt": f"{number}\n" * 50 for number in range(300)})
    return root


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch, nothing_in_the_background: None) -> None:
    """Nothing is left to the background here."""
    monkeypatch.setenv("DXFORGE_BACKGROUND", "0")


class Stopped:
    """A command that is interrupted at an event, and what the cell showed."""

    def __init__(self, dx: Kernel, folder: Path) -> None:
        self.dx = dx
        self.folder = folder
        self.html: list[str] = []

    def at(self, command: str, phase: str, *, after: int = 1) -> Cell:
        """Run ``command``, interrupt it at the ``after``th event of ``phase``, wait for its end."""
        self._forget()
        self.dx.run(GATE + f"\ngate({phase!r}, {str(self.folder)!r}, {after})")
        message = self.dx.send(command)
        until((self.folder / "reached").exists, f"{command} does not tell of {phase}")
        self._wait_for_bar(message)
        self.dx.manager.interrupt_kernel()
        time.sleep(0.4)  # it has been noticed, and the work has been told to stop
        (self.folder / "go").touch()
        return self.dx.finish(message)

    def after(self, command: str, pause_s: float) -> Cell:
        """Run ``command`` and interrupt it so many seconds after its start."""
        message = self.dx.send(f"print('begun', flush=True)\n{command}")
        self.dx.wait_for(message, "begun")
        time.sleep(pause_s)
        self.dx.manager.interrupt_kernel()
        return self.dx.finish(message)

    def _wait_for_bar(self, message: str) -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            got = self.dx.client.get_iopub_msg(timeout=30)
            html = got["content"].get("data", {}).get("text/html", "") if got["msg_type"] != "stream" else ""
            if got["parent_header"].get("msg_id") == message and 'role="progressbar"' in html:
                return
        raise AssertionError("no progress bar was shown")

    def _forget(self) -> None:
        for name in ("reached", "go"):
            (self.folder / name).unlink(missing_ok=True)


@pytest.fixture
def stopped(dx: Kernel, tmp_path: Path) -> Stopped:
    folder = tmp_path / "gate"
    folder.mkdir()
    return Stopped(dx, folder)


def was_interrupted(cell: Cell) -> None:
    """It says so in one line, and the panel is gone."""
    assert cell.error is not None
    assert cell.error["ename"] == "KeyboardInterrupt"
    assert cell.error["traceback"] == ["Interrupted."]


def whole(root: Path) -> None:
    """Another process finds nothing wrong, and nothing half-done."""
    project = ToolProject.__new__(ToolProject)
    project.root = root
    done = project.dx("status", "--json", status=None)
    assert done.returncode in {0, 3}, done.stderr
    assert done.stderr == ""
    journal = root / ".dx" / "journal"
    assert not journal.exists() or list(journal.iterdir()) == []
    assert not [path for path in root.rglob("*.new*") if ".dx" not in path.parts]


def tree(root: Path) -> Snapshot:
    return snapshot(root, without=(".dx",))


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize(("phase", "after"), [("resolve", 1), ("download", 1), ("unpack", 1)])
def test_an_install_that_is_stopped_has_done_nothing(stopped: Stopped, project: Path, phase: str, after: int) -> None:
    before = tree(project)
    was_interrupted(stopped.at("%dx install", phase, after=after))
    assert tree(project) == before
    whole(project)
    cell = stopped.dx.run("%dx install")
    assert cell.error is None
    assert (project / "src/dx_packages/demo/demo/only_in_1.py").exists()


@pytest.mark.usefixtures("quiet")
def test_an_install_that_can_no_longer_be_stopped_is_done_and_says_so(stopped: Stopped, project: Path) -> None:
    cell = stopped.at("%dx install", "apply")
    assert cell.error is not None
    assert cell.error["ename"] == "KeyboardInterrupt"
    assert cell.error["traceback"] == [
        "Interrupted, but it could not be stopped any more, and is done: demo 1.0. `%dx undo` takes it back."
    ]
    whole(project)
    assert (project / "src/dx_packages/demo/demo/only_in_1.py").exists()
    assert stopped.dx.value("[op['command'] for op in get_ipython().run_line_magic('dx', 'log').operations]") != "[]"
    stopped.dx.run("%dx undo")
    assert not (project / "src").exists()


@pytest.mark.usefixtures("quiet")
def test_an_upgrade_that_is_stopped_at_any_moment_is_done_or_not_done(stopped: Stopped, project: Path) -> None:
    stopped.dx.run("%dx install")
    package = project / "src/dx_packages/demo/demo"
    edited = package / "m5.py"
    edited.write_text("# mine\n" + edited.read_text())
    toml = project / "dx.toml"
    toml.write_text(toml.read_text().replace("==1.0", ">=1"))
    before = tree(project)
    outcomes = []
    for pause_s in (0.0, 0.03, 0.08, 0.15, 0.25, 0.4):
        stopped.after("%dx install --upgrade", pause_s)
        whole(project)
        done = (package / "only_in_2.py").exists()
        outcomes.append(done)
        if done:
            assert edited.read_text() == "# mine\nN = 5\nV = 1\n"  # Yellow: it awaits a decision
            assert "V = 2" in (package / "m6.py").read_text()
            assert not (package / "only_in_1.py").exists()
            stopped.dx.run("%dx undo")
        assert tree(project) == before
    assert outcomes[0] is False
    cell = stopped.dx.run("r = %dx install --upgrade")
    assert cell.error is None
    assert stopped.dx.value("r.to_json()['counts']['yellow'], r.exit_code") == "(1, 3)"


@pytest.mark.usefixtures("quiet")
def test_a_snapshot_that_is_stopped_is_none(stopped: Stopped, project: Path) -> None:
    was_interrupted(stopped.at("%dx snapshot first", "snapshot"))
    store = SnapshotStore(project, limits=load_config(project).snapshots)
    assert store.list() == []
    assert fsck(store.folder) == ""
    for pause_s in (0.0, 0.02, 0.05, 0.1):
        stopped.after("%dx snapshot again", pause_s)
        assert len(store.list()) <= 1
        assert fsck(store.folder) == ""
    stopped.dx.run("%dx snapshot last")
    assert len(store.list()) == 1  # the same state is kept once
    whole(project)


@pytest.mark.usefixtures("quiet")
def test_a_rollback_that_is_stopped_is_done_or_not_done(stopped: Stopped, project: Path) -> None:
    stopped.dx.run("taken = %dx snapshot first")
    rollback = "%dx rollback {taken.snapshot.id}"
    old = tree(project)
    for number in range(300):
        (project / f"own/f{number}.txt").write_text("changed\n")
    new = tree(project)
    stopped.at(rollback, "apply")
    assert tree(project) == old
    stopped.dx.run("%dx undo")
    for pause_s in (0.0, 0.05, 0.1, 0.2):
        stopped.after(rollback, pause_s)
        whole(project)
        assert tree(project) in (old, new)
        if tree(project) == old:
            stopped.dx.run("%dx undo")
        assert tree(project) == new
    assert stopped.dx.run(rollback).error is None
    assert tree(project) == old


@pytest.mark.usefixtures("quiet")
def test_a_sync_that_is_stopped_is_taken_up_again(stopped: Stopped, project: Path) -> None:
    stopped.dx.run("%dx snapshot first")
    was_interrupted(stopped.at("%dx sync", "upload"))
    whole(project)
    for pause_s in (0.0, 0.05, 0.1):
        stopped.after("%dx sync", pause_s)
        whole(project)
    assert stopped.dx.run("%dx sync").error is None
    cell = stopped.dx.run("%dx sync --verify")
    assert cell.error is None, cell.error


@pytest.mark.usefixtures("quiet")
def test_a_prefetch_that_is_stopped_leaves_no_half_of_an_archive(
    stopped: Stopped, project: Path, cache_dir: Path
) -> None:
    was_interrupted(stopped.at("%dx prefetch demo", "download"))
    whole(project)
    assert not [path for path in cache_dir.rglob("*") if path.is_file() and path.stat().st_size and "tmp" in path.name]
    cell = stopped.dx.run("r = %dx prefetch demo")
    assert cell.error is None
    assert stopped.dx.run("%dx install --offline").error is None


@pytest.mark.usefixtures("quiet")
def test_an_analysis_that_is_stopped_can_be_asked_again(stopped: Stopped, project: Path) -> None:
    stopped.dx.run("%dx install")
    before = tree(project)
    was_interrupted(stopped.at("%dx analyze", "analyze"))
    assert tree(project) == before
    assert stopped.dx.run("%dx analyze").error is None
    whole(project)


@pytest.mark.usefixtures("quiet")
def test_what_is_to_be_known_of_work_that_was_stopped_is_said(dx: Kernel, project: Path) -> None:
    code = """
from dxforge.events import Notice
from dxforge_nb.kernel import FORGES
from dxforge_nb.live import CellLive
live = CellLive(quiet=False)
live(Notice(text="an old file was put back"))
live.close()
"""
    assert "note: an old file was put back" in dx.run(code).streams


@pytest.fixture(autouse=True)
def nothing_left(dx: Kernel, project: Path) -> Iterator[None]:
    """After each of them the kernel has no thread that still works on something."""
    yield
    names = "[thread.name for thread in __import__('threading').enumerate()]"
    until(lambda: "dxforge-write" not in dx.value(names))
