"""Tools of one project among several kernels, and whatever happens to kernels and tools meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from typing import Any

import pytest

from dxforge.errors import ToolStartError
from dxforge.orchestrator.orchestrator import Orchestrator
from dxforge.orchestrator.policy import Pace
from dxforge.orchestrator.status import ToolState, ToolStatus
from tests.support.processes import DAEMONS, FAMILY, SLEEPER, STUBBORN, exists, python, sh, until, until_async
from tests.support.tools import PACE, REPOSITORY, Yard, free_port, kernels

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

STOPPED = ToolStatus(ToolState.STOPPED)
FLAPPING = sh("echo up; sleep 0.05; exit 1")
ONCE_BROKEN = sh("test -e broken && exit 1; exec sleep 300")
"""Runs, unless there is a file ``broken``."""


def state(said: Any) -> str:
    return str(said["state"])


# ------------------------------------------------------------------------------------------------------ two kernels
def test_kernels_that_race_get_one_process(yard: Yard) -> None:
    yard.declare("db", sh("echo x >> starts; exec sleep 300"))
    yard.declare("app", SLEEPER, "db")
    with kernels(yard.root, 3) as some:
        for _ in range(5):
            for kernel in some:
                kernel.ask("status", "app")  # all are warm, so that they race
            for kernel in some:
                kernel.tell("ensure_running", "app")
            pids = {kernel.hear()["pid"] for kernel in some}
            assert len(pids) == 1
            assert len(yard.processes()) == 2
            assert [kernel.ask("status", "app")["pid"] for kernel in some] == [*pids] * 3
            some[0].ask("stop_all")
            assert not yard.processes()
    assert (yard.root / "starts").read_text() == "x\n" * 5


def test_a_tool_goes_on_until_its_last_kernel_is_gone(yard: Yard) -> None:
    yard.declare("a", DAEMONS, health={"log": "ready"})
    with kernels(yard.root, 2) as (one, two):
        pid = one.ask("ensure_running", "a")["pid"]
        assert two.ask("ensure_running", "a") == {"state": "healthy", "pid": pid, "detail": ""}
        one.kill()
        until(lambda: two.ask("info", "a"))
        time.sleep(0.5)
        assert two.ask("ensure_running", "a")["pid"] == pid and exists(pid)
        two.kill()
        until(lambda: not yard.processes())


def test_a_look_from_outside(yard: Yard) -> None:
    yard.declare("a", health={"exec": ["true"]})
    yard.declare("b", sh("echo said; exec sleep 300"), health={"log": "never"})
    outside = yard.orchestrator()
    assert set(outside.statuses().values()) == {STOPPED}
    with kernels(yard.root) as (kernel,):
        pid = kernel.ask("ensure_running", "a")["pid"]
        kernel.tell("ensure_running", "b")
        until(lambda: outside.status("a") == ToolStatus(ToolState.HEALTHY, pid))
        until(lambda: outside.status("b").pid and outside.logs("b"))
        assert outside.status("b").state is ToolState.STARTING
        info = outside.info("a")
        assert info.owner_pids == (kernel.process.pid,) and info.processes == 1 and info.uptime_s is not None
        assert outside.logs("b") == ["said"]
        # Nothing of this needed a thread, and looking owns nothing.
        assert not [thread for thread in threading.enumerate() if thread.name == "dxforge-tools"]
    until(lambda: set(outside.statuses().values()) == {STOPPED})


def test_any_kernel_may_stop_and_no_other_starts_it_again(yard: Yard) -> None:
    yard.declare("a", FAMILY, restart={"policy": "always"}, health={"log": "ready"})
    with kernels(yard.root, 2) as (one, two):
        one.ask("ensure_running", "a")
        assert state(two.ask("stop", "a")) == "stopped"
        assert not yard.processes()
        until(lambda: one.ask("status", "a")["detail"] == "stopped by another session")
        time.sleep(0.3)
        assert state(one.ask("status", "a")) == "stopped" and not yard.processes()
        assert state(one.ask("ensure_running", "a")) == "healthy"


def test_a_stop_wins_over_another_kernels_backoff(yard: Yard) -> None:
    yard.declare("a", ONCE_BROKEN)
    tools = yard.orchestrator(pace=Pace(settle_s=0.05, backoff_s=1.0, backoff_jitter=0.0))

    async def go() -> None:
        status = await tools.ensure_running("a")
        assert status.pid is not None
        os.kill(status.pid, signal.SIGKILL)
        await until_async(lambda: "starts again in" in tools.status("a").detail)
        await asyncio.to_thread(kernel.ask, "stop", "a")
        await until_async(lambda: tools.status("a").state is ToolState.STOPPED)
        assert tools.status("a").detail == "stopped by another session"
        await tools.close()

    with kernels(yard.root) as (kernel,):
        asyncio.run(go())


def test_a_restart_elsewhere_is_joined(yard: Yard) -> None:
    yard.declare("a")
    with kernels(yard.root, 3) as some:
        pids = {kernel.ask("ensure_running", "a")["pid"] for kernel in some}
        for turn in range(4):
            new = some[turn % 3].ask("restart", "a")["pid"]
            assert new not in pids
            pids.add(new)
            for kernel in some:
                expected = {"state": "running", "pid": new, "detail": ""}
                until(lambda kernel=kernel, expected=expected: kernel.ask("status", "a") == expected)
            assert len(yard.processes()) == 1
        # Each has joined again, and alone keeps it alive.
        for kernel in some[:2]:
            kernel.kill()
        time.sleep(0.5)
        assert some[2].ask("ensure_running", "a")["pid"] == new and exists(new)


def test_all_kernels_see_a_crash_and_start_one(yard: Yard) -> None:
    yard.declare("a", restart={"policy": "always", "max": 50})
    with kernels(yard.root, 3) as some:
        [pid] = {kernel.ask("ensure_running", "a")["pid"] for kernel in some}
        for _ in range(5):
            os.kill(pid, signal.SIGKILL)
            before = pid
            for kernel in some:
                until(lambda kernel=kernel, before=before: kernel.ask("status", "a")["pid"] not in {None, before})
            until(lambda: len({kernel.ask("status", "a")["pid"] for kernel in some}) == 1)
            pid = some[0].ask("status", "a")["pid"]
            assert len(yard.processes()) == 1


def test_joining_a_tool_that_is_on_its_way_out_starts_it_anew(yard: Yard) -> None:
    script = "trap 'sleep 1; exit 0' TERM; echo ready; while :; do sleep 0.05; done"
    yard.declare("a", sh(script), health={"log": "ready"}, stop={"grace_s": 20})
    with kernels(yard.root, 2) as (one, two):
        pid = one.ask("ensure_running", "a")["pid"]
        two.ask("status", "a")
        one.tell("close")
        time.sleep(0.3)
        found = two.ask("ensure_running", "a")
        assert state(found) == "healthy" and found["pid"] != pid
        assert not exists(pid)
        one.hear()


# ------------------------------------------------------------------------------------------------------------- keep
def test_a_kept_tool_outlives_its_kernel_and_is_adopted(yard: Yard) -> None:
    yard.declare("db")
    yard.declare("web", SLEEPER, "db")
    yard.declare("kept", FAMILY, health={"log": "ready"}, on_owner_exit="keep")
    with kernels(yard.root) as (kernel,):
        kept = kernel.ask("ensure_running", "kept")["pid"]
        kernel.kill()
    # As `dxforge start` does: what it depends on is kept as well.
    ensure = f"""
import asyncio
from pathlib import Path
from tests.support.tools import PACE, declared
from dxforge.orchestrator.orchestrator import Orchestrator
async def main():
    root = Path({str(yard.root)!r})
    async with Orchestrator(root, declared=lambda: declared(root), pace=PACE) as tools:
        print((await tools.ensure_running("web", keep=True)).pid)
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", ensure], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    web = int(done.stdout)
    time.sleep(0.3)

    async def go() -> None:
        async with yard.orchestrator() as tools:
            assert tools.status("kept") == ToolStatus(ToolState.HEALTHY, kept, "as last seen; no session watches it")
            assert tools.info("web").owner_pids == ()
            assert await tools.ensure_running("kept") == ToolStatus(ToolState.HEALTHY, kept)
            assert (await tools.ensure_running("web")).pid == web
            assert tools.info("web").owner_pids == (os.getpid(),)
            assert tools.statuses()["db"].up
        assert tools.status("web").pid == web, "joining does not take it over"
        async with yard.orchestrator() as tools:
            # A restart keeps it kept; not to be kept any more ends with its session.
            again = await tools.restart("web")
            assert again.pid != web
            assert (await tools.ensure_running("db", keep=False)).up
        assert tools.status("web") == again and tools.status("db") == STOPPED
        async with yard.orchestrator() as tools:
            await tools.stop_all()
            assert not yard.processes()

    asyncio.run(go())


# --------------------------------------------------------------------------------------------- flapping and storms
def test_a_tool_that_flaps_is_given_up(yard: Yard) -> None:
    tool = yard.define("a", FLAPPING, restart={"policy": "always", "max": 4}, health={"log": "up"})

    async def go() -> None:
        async with yard.orchestrator(tool) as tools:
            await tools.ensure_running("a")
            await until_async(lambda: tools.status("a").state is ToolState.DEGRADED)
            assert tools.status("a").detail == "ended with exit status 1 and 4 restarts did not help"
            assert tools.logs("a") == ["up"] * 5
            await asyncio.sleep(0.3)
            assert tools.logs("a") == ["up"] * 5

    asyncio.run(go())


def test_a_stable_time_begins_a_new_row(yard: Yard) -> None:
    tool = yard.define("a", sh("echo up; sleep 0.3; exit 1"), restart={"policy": "always", "max": 1})

    async def go() -> None:
        async with yard.orchestrator(tool, pace=Pace(settle_s=0.01, backoff_s=0.01, stable_s=0.2)) as tools:
            await tools.ensure_running("a")
            await until_async(lambda: len(tools.logs("a")) >= 4)
            assert tools.info("a").restarts >= 3

    asyncio.run(go())


def test_storms_from_threads_and_kernels(yard: Yard) -> None:
    yard.declare("a")
    tools = yard.orchestrator()
    outcomes: list[object] = []

    def storm(seed: int) -> None:
        async def go() -> None:
            for number in range(6):
                method = (tools.ensure_running, tools.restart, tools.stop)[(seed + number) % 3]
                with contextlib.suppress(ToolStartError):
                    outcomes.append(await method("a"))

        asyncio.run(go())

    threads = [threading.Thread(target=storm, args=(seed,)) for seed in range(4)]
    with kernels(yard.root, 2) as some:
        for kernel in some:
            for do in ("ensure_running", "restart", "stop", "ensure_running") * 2:
                kernel.tell(do, "a")
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive(), "a request hangs"
        for kernel in some:
            for _ in range(8):
                with contextlib.suppress(RuntimeError):
                    kernel.hear()
        assert outcomes
        final = asyncio.run(tools.ensure_running("a"))
        assert len(yard.processes()) == 1 and final.up
        assert {kernel.ask("ensure_running", "a")["pid"] for kernel in some} == {final.pid}
        asyncio.run(tools.stop("a"))
        assert not yard.processes()
    asyncio.run(tools.close())


# ----------------------------------------------------------------------------------------- peers' worst bugs, beaten
def test_the_leader_ends_and_its_child_does_not(yard: Yard) -> None:
    # process-compose#520: the restart met the port that the child still held.
    port = free_port()
    child = f"import socket, time; s = socket.create_server(('127.0.0.1', {port})); time.sleep(300)"
    leader = python(
        f"import subprocess; subprocess.Popen([sys.executable, '-c', {child!r}]); time.sleep(1); sys.exit(1)"
    )
    health = {"tcp": f"127.0.0.1:{port}", "interval_s": 0.05}
    tool = yard.define("a", leader, restart={"policy": "always", "max": 1}, health=health)

    async def go() -> None:
        async with yard.orchestrator(tool) as tools:
            first = await tools.ensure_running("a")
            assert first.state is ToolState.HEALTHY
            await until_async(lambda: tools.status("a").up and tools.status("a").pid != first.pid)
            await until_async(lambda: tools.status("a").pid is None and tools.status("a").state is ToolState.DEGRADED)
            assert "leaving 1 process behind" in tools.status("a").detail
            assert not yard.processes()

    asyncio.run(go())


def test_a_grandchild_that_holds_the_output_delays_nothing(yard: Yard) -> None:
    # cpython#119710: Process.wait() hung.
    argv = sh("sleep 300 & echo done")

    async def go() -> None:
        async with yard.orchestrator(yard.define("a", argv)) as tools:
            async with asyncio.timeout(20):
                run = await tools.execute_tool("a", argv[1:])
            assert run.stdout == "done\n" and run.ok
            assert not yard.processes()

    asyncio.run(go())


def test_its_guard_is_killed(yard: Yard) -> None:
    async def go() -> None:
        async with yard.orchestrator(yard.define("a", FAMILY, health={"log": "ready"})) as tools:
            first = await tools.ensure_running("a")
            life = tools._session.actors["a"].life  # type: ignore[union-attr]
            assert life is not None and life.process is not None
            os.kill(life.process.record.guard_pid, signal.SIGKILL)
            await until_async(lambda: tools.status("a").up and tools.status("a").pid != first.pid)
            await until_async(lambda: len(yard.processes()) == 5)

    asyncio.run(go())


def test_the_clock_jumps(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = yard.define("a", FLAPPING, restart={"policy": "always", "max": 2}, health={"log": "up"})
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() - 86_400)

    async def go() -> None:
        async with yard.orchestrator(tool) as tools:
            await tools.ensure_running("a")
            monkeypatch.setattr(time, "time", lambda: real() + 86_400)
            await until_async(lambda: tools.status("a").state is ToolState.DEGRADED)
            assert tools.logs("a") == ["up"] * 3
            other = tools.info("a")
            assert other.uptime_s is None

    asyncio.run(go())


def test_no_descriptors_are_left(yard: Yard) -> None:
    # EMFILE: told as such, and nothing is lost with it.
    yard.declare("a")
    yard.declare("b")
    script = f"""
import asyncio, os, resource
from pathlib import Path
from tests.support.tools import PACE, declared
from dxforge.orchestrator.orchestrator import Orchestrator
async def main():
    root = Path({str(yard.root)!r})
    async with Orchestrator(root, declared=lambda: declared(root), pace=PACE) as tools:
        first = await tools.ensure_running("a")
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        taken = []
        try:
            while True:
                taken.append(os.open("/dev/null", os.O_RDONLY))
        except OSError:
            pass
        try:
            await tools.ensure_running("b")
        except Exception as error:
            print(type(error).__name__, error)
        for descriptor in taken:
            os.close(descriptor)
        assert tools.status("a") == first
        print((await tools.ensure_running("b")).state)
asyncio.run(main())
"""
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=True)
    assert "too many open files" in done.stdout.lower(), done
    assert done.stdout.endswith("running\n"), done


# --------------------------------------------------------------------------------------------- ends of the interpreter
UNCLOSED = """
import asyncio, sys
from dxforge.orchestrator.definition import DxToolDefinition
from dxforge.orchestrator.orchestrator import Orchestrator
tools = Orchestrator({root!r})
env = {{"DX_TEST_MARK": {mark!r}}}
tools.register_tool(DxToolDefinition("a", {binary!r}, args={args!r}, env=env, stop={{"grace_s": 0.3}}))
print(asyncio.run(tools.ensure_running("a")).pid)
{end}
"""


@pytest.mark.parametrize(
    "end",
    [
        pytest.param("", id="end of the script"),
        pytest.param("sys.exit(3)", id="exit"),
        pytest.param("raise ValueError", id="exception"),
        pytest.param("asyncio.run(tools.execute_tool('a', [], timeout_s=0.1))", id="timeout"),
        pytest.param("import os; os.abort()", id="abort"),
        pytest.param("del tools; import gc; gc.collect()", id="collected"),
        pytest.param(
            "import threading; threading.Thread(target=asyncio.run, args=(tools.close(),)).start()", id="closing"
        ),
    ],
)
def test_an_orchestrator_that_is_never_closed(yard: Yard, end: str) -> None:
    script = UNCLOSED.format(root=str(yard.root), binary=STUBBORN[0], args=list(STUBBORN[1:]), mark=yard.mark, end=end)
    command = [sys.executable, "-X", "dev", "-c", script]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False)
    assert int(done.stdout) > 0
    expected = {"sys.exit(3)": 3, "": 0}.get(end, done.returncode)
    assert done.returncode == expected
    if not any(word in end for word in ("raise", "abort", "execute")):
        # (In this mode, asyncio also says when the machine is slow.)
        assert [line for line in done.stderr.splitlines() if not line.startswith("Executing <")] == []
    until(lambda: not yard.processes(), "the tool was left behind")


def test_a_forked_child_leaves_its_parents_session_alone(yard: Yard) -> None:
    script = f"""
import asyncio, os, sys, warnings
warnings.simplefilter("ignore", DeprecationWarning)
from pathlib import Path
from tests.support.processes import until
from tests.support.tools import PACE, declared
from dxforge.orchestrator.orchestrator import Orchestrator
root = Path({str(yard.root)!r})
tools = Orchestrator(root, declared=lambda: declared(root), pace=PACE)
mine = asyncio.run(tools.ensure_running("a"))
assert asyncio.run(tools.ensure_running("a")) == mine
if os.fork() == 0:
    # As a session of its own it joins what runs, starts what does not, and leaves again.
    until(lambda: tools.status("a") == mine)  # the guard writes it down after it was told
    assert asyncio.run(tools.ensure_running("a")).pid == mine.pid
    assert sorted(tools.info("a").owner_pids) == sorted([os.getppid(), os.getpid()])
    other = asyncio.run(tools.ensure_running("b"))
    assert other.up and tools.info("b").owner_pids == (os.getpid(),)
    asyncio.run(tools.close())
    print("child", flush=True)
    sys.exit(0)
status = os.wait()[1]
assert status == 0, status
assert tools.status("a") == mine == asyncio.run(tools.ensure_running("a"))
assert not tools.status("b").up
if os.fork() == 0:
    # And one that only waits, with all descriptors open, keeps nothing alive.
    import time
    time.sleep(20)
    os._exit(0)
print("parent", flush=True)
os._exit(0)
"""
    yard.declare("a")
    yard.declare("b")
    with subprocess.Popen([sys.executable, "-c", script], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "child\n"
        assert process.stdout.readline() == "parent\n"
        assert process.wait(30) == 0
        until(lambda: not yard.processes(), "a forked child keeps the tool alive")


def test_an_interrupt_disturbs_no_tool(yard: Yard) -> None:
    # As a notebook's stop button does it: SIGINT to the whole process group, while a cell waits.
    script = f"""
import asyncio, signal, sys
from pathlib import Path
from tests.support.tools import PACE, declared
from dxforge.orchestrator.orchestrator import Orchestrator
signal.signal(signal.SIGINT, signal.default_int_handler)
root = Path({str(yard.root)!r})
tools = Orchestrator(root, declared=lambda: declared(root), pace=PACE)
print(asyncio.run(tools.ensure_running("a")).pid, flush=True)
try:
    asyncio.run(tools.ensure_running("slow"))
except KeyboardInterrupt:
    print(asyncio.run(tools.ensure_running("a")).pid, flush=True)
(root / "go").touch()
print(asyncio.run(tools.ensure_running("slow")).state, flush=True)
asyncio.run(tools.close())
"""
    yard.declare("a", FAMILY)
    yard.declare(
        "slow", sh("echo waits; while ! test -e go; do sleep 0.02; done; echo up; exec sleep 300"), health={"log": "up"}
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        pid = process.stdout.readline()
        until(lambda: yard.orchestrator().logs("slow") == ["waits"])
        os.killpg(process.pid, signal.SIGINT)
        assert process.stdout.readline() == pid
        assert process.stdout.readline() == "healthy\n"
        assert process.wait(30) == 0


# ------------------------------------------------------------------------------------------------------------ bounds
def test_close_is_bounded_by_the_grace_times(yard: Yard) -> None:
    async def go() -> None:
        stubborn = [yard.define(f"t{number}", STUBBORN, health={"log": "ready"}) for number in range(10)]
        tools = yard.orchestrator(*stubborn)
        await tools.ensure_all([tool.name for tool in stubborn])
        async with asyncio.timeout(20):
            await tools.close()
        assert not yard.processes()

    asyncio.run(go())


def test_a_full_disk_for_logs_disturbs_no_tool(yard: Yard) -> None:
    # /dev/full stands for the disk; the log itself is a link that is not followed.
    folder = yard.root / ".dx" / "tools" / "a"
    folder.mkdir(parents=True)
    (folder / "log").symlink_to("/dev/full")

    async def go() -> None:
        tool = yard.define("a", sh("echo one; echo two; exec sleep 300"), health={"log": "two"})
        async with yard.orchestrator(tool) as tools:
            assert (await tools.ensure_running("a")).state is ToolState.HEALTHY
            assert tools.logs("a") == ["one", "two"]

    asyncio.run(go())


def test_a_disk_that_fills_up(yard: Yard) -> None:
    disk = yard.root / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no small disk to be had: mounting is not allowed here")
    spam = yard.define("spam", sh("while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done"))

    async def go() -> None:
        async with Orchestrator(disk, pace=PACE) as tools:
            tools.register_tool(spam)
            tools.register_tool(yard.define("new"))
            running = await tools.ensure_running("spam")
            await until_async(lambda: os.statvfs(disk).f_bavail == 0)
            assert await tools.ensure_running("spam") == running
            # What needs the disk says so; what does not goes on.
            with pytest.raises(ToolStartError, match="cannot be written: no space left on device"):
                await tools.ensure_running("new")
            run = await tools.execute_tool("new", ["-c", "true"])
            assert run.ok
            assert (await tools.execute_tool("spam", ["-c", "echo hi"])).stdout == "hi\n"
            await tools.stop_all()
            assert not yard.processes()

    try:
        asyncio.run(go())
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_status_is_json(yard: Yard) -> None:
    yard.declare("a")
    tools = yard.orchestrator()
    asyncio.run(tools.ensure_running("a"))
    entry = json.loads(json.dumps(tools.info("a").to_json()))
    assert entry["name"] == "a" and entry["state"] == "running" and isinstance(entry["pid"], int)
    asyncio.run(tools.close())
