"""Undo after undo, unsaved edits, advice, marks, the filter and the keyboard in the review panel."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Window
from tests.browser.sample import NUMBERS, NUMBERS_MINE, SECOND, STYLE, STYLE_MINE, WORDS
from tests.support.project import Project

pytestmark = pytest.mark.browser

TYPED = "/* typed, not saved */"


def test_undo_after_undo_takes_back_decision_after_decision_and_no_install(window: Window, project: Project) -> None:
    _, panel = window.review()
    undo, said = panel.button("Undo"), panel.root.get_by_role("log")
    expect(undo).to_have_attribute("title", "No decision to undo")
    expect(undo).to_have_attribute("aria-disabled", "true")
    panel.choose(NUMBERS)
    panel.accept_hunk(2, 2)
    expect(panel.hunks).to_have_count(1)
    panel.accept_hunk(1, 1)
    panel.count(2)
    panel.choose(STYLE)
    panel.press("Reject file")
    panel.count(1)
    expect(undo).to_have_attribute("title", re.compile(f"reject .*{re.escape(STYLE)}"))

    undo.click()
    panel.count(2)
    expect(said).to_have_text(f"Undone: reject {STYLE}")
    undo.click()
    panel.count(3)
    expect(said).to_have_text(f"Undone: accept {NUMBERS}")
    expect(panel.option(NUMBERS)).to_contain_text("1 hunk")
    assert (project.root / NUMBERS).read_text() == NUMBERS_MINE.replace(*SECOND)
    undo.click()
    expect(panel.hunks).to_have_count(2)
    assert (project.root / NUMBERS).read_text() == NUMBERS_MINE
    expect(undo).to_have_attribute("aria-disabled", "true")
    assert [line.command for line in project.manager.log()][:3] == ["undo"] * 3
    assert len(project.manager.pending()) == 3


def test_an_unsaved_edit_survives_a_reload_and_a_restart(window: Window, project: Project) -> None:
    notebook, panel = window.review()
    window.ears[0].harmless.append("Could not restore the debugger state")  # Lab's, of a restart soon after a reload
    panel.choose(STYLE)
    panel.press("Edit proposal")
    panel.editor.click()
    panel.page.keyboard.press("Control+End")
    panel.page.keyboard.type(f"{TYPED}\n")
    notebook.save()
    assert TYPED not in notebook_text(window)
    notebook.reload()
    panel = notebook.review(1)
    panel.in_state("live")
    expect(panel.root.get_by_role("log")).to_have_text(f"Your unsaved edit of {STYLE} is back")
    expect(panel.editor).to_contain_text(TYPED)

    # The kernel is another one, and the file has changed meanwhile.
    notebook.restart()
    (project.root / STYLE).write_text(STYLE_MINE + "/* by another hand */\n")
    notebook.run(0)
    notebook.run(1)
    panel = notebook.review(1)
    panel.in_state("live")
    expect(panel.editor).to_contain_text(TYPED)
    expect(panel.root.get_by_role("group", name="Unsaved edit")).to_contain_text("your file on disk")
    panel.press("Keep my edit")
    panel.press("Save as resolution")
    panel.count(2)
    assert TYPED in (project.root / STYLE).read_text()
    assert panel.page.evaluate("() => Object.keys(sessionStorage).filter(key => key.startsWith('dxforge'))") == []
    notebook.save()
    notebook.reload()
    panel = notebook.review(1)
    panel.in_state("live")
    panel.count(2)
    expect(panel.editor).to_have_count(0)


def notebook_text(window: Window) -> str:
    """All notebooks as they are saved."""
    return "".join(path.read_text() for path in window.folder.rglob("*.ipynb"))


def test_advice_is_readable_whole_until_it_is_closed(window: Window, project: Project) -> None:
    notebook, panel = window.review("import greet.numbers")
    notebook.run(2)
    panel.choose(NUMBERS)
    panel.accept_hunk(1, 2)
    advice = panel.root.locator(".dx-advice")
    expect(advice).to_contain_text(
        re.compile(r"^Still loaded from the old source: greet\.numbers; .*importlib\.reload\.")
    )
    cut = "node => [...node.querySelectorAll('p')].some(each => each.scrollWidth > each.clientWidth)"
    assert not advice.evaluate(cut)
    said = panel.root.get_by_role("log")
    expect(said).to_have_text(f"Accepted a hunk of {NUMBERS}")
    expect(said).to_have_attribute("title", f"Accepted a hunk of {NUMBERS}")
    panel.press("Reject file")
    panel.count(2)
    expect(advice).to_be_visible()
    panel.press("Close this advice")
    expect(advice).to_be_hidden()


def test_red_marks_the_hunk_that_overlaps(window: Window, project: Project) -> None:
    _, panel = window.review()
    panel.choose(WORDS)
    hunk = panel.hunk(1, 1)
    expect(hunk).to_contain_text("overlaps your edit")
    expect(hunk).to_have_accessible_description("overlaps your edit")
    panel.choose(NUMBERS)
    expect(panel.hunks).to_have_count(2)
    expect(panel.root.locator(".dx-editor").get_by_text("overlaps your edit")).to_have_count(0)


def test_a_filter_without_a_match_says_so(window: Window, project: Project) -> None:
    _, panel = window.review()
    panel.filter.fill("jkna")
    expect(panel.root.get_by_text("No file matches the filter.")).to_be_visible()
    expect(panel.button("Accept all")).to_have_attribute("title", "No file matches the filter")
    panel.press("Show all")
    panel.count(3)
    expect(panel.filter).to_be_focused()
    panel.page.keyboard.press("?")
    expect(panel.page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    panel.page.keyboard.press("Escape")
    expect(panel.filter).to_be_focused()


def test_the_first_stop_of_the_tab_key_is_where_the_keys_work(window: Window, project: Project) -> None:
    notebook, panel = window.review()
    expect(panel.hunks).to_have_count(2)
    notebook.select(1)
    for _ in range(10):
        panel.page.keyboard.press("Tab")
        if panel.has_focus():
            break
    expect(panel.listbox).to_be_focused()
    first = panel.listbox.get_by_role("option", selected=True).inner_text()
    panel.page.keyboard.press("j")
    expect(panel.listbox.get_by_role("option", selected=True)).not_to_have_text(first)


@pytest.mark.parametrize("layout", ["Unified", "Side by side"])
def test_scroll_bars_and_the_way_back_stay_out_of_the_text(window: Window, project: Project, layout: str) -> None:
    (project.root / NUMBERS).write_text(NUMBERS_MINE.replace("a small", "a " + "very " * 100 + "small", 1))
    _, panel = window.review()
    panel.press(layout)
    panel.choose(NUMBERS)
    expect(panel.hunks).to_have_count(2)
    gap = """node => Math.max(...[...node.querySelectorAll('.cm-scroller')].map(each =>
        node.getBoundingClientRect().bottom - each.getBoundingClientRect().bottom))"""
    assert panel.root.locator(".dx-editor").evaluate(gap) < 20
    if layout == "Unified":
        panel.press("Edit proposal")
        mine = panel.root.get_by_role("button", name="Use mine").first
        line = panel.root.locator(".cm-deletedChunk .cm-deletedLine").first
        above, below = mine.bounding_box(), line.bounding_box()
        assert above is not None
        assert below is not None
        assert above["y"] + above["height"] <= below["y"] + 1
        mine.click()
        expect(panel.root.get_by_role("button", name="Use mine")).to_have_count(1)
