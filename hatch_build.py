"""Bundles the notebook's front end while dxforge is installed or packed.

Needs Node and npm on the PATH; without them, or with ``DXFORGE_SKIP_FRONTEND=1``, dxforge goes without panels in the
notebook and shows the same as static HTML. Nothing is bundled twice: a stamp says from which sources it was.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FRONTEND = Path("dxforge_nb", "frontend")
STATIC = Path("dxforge_nb", "static")
STAMP = STATIC / "sources.sha256"
PANELS = ("panel.js", "panel.css", "editor.js")
OLDEST_NODE = 20


class FrontendHook(BuildHookInterface[Any]):
    """Called by hatchling for wheels, editable ones too; a source distribution has the sources."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        """Bundles what changed; the bundle goes into the wheel only if it is that of these sources."""
        root = Path(self.root)
        if self.target_name != "wheel":
            return
        sources = digest(root / FRONTEND)
        if not current(root, sources):
            reason = missing()
            if reason:
                self.app.display_warning(f"dxforge is built without notebook panels: {reason}")
            else:
                bundle(root)
                (root / STAMP).write_text(sources, encoding="ascii")
        if current(root, sources):
            build_data["artifacts"] += [f"/{(STATIC / name).as_posix()}" for name in PANELS]


def digest(frontend: Path) -> str:
    """The SHA-256 of everything that the bundle is made from."""
    files = [frontend / name for name in ("build.mjs", "package.json", "package-lock.json", "tsconfig.json")]
    files += sorted(path for path in (frontend / "src").rglob("*") if path.is_file())
    total = hashlib.sha256()
    for file in files:
        content = file.read_bytes()
        total.update(f"{file.relative_to(frontend).as_posix()}\0{len(content)}\0".encode())
        total.update(content)
    return total.hexdigest()


def current(root: Path, sources: str) -> bool:
    """Whether the bundle is there and made from ``sources``."""
    stamp = root / STAMP
    return (
        all((root / STATIC / name).is_file() for name in PANELS)
        and stamp.is_file()
        and stamp.read_text(encoding="ascii") == sources
    )


def missing() -> str:
    """Why nothing can be bundled here; empty if it can."""
    if os.environ.get("DXFORGE_SKIP_FRONTEND", "") not in ("", "0"):
        return "DXFORGE_SKIP_FRONTEND is set"
    node = shutil.which("node")
    if node is None or shutil.which("npm") is None:
        return "Node.js and npm are not on the PATH"
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout.strip()
    major = version.removeprefix("v").partition(".")[0]
    if not major.isdigit() or int(major) < OLDEST_NODE:
        return f"Node.js {version or 'of unknown version'} is older than {OLDEST_NODE}"
    return ""


def bundle(root: Path) -> None:
    """Installs what the bundler needs, unless it is there, and runs it.

    Raises:
        RuntimeError: npm or the bundler failed; the message ends with what they wrote.
    """
    frontend = root / FRONTEND
    lock, installed = frontend / "package-lock.json", frontend / "node_modules" / ".package-lock.json"
    if not installed.is_file() or installed.stat().st_mtime < lock.stat().st_mtime:
        # Without what only tests need.
        _run(frontend, "npm", "ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund")
    _run(frontend, "node", "build.mjs")


def _run(folder: Path, program: str, *args: str) -> None:
    # On Windows npm is a script, which only its full name starts.
    command = [shutil.which(program) or program, *args]
    done = subprocess.run(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False
    )
    if done.returncode:
        lines = "\n".join(done.stdout.strip().splitlines()[-12:])
        msg = (
            f"bundling the notebook panels failed: {' '.join((program, *args))} in {folder} ended with"
            f" {done.returncode}; DXFORGE_SKIP_FRONTEND=1 installs dxforge without them\n{lines}"
        )
        raise RuntimeError(msg)
