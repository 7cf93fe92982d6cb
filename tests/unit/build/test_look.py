"""One walk finds the inputs of all steps, opens nothing and goes only where something can match."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from dxforge.build.globs import Globs
from dxforge.build.look import Found, look
from dxforge.errors import BuildError


def _lay(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


def _look(root: Path, *globs: list[str], without: tuple[str, ...] = ()) -> list[Found]:
    outputs = [without] * len(globs)
    return look(str(root), Globs(globs, without=outputs), len(globs), without=outputs).found


def test_one_walk_serves_all_steps(tmp_path: Path) -> None:
    _lay(tmp_path, "src/a.js", "src/deep/b.js", "src/c.css", "top.py", "other/x")
    js, css, all_files, nothing = _look(tmp_path, ["src/**/*.js"], ["src/*.css"], ["**"], [])
    assert set(js.files) == {"src/a.js", "src/deep/b.js"}
    assert set(css.files) == {"src/c.css"}
    assert set(all_files.files) == {"src/a.js", "src/deep/b.js", "src/c.css", "top.py", "other/x"}
    assert len(nothing) == 0
    assert js.files["src/a.js"] == all_files.files["src/a.js"]
    status = (tmp_path / "src/a.js").stat()
    assert js.files["src/a.js"] == (
        status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_size, status.st_mode,
    )  # fmt: skip


def test_it_lists_only_folders_that_can_matter(tmp_path: Path) -> None:
    _lay(tmp_path, "src/a.js", "data/huge/file", "node_modules/x/y.js", ".git/config", "lib/one.js", "lib/two.js")
    listed: list[str] = []
    opened: list[str] = []

    def watch(event: str, args: tuple[object, ...]) -> None:
        if event == "os.scandir" and str(args[0]).startswith(str(tmp_path)):
            listed.append(os.path.relpath(str(args[0]), tmp_path))
        if event == "open" and str(args[0]).startswith(str(tmp_path)):
            opened.append(str(args[0]))

    sys.addaudithook(watch)
    (found,) = _look(tmp_path, ["src/**", "lib/one.js", "missing/x.js"])
    assert set(found.files) == {"src/a.js", "lib/one.js"}
    assert listed == ["src"]
    listed.clear()
    _look(tmp_path, ["**/*.js"])
    assert sorted(listed) == [".", "data", "data/huge", "lib", "src"]
    assert opened == []


def test_symlinks_and_special_files_are_noted_not_opened(tmp_path: Path) -> None:
    _lay(tmp_path, "src/a", "real/x", "real/deep/y")
    (tmp_path / "src/file").symlink_to("a")
    (tmp_path / "src/folder").symlink_to("../real")
    (tmp_path / "src/gone").symlink_to("nowhere")
    (tmp_path / "real/deep/back").symlink_to("../../src")
    os.mkfifo(tmp_path / "src/fifo")
    with socket.socket(socket.AF_UNIX) as made:
        here = Path.cwd()
        os.chdir(tmp_path / "src")
        try:
            made.bind("socket")
        finally:
            os.chdir(here)
    (found,) = _look(tmp_path, ["src/**"])
    assert found.links == {
        "src/file": "a",
        "src/folder": "../real",
        "src/gone": "nowhere",
        "real/deep/back": "../../src",
    }
    assert found.special == {"src/fifo": "fifo", "src/socket": "socket"}
    assert set(found.files) == {"src/a", "real/x", "real/deep/y"}


def test_a_glob_may_go_on_behind_a_symlinked_folder(tmp_path: Path) -> None:
    _lay(tmp_path, "real/x.js", "gen/y.js")
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "out").symlink_to("gen")
    (found,) = _look(tmp_path, ["link/*.js", "out/y.js"], without=("gen",))
    assert (found.links, set(found.files)) == ({"link": "real", "out": "gen"}, {"real/x.js"})


def test_odd_names(tmp_path: Path) -> None:
    names = ["sp ace", "new\nline", "quo'te\"", "[set]*", "ü", os.fsdecode(b"\xff\xfe")]
    _lay(tmp_path, *(f"src/{name}" for name in names))
    (found,) = _look(tmp_path, ["src/**"])
    assert set(found.files) == {f"src/{name}" for name in names}


def test_matched_globs_are_known(tmp_path: Path) -> None:
    _lay(tmp_path, "src/a.js")
    looked = look(str(tmp_path), Globs([["src/**", "lib/**"], ["*.md"]]), 2, without=[(), ()])
    assert looked.matched == {0}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_cannot_be_read(tmp_path: Path) -> None:
    _lay(tmp_path, "src/closed/a")
    (tmp_path / "src/closed").chmod(0)
    with pytest.raises(BuildError, match="src/closed"):
        _look(tmp_path, ["src/**"])
    (tmp_path / "src/closed").chmod(0o755)
