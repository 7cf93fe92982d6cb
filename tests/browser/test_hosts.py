"""Hosts: Lab and Notebook 7, with panels and without."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser import sample
from tests.browser.conftest import Window
from tests.browser.sample import FIRST, NUMBERS, NUMBERS_MINE

pytestmark = pytest.mark.browser


def test_notebook_7_has_the_panels_too(window: Window) -> None:
    project = sample.made(window.folder)
    notebook = window.open("%load_ext dxforge_nb", "%dx review", "%dx status", under="project", app="notebooks")
    for index in range(3):
        notebook.run(index)
    status = notebook.status(2)
    status.in_state("live")
    expect(status.row("Packages", "greet")).to_contain_text("2 files")
    panel = notebook.review(1)
    panel.in_state("live")
    panel.choose(NUMBERS)
    panel.accept_hunk(1, 2)
    expect(panel.hunks).to_have_count(1)
    panel.reject_hunk(1, 1)
    panel.count(2)
    assert (project.root / NUMBERS).read_text() == NUMBERS_MINE.replace(*FIRST)
    expect(status.row("Packages", "greet")).to_contain_text("1 file")


def test_without_panels_the_commands_serve(window: Window) -> None:
    """As where the front end was not built: static HTML that says why, and what to run instead."""
    sample.made(window.folder)
    off = "import os; os.environ['DXFORGE_PANELS'] = '0'"
    notebook = window.open(off, "%load_ext dxforge_nb", "%dx review", "%dx status", under="project")
    for index in range(4):
        notebook.run(index)
    for index, command in ((2, "%dx diff"), (3, "greet")):
        expect(notebook.output(index)).to_contain_text(command)
        expect(notebook.output(index)).to_contain_text("DXFORGE_PANELS")
        expect(notebook.output(index).get_by_role("region", name="dxforge")).to_have_count(0)
    path = notebook.add(f"%dx accept {NUMBERS} --hunk 1")
    notebook.run(path)
    expect(notebook.output(path)).to_contain_text("1 hunk left")
