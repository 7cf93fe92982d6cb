"""The README's chapters on tools and builds, and on snapshots and sync, typed as they stand there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.typed import commands
from tests.support.tool_project import free_port

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX programs")
README = Path(__file__).parents[2] / "README.md"


def block(name: str, chapter: str = "tools") -> str:
    """The fenced block below ``<!-- chapter: name -->``."""
    found = re.search(
        rf"<!-- {chapter}: {name} -->\n```{name}\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL
    )
    assert found is not None
    return found[1]


def comparable(text: str) -> str:
    """Without times, pids, ids, sizes, the widths that they give to columns, and empty ends."""
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "DATE", text)
    text = re.sub(r"\b[0-9a-f]{8}\b", "ID", text)
    text = re.sub(r"\b[\d.]+ KiB", "SIZE", text)
    text = re.sub(r"\b\d+(\.\d+)? (ms|s)\b", "TIME", text)
    text = re.sub(r"pid \d+", "pid N", text)
    return re.sub(r" {2,}", "  ", text).strip()


def test_every_command_of_the_chapter_does_what_it_shows(tmp_path: Path, cache_dir: Path) -> None:
    port = str(free_port())
    toml = block("toml").replace("8000", port)
    (tmp_path / "dx.toml").write_text(f'[project]\nname = "site"\n\n{toml}')
    bin_folder = Path(sys.executable).parent
    env = {**os.environ, "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}"}
    env.pop("FORCE_COLOR", None)

    def run(command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", "-c", command], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=90, check=False
        )

    seen = 0
    try:
        for command, expected in commands(block("console")):
            done = run(command)
            assert done.returncode == 0, (command, done.stdout, done.stderr)
            assert comparable(done.stdout) == comparable(expected.replace("8000", port)), command
            seen += 1
    finally:
        run("dxforge stop --all")
    assert seen >= 6


def test_every_command_about_snapshots_does_what_it_shows(tmp_path: Path, cache_dir: Path) -> None:
    (tmp_path / "dx.toml").write_text('[project]\nname = "site"\n')
    bin_folder = Path(sys.executable).parent
    env = {**os.environ, "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}"}
    env.pop("FORCE_COLOR", None)
    typed = list(commands(block("console", "work")))
    assert len(typed) >= 8
    for command, expected in typed:
        done = subprocess.run(
            ["sh", "-c", command], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=90, check=False
        )
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        assert comparable(done.stdout) == comparable(expected), command
