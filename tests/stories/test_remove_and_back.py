"""A package that leaves with edits of the user's, and comes back."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.support.project import Project, lines


def test_it_comes_back_though_its_old_archive_is_gone_for_good(tmp_path: Path, cache_dir: Path) -> None:
    project = Project(tmp_path, "pkg")
    project.start({"a.py": lines(), "b.py": lines()}, {"a.py": lines(_3="mine")})
    toml = (project.root / "dx.toml").read_text()
    project.publish({"a.py": lines(_15="theirs"), "b.py": lines(_15="theirs")})
    clone = project.clone()
    shutil.rmtree(cache_dir)
    clone.remove()
    assert clone.read("a.py") == lines(_3="mine").encode()
    assert not clone.path("b.py").exists()
    (clone.root / "dx.toml").write_text(toml)
    clone.install()
    assert clone.read("b.py") == lines(_15="theirs").encode()
    assert clone.read("a.py") == lines(_3="mine").encode()
