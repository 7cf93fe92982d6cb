"""The notebooks in ``notebooks/``, run by nbval as a reader runs them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
CHECKED = "nbval-check-output"
PLAIN_TEXT_ONLY = """\
def pytest_collectstart(collector):
    # The stored outputs are plain text; HTML has tests of its own.
    if hasattr(collector, "skip_compare"):
        collector.skip_compare += ("text/html",)
"""
# Said where there is no Node, and so no panel.
NO_PANELS = "regex: \\nnote: no live panel: .*\nreplace: \n"
NEEDS_THE_INDEX = {"01-quick-start", "02-upgrade-and-review", "06-plain-python"}
UNSTABLE = {
    "an address of an object": r"0x[0-9a-f]{6}",
    "an absolute path": r"(?:^|[\s'\"(])/\w+/\w",
    "a time": r"\d\d:\d\d:\d\d|\d{4}-\d\d-\d\d",
    "a duration": r"\b\d+(\.\d+)? m?s\b",
    "a process": r"\bpid[ =]\d+",
    "an address": r"https?://",
}


def parameters() -> list[Any]:
    """Every notebook; those that install from the Python index are marked."""
    return [
        pytest.param(path, id=path.stem, marks=[pytest.mark.network] if path.stem in NEEDS_THE_INDEX else [])
        for path in NOTEBOOKS
    ]


def processes_in(folder: Path) -> list[str]:
    """What still works in ``folder``."""
    import psutil

    found = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()).is_relative_to(folder):
                found.append(f"{process.pid} {process.name()}")
        except (psutil.Error, OSError):
            continue
    return found


@pytest.mark.slow
@pytest.mark.parametrize("path", parameters())
def test_it_runs_shows_what_is_stored_and_leaves_nothing(
    path: Path, tmp_path: Path, background: None, home: Path, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, temporary = tmp_path / "work", tmp_path / "tmp"
    work.mkdir()
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    copy = shutil.copy(path, work)
    (work / "conftest.py").write_text(PLAIN_TEXT_ONLY)
    (work / "sanitize.cfg").write_text(NO_PANELS)
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", str(work)]
    words += [
        "--nbval-lax",
        "--nbval-current-env",
        "--nbval-cell-timeout",
        "120",
        "--nbval-sanitize-with",
        "sanitize.cfg",
        copy,
    ]
    done = subprocess.run(words, cwd=work, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert processes_in(tmp_path) == []
    assert [entry.name for entry in temporary.iterdir() if entry.name.startswith("dxforge-")] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_is_stored_is_plain_and_the_same_everywhere(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    stored = 0
    for number, cell in enumerate((cell for cell in notebook.cells if cell.cell_type == "code"), 1):
        assert cell.execution_count == number, "not run from top to bottom: make notebooks"
        checked = CHECKED in cell.metadata.get("tags", [])
        assert checked or not cell.outputs, f"stored but not compared: {cell.source}"
        for output in cell.outputs:
            text = output["text"] if output.output_type == "stream" else output.data["text/plain"]
            assert output.output_type == "stream" or set(output.data) == {"text/plain"}
            for what, pattern in UNSTABLE.items():
                assert not re.search(pattern, text, re.MULTILINE), f"{what} in: {text}"
            stored += 1
    assert stored >= 3


def test_they_are_read_in_order() -> None:
    assert [path.stem.partition("-")[0] for path in NOTEBOOKS] == ["01", "02", "03", "04", "05", "06"]
    names = {path.name for path in NOTEBOOKS}
    for path in NOTEBOOKS:
        prose = "\n".join(c.source for c in nbformat.read(path, as_version=4).cells if c.cell_type == "markdown")
        linked = set(re.findall(r"\]\(([^)]+\.ipynb)\)", prose))
        assert linked <= names
        assert linked or path == NOTEBOOKS[-1], f"{path.name} leads nowhere"
