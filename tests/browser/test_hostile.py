"""File names and contents that try to run: all of them are text."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Window, apart
from tests.browser.pages import Notebook
from tests.support.project import Project
from tests.support.tool_project import ToolProject

pytestmark = pytest.mark.browser

RUN = "window.__ran = true; alert(1)"
WORDS = (
    f"<img src=x onerror='{RUN}'>",
    f"<script>{RUN}</script>",
    f"</script><script>{RUN}</script>",
    f"<svg onload='{RUN}'>",
    "<iframe srcdoc='<script>parent.__ran = true</script>'></iframe>",
    f"\"><b onmouseover='{RUN}' style='position:fixed;inset:0'>x",
    f"javascript:{RUN}",
    f"${{{RUN}}}",
    f"{{{{{RUN}}}}}",
    f"]]><script>{RUN}</script>",
    "<style>*{display:none}</style>",
    "<base href='javascript:'><form action='javascript:alert(1)'><button>Accept file",
    "`;window.__ran=true;`",
    "\u202egnp.exe\u202c",
    "\x1b]0;title\x07\x1b[2J",
    "a" * 180,
)
# Names that are refused, or cannot be, are tested with the sources.
NAMES = tuple(
    f"{number:02} {''.join('∕' if sign == '/' else sign for sign in word if sign.isprintable() and sign != ':')}.html"
    for number, word in enumerate(WORDS)
)
CONTENT = "\n".join(("first", *WORDS, "", "middle", "", *WORDS, "last", ""))


def not_run(notebook: Notebook) -> None:
    """Nothing of it became more than text."""
    for frame in notebook.page.frames:
        assert frame.evaluate("() => window.__ran === undefined"), frame.url
    found = notebook.page.locator(
        ".jp-OutputArea :is(img[src=x], script, iframe, b[onmouseover], base, form, [onload], [onerror])"
    )
    assert found.count() == 0, found.first.evaluate("node => node.outerHTML")


def test_names_and_diffs_run_nothing(window: Window) -> None:
    project = apart(Project, window.folder, "pkg")
    files = dict.fromkeys(NAMES, CONTENT)
    project.publish(files)
    apart(project.install)
    for name in files:
        project.write(name, CONTENT.replace("first", f"mine {WORDS[0]}"))
    project.publish({name: text.replace("last", f"theirs {WORDS[1]}") for name, text in files.items()})
    notebook = window.open("%load_ext dxforge_nb", "%dx install", "%dx status", under="project")
    for index in range(3):
        notebook.run(index)
    panel = notebook.review(1)
    panel.in_state("live")
    panel.count(len(NAMES))
    not_run(notebook)
    for number, _ in enumerate(NAMES):
        if number % 4 == 0:
            panel.choose(f"{number:02} ")
            expect(panel.hunks.first).to_be_visible()
            panel.tab("Theirs").click()
            panel.tab("My edits").click()
            panel.tab("Proposal").click()
            not_run(notebook)
    panel.choose("00 ")
    panel.press("Side by side")
    expect(panel.code.filter(has_text="theirs").first).to_be_visible()
    not_run(notebook)
    panel.press("Accept file")
    panel.count(len(NAMES) - 1)
    assert WORDS[1].encode() in project.read(NAMES[0])
    # The commands' own HTML, with the diff in it.
    path = (project.path() / NAMES[1]).relative_to(project.root)
    cell = notebook.add(f"get_ipython().run_line_magic('dx', 'diff ' + __import__('shlex').quote({str(path)!r}))")
    notebook.run(cell)
    expect(notebook.output(cell)).to_contain_text(f"theirs {WORDS[1]}")
    not_run(notebook)


def test_what_tools_write_runs_nothing(window: Window) -> None:
    root = window.folder / "project"
    root.mkdir()
    tools = ToolProject(root)
    lines = root / "lines.txt"
    lines.write_text("\n".join(WORDS) + "\n")
    tools.tool("noisy", "/bin/sh", "-c", "cat lines.txt; exec sleep 300", stop={"grace_s": 0.3})
    notebook = window.open("%load_ext dxforge_nb", "%dx status", "%dx start noisy", "%dx logs noisy", under="project")
    for index in range(4):
        notebook.run(index)
    panel = notebook.status(1)
    panel.in_state("live")
    panel.press("Logs of noisy")
    expect(panel.root.get_by_text(WORDS[0]).first).to_be_visible()
    not_run(notebook)
    notebook.do("%dx stop noisy")
    not_run(notebook)
    tools.gone()
