"""Going back further than one operation."""

from __future__ import annotations

from pathlib import Path

import pytest

from dxforge.errors import UndoError
from tests.support.project import Project, lines

PACKAGE = "src/dx_packages/pkg"


@pytest.fixture
def project(tmp_path: Path, cache_dir: Path) -> Project:
    return Project(tmp_path, "pkg")


def test_back_to_before_an_operation_and_forth_again(project: Project) -> None:
    project.start({"a.py": lines(), "b.py": lines()}, {"a.py": lines(_2="mine"), "b.py": lines(_2="mine")})
    edited = project.whole()
    project.publish({"a.py": lines(_15="theirs"), "b.py": lines(_15="theirs")})
    project.install()
    upgrade = project.manager.log()[0].id
    project.manager.accept(f"{PACKAGE}/a.py")
    project.manager.reject(f"{PACKAGE}/b.py")
    decided = project.whole()
    project.manager.undo(upgrade)
    assert project.whole() == edited
    first_step = project.manager.log()[2].id
    project.manager.undo(first_step)
    assert project.whole() == decided


def test_an_operation_that_is_not_there(project: Project) -> None:
    project.start({"a.py": lines()})
    before = project.whole()
    with pytest.raises(UndoError, match="no operation 77"):
        project.manager.undo("77")
    assert project.whole() == before
