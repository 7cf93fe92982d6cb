from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from dxforge.commands.check import Check
from dxforge.commands.doctor import examine
from dxforge.forge import DxForge


@pytest.fixture
def root(tmp_path: Path, cache_dir: Path) -> Path:
    return tmp_path


def tool(name: str, program: str = sys.executable, more: str = "") -> str:
    return f'[tools.{name}]\nbinary_path = "{program}"\n{more}\n'


def found(root: Path, *parts: str) -> dict[str, Check]:
    (root / "dx.toml").write_text("\n".join(parts))
    return {check.name: check for check in examine(DxForge(root)).checks}


def test_tools_that_are_sound(root: Path) -> None:
    checks = found(root, tool("a"), tool("b", more='dependencies = ["a"]'), '[build]\nneeds = ["a"]\n')
    assert {checks[name].state for name in ("tools", "programs", "ports", "running", "build")} == {"ok"}
    assert "node" not in checks
    assert "0 of 2 tools up" in checks["running"].detail
    assert not (root / ".dx").exists()


def test_an_unknown_dependency_and_a_circle(root: Path) -> None:
    unknown = found(root, tool("server"), tool("web", more='dependencies = ["sever"]'))["tools"]
    assert (unknown.state, unknown.hint) == ("problem", 'The nearest known tool is "server"')
    circle = found(root, tool("a", more='dependencies = ["b"]'), tool("b", more='dependencies = ["a"]'))["tools"]
    assert circle.state == "problem"
    assert "a → b → a" in circle.detail


def test_programs_that_are_not_there_or_not_executable(root: Path) -> None:
    (root / "script").write_text("#!/bin/sh\n")
    checks = found(root, tool("a", "no-such-program-at-all"), tool("b", "./script"), tool("c"))
    assert checks["programs"].state == "problem"
    assert "no-such-program-at-all" in checks["programs"].detail
    assert "script is not executable" in checks["programs"].detail
    assert checks["programs"].hint


@pytest.mark.skipif(os.name == "nt", reason="scripts with #!")
def test_node_is_asked_for_where_something_needs_it(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundler = root / "node_modules" / ".bin" / "bundle"
    bundler.parent.mkdir(parents=True)
    bundler.write_text("#!/usr/bin/env node\n")
    bundler.chmod(0o755)
    (root / "serve.js").write_text("#!/usr/bin/env node\n")
    (root / "serve.js").chmod(0o755)
    monkeypatch.setenv("PATH", str(root / "empty"))
    missing = found(root, tool("bundler", "bundle"), tool("server", "./serve.js"), tool("python"))["node"]
    assert missing.state == "problem"
    assert missing.detail.startswith("needed by bundler, server; there is no program")
    assert "Node.js" in missing.hint
    (root / "empty").mkdir()
    node = root / "empty" / "node"
    node.write_text("#!/bin/sh\n")
    node.chmod(0o755)
    assert found(root, tool("bundler", "bundle"))["node"].state == "ok"


def test_a_port_that_somebody_else_holds(root: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        taken = found(root, tool("web", more=f'health = {{ tcp = "localhost:{port}" }}'))["ports"]
    assert taken.state == "problem"
    assert f"{port}, which web is to have, by process {os.getpid()}" in taken.detail
    assert found(root, tool("web", more=f'health = {{ tcp = "localhost:{port}" }}'))["ports"].state == "ok"


def test_a_build_of_tools_that_do_not_exist(root: Path) -> None:
    build = found(
        root, tool("a"), '[build]\nneeds = ["b"]\n[[build.steps]]\ntool = "c"\n[[build.steps]]\ntool = "a"\n'
    )["build"]
    assert build.state == "problem"
    assert build.detail == "no such tool: b, c"
    assert "[tools.b]" in build.hint


def test_without_tools(root: Path) -> None:
    checks = found(root, '[project]\nname = "x"\n')
    assert checks["tools"].detail == "none in dx.toml"
    assert "programs" not in checks
    assert "build" not in checks
