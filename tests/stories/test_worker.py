"""The background worker among processes: killed, stopped, forked, ended, and without the right to write."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dxforge.background.tasks import CacheCurrentState, PrefetchPackage, TaskState
from dxforge.background.worker import BackgroundWorker, TaskContext
from dxforge.errors import TaskHandedOverError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and forks")
LONG_S = 60.0
HEAD = """
import asyncio, os, sys, time, threading
from dxforge.background.tasks import *
from dxforge.background.worker import BackgroundWorker
root = sys.argv[1]
def say(*words):
    print(*words, flush=True)
"""


def quick(context: TaskContext) -> str:
    return context.task.argument


@contextlib.contextmanager
def program(root: Path, code: str, **options: object) -> Iterator[subprocess.Popen[str]]:
    """A process that runs ``code`` after HEAD, killed in the end."""
    command = [sys.executable, "-W", "error", "-c", HEAD + code, str(root)]
    process: subprocess.Popen[str] = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,  # type: ignore[call-overload]
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def heard(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdout is not None
    for found in process.stdout:
        if found.strip() == line:
            return
    _, errors = process.communicate()
    pytest.fail(f"it ended without saying {line!r}: {errors}")


def until(condition: Callable[[], object]) -> None:
    deadline_s = time.monotonic() + LONG_S
    while not condition():
        assert time.monotonic() < deadline_s, "it never happened"
        time.sleep(0.01)


def finish(root: Path) -> dict[str, TaskState]:
    """Let a worker of this process do what is left; the states of all tasks."""

    async def main() -> dict[str, TaskState]:
        async with BackgroundWorker(
            root, runners=dict.fromkeys(("PrefetchPackage", "CacheCurrentState"), quick)
        ) as worker:
            while True:
                assert await worker.join(LONG_S)
                infos = worker.tasks(recent=1000)
                if all(info.state.ended for info in infos):
                    return {f"{info.kind} {info.argument}".rstrip(): info.state for info in infos}
                await asyncio.sleep(0.05)

    return asyncio.run(main())


ENDLESS = """
def run(context):
    say("runs", context.task.argument)
    while True:
        time.sleep(0.01)
        context.check()
worker = BackgroundWorker(root, runners={"PrefetchPackage": run}, workers=1)
for name in "abc":
    worker.enqueue(PrefetchPackage(name))
assert worker.flush(30)
"""


def test_a_killed_process_leaves_its_tasks_to_the_next(tmp_path: Path) -> None:
    with program(tmp_path, ENDLESS + "time.sleep(60)") as process:
        heard(process, "runs a")
        process.kill()
        process.wait()
    assert finish(tmp_path) == {f"PrefetchPackage {name}": TaskState.DONE for name in "abc"}


def test_a_stopped_process_keeps_its_lease_and_nobody_waits_for_it(tmp_path: Path) -> None:
    with program(tmp_path, ENDLESS + "time.sleep(60)") as process:
        heard(process, "runs a")
        process.send_signal(signal.SIGSTOP)
        worker = BackgroundWorker(tmp_path, runners={"PrefetchPackage": quick})
        handles = {name: worker.enqueue(PrefetchPackage(name)) for name in "abcd"}
        assert [handles[name].result(LONG_S) for name in "bcd"] == list("bcd")
        assert not handles["a"].done(), "it lives, so it may go on at any time"
        process.kill()
        process.wait()
        assert handles["a"].result(LONG_S) == "a"
        asyncio.run(worker.close())


def test_a_stopped_writer_blocks_nobody(tmp_path: Path) -> None:
    holder = """
import sqlite3
database = sqlite3.connect(root + "/.dx/state.db", isolation_level=None)
database.execute("BEGIN EXCLUSIVE")
say("holds")
time.sleep(60)
"""
    worker = BackgroundWorker(tmp_path, runners={"PrefetchPackage": quick})
    worker.enqueue(PrefetchPackage("first")).result(LONG_S)
    with program(tmp_path, holder) as process:
        heard(process, "holds")
        process.send_signal(signal.SIGSTOP)
        called = threading.Event()
        handles = []

        def call() -> None:
            handles.extend(worker.enqueue(PrefetchPackage(f"p{number}")) for number in range(1000))
            called.set()

        threading.Thread(target=call).start()
        assert called.wait(LONG_S), "enqueue waits for the disk"
        time.sleep(1.0)
        assert not any(handle.saved for handle in handles)
    assert {handle.result(LONG_S) for handle in handles} == {f"p{number}" for number in range(1000)}
    asyncio.run(worker.close())


def test_enqueue_from_a_signal_handler(tmp_path: Path) -> None:
    worker = BackgroundWorker(tmp_path, runners={"PrefetchPackage": quick})
    handles = []
    before = signal.signal(
        signal.SIGALRM, lambda *_: handles.append(worker.enqueue(PrefetchPackage(f"s{len(handles)}")))
    )
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
        own = [worker.enqueue(PrefetchPackage(f"p{number % 700}")) for number in range(20_000)]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert handles
    assert all(handle.result(LONG_S) == handle.task.argument for handle in handles + own)
    asyncio.run(worker.close())


@pytest.mark.parametrize(
    "ending",
    ["", "sys.exit(0)", "worker.enqueue(PrefetchPackage('late'))", "del worker"],
    ids=["end of file", "exit", "late task", "forgotten"],
)
def test_the_end_of_the_interpreter_never_hangs_and_loses_nothing(tmp_path: Path, ending: str) -> None:
    with program(tmp_path, ENDLESS + ending) as process:
        _, errors = process.communicate(timeout=LONG_S)
        assert process.returncode == 0 and not errors
    expected = {*"abc", "late"} if "late" in ending else set("abc")
    assert finish(tmp_path) == {f"PrefetchPackage {name}": TaskState.DONE for name in expected}


def test_it_does_not_hang_either_where_a_runner_hears_nothing_and_the_file_is_locked(tmp_path: Path) -> None:
    code = """
def run(context):
    say("runs")
    threading.Event().wait()
worker = BackgroundWorker(root, runners={"PrefetchPackage": run})
worker.enqueue(PrefetchPackage("deaf"))
assert worker.flush(30)
sys.stdin.readline()
worker.enqueue(PrefetchPackage("unwritten"))
"""
    with program(tmp_path, code, stdin=subprocess.PIPE) as process:
        heard(process, "runs")
        with contextlib.closing(sqlite3.connect(tmp_path / ".dx/state.db", isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            process.communicate("\n", timeout=LONG_S)
            assert process.returncode == 0
    assert finish(tmp_path)["PrefetchPackage deaf"] is TaskState.DONE


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_writes_down_and_runs_nothing_and_harms_nothing(tmp_path: Path) -> None:
    go = threading.Event()
    ran: list[int] = []

    def run(context: TaskContext) -> str:
        ran.append(os.getpid())
        go.wait(LONG_S)
        return context.task.argument

    worker = BackgroundWorker(tmp_path, runners={"PrefetchPackage": run})
    first = worker.enqueue(PrefetchPackage("parents"))
    until(lambda: first.state is TaskState.RUNNING)
    children = []
    for number in range(3):
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                with contextlib.suppress(TaskHandedOverError):
                    first.result(10)
                    os._exit(2)
                mine = worker.enqueue(PrefetchPackage(f"child{number}"))
                status = 0 if worker.flush(LONG_S) and not mine.done() and not worker.keeper.running else 3
            finally:
                os._exit(status)
        children.append(pid)
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children] == [0, 0, 0]
    go.set()
    assert first.result(LONG_S) == "parents"
    until(lambda: len([info for info in worker.tasks() if info.state is TaskState.DONE]) == 4)
    assert set(ran) == {os.getpid()}
    asyncio.run(worker.close())
    with contextlib.closing(sqlite3.connect(tmp_path / ".dx/state.db")) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_may_start_a_worker_of_its_own(tmp_path: Path) -> None:
    worker = BackgroundWorker(tmp_path, runners={"PrefetchPackage": quick})
    worker.enqueue(PrefetchPackage("parents")).result(LONG_S)
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            asyncio.run(worker.start())
            status = 0 if worker.enqueue(PrefetchPackage("childs")).result(LONG_S) == "childs" else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert worker.enqueue(PrefetchPackage("parents again")).result(LONG_S) == "parents again"
    asyncio.run(worker.close())


def test_a_project_that_may_not_be_written(tmp_path: Path) -> None:
    # pytest's own folder is closed to other users, and root may write everywhere: a folder and a user of their own.
    root = Path(tempfile.mkdtemp(prefix="dxforge-readonly-"))
    code = """
import encodings.ascii, sqlite3, dxforge.background.trouble
from dxforge.events import EventBus, Notice
if os.geteuid() == 0:
    os.setuid(65534)
events, notices = EventBus(), []
events.subscribe(lambda event: isinstance(event, Notice) and notices.append(event.text))
worker = BackgroundWorker(root, runners={"PrefetchPackage": lambda context: "ran"}, events=events)
assert worker.enqueue(PrefetchPackage("a")).result(30) == "ran"
assert len(notices) == 1 and "memory only" in notices[0], notices
asyncio.run(worker.close())
say("fine")
"""
    try:
        root.chmod(0o555)
        with program(root, code) as process:
            output, errors = process.communicate(timeout=LONG_S)
        assert (output, errors) == ("fine\n", "")
        assert not list(root.iterdir())
    finally:
        root.chmod(0o755)
        shutil.rmtree(root)


def test_two_processes_share_the_queue_and_follow_each_other(tmp_path: Path) -> None:
    code = """
def run(context):
    say("runs", context.task.argument)
    time.sleep(0.3)
    return context.task.argument
worker = BackgroundWorker(root, runners={"CacheCurrentState": run})
asyncio.run(worker.start())
say("ready")
time.sleep(60)
"""
    with program(tmp_path, code) as process:
        heard(process, "ready")
        writer = BackgroundWorker(tmp_path)
        handles = [writer.enqueue(CacheCurrentState()) for _ in range(100)]
        heard(process, "runs")
        assert handles[0].result(LONG_S) == ""
        asyncio.run(writer.close())
