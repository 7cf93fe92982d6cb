"""One look at a project: what is read, and what need not be."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.project import Project, lines

ROOT = Path(__file__).resolve().parents[3]

NO_OP = """
import asyncio, os, sys
from pathlib import Path
from dxforge.traffic.manager import TrafficManager

root = Path(sys.argv[1])
manager = TrafficManager(root)
if sys.argv[2] == "warm":
    asyncio.run(manager.install_all_dependencies())
opened = []

def hook(event, args):
    if event == "open" and isinstance(args[0], (str, bytes)):
        path = os.fsdecode(args[0])
        if path.startswith(str(root / "src")):
            opened.append(path)

sys.addaudithook(hook)
report = asyncio.run(manager.install_all_dependencies())
assert report.operation is None, report
for path in opened:
    print(path)
"""


def opened(project: Project, how: str = "cold") -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", NO_OP, project.root, how], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return done.stdout.split()


@pytest.fixture
def settled(tmp_path: Path, cache_dir: Path) -> Project:
    """Installed long enough ago that all times can be trusted."""
    project = Project(tmp_path, "pkg")
    project.publish({f"d{number % 3}/f{number}.py": lines() for number in range(30)})
    time.sleep(0.1)
    project.install()
    time.sleep(0.1)
    project.install()
    return project


def test_an_install_that_has_nothing_to_do_opens_no_file(settled: Project) -> None:
    assert opened(settled) == []
    assert opened(settled, "warm") == []


def test_only_what_was_touched_is_opened(settled: Project) -> None:
    settled.write("d1/f1.py", lines(_2="mine = 1"))
    assert set(opened(settled)) == {str(settled.path("d1/f1.py"))}
    time.sleep(0.1)
    settled.install()
    assert opened(settled) == []


def test_files_of_the_users_are_never_opened(settled: Project) -> None:
    settled.write("own.bin", "mine\n")
    settled.write("d1/own.py", "mine\n")
    assert opened(settled) == []


def test_a_spoilt_stat_cache_only_costs_time(settled: Project) -> None:
    for file in (settled.root / ".dx" / "index").iterdir():
        file.write_bytes(b"{}")
    assert settled.install().operation is None
    for file in (settled.root / ".dx" / "index").iterdir():
        file.unlink()
    assert settled.install().operation is None
