from __future__ import annotations

from pathlib import Path

import pytest

from dxforge.commands.shown import shown
from dxforge.commands.targets import from_folder, from_root, one_file, pending_at
from dxforge.errors import NotPendingError, UsageError
from dxforge.traffic.model import Action, Change, TrafficLight

PATHS = [
    "src/dx_packages/p/p/a.py",
    "src/dx_packages/p/p/b.py",
    "src/dx_packages/p/p/sub/c.py",
    "src/dx_packages/q/a.py",
    "src/dx_packages/q/a[1].py",
    "src/dx_packages/q/a1.py",
    "src/dx_packages/q/-rf.py",
    "src/dx_packages/q/\x1b[31m.py",
    "src/dx_packages/q/old.py",
]


def pending(path: str) -> Change:
    new = "src/dx_packages/q/renamed.py" if path.endswith("old.py") else None
    return Change(path=path, light=TrafficLight.YELLOW, reason="r", action=Action.PROPOSE, package="p", new_path=new)


CHANGES = [pending(path) for path in PATHS]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "src/dx_packages/p/p/sub").mkdir(parents=True)
    (tmp_path / "src/dx_packages/q").mkdir()
    return tmp_path


def chosen(root: Path, *paths: str, cwd: str = ".") -> list[str]:
    return [change.path for change in pending_at(paths, CHANGES, root=root, cwd=root / cwd)]


def test_paths_from_the_root_work_everywhere(root: Path) -> None:
    for cwd in (".", "src", "src/dx_packages/p/p"):
        assert chosen(root, PATHS[0], cwd=cwd) == [PATHS[0]]


def test_paths_from_the_current_folder_win(root: Path) -> None:
    assert chosen(root, "a.py", cwd="src/dx_packages/q") == ["src/dx_packages/q/a.py"]
    assert chosen(root, "../q/a.py", cwd="src/dx_packages/p") == ["src/dx_packages/q/a.py"]
    assert chosen(root, "./p/b.py", cwd="src/dx_packages/p") == [PATHS[1]]


def test_absolute_paths_and_a_project_behind_a_symlink(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert chosen(root, str(root / PATHS[1])) == [PATHS[1]]
    link = tmp_path_factory.mktemp("link") / "project"
    link.symlink_to(root)
    assert chosen(root, str(link / PATHS[1])) == [PATHS[1]]
    assert [change.path for change in pending_at([PATHS[1]], CHANGES, root=link, cwd=link / "src")] == [PATHS[1]]


def test_folders_mean_everything_below(root: Path) -> None:
    assert chosen(root, "src/dx_packages/p") == PATHS[:3]
    assert chosen(root, "src/dx_packages/p/p/sub/") == [PATHS[2]]
    assert chosen(root, ".") == PATHS
    assert chosen(root, ".", cwd="src/dx_packages/q") == PATHS[3:]


def test_globs(root: Path) -> None:
    assert chosen(root, "src/dx_packages/p/p/?.py") == PATHS[:2]
    assert chosen(root, "*/p/*.py") == PATHS[:3]
    assert chosen(root, "src/**/c.py") == [PATHS[2]]
    assert chosen(root, "src/dx_packages/p/**/a.py") == [PATHS[0]]
    assert chosen(root, "[ab].py", cwd="src/dx_packages/p/p") == PATHS[:2]


def test_a_name_beats_a_glob(root: Path) -> None:
    assert chosen(root, "src/dx_packages/q/a[1].py") == ["src/dx_packages/q/a[1].py"]


def test_a_renamed_file_answers_to_its_new_name(root: Path) -> None:
    assert chosen(root, "src/dx_packages/q/renamed.py") == ["src/dx_packages/q/old.py"]


def test_a_name_can_be_typed_as_it_is_shown(root: Path) -> None:
    assert chosen(root, shown(PATHS[7])) == [PATHS[7]]


def test_each_file_once_and_in_the_lists_order(root: Path) -> None:
    assert chosen(root, PATHS[2], "src/dx_packages/p", PATHS[0]) == PATHS[:3]


def test_nothing_there_names_the_nearest(root: Path) -> None:
    with pytest.raises(NotPendingError) as caught:
        chosen(root, "src/dx_packages/p/p/sub/cc.py")
    assert caught.value.where == "src/dx_packages/p/p/sub/cc.py"
    assert PATHS[2] in caught.value.hint
    with pytest.raises(NotPendingError, match="nothing is pending"):
        pending_at(["x"], [], root=root, cwd=root)
    with pytest.raises(NotPendingError):
        chosen(root, "../outside.py")
    with pytest.raises(NotPendingError):
        chosen(root, "")


def test_one_file_is_one_file(root: Path) -> None:
    (root / "src/dx_packages/p/p/settled.py").write_text("x = 1\n")
    assert one_file(PATHS[0], CHANGES, root=root, cwd=root) == PATHS[0]
    assert (
        one_file("settled.py", CHANGES, root=root, cwd=root / "src/dx_packages/p/p") == "src/dx_packages/p/p/settled.py"
    )
    with pytest.raises(UsageError, match="3 pending files"):
        one_file("src/dx_packages/p", CHANGES, root=root, cwd=root)
    with pytest.raises(NotPendingError):
        one_file("src/dx_packages/p/p/nowhere.py", CHANGES, root=root, cwd=root)


def test_readings_stay_inside_the_project(root: Path) -> None:
    assert from_root("../../x", root=root, cwd=root) == []
    assert from_root("x", root=root, cwd=root.parent) == ["x"]
    assert from_root("a/../b", root=root, cwd=root / "src") == ["src/b", "b"]


def test_as_seen_from_a_folder(root: Path) -> None:
    assert from_folder("src/x.py", root=root, cwd=root / "src") == "x.py"
    assert from_folder("src/x.py", root=root, cwd=root) == "src/x.py"
    assert from_folder("src/x.py", root=root, cwd=root.parent) is None
