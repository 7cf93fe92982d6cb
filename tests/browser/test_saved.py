"""What a notebook that was saved with open panels holds: nothing of the project's files and no secret."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Window, apart
from tests.support.project import Project, lines
from tests.support.tool_project import ToolProject

pytestmark = pytest.mark.browser

SAVE_WIDGETS = "@jupyter-widgets/jupyterlab-manager:saveWidgetState"
MINE, THEIRS, LOGGED, SECRET = "canary-mine-71", "canary-theirs-72", "canary-log-73", "canary-secret-74"
READ_TOKEN = "import os; os.environ['SOME_TOKEN'] = open('token.txt').read()"


def test_a_saved_notebook_holds_no_diff_and_no_secret(window: Window) -> None:
    project = apart(Project, window.folder, "pkg")
    project.publish({"number.py": lines()})
    apart(project.install)
    project.write("number.py", lines(_10=MINE))
    project.publish({"number.py": lines(_3=THEIRS, _16=THEIRS)})
    apart(project.install)
    config = (project.root / "dx.toml").read_text()
    tools = ToolProject(project.root)
    (project.root / "dx.toml").write_text(config)
    (project.root / "token.txt").write_text(SECRET)
    command = f"echo {LOGGED} `cat token.txt`; exec sleep 300"
    tables = (
        f'[tools.talker]\nbinary_path = "/bin/sh"\nargs = ["-c", {json.dumps(command)}]\n'
        f'env = {{ DX_TEST_MARK = "{tools.mark}" }}\nstop = {{ grace_s = 0.3 }}\n'
    )
    (project.root / "dx.toml").write_text(f"{config}\n{tables}")
    notebook = window.open(
        "%load_ext dxforge_nb",
        READ_TOKEN,
        "%dx review",
        "%dx status",
        "%dx start talker",
        "%dx install",
        under="project",
    )
    notebook.command(SAVE_WIDGETS)
    try:
        for index in range(6):
            notebook.run(index)
        review, status = notebook.review(2), notebook.status(3)
        review.choose("number.py")
        expect(review.code.filter(has_text=THEIRS).first).to_be_visible()
        status.press("Logs of talker")
        expect(status.root.get_by_text(LOGGED).first).to_be_visible()
        notebook.save()
        path = project.root / "a.ipynb"
        saved = path.read_text()
        data = json.loads(saved)
        assert "widgets" in data["metadata"], "the state of widgets was not saved, so this shows nothing"
        for canary in (MINE, THEIRS, LOGGED, SECRET):
            assert canary not in saved, canary
    finally:
        notebook.command(SAVE_WIDGETS)
    notebook.do("%dx stop talker")
    tools.gone()
