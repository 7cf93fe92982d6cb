"""Panels by the real kernel protocol, without a browser, in every ipykernel whose messages travel differently."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any

import pytest

from tests.notebook.conftest import Begin
from tests.support.index_server import IndexServer
from tests.support.kernel_page import KernelPage, load
from tests.support.processes import exists, until
from tests.support.tool_project import ToolProject

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX programs and signals")
NEWEST = ""
VERSIONS = [*(pytest.param(version, marks=pytest.mark.network) for version in ("6.31.0", "7.1.0", "7.3.0")), NEWEST]
SUBSHELLS = [pytest.param(version, marks=pytest.mark.network) for version in ("7.1.0", "7.3.0")]
NUMBER = "src/dx_packages/demo/demo/number.py"
CLASH = "src/dx_packages/demo/demo/clash.py"
OLD = "".join(f"LINE_{number} = {number}\n" for number in range(1, 41))
NEW = OLD.replace("LINE_5 = 5\n", "LINE_5 = 'theirs'\n").replace("LINE_35 = 35\n", "LINE_35 = 'theirs'\n")
EDIT = """
%%dx -q
init --name story
add demo==1.0
""", """
from pathlib import Path
def edit(path, old, new):
    file = Path(path); text = file.read_text(); assert old in text; file.write_text(text.replace(old, new))
edit("src/dx_packages/demo/demo/number.py", "LINE_20 = 20", "LINE_20 = 'mine'")
edit("src/dx_packages/demo/demo/clash.py", "1", "'mine'")
edit("dx.toml", "==1.0", ">=1")
"""  # fmt: skip


@pytest.fixture
def demo(index: IndexServer) -> None:
    """The index offers demo 1.0 and 2.0."""
    old = {"demo/__init__.py": "A = 1\n", "demo/number.py": OLD, "demo/clash.py": "VALUE = 1\n"}
    index.wheel("demo", "1.0", old)
    index.wheel("demo", "2.0", {**old, "demo/number.py": NEW, "demo/clash.py": "VALUE = 2\n"})


def upgraded(page: KernelPage) -> str:
    """Make one Yellow with two hunks and one Red; the panel that the install shows."""
    for code in EDIT:
        page.run(code.strip())
    model = page.run("%dx install --upgrade").model
    assert model
    return model


def versions(files: list[dict[str, Any]], *paths: str) -> list[dict[str, str]]:
    """What to decide on."""
    return [{"path": each["path"], "version": each["version"]} for each in files if each["path"] in paths]


# -- status -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_the_status_lives_and_its_buttons_work(begin: Begin, panel_tools: ToolProject, version: str) -> None:
    page = begin(version)
    model = page.run("%dx status").model
    hello = page.reply(model, "hello")
    assert hello["ok"]
    assert hello["project"] == hello["state"]["project"] == "story"
    assert (hello["program"], len(hello["kernel"]), len(hello["editor"])) == ("%dx", 32, 64)
    assert [each["name"] for each in hello["state"]["tools"]] == ["web", "talker", "idler"]
    assert {each["state"] for each in hello["state"]["tools"]} == {"stopped"}

    # Three times the same message is one start.
    number = page.ask(model, "tool", name="web", do="start")
    for _ in range(2):
        page.ask(model, "tool", name="web", do="start", number=number)
    assert page.answer(model, number)["ok"]
    page.until(lambda: page.tool(model, "web")["state"] == "healthy")
    pid = page.tool(model, "web")["pid"]
    assert panel_tools.processes() == {pid}
    assert page.tool(model, "web")["owner"] == "here"
    assert len(page.got(model, number)) == 3
    assert "HTTP" in page.reply(model, "logs", name="web", lines=50)["text"]

    # What a cell does is seen too.
    page.run("%dx restart web -q")
    page.until(lambda: page.tool(model, "web")["pid"] not in (None, pid))
    assert not exists(pid)
    assert page.reply(model, "tool", name="web", do="stop")["ok"]
    page.until(lambda: page.tool(model, "web")["state"] == "stopped")
    assert not panel_tools.processes()

    wrong = page.reply(model, "tool", name="wbe", do="start")
    assert (wrong["ok"], wrong["error"]["kind"]) == (False, "UnknownToolError")
    assert wrong["error"]["hint"]
    assert page.reply(model, "tool", name="web", do="explode")["error"]["kind"] == "UsageError"
    numbers = [each["seq"] for each in page.pushes(model)]
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("version", VERSIONS)
def test_a_click_while_a_cell_runs_waits_and_is_done_once(begin: Begin, panel_tools: ToolProject, version: str) -> None:
    page = begin(version)
    model = page.run("%dx status").model
    page.reply(model, "hello")
    cell = page.send("import time\nprint('busy', flush=True)\ntime.sleep(2.5)\nprint('over')")
    page.printed(cell, "busy")
    number = page.ask(model, "tool", name="idler", do="start")
    for _ in range(2):
        page.ask(model, "tool", name="idler", do="start", number=number)
    page.listen(1.0)
    assert not page.got(model, number)
    assert not panel_tools.processes()
    page.finish(cell)
    assert page.answer(model, number)["ok"]
    page.until(lambda: page.tool(model, "idler")["state"] == "running")
    assert len(panel_tools.processes()) == 1

    # And it is stopped by a click during another one, which is interrupted.
    cell = page.send("print('busy', flush=True)\ntime.sleep(60)")
    page.printed(cell, "busy")
    number = page.ask(model, "tool", name="idler", do="stop")
    page.manager.interrupt_kernel()
    assert (page.finish(cell).error or {})["ename"] == "KeyboardInterrupt"
    assert page.answer(model, number)["ok"]
    page.until(lambda: page.tool(model, "idler")["state"] == "stopped")
    assert not panel_tools.processes()


@pytest.mark.parametrize("version", SUBSHELLS)
def test_with_a_subshell_a_click_is_done_while_a_cell_runs(
    begin: Begin, panel_tools: ToolProject, version: str
) -> None:
    page = begin(version)
    model = page.run("%dx status").model
    page.reply(model, "hello")
    subshell = page.subshell()
    cell = page.send("import time\nprint('busy', flush=True)\ntime.sleep(60)")
    page.printed(cell, "busy")
    message = {"dx": 1, "client": "other", "n": 1, "op": "watch"}
    page.post(model, {"method": "custom", "content": message}, subshell)
    start = {"dx": 1, "client": "other", "n": 2, "op": "tool", "name": "idler", "do": "start"}
    for _ in range(3):
        page.post(model, {"method": "custom", "content": start}, subshell)
    assert page.answer(model, 2, "other")["ok"]
    page.until(lambda: page.tool(model, "idler")["state"] == "running")
    page.until(lambda: len(page.got(model, 2, "other")) == 3)
    assert len(panel_tools.processes()) == 1
    page.manager.interrupt_kernel()
    assert page.finish(cell).error


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
def test_at_most_four_pushes_a_second_and_none_when_nothing_happens(
    begin: Begin, panel_tools: ToolProject, version: str
) -> None:
    page = begin(version)
    model = page.run("%dx status").model
    page.reply(model, "hello")
    for name in ("talker", "idler"):
        page.reply(model, "tool", name=name, do="start")
    page.until(lambda: page.tool(model, "talker")["state"] == "running")
    for _ in range(6):  # many reasons to look again
        page.run("%dx restart idler -q")
    page.listen(1.5)
    dates = [each["date"] for each in page.pushes(model)]
    assert len(dates) >= 3
    assert min((later - earlier).total_seconds() for earlier, later in itertools.pairwise(dates)) > 0.24
    assert page.reply(model, "tool", name="talker", do="stop")["ok"]

    def quiet() -> bool:
        before = len(page.pushes(model))
        page.listen(3.0)
        return len(page.pushes(model)) == before

    until(quiet, "an idle tool is not silent")
    assert page.tool(model, "idler")["state"] == "running"
    assert page.tool(model, "idler")["last_lines"][-1] == "canary"
    assert page.tool(model, "idler")["cpu_percent"] == 0
    # With nobody looking, not even what happens is told.
    page.reply(model, "unwatch")
    count = len(page.pushes(model))
    page.run("%dx stop idler -q")
    page.listen(1.0)
    assert len(page.pushes(model)) == count
    assert page.reply(model, "watch")["seq"] == page.pushes(model)[-1]["seq"] + 1


# -- review -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_a_decision_is_taken_exactly_once(begin: Begin, demo: None, project: Path, version: str) -> None:
    page = begin(version)
    model = upgraded(page)
    files = page.reply(model, "hello")["files"]
    assert [each["path"] for each in files] == [CLASH, NUMBER]
    opened = page.reply(model, "open", path=NUMBER)
    assert [hunk["id"] for hunk in opened["hunks"]] == ["1", "2"]

    # Three times while a cell runs, of which the last is interrupted.
    decision = {"what": "accept", "files": versions(files, NUMBER), "hunks": ["1"]}
    cell = page.send("import time\nprint('busy', flush=True)\ntime.sleep(60)")
    page.printed(cell, "busy")
    number = page.ask(model, "decide", **decision)
    for _ in range(2):
        page.ask(model, "decide", number=number, **decision)
    page.manager.interrupt_kernel()
    assert page.finish(cell).error
    answer = page.answer(model, number)
    assert answer["ok"], answer
    page.until(lambda: len(page.got(model, number)) == 3)
    assert "LINE_5 = 'theirs'" in (project / NUMBER).read_text()
    assert "LINE_35 = 35" in (project / NUMBER).read_text()
    assert page.value("len(get_ipython().run_line_magic('dx', 'log').operations)") == "3"

    # What was seen before is not decided on; nothing is done then.
    stale = page.reply(model, "decide", **decision)
    assert (stale["ok"], stale["stale"][0]["path"]) == (False, NUMBER)

    # Two pages at once, the same file: one of them is refused.
    (entry,) = answer["changed"]
    both = {"what": "accept", "files": versions([entry], NUMBER)}
    page.reply(model, "hello", client="other")
    first = page.ask(model, "decide", **both)
    second = page.ask(model, "decide", client="other", **both)
    answers = [page.answer(model, first), page.answer(model, second, "other")]
    assert sorted(each["ok"] for each in answers) == [False, True]
    assert "LINE_35 = 'theirs'" in (project / NUMBER).read_text()
    page.until(lambda: page.pushes(model) and page.pushes(model)[-1]["gone"] == [NUMBER])

    # And back.
    done = next(each for each in answers if each["ok"])
    number = page.ask(model, "undo", operation=done["undo"]["id"])
    page.ask(model, "undo", operation=done["undo"]["id"], number=number)
    assert page.answer(model, number)["ok"]
    assert "LINE_35 = 35" in (project / NUMBER).read_text()
    assert page.value("len(get_ipython().run_line_magic('dx', 'log').operations)") == "5"


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
def test_interrupts_lose_no_click_and_double_none(begin: Begin, demo: None, version: str) -> None:
    page = begin(version)
    model = upgraded(page)
    page.reply(model, "hello")
    wanted = []
    for turn in range(12):
        # A decision, then its way back.
        state = page.reply(model, "refresh")
        op: str = "undo" if turn % 2 else "decide"
        decide = {"what": "reject", "files": versions(state["files"], CLASH)}
        args: dict[str, Any] = {"operation": state["undo"]["id"]} if turn % 2 else decide
        number = page.ask(model, op, **args)
        early = turn // 2 % 2 == 1
        if early:
            page.manager.interrupt_kernel()
        page.listen(0.02)
        if not early:
            page.manager.interrupt_kernel()
        while not page.answers(model, number):
            page.listen(0.5)
            if not page.answers(model, number):  # as a page does that hears nothing
                page.ask(model, op, number=number, **args)
        wanted.append(page.answers(model, number)[0])
    assert [each["ok"] for each in wanted] == [True] * 12
    assert page.value("len(get_ipython().run_line_magic('dx', 'log').operations)") == "14"


def test_a_restart_makes_a_new_model_and_decisions_stay(begin: Begin, demo: None, project: Path) -> None:
    page = begin()
    model = upgraded(page)
    hello = page.reply(model, "hello")
    assert page.reply(model, "decide", what="reject", files=versions(hello["files"], CLASH))["ok"]
    static = page.value("str(a.STATIC)").strip("'")
    page.manager.restart_kernel(now=True)
    page.client.wait_for_ready(timeout=60)
    load(page, Path(static))
    number = page.ask(model, "decide", what="accept", files=versions(hello["files"], NUMBER))
    again = page.run("%dx review").model
    assert again != model
    assert not page.got(model, number)
    told = page.reply(again, "hello", client="reloaded")
    assert told["kernel"] != hello["kernel"]
    assert [each["path"] for each in told["files"]] == [NUMBER]
    # The new kernel has never heard of that page, so it does nothing of what it asks.
    refused = page.reply(again, "decide", client="old", what="accept", files=versions(hello["files"], NUMBER))
    assert refused["error"]["kind"] == "UnknownClientError"
    assert "LINE_5 = 5" in (project / NUMBER).read_text()


def test_two_notebooks_on_one_project_see_each_other(begin: Begin, demo: None) -> None:
    one = begin()
    mine = upgraded(one)
    files = one.reply(mine, "hello")["files"]
    other = begin()
    theirs = other.run("%dx review").model
    assert other.reply(theirs, "hello")["files"] == files
    assert one.reply(mine, "decide", what="accept", files=versions(files, NUMBER))["ok"]
    refused = other.reply(theirs, "decide", what="reject", files=versions(files, NUMBER))
    assert refused["stale"][0]["path"] == NUMBER
    other.until(lambda: other.pushes(theirs) and NUMBER in other.pushes(theirs)[-1]["gone"])
