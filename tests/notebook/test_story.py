"""Install, edit, upgrade and decide in a notebook, against a loopback index."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from dxforge.events import EventBus
from dxforge.files import prepare_state_dir, project_lock
from tests.notebook.conftest import Kernel
from tests.support.index_server import IndexServer

NUMBER = "src/dx_packages/demo/demo/number.py"
CLASH = "src/dx_packages/demo/demo/clash.py"
OLD = "".join(f"LINE_{number} = {number}\n" for number in range(1, 41))
NEW = OLD.replace("LINE_5 = 5\n", "LINE_5 = 'theirs'\n").replace("LINE_35 = 35\n", "LINE_35 = 'theirs'\n")


@pytest.fixture
def project(tmp_path: Path, index: IndexServer) -> Path:
    """An empty folder; the index offers demo 1.0 and 2.0."""
    old = {"demo/__init__.py": "A = 1\n", "demo/number.py": OLD, "demo/clash.py": "VALUE = 1\n"}
    index.wheel("demo", "1.0", old)
    index.wheel("demo", "2.0", {**old, "demo/number.py": NEW, "demo/clash.py": "VALUE = 2  # <b>\n"})
    return tmp_path


UPGRADE = """
from pathlib import Path
def edit(path, old, new):
    file = Path(path); text = file.read_text(); assert old in text; file.write_text(text.replace(old, new))
edit("src/dx_packages/demo/demo/number.py", "LINE_20 = 20", "LINE_20 = 'mine'")
edit("src/dx_packages/demo/demo/clash.py", "1", "'mine'")
edit("dx.toml", "==1.0", ">=1")
"""


@pytest.fixture
def upgraded(dx: Kernel) -> Kernel:
    """A kernel whose project has one Yellow with two hunks and one Red."""
    for code in ("%%dx -q\ninit --name story\nadd demo==1.0\n", UPGRADE, "%dx install --upgrade -q"):
        cell = dx.run(code)
        assert cell.error is None, cell.error
    return dx


def test_a_life(dx: Kernel, project: Path) -> None:
    dx.run("%dx init --name story")
    cell = dx.run("%dx add demo==1.0")
    assert "1.0 (new)" in cell.text
    assert "● " in cell.html
    assert (
        dx.value("import demo.number; demo.number.LINE_20, demo.__file__.endswith('demo/demo/__init__.py')")
        == "(20, True)"
    )
    dx.run(UPGRADE)
    cell = dx.run("%dx install --upgrade -o report")
    assert cell.error is None
    assert "2 changes await your decision" in cell.text
    assert f"%dx accept {NUMBER} --hunk 1" in cell.text
    assert (
        dx.value("report.exit_code, [change.light.name for change in report.report.pending]")
        == "(3, ['RED', 'YELLOW'])"
    )

    review = dx.run("%dx review").html
    for text in ("Yellow", "Red", NUMBER, CLASH, "2 hunks", f"%dx accept {NUMBER}"):
        assert text in review
    assert f"%dx accept {NUMBER} --hunk 2" not in review
    # What is shown is saved with the notebook: diffs are there where they are asked for.
    whole = dx.run("%dx review -v").html
    for text in ("<details>", "my edits", "theirs", "proposal", "LINE_20 = &#x27;mine&#x27;", "VALUE = 2  # &lt;b&gt;"):
        assert text in whole
    assert "LINE_20" not in review
    assert "VALUE" not in review
    cell = dx.run(f"%dx accept {NUMBER} --hunk 1")
    assert "in part, 1 hunk left" in cell.text
    assert "LINE_5 = 'theirs'" in (project / NUMBER).read_text()
    assert dx.run("%dx undo").error is None
    assert "LINE_5 = 5" in (project / NUMBER).read_text()
    assert dx.run("%dx accept --all").error is None
    assert "Nothing awaits a decision" in dx.run("%dx review").text


def test_strict_shows_the_report_and_fails(upgraded: Kernel) -> None:
    cell = upgraded.run("%dx install --strict")
    assert "2 changes await your decision" in cell.text
    assert cell.error is not None
    assert cell.error["ename"] == "UndecidedError"


def test_what_is_shown_is_the_same_every_time(upgraded: Kernel, project: Path) -> None:
    for line in ("%dx review", f"%dx diff {NUMBER}", "%dx status"):
        first, second = upgraded.run(line), upgraded.run(line)
        assert first.displays == second.displays
        assert os.fspath(project) not in first.text + first.html
        assert "0x" not in first.text


def test_completion_of_packages_paths_and_hunks(upgraded: Kernel) -> None:
    assert upgraded.complete("%dx install d") == ["%dx install demo"]
    assert upgraded.complete("%dx accept src/") == [f"%dx accept {CLASH}", f"%dx accept {NUMBER}"]
    assert upgraded.complete(f"%dx accept {NUMBER} src/") == [f"%dx accept {NUMBER} {CLASH}"]
    assert upgraded.complete(f"%dx accept {NUMBER} --hunk ") == [f"%dx accept {NUMBER} --hunk {n}" for n in "12"]
    assert upgraded.complete(f"%%dx\nreview\ndiff {NUMBER[:-4]}") == [f"%%dx\nreview\ndiff {NUMBER}"]
    upgraded.run("import os; os.chdir('src/dx_packages/demo')")
    assert upgraded.complete("%dx diff demo/n") == ["%dx diff demo/number.py"]


def test_the_stop_button_cancels_and_leaves_all_consistent(dx: Kernel, project: Path) -> None:
    dx.run("%dx init -q")
    with project_lock(prepare_state_dir(project), wait_s=1, events=EventBus()):
        message = dx.send("%dx add demo")
        dx.wait_for(message, f"waiting for process {os.getpid()}")
        dx.manager.interrupt_kernel()
        cell = dx.finish(message)
    assert cell.error is not None
    assert cell.error["ename"] == "KeyboardInterrupt"
    assert "demo" not in dx.run("%dx status").text
    assert dx.run("%dx add demo").error is None
    assert "demo" in dx.run("%dx status").text


def test_the_kernels_own_loop_is_left_alone(dx: Kernel) -> None:
    code = """
import asyncio, threading
ticks = []
async def tick():
    while True:
        ticks.append(1)
        await asyncio.sleep(0.01)
task = asyncio.ensure_future(tick())
"""
    dx.run(code)
    dx.run("%dx init -q")
    assert dx.run("%dx add demo -q").error is None
    assert dx.value("asyncio.get_event_loop().is_running(), task.done()") == "(True, False)"
    assert dx.run("%dx install -q").error is None
    # One for the project, as long as the kernel lives.
    assert dx.value("[t.name for t in threading.enumerate() if t.name.startswith('dxforge')]") == "['dxforge']"
    dx.run("task.cancel()")


def notebook(path: Path, *cells: str) -> Path:
    """A notebook of ``cells``."""
    content = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    content.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(content, path)
    return path


def papermill(path: Path) -> subprocess.CompletedProcess[str]:
    output = path.with_name("out.ipynb")
    words = [sys.executable, "-m", "papermill", "--cwd", str(path.parent), str(path), str(output)]
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)


def nbval(path: Path) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, "--nbval", str(path)]
    return subprocess.run(words, cwd=path.parent, capture_output=True, text=True, check=False, timeout=120)


GOOD = (
    "%load_ext dxforge_nb",
    "%dx init --name story",
    "%dx add demo==1.0",
    UPGRADE,
    "%dx install --upgrade",
    "%dx review",
)


def test_papermill_runs_through_and_stops_at_an_error(home: Path, project: Path) -> None:
    done = papermill(notebook(project / "good.ipynb", *GOOD))
    assert done.returncode == 0, done.stderr
    executed = nbformat.read(project / "out.ipynb", as_version=4)
    assert "2 changes await your decision" in executed.cells[4].outputs[0]["data"]["text/plain"]
    assert NUMBER in executed.cells[5].outputs[0]["data"]["text/html"]
    bad = papermill(
        notebook(project / "bad.ipynb", "%load_ext dxforge_nb", "%dx install --strict", "open('reached', 'w')")
    )
    assert bad.returncode != 0
    assert "UndecidedError" in bad.stderr
    assert not (project / "reached").exists()


def test_nbval_compares_outputs_and_fails_on_an_error(home: Path, project: Path) -> None:
    source = notebook(project / "good.ipynb", *GOOD)
    assert papermill(source).returncode == 0
    (project / "out.ipynb").rename(project / "again.ipynb")
    for leftover in ("dx.toml", "dx.lock"):
        (project / leftover).unlink()
    for folder in ("src", ".dx"):
        subprocess.run(["rm", "-r", str(project / folder)], check=True)
    done = nbval(project / "again.ipynb")
    assert done.returncode == 0, done.stdout
    bad = nbval(notebook(project / "bad.ipynb", "%load_ext dxforge_nb", "%dx diff nothing.py"))
    assert bad.returncode == 1
    assert "NotPendingError" in bad.stdout
