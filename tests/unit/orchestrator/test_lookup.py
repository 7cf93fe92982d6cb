"""Where a tool's program is, and the environment that it gets."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from dxforge.errors import ToolDefinitionError
from dxforge.orchestrator.definition import DxToolDefinition
from dxforge.orchestrator.lookup import find_binary, find_program, make_environment, search_path


def program(file: Path, *, mode: int = 0o755) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("#!/bin/sh\n")
    file.chmod(mode)
    return file


def find(root: Path, binary: str, path: str = "") -> Path:
    return find_binary(DxToolDefinition("t", binary), root, {"PATH": path})


def test_the_places_in_their_order(tmp_path: Path) -> None:
    root, other = tmp_path / "project", tmp_path / "other"
    places = [
        program(root / ".venv/bin/prog"),
        program(root / "venv/bin/prog"),
        program(root / "node_modules/.bin/prog"),
        program(other / "prog"),
        program(root / "prog"),
    ]
    for place in places:
        assert find(root, "prog", str(other)) == place
        place.unlink()
    with pytest.raises(ToolDefinitionError) as caught:
        find(root, "prog", str(other))
    for place in places:
        assert str(place.parent) in caught.value.what
    assert caught.value.tool == "t"
    assert caught.value.hint


def test_the_running_environment_is_a_place(tmp_path: Path) -> None:
    name = os.path.basename(sys.executable)
    assert find(tmp_path, name) == Path(sys.prefix) / "bin" / name


def test_paths(tmp_path: Path) -> None:
    made = program(tmp_path / "tools/run.sh")
    assert find(tmp_path, "tools/run.sh") == made
    assert find(tmp_path, "./tools/../tools/run.sh") == made
    assert find(tmp_path / "tools", str(made)) == made
    link = tmp_path / "link"
    link.symlink_to(made)
    assert find(tmp_path, "./link") == link
    # A path is not looked up anywhere else.
    with pytest.raises(ToolDefinitionError, match=r"there is no program .*/elsewhere/run\.sh"):
        find(tmp_path, "elsewhere/run.sh", str(tmp_path / "tools"))
    with pytest.raises(ToolDefinitionError, match="is a folder"):
        find(tmp_path, "./tools")


def test_not_executable_is_its_own_message(tmp_path: Path) -> None:
    made = program(tmp_path / "bin/prog", mode=0o644)
    for binary in ("bin/prog", "prog"):
        with pytest.raises(ToolDefinitionError, match="is not executable") as caught:
            find(tmp_path, binary, str(made.parent))
        assert f"chmod +x {made}" in caught.value.hint
    # One that can be executed further on is the better one.
    other = program(tmp_path / "other/prog")
    assert find(tmp_path, "prog", f"{made.parent}{os.pathsep}{other.parent}") == other


def test_relative_and_empty_entries_of_path_are_left_out(tmp_path: Path) -> None:
    folders = search_path(tmp_path, {"PATH": os.pathsep.join(["", "bin", "/usr/bin", "/usr/bin", "."])})
    assert folders[-1] == Path("/usr/bin")
    assert all(folder.is_absolute() for folder in folders)
    assert len(set(folders)) == len(folders)


def test_programs_of_probes_are_found_the_same_way(tmp_path: Path) -> None:
    made = program(tmp_path / ".venv/bin/check")
    assert find_program("check", tmp_path, {}) == made
    with pytest.raises(LookupError):
        find_program("nothing-of-this-name", tmp_path, {})


def test_only_what_is_declared_and_needed(tmp_path: Path) -> None:
    environ = {
        "PATH": "/usr/bin",
        "HOME": "/home/me",
        "LANG": "C.UTF-8",
        "LC_ALL": "C",
        "TMPDIR": "/t",
        "SECRET": "s",
        "TOKEN": "t",
        "OTHER": "o",
    }
    definition = DxToolDefinition(
        "t", "true", env={"MODE": "x", "OTHER": "mine"}, pass_env=["TOKEN", "OTHER", "NOT_SET"]
    )
    (tmp_path / "node_modules/.bin").mkdir(parents=True)
    made = make_environment(definition, tmp_path, environ)
    path = made.pop("PATH").split(os.pathsep)
    assert path[-1] == "/usr/bin" and str(tmp_path / "node_modules/.bin") in path
    assert made == {
        "HOME": "/home/me",
        "LANG": "C.UTF-8",
        "LC_ALL": "C",
        "TMPDIR": "/t",
        "MODE": "x",
        "OTHER": "mine",
        "TOKEN": "t",
    }


def test_a_declared_path_is_the_path(tmp_path: Path) -> None:
    definition = DxToolDefinition("t", "true", env={"PATH": "/only"})
    assert make_environment(definition, tmp_path, {"PATH": "/usr/bin"})["PATH"] == "/only"
