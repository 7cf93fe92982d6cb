"""A hundred tools with dependencies, from the launch of the supervisor until all of them are up."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.material import Material
from benchmarks.measure import Contender, Cost, Result, Say, by_turns
from benchmarks.table import Row

WAVES = (10, 30, 60)
"""Each tool of a wave depends on one of the wave before."""
TOOLS = sum(WAVES)
PROGRAM = ("sleep", "1000")
_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER: whatever a contender daemonizes stays ours to measure and to end
_SETTLE_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Supervisor:
    """One way to start them."""

    name: str
    command: Sequence[str | Path]
    root: Path
    mark: bytes
    """What it prints when a tool is up."""
    times: int = TOOLS


def tools(material: Material, rounds: int, say: Say) -> list[Row]:
    """Time until all are up, and memory without the tools' own."""
    if sys.platform != "linux":
        say("  left out: needs Linux")
        return []
    ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
    folder = material.fresh("tools")
    (folder / "Procfile").write_text("".join(f"{name}: exec {' '.join(PROGRAM)}\n" for name, _ in _graph()))
    _write_project(folder)
    bin_ = material.peers
    supervisors = [
        Supervisor(
            name="dxforge",
            command=[sys.executable, Path(__file__).with_name("start.py"), folder],
            root=folder,
            mark=b"all up",
            times=1,
        ),
        *(
            Supervisor(
                name=f"supervisord, {'its defaults' if startsecs else 'startsecs=0'}",
                command=[bin_ / "supervisord", "--configuration", _write_supervisord(folder, startsecs)],
                root=folder,
                mark=b"entered RUNNING state",
            )
            for startsecs in (1, 0)
        ),
        Supervisor(name="honcho", command=[bin_ / "honcho", "start"], root=folder, mark=b"started (pid="),
    ]
    memories: dict[str, list[float]] = {supervisor.name: [] for supervisor in supervisors}

    def contender(supervisor: Supervisor) -> Contender:
        return Contender(name=supervisor.name, run=lambda: _start(supervisor, memories[supervisor.name], say))

    results = by_turns([contender(supervisor) for supervisor in supervisors], rounds=rounds, say=say)
    what = f"start {TOOLS} tools in {len(WAVES)} waves until all run"
    return [_row(what if peer is results[1] else "the same", results[0], peer, memories) for peer in results[1:]]


def ensure(material: Material, rounds: int, say: Say) -> list[Row]:
    """``ensure_running`` on a tool that runs already, from a caller's own loop."""
    root = material.fresh("ensure")
    (root / "dx.toml").write_text('[project]\nname = "bench"\n')
    script = Path(__file__).with_name("ensure.py")
    done = subprocess.run([sys.executable, script, root, str(rounds)], check=True, stdout=subprocess.PIPE)
    micros = sorted(seconds * 1e6 for seconds in json.loads(done.stdout))
    text = f"{statistics.median(micros):.1f} µs ({micros[0]:.1f}-{micros[-1]:.1f})"
    say(f"  {text}")
    return [Row(what="`ensure_running`, it runs", ours=text, theirs="–", ratio="–", goal="microseconds", memory="–")]


def _graph() -> list[tuple[str, int]]:
    """Names with the wave that each is in."""
    return [(f"w{wave}t{number}", wave) for wave, count in enumerate(WAVES) for number in range(count)]


def _write_project(folder: Path) -> None:
    text = '[project]\nname = "bench"\n'
    for name, wave in _graph():
        number = int(name.rpartition("t")[2])
        needs = f'"w{wave - 1}t{number % WAVES[wave - 1]}"' if wave else ""
        text += (
            f'\n[tools.{name}]\nbinary_path = "{PROGRAM[0]}"\nargs = ["{PROGRAM[1]}"]\ndependencies = [{needs}]\n'
            "stop = { grace_s = 5 }\n"
        )
    (folder / "dx.toml").write_text(text)


def _write_supervisord(folder: Path, startsecs: int) -> Path:
    """A wave is a priority: it knows an order, and waits for no one."""
    path = folder / f"supervisord-{startsecs}.conf"
    text = f"[supervisord]\nnodaemon=true\nlogfile={folder}/log-{startsecs}\npidfile={folder}/pid-{startsecs}\n"
    for name, wave in _graph():
        text += f"[program:{name}]\ncommand={' '.join(PROGRAM)}\npriority={wave}\n"
        text += "startsecs=0\n" if startsecs == 0 else ""
    path.write_text(text)
    return path


def _start(supervisor: Supervisor, memories: list[float], say: Say) -> Cost:
    began = time.perf_counter()
    process = subprocess.Popen(
        supervisor.command,
        cwd=supervisor.root,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdout is not None
    seen = 0
    for line in process.stdout:
        seen += supervisor.mark in line
        if seen == supervisor.times:
            break
    seconds = time.perf_counter() - began
    time.sleep(_SETTLE_S)
    up, bytes_ = _memory()
    memories.append(bytes_ / TOOLS)
    say(f"    {up} tools, {bytes_ / TOOLS / 2**20:.2f} MiB a tool beside the tools' own")
    process.send_signal(signal.SIGTERM)
    process.stdout.read()
    process.wait()
    if up != TOOLS:
        raise RuntimeError(f"{supervisor.name} has {up} tools up, of {TOOLS}")
    _reap()
    if left := psutil.Process().children(recursive=True):
        raise RuntimeError(f"{supervisor.name} left {left}")
    return Cost(seconds=seconds)


def _reap() -> None:
    """Take leave of what a contender's end left to us, if it has ended itself."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def _memory() -> tuple[int, int]:
    """How many tools there are, and the memory of everything else (PSS: shared pages are shared out)."""
    count = total = 0
    for process in psutil.Process().children(recursive=True):
        try:
            if process.name() == PROGRAM[0]:
                count += 1
            else:
                total += process.memory_full_info().pss
        except psutil.NoSuchProcess:
            continue
    return count, total


def _row(what: str, ours: Result, theirs: Result, memories: dict[str, list[float]]) -> Row:
    mine, yours = (statistics.median(memories[result.name]) / 2**20 for result in (ours, theirs))
    return Row(
        what=what,
        ours=f"{ours.seconds:.2f} s ({ours.spread})",
        theirs=f"{theirs.seconds:.2f} s ({theirs.spread}), {theirs.name}",
        ratio=f"{ours.seconds / theirs.seconds:.2f}×",
        goal="≤ 1.0×",
        memory=f"{mine:.2f} / {yours:.2f} a tool, shared pages shared out",
    )
