"""Property 5: enqueue takes bounded time, for any task; and the journal's own laws, whatever happens when."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import tempfile
import threading
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from dxforge.background.identity import this_process
from dxforge.background.journal import Claim, Journal
from dxforge.background.policy import LONGEST_S, delay_s, waits_s
from dxforge.background.tables import read_all
from dxforge.background.tasks import (
    KINDS,
    AnalyzeCodebasePatterns,
    BackgroundTask,
    CacheCurrentState,
    PrefetchPackage,
    SyncToCloudflareR2,
    TaskInfo,
    TaskProgress,
    TaskState,
)
from dxforge.background.worker import BackgroundWorker
from dxforge.errors import UsageError

LONG_S = 30.0
NOW = 1_000_000.0

printable = st.text(min_size=1, max_size=60).filter(lambda text: text.isprintable() and bool(text.strip()))
tasks = st.one_of(
    st.just(CacheCurrentState()),
    st.just(SyncToCloudflareR2()),
    st.just(AnalyzeCodebasePatterns()),
    st.builds(PrefetchPackage, printable),
)


@given(name=st.text())
def test_any_text_is_a_task_or_a_clear_refusal(name: str) -> None:
    try:
        task = PrefetchPackage(name)
    except UsageError:
        assert not name.strip() or len(name) > 500 or not name.isprintable()
    else:
        assert task == PrefetchPackage(name) and task.key == f"PrefetchPackage:{name}"


@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(wanted=st.lists(tasks, min_size=1, max_size=60), locked=st.booleans())
def test_enqueue_returns_whatever_the_disk_does_and_every_task_comes_to_its_end(
    wanted: list[BackgroundTask], locked: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        worker = BackgroundWorker(folder, runners=dict.fromkeys(KINDS, lambda context: context.task.key))
        (Path(folder) / ".dx").mkdir()
        with contextlib.closing(sqlite3.connect(f"{folder}/.dx/state.db", isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE" if locked else "BEGIN")
            handles = []
            returned = threading.Event()

            def call() -> None:
                handles.extend(worker.enqueue(task) for task in wanted)
                returned.set()

            threading.Thread(target=call).start()
            assert returned.wait(LONG_S), "enqueue waits for the disk"
            assert not (locked and any(handle.saved for handle in handles))
        assert [handle.result(LONG_S) for handle in handles] == [task.key for task in wanted]
        asyncio.run(worker.close())


@given(attempts=st.integers(0, 10**6), chance=st.floats(0, 1), ready=st.floats(-1e12, 1e12), now=st.floats(-1e12, 1e12))
def test_no_pause_is_longer_than_the_longest_whatever_the_clock_says(
    attempts: int, chance: float, ready: float, now: float
) -> None:
    assert 0 < delay_s(min(attempts, 400), chance) <= LONGEST_S
    assert 0 <= waits_s(ready, now) <= LONGEST_S


class JournalMachine(RuleBasedStateMachine):
    """Three workers on one journal; what was added stays known until it ended, and nothing runs twice at once."""

    claims = Bundle("claims")

    @initialize()
    def begin(self) -> None:
        handle, name = tempfile.mkstemp(suffix=".db")
        os.close(handle)
        self.file = Path(name)
        self.journals = [Journal(self.file, this_process(), threading.Lock()) for _ in range(3)]
        self.journals[0].add([])  # makes the table
        self.keys: set[str] = set()
        self.now_s = NOW

    @rule(who=st.integers(0, 2), names=st.lists(st.sampled_from("abc"), max_size=4))
    def add(self, who: int, names: list[str]) -> None:
        found = [PrefetchPackage(name) for name in names]
        numbers = self.journals[who].add(found)
        assert len(numbers) == len(names)
        self.keys.update(task.key for task in found)
        waiting = {info.id: info for info in self.infos() if info.state is TaskState.WAITING}
        assert all(waiting[number].argument == task.argument for number, task in zip(numbers, found, strict=True))

    @rule(target=claims, who=st.integers(0, 2))
    def claim(self, who: int) -> object:
        claim = self.journals[who].claim(KINDS, self.now_s, 0.0)
        return multiple() if claim is None else (who, claim)

    @rule(taken=consumes(claims), state=st.sampled_from([TaskState.DONE, TaskState.FAILED, TaskState.CANCELLED]))
    def finish(self, taken: tuple[int, Claim], state: TaskState) -> None:
        who, claim = taken
        ours = claim.id in self.running_of(who)
        assert self.journals[who].finish(claim.id, state, reason="so") == ours

    @rule(taken=consumes(claims), later_s=st.floats(0, 100), again=st.booleans())
    def release(self, taken: tuple[int, Claim], later_s: float, again: bool) -> None:
        who, claim = taken
        ours = claim.id in self.running_of(who)
        assert self.journals[who].release(claim.id, ready_at_s=self.now_s + later_s, again=again) == ours

    @rule(who=st.integers(0, 2), other=st.integers(0, 2))
    def take_over(self, who: int, other: int) -> None:
        for held in self.journals[who].held():
            if held.lease.owner is not None and held.lease.owner.dumps() == self.journals[other]._me:
                assert self.journals[who].take_over(held, max_losses=4)

    @rule(who=st.integers(0, 2), number=st.integers(1, 12))
    def cancel(self, who: int, number: int) -> None:
        self.journals[who].cancel(number)

    @rule(who=st.integers(0, 2))
    def beat(self, who: int) -> None:
        running = self.running_of(who)
        lost, _ = self.journals[who].beat(dict.fromkeys([*running, 10**9], TaskProgress()), 1.0)
        assert lost == {10**9}

    @rule(who=st.integers(0, 2))
    def rest(self, who: int) -> None:
        self.journals[who].rest()

    @rule(by_s=st.floats(-1e6, 1e6))
    def set_the_clock(self, by_s: float) -> None:
        self.now_s += by_s

    def infos(self) -> list[TaskInfo]:
        return read_all(self.file, self.now_s, recent=10_000)

    def running_of(self, who: int) -> set[int]:
        with contextlib.closing(sqlite3.connect(self.file)) as database:
            query = "SELECT id FROM task WHERE state = 'running' AND owner = ?"
            return {number for (number,) in database.execute(query, (self.journals[who]._me,))}

    @invariant()
    def at_most_one_waits_and_one_runs_of_each(self) -> None:
        with contextlib.closing(sqlite3.connect(self.file)) as database:
            query = "SELECT key, state, count(*) FROM task WHERE state IN ('waiting', 'running') GROUP BY 1, 2"
            assert all(count == 1 for _, _, count in database.execute(query))
            known = {key for (key,) in database.execute("SELECT key FROM task WHERE became IS NULL")}
            assert known == self.keys, "nothing is lost"
            odd = "SELECT count(*) FROM task WHERE (state = 'running') != (owner IS NOT NULL)"
            assert database.execute(odd).fetchone() == (0,)
            assert database.execute("SELECT count(*) FROM task WHERE state = 'failed' AND reason = ''").fetchone() == (
                0,
            )

    def teardown(self) -> None:
        for journal in self.journals:
            journal.rest()
        for file in self.file.parent.glob(f"{self.file.name}*"):
            file.unlink()


JournalMachine.TestCase.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
TestJournal = JournalMachine.TestCase
