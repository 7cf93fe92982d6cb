from __future__ import annotations

from pathlib import Path

from tests.support.project import Project


def test_edits_come_with_base_and_present_content(tmp_path: Path, cache_dir: Path) -> None:
    project = Project(tmp_path, "pkg")
    project.publish({"m.py": "a = 1\n", "gone.py": "g\n", "data.bin": b"\0", "kept.py": "k\n"})
    project.install()
    assert list(project.manager.edited()) == []
    project.path("m.py").write_text("a = 2\n")
    project.path("gone.py").unlink()
    (item,) = project.manager.edited()
    assert item.pin.name == "pkg"
    assert item.files == {"gone.py": (b"g\n", None), "m.py": (b"a = 1\n", b"a = 2\n")}
    assert item.read_all(".py") == {"m.py": b"a = 1\n", "gone.py": b"g\n", "kept.py": b"k\n"}
