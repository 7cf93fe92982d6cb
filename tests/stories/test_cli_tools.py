"""Tools on the command line as a user meets them: real programs, real processes, real terminals."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.processes import exists, until
from tests.support.tool_project import ToolProject, ended

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX programs and signals")


@pytest.fixture
def project(tmp_path: Path, cache_dir: Path) -> Iterator[ToolProject]:
    """A project whose tools are all gone in the end."""
    made = ToolProject(tmp_path)
    try:
        yield made
    finally:
        made.end()


# ------------------------------------------------------------------------------------------- start, stop, status


def test_a_life(project: ToolProject) -> None:
    port = project.server("web", dependencies=["clock"])
    project.tool("clock", "/bin/sh", "-c", "while :; do echo tick; sleep 0.1; done")
    done = project.dx("start", "web")
    assert re.search(r"^● Healthy +web +pid \d+ ", done.stdout)
    assert "dxforge stop web" in done.stdout
    assert re.search(r"^● Healthy  web", done.stderr, re.MULTILINE)

    status = {tool["name"]: tool for tool in project.answer("status")["tools"]}
    assert (status["web"]["state"], status["clock"]["state"]) == ("healthy", "running")
    pid = status["web"]["pid"]
    assert exists(pid)
    assert status["web"]["memory_bytes"] > 1_000_000
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/dx.toml") as page:
        assert b"[tools.web]" in page.read()
    assert re.search(rf"^web +● Healthy +{pid} ", project.dx("status").stdout, re.MULTILINE)

    again = project.answer("start", "web")
    assert [tool["pid"] for tool in again["tools"]] == [pid]
    assert "was running already" in project.dx("start", "clock").stdout
    until(lambda: "tick" in project.dx("logs", "clock").stdout)
    assert project.answer("logs", "clock", "-n", "2")["lines"][-1] == "tick"

    restarted = project.answer("restart", "web")
    assert restarted["ok"] is True
    assert restarted["tools"][0]["pid"] != pid
    assert not exists(pid)
    assert project.states() == {"web": "healthy", "clock": "running"}

    assert project.answer("stop", "web")["tools"][0]["state"] == "stopped"
    assert project.states() == {"web": "stopped", "clock": "running"}
    assert "was not running" in project.dx("stop", "web").stdout
    assert "clock" in project.dx("stop", "--all").stdout
    assert not project.processes()
    assert "No tool is running" in project.dx("stop", "--all").stdout


def test_a_tool_survives_the_terminal_that_started_it(project: ToolProject) -> None:
    import pexpect

    project.server("web")
    terminal = pexpect.spawn("/bin/sh", cwd=str(project.root), env=project.environment(TERM="xterm"), encoding="utf-8")
    terminal.sendline(f"exec 2>&1; {sys.executable} -m dxforge start web; echo status=$?")
    terminal.expect("also when this terminal is closed", timeout=60)
    terminal.expect("status=0", timeout=60)
    (pid,) = project.processes() - {terminal.pid}
    terminal.close(force=True)  # HUP to all of it
    assert not terminal.isalive()
    assert project.states() == {"web": "healthy"}
    assert exists(pid)


def test_a_tool_that_will_not_start_shows_its_last_words(project: ToolProject) -> None:
    project.tool(
        "bad",
        "/bin/sh",
        "-c",
        "echo starting; echo 'no \033[31mconfig\033[0m'; exit 3",
        restart={"policy": "never"},
    )
    project.tool("good", "/bin/sh", "-c", "sleep 300")
    done = project.dx("start", "bad", "good", status=1)
    assert re.search(r"^◉ Running +good", done.stdout, re.MULTILINE)
    assert re.search(r"^■ Degraded +bad ", done.stdout, re.MULTILINE)
    assert re.search(r"^error: tool bad: .*exit status 3", done.stderr, re.MULTILINE)
    assert "\n    starting\n    no config\n" in done.stderr
    assert "dxforge logs bad" in done.stderr
    assert project.states()["good"] == "running"

    data = project.answer("start", "bad", status=1)
    assert data["ok"] is False
    assert data["error"]["kind"] == "ToolStartError"
    assert data["error"]["log_tail"][0] == "starting"


def test_an_interrupted_start_leaves_nothing(project: ToolProject) -> None:
    project.tool(
        "slow", "/bin/sh", "-c", "sleep 300", health={"tcp": "127.0.0.1:1", "interval_s": 0.1, "failures": 10000}
    )
    process = project.begin("start", "slow")
    until(project.processes)
    process.send_signal(signal.SIGINT)
    _, err = ended(process)
    assert process.returncode == 130
    assert "interrupted" in err
    project.gone()


@pytest.mark.parametrize("command", ["start", "restart", "stop", "run", "logs", "watch"])
def test_an_unknown_tool_names_the_nearest_and_touches_nothing(project: ToolProject, command: str) -> None:
    project.tool("server", "/bin/sh", "-c", "sleep 300")
    done = project.dx(command, "sever", status=1)
    assert done.stdout == ""
    assert 'there is no tool "sever"' in done.stderr
    assert 'nearest known tool is "server"' in done.stderr
    assert project.answer(command, "sever", status=1)["error"]["kind"] == "UnknownToolError"
    project.dx("start", "server", "sever", status=1)
    assert project.states() == {"server": "stopped"}


def test_a_broken_dx_toml_is_said_by_every_command(project: ToolProject) -> None:
    project.toml("[tools.x]\nbinary = 1\n")
    for words in (["start", "x"], ["status"], ["run", "x"], ["build"]):
        assert "tools.x" in project.dx(*words, status=1).stderr


# ------------------------------------------------------------------------------------------------------- run


def test_everything_after_the_tool_goes_to_it(project: ToolProject) -> None:
    project.script("echo", "import json, sys\nprint(json.dumps(sys.argv[1:]))\n")
    words = ["--json", "-x", "--", "--help", "-C", "..", "a b", "", "*", "-q"]
    done = project.dx("run", "echo", *words)
    assert json.loads(done.stdout) == words
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""
    assert project.dx("run", "-q", "echo", "-q").stdout == ""


def test_streams_stay_apart_and_the_status_is_the_contracts(project: ToolProject) -> None:
    project.script("both", "import sys\nprint('out')\nprint('err', file=sys.stderr)\nsys.exit(int(sys.argv[1]))\n")
    done = project.dx("run", "both", "0")
    assert (done.stdout, done.stderr) == ("out\n", "err\n")
    done = project.dx("run", "both", "7", status=1)
    assert done.stdout == "out\n"
    assert done.stderr.startswith("err\nerror: tool both: ended with exit status 7\n")

    data = project.answer("run", "both", "7", status=1)
    assert data.keys() >= {"ok", "tool", "args", "exit_code", "stdout", "stderr", "duration_s"}
    assert (data["ok"], data["exit_code"], data["args"]) == (False, 7, ["7"])
    assert (data["stdout"], data["stderr"]) == ("out\n", "err\n")
    assert Path(data["stdout_path"]).read_text() == "out\n"
    assert project.dx("--json", "run", "both", "0").stderr == ""


def test_output_is_shown_as_it_comes(project: ToolProject) -> None:
    wait = "while not os.path.exists('go'): time.sleep(0.02)"
    project.script("slow", f"import os, time\nprint('first', flush=True)\n{wait}\nprint('second')\n")
    process = project.begin("run", "slow")
    assert process.stdout is not None
    assert process.stdout.readline() == "first\n"
    assert process.poll() is None
    (project.root / "go").touch()
    assert ended(process)[0] == "second\n"
    assert process.returncode == 0


def test_a_run_that_takes_too_long_is_killed(project: ToolProject) -> None:
    project.script("slow", "import time\nprint('working', flush=True)\ntime.sleep(300)\n")
    done = project.dx("run", "--timeout", "1", "slow", status=1)
    assert done.stdout == "working\n"
    assert "1 s" in done.stderr
    project.gone()
    assert project.answer("run", "--timeout", "0.5", "slow", status=1)["error"]["kind"] == "ToolTimeoutError"


def test_ctrl_c_ends_the_run_and_all_that_it_started(project: ToolProject) -> None:
    project.script(
        "family",
        "import subprocess, time\nsubprocess.Popen(['sleep', '300'])\nprint('ready', flush=True)\ntime.sleep(300)\n",
    )
    process = project.begin("run", "family")
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    _, err = ended(process)
    assert process.returncode == 130
    assert "interrupted" in err
    assert not project.processes()


def test_a_killed_run_leaves_nothing(project: ToolProject) -> None:
    project.script(
        "family",
        "import subprocess, time\nsubprocess.Popen(['sleep', '300'])\nprint('ready', flush=True)\ntime.sleep(300)\n",
    )
    process = project.begin("run", "family")
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.kill()
    ended(process)
    project.gone()


def test_a_reader_that_goes_away_ends_the_run(project: ToolProject) -> None:
    project.script("endless", "while True: print('y' * 1000)\n")
    command = f"'{sys.executable}' -m dxforge run endless | head -n 1"
    done = subprocess.run(
        ["sh", "-c", command],
        cwd=project.root,
        env=project.environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout == "y" * 1000 + "\n"
    assert done.stderr == ""
    project.gone()


def test_what_a_tool_depends_on_runs_for_the_time_of_the_run(project: ToolProject) -> None:
    project.tool(
        "db",
        "/bin/sh",
        "-c",
        "echo up > db; sleep 300",
        health={"exec": ["/usr/bin/test", "-e", "db"], "interval_s": 0.1},
    )
    (project.root / "client").write_text(f"#!{sys.executable}\nimport os\nprint(os.path.exists('db'))\n")
    (project.root / "client").chmod(0o755)
    project.tool("client", "./client", dependencies=["db"])
    done = project.dx("run", "client")
    assert done.stdout == "True\n"
    assert "Healthy  db" in done.stderr
    assert not project.processes()


# ------------------------------------------------------------------------------------------------------ logs


def test_logs_are_followed_until_the_user_has_enough(project: ToolProject) -> None:
    project.tool("clock", "/bin/sh", "-c", "i=0; while :; do i=$((i+1)); echo tick $i; sleep 0.05; done")
    project.dx("start", "clock", "-q")
    process = project.begin("logs", "clock", "-f", "-n", "1")
    assert process.stdout is not None
    first = int(process.stdout.readline().split()[1])
    for number in range(first + 1, first + 6):
        assert process.stdout.readline() == f"tick {number}\n"
    project.dx("restart", "clock", "-q")
    lines = iter(process.stdout.readline, "")
    assert next(line for line in lines if line == "tick 1\n")
    process.send_signal(signal.SIGINT)
    _, err = ended(process)
    assert (process.returncode, err) == (130, "")


def test_logs_of_the_past_and_of_nothing(project: ToolProject) -> None:
    project.tool("once", "/bin/sh", "-c", "echo one; echo two; sleep 300")
    assert "has written nothing yet" in project.dx("logs", "once").stdout
    project.dx("start", "once", "-q")
    until(lambda: project.dx("logs", "once").stdout == "one\ntwo\n")
    project.dx("stop", "once", "-q")
    assert project.dx("logs", "once", "-n", "1").stdout == "two\n"
    assert project.answer("logs", "once") == {"ok": True, "tool": "once", "lines": ["one", "two"]}
    assert "--json" in project.dx("logs", "once", "-f", "--json", status=2).stdout


# ------------------------------------------------------------------------------------------------ completion


def complete(project: ToolProject, *words: str) -> list[str]:
    """What bash is offered for the last word."""
    env = project.environment(
        _DXFORGE_COMPLETE="bash_complete", COMP_WORDS=" ".join(["dxforge", *words]), COMP_CWORD=str(len(words))
    )
    done = subprocess.run(
        [sys.executable, "-m", "dxforge"], cwd=project.root, env=env, capture_output=True, text=True, check=True
    )
    return [line.partition(",")[2] for line in done.stdout.split()]


def test_the_shell_completes_tools(project: ToolProject) -> None:
    for name in ("web", "worker", "db"):
        project.tool(name, "/bin/sh")
    assert complete(project, "start", "w") == ["web", "worker"]
    assert complete(project, "stop", "web", "") == ["worker", "db"]
    assert complete(project, "logs", "d") == ["db"]
    assert complete(project, "run", "we") == ["web"]
    assert complete(project, "re") == ["remove", "review", "reject", "resolve", "restart"]
    assert "--explain" in complete(project, "build", "--ex")


# ------------------------------------------------------------------------------------------------ a terminal


def test_a_terminal_sees_what_is_under_way(project: ToolProject) -> None:
    import pexpect

    project.tool("slow", "/bin/sh", "-c", "sleep 2; echo ready; sleep 300", health={"log": "ready"})
    child = pexpect.spawn(
        sys.executable, ["-m", "dxforge", "start", "slow"], cwd=str(project.root), dimensions=(30, 100),
        env=project.environment(TERM="xterm-256color"), encoding="utf-8",
    )  # fmt: skip
    child.expect("◐ Starting", timeout=60)
    child.expect("● Healthy", timeout=60)
    child.expect(pexpect.EOF, timeout=60)
    child.close()
    assert child.exitstatus == 0


def test_no_machinery_of_others_is_left(project: ToolProject) -> None:
    """The launcher and the guards end too."""
    project.server("web")
    project.dx("start", "web", "-q")
    guards = {
        process.pid
        for process in psutil.process_iter(["cwd", "cmdline"])
        if str(project.root) in " ".join([process.info["cwd"] or "", *(process.info["cmdline"] or ())])
    }
    assert guards
    project.dx("stop", "web", "-q")
    until(lambda: not any(exists(pid) for pid in guards))


@pytest.mark.parametrize("words", [("stop", "web"), ("stop", "--all")])
def test_a_tool_that_is_declared_no_more_is_stopped_and_told_so(project: ToolProject, words: tuple[str, ...]) -> None:
    project.server("web")
    project.dx("start", "web", "-q")
    (project.root / "dx.toml").write_text('[project]\nname = "x"\n')
    done = project.dx(*words)
    assert "○ Stopped  web" in done.stdout and "No tool" not in done.stdout
    project.gone()
