"""What the file system refuses is an error that names the path, and the project is exactly as before."""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import resource
import shutil
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dxforge.errors import DxForgeError, ProjectBusyError, ProjectError, WriteError
from dxforge.events import Event, EventBus, Progress, WaitingForProject
from dxforge.traffic.ground import Ground
from dxforge.traffic.journal import Journal
from dxforge.traffic.manager import TrafficManager
from tests.support.index_server import IndexServer
from tests.support.project import GREEN, PACKAGES, Project, lines, said

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="mounts, limits and capabilities of Linux"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning"),
]

_CAPABILITIES = 0x20080522


def without_power(work: Callable[[], object]) -> dict[str, str]:
    """Do ``work`` in a fork without root's power over permissions; what it raised, by field."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        outcome = {"error": ""}
        try:
            if os.geteuid() == 0:
                header, none = struct.pack("Ii", _CAPABILITIES, 0), bytes(24)
                assert ctypes.CDLL(None).capset(header, none) == 0
            work()
        except DxForgeError as error:
            outcome = {"error": error.kind, "what": error.what, "where": error.where, "hint": error.hint}
        except BaseException as error:  # noqa: BLE001 - the parent shall see it
            outcome = {"error": f"foreign: {error!r}"}
        finally:
            os.write(writer, json.dumps(outcome).encode())
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        found: dict[str, str] = json.loads(stream.read())
    os.waitpid(child, 0)
    return found


def at_checkpoint(monkeypatch: pytest.MonkeyPatch, name: str, action: Callable[[], object]) -> None:
    """Have ``action`` done at a step of every operation."""
    original = Ground.journal

    def journal(self: Ground) -> Journal:
        made = original(self)
        made.checkpoint = lambda at: action() if at == name else None  # type: ignore[assignment]
        return made

    monkeypatch.setattr(Ground, "journal", journal)


def updated(project: Project) -> None:
    """Something of everything to do: an update, an addition and a deletion, in several folders."""
    project.start({"a/u.py": "u\n", "b/gone.py": "g\n", "m.py": lines()}, {"m.py": lines(_2="mine = 1")})
    project.publish({"a/u.py": "u 2\n", "c/new.py": "n\n", "m.py": lines(_2="clash = 1")})


@pytest.fixture
def project(tmp_path: Path, cache_dir: Path) -> Project:
    return Project(tmp_path, "pkg")


# ---- permissions


@pytest.mark.parametrize("folder", ["a", "b", ".", "..", "../.."])
def test_a_folder_that_may_not_be_written(project: Project, folder: str) -> None:
    updated(project)
    before, lock = project.whole(), project.lock_text()
    target = project.path(folder)
    target.chmod(0o555)
    outcome = without_power(project.install)
    target.chmod(0o755)
    if folder in ("..", "../.."):  # nothing is written there: the package's own folder is what counts
        assert outcome["error"] == ""
        return
    assert outcome["error"] == "WriteError"
    assert outcome["where"].startswith(f"{PACKAGES}/pkg/")
    assert "permission" in outcome["what"]
    assert "chmod" in outcome["hint"]
    assert (project.whole(), project.lock_text()) == (before, lock)
    assert list((project.root / ".dx" / "journal").iterdir()) == []
    assert len(project.install().pending) == 1


def test_a_root_that_may_not_be_written(project: Project) -> None:
    updated(project)
    before = project.whole()
    project.root.chmod(0o555)
    outcome = without_power(project.install)
    project.root.chmod(0o755)
    assert outcome["error"] == "WriteError"
    assert outcome["where"] == str(project.root / "dx.lock")
    assert project.whole() == before


def test_a_first_install_where_nothing_may_be_written(project: Project) -> None:
    project.publish({"m.py": "a\n"})
    before = project.whole()
    project.root.chmod(0o555)
    outcome = without_power(project.install)
    project.root.chmod(0o755)
    assert outcome["error"] == "WriteError"
    assert project.whole() == before


@pytest.mark.parametrize("path", ["a/u.py", "m.py"])
def test_a_file_that_may_not_be_read(project: Project, path: str) -> None:
    updated(project)
    before = project.whole()
    mode = project.path(path).stat().st_mode
    project.path(path).chmod(0)
    os.utime(project.path(path))
    outcome = without_power(project.install)
    project.path(path).chmod(mode)
    assert (outcome["error"], outcome["where"]) == ("WriteError", str(project.path(path)))
    assert "chmod" in outcome["hint"]
    assert project.whole() == before


def test_a_folder_that_may_not_be_looked_into(project: Project) -> None:
    updated(project)
    before = project.whole()
    project.path("a").chmod(0)
    outcome = without_power(project.install)
    project.path("a").chmod(0o755)
    assert (outcome["error"], outcome["where"]) == ("WriteError", str(project.path("a")))
    assert project.whole() == before


def test_a_lock_that_may_not_be_read(project: Project) -> None:
    updated(project)
    (project.root / "dx.lock").chmod(0)
    outcome = without_power(project.install)
    pending = without_power(project.manager.pending)
    (project.root / "dx.lock").chmod(0o644)
    assert outcome["error"] == pending["error"] == "WriteError"
    assert outcome["where"] == str(project.root / "dx.lock")


def test_looking_needs_no_permission_to_write(project: Project) -> None:
    updated(project)
    project.install()
    folders = [project.root, *(path for path in project.root.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)

    def look() -> None:
        (change,) = project.manager.pending()
        assert change.hunks
        project.manager.diff(change.path)
        assert len(project.manager.packages()) == 1
        assert project.manager.log()
        asyncio.run(project.manager.plan())

    outcome = without_power(look)
    for folder in folders:
        folder.chmod(0o755)
    assert outcome == {"error": ""}


@pytest.mark.skipif(shutil.which("chattr") is None or os.geteuid() != 0, reason="needs chattr and root")
@pytest.mark.parametrize("path", ["a/u.py", "b/gone.py"])
def test_a_file_that_cannot_be_changed_at_all(project: Project, path: str) -> None:
    updated(project)
    before, lock = project.whole(), project.lock_text()
    if subprocess.run(["chattr", "+i", project.path(path)], check=False, capture_output=True).returncode:
        pytest.skip("this file system knows no such attribute")
    try:
        with pytest.raises(WriteError) as caught:
            project.install()
    finally:
        subprocess.run(["chattr", "-i", project.path(path)], check=True)
    assert caught.value.where == f"{PACKAGES}/pkg/{path}"
    assert caught.value.hint
    assert (project.whole(), project.lock_text()) == (before, lock)


# ---- space


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if (
        os.geteuid() != 0
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], check=False, capture_output=True
        ).returncode
    ):
        pytest.skip("cannot mount here")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def on_disk(disk: Path, tmp_path: Path) -> Project:
    project = Project(tmp_path, "pkg", root=None)
    moved = disk / "project"
    shutil.copytree(project.root, moved)
    (moved / "dx.toml").write_text(
        f'[project]\nname = "demo"\n[packages]\npkg = {{ path = "{tmp_path}/upstream/pkg" }}\n'
    )
    return Project(tmp_path, root=moved)


def fill(disk: Path) -> Path:
    filler = disk / "filler"
    with open(filler, "wb", buffering=0) as stream:
        try:
            while True:
                stream.write(bytes(4096))
        except OSError:
            return filler


def test_a_full_disk_while_it_is_prepared(small_disk: Path, tmp_path: Path, cache_dir: Path) -> None:
    project = on_disk(small_disk, tmp_path)
    updated(project)
    project.publish({"a/u.py": "u 2\n", "big.bin": bytes(range(256)) * 16 * 1024})
    before, lock = project.whole(), project.lock_text()
    with pytest.raises(WriteError) as caught:
        project.install()
    assert "big.bin" in caught.value.where
    assert "no space" in caught.value.what
    assert "space" in caught.value.hint
    assert (project.whole(), project.lock_text()) == (before, lock)
    assert list((project.root / ".dx" / "journal").iterdir()) == []


@pytest.mark.parametrize("step", ["stage", "staged", "recorded", "commit", "committed"])
def test_a_disk_that_fills_up_at_any_step(
    small_disk: Path, tmp_path: Path, cache_dir: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    project = on_disk(small_disk, tmp_path)
    updated(project)
    before, lock = project.whole(), project.lock_text()
    at_checkpoint(monkeypatch, step, lambda: fill(small_disk))
    problems: list[str] = []
    try:
        project.install()
    except WriteError as error:
        problems.append(error.what)
    (small_disk / "filler").unlink()
    monkeypatch.undo()
    monkeypatch.setenv("DXFORGE_CACHE_DIR", str(cache_dir))
    if problems:
        assert "no space" in problems[0]
        assert (project.whole(), project.lock_text()) == (before, lock)
        assert list((project.root / ".dx" / "journal").iterdir()) == []
        assert said(project.install())["c/new.py"] is GREEN
    else:
        assert project.install().operation is None
    assert problems or step in ("committed", "recorded")
    assert project.path("c/new.py").exists()
    project.manager.undo()
    assert (project.whole(), project.lock_text()) == (before, lock)


def test_a_disk_that_is_full_from_the_start(small_disk: Path, tmp_path: Path, cache_dir: Path) -> None:
    project = on_disk(small_disk, tmp_path)
    project.publish({"m.py": "a\n"})
    filler = fill(small_disk)
    before = project.whole()
    with pytest.raises(WriteError):
        project.install()
    assert project.whole() == before
    filler.unlink()
    assert project.install().operation is not None


def test_a_file_system_that_is_read_only(small_disk: Path, tmp_path: Path, cache_dir: Path) -> None:
    project = on_disk(small_disk, tmp_path)
    updated(project)
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    before = project.whole()
    with pytest.raises(WriteError, match="read-only"):
        project.install()
    assert project.manager.pending() == []
    assert len(asyncio.run(project.manager.plan()).changes) == 4
    assert project.whole() == before


def limited(project: Project) -> dict[str, str]:
    def install() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
        project.install(upgrade=True)

    return without_power(install)


def test_a_file_larger_than_the_limit(tmp_path: Path, index: IndexServer) -> None:
    index.wheel("demo", "1.0", {"demo/m.py": "a\n"})
    project = Project(tmp_path, toml='demo = ""\n')
    project.install()
    index.wheel("demo", "1.1", {"demo/m.py": "b\n", "demo/big.bin": bytes(3_000_000)})
    before, lock = project.whole(), project.lock_text()
    outcome = limited(project)
    assert (outcome["error"], outcome["where"]) == ("WriteError", f"{PACKAGES}/demo/demo/big.bin")
    assert (project.whole(), project.lock_text()) == (before, lock)


def test_a_cache_that_cannot_take_it(project: Project, cache_dir: Path) -> None:
    updated(project)
    project.publish({"a/u.py": "u 2\n", "big.bin": bytes(3_000_000)})
    before, lock = project.whole(), project.lock_text()
    outcome = limited(project)
    assert outcome["error"] == "WriteError"
    assert outcome["where"].startswith(str(cache_dir))
    assert (project.whole(), project.lock_text()) == (before, lock)


# ---- what is in the way


@pytest.mark.parametrize("make", [Path.mkdir, lambda path: path.symlink_to("/nowhere/at/all")])
def test_a_lock_that_is_no_file(project: Project, make: Callable[[Path], object]) -> None:
    project.publish({"m.py": "a\n"})
    make(project.root / "dx.lock")
    before = project.whole()
    with pytest.raises(DxForgeError) as caught:
        project.install()
    assert caught.value.hint
    assert project.whole() == before


@pytest.mark.parametrize("make", [Path.touch, lambda path: path.symlink_to("/tmp")])
def test_a_state_folder_that_is_none(project: Project, make: Callable[[Path], object]) -> None:
    project.publish({"m.py": "a\n"})
    make(project.root / ".dx")
    with pytest.raises(ProjectError, match=r"\.dx is not a folder"):
        project.install()
    assert not (project.root / "src").exists()


def test_a_file_where_the_packages_folder_should_be(project: Project) -> None:
    project.publish({"m.py": "a\n"})
    (project.root / "src").write_text("mine\n")
    before = project.whole()
    with pytest.raises(DxForgeError) as caught:
        project.install()
    assert caught.value.hint
    assert project.whole() == before


# ---- others at work


HOLDER = """
import sys
from pathlib import Path
from dxforge.events import EventBus
from dxforge.files import prepare_state_dir, project_lock
with project_lock(prepare_state_dir(Path(sys.argv[1])), wait_s=5, events=EventBus()):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def busy(project: Project) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, project.root], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_run_waits_then_names_the_first(
    project: Project, busy: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DXFORGE_LOCK_WAIT_S", "0.2")
    project.publish({"m.py": "a\n"})
    events, heard = EventBus(), list[Event]()
    events.subscribe(heard.append)
    with pytest.raises(ProjectBusyError) as caught:
        asyncio.run(TrafficManager(project.root, events=events).install_all_dependencies())
    assert caught.value.pid == busy.pid
    assert str(busy.pid) in str(caught.value)
    assert WaitingForProject(pid=busy.pid, timeout_s=0.2) in heard
    assert not project.path().exists()


def test_looking_does_not_wait(project: Project, busy: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DXFORGE_LOCK_WAIT_S", "0.2")
    project.publish({"m.py": "a\n"})
    assert project.manager.pending() == []
    assert project.manager.packages() == []
    assert len(asyncio.run(project.manager.plan()).changes) == 1


def test_a_second_run_goes_on_when_the_first_is_done(project: Project, busy: subprocess.Popen[str]) -> None:
    project.publish({"m.py": "a\n"})
    events = EventBus()

    def let_go(event: Event) -> None:
        if isinstance(event, WaitingForProject):
            busy.terminate()

    events.subscribe(let_go)
    report = asyncio.run(TrafficManager(project.root, events=events).install_all_dependencies())
    assert report.operation is not None


# ---- being stopped


@pytest.mark.parametrize("after", range(6))
def test_a_cancelled_install_is_whole(project: Project, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    updated(project)
    before, lock = project.whole(), project.lock_text()
    reached, go_on = threading.Event(), threading.Event()
    steps: list[str] = []
    original = Ground.journal

    def journal(self: Ground) -> Journal:
        made = original(self)

        def checkpoint(at: str) -> None:
            steps.append(at)
            if len(steps) == after + 1:
                reached.set()
                assert go_on.wait(10)

        made.checkpoint = checkpoint
        return made

    monkeypatch.setattr(Ground, "journal", journal)

    async def cancelled() -> None:
        task = asyncio.create_task(project.manager.install_all_dependencies())
        await asyncio.to_thread(reached.wait, 10)
        task.cancel()
        await asyncio.sleep(0)
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    assert list((project.root / ".dx" / "journal").iterdir()) == []
    if project.lock_text() == lock:
        assert project.whole() == before
    else:
        assert project.install().operation is None


def test_an_install_cancelled_before_it_writes_changes_nothing(project: Project) -> None:
    updated(project)
    before = project.whole()
    events = EventBus()
    loop_task: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[object]]] = []

    def cancel(event: Event) -> None:
        if isinstance(event, Progress) and event.phase == "resolve":
            loop, task = loop_task[0]
            loop.call_soon_threadsafe(task.cancel)

    events.subscribe(cancel)

    async def run() -> None:
        manager = TrafficManager(project.root, events=events)
        task: asyncio.Task[object] = asyncio.create_task(manager.install_all_dependencies())
        loop_task.append((asyncio.get_running_loop(), task))
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert project.whole() == before
