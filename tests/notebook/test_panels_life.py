"""The life of panels: what they are made of and when, what ends them, and where there are none."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.notebook.conftest import Begin
from tests.support.processes import until
from tests.support.tool_project import ToolProject

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX programs and signals")
NEWEST = ""
VERSIONS = [*(pytest.param(version, marks=pytest.mark.network) for version in ("6.31.0", "7.1.0", "7.3.0")), NEWEST]


@pytest.mark.parametrize("version", VERSIONS)
def test_no_trait_holds_anything_of_the_project(
    begin: Begin, panel_tools: ToolProject, project: Path, version: str
) -> None:
    page = begin(version)
    model = page.run("%dx status").model
    page.reply(model, "hello")
    page.reply(model, "tool", name="idler", do="start")
    page.until(lambda: page.tool(model, "idler")["last_lines"] == ["canary"])
    page.post(model, {"method": "request_state"})
    page.until(lambda: page.states.get(model))
    state = page.states[model][-1]
    assert state == page.opened[model]
    ours = {"_esm", "_css", "kind", "_anywidget_id"}
    host = {"_dom_classes", "_view_count", "layout", "tabbable", "tooltip"}
    host |= {f"_{what}_{part}" for what in ("model", "view") for part in ("name", "module", "module_version")}
    assert set(state) == ours | host
    assert state["kind"] == "status"
    assert not any(word in str(state) for word in ("story", "idler", "canary", str(project)))
    part = page.reply(model, "asset", name="editor")
    assert (part["code"], part["sha256"]) == ("export const editor = 'è';\n", page.reply(model, "hello")["editor"])
    assert page.reply(model, "asset", name="../panel")["error"]["kind"] == "UsageError"


def test_a_widget_is_made_when_it_is_shown_and_one_for_all(begin: Begin, panel_tools: ToolProject) -> None:
    page = begin()
    for code in ("r = %dx status", "%dx status -q", "%dx status;", "%dx status --json", "%dx -q status -o s"):
        assert not page.run(code).model
    assert page.value("s.exit_code, sorted(r.to_json())") == "(0, ['packages', 'pending', 'tasks', 'tools'])"
    assert page.value("[m for m in ('anywidget', 'ipywidgets') if m in __import__('sys').modules]") == "[]"
    assert not page.opened
    first = page.run("r")
    assert first.model
    assert len(first.displays) == 1
    assert set(first.displays[0]) == {"text/plain", "text/html", "application/vnd.jupyter.widget-view+json"}
    assert "web" in first.displays[0]["text/plain"]
    assert page.run("%dx status").model == first.model
    page.run("import os; os.makedirs('sub/deeper'); os.chdir('sub')")
    assert page.run("%dx -C .. status").model == page.run("%dx status").model == first.model
    page.run("%dx -C deeper init -q")
    assert page.run("%dx -C deeper status").model not in ("", first.model)
    assert page.run("os.chdir('..')\n%dx review").model not in ("", first.model)
    shown = page.value("__import__('ipywidgets').widgets.widget._instances[" + repr(first.model) + "]")
    assert shown == "<dxforge status panel of story>"
    # Closed by hand, the next one is another.
    page.run("__import__('ipywidgets').Widget.close_all()")
    assert page.run("%dx status").model not in ("", first.model)


def test_unloading_closes_the_panels_and_loading_makes_new_ones(begin: Begin, panel_tools: ToolProject) -> None:
    page = begin()
    model = page.run("%dx status").model
    page.reply(model, "hello")
    page.reply(model, "tool", name="idler", do="start")
    page.until(lambda: page.tool(model, "idler")["state"] == "running")
    page.run("%unload_ext dxforge_nb")
    page.until(lambda: page.pushes(model)[-1].get("closed"))
    numbers = [each["seq"] for each in page.pushes(model)]
    assert numbers[-1] > numbers[-2] + 1  # whoever knows nothing of "closed" notices the gap
    assert page.reply(model, "tool", name="idler", do="start")["error"]["kind"] == "PanelClosedError"
    assert page.reply(model, "hello")["error"]["kind"] == "PanelClosedError"
    assert not panel_tools.processes()
    assert page.value("[t.name for t in __import__('threading').enumerate() if t.name.startswith('dxforge')]") == "[]"
    hooks = "[c for cs in get_ipython().events.callbacks.values() for c in cs if 'dxforge' in repr(c)]"
    assert page.value(hooks) == "[]"
    page.run("%load_ext dxforge_nb")
    again = page.run("%dx status").model
    assert again not in ("", model)
    assert page.reply(again, "hello")["ok"]


def test_a_forge_that_was_closed_by_hand_gets_another_panel(begin: Begin, panel_tools: ToolProject) -> None:
    page = begin()
    model = page.run("%dx status").model
    page.reply(model, "hello")
    page.run("import dxforge_nb\nwith dxforge_nb.forge():\n    pass")
    page.run("dxforge_nb.forge()")  # runs again, but is another
    assert page.reply(model, "tool", name="idler", do="start")["error"]["kind"] == "PanelClosedError"
    page.until(lambda: any(each.get("closed") for each in page.pushes(model)))
    again = page.run("%dx status").model
    assert again not in ("", model)
    assert page.reply(again, "hello")["ok"]
    page.reply(again, "tool", name="idler", do="start")
    page.until(lambda: page.tool(again, "idler")["state"] == "running")
    assert page.run("%dx status").model == again


def test_a_forked_child_has_no_panels_and_leaves_the_parents_alone(begin: Begin, panel_tools: ToolProject) -> None:
    page = begin()
    model = page.run("%dx status").model
    page.reply(model, "hello")
    code = """
import os, warnings
warnings.simplefilter("ignore")
child = os.fork()
if child == 0:
    result = get_ipython().run_line_magic("dx", "status")
    shown = sorted(result._repr_mimebundle_())
    from dxforge_nb.kernel import FORGES
    FORGES.close()
    os._exit(0 if shown == ["text/html", "text/plain"] else 1)
print(os.waitpid(child, 0)[1])
"""
    assert page.run(code).streams.strip().endswith("0")
    assert page.reply(model, "tool", name="idler", do="start")["ok"]
    page.until(lambda: page.tool(model, "idler")["state"] == "running")
    assert not any(each.get("closed") for each in page.pushes(model))


@pytest.mark.parametrize(
    ("before", "env", "why"),
    [
        ("", {"DXFORGE_PANELS": "0"}, "DXFORGE_PANELS: panels are switched off. Unset it to have them"),
        ("import sys; sys.modules['anywidget'] = None", {}, "anywidget: anywidget cannot be imported"),
        ("a.STATIC = a.STATIC / 'none'", {}, "dxforge_nb/static/panel.js: the front end was not built"),
    ],
)
def test_without_panels_text_and_html_serve_and_say_why(
    begin: Begin, panel_tools: ToolProject, before: str, env: dict[str, str], why: str
) -> None:
    page = begin(NEWEST, **env)
    page.run(before or "pass")
    for command in ("status", "review"):
        (shown,) = page.run(f"%dx {command}").displays
        assert set(shown) == {"text/plain", "text/html"}
        for text in shown.values():
            assert f"no live panel: {why}" in text
            assert text.count("no live panel") == 1
    assert not page.opened


@pytest.mark.parametrize("version", VERSIONS)
def test_where_nobody_sits_there_is_no_panel_unless_it_is_asked_for(
    begin: Begin, panel_tools: ToolProject, version: str
) -> None:
    page = begin(version)
    page.client.allow_stdin = False  # as nbconvert, papermill and nbval
    (shown,) = page.run("%dx status").displays
    assert set(shown) == {"text/plain", "text/html"}
    assert "no live panel" not in shown["text/plain"]
    assert not page.opened
    page.run("import os; os.environ['DXFORGE_PANELS'] = '1'")
    assert page.run("%dx status").model


def test_in_a_terminal_all_is_text(home: Path, panel_tools: ToolProject) -> None:
    code = "%load_ext dxforge_nb\n%dx status\nr = %dx status\nimport sys\nprint('anywidget' in sys.modules, repr(r))\n"
    words = [sys.executable, "-m", "IPython", "--no-banner", "--colors=NoColor", "--simple-prompt"]
    done = subprocess.run(
        words,
        cwd=panel_tools.root,
        input=code,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        encoding="utf-8",
    )
    assert "Project story" in done.stdout
    assert "no live panel" not in done.stdout
    assert "False <dxforge status: 0 packages, 0 pending, 0 of 3 tools up>" in done.stdout


@pytest.mark.parametrize("version", VERSIONS)
def test_a_kernel_that_ends_closes_what_runs(begin: Begin, panel_tools: ToolProject, version: str) -> None:
    page = begin(version)
    model = page.run("%dx status").model
    page.reply(model, "hello")
    page.reply(model, "tool", name="idler", do="start")
    page.until(lambda: page.tool(model, "idler")["state"] == "running")
    begun_s = time.monotonic()
    page.manager.shutdown_kernel(now=False)
    panel_tools.gone()
    assert time.monotonic() - begun_s < 30
    until(lambda: not page.manager.is_alive())


def test_a_killed_kernel_leaves_nothing(begin: Begin, panel_tools: ToolProject) -> None:
    page = begin()
    model = page.run("%dx status").model
    page.reply(model, "hello")
    page.reply(model, "tool", name="idler", do="start")
    page.until(lambda: page.tool(model, "idler")["state"] == "running")
    os.kill(int(page.value("__import__('os').getpid()")), signal.SIGKILL)
    panel_tools.gone()
