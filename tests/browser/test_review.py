"""Deciding in the review panel: by mouse, by keyboard, over reloads, restarts, other notebooks and busy kernels."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser import sample
from tests.browser.conftest import Window
from tests.browser.sample import FIRST, NUMBERS, NUMBERS_MINE, SECOND, STYLE, STYLE_MINE, WORDS, WORDS_MINE
from tests.support.lab import Lab
from tests.support.processes import DEADLINE_S
from tests.support.project import Project

pytestmark = pytest.mark.browser

KERNELS = "@jupyterlab/apputils-extension:kernels-settings"
LOAD = "%load_ext dxforge_nb"
DIVIDED = NUMBERS_MINE.replace(*FIRST)
"""The first hunk accepted, the second rejected."""


@pytest.fixture
def one_shell(lab: Lab) -> Iterator[None]:
    """Panels wait for running cells, as they do with older kernels, and by this setting of Lab's."""
    lab.configure(KERNELS, commsOverSubshells="disabled")
    yield
    lab.configure(KERNELS)


def is_soon(file: Path, text: str) -> None:
    """Wait until the file on disk is this."""
    deadline = time.monotonic() + DEADLINE_S
    while file.read_text() != text and time.monotonic() < deadline:
        time.sleep(0.02)
    assert file.read_text() == text


def test_install_and_decide_with_the_mouse(window: Window) -> None:
    project = sample.make(window.folder)
    numbers, style = project.root / NUMBERS, project.root / STYLE
    notebook = window.open(LOAD, "%dx install", under="project")
    notebook.run(0)
    notebook.run(1)
    panel = notebook.review(1)
    panel.in_state("live")
    panel.count(3)
    expect(panel.option(NUMBERS)).to_contain_text(re.compile("yellow", re.IGNORECASE))
    expect(panel.option(NUMBERS)).to_contain_text("2 hunks")
    expect(panel.option(WORDS)).to_contain_text(re.compile("red", re.IGNORECASE))

    # One hunk is taken, the other is not.
    panel.choose(NUMBERS)
    expect(panel.hunks).to_have_count(2)
    panel.accept_hunk(1, 2)
    is_soon(numbers, DIVIDED)
    expect(panel.hunks).to_have_count(1)
    panel.reject_hunk(1, 1)
    panel.count(2)
    assert numbers.read_text() == DIVIDED

    # It is taken back, and taken whole.
    panel.press("Undo")
    panel.count(3)
    panel.choose(NUMBERS)
    panel.press("Accept file")
    is_soon(numbers, NUMBERS_MINE.replace(*FIRST).replace(*SECOND))
    panel.count(2)

    # The proposal is edited before it is taken.
    panel.choose(STYLE)
    panel.press("Edit proposal")
    panel.editor.click()
    panel.page.keyboard.press("Control+End")
    panel.page.keyboard.type("/* j: typed, not a key of the panel */\n")
    assert style.read_text() == STYLE_MINE
    panel.press("Save as resolution")
    is_soon(style, STYLE_MINE.replace("gray", "#444") + "/* j: typed, not a key of the panel */\n")
    panel.count(1)

    # Red shows all sides, and one of them is kept.
    panel.choose(WORDS)
    for side, text in (("Local", '"Hi"'), ("Incoming", '"Good day"'), ("Base", '"Hello"')):
        panel.tab(side).click()
        expect(panel.code.filter(has_text=text).first).to_be_visible()
    panel.press("Reject file")
    panel.count(0)
    assert (project.root / WORDS).read_text() == WORDS_MINE
    assert not project.manager.pending()


def test_everything_by_keyboard(window: Window, project: Project) -> None:
    numbers, style, words = (project.root / path for path in (NUMBERS, STYLE, WORDS))
    notebook, panel = window.review()
    page, keys = notebook.page, notebook.page.keyboard
    cells = notebook.cells()

    # From the notebook's command mode, Tab leads into the panel.
    notebook.select(1)
    panel.tab_to(panel.listbox)

    keys.press("?")
    help_dialog = page.get_by_role("dialog", name="Keyboard shortcuts")
    expect(help_dialog).to_be_visible()
    keys.press("Escape")
    expect(help_dialog).to_be_hidden()
    assert panel.has_focus()

    # The filter takes letters that are keys elsewhere, and Escape leaves it.
    keys.press("/")
    keys.type("numbers")
    panel.count(1)
    keys.press("Escape")
    expect(panel.filter).not_to_be_focused()
    keys.press("/")
    keys.press("Control+A")
    keys.press("Delete")
    keys.press("Escape")
    panel.count(3)
    panel.go_to(NUMBERS)

    # The first hunk taken, the second not.
    expect(panel.hunks).to_have_count(2)
    keys.press("n")
    keys.press("p")
    keys.press("a")
    is_soon(numbers, DIVIDED)
    expect(panel.hunks).to_have_count(1)
    keys.press("r")
    panel.count(2)
    keys.press("u")
    panel.count(3)

    # A file whole, and one with an edited proposal.
    panel.go_to(NUMBERS)
    keys.press("Shift+A")
    is_soon(numbers, NUMBERS_MINE.replace(*FIRST).replace(*SECOND))
    panel.count(2)
    panel.go_to(STYLE)
    expect(panel.hunks).to_have_count(1)
    keys.press("e")
    expect(panel.editor).to_be_focused()
    keys.press("Control+End")
    keys.type("/* a r j k u e ? */\n")
    keys.press("Escape")  # Tab indents
    expect(panel.button("Save as resolution")).to_be_focused()
    keys.press("Enter")
    is_soon(style, STYLE_MINE.replace("gray", "#444") + "/* a r j k u e ? */\n")
    panel.count(1)
    panel.go_to(WORDS)
    keys.press("Shift+R")
    panel.count(0)
    assert words.read_text() == WORDS_MINE
    assert not project.manager.pending()
    # The notebook's own shortcuts heard none of it.
    assert notebook.cells() == cells


def test_a_reload_in_the_middle(window: Window, project: Project) -> None:
    notebook, panel = window.review()
    panel.choose(NUMBERS)
    panel.accept_hunk(1, 2)
    expect(panel.hunks).to_have_count(1)
    notebook.save()

    notebook.reload()
    panel = notebook.review(1)
    panel.in_state("live")
    panel.count(3)
    panel.choose(NUMBERS)
    expect(panel.hunks).to_have_count(1)
    panel.reject_hunk(1, 1)
    panel.count(2)
    assert (project.root / NUMBERS).read_text() == DIVIDED
    panel.press("Undo")
    panel.count(3)


def test_a_restarted_kernel(window: Window, project: Project) -> None:
    notebook, panel = window.review()
    panel.choose(NUMBERS)
    panel.accept_hunk(1, 2)
    expect(panel.hunks).to_have_count(1)

    notebook.restart()
    panel.in_state("disconnected", "run %dx review again")

    notebook.run(0)
    notebook.run(1)
    panel = notebook.review(1)
    panel.in_state("live")
    panel.choose(NUMBERS)
    expect(panel.hunks).to_have_count(1)
    panel.press("Accept file")
    panel.count(2)
    assert (project.root / NUMBERS).read_text() == NUMBERS_MINE.replace(*FIRST).replace(*SECOND)


def test_two_notebooks_and_an_editor(window: Window, project: Project, one_shell: None) -> None:
    """A decision in one shows in the other; a click on what has changed meanwhile does nothing, and says why."""
    numbers, style = project.root / NUMBERS, project.root / STYLE
    one, first = window.review("import time; time.sleep(4)")
    other = window.open(LOAD, "%dx review", name="b", under="project")
    other.run(0)
    other.run(1)
    second = other.review(1)
    second.in_state("live")
    second.count(3)

    first.choose(NUMBERS)
    first.accept_hunk(1, 2)
    second.choose(NUMBERS)
    expect(second.hunks).to_have_count(1)
    assert numbers.read_text() == DIVIDED

    # The first notebook's kernel is busy, so its click waits; meanwhile, the second decides.
    expect(first.hunks).to_have_count(1)
    one.start(2)
    one.busy()
    first.press("Accept file")
    second.press("Reject file")
    second.count(2)
    expect(first.alert).to_contain_text(NUMBERS)
    first.count(2)
    assert numbers.read_text() == DIVIDED

    # An editor saves the file while a decision on it waits.
    first.choose(STYLE)
    one.start(2)
    one.busy()
    first.press("Accept file")
    style.write_text(STYLE_MINE + "/* saved meanwhile */\n")
    expect(first.alert).to_contain_text(STYLE)
    first.in_state("live")
    assert style.read_text() == STYLE_MINE + "/* saved meanwhile */\n"
    first.choose(STYLE)
    first.press("Accept file")
    first.count(1)
    assert style.read_text() == STYLE_MINE.replace("gray", "#444") + "/* saved meanwhile */\n"


def test_a_click_while_a_cell_runs(window: Window, project: Project, one_shell: None) -> None:
    """It waits, the panel says so, and it is done once."""
    click_while_a_cell_runs(window, project, waits=True)


def test_a_click_while_a_cell_runs_in_a_kernel_with_subshells(window: Window, project: Project) -> None:
    """It is seen to at once or in the end, as the kernel can, and it is done once."""
    click_while_a_cell_runs(window, project, waits=False)


def click_while_a_cell_runs(window: Window, project: Project, *, waits: bool) -> None:
    numbers = project.root / NUMBERS
    notebook, panel = window.review("import time; time.sleep(6)")
    panel.choose(NUMBERS)
    expect(panel.hunks).to_have_count(2)
    operations = len(project.manager.log())
    notebook.start(2)
    notebook.busy()
    panel.hunk(1, 2).get_by_role("button", name="Accept hunk").dblclick()
    if waits:
        panel.in_state("busy", "kernel busy: your click waits")
        assert numbers.read_text() == NUMBERS_MINE
    is_soon(numbers, DIVIDED)
    panel.in_state("live")
    expect(panel.hunks).to_have_count(1)
    notebook.idle()
    assert numbers.read_text() == DIVIDED
    assert len(project.manager.log()) == operations + 1
