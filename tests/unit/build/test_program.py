"""What a program is: its content, its interpreter's, and what is installed beside it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dxforge.build.digests import Digests
from dxforge.build.program import Programs
from dxforge.build.toolbox import ToolFacts


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def _identity(binary: Path, search_path: str = "") -> dict[str, str]:
    facts = ToolFacts(name="t", binary=binary, environment={}, definition={}, search_path=search_path)
    return Programs(Digests("/", Path("/nonexistent/stat"))).identity(facts)


def test_a_program_is_its_content_wherever_it_lies(tmp_path: Path) -> None:
    one, two = _write(tmp_path / "a/tool", "\x7fELF1"), _write(tmp_path / "b/other", "\x7fELF1")
    assert _identity(one) == _identity(two)
    assert set(_identity(one)) == {"program"}
    (tmp_path / "link").symlink_to(one)
    assert _identity(tmp_path / "link") == _identity(one)
    _write(one, "\x7fELF2")
    assert _identity(tmp_path / "link") == _identity(one) != _identity(two)


@pytest.mark.parametrize(
    "line", ["#!{}/interp -x", "#! {}/interp", "#!/usr/bin/env interp", "#!/usr/bin/env -S A=1 interp -q"]
)
def test_a_scripts_interpreter_counts(tmp_path: Path, line: str) -> None:
    interpreter = _write(tmp_path / "interp", "1")
    script = _write(tmp_path / "script", line.format(tmp_path) + "\ncode\n")
    before = _identity(script, str(tmp_path))
    _write(interpreter, "2")
    after = _identity(script, str(tmp_path))
    assert before["program"] == after["program"] and before["interpreter"] != after["interpreter"]


def test_an_interpreter_may_be_a_script(tmp_path: Path) -> None:
    real = _write(tmp_path / "real", "1")
    _write(tmp_path / "shim", f"#!{real}\n")
    script = _write(tmp_path / "script", f"#!{tmp_path}/shim\n")
    before = _identity(script)
    _write(real, "2")
    assert _identity(script) != before


@pytest.mark.parametrize(
    "text", ["#!", "#!\n", "#!/usr/bin/env\n", "#!/usr/bin/env nothing-of-that-name\n", "#!{}/self\n", ""]
)
def test_odd_scripts(tmp_path: Path, text: str) -> None:
    script = _write(tmp_path / "self", text.format(tmp_path))
    assert _identity(script, str(tmp_path / "empty"))["program"].startswith("exec:")
    assert _identity(tmp_path / "missing") == {"program": "missing"}


@pytest.mark.parametrize("package", ["esbuild", "@scope/esbuild"])
def test_what_npm_installed_counts(tmp_path: Path, package: str) -> None:
    modules = tmp_path / "node_modules"
    program = _write(modules / package / "bin/esbuild", "stub")
    (modules / ".bin").mkdir()
    (modules / ".bin/esbuild").symlink_to(os.path.relpath(program, modules / ".bin"))
    _write(modules / package / "package.json", '{"version": "1"}')
    seen = [_identity(modules / ".bin/esbuild")]
    _write(modules / package / "package.json", '{"version": "2"}')
    seen.append(_identity(modules / ".bin/esbuild"))
    for state in (".package-lock.json", ".pnpm/lock.yaml", ".yarn-integrity"):
        _write(modules / state, "x")
        seen.append(_identity(modules / ".bin/esbuild"))
    _write(tmp_path / "package.json", "the project's own")
    assert len({identity["packages"] for identity in seen}) == 5
    assert len({identity["program"] for identity in seen}) == 1
    assert _identity(modules / ".bin/esbuild") == seen[-1]


def test_pnpms_farther_folders(tmp_path: Path) -> None:
    modules = tmp_path / "node_modules"
    program = _write(modules / ".pnpm/esbuild@1/node_modules/esbuild/bin/esbuild", "stub")
    before = _identity(program)
    _write(modules / ".pnpm/lock.yaml", "x")
    assert _identity(program) != before


def test_what_is_in_a_virtual_environment_counts(tmp_path: Path) -> None:
    python = _write(tmp_path / ".venv/bin/python", "\x7fELF")
    _write(tmp_path / ".venv/pyvenv.cfg", "")
    script = _write(tmp_path / ".venv/bin/tool", f"#!{python}\nimport tool\n")
    site = tmp_path / ".venv/lib/python3.11/site-packages"
    (site / "tool-1.0.dist-info").mkdir(parents=True)
    for program in (python, script):
        before = _identity(program)
        (site / "tool").mkdir(exist_ok=True)
        assert _identity(program) == before
        (site / "other-2.0.dist-info").mkdir()
        assert _identity(program)["packages"] != before["packages"]
        (site / "other-2.0.dist-info").rmdir()
        assert _identity(program) == before
