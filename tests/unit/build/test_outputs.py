"""What lies in outputs, compared with what was written."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from dxforge.build.digests import Digests
from dxforge.build.outputs import difference, look_at, read
from dxforge.build.record import Row


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "dist/empty").mkdir(parents=True)
    (tmp_path / "dist/a").write_text("a")
    (tmp_path / "dist/link").symlink_to("a")
    (tmp_path / "one").write_text("1")
    (tmp_path / "dist/__pycache__").mkdir()
    (tmp_path / "dist/__pycache__/x.pyc").write_text("")
    return tmp_path


def _rows(root: Path) -> dict[str, Row]:
    return read(look_at(str(root), ("dist", "one", "missing")), Digests(str(root), root / "stat"))


def _difference(root: Path, rows: dict[str, Row]) -> str:
    return difference(rows, look_at(str(root), ("dist", "one", "missing")), Digests(str(root), root / "stat"))


def test_what_is_there(root: Path) -> None:
    rows = _rows(root)
    assert {path: (row.kind, row.size) for path, row in rows.items()} == {
        "dist": ("dir", 0), "dist/empty": ("dir", 0), "dist/a": ("file", 1), "dist/link": ("link", 1),
        "one": ("file", 1),
    }  # fmt: skip
    assert (rows["dist/link"].what, rows["one"].mode) == ("a", (root / "one").stat().st_mode & 0o777)
    assert _difference(root, rows) == ""


def _rewrite(path: str, text: str) -> Callable[[Path], object]:
    return lambda root: (root / path).write_text(text)


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (lambda root: (root / "one").unlink(), "output one is missing"),
        (lambda root: (root / "dist/empty").rmdir(), "output dist/empty is missing"),
        (lambda root: (root / "dist/link").unlink(), "output dist/link is missing"),
        (_rewrite("one", "longer"), "output one was changed"),
        (_rewrite("one", "2"), "output one was changed"),
        (_rewrite("dist/new", ""), "dist/new was not written by this step"),
        (lambda root: (root / "dist/folder").mkdir(), "dist/folder was not written by this step"),
        (lambda root: os.mkfifo(root / "dist/p"), "dist/p was not written by this step"),
        (lambda root: (root / "one").chmod(0o700), "output one has other permissions (700, not 640)"),
        (lambda root: (root / "dist/empty").chmod(0o700), "output dist/empty has other permissions (700, not 750)"),
        (lambda root: ((root / "one").unlink(), (root / "one").mkdir()), "output one is something else"),
        (lambda root: ((root / "one").unlink(), (root / "one").symlink_to("x")), "output one is something else"),
        (
            lambda root: ((root / "dist/link").unlink(), (root / "dist/link").symlink_to("b")),
            "output dist/link was changed",
        ),
    ],
)
def test_every_difference_is_named(root: Path, damage: Callable[[Path], object], text: str) -> None:
    (root / "one").chmod(0o640)
    (root / "dist/empty").chmod(0o750)
    rows = _rows(root)
    damage(root)
    assert _difference(root, rows) == text


def test_special_files_are_told_apart(root: Path) -> None:
    os.mkfifo(root / "dist/pipe")
    rows = _rows(root)
    assert rows["dist/pipe"] == Row("special", 0, "fifo", 0)
    (root / "dist/pipe").unlink()
    assert _difference(root, rows) == "output dist/pipe is missing"
