"""CPU and memory of real processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from dxforge.orchestrator.usage import Meter, Tree

# A child that keeps 40 MB and a core busy, and one of its own that waits.
FAMILY = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
kept = b"x" * (40 << 20)
print("ready", flush=True)
while True:
    pass
"""


@pytest.fixture
def family() -> Iterator[int]:
    with subprocess.Popen([sys.executable, "-c", FAMILY], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process.pid
        process.kill()


def test_over_all_descendants(family: int) -> None:
    meter = Meter()
    first = meter.measure({"t": Tree(pid=family)})["t"]
    assert first.processes == 2
    assert first.memory_bytes > 40 << 20
    assert first.cpu_percent > 0
    deadline = time.monotonic() + 10
    while meter.measure({"t": Tree(pid=family)})["t"].cpu_percent < 10 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert meter.measure({"t": Tree(pid=family)})["t"].cpu_percent >= 10


def test_a_quick_second_look_repeats_the_figure(family: int) -> None:
    meter = Meter()
    first = meter.measure({"t": Tree(pid=family)})["t"]
    seen = [meter.measure({"t": Tree(pid=family)})["t"].cpu_percent for _ in range(2)]
    assert first.cpu_percent in seen or all(figure > 0 for figure in seen)


def test_the_guard_is_left_out_and_its_children_are_not(family: int) -> None:
    # This process stands for a guard: its children count, whoever their parent was; it itself does not.
    found = Meter().measure({"t": Tree(pid=family, guard_pid=os.getpid())})["t"]
    assert found.processes >= 2
    alone = Meter().measure({"t": Tree(pid=os.getpid())})["t"]
    assert alone.processes >= found.processes + 1


def test_nothing_of_what_is_gone(family: int) -> None:
    with subprocess.Popen(["true"]) as gone:
        pass
    meter = Meter()
    assert set(meter.measure({"gone": Tree(pid=gone.pid), "t": Tree(pid=family)})) == {"t"}
    assert meter.measure({}) == {}
