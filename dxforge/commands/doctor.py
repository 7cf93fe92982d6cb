"""``doctor``: is everything that dxforge stands on sound? Looks only; repairs nothing."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dxforge.commands.check import Check, State
from dxforge.commands.result import DONE, FAILED, Result, plural
from dxforge.commands.view import Block, Gap, Span, Style, Table, Text, line
from dxforge.errors import DxForgeError

if TYPE_CHECKING:
    from dxforge.config.model import Config
    from dxforge.forge import DxForge
    from dxforge.traffic.lock import Lock

_SIGNS: dict[State, tuple[str, Style]] = {
    "ok": ("● ok", "green"),
    "warning": ("▲ warning", "yellow"),
    "problem": ("■ problem", "red"),
}


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class DoctorResult(Result):
    """All findings."""

    checks: tuple[Check, ...]

    def _count(self, state: State) -> int:
        return sum(check.state == state for check in self.checks)

    @property
    def exit_code(self) -> int:
        return FAILED if self._count("problem") else DONE

    def to_json(self) -> dict[str, Any]:
        return {"ok": self.exit_code == DONE, "checks": [check.to_json() for check in self.checks]}

    def summary(self) -> str:
        return f"doctor: {plural(self._count('problem'), 'problem')}, {plural(self._count('warning'), 'warning')}"

    def view(self) -> Sequence[Block]:
        rows = tuple(
            (line(Span(*_SIGNS[check.state])), line(Span(check.name, "strong")), line(check.detail))
            for check in self.checks
        )
        blocks: list[Block] = [Table(rows)]
        todo = [check for check in self.checks if check.hint]
        if todo:
            blocks.append(Gap())
            blocks.extend(Text(line(Span(f"{check.name}: ", "strong"), check.hint)) for check in todo)
        return blocks


def examine(forge: DxForge | None) -> DoctorResult:
    """Look at the surroundings, and at the project of ``forge`` (None: there is none)."""
    root = None if forge is None else forge.root
    checks = [_python(), _libraries()]
    config: Config | None = None
    if root is None:
        hint = "Make a project with `dxforge init`, or name its folder with -C"
        checks.append(
            Check(name="project", state="warning", detail="no dx.toml here, nor in any folder above", hint=hint)
        )
    else:
        config, found = _config(root)
        checks.append(found)
    checks.append(_cache())
    if root is not None:
        checks.append(_state_folder(root))
        checks.append(_journal(root))
        lock, found = _lock(root)
        checks.append(found)
        if lock is not None:
            checks.append(_archives(root, lock))
    if config is not None and forge is not None:
        from dxforge.commands.doctor_tools import tool_checks
        from dxforge.commands.doctor_work import work_checks

        checks.append(_packages_folder(config))
        checks.append(_imports(config))
        checks.extend(tool_checks(config, forge.orchestrator))
        checks.extend(work_checks(config, forge))
    return DoctorResult(checks=tuple(checks))


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    return Check(name="python", state="ok", detail=f"{version} on {sys.platform}")


def _libraries() -> Check:
    from importlib.metadata import version

    try:
        import pygit2
    except ImportError as error:
        hint = "Install it again: pip install --force-reinstall pygit2"
        return Check(name="merging", state="problem", detail=f"pygit2 cannot be imported: {error}", hint=hint)
    return Check(name="merging", state="ok", detail=f"pygit2 {version('pygit2')}, libgit2 {pygit2.LIBGIT2_VERSION}")


def _config(root: Path) -> tuple[Config | None, Check]:
    from dxforge.config.load import load_config

    try:
        config = load_config(root)
    except DxForgeError as error:
        return None, _failed("dx.toml", error)
    detail = f"project {config.name}, {plural(len(config.packages), 'package')}"
    return config, Check(name="dx.toml", state="ok", detail=detail)


def _lock(root: Path) -> tuple[Lock | None, Check]:
    from dxforge.traffic.journal import read_text
    from dxforge.traffic.lock import loads

    file = root / "dx.lock"
    try:
        text = read_text(file)
        lock = loads(text, where=file)
    except DxForgeError as error:
        return None, _failed("dx.lock", error)
    except (OSError, UnicodeDecodeError) as error:
        hint = "Restore it from your version control"
        return None, Check(name="dx.lock", state="problem", detail=f"cannot be read: {error}", hint=hint)
    if text is None:
        return lock, Check(name="dx.lock", state="ok", detail="none yet")
    return lock, Check(name="dx.lock", state="ok", detail=f"{plural(len(lock.packages), 'package')} pinned")


def _cache() -> Check:
    from dxforge.config.load import load_environment

    try:
        folder = load_environment().cache_dir
    except DxForgeError as error:
        return _failed("cache", error)
    near = next(path for path in (folder, *folder.parents) if path.exists())
    if not near.is_dir() or not os.access(near, os.W_OK | os.X_OK):
        hint = "Give yourself permission, or name another folder with DXFORGE_CACHE_DIR"
        return Check(name="cache", state="problem", detail=f"{folder} cannot be written", hint=hint)
    return Check(name="cache", state="ok", detail=str(folder))


def _state_folder(root: Path) -> Check:
    state = root / ".dx"
    if not os.path.lexists(state):
        return Check(name=".dx", state="ok", detail="none yet")
    if state.is_symlink() or not state.is_dir():
        return Check(name=".dx", state="problem", detail="is not a folder", hint="Move it away; dxforge makes its own")
    if not os.access(state, os.W_OK | os.X_OK):
        hint = "Give yourself permission (chmod u+rwx .dx)"
        return Check(name=".dx", state="problem", detail="cannot be written", hint=hint)
    if not (state / ".gitignore").is_file():
        hint = "Put a file .dx/.gitignore with one line `*` back, so that git leaves the folder alone"
        return Check(name=".dx", state="warning", detail="has lost its .gitignore", hint=hint)
    return Check(name=".dx", state="ok", detail="writable, ignored by git")


def _journal(root: Path) -> Check:
    try:
        left = sorted(os.listdir(root / ".dx" / "journal"))
    except FileNotFoundError:
        left = []
    except OSError as error:
        hint = "Give yourself permission (chmod -R u+rwX .dx)"
        return Check(name="journal", state="problem", detail=f"cannot be read: {error.strerror}", hint=hint)
    if not left:
        return Check(name="journal", state="ok", detail="no operation was cut short")
    hint = "The next install, accept, reject or undo puts everything back first; until then, leave .dx alone"
    detail = f"{plural(len(left), 'operation')} cut short, or still running"
    return Check(name="journal", state="warning", detail=detail, hint=hint)


def _archives(root: Path, lock: Lock) -> Check:
    """Whether each file's base is at hand: kept archives must be there, and be what their name says."""
    wanted = {pin.sha256: name for name, item in lock.packages.items() for pin in (item.pin, *item.former)}
    missing, damaged = [], []
    for sha256, name in wanted.items():
        path = root / ".dx" / "archives" / sha256[:2] / sha256
        try:
            with path.open("rb") as stream:
                if hashlib.file_digest(stream, "sha256").hexdigest() != sha256:
                    damaged.append(name)
        except FileNotFoundError:
            missing.append(name)
        except OSError:
            damaged.append(name)
    if damaged:
        hint = "Run `dxforge install`: damaged archives are fetched again"
        names = ", ".join(sorted(damaged))
        return Check(name="archives", state="problem", detail=f"damaged or unreadable: {names}", hint=hint)
    if missing:
        hint = "Nothing is lost: they are fetched again, by sha256, when a merge needs them"
        names = ", ".join(sorted(missing))
        return Check(name="archives", state="warning", detail=f"not kept in this project: {names}", hint=hint)
    detail = f"{plural(len(wanted), 'archive')}, each as its sha256 says" if wanted else "none yet"
    return Check(name="archives", state="ok", detail=detail)


def _packages_folder(config: Config) -> Check:
    name, folder = config.packages_dir, config.packages_path
    for part in (folder, *folder.parents):
        if part == config.root:
            break
        if part.is_symlink():
            hint = "Put a real folder there: dxforge never writes through a symlink"
            return Check(
                name="packages", state="problem", detail=f"{part.relative_to(config.root)} is a symlink", hint=hint
            )
    if not folder.exists():
        return Check(name="packages", state="ok", detail=f"{name} does not exist yet")
    if not folder.is_dir():
        return Check(name="packages", state="problem", detail=f"{name} is not a folder", hint="Move it away")
    if not os.access(folder, os.W_OK | os.X_OK):
        hint = f"Give yourself permission (chmod u+rwx {name})"
        return Check(name="packages", state="problem", detail=f"{name} cannot be written", hint=hint)
    gone = [spec.name for spec in config.packages if not (folder / spec.name).is_dir()]
    if gone:
        hint = "Run `dxforge install`"
        return Check(name="packages", state="warning", detail=f"not installed: {', '.join(gone)}", hint=hint)
    return Check(name="packages", state="ok", detail=f"{name}, {plural(len(config.packages), 'package')}")


def _imports(config: Config) -> Check:
    """Which injected modules stand before an installed one, and which never get their turn."""
    from dxforge.importer import InjectedFinder

    modules = InjectedFinder(os.fspath(config.packages_path)).modules()
    hidden = [module for module in modules if module in sys.stdlib_module_names]
    if hidden:
        hint = "Python's own module always wins: rename the injected one, or remove its package"
        detail = f"named like the standard library: {', '.join(hidden)}"
        return Check(name="imports", state="warning", detail=detail, hint=hint)
    shadowed = sorted(_installed_too(modules))
    if shadowed:
        hint = "The project's copy is imported; to use the installed one, remove the package with `dxforge remove`"
        detail = f"also installed in this Python: {', '.join(shadowed)}"
        return Check(name="imports", state="warning", detail=detail, hint=hint)
    return Check(name="imports", state="ok", detail=f"{plural(len(modules), 'module')}, none installed twice")


def _installed_too(modules: Sequence[str]) -> Iterator[str]:
    from importlib.machinery import PathFinder

    for module in modules:
        try:
            spec = PathFinder.find_spec(module)
        except (ImportError, ValueError):
            continue
        # A folder of that name without code of its own (a namespace) stands in nobody's way.
        if spec is not None and spec.origin is not None:
            yield module


def _failed(name: str, error: DxForgeError) -> Check:
    where = f"{error.where}: " if error.where and error.where != name else ""
    return Check(name=name, state="problem", detail=f"{where}{error.what}", hint=error.hint)
