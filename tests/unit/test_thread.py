"""``ForgeThread``: a forge for callers without a loop, or with one that must be left alone."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from pathlib import Path

import pytest

import dxforge
from dxforge.errors import UndoError, UnknownToolError, UsageError, WriteError
from dxforge.events import EventBus
from dxforge.orchestrator.status import ToolChanged, ToolState
from dxforge.traffic.model import InstallReport
from tests.support.project import PACKAGES, Project, lines


@pytest.fixture
def project(tmp_path: Path, cache_dir: Path) -> Project:
    made = Project(tmp_path, "pkg")
    made.publish({"m.py": lines()})
    return made


def threads() -> list[str]:
    # A request that another test of this process gave up on ends by itself, in its own time.
    names = [thread.name for thread in threading.enumerate()]
    return [name for name in names if name.startswith("dxforge") and name != "dxforge-remote"]


def test_as_a_block(project: Project) -> None:
    with dxforge.ForgeThread(project.root) as forge:
        assert forge.run_pipeline("install").ok
        assert threads()
    assert threads() == []
    assert project.path("m.py").exists()


def test_by_hand_and_more_than_once(project: Project) -> None:
    forge = dxforge.ForgeThread(str(project.root))
    assert forge.start() is forge
    inner = forge.forge
    assert forge.start().forge is inner
    forge.close()
    forge.close()
    assert threads() == []
    with forge:
        assert forge.forge is not inner
        assert forge.run_pipeline("install").ok


def test_it_must_be_running(project: Project) -> None:
    forge = dxforge.ForgeThread(project.root)
    for call in (lambda: forge.forge, lambda: forge.run_pipeline("install"), lambda: forge.run(asyncio.sleep(0))):
        with pytest.raises(UsageError, match="not running") as caught:
            call()  # type: ignore[no-untyped-call]
        assert caught.value.hint
    with forge:
        pass
    with pytest.raises(UsageError):
        forge.run_pipeline("install")


def test_an_unknown_command(project: Project) -> None:
    with dxforge.ForgeThread(project.root) as forge:
        report = forge.run_pipeline("instal")
    assert not report.ok
    assert "did you mean 'install'" in report.notes[0]
    assert not project.path().exists()


def test_the_manager_for_sync_callers(project: Project) -> None:
    with dxforge.ForgeThread(project.root) as forge:
        manager = forge.traffic_manager
        report = manager.install_all_dependencies()
        assert isinstance(report, InstallReport)
        project.replace("m.py", "line 2 = 2", "mine = 1")
        project.publish({"m.py": lines(_15="theirs = 1")})
        plan = manager.plan()
        assert manager.apply(plan).pending
        (change,) = manager.pending()
        assert manager.accept(change.path, "1").pending == []
        manager.undo()
        assert [change.path for change in manager.pending()] == [f"{PACKAGES}/pkg/m.py"]
        assert manager.root == project.root


def test_errors_pass_through(project: Project) -> None:
    with dxforge.ForgeThread(project.root) as forge:
        with pytest.raises(UndoError):
            forge.traffic_manager.undo()

        async def late() -> None:
            raise TimeoutError("the work's own")

        with pytest.raises(TimeoutError, match="own"):
            forge.run(late())


def test_a_caller_with_a_loop_of_its_own(project: Project) -> None:
    """As in a notebook: the loop is running, and stays as it is."""

    async def cell() -> None:
        loop = asyncio.get_running_loop()
        with dxforge.ForgeThread(project.root) as forge:
            assert forge.run_pipeline("install").ok
            other = forge.run(_loop())
            assert other is not loop
        assert asyncio.get_running_loop() is loop

    asyncio.run(cell())


async def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


def test_waiting_from_its_own_loop_would_be_for_ever(project: Project) -> None:
    with dxforge.ForgeThread(project.root) as forge:

        async def inside() -> None:
            with pytest.raises(UsageError, match="own loop"):
                forge.run(asyncio.sleep(0))

        forge.run(inside())


def test_several_threads_may_ask_at_once(project: Project) -> None:
    with dxforge.ForgeThread(project.root) as forge:
        reports: list[object] = []
        callers = [
            threading.Thread(target=lambda: reports.append(forge.traffic_manager.install_all_dependencies()))
            for _ in range(4)
        ]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
    assert len(reports) == 4
    assert sum(isinstance(report, InstallReport) and report.operation is not None for report in reports) == 1


def test_a_start_that_fails_leaves_no_thread(project: Project) -> None:
    (project.root / ".dx" / "journal" / "000001").mkdir(parents=True)
    (project.root / ".dx" / "lock").mkdir()
    with pytest.raises(WriteError):
        dxforge.ForgeThread(project.root).start()
    assert threads() == []


@pytest.mark.skipif(sys.platform == "win32", reason="interval timers")
def test_an_interrupt_cancels_waits_and_is_raised(project: Project) -> None:
    stopped = []

    async def patient() -> None:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(0.2)  # cleaning up takes a moment, and is waited for
            stopped.append(True)
            raise

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with dxforge.ForgeThread(project.root) as forge:
            with pytest.raises(KeyboardInterrupt):
                forge.run(patient())
            assert stopped == [True]
            assert forge.run_pipeline("install").ok
    finally:
        signal.signal(signal.SIGALRM, before)


def test_the_orchestrator_for_sync_callers(project: Project) -> None:
    with dxforge.ForgeThread(project.root) as forge:
        tools = forge.orchestrator
        tools.register_tool(dxforge.DxToolDefinition("sleeper", "/bin/sh", args=["-c", "exec sleep 300"]))
        status = tools.ensure_running("sleeper")
        assert status.state is ToolState.RUNNING
        assert tools.status("sleeper") == status
        assert tools.execute_tool("sleeper", ["-c", "echo hello"]).stdout == "hello\n"
        with pytest.raises(UnknownToolError):
            tools.ensure_running("slepper")
        assert tools.stop("sleeper").state is ToolState.STOPPED
    assert threads() == []


def test_events_go_where_they_are_wanted(project: Project) -> None:
    bus = EventBus()
    heard: list[object] = []
    bus.subscribe(heard.append)
    with dxforge.ForgeThread(project.root, events=bus) as forge:
        assert forge.forge.events is bus
        forge.orchestrator.register_tool(dxforge.DxToolDefinition("sleeper", "/bin/sh", args=["-c", "exec sleep 300"]))
        forge.orchestrator.ensure_running("sleeper")
    changes = [event for event in heard if isinstance(event, ToolChanged)]
    assert [change.status.state for change in changes][-1] is ToolState.STOPPED
    assert any(change.status.state is ToolState.RUNNING for change in changes)


def test_something_can_be_done_meanwhile_in_the_waiting_thread(project: Project) -> None:
    seen: list[threading.Thread] = []
    enough = threading.Event()

    def meanwhile() -> None:
        seen.append(threading.current_thread())
        if len(seen) == 3:
            enough.set()

    async def wait() -> str:
        await asyncio.to_thread(enough.wait)
        return "done"

    with dxforge.ForgeThread(project.root) as forge:
        assert forge.run(wait(), meanwhile=meanwhile) == "done"
    assert set(seen) == {threading.main_thread()}


def test_what_is_done_meanwhile_may_end_the_work(project: Project) -> None:
    stopped = []

    async def patient() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            stopped.append(True)

    def meanwhile() -> None:
        raise BrokenPipeError

    with dxforge.ForgeThread(project.root) as forge:
        with pytest.raises(BrokenPipeError):
            forge.run(patient(), meanwhile=meanwhile)
        assert stopped == [True]
        assert forge.run_pipeline("install").ok


def test_ending_one_work_waits_for_no_other(project: Project) -> None:
    begun, end = threading.Event(), threading.Event()

    async def long() -> str:
        begun.set()
        await asyncio.to_thread(end.wait)
        return "undisturbed"

    def meanwhile() -> None:
        raise KeyboardInterrupt

    answers: list[str] = []
    with dxforge.ForgeThread(project.root) as forge:
        other = threading.Thread(target=lambda: answers.append(forge.run(long())))
        other.start()
        begun.wait()
        with pytest.raises(KeyboardInterrupt):
            forge.run(asyncio.sleep(60), meanwhile=meanwhile)
        end.set()
        other.join()
    assert answers == ["undisturbed"]


def test_closing_ends_what_other_threads_wait_for(project: Project) -> None:
    begun = threading.Event()
    outcomes: list[str] = []

    async def endless() -> None:
        begun.set()
        await asyncio.sleep(3600)

    def call() -> None:
        try:
            forge.run(endless())
        except asyncio.CancelledError:
            outcomes.append("cancelled")

    with dxforge.ForgeThread(project.root) as forge:
        other = threading.Thread(target=call)
        other.start()
        begun.wait()
    other.join()
    assert outcomes == ["cancelled"]
    assert threads() == []


def test_something_can_be_posted_without_waiting(project: Project) -> None:
    thread = dxforge.ForgeThread(project.root)
    called = threading.Event()
    with pytest.raises(UsageError):
        thread.post(called.set)
    with thread:
        where: list[str] = []
        thread.post(lambda: where.append(threading.current_thread().name))
        thread.post(called.set)
        assert called.wait(30)
        assert where == ["dxforge"]
    with pytest.raises(UsageError):
        thread.post(called.set)


def test_what_it_looks_like_in_a_cell(tmp_path: Path) -> None:
    root = tmp_path / "demo"
    assert repr(dxforge.ForgeThread(root)) == "<ForgeThread: demo, not running>"
    assert repr(dxforge.DxForge(root)) == "<DxForge: demo>"
