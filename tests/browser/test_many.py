"""Ten thousand files to decide."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Window, apart
from tests.support.archives import tar_bytes
from tests.support.project import Project, lay, lines

pytestmark = [pytest.mark.browser, pytest.mark.slow]

COUNT = 10_000


def many(window: Window) -> Project:
    """A project that is offered files where others of the same names stand."""
    # An archive, which spares the disk ten thousand files.
    project = apart(Project, window.folder, toml='pkg = { path = "../pkg.tar" }\n')
    names = [f"part{number // 100:02}/file{number:05}.py" for number in range(COUNT)]
    lay(project.path(), dict.fromkeys(names, lines(8, _1="mine")))
    (window.folder / "pkg.tar").write_bytes(tar_bytes(dict.fromkeys(names, lines(8, _6="theirs"))))
    assert len(apart(project.install).pending) == COUNT
    return project


def test_ten_thousand_files(window: Window) -> None:
    project = many(window)
    notebook = window.open("%load_ext dxforge_nb", "%dx review", under="project")
    notebook.run(0)
    notebook.run(1)
    panel = notebook.review(1)
    panel.in_state("live")
    panel.count(COUNT)
    assert panel.options.count() < 200, "the page holds what is out of sight"

    # To the end and back, by the wheel as by the keys.
    panel.listbox.hover()
    notebook.page.mouse.wheel(0, 10_000_000)
    expect(panel.option("part99/file09999.py")).to_be_visible()
    expect(panel.option("part99/file09999.py")).to_have_attribute("aria-posinset", str(COUNT))
    notebook.page.mouse.wheel(0, -10_000_000)
    expect(panel.option("part00/file00000.py")).to_be_visible()

    panel.filter.fill("file0777")
    panel.count(10)
    panel.choose("file07773.py")
    panel.press("Accept file")
    panel.count(9)
    panel.filter.fill("")
    panel.count(COUNT - 1)
    assert project.read("part77/file07773.py").decode() == lines(8, _6="theirs")
    assert project.read("part77/file07774.py").decode() == lines(8, _1="mine")

    panel.press("Reject all")
    panel.root.get_by_role("button", name=re.compile(r"^Yes, reject 9,?999 files$")).click()
    panel.count(0)
    assert project.read("part77/file07774.py").decode() == lines(8, _1="mine")
    assert not project.manager.pending()
