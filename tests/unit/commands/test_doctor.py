from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from dxforge.commands.check import Check
from dxforge.commands.doctor import DoctorResult, examine
from dxforge.forge import DxForge

TOML = '[project]\nname = "demo"\n\n[packages]\n'


@pytest.fixture
def root(tmp_path: Path, cache_dir: Path) -> Path:
    (tmp_path / "dx.toml").write_text(TOML)
    return tmp_path


def named(root: Path | None, name: str) -> Check:
    forge = None if root is None else DxForge(root)
    return next(check for check in examine(forge).checks if check.name == name)


def test_a_fresh_project_is_sound(root: Path) -> None:
    result = examine(DxForge(root))
    assert {check.state for check in result.checks} == {"ok"}
    assert result.exit_code == 0
    assert result.to_json()["ok"] is True
    assert [check.name for check in result.checks] == [
        "python", "merging", "dx.toml", "cache", ".dx", "journal", "dx.lock", "archives", "packages", "imports",
        "tools", "snapshots", "tasks", "remote",
    ]  # fmt: skip
    assert not list(root.glob(".dx*"))


def test_without_a_project_the_surroundings_are_looked_at(cache_dir: Path) -> None:
    result = examine(None)
    assert named(None, "project").state == "warning"
    assert result.exit_code == 0


def test_a_bad_configuration_is_a_problem_with_its_key(root: Path) -> None:
    (root / "dx.toml").write_text(TOML + 'a = "not a version"\n')
    found = named(root, "dx.toml")
    assert found.state == "problem"
    assert "packages.a" in found.detail
    assert examine(DxForge(root)).exit_code == 1


def test_a_lock_that_cannot_be_read_is_a_problem(root: Path) -> None:
    (root / "dx.lock").write_text("<<<<<<< ours\n")
    assert named(root, "dx.lock").state == "problem"
    (root / "dx.lock").write_bytes(b"\xff")
    assert named(root, "dx.lock").state == "problem"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_cache_that_cannot_be_written_is_a_problem(root: Path, cache_dir: Path) -> None:
    cache_dir.chmod(0o500)
    found = named(root, "cache")
    cache_dir.chmod(0o700)
    assert found.state == "problem"


def test_a_cache_that_is_a_file_is_a_problem(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DXFORGE_CACHE_DIR", str(tmp_path / "file"))
    assert named(root, "cache").state == "problem"


def test_an_operation_that_was_cut_short_is_named(root: Path) -> None:
    (root / ".dx/journal/0001").mkdir(parents=True)
    found = named(root, "journal")
    assert found.state == "warning"
    assert found.hint


def test_the_state_folder(root: Path) -> None:
    (root / ".dx").mkdir()
    assert named(root, ".dx").state == "warning"
    (root / ".dx/.gitignore").write_text("*\n")
    assert named(root, ".dx").state == "ok"
    (root / ".dx/.gitignore").unlink()
    (root / ".dx").rmdir()
    (root / ".dx").write_text("")
    assert named(root, ".dx").state == "problem"


def test_packages_behind_a_symlink_are_a_problem(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    (root / "src").symlink_to(tmp_path_factory.mktemp("elsewhere"))
    found = named(root, "packages")
    assert found.state == "problem"
    assert found.detail == "src is a symlink"


def test_what_is_declared_and_not_there_is_named(root: Path) -> None:
    (root / "dx.toml").write_text(TOML + 'humanize = ""\n')
    (root / "src/dx_packages").mkdir(parents=True)
    found = named(root, "packages")
    assert found.state == "warning"
    assert "humanize" in found.detail


def offer(root: Path, module: str) -> None:
    folder = root / "src/dx_packages" / module
    (folder / f"{module}-1.dist-info").mkdir(parents=True)
    (folder / module).mkdir()
    (folder / module / "__init__.py").write_text("")


def test_an_injected_module_that_is_installed_too_is_named(root: Path) -> None:
    offer(root, "lonely_module")
    assert named(root, "imports").state == "ok"
    offer(root, "click")
    found = named(root, "imports")
    assert found.state == "warning"
    assert found.detail.endswith("click")


def test_a_module_that_the_standard_library_hides_is_named(root: Path) -> None:
    offer(root, "json")
    assert "json" in sys.stdlib_module_names
    assert "json" in named(root, "imports").detail


def test_it_reads_as_a_list_with_what_to_do() -> None:
    checks = (
        Check(name="python", state="ok", detail="3.11.7 on linux"),
        Check(name="dx.lock", state="problem", detail="cannot be read", hint="Restore it"),
    )
    result = DoctorResult(checks=checks)
    assert result.text().split("\n") == [
        "● ok       python   3.11.7 on linux",
        "■ problem  dx.lock  cannot be read",
        "",
        "dx.lock: Restore it",
    ]
    assert repr(result) == "<dxforge doctor: 1 problem, 0 warnings>"


def test_tasks_that_cannot_be_read_are_a_problem(root: Path) -> None:
    (root / ".dx").mkdir()
    (root / ".dx" / "state.db").write_bytes(b"garbage" * 1000)
    found = named(root, "tasks")
    assert found.state == "problem"
    assert "state.db cannot be read" in found.detail


def test_a_folder_that_cannot_be_the_remote(root: Path, tmp_path: Path) -> None:
    assert named(root, "remote").state == "ok"
    (root / ".dx").mkdir()
    (root / ".dx" / "remote").write_text("")
    found = named(root, "remote")
    assert (found.state, found.detail.rpartition(": ")[2]) == ("warning", "it is no folder")
    (root / "dx.toml").write_text(TOML + f'[remote]\nurl = "file://{tmp_path}/gone/remote"\n')
    assert "is not there" in named(root, "remote").detail
    (tmp_path / "gone").mkdir()
    assert named(root, "remote").state == "ok"
