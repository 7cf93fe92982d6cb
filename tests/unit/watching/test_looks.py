"""What two looks at a tree differ in."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from dxforge.errors import WatchError
from dxforge.watching.globs import Globs
from dxforge.watching.looks import Looks


def lay(root: Path, *paths: str, text: str = "x") -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)


def first(root: Path, *globs: str, leave_out: Sequence[str] = ()) -> tuple[Looks, set[str]]:
    looks = Looks(root, Globs(globs, leave_out=leave_out))
    looks.again()
    return looks, set(looks._files)


def seen(root: Path, *globs: str, leave_out: Sequence[str] = ()) -> set[str]:
    return first(root, *globs, leave_out=leave_out)[1]


def test_every_kind_of_change_is_found_and_nothing_twice(tmp_path: Path) -> None:
    lay(tmp_path, "a", "b", "gone", "moved", "same", "run.sh", "deep/er/c", "away/1", "away/2/3")
    looks, _ = first(tmp_path, "**")
    (tmp_path / "a").write_text("written")
    (tmp_path / "b.tmp").write_text("by rename")
    os.replace(tmp_path / "b.tmp", tmp_path / "b")
    (tmp_path / "gone").unlink()
    (tmp_path / "moved").rename(tmp_path / "deep/moved")
    (tmp_path / "run.sh").chmod(0o755)
    (tmp_path / "away").rename(tmp_path.with_name(f"{tmp_path.name}-away"))
    lay(tmp_path, "new/folder/d")
    assert looks.again() == {
        "a", "b", "gone", "moved", "deep/moved", "run.sh", "away/1", "away/2/3", "new/folder/d"
    }  # fmt: skip
    assert looks.again() == frozenset()


def test_what_keeps_size_and_time_of_modification_is_a_change(tmp_path: Path) -> None:
    lay(tmp_path, "a", text="old")
    looks, _ = first(tmp_path, "a")
    before = (tmp_path / "a").stat()
    (tmp_path / "a").write_text("new")
    os.utime(tmp_path / "a", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert looks.again() == {"a"}


def test_what_was_made_and_removed_again_is_no_change(tmp_path: Path) -> None:
    lay(tmp_path, "a")
    looks, _ = first(tmp_path, "**")
    lay(tmp_path, "b/c")
    shutil.rmtree(tmp_path / "b")
    assert looks.again() == frozenset()


def test_nested_rules_of_git_hold_with_their_exceptions(tmp_path: Path) -> None:
    lay(tmp_path, "a.log", "keep.log", "src/b.log", "src/keep.log", "src/sub/keep.log", "src/sub/c.txt", "build/x", "d")
    lay(tmp_path, ".gitignore", text="*.log\n!keep.log\nbuild/\n")
    lay(tmp_path, "src/.gitignore", text="!b.log\n/keep.log\n")
    lay(tmp_path, "src/sub/.gitignore", text="c.txt\n")
    assert {path for path in seen(tmp_path, "**") if ".gitignore" not in path} == {
        "keep.log", "src/b.log", "src/sub/keep.log", "d"
    }  # fmt: skip


def test_below_an_ignored_folder_nothing_comes_back(tmp_path: Path) -> None:
    lay(tmp_path, "build/keep.txt", "build/deep/.gitignore", "top")
    lay(tmp_path, ".gitignore", text="build/\n!build/keep.txt\n")
    lay(tmp_path, "build/deep/.gitignore", text="!*\n")
    assert seen(tmp_path, "**") == {"top", ".gitignore"}


def test_a_change_of_rules_is_no_change_of_what_they_leave_out(tmp_path: Path) -> None:
    lay(tmp_path, "src/a", "src/b", "src/out/c")
    looks, _ = first(tmp_path, "src/**")
    lay(tmp_path, ".gitignore", text="out/\n")
    lay(tmp_path, "src/a", text="edited")
    assert looks.again() == {"src/a"}
    lay(tmp_path, "src/out/c", text="unseen")
    assert looks.again() == frozenset()
    (tmp_path / ".gitignore").unlink()
    assert looks.again() == frozenset()
    lay(tmp_path, "src/out/c", text="seen again")
    assert looks.again() == {"src/out/c"}


def test_a_line_that_is_no_pattern_does_not_disable_the_others(tmp_path: Path) -> None:
    lay(tmp_path, "a.log", "b.txt")
    (tmp_path / ".gitignore").write_bytes(b"!\n\xff\xfe\n*.log\n")
    assert seen(tmp_path, "*.*") == {"b.txt", ".gitignore"}


def test_what_a_glob_spells_counts_although_git_ignores_it(tmp_path: Path) -> None:
    lay(tmp_path, ".gitignore", text="generated/\n*.json\nnode_modules/\n")
    lay(tmp_path, "generated/data.json", "generated/more/x.txt", "other.json", "named.json")
    lay(tmp_path, "node_modules/lib/index.js", "node_modules/other/index.js", "src/page.js")
    assert seen(tmp_path, "generated/**") == {"generated/data.json", "generated/more/x.txt"}
    assert seen(tmp_path, "generated/data.json") == {"generated/data.json"}
    assert seen(tmp_path, "*.json", "named.json") == {"named.json"}
    looks, files = first(tmp_path, "**/*.js", "node_modules/lib/**")
    assert files == {"src/page.js", "node_modules/lib/index.js"}
    assert "node_modules/other" not in looks.folders


def test_own_outputs_are_left_out_even_where_a_glob_spells_them(tmp_path: Path) -> None:
    lay(tmp_path, "src/a.js", "src/gen/b.js", "dist/c.js", "out.css")
    own = ("dist", "src/gen", "out.css")
    assert seen(tmp_path, "**/*.js", "out.css", "dist/c.js", "src/gen/b.js", leave_out=own) == {"src/a.js"}


def test_state_and_editors_files_are_left_out(tmp_path: Path) -> None:
    lay(tmp_path, ".git/HEAD", ".dx/state.db", "__pycache__/a.pyc", ".ipynb_checkpoints/a.ipynb", "node_modules/a/b.js")
    lay(tmp_path, ".a.css.swp", "a.css~", "4913", ".#a.css", "a.css___jb_tmp___", "a.css")
    assert seen(tmp_path, "**") == {"a.css"}


def test_only_folders_that_can_hold_a_match_are_looked_into(tmp_path: Path) -> None:
    lay(tmp_path, "src/css/a.css", "src/js/a.js", "docs/a.md", "vendor/deep/b.css")
    looks, files = first(tmp_path, "src/css/**", "docs/a.md")
    assert files == {"src/css/a.css", "docs/a.md"}
    assert set(looks.folders) == {"", "src", "src/css", "docs"}


def test_symlinks(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    root = tmp_path / "root"
    lay(outside, "target.txt", "folder/far.txt")
    lay(root, "src/a")
    (root / "src/link.txt").symlink_to(outside / "target.txt")
    (root / "src/dangling").symlink_to("nowhere")
    (root / "src/folder").symlink_to(outside / "folder")
    (root / "src/loop").symlink_to(root)
    looks, files = first(root, "src/**")
    assert files == {"src/a", "src/link.txt", "src/dangling", "src/folder", "src/loop"}
    assert set(looks.folders) == {"", "src"}
    (outside / "target.txt").write_text("new content behind the link")
    (root / "src/dangling").unlink()
    (root / "src/dangling").symlink_to("elsewhere")
    assert looks.again() == {"src/link.txt", "src/dangling"}


def test_a_file_and_a_folder_may_take_each_others_place(tmp_path: Path) -> None:
    lay(tmp_path, "src/x")
    looks, _ = first(tmp_path, "src/**")
    (tmp_path / "src/x").unlink()
    lay(tmp_path, "src/x/y")
    assert looks.again() == {"src/x", "src/x/y"}
    shutil.rmtree(tmp_path / "src/x")
    lay(tmp_path, "src/x")
    assert looks.again() == {"src/x", "src/x/y"}


def test_a_base_may_come_later(tmp_path: Path) -> None:
    looks, files = first(tmp_path, "later/deep/**")
    assert files == set()
    lay(tmp_path, "later/deep/a")
    assert looks.again() == {"later/deep/a"}
    assert set(looks.folders) == {"", "later", "later/deep"}


def test_a_write_within_the_clocks_tick_of_the_last_look_is_taken_on_the_systems_word(tmp_path: Path) -> None:
    lay(tmp_path, "a", text="1")
    looks, _ = first(tmp_path, "a")
    lay(tmp_path, "a", text="2")
    again = looks.again()
    # Whether the second write could be told apart or not, the notification of a third one is never lost.
    assert again | looks.again(["a"]) == {"a"}
    os.utime(tmp_path / "a", ns=(1, 1))
    assert looks.again() == {"a"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_folder_is_as_if_it_were_empty(tmp_path: Path) -> None:
    lay(tmp_path, "a", "secret/b")
    (tmp_path / "secret").chmod(0)
    try:
        assert seen(tmp_path, "**") == {"a"}
    finally:
        (tmp_path / "secret").chmod(0o755)


def test_a_root_that_is_not_there(tmp_path: Path) -> None:
    looks = Looks(tmp_path / "nowhere", Globs(["**"]))
    with pytest.raises(WatchError, match="not there") as caught:
        looks.again()
    assert caught.value.where.endswith("nowhere")
