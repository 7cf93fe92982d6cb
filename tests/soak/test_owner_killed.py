"""SIGKILL of sessions and guards at random moments, many times: nothing of their tools is left. `make soak` only."""

from __future__ import annotations

import json
import os
import random
import signal
import time
import uuid
from pathlib import Path

import pytest

from dxforge.orchestrator.process import peek
from dxforge.orchestrator.record import guard_lives
from tests.support.processes import BOMB, CHAIN, DAEMONS, FAMILY, STUBBORN, Owner, exists, marked, owner, until

TOOLS = {"family": FAMILY, "stubborn": STUBBORN, "daemons": DAEMONS, "bomb": BOMB, "chain": CHAIN}


@pytest.mark.soak
@pytest.mark.parametrize("run", range(50))
def test_nothing_is_left(tmp_path: Path, run: int) -> None:
    dice = random.Random(run)
    mark = uuid.uuid4().hex
    chosen = dice.sample(sorted(TOOLS), k=dice.randint(1, 4))
    child = 0
    with owner() as one:
        guards = {one.start(tmp_path / name, TOOLS[name], mark=mark)["guard_pid"] for name in chosen}
        launcher = one.ask("launcher")
        if dice.random() < 0.3:
            child = one.ask("fork")
        if dice.random() < 0.3:
            os.kill(launcher, signal.SIGKILL)
        time.sleep(dice.random() * 0.2)
        one.kill()
        until(lambda: not any(map(exists, guards)), "a guard does not end")
        until(lambda: not exists(launcher), "the launcher does not end")
    if child:
        os.kill(child, signal.SIGKILL)
    assert not marked(mark)
    for name in chosen:
        assert peek(tmp_path / name) is None and not guard_lives(tmp_path / name)


@pytest.mark.soak
@pytest.mark.parametrize("run", range(50))
def test_killed_in_the_middle_of_starts(tmp_path: Path, run: int) -> None:
    dice = random.Random(1000 + run)
    mark = uuid.uuid4().hex
    one = Owner()
    try:
        assert one.process.stdin is not None
        for number in range(20):  # one after the other, without waiting for any answer
            order = {"do": "start", "folder": str(tmp_path / str(number)), "argv": FAMILY, "mark": mark, "ready": False}
            one.process.stdin.write(json.dumps(order) + "\n")
        one.process.stdin.flush()
        assert one.process.stdout is not None
        one.process.stdout.readline()
        time.sleep(dice.random() * 0.15)
    finally:
        one.kill()
    until(lambda: not marked(mark), "tools are left")
    until(lambda: not any(guard_lives(path) for path in tmp_path.iterdir()), "a guard does not end")


@pytest.mark.soak
@pytest.mark.parametrize("run", range(20))
def test_guards_are_killed(tmp_path: Path, run: int) -> None:
    dice = random.Random(2000 + run)
    mark = uuid.uuid4().hex
    with owner() as one:
        for name in ("family", "daemons", "stubborn"):
            said = one.start(tmp_path / name, TOOLS[name], mark=mark)
            time.sleep(dice.random() * 0.05)
            os.kill(said["guard_pid"], signal.SIGKILL)
        until(lambda: not marked(mark), "tools are left")
        again = one.start(tmp_path / "family", FAMILY, mark=mark)
        one.kill()
        until(lambda: not exists(again["guard_pid"]), "the guard does not end")
    assert not marked(mark)
