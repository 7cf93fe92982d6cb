"""What is measured with: the peers, a real set of packages, and trees made from it."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import platformdirs

PEERS = (
    "uv==0.13.9", "copier==9.19.1", "supervisor==4.3.0", "honcho==2.0.0", "doit==0.37.0", "persist-queue==1.1.0",
    "pyflakes==4.1.0",
)  # fmt: skip
NPM_PEERS = ("turbo@2.11.11",)
PACKAGES = {
    "babel": "2.18.0",
    "botocore": "1.44.5",
    "django": "5.2.19",
    "faker": "40.54.0",
    "networkx": "3.6.1",
    "plotly": "7.1.0",
    "sympy": "1.14.0",
}
"""Pure wheels, 11,308 files, 159 MB."""
EDITS = 1000
BIN = Path(sys.executable).parent
"""Where dxforge and IPython are installed."""


@dataclass(frozen=True)
class Material:
    """Lazily made things below ``work``; caches of packages and peers stay in the user's cache for the next time."""

    work: Path

    @cached_property
    def cache(self) -> Path:
        """The benchmarks' own caches, so that they are warm with just what is measured."""
        folder = platformdirs.user_cache_path("dxforge-benchmarks")
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @cached_property
    def env(self) -> dict[str, str]:
        """For every child: own caches, a git that needs no configuration."""
        return {
            "DXFORGE_CACHE_DIR": str(self.cache / "dxforge"),
            "UV_CACHE_DIR": str(self.cache / "uv"),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_AUTHOR_NAME": "b",
            "GIT_AUTHOR_EMAIL": "b@localhost",
            "GIT_COMMITTER_NAME": "b",
            "GIT_COMMITTER_EMAIL": "b@localhost",
        }

    @cached_property
    def peers(self) -> Path:
        """The ``bin`` of an environment with the peers from the Python index."""
        folder = self.cache / "peers"
        stamp = folder / "stamp.txt"
        if not stamp.exists() or stamp.read_text().split() != list(PEERS):
            shutil.rmtree(folder, ignore_errors=True)
            subprocess.run([sys.executable, "-m", "venv", folder], check=True)
            subprocess.run([folder / "bin" / "python", "-m", "pip", "install", "--quiet", *PEERS], check=True)
            stamp.write_text("\n".join(PEERS))
        return folder / "bin"

    @property
    def peer_modules(self) -> Path:
        """What to put on ``PYTHONPATH`` to import a peer beside dxforge."""
        return next(self.peers.parent.glob("lib/python*/site-packages"))

    @cached_property
    def turbo(self) -> Path:
        """Turborepo's program, in a ``node_modules/.bin`` of its own; npm gets it, by its ordinary configuration."""
        folder = self.cache / "npm"
        stamp = folder / "stamp.txt"
        if not stamp.exists() or stamp.read_text().split() != list(NPM_PEERS):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            (folder / "package.json").write_text('{"private": true}')
            command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", *NPM_PEERS]
            subprocess.run(command, cwd=folder, check=True)
            stamp.write_text("\n".join(NPM_PEERS))
        return folder / "node_modules" / ".bin" / "turbo"

    @cached_property
    def wheels(self) -> list[Path]:
        """The wheels of ``PACKAGES``."""
        folder = self.cache / "wheels"
        folder.mkdir(exist_ok=True)
        found: list[Path] = []
        for name, version in PACKAGES.items():
            if not list(folder.glob(f"{name}-{version}-*.whl")):
                command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
                subprocess.run([*command, "--dest", folder, f"{name}=={version}"], check=True)
            found += folder.glob(f"{name}-{version}-*.whl")
        return found

    def requirements(self) -> list[str]:
        """``name==version`` of the whole set."""
        return [f"{name}=={version}" for name, version in PACKAGES.items()]

    def fresh(self, name: str) -> Path:
        """A new, empty folder.

        Nothing is deleted between runs: ext4 looks for free inodes by passing over those freed in the last seconds one
        by one, and creating a file after deleting ten thousand takes ten times as long.
        """
        return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.work))

    def project(self, name: str) -> Path:
        """A new project that asks for the whole set."""
        root = self.fresh(name)
        self.write_project(root, "".join(f'{package} = "=={version}"\n' for package, version in PACKAGES.items()))
        return root

    def write_project(self, root: Path, packages: str) -> None:
        """Write a ``dx.toml``; ``packages`` is the body of its ``[packages]``."""
        (root / "dx.toml").write_text(f'[project]\nname = "bench"\n\n[packages]\n{packages}')

    @cached_property
    def trees(self) -> tuple[Path, Path]:
        """The whole set in one folder as it was, and with ``EDITS`` files edited upstream."""
        before, after = self.work / "tree-1", self.work / "tree-2"
        for wheel in self.wheels:
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(before)
        shutil.copytree(before, after)
        for path in self.edited:
            edit(after / path, "upstream", 3)
        return before, after

    @cached_property
    def edited(self) -> list[str]:
        """The files that both sides edit: every n-th Python file with room for two edits, all over the tree."""
        before = self.work / "tree-1"
        fit = sorted(
            path.relative_to(before).as_posix()
            for path in before.rglob("*.py")
            if path.read_bytes().count(b"\n") >= 40 and b"\r" not in path.read_bytes()
        )
        return fit[:: len(fit) // EDITS][:EDITS]

    @cached_property
    def archives(self) -> tuple[Path, Path]:
        """The two trees as archives."""
        before, after = self.trees
        return self._pack(before), self._pack(after)

    def _pack(self, tree: Path) -> Path:
        target = tree.with_suffix(".zip")
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for path in files(tree):
                archive.write(path, path.relative_to(tree).as_posix())
        return target

    def git(self, *arguments: str | Path, cwd: Path) -> None:
        """Run git, quietly."""
        subprocess.run(["git", *arguments], cwd=cwd, env={**os.environ, **self.env}, check=True, capture_output=True)

    def commit_all(self, cwd: Path, message: str) -> None:
        """Commit everything in ``cwd``."""
        self.git("add", "--all", cwd=cwd)
        self.git("commit", "--quiet", "-m", message, cwd=cwd)


def edit(path: Path, who: str, quarter: int) -> None:
    """Add a line at one quarter of a file's length."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    lines.insert(len(lines) * quarter // 4, f"# edited {who}\n")
    path.write_text("".join(lines), encoding="utf-8", newline="")


def files(folder: Path) -> Iterator[Path]:
    """Every file below ``folder``, sorted."""
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def sha256(path: Path) -> str:
    """Of a file's content."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
