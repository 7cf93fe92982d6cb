"""What ``%dx build`` shows while it runs, in a real kernel: each update as the page gets it."""

from __future__ import annotations

import dataclasses
import datetime
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.notebook.conftest import Kernel
from tests.support.strict_html import read
from tests.support.tool_project import ToolProject

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX programs and signals")

# Writes a line, then waits for the file that its first argument names; the second is its output.
WAIT = """\
import os, pathlib, sys, time
print(f"waiting for {sys.argv[1]}", flush=True)
while not os.path.exists(sys.argv[1]): time.sleep(0.02)
if sys.argv[1] == "bad": sys.exit("it broke")
pathlib.Path(sys.argv[2]).write_text("done")
"""
CHATTER = """\
import os, sys, time
number = 0
while not os.path.exists("go"):
    number += 1
    print(f"line {number}", flush=True)
    time.sleep(0.005)
"""


def steps(*rows: tuple[str, str, str, str]) -> str:
    """``[[build.steps]]``: tool, its waiting argument, input, output."""
    return "".join(
        f'[[build.steps]]\ntool = "{tool}"\nargs = ["{go}", "{out}"]\ninputs = ["{into}"]\noutputs = ["{out}"]\n'
        for tool, go, into, out in rows
    )


@pytest.fixture
def tools(project: Path) -> Iterator[ToolProject]:
    """Three steps, of which the last reads what the first made."""
    made = ToolProject(project)
    made.script("wait", WAIT)
    made.script("chatter", CHATTER)
    (project / "a.txt").write_text("a\n")
    (project / "b.txt").write_text("b\n")
    try:
        yield made
    finally:
        made.end()


@pytest.fixture
def dx(tools: ToolProject, kernel: Kernel) -> Kernel:
    """A kernel with the extension loaded, in that project."""
    assert kernel.run("%load_ext dxforge_nb").error is None
    return kernel


@dataclasses.dataclass(frozen=True, kw_only=True)
class Update:
    """One message about the cell's panel."""

    time: datetime.datetime
    text: str
    html: str
    display_id: str


def watch(dx: Kernel, code: str, act: Callable[[Update], None]) -> tuple[list[Update], list[str]]:
    """Run a cell; every update of its panel, each handed to ``act`` at once, and the kinds of all its messages."""
    message = dx.send(code)
    updates: list[Update] = []
    kinds: list[str] = []
    while True:
        got = dx.client.get_iopub_msg(timeout=60)
        if got["parent_header"].get("msg_id") != message:
            continue
        kinds.append(got["msg_type"])
        content = got["content"]
        if got["msg_type"] in {"display_data", "update_display_data"} and "display_id" in content["transient"]:
            data = content["data"]
            date = got["header"]["date"]
            time = date if isinstance(date, datetime.datetime) else datetime.datetime.fromisoformat(date)
            updates.append(
                Update(
                    time=time,
                    text=data["text/plain"],
                    html=data["text/html"],
                    display_id=content["transient"]["display_id"],
                )
            )
            act(updates[-1])
        if got["msg_type"] == "status" and content["execution_state"] == "idle":
            return updates, kinds


def rows(update: Update) -> list[list[str]]:
    """The panel's table of steps: name and state of each."""
    table = re.search(r'<table class="steady">.*?</table>', update.html, re.DOTALL)
    assert table is not None, update.html
    return [re.findall(r"<td>(.*?)</td>", row) for row in re.findall(r"<tr><td>.*?</tr>", table[0])]


def states(update: Update) -> list[str]:
    return [re.sub("<[^>]*>", "", row[1]) for row in rows(update)]


def test_steps_stay_in_their_places_while_their_states_change(dx: Kernel, tools: ToolProject) -> None:
    tools.toml(steps(("wait", "one", "a.txt", "x"), ("wait", "two", "b.txt", "y"), ("wait", "one", "x", "z")))
    (tools.root / "one").touch()
    (tools.root / "two").touch()
    dx.run("%dx build")
    (tools.root / "a.txt").write_text("changed\n")
    (tools.root / "one").unlink()

    def act(update: Update) -> None:
        if "waiting for one" in update.html:
            (tools.root / "one").touch()

    updates, kinds = watch(dx, "%dx build", act)
    first = next(update for update in updates if "waiting for one" in update.html)
    assert states(first) == ["◐ Running", "● Up to date", "○ Waiting"]
    names = [[re.sub("<[^>]*>", "", row[0]) for row in rows(update)] for update in updates if "<table" in update.html]
    assert all(found == ["wait one x", "wait two y", "wait one z"] for found in names)
    words = read(first.html)
    assert "1 of 3 steps done" in words
    assert "for wait one x" in words
    assert 'aria-valuenow="33"' in first.html
    assert 'class="dxb-running"' in first.html
    assert first.text == "◐ Running  wait one x  " + first.text.rpartition("  ")[2]
    assert {update.display_id for update in updates} == {updates[0].display_id}
    assert (updates[-1].text, updates[-1].html) == ("", "")
    assert kinds[-2:] == ["execute_result", "status"]


def test_at_most_four_updates_a_second_and_none_where_nothing_changed(dx: Kernel, tools: ToolProject) -> None:
    tools.toml('[[build.steps]]\ntool = "chatter"\n')
    seen: list[Update] = []

    def act(update: Update) -> None:
        seen.append(update)
        if len(seen) == 12:
            (tools.root / "go").touch()

    updates, _ = watch(dx, "%dx build", act)
    spent_s = (updates[-2].time - updates[0].time).total_seconds()  # the last takes the panel away
    assert spent_s >= (len(updates) - 3) * 0.25
    assert len({update.html for update in updates}) == len(updates)


def test_a_quiet_step_is_drawn_once_a_second(dx: Kernel, tools: ToolProject) -> None:
    tools.toml(steps(("wait", "go", "a.txt", "x")))
    seen: list[Update] = []

    def act(update: Update) -> None:
        seen.append(update)
        if len(seen) == 5:
            (tools.root / "go").touch()

    updates, _ = watch(dx, "%dx build", act)
    quiet = [update for update in updates if "waiting for go" in update.html]
    assert (quiet[-1].time - quiet[0].time).total_seconds() >= len(quiet) - 2


def test_a_quick_build_shows_no_panel(dx: Kernel, tools: ToolProject) -> None:
    tools.script("quick", "open('x', 'w').close()\n")
    tools.toml('[[build.steps]]\ntool = "quick"\noutputs = ["x"]\ninputs = ["a.txt"]\n')
    dx.run("%dx build")
    updates, kinds = watch(dx, "%dx build", lambda update: None)
    assert updates == []
    assert "execute_result" in kinds
    assert watch(dx, "%dx build --force -q", lambda update: None)[0] == []


def test_a_failed_step_is_red_while_others_go_on(dx: Kernel, tools: ToolProject) -> None:
    tools.toml(steps(("wait", "bad", "a.txt", "x"), ("wait", "go", "b.txt", "y"), ("wait", "go", "x", "z")))
    (tools.root / "bad").touch()

    def act(update: Update) -> None:
        if "■ Failed" in update.html:
            (tools.root / "go").touch()

    updates, kinds = watch(dx, "%dx build", act)
    red = next(update for update in updates if "■ Failed" in update.html)
    assert states(red)[:2] == ["■ Failed", "◐ Running"]
    assert "it broke" not in red.text
    assert "error" in kinds
    assert kinds.count("display_data") == 2  # the panel, and the result above the error


def test_what_an_interrupted_build_had_done_stays_to_be_seen(dx: Kernel, tools: ToolProject) -> None:
    tools.toml(steps(("wait", "a.txt", "a.txt", "x"), ("wait", "never", "b.txt", "y"), ("wait", "a.txt", "y", "z")))
    told: list[Update] = []

    def act(update: Update) -> None:
        if "waiting for never" in update.html and not told:
            told.append(update)
            dx.manager.interrupt_kernel()

    updates, kinds = watch(dx, "%dx build", act)
    assert "error" in kinds
    assert states(updates[-1]) == ["● Built", "○ Stopped", "○ Waiting"]
    assert "Stopped after" in read(updates[-1].html)
    assert "waiting for never" not in updates[-1].html
    assert not tools.processes()
    assert (tools.root / "x").read_text() == "done"
    # What was done is not done again.
    (tools.root / "never").touch()
    dx.run("report = get_ipython().run_line_magic('dx', 'build')")
    assert dx.value("[step.state.value for step in report.report.steps]") == "['up-to-date', 'built', 'built']"


def test_secrets_are_in_no_update(dx: Kernel, tools: ToolProject) -> None:
    code = "import os\nprint('env', os.environ['GIVEN'], flush=True)\n"
    tools.script("leak", code + WAIT.replace('print(f"waiting', 'print(os.environ["GIVEN"], f"waiting'))
    tools.toml('pass_env = ["GIVEN"]\n' + steps(("leak", "go", "a.txt", "x")))
    dx.run("import os; os.environ['GIVEN'] = 'canary-8f3a'")

    def act(update: Update) -> None:
        if "waiting for go" in update.html:
            (tools.root / "go").touch()

    updates, _ = watch(dx, "r = %dx build", act)
    assert any("*** waiting for go" in update.html for update in updates)
    assert not any("canary" in update.html + update.text for update in updates)
    assert dx.value("'canary' in r._repr_html_() + r.text() + str(r.to_json()) + str(r.report)") == "False"
    assert "env ***" in dx.run("r").html
    log = dx.value("open(r.report.steps[0].stdout_path).read()")
    assert "canary-8f3a" in log  # the log on disk is the tool's
