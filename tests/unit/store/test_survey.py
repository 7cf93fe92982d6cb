"""The look at a project: what the stat cache spares, and what it may not."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from dxforge.config.model import SnapshotLimits
from dxforge.store.objects import EMPTY_TREE
from dxforge.store.survey import Memory, Survey, build_trees, look
from dxforge.store.taking import hash_contents

LIMITS = SnapshotLimits()


def survey(root: Path, memory: Memory | None = None) -> tuple[Survey, str, list[str]]:
    """A whole look: what was found, its tree, and the files that had to be read."""
    found = look(os.fsencode(root), memory or {}, LIMITS)
    hash_contents(found, lambda: None)
    tree = build_trees(found, lambda _, __: None)
    return found, tree, sorted(os.fsdecode(folder + name) for folder, name in found.unread)


def settle(root: Path) -> None:
    """Let everything be older than what the cache does not trust."""
    time.sleep(0.08)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for path in ("a.py", "d/b.py", "d/e/c.py", "f/g.py", "f/x.log"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(path)
    (tmp_path / "empty").mkdir()
    (tmp_path / ".gitignore").write_text("*.log\n")
    settle(tmp_path)
    return tmp_path


EVERYTHING = [".gitignore", "a.py", "d/b.py", "d/e/c.py", "f/g.py"]


def test_only_what_changed_is_read(root: Path) -> None:
    first, tree, read = survey(root)
    assert read == EVERYTHING
    again, same, read = survey(root, first.memory())
    assert (same, read) == (tree, [])
    (root / "d/e/c.py").write_text("changed")
    settle(root)
    third, other, read = survey(root, again.memory())
    assert read == ["d/e/c.py"]
    assert other != tree
    assert third.folders[b"f/"].tree == first.folders[b"f/"].tree
    assert survey(root)[1] == other
    (root / "d/e/c.py").write_text("d/e/c.py")
    assert survey(root, third.memory())[1] == tree


def test_only_new_trees_are_handed_over(root: Path) -> None:
    memory = survey(root)[0].memory()
    (root / "d/e/c.py").write_text("changed")
    found = look(os.fsencode(root), memory, LIMITS)
    hash_contents(found, lambda: None)
    fresh: list[str] = []
    build_trees(found, lambda oid, _: fresh.append(oid))
    assert fresh == [found.folders[path].tree for path in (b"d/e/", b"d/", b"")]


@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "a.py").unlink(),
        lambda root: (root / "d" / "e" / "c.py").rename(root / "d" / "c.py"),
        lambda root: (root / "empty").rmdir(),
        lambda root: (root / "empty" / "deep").mkdir(),
        lambda root: (root / "a.py").chmod(0o755),
        lambda root: (root / ".gitignore").write_text("*.lag\n"),
        lambda root: (root / ".gitignore").unlink(),
        lambda root: (root / ".gitignore").write_text("/d\n"),
        lambda root: (root / "f" / ".gitignore").write_text("!x.log\ng.py\n"),
        lambda root: (root / "d" / ".gitignore").write_text("*\n"),
        lambda root: [(root / "a.py").unlink(), (root / "a.py").mkdir()],
        lambda root: [(root / "a.py").unlink(), (root / "a.py").symlink_to("d")],
        lambda root: [(root / "empty").rmdir(), (root / "empty").write_text("")],
    ],
)
def test_a_look_with_memory_finds_what_one_without_finds(root: Path, change: object) -> None:
    memory = survey(root)[0].memory()
    change(root)  # type: ignore[operator]
    with_memory, tree, _ = survey(root, memory)
    without, expected, _ = survey(root)
    assert tree == expected
    assert with_memory.files() == without.files()
    assert sorted(with_memory.hidden) == sorted(without.hidden)


def test_a_rule_for_folders_is_asked_again_when_a_file_becomes_one(root: Path) -> None:
    (root / ".gitignore").write_text("a.py/\n")
    settle(root)
    first = survey(root)[0]
    assert "a.py" in first.files()
    (root / "a.py").unlink()
    (root / "a.py").mkdir()
    (root / "a.py" / "inside").write_text("")
    assert "a.py/inside" not in survey(root, first.memory())[0].files()


def test_rules_changed_within_the_clocks_tick(root: Path) -> None:
    for number in range(10):
        (root / ".gitignore").write_text(f"*.{number % 10}\n")
        memory = survey(root)[0].memory()
        (root / f"x.{(number + 1) % 10}").write_text("")
        (root / ".gitignore").write_text(f"*.{(number + 1) % 10}\n")
        assert survey(root, memory)[1] == survey(root)[1]


def test_fresh_files_are_not_trusted(root: Path) -> None:
    (root / "new.py").write_text("1")
    memory = survey(root)[0].memory()
    assert b"new.py" not in memory[b""].files
    assert b"a.py" in memory[b""].files
    assert survey(root, memory)[2] == ["new.py"]


def test_smaller_limits_count_for_what_is_remembered(root: Path) -> None:
    (root / "big").write_bytes(bytes(1_500_000))
    settle(root)
    memory = survey(root)[0].memory()
    found = look(os.fsencode(root), memory, SnapshotLimits(max_file_mb=1))
    assert [item.path for item in found.left_out] == ["big"]


def test_a_folder_with_nothing_in_it(tmp_path: Path) -> None:
    assert survey(tmp_path)[1] == EMPTY_TREE


def test_a_symlinked_or_folder_gitignore_counts_for_nothing(root: Path) -> None:
    (root / ".gitignore").unlink()
    (root / "rules").write_text("*.py\n")
    (root / ".gitignore").symlink_to("rules")
    assert "a.py" in survey(root)[0].files()
    (root / ".gitignore").unlink()
    (root / ".gitignore").mkdir()
    (root / ".gitignore" / "x").write_text("")
    assert {"a.py", ".gitignore/x"} <= survey(root)[0].files().keys()
