"""Wheels and source distributions, as pip has them made: with the notebook's panels where Node is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("hatchling")

ROOT = Path(__file__).parents[2]
FRONTEND = Path("dxforge_nb", "frontend")
STATIC = Path("dxforge_nb", "static")
PANELS = {f"dxforge_nb/static/{name}" for name in ("panel.js", "panel.css", "editor.js")}
WITHOUT = "built without notebook panels: "


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What is packed, as it is in a fresh clone."""
    root = tmp_path / "checkout"
    root.mkdir()
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE", ".gitignore"):
        shutil.copy2(ROOT / name, root / name)
    for package in ("dxforge", "dxforge_nb"):
        (root / package).mkdir()
        shutil.copy2(ROOT / package / "__init__.py", root / package / "__init__.py")
    unpacked = shutil.ignore_patterns("node_modules", "out")
    shutil.copytree(ROOT / FRONTEND, root / FRONTEND, ignore=unpacked)
    return root


@pytest.fixture
def modules(checkout: Path) -> None:
    """The modules that the bundler needs, those of this checkout: nothing is downloaded."""
    there = ROOT / FRONTEND / "node_modules"
    if shutil.which("node") is None or not (there / "esbuild").is_dir():
        pytest.skip("needs Node.js, and the front end's modules (make panels)")
    (checkout / FRONTEND / "node_modules").symlink_to(there)
    lock = checkout / FRONTEND / "package-lock.json"
    os.utime(lock, (0, 0))


def build(root: Path, target: str, *, node: bool = True, env: dict[str, str] | None = None) -> tuple[Path | None, str]:
    """What hatchling makes of ``root``, and what it says."""
    path = os.environ["PATH"] if node else str(root / "no such folder")
    out = root.parent / "out"
    shutil.rmtree(out, ignore_errors=True)
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(out)],
        cwd=root, env={**os.environ, "PATH": path, "NO_COLOR": "1", **(env or {})},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=120,
    )  # fmt: skip
    made = list(out.iterdir()) if out.is_dir() else []
    assert (done.returncode == 0) == bool(made), done.stdout
    return (made[0] if made else None), done.stdout


def names(made: Path | None) -> set[str]:
    """The files of a wheel or source distribution."""
    assert made is not None
    if made.suffix == ".whl":
        with zipfile.ZipFile(made) as wheel:
            return set(wheel.namelist())
    with tarfile.open(made) as archive:
        return {name.partition("/")[2] for name in archive.getnames()}


def test_without_node_a_wheel_has_no_panels_and_says_so(checkout: Path) -> None:
    made, said = build(checkout, "wheel", node=False)
    assert not names(made) & PANELS
    assert f"{WITHOUT}Node.js and npm are not on the PATH" in said
    made, said = build(checkout, "wheel", env={"DXFORGE_SKIP_FRONTEND": "1"})
    assert not names(made) & PANELS
    assert f"{WITHOUT}DXFORGE_SKIP_FRONTEND is set" in said


@pytest.mark.usefixtures("modules")
def test_panels_are_bundled_when_their_sources_change_and_only_then(checkout: Path) -> None:
    made, said = build(checkout, "wheel")
    assert names(made) >= PANELS and WITHOUT not in said
    assert not [name for name in names(made) if "frontend" in name or "hatch_build" in name]
    assert b"sourceMappingURL" not in (checkout / STATIC / "panel.js").read_bytes()

    before = (checkout / STATIC / "panel.js").stat().st_mtime_ns
    made, said = build(checkout, "wheel", node=False)
    assert names(made) >= PANELS and WITHOUT not in said
    assert (checkout / STATIC / "panel.js").stat().st_mtime_ns == before

    source = checkout / FRONTEND / "src" / "index.ts"
    source.write_text(source.read_text() + "\nconsole.debug('one more line');\n")
    made, said = build(checkout, "wheel", node=False)
    assert not names(made) & PANELS, "a wheel has panels that are not those of its sources"
    assert WITHOUT in said
    made, said = build(checkout, "wheel")
    assert names(made) >= PANELS
    assert b"one more line" in (checkout / STATIC / "panel.js").read_bytes()


@pytest.mark.usefixtures("modules")
def test_a_broken_source_fails_the_build_and_names_the_way_out(checkout: Path) -> None:
    source = checkout / FRONTEND / "src" / "index.ts"
    source.write_text(source.read_text() + '\nimport "./nowhere";\n')
    made, said = build(checkout, "wheel")
    assert made is None
    assert "./nowhere" in said and "DXFORGE_SKIP_FRONTEND=1" in said


@pytest.mark.usefixtures("modules")
def test_a_source_distribution_has_all_that_a_wheel_with_panels_needs(checkout: Path, tmp_path: Path) -> None:
    build(checkout, "wheel")
    made, _ = build(checkout, "sdist")
    packed = names(made)
    assert {
        "hatch_build.py",
        f"{FRONTEND.as_posix()}/package-lock.json",
        f"{FRONTEND.as_posix()}/src/index.ts",
    } <= packed
    assert not [name for name in packed if "node_modules" in name or STATIC.as_posix() in name]
    assert made is not None
    with tarfile.open(made) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    (root,) = (tmp_path / "unpacked").iterdir()
    (root / FRONTEND / "node_modules").symlink_to(ROOT / FRONTEND / "node_modules")
    os.utime(root / FRONTEND / "package-lock.json", (0, 0))
    again, _ = build(root, "wheel")
    assert names(again) >= PANELS


def test_the_lock_has_no_addresses() -> None:
    lock = (ROOT / FRONTEND / "package-lock.json").read_text(encoding="utf-8")
    assert '"resolved"' not in lock
    assert "registry" not in lock
