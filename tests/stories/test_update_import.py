"""What Python runs after an update is what lies on the disk."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dxforge.errors import WriteError
from tests.support.project import Project, lines


@pytest.fixture
def project(tmp_path: Path, cache_dir: Path) -> Project:
    return Project(tmp_path, "pkg")


def run(project: Project) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(
        [sys.executable, "-c", "import one; print(one.V)"],
        cwd=project.path(),
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


def test_an_update_of_the_same_length_within_a_second_is_run(project: Project) -> None:
    seen = []
    for version in range(1, 6):
        project.publish({"one.py": f"V={version}\n"})
        project.install()
        seen.append(run(project))
    assert seen == ["1", "2", "3", "4", "5"]
    project.manager.undo()
    assert run(project) == "4"


@pytest.mark.parametrize("path", ["src/dx_packages/pkg/a.py", "dx.lock"])
def test_a_read_only_file_is_an_error_and_nothing_is_changed(project: Project, path: str) -> None:
    project.start({"a.py": lines(), "b.py": lines()})
    project.publish({"a.py": lines(_3="new"), "b.py": lines(_3="new")})
    (project.root / path).chmod(0o444)
    before = project.whole()
    with pytest.raises(WriteError, match="read-only") as caught:
        project.install()
    assert path in str(caught.value)
    assert project.whole() == before
    (project.root / path).chmod(0o644)
    assert project.install().counts.green == 2
