"""Both panels in light and dark: axe-core finds nothing serious, and the documentation's pictures show them so."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.browser import sample
from tests.browser.conftest import Window
from tests.browser.looks import DARK, LIGHT, accessible, picture
from tests.browser.pages import Notebook
from tests.browser.sample import NUMBERS, WORDS
from tests.support.tool_project import ToolProject

pytestmark = pytest.mark.browser


@pytest.fixture
def themed(window: Window) -> Iterator[list[Notebook]]:
    """Notebooks that the theme is set back to light in."""
    notebooks: list[Notebook] = []
    yield notebooks
    for notebook in notebooks:
        notebook.theme(LIGHT)


def test_the_review_panel(window: Window, themed: list[Notebook]) -> None:
    sample.made(window.folder)
    notebook = window.open("%load_ext dxforge_nb", "%dx review", under="project")
    themed.append(notebook)
    notebook.run(0)
    notebook.run(1)
    panel = notebook.review(1)
    panel.in_state("live")
    light = panel.theme_background
    for theme, name in ((LIGHT, "light"), (DARK, "dark")):
        notebook.theme(theme)
        panel.choose(NUMBERS)
        panel.press("Unified")
        expect(panel.hunks).to_have_count(2)
        accessible(panel.root)
        picture(notebook, panel.root, f"review-{name}")
        panel.press("Side by side")
        accessible(panel.root)
        picture(notebook, panel.root, f"side-by-side-{name}")
        panel.choose(WORDS)
        accessible(panel.root)
        picture(notebook, panel.root, f"red-{name}")
        panel.option(WORDS).press("?")
        dialog = panel.page.get_by_role("dialog", name="Keyboard shortcuts")
        expect(dialog).to_be_visible()
        accessible(panel.root)
        picture(notebook, panel.root, f"keys-{name}")
        panel.page.keyboard.press("Escape")
        expect(dialog).to_be_hidden()
    assert panel.theme_background != light, "the panel stays light in a dark theme"


def test_the_status_panel(window: Window, themed: list[Notebook]) -> None:
    project = sample.made(window.folder)
    config = (project.root / "dx.toml").read_text()
    tools = ToolProject(project.root)
    tools.toml(config.partition("\n\n")[2])
    tools.server("preview", stop={"grace_s": 0.3})
    tools.tool("styles", "/bin/sh", "-c", "echo watching 3 files; exec sleep 300", stop={"grace_s": 0.3})
    tools.tool("types", "/bin/sh", "-c", "sleep 300")
    notebook = window.open(
        "%load_ext dxforge_nb", "%dx start preview styles", "%dx snapshot", "%dx status", under="project"
    )
    themed.append(notebook)
    for index in range(4):
        notebook.run(index)
    panel = notebook.status(3)
    panel.in_state("live")
    expect(panel.tool("preview")).to_contain_text("Healthy")
    for name in ("preview", "styles"):
        expect(panel.cell("Tools", name, "CPU")).to_contain_text("%")
    panel.press("Last lines of styles")
    expect(panel.root.get_by_text("watching 3 files")).to_be_visible()
    light = panel.theme_background
    for theme, name in ((LIGHT, "light"), (DARK, "dark")):
        notebook.theme(theme)
        accessible(panel.root)
        picture(notebook, panel.root, f"status-{name}")
    assert panel.theme_background != light, "the panel stays light in a dark theme"
    notebook.do("%dx stop --all")
    tools.gone()


def test_a_build(window: Window, themed: list[Notebook]) -> None:
    root = window.folder / "project"
    root.mkdir()
    tools = ToolProject(root)
    (root / "one.txt").write_text("one\n")
    (root / "two.txt").write_text("two\n")
    tools.script("join", sample.JOIN)
    tools.toml(
        '[[build.steps]]\ntool = "join"\nargs = ["one.txt", "two.txt", "dist/all.txt"]\n'
        'inputs = ["*.txt"]\noutputs = ["dist/all.txt"]\n\n'
        '[[build.steps]]\ntool = "join"\nargs = ["dist/all.txt", "two.txt", "site/page.txt"]\n'
        'inputs = ["dist/all.txt", "two.txt"]\noutputs = ["site"]\n'
    )
    notebook = window.open("%load_ext dxforge_nb", "%dx build", under="project")
    themed.append(notebook)
    notebook.run(0)
    notebook.run(1)
    assert (root / "site" / "page.txt").read_text() == "one\ntwo\ntwo\n"
    notebook.output(1).get_by_text("Timeline", exact=True).click()
    for theme, name in ((LIGHT, "light"), (DARK, "dark")):
        notebook.theme(theme)
        accessible(notebook.output(1))
        picture(notebook, notebook.output(1), f"build-{name}")
