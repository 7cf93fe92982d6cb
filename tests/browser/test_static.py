"""Lab, Notebook 7 and commands, without the panels: the ground that the other stories stand on."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Window

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("app", ["lab", "notebooks"])
def test_commands_answer_in_the_page(window: Window, app: str) -> None:
    notebook = window.open("%load_ext dxforge_nb", "%dx init --name story", "%dx status", app=app)
    notebook.run(0)
    assert "Made project story" in notebook.run(1)
    notebook.run(2)
    expect(notebook.output(2)).to_contain_text("story")
    assert (window.folder / "dx.toml").is_file()
