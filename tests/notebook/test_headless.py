"""Notebooks without anybody in front of them: nbconvert, papermill and nbval, the real programs.

Nothing waits for a click. ``on_yellow`` decides what becomes of a Yellow; ``--strict`` makes the notebook fail where a
decision is left.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import nbformat
import pytest

from tests.support.index_server import IndexServer

YELLOW = "src/dx_packages/demo/demo/number.py"
RED = "src/dx_packages/demo/demo/clash.py"
OLD = "".join(f"LINE_{number} = {number}\n" for number in range(1, 21))
MINE = OLD.replace("LINE_15 = 15\n", "LINE_15 = 'mine'\n")
NEW = OLD.replace("LINE_5 = 5\n", "LINE_5 = 'theirs'\n")
BOTH = MINE.replace("LINE_5 = 5\n", "LINE_5 = 'theirs'\n")
DEADLINE_S = 120

pytestmark = pytest.mark.slow


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ran:
    """How a program ended, and the notebook that it wrote, where it did."""

    status: int
    said: str
    notebook: Any

    @property
    def outputs(self) -> list[Any]:
        """Of all cells."""
        return [output for cell in self.notebook.cells for output in cell.get("outputs", [])]

    @property
    def text(self) -> str:
        """What all cells show as text."""
        return "\n".join(output.get("data", {}).get("text/plain", "") for output in self.outputs)


def nbconvert(file: Path) -> Sequence[str | Path]:
    return ["-m", "jupyter", "nbconvert", "--to", "notebook", "--execute", file, "--output", "out.ipynb"]


def papermill(file: Path) -> Sequence[str | Path]:
    return ["-m", "papermill", "--no-progress-bar", file, file.with_name("out.ipynb")]


def nbval(file: Path) -> Sequence[str | Path]:
    return [
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "--nbval-lax",
        "-q",
        "--rootdir",
        file.parent,
        "-c",
        os.devnull,
        file,
    ]


Program = Callable[[Path], Sequence[str | Path]]
PROGRAMS = [nbconvert, papermill, nbval]


@pytest.fixture
def project(tmp_path: Path, index: IndexServer) -> Path:
    """demo 1.0 with an edit that merges (Yellow); the index has 2.0."""
    root = tmp_path / "project"
    root.mkdir()
    old = {"demo/__init__.py": "A = 1\n", "demo/number.py": OLD, "demo/clash.py": "VALUE = 1\n"}
    index.wheel("demo", "1.0", old)
    index.wheel("demo", "2.0", {**old, "demo/number.py": NEW, "demo/clash.py": "VALUE = 2\n"})
    (root / "dx.toml").write_text('[project]\nname = "nb"\n\n[packages]\ndemo = "==1.0"\n')
    dx(root, "install")
    (root / YELLOW).write_text(MINE)
    (root / "dx.toml").write_text('[project]\nname = "nb"\n\n[packages]\ndemo = ">=1.0"\n')
    return root


def dx(root: Path, *args: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "dxforge", "--json", *args],
        cwd=root, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=DEADLINE_S,
    )  # fmt: skip
    return json.loads(done.stdout)


@pytest.fixture
def run(home: Path, project: Path) -> Callable[..., Ran]:
    """Run cells by a program."""

    def run(program: Program, *cells: str) -> Ran:
        notebook = nbformat.v4.new_notebook()
        notebook.metadata["kernelspec"] = {"name": "python3", "language": "python", "display_name": "Python 3"}
        notebook.cells = [nbformat.v4.new_code_cell(cell) for cell in ("%load_ext dxforge_nb", *cells)]
        for number, cell in enumerate(notebook.cells):
            cell["id"] = f"cell-{number}"
        file, out = project / "in.ipynb", project / "out.ipynb"
        nbformat.write(notebook, file)
        out.unlink(missing_ok=True)
        done = subprocess.run(
            [sys.executable, *program(file)],
            cwd=project, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=DEADLINE_S,
        )  # fmt: skip
        written = nbformat.read(out, as_version=4) if out.exists() else None
        return Ran(status=done.returncode, said=done.stdout + done.stderr, notebook=written)

    return run


def pending(root: Path) -> list[str]:
    return [change["path"] for change in dx(root, "review")["pending"]]


@pytest.mark.parametrize("program", PROGRAMS)
def test_asking_leaves_it_pending_and_goes_on(run: Callable[..., Ran], project: Path, program: Program) -> None:
    ran = run(program, "%dx install --upgrade", "%dx review", "%dx status", "print('the end')")
    assert ran.status == 0, ran.said
    assert pending(project) == [YELLOW]
    assert (project / YELLOW).read_text() == MINE
    if ran.notebook is not None:
        assert "1 change awaits your decision" in ran.text
        assert "%dx review" in ran.text
        assert any("the end" in output.get("text", "") for output in ran.outputs)


@pytest.mark.parametrize("program", PROGRAMS)
def test_with_strict_the_notebook_fails_there(run: Callable[..., Ran], project: Path, program: Program) -> None:
    ran = run(program, "%dx install --upgrade --strict", "open('after', 'w').close()")
    assert ran.status != 0
    assert "UndecidedError" in ran.said
    assert pending(project) == [YELLOW]
    # nbval runs the rest, to tell of every cell.
    assert (project / "after").exists() is (program is nbval)


@pytest.mark.parametrize(
    ("policy", "how", "content", "awaits"),
    [
        ("ask", "dx.toml", MINE, [YELLOW]),
        ("keep", "option", MINE, []),
        ("accept", "dx.toml", BOTH, []),
        ("fail", "option", MINE, []),
    ],
)
def test_on_yellow_decides(
    run: Callable[..., Ran], project: Path, policy: str, how: str, content: str, awaits: list[str]
) -> None:
    command = f"%dx install --upgrade --on-yellow {policy}"
    if how == "dx.toml":
        command = "%dx install --upgrade"
        with (project / "dx.toml").open("a") as toml:
            toml.write(f'\n[traffic]\non_yellow = "{policy}"\n')
    ran = run(nbconvert, command, "print('the end')")
    assert (project / YELLOW).read_text() == content
    assert pending(project) == awaits
    if policy == "fail":
        assert ran.status != 0
        assert "UndecidedError" in ran.said
        assert dx(project, "status")["packages"][0]["version"] == "1.0"  # nothing was done
        return
    assert ran.status == 0, ran.said
    assert ("awaits your decision" in ran.text) is (policy == "ask")
    assert dx(project, "status")["packages"][0]["version"] == "2.0"


def test_a_red_awaits_a_decision_whatever_is_done_about_yellow(run: Callable[..., Ran], project: Path) -> None:
    (project / RED).write_text("VALUE = 'mine'\n")
    ran = run(papermill, "%dx install --upgrade --on-yellow accept")
    assert ran.status == 0, ran.said
    assert pending(project) == [RED]
    assert "■" in ran.text
    strict = run(papermill, "%dx install --strict")
    assert strict.status != 0
    assert "UndecidedError" in strict.said


def test_a_notebook_that_was_run_says_the_same_when_it_is_run_again(run: Callable[..., Ran], project: Path) -> None:
    """nbval compares every output with what was saved: no address, time or model id may be in what is compared."""
    run(nbconvert, "%dx install --upgrade -q")
    ran = run(nbconvert, "%dx review", "%dx status", "%dx install", "r = %dx review\nr")
    assert ran.status == 0, ran.said
    out = project / "out.ipynb"
    command = ["-m", "pytest", "-p", "no:cacheprovider", "--nbval", "-q", "--rootdir", project, "-c", os.devnull, out]
    done = subprocess.run(
        [sys.executable, *command], cwd=project, capture_output=True, text=True, check=False, timeout=DEADLINE_S
    )
    assert done.returncode == 0, done.stdout


def test_a_decision_can_be_taken_in_a_cell(run: Callable[..., Ran], project: Path) -> None:
    ran = run(papermill, "%dx install --upgrade -q", "%dx accept --all")
    assert ran.status == 0, ran.said
    assert (project / YELLOW).read_text() == BOTH
    assert pending(project) == []
