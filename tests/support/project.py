"""Real projects for the stories: made, published to, edited, looked at whole."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dxforge.store.tree import EXECUTABLE, FILE, SYMLINK
from dxforge.traffic.manager import TrafficManager
from dxforge.traffic.model import Change, InstallReport, TrafficLight
from tests.support.archives import Exec, Files, Link

PACKAGES = "src/dx_packages"
GREEN, YELLOW, RED = TrafficLight.GREEN, TrafficLight.YELLOW, TrafficLight.RED


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A tree as it is: files (and symlinks) by path with git's mode and content, folders, special files by kind."""

    files: dict[str, tuple[int, bytes]]
    folders: frozenset[str]
    special: dict[str, str]


def snapshot(root: Path, *, without: tuple[str, ...] = (".dx",)) -> Snapshot:
    """Look at everything below ``root`` but the top entries ``without`` and compiled leftovers."""
    files: dict[str, tuple[int, bytes]] = {}
    folders: set[str] = set()
    special: dict[str, str] = {}
    for where, names, others in os.walk(root):
        for name in [*names, *others]:
            path = Path(where, name)
            relative = path.relative_to(root).as_posix()
            if relative in without or name == "__pycache__":
                if name in names:
                    names.remove(name)
                continue
            mode = path.lstat().st_mode
            if stat.S_ISLNK(mode):
                files[relative] = (SYMLINK, os.fsencode(os.readlink(path)))
            elif stat.S_ISDIR(mode):
                folders.add(relative)
            elif stat.S_ISREG(mode):
                files[relative] = (EXECUTABLE if mode & stat.S_IXUSR else FILE, path.read_bytes())
            else:
                special[relative] = "FIFO" if stat.S_ISFIFO(mode) else "other"
    return Snapshot(files, frozenset(folders), special)


def lay(folder: Path, files: Files) -> None:
    """Write ``files`` below ``folder``."""
    for path, value in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(value, Link):
            target.symlink_to(value.target)
            continue
        content = value.content if isinstance(value, Exec) else value
        target.write_bytes(content.encode() if isinstance(content, str) else content)
        target.chmod(0o755 if isinstance(value, Exec) else 0o644)


class Project:
    """A project with path packages (``publish``) and whatever else ``toml`` declares.

    Args:
        base: the project becomes ``base/project``; packages are published in ``base/upstream``.
        names: its path packages.
        toml: more of ``[packages]``, then further tables.
    """

    def __init__(self, base: Path, *names: str, toml: str = "", root: Path | None = None) -> None:
        self.base = base
        self.root = root or base / "project"
        if root is None:
            self.root.mkdir()
            paths = "".join(f'{name} = {{ path = "../upstream/{name}" }}\n' for name in names)
            (self.root / "dx.toml").write_text(f'[project]\nname = "demo"\n\n[packages]\n{paths}{toml}')
        self.manager = TrafficManager(self.root)

    # ---- upstream

    def publish(self, files: Files, name: str = "pkg") -> None:
        """Make ``files`` all that the path package ``name`` consists of."""
        folder = self.base / "upstream" / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        lay(folder, files)

    # ---- the user's side

    def path(self, path: str = "", name: str = "pkg") -> Path:
        """A path in the package's folder."""
        return self.root / PACKAGES / name / path

    def write(self, path: str, content: bytes | str, name: str = "pkg") -> None:
        """The user writes a file (as an editor does: in place)."""
        target = self.path(path, name)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)

    def read(self, path: str, name: str = "pkg") -> bytes:
        """The content of a file of the package."""
        return self.path(path, name).read_bytes()

    def replace(self, path: str, old: str, new: str, name: str = "pkg") -> bytes:
        """The user replaces text in a file; returns its new content."""
        content = self.read(path, name)
        assert old.encode() in content
        self.write(path, content.replace(old.encode(), new.encode()), name)
        return self.read(path, name)

    def tree(self, name: str = "pkg") -> dict[str, tuple[int, bytes]]:
        """The package's files."""
        return snapshot(self.path(name=name)).files

    def whole(self) -> Snapshot:
        """The whole project but ``.dx``."""
        return snapshot(self.root)

    def lock_text(self) -> str | None:
        """``dx.lock``."""
        file = self.root / "dx.lock"
        return file.read_text() if file.exists() else None

    def kept(self) -> list[bytes]:
        """Every content that the operations in ``.dx`` keep for undo, and what was put aside after a crash."""
        state = self.root / ".dx"
        files = [file for top in ("operations", "interrupted", "journal") for file in (state / top).rglob("*")]
        return [
            os.fsencode(os.readlink(file)) if file.is_symlink() else file.read_bytes()
            for file in files
            if file.is_symlink() or (file.is_file() and file.name != "record.json")
        ]

    # ---- dxforge

    def install(self, *names: str, **options: Any) -> InstallReport:
        """Install everything, or ``names``."""
        return asyncio.run(self.manager.install_all_dependencies(names, **options))

    def remove(self, name: str = "pkg", **options: Any) -> InstallReport:
        """Remove a package."""
        return asyncio.run(self.manager.remove(name, **options))

    def clone(self, name: str = "clone") -> Project:
        """What a colleague gets: everything but ``.dx``, beside the original."""
        target = self.base / name
        shutil.copytree(self.root, target, symlinks=True, ignore=shutil.ignore_patterns(".dx"))
        return Project(self.base, root=target)

    def start(self, files: Files, edits: Mapping[str, bytes | str | None] | None = None) -> None:
        """Publish and install ``files``, then edit as the user would (None deletes)."""
        self.publish(files)
        self.install()
        for path, content in (edits or {}).items():
            if content is None:
                self.path(path).unlink()
            else:
                self.write(path, content)


def of(report: InstallReport, path: str, name: str = "pkg") -> Change:
    """What the report says of one file of the package."""
    (change,) = [change for change in report.changes if change.path == f"{PACKAGES}/{name}/{path}"]
    return change


def said(report: InstallReport, name: str = "pkg") -> dict[str, TrafficLight]:
    """Every file of the package that the report speaks of, with its light."""
    prefix = f"{PACKAGES}/{name}/"
    return {change.path.removeprefix(prefix): change.light for change in report.changes}


def lines(count: int = 20, **changed: str) -> str:
    """Numbered lines; ``_3="x"`` makes the third another ("" deletes it)."""
    texts = {number: f"line {number} = {number}\n" for number in range(count)}
    for key, text in changed.items():
        texts[int(key[1:])] = f"{text}\n" if text else ""
    return "".join(texts.values())
