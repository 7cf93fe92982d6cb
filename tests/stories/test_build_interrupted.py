"""Two builds at once, builds that are cancelled, and builds that are killed at any moment."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dxforge.build.events import WaitingForBuild
from dxforge.events import Notice
from tests.support.project import snapshot
from tests.support.toolbox import Bench, states, step, whys

DEADLINE_S = 30.0


# ---- two builds at once, cancelling, killing


def _wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not true():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


def _wait_for(path: Path) -> None:
    _wait_until(path.exists)


def _gone(pid: int) -> bool:
    """Whether a process has ended (a zombie has)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.fixture
def slow(tmp_path: Path) -> Bench:
    """One step that says ``started``, has written half, and waits for ``go``."""
    bench = Bench(tmp_path / "p", step("slow", inputs="a", outputs="out"))
    bench.tools.add(
        "slow",
        "mkdir out; echo part > out/half; echo $$ > ../pid; touch ../started\n"
        "while ! test -e ../go; do sleep 0.02; done; cp a out/a; mv out/half out/whole",
    )
    bench.write("a", "a")
    return bench


def test_a_second_build_waits_for_the_first(slow: Bench, tmp_path: Path) -> None:
    with slow.spawn() as other:
        _wait_for(tmp_path / "started")

        async def second() -> list[str]:
            building = asyncio.ensure_future(slow.builder().build())
            await asyncio.to_thread(
                _wait_until, lambda: any(isinstance(event, WaitingForBuild) for event in slow.events)
            )
            assert slow.builder().up_to_date() is None
            (tmp_path / "go").touch()
            return states(await building)

        assert asyncio.run(asyncio.wait_for(second(), DEADLINE_S)) == ["up-to-date"]
        assert slow.tools.runs == []
        (waiting,) = [event for event in slow.events if isinstance(event, WaitingForBuild)]
        assert waiting.pid == other.pid and str(other.pid) in waiting.text
        assert other.communicate(timeout=DEADLINE_S)[0] == '["built"]\n'


def test_waiting_for_another_build_can_be_given_up(slow: Bench, tmp_path: Path) -> None:
    with slow.spawn() as other:
        _wait_for(tmp_path / "started")
        with pytest.raises(TimeoutError):
            asyncio.run(asyncio.wait_for(slow.builder().build(), 0.3))
        (tmp_path / "go").touch()
        assert other.wait(DEADLINE_S) == 0


def test_cancelling_kills_the_step_and_leaves_all_whole(slow: Bench, tmp_path: Path) -> None:
    slow.write("out/mine", "precious")

    async def cancelled() -> None:
        building = asyncio.ensure_future(slow.builder().build())
        await asyncio.to_thread(_wait_for, tmp_path / "started")
        building.cancel()
        with pytest.raises(asyncio.CancelledError):
            await building

    asyncio.run(asyncio.wait_for(cancelled(), DEADLINE_S))
    assert _gone(int((tmp_path / "pid").read_text()))
    assert any(isinstance(event, Notice) and "out/mine" in event.text for event in slow.events)
    assert slow.plan().steps[0].why == "its last run was cut short"
    (tmp_path / "go").touch()
    report = slow.build()
    assert (states(report), whys(report)) == (["built"], ["its last run was cut short"])
    assert sorted(path.name for path in (slow.root / "out").iterdir()) == ["a", "whole"]
    assert slow.replaced() == {"out/mine": "precious"}


def test_an_interrupt_of_the_whole_program(slow: Bench, tmp_path: Path) -> None:
    with slow.spawn() as process:
        _wait_for(tmp_path / "started")
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE_S) != 0
    assert _gone(int((tmp_path / "pid").read_text()))
    (tmp_path / "go").touch()
    assert states(slow.build()) == ["built"]


def test_a_killed_build_is_put_right_by_the_next(slow: Bench, tmp_path: Path) -> None:
    with slow.spawn() as process:
        _wait_for(tmp_path / "started")
        process.kill()
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
    (tmp_path / "go").touch()
    report = slow.build()
    assert (states(report), whys(report)) == (["built"], ["its last run was cut short"])
    assert sorted(path.name for path in (slow.root / "out").iterdir()) == ["a", "whole"]
    assert slow.replaced() == {"out/half": "part\n"}, "nobody knows who wrote that"


@pytest.mark.slow
def test_killed_at_any_moment_of_a_restore_the_outputs_are_old_or_new_and_the_edit_is_kept(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "p", step("many", inputs="a", outputs=("out", "one.txt")))
    bench.tools.add("many", "mkdir out; for n in 1 2 3; do cat a > out/$n; done; cp a one.txt")
    trees = {}
    for text in ("old", "new"):
        bench.write("a", text)
        assert bench.build().ok
        trees[text] = snapshot(bench.root / "out")
    template = tmp_path / "template"
    shutil.copytree(bench.root, template, symlinks=True)
    with_mine = {**trees["new"].files, "mine": (0o100644, b"precious")}
    seen = set()
    for number in itertools.count():
        shutil.rmtree(bench.root)
        shutil.copytree(template, bench.root, symlinks=True)
        bench.write("a", "old")
        bench.write("out/mine", "precious")
        killed = bench.build_and_die(number)
        out = snapshot(bench.root / "out")
        assert out.files in (trees["old"].files, with_mine), "a mix"
        seen.add(out.files == with_mine)
        report = bench.build()
        assert report.ok and bench.tools.runs == []
        assert snapshot(bench.root / "out") == trees["old"] and bench.read("one.txt") == "old"
        assert bench.replaced() == {"out/mine": "precious"}
        assert not any((bench.root / ".dx/build/staging").iterdir())
        if not killed:
            break
    assert seen == {True, False}


@pytest.mark.slow
def test_killed_at_any_moment_of_a_run_the_next_build_puts_it_right(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "p", step("many", inputs="a", outputs="out"))
    bench.tools.add("many", "mkdir out; for n in 1 2 3; do cat a > out/$n; done")
    bench.write("a", "old")
    assert bench.build().ok
    template = tmp_path / "template"
    shutil.copytree(bench.root, template, symlinks=True)
    for number in itertools.count():
        shutil.rmtree(bench.root)
        shutil.copytree(template, bench.root, symlinks=True)
        bench.write("a", "new")
        bench.write("out/mine", "precious")
        killed = bench.build_and_die(number)
        assert bench.build().ok
        assert {path.name: path.read_text() for path in (bench.root / "out").iterdir()} == dict.fromkeys("123", "new")
        assert bench.replaced()["out/mine"] == "precious"
        assert states(bench.build()) == ["up-to-date"]
        if not killed:
            break
