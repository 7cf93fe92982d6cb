"""The worker as its callers see it: threads, loops, trouble with the disk, closing."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dxforge.background import policy
from dxforge.background.tasks import (
    BackgroundTask,
    CacheCurrentState,
    ChannelFull,
    PrefetchPackage,
    SyncToCloudflareR2,
    TaskChanged,
    TaskProgress,
    TaskProgressed,
    TaskState,
)
from dxforge.background.worker import BackgroundWorker, TaskContext, TaskHandle
from dxforge.errors import (
    DownloadError,
    TaskCancelledError,
    TaskFailedError,
    TaskHandedOverError,
    UnknownTaskError,
    UsageError,
    WorkerClosedError,
)
from dxforge.events import Event, EventBus, Notice

LONG_S = 30.0
"""A deadline for liveness, not a figure."""


class Recorder:
    """A runner that remembers what it ran, and an event bus that remembers what it heard."""

    def __init__(self) -> None:
        self.ran: list[BackgroundTask] = []
        self.heard: list[Event] = []
        self.go = threading.Event()
        self.events = EventBus()
        self.events.subscribe(self.heard.append)

    def quick(self, context: TaskContext) -> str:
        self.ran.append(context.task)
        return context.task.argument

    def gated(self, context: TaskContext) -> str:
        """Runs until `go` is set, or it is to stop."""
        self.ran.append(context.task)
        while not self.go.wait(0.01):
            context.check()
        return context.task.argument

    def notices(self) -> list[str]:
        return [event.text for event in self.heard if isinstance(event, Notice)]


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    found = Recorder()
    yield found
    found.go.set()


def until(condition: Callable[[], object]) -> None:
    deadline_s = time.monotonic() + LONG_S
    while not condition():
        assert time.monotonic() < deadline_s, "it never happened"
        time.sleep(0.005)


def worker_of(
    root: Path, runner: Callable[[TaskContext], object], recorder: Recorder, workers: int = 2
) -> BackgroundWorker:
    runners = {"PrefetchPackage": runner, CacheCurrentState: runner}
    return BackgroundWorker(root, runners=runners, events=recorder.events, workers=workers)  # type: ignore[arg-type]


def close(worker: BackgroundWorker, timeout_s: float = 10.0) -> None:
    asyncio.run(worker.close(timeout_s))


# -- enqueue and wait -------------------------------------------------------------------------------------------------


def test_a_task_is_run_and_awaited(tmp_path: Path, recorder: Recorder) -> None:
    async def main() -> object:
        async with worker_of(tmp_path, recorder.quick, recorder) as worker:
            return await worker.enqueue(PrefetchPackage("a"))

    assert asyncio.run(main()) == "a"
    states = [event.state for event in recorder.heard if isinstance(event, TaskChanged)]
    assert states == [TaskState.WAITING, TaskState.RUNNING, TaskState.DONE]


def test_without_a_loop_and_from_many_threads(tmp_path: Path, recorder: Recorder) -> None:
    worker = worker_of(tmp_path, recorder.quick, recorder)
    results: list[object] = []

    def call(number: int) -> None:
        results.append(worker.enqueue(PrefetchPackage(f"p{number}")).result(LONG_S))

    threads = [threading.Thread(target=call, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG_S)
    assert sorted(map(str, results)) == sorted(f"p{number}" for number in range(12))
    close(worker)


def test_one_handle_on_several_loops(tmp_path: Path, recorder: Recorder) -> None:
    worker = worker_of(tmp_path, recorder.gated, recorder)
    handle = worker.enqueue(PrefetchPackage("a"))
    results: list[object] = []

    async def wait() -> None:
        results.append(await handle)

    threads = [threading.Thread(target=lambda: asyncio.run(wait())) for _ in range(3)]
    for thread in threads:
        thread.start()
    recorder.go.set()
    for thread in threads:
        thread.join(LONG_S)
    assert results == ["a"] * 3
    close(worker)


def test_equal_waiting_tasks_are_one(tmp_path: Path, recorder: Recorder) -> None:
    worker = worker_of(tmp_path, recorder.gated, recorder, workers=1)
    first = worker.enqueue(PrefetchPackage("first"))
    until(lambda: first.state is TaskState.RUNNING)
    handles = [worker.enqueue(CacheCurrentState()) for _ in range(50)]
    assert len({id(handle) for handle in handles}) == 1
    recorder.go.set()
    handles[0].result(LONG_S)
    assert recorder.ran == [PrefetchPackage("first"), CacheCurrentState()]
    close(worker)


def test_a_task_enqueued_while_an_equal_one_runs_runs_after_it(tmp_path: Path, recorder: Recorder) -> None:
    worker = worker_of(tmp_path, recorder.gated, recorder)
    first = worker.enqueue(CacheCurrentState())
    until(lambda: first.state is TaskState.RUNNING)
    second = worker.enqueue(CacheCurrentState())
    assert second is not first
    until(lambda: second.saved)
    assert len(recorder.ran) == 1
    recorder.go.set()
    second.result(LONG_S)
    assert first.done() and len(recorder.ran) == 2
    close(worker)


def test_what_is_no_task_is_refused(tmp_path: Path, recorder: Recorder) -> None:
    worker = worker_of(tmp_path, recorder.quick, recorder)
    for wrong in ("CacheCurrentState", None, CacheCurrentState):
        with pytest.raises(UsageError, match="is no background task"):
            worker.enqueue(wrong)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="no kind of task"):
        BackgroundWorker(tmp_path, runners={"Nonsense": recorder.quick})


def test_nothing_is_started_or_written_before_it_is_needed(tmp_path: Path, recorder: Recorder) -> None:
    before = threading.active_count()
    worker = worker_of(tmp_path, recorder.quick, recorder)
    assert worker.tasks() == [] and asyncio.run(worker.join()) is True
    close(worker)
    assert threading.active_count() == before and not list(tmp_path.iterdir())


def test_bounded_concurrency(tmp_path: Path, recorder: Recorder) -> None:
    at_once: list[int] = []
    present: set[int] = set()

    def run(context: TaskContext) -> None:
        present.add(id(context))
        at_once.append(len(present))
        time.sleep(0.01)
        present.discard(id(context))

    worker = worker_of(tmp_path, run, recorder, workers=3)
    for number in range(20):
        worker.enqueue(PrefetchPackage(f"p{number}"))
    assert asyncio.run(worker.join(LONG_S))
    assert len(at_once) == 20 and max(at_once) <= 3
    close(worker)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a priority per thread")
def test_tasks_run_at_low_priority_and_the_caller_does_not(tmp_path: Path, recorder: Recorder) -> None:
    before = os.getpriority(os.PRIO_PROCESS, 0)
    worker = worker_of(tmp_path, lambda _: os.getpriority(os.PRIO_PROCESS, threading.get_native_id()), recorder)
    assert worker.enqueue(CacheCurrentState()).result(LONG_S) > before
    assert os.getpriority(os.PRIO_PROCESS, 0) == before
    close(worker)


# -- the channel ------------------------------------------------------------------------------------------------------


def test_beyond_a_hundred_all_wait_with_one_warning(
    tmp_path: Path, recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    worker = worker_of(tmp_path, recorder.gated, recorder)
    with caplog.at_level(logging.WARNING, logger="dxforge"):
        handles = [worker.enqueue(PrefetchPackage(f"p{number}")) for number in range(400)]
        assert worker.flush(LONG_S)
        handles += [worker.enqueue(PrefetchPackage(f"q{number}")) for number in range(100)]
        assert worker.flush(LONG_S)
    assert [event for event in recorder.heard if isinstance(event, ChannelFull)] == [ChannelFull(capacity=100)]
    assert len([record for record in caplog.records if "100 background tasks" in record.message]) == 1
    recorder.go.set()
    assert asyncio.run(worker.join(LONG_S))
    assert len(recorder.ran) == len(set(recorder.ran)) == 500 and all(handle.done() for handle in handles)
    close(worker)


# -- failing, retrying, cancelling ------------------------------------------------------------------------------------


def test_a_failure_is_visible_and_can_be_run_again(tmp_path: Path, recorder: Recorder) -> None:
    broken = [True]

    def run(context: TaskContext) -> str:
        if broken[0]:
            raise ValueError("the cupboard is bare")
        return "fed"

    worker = worker_of(tmp_path, run, recorder)
    handle = worker.enqueue(CacheCurrentState())
    with pytest.raises(TaskFailedError, match="cupboard is bare") as caught:
        handle.result(LONG_S)
    assert isinstance(caught.value.__cause__, ValueError) and caught.value.hint
    (info,) = worker.tasks()
    assert info.state is TaskState.FAILED and info.reason == "ValueError: the cupboard is bare" and info.id is not None
    broken[0] = False
    assert worker.retry(info.id).result(LONG_S) == "fed"
    (info,) = worker.tasks()
    assert info.state is TaskState.DONE and info.reason == ""
    with pytest.raises(UnknownTaskError, match="is done"):
        worker.retry(info.id or 0)
    with pytest.raises(UnknownTaskError, match="no task 999"):
        worker.retry(999)
    close(worker)


def test_what_passes_is_tried_again(tmp_path: Path, recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy, "FIRST_S", 0.01)
    attempts: list[int] = []

    def run(context: TaskContext) -> str:
        attempts.append(context.attempt)
        if context.attempt < 3:
            raise DownloadError("no network")
        return "there"

    worker = worker_of(tmp_path, run, recorder)
    assert worker.enqueue(CacheCurrentState()).result(LONG_S) == "there"
    assert attempts == [1, 2, 3]
    reasons = [event.reason for event in recorder.heard if isinstance(event, TaskChanged) and event.reason]
    assert reasons == ["no network"] * 2
    close(worker)


def test_and_then_it_fails(tmp_path: Path, recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy, "FIRST_S", 0.001)

    def run(context: TaskContext) -> None:
        raise DownloadError("no network")

    worker = worker_of(tmp_path, run, recorder)
    with pytest.raises(TaskFailedError, match="no network") as caught:
        worker.enqueue(CacheCurrentState()).result(LONG_S)
    assert caught.value.attempts == policy.MAX_ATTEMPTS
    close(worker)


def test_a_runner_that_calls_exit_ends_nothing_else(tmp_path: Path, recorder: Recorder) -> None:
    worker = worker_of(tmp_path, lambda _: sys.exit(3), recorder, workers=1)
    with pytest.raises(TaskFailedError, match="SystemExit"):
        worker.enqueue(CacheCurrentState()).result(LONG_S)
    with pytest.raises(TaskFailedError, match="SystemExit"):
        worker.enqueue(PrefetchPackage("a")).result(LONG_S)
    close(worker)


def test_a_listener_that_fails_ends_nothing(
    tmp_path: Path, recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    def listen(event: Event) -> None:
        raise RuntimeError("no ears")

    def run(context: TaskContext) -> str:
        context.progress(1, 1)
        return "fine"

    worker = worker_of(tmp_path, run, recorder)
    recorder.events.subscribe(listen)
    with caplog.at_level(logging.CRITICAL, logger="dxforge"):
        assert worker.enqueue(CacheCurrentState()).result(LONG_S) == "fine"
    close(worker)


def test_progress_reaches_handle_events_and_list(tmp_path: Path, recorder: Recorder) -> None:
    def run(context: TaskContext) -> None:
        context.progress(1, 3, "one")
        recorder.go.wait(LONG_S)
        context.progress(3, 3, "three")

    worker = worker_of(tmp_path, run, recorder)
    handle = worker.enqueue(CacheCurrentState())
    until(lambda: handle.progress.done == 1)
    (info,) = worker.tasks()
    assert info.progress == TaskProgress(done=1, total=3, item="one") and info.pid == os.getpid()
    recorder.go.set()
    handle.result(LONG_S)
    heard = [event.progress.done for event in recorder.heard if isinstance(event, TaskProgressed)]
    assert heard == [1, 3] and handle.progress.item == "three"
    close(worker)


def test_cancel_what_waits_and_what_runs(tmp_path: Path, recorder: Recorder) -> None:
    worker = worker_of(tmp_path, recorder.gated, recorder, workers=1)
    runs = worker.enqueue(PrefetchPackage("runs"))
    until(lambda: runs.state is TaskState.RUNNING)
    waits = worker.enqueue(PrefetchPackage("waits"))
    assert waits.cancel()
    with pytest.raises(TaskCancelledError):
        waits.result(LONG_S)
    assert not waits.cancel()
    assert runs.cancel()
    with pytest.raises(TaskCancelledError):
        runs.result(LONG_S)
    assert recorder.ran == [PrefetchPackage("runs")]
    assert {info.state for info in worker.tasks()} == {TaskState.CANCELLED}
    close(worker)


def test_cancel_by_number_and_a_later_equal_task_is_another(tmp_path: Path, recorder: Recorder) -> None:
    worker = worker_of(tmp_path, recorder.gated, recorder, workers=1)
    runs = worker.enqueue(PrefetchPackage("runs"))
    until(lambda: runs.state is TaskState.RUNNING)
    waits = worker.enqueue(CacheCurrentState())
    assert worker.flush(LONG_S)
    worker.cancel(waits.id or 0)
    again = worker.enqueue(CacheCurrentState())
    assert again is not waits
    with pytest.raises(TaskCancelledError):
        waits.result(LONG_S)
    recorder.go.set()
    assert again.result(LONG_S) == ""
    with pytest.raises(UnknownTaskError):
        worker.cancel(waits.id or 0)
    close(worker)


def test_a_runner_may_enqueue(tmp_path: Path, recorder: Recorder) -> None:
    handles: list[TaskHandle] = []

    def run(context: TaskContext) -> str:
        if isinstance(context.task, CacheCurrentState):
            handles.append(context.enqueue(PrefetchPackage("child")))
        return str(context.task)

    worker = worker_of(tmp_path, run, recorder)
    worker.enqueue(CacheCurrentState()).result(LONG_S)
    assert handles[0].result(LONG_S) == "PrefetchPackage child"
    close(worker)


# -- closing ----------------------------------------------------------------------------------------------------------


def test_close_finishes_what_it_can(tmp_path: Path, recorder: Recorder) -> None:
    worker = worker_of(tmp_path, recorder.quick, recorder)
    handles = [worker.enqueue(PrefetchPackage(f"p{number}")) for number in range(20)]
    close(worker, LONG_S)
    assert all(handle.done() for handle in handles) and len(recorder.ran) == 20
    with pytest.raises(WorkerClosedError, match="is closed"):
        worker.enqueue(CacheCurrentState())
    close(worker)


def test_close_hands_the_rest_over_and_the_next_worker_does_it(tmp_path: Path, recorder: Recorder) -> None:
    worker = worker_of(tmp_path, recorder.gated, recorder, workers=1)
    handles = [worker.enqueue(PrefetchPackage(f"p{number}")) for number in range(5)]
    until(lambda: handles[0].state is TaskState.RUNNING)
    close(worker, 0.0)
    for handle in handles:
        with pytest.raises(TaskHandedOverError, match="closed before it was done"):
            handle.result(LONG_S)
    later = Recorder()

    async def main() -> None:
        async with worker_of(tmp_path, later.quick, later) as second:
            assert await second.join(LONG_S)

    asyncio.run(main())
    assert {task.argument for task in later.ran} == {f"p{number}" for number in range(5)}


def test_close_is_bounded_though_a_runner_does_not_listen(
    tmp_path: Path, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dxforge.background.keeper.GRACE_S", 0.1)
    release = threading.Event()
    worker = worker_of(tmp_path, lambda _: release.wait(LONG_S), recorder)
    handle = worker.enqueue(CacheCurrentState())
    until(lambda: handle.state is TaskState.RUNNING)
    close(worker, 0.1)
    with pytest.raises(TaskHandedOverError):
        handle.result(0)
    release.set()
    until(lambda: worker.keeper.ended.settled)
    (info,) = worker.tasks()
    assert info.state is TaskState.DONE, "it was done after all, and nobody need do it again"


def test_a_worker_that_is_forgotten_ends(tmp_path: Path, recorder: Recorder) -> None:
    worker = worker_of(tmp_path, recorder.quick, recorder)
    worker.enqueue(CacheCurrentState()).result(LONG_S)
    ended = worker.keeper.ended
    del worker
    gc.collect()
    until(lambda: ended.settled)


def test_join_gives_up_in_time_and_knows_tasks_of_others(tmp_path: Path, recorder: Recorder) -> None:
    worker = worker_of(tmp_path, recorder.gated, recorder)
    worker.enqueue(CacheCurrentState())
    assert asyncio.run(worker.join(0.05)) is False
    unknown = worker.enqueue(SyncToCloudflareR2())  # no runner here: another worker's
    recorder.go.set()
    assert asyncio.run(worker.join(LONG_S)) is True
    assert not unknown.done()
    close(worker, 0.0)


# -- trouble with the disk --------------------------------------------------------------------------------------------


def test_enqueue_returns_while_another_holds_the_file(tmp_path: Path, recorder: Recorder) -> None:
    worker = worker_of(tmp_path, recorder.quick, recorder)
    worker.enqueue(CacheCurrentState()).result(LONG_S)
    with contextlib.closing(sqlite3.connect(tmp_path / ".dx/state.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        handles = [worker.enqueue(PrefetchPackage(f"p{number}")) for number in range(100)]
        time.sleep(0.6)  # more than one attempt to write
        assert not any(handle.saved or handle.done() for handle in handles)
        assert len([info for info in worker.tasks() if info.id is None]) == 100
        other.execute("ROLLBACK")
    assert [handle.result(LONG_S) for handle in handles] == [f"p{number}" for number in range(100)]
    close(worker)


def test_close_is_bounded_while_another_holds_the_file_and_says_what_is_lost(
    tmp_path: Path, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dxforge.background.keeper.GRACE_S", 0.1)
    worker = worker_of(tmp_path, recorder.quick, recorder)
    worker.enqueue(CacheCurrentState()).result(LONG_S)
    with contextlib.closing(sqlite3.connect(tmp_path / ".dx/state.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        handle = worker.enqueue(PrefetchPackage("a"))
        close(worker, 0.1)
        with pytest.raises(TaskHandedOverError, match="not written down"):
            handle.result(0)
        other.execute("ROLLBACK")
    until(lambda: worker.keeper.ended.settled)
    assert [info.argument for info in worker.tasks() if info.state is TaskState.WAITING] == ["a"], "written in the end"


@pytest.mark.parametrize("damage", [b"", b"this is no database at all, and long enough to be read as one" * 20])
def test_a_damaged_journal_is_put_aside(tmp_path: Path, recorder: Recorder, damage: bytes) -> None:
    (tmp_path / ".dx").mkdir()
    (tmp_path / ".dx/state.db").write_bytes(damage)
    worker = worker_of(tmp_path, recorder.quick, recorder)
    assert worker.enqueue(PrefetchPackage("a")).result(LONG_S) == "a"
    aside = list(tmp_path.glob(".dx/damaged/state.db.*"))
    assert len(aside) == len(recorder.notices()) == bool(damage)
    assert all(file.read_bytes() == damage for file in aside)
    close(worker)


def test_a_journal_damaged_while_it_is_used_costs_no_task(tmp_path: Path, recorder: Recorder) -> None:
    worker = worker_of(tmp_path, recorder.gated, recorder, workers=1)
    runs = worker.enqueue(PrefetchPackage("runs"))
    until(lambda: runs.state is TaskState.RUNNING)
    waits = worker.enqueue(PrefetchPackage("waits"))
    assert worker.flush(LONG_S)
    for name in ("state.db", "state.db-wal"):
        file = tmp_path / ".dx" / name
        file.write_bytes(b"\xff" * max(8192, file.stat().st_size))
    late = worker.enqueue(PrefetchPackage("late"))
    recorder.go.set()
    assert [handle.result(LONG_S) for handle in (runs, waits, late)] == ["runs", "waits", "late"]
    close(worker)


def test_a_journal_that_was_deleted_is_begun_anew(tmp_path: Path, recorder: Recorder) -> None:
    worker = worker_of(tmp_path, recorder.gated, recorder, workers=1)
    runs = worker.enqueue(PrefetchPackage("runs"))
    until(lambda: runs.state is TaskState.RUNNING)
    waits = worker.enqueue(PrefetchPackage("waits"))
    assert worker.flush(LONG_S)
    for file in tmp_path.glob(".dx/state.db*"):
        file.unlink()
    late = worker.enqueue(PrefetchPackage("late"))
    recorder.go.set()
    assert [handle.result(LONG_S) for handle in (runs, waits, late)] == ["runs", "waits", "late"]
    assert recorder.ran == [PrefetchPackage(name) for name in ("runs", "waits", "late")]
    close(worker)


def test_something_else_in_its_place_is_put_aside(tmp_path: Path, recorder: Recorder) -> None:
    (tmp_path / ".dx/state.db").mkdir(parents=True)
    worker = worker_of(tmp_path, recorder.quick, recorder)
    assert worker.enqueue(PrefetchPackage("a")).result(LONG_S) == "a"
    assert len(recorder.notices()) == 1
    close(worker)


def test_where_nothing_can_be_written_tasks_live_in_memory(tmp_path: Path, recorder: Recorder) -> None:
    (tmp_path / ".dx").write_text("a file where the folder should be\n")
    worker = worker_of(tmp_path, recorder.quick, recorder)
    handle = worker.enqueue(PrefetchPackage("a"))
    assert handle.result(LONG_S) == "a" and not handle.saved
    assert [info.argument for info in worker.tasks()] == ["a"]
    (notice,) = recorder.notices()
    assert "in memory only" in notice
    close(worker)


# -- several workers --------------------------------------------------------------------------------------------------


def test_two_workers_share_the_work_and_run_nothing_twice(tmp_path: Path, recorder: Recorder) -> None:
    other = Recorder()
    one, two = worker_of(tmp_path, recorder.quick, recorder), worker_of(tmp_path, other.quick, other)
    handles = [
        worker.enqueue(PrefetchPackage(f"{side}{number}"))
        for number in range(40)
        for side, worker in (("a", one), ("b", two))
    ]
    results = [handle.result(LONG_S) for handle in handles]
    assert sorted(results) == sorted(handle.task.argument for handle in handles)
    ran = recorder.ran + other.ran
    assert len(ran) == len(set(ran)) == 80
    close(one)
    close(two)


def test_a_runner_is_an_ordinary_function(tmp_path: Path) -> None:
    async def runner(context: TaskContext) -> str:
        return context.task.argument

    with pytest.raises(UsageError, match="async"):
        BackgroundWorker(tmp_path, runners={"PrefetchPackage": runner})


def test_no_thread_is_left_behind(tmp_path: Path, recorder: Recorder) -> None:
    before = set(threading.enumerate())
    worker = worker_of(tmp_path, recorder.quick, recorder)
    assert worker.enqueue(PrefetchPackage("a")).result(LONG_S) == "a"
    assert {"dxforge-journal", "dxforge-worker-1"} <= {thread.name for thread in set(threading.enumerate()) - before}
    close(worker)
    assert set(threading.enumerate()) <= before


def test_a_handle_follows_a_task_that_another_worker_runs(
    tmp_path: Path, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_IDLE_S", "_POLL_S"):
        monkeypatch.setattr(f"dxforge.background.keeper.{name}", 0.1)
    writer = BackgroundWorker(tmp_path)  # no runner at all
    handle = writer.enqueue(PrefetchPackage("a"))
    assert writer.flush(LONG_S)
    runner = worker_of(tmp_path, recorder.gated, recorder)
    asyncio.run(runner.start())
    until(lambda: handle.state is TaskState.RUNNING)
    recorder.go.set()
    assert handle.result(LONG_S) == "a"
    again = writer.enqueue(PrefetchPackage("b"))
    recorder.go.clear()
    until(lambda: again.state is TaskState.RUNNING)
    again.cancel()
    with pytest.raises(TaskCancelledError):
        again.result(LONG_S)
    close(writer)
    close(runner)
