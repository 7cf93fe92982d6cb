"""Many processes install into one project at once: each sees a whole project, and one result comes out."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.rush import fingerprint

ROOT = Path(__file__).resolve().parents[2]


def _upstream(root: Path, version: int) -> None:
    shutil.rmtree(root / "upstream", ignore_errors=True)
    for number in range(20):
        file = root / "upstream" / f"d{number % 4}" / f"f{number}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        lines = [f"line {number}.{line}\n" for line in range(20)]
        lines[15] = f"version {version}\n"
        file.write_text("".join(lines))


def _rush(root: Path, count: int) -> list[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "DXFORGE_LOCK_WAIT_S": "120"}
    children = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.support.rush", str(root)],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(count)
    ]
    outputs = []
    for child in children:
        out, err = child.communicate(timeout=300)
        assert child.returncode == 0, out + err
        outputs.append(out.strip())
    return outputs


def _rounds(tmp_path: Path, rounds: int, count: int) -> None:
    root = tmp_path / "project"
    root.mkdir()
    (root / "dx.toml").write_text('[project]\nname = "rush"\n[packages]\np = { path = "upstream" }\n')
    for number in range(1, rounds + 1):
        _upstream(root, number)
        assert set(_rush(root, count)) == {"0" if number == 1 else "1"}
        package = root / "src/dx_packages/p"
        if number == 1:
            edited = package / "d1/f1.py"
            edited.write_text(edited.read_text().replace("line 1.2\n", "mine\n"))
            mine = edited.read_text()
        assert (package / "d1/f1.py").read_text() == mine
        assert f"version {number}\n" in (package / "d2/f2.py").read_text()
        alone = fingerprint(root)
        assert _rush(root, 1) == ["0" if number == 1 else "1"]
        assert fingerprint(root) == alone
        assert not list((root / ".dx/journal").iterdir())


def test_eight_processes_a_few_rounds(tmp_path: Path, cache_dir: Path) -> None:
    _rounds(tmp_path, 2, 8)


@pytest.mark.soak
def test_eight_processes_fifty_rounds(tmp_path: Path, cache_dir: Path) -> None:
    _rounds(tmp_path, 50, 8)
