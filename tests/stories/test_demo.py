"""`make demo` tells its stories to the end, and leaves nothing running."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"
ACCENT = "#a5563b"
"""The colour that the web demo's style is edited to."""


@pytest.mark.network
@pytest.mark.slow
def test_the_demo_shows_every_light_and_leaves_an_executed_notebook(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    told = run("demo.py", folder)
    for shown in ("Green", "1 Yellow", "1 Red", "hunk 3", "$ dxforge undo"):
        assert shown in told
    number = (folder / "src/dx_packages/humanize/humanize/number.py").read_text(encoding="utf-8")
    assert 'NS_("k", "k")' in number
    assert "max(0, precision" not in number, "the accepted hunk was not undone"
    assert "12.4 k" in json.dumps(executed(folder / "demo.ipynb"))


@pytest.mark.network
@pytest.mark.slow
@pytest.mark.skipif(shutil.which("npm") is None, reason="needs Node and npm")
def test_the_web_demo_builds_its_page_with_programs_of_npm(tmp_path: Path) -> None:
    folder = tmp_path / "web"
    told = run("demo_web.py", folder)
    assert "$ npm install" in told
    check_web(folder, told)
    assert (folder / "node_modules/.bin/sass").exists() and (folder / "node_modules/esbuild").exists()
    assert "<main></main>" in (folder / "dist/index.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_web_demo_does_without_node_and_says_so(tmp_path: Path) -> None:
    folder, empty = tmp_path / "web", tmp_path / "no-programs"
    empty.mkdir()
    told = run("demo_web.py", folder, {"PATH": os.fspath(empty)})
    assert "There is no Node here" in told and "$ npm" not in told
    check_web(folder, told)
    assert not (folder / "node_modules").exists()


def check_web(folder: Path, told: str) -> None:
    """What both variants show and leave."""
    for shown in (
        "● Healthy  dx-style",
        "● Healthy  dx-js-runtime",
        "2 up to date",
        "~ changed  src/page/main.js",
        "build/data.json changed",
        "build/css/page.css changed",
        "killed by SIGKILL; starts again",
        "restart 1 of 5",
        "$ dxforge logs dx-js-runtime",
        "GET /main.css",
        "# Nothing is left running.",
    ):
        assert shown in told
    assert ACCENT in (folder / "dist/main.css").read_text(encoding="utf-8")
    script = (folder / "dist/main.js").read_text(encoding="utf-8")
    data = json.loads((folder / "build/data.json").read_text(encoding="utf-8"))
    assert len(data["rows"]) == 5
    assert "The longest modules" in script and all(row["name"] in script for row in data["rows"])
    graph = (folder / "graph.svg").read_text(encoding="utf-8")
    assert graph.startswith("<svg") and "dx-js-bundler" in graph
    pictures = json.dumps(executed(folder / "build.ipynb"))
    assert "Timeline" in pictures and pictures.count("<svg") >= 2


def run(script: str, folder: Path, environment: Mapping[str, str] | None = None) -> str:
    """A demo, told to its end."""
    done = subprocess.run(
        [sys.executable, SCRIPTS / script, folder],
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def executed(path: Path) -> list[dict[str, Any]]:
    """The code cells of a notebook, each of which was executed without an error."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(cell["execution_count"] for cell in cells)
    assert not [output for cell in cells for output in cell["outputs"] if output["output_type"] == "error"]
    return cells
