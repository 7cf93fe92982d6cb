"""What the status panel looks at, and how often it really has to."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from dxforge.errors import DxForgeError
from dxforge.forge import DxForge
from dxforge.traffic import review
from dxforge_nb.panels.glance import Glance, Part
from tests.support.project import Project, lines

NAMES = ("a.py", "b.py", "c.py")


@pytest.fixture
def project(tmp_path: Path, cache_dir: Path) -> Project:
    """Three files to decide on."""
    made = Project(tmp_path, "pkg")
    made.start(dict.fromkeys(NAMES, lines()), dict.fromkeys(NAMES, lines(_2="mine = 1")))
    made.publish(dict.fromkeys(NAMES, lines(_9="nine = 1")))
    made.install()
    return made


def test_files_that_wait_are_merged_anew_only_when_they_have_changed(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    merged: list[str] = []
    judge = review.judge

    def noted(cases: Sequence[Any], *args: Any, **options: Any) -> Any:
        merged.extend(case.path for case in cases)
        return judge(cases, *args, **options)

    monkeypatch.setattr(review, "judge", noted)
    glance = Glance(DxForge(project.root))
    assert glance.look(time.time())["pending"] == {"yellow": 3, "red": 0}
    assert sorted(merged) == list(NAMES)
    merged.clear()
    glance.forget(Part.PACKAGES)  # as after each cell
    assert glance.look(time.time())["pending"] == {"yellow": 3, "red": 0}
    assert merged == []
    project.write("b.py", lines(_9="ninth = 2"))
    glance.forget(Part.PACKAGES)
    assert glance.look(time.time())["pending"] == {"yellow": 2, "red": 1}
    assert merged == ["b.py"]


def test_a_look_that_fails_leaves_nothing_out_of_the_next(project: Project) -> None:
    glance = Glance(DxForge(project.root))
    config = (project.root / "dx.toml").read_text()
    (project.root / "dx.toml").write_text("[project")
    with pytest.raises(DxForgeError):
        glance.look(time.time())
    (project.root / "dx.toml").write_text(config)
    state = glance.look(time.time())
    assert state.keys() == {"project", "packages", "pending", "tools", "tasks", "snapshot", "sync"}
    assert state["pending"]["yellow"] == 3
