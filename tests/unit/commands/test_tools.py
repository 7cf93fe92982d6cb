from __future__ import annotations

import re
from dataclasses import replace

import pytest

from dxforge.commands.reports import StatusResult
from dxforge.commands.result import Result
from dxforge.commands.tools import LogsResult, RunResult, ToolsResult, WatchResult, ending
from dxforge.errors import ToolStartError, UnknownToolError
from dxforge.orchestrator.status import ToolInfo, ToolRun, ToolState, ToolStatus
from tests.support.strict_html import read

WEB = ToolInfo(
    name="dx-style",
    status=ToolStatus(ToolState.HEALTHY, 4711),
    health="http http://127.0.0.1:8000/",
    uptime_s=4000.0,
    cpu_percent=3.2,
    memory_bytes=50 << 20,
    processes=3,
    log_path="/p/.dx/tools/dx-style/log",
)
SICK = ToolInfo(name="runtime", status=ToolStatus(ToolState.DEGRADED, None, "gave up after 5 restarts"), restarts=5)
DOWN = ToolInfo(name="db", status=ToolStatus(ToolState.STOPPED))
RUN = ToolRun(name="sass", args=("--x", "a b"), exit_code=0, stdout="out\n", stderr="err\n", duration_s=1.23456789)
HOSTILE = "\x1b[31m<script>alert(1)</script>\u202e\n</pre>"


def status(*tools: ToolInfo) -> StatusResult:
    return StatusResult(project="demo", packages=(), pending=(), tools=tools)


def test_the_status_shows_a_tool_a_row_with_what_is_known() -> None:
    text = status(WEB, SICK, DOWN).text()
    assert re.search(
        r"^dx-style +● Healthy +4711 +1 h 6 min +3% +50 MiB +- +http http://127.0.0.1:8000/$", text, re.MULTILINE
    )
    assert re.search(r"^runtime +■ Degraded +- +- +- +- +5 +gave up after 5 restarts$", text, re.MULTILINE)
    assert re.search(r"^db +○ Stopped +- +- +- +- +-$", text, re.MULTILINE)
    assert "dxforge start" not in text
    assert "dxforge start TOOL" in status(DOWN).text()
    assert "Restarts" not in status().text()
    assert repr(status(WEB, SICK)) == "<dxforge status: 0 packages, 0 pending, 1 of 2 tools up>"
    assert repr(status()) == "<dxforge status: 0 packages, 0 pending>"


def test_a_healthy_tool_shows_its_address_beside_what_is_to_say() -> None:
    seen = replace(WEB, status=replace(WEB.status, detail="as last seen; no session watches it"))
    assert "http http://127.0.0.1:8000/  as last seen; no session watches it" in status(seen).text()


def test_the_status_in_json_is_the_contracts() -> None:
    data = status(WEB).to_json()
    assert data.keys() == {"tools", "tasks", "packages", "pending"}
    (tool,) = data["tools"]
    assert tool.keys() >= {"name", "state", "pid", "cpu_percent", "memory_bytes", "restarts", "detail", "uptime_s"}
    assert (tool["name"], tool["state"], tool["pid"]) == ("dx-style", "healthy", 4711)


def test_start_says_how_to_stop_and_whether_it_goes_on() -> None:
    text = ToolsResult(command="start", tools=(WEB,), kept=True).text()
    assert "● Healthy  dx-style  pid 4711" in text
    assert "Runs on until you stop it, also when this terminal is closed." in text
    assert re.search(r"dxforge stop dx-style +stop it", text)
    in_notebook = ToolsResult(command="start", tools=(WEB,), program="%dx")
    assert "Runs on" not in in_notebook.text()
    assert "%dx stop dx-style" in in_notebook.text()
    again = ToolsResult(command="start", tools=(ToolInfo(name="x", status=WEB.status),), was_up=frozenset({"x"}))
    assert "was running already" in again.text()


def test_stop_says_what_was_not_running() -> None:
    result = ToolsResult(command="stop", tools=(DOWN, ToolInfo(name="x", status=DOWN.status)), was_up=frozenset({"x"}))
    assert re.search(r"○ Stopped +db +was not running", result.text())
    assert re.search(r"○ Stopped +x$", result.text(), re.MULTILINE)
    assert "dxforge stop" not in result.text()
    assert ToolsResult(command="stop", tools=()).text() == "No tool is running."


def test_tools_that_would_not_are_errors_beside_those_that_would() -> None:
    errors = (
        ToolStartError("it ended", tool="runtime", hint="See", log_tail=("last", "line")),
        UnknownToolError("no", tool="db"),
    )
    result = ToolsResult(command="start", tools=(WEB, SICK, DOWN), errors=errors)
    assert result.exit_code == 1
    assert result.failure() is errors[0]
    assert "error: tool db: no" in result.text()
    data = result.to_json()
    assert data["ok"] is False
    assert data["error"]["log_tail"] == ["last", "line"]
    assert [error["where"] for error in data["errors"]] == ["tool runtime", "tool db"]
    assert [tool["state"] for tool in data["tools"]] == ["healthy", "degraded", "stopped"]
    assert ToolsResult(command="start", tools=(WEB,)).to_json().keys() == {"ok", "tools"}


def test_a_run_that_succeeds_and_one_that_fails() -> None:
    result = RunResult(run=RUN)
    assert (result.exit_code, result.failure()) == (0, None)
    data = result.to_json()
    assert data["ok"] is True
    assert (data["tool"], data["args"], data["exit_code"]) == ("sass", ["--x", "a b"], 0)
    assert (data["stdout"], data["stderr"], data["duration_s"]) == ("out\n", "err\n", 1.234568)
    assert result.text() == "● Done  sass  exit status 0, 1.2 s"
    failed = RunResult(run=ToolRun(name="s", args=(), exit_code=3, stdout="", stderr="", duration_s=0.0), log=".dx/x")
    assert failed.exit_code == 1
    assert failed.to_json()["exit_code"] == 3
    assert failed.to_json()["error"]["what"] == "ended with exit status 3"
    assert ".dx/x" in failed.to_json()["error"]["hint"]


@pytest.mark.parametrize(
    ("exit_code", "text"), [(0, "exit status 0"), (3, "exit status 3"), (-9, "signal 9 (SIGKILL)"), (-99, "signal 99")]
)
def test_endings(exit_code: int, text: str) -> None:
    assert ending(exit_code) == text


def test_logs_are_shown_without_colours() -> None:
    result = LogsResult(tool="x", lines=("\x1b[31mred\x1b[0m", "10%\r\x1b[K20%", "tab\there"))
    assert result.text().split("\n") == ["red", "20%", "tab\there"]
    assert result.to_json()["lines"][0] == "\x1b[31mred\x1b[0m"
    assert LogsResult(tool="x", lines=()).text() == "x has written nothing yet."
    assert LogsResult(tool="x", lines=(), wanted=0).text() == "No lines were asked for (-n 0)."
    assert (
        "what its runs wrote is in .dx/tools/x/runs" in LogsResult(tool="x", lines=(), runs=".dx/tools/x/runs").text()
    )
    followed = LogsResult(tool="x", lines=(), followed=True)
    assert (followed.exit_code, followed.shown_live) == (130, True)


def test_watching_ends_as_an_interrupt_does() -> None:
    assert (WatchResult(rounds=2).exit_code, WatchResult(rounds=2).ok) == (130, False)
    assert WatchResult(rounds=2).to_json() == {"ok": False, "rounds": 2}
    assert WatchResult(rounds=1).text() == "Stopped watching after 1 change."


def test_reprs_are_one_stable_line_and_html_says_what_the_text_says() -> None:
    results: list[Result] = [
        status(WEB, SICK, DOWN),
        ToolsResult(command="start", tools=(WEB, SICK), kept=True),
        RunResult(run=RUN),
        LogsResult(tool="x", lines=("a",)),
        WatchResult(rounds=3),
    ]
    for result in results:
        assert re.fullmatch(r"<dxforge [a-z]+: [^\n]+>", repr(result))
        words = read(result._repr_html_())
        for word in result.text().split():
            assert word in words


def test_hostile_texts_are_text_everywhere() -> None:
    hostile = ToolInfo(name=HOSTILE, status=ToolStatus(ToolState.DEGRADED, 1, HOSTILE), health=HOSTILE)
    results: list[Result] = [
        status(hostile),
        ToolsResult(command="start", tools=(hostile,), errors=(UnknownToolError(HOSTILE, tool=HOSTILE),) * 2),
        RunResult(run=ToolRun(name=HOSTILE, args=(), exit_code=1, stdout="", stderr="", duration_s=1.0)),
        LogsResult(tool=HOSTILE, lines=(HOSTILE,)),
    ]
    for result in results:
        for text in (result.text(), read(result._repr_html_())):
            assert all(character.isprintable() or character in "\n\t" for character in text)
