"""Where a tool's program is, and the environment that it gets."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from dxforge.config.table import show
from dxforge.errors import ToolDefinitionError
from dxforge.orchestrator.definition import DxToolDefinition

_SCRIPTS = "Scripts" if sys.platform == "win32" else "bin"
# What programs need on every system, whatever they do.
_NEEDED = ("HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR")
_NEEDED_ON_WINDOWS = (
    "SYSTEMROOT", "SYSTEMDRIVE", "WINDIR", "COMSPEC", "PATHEXT", "TEMP", "TMP", "USERPROFILE", "HOMEDRIVE", "HOMEPATH",
    "APPDATA", "LOCALAPPDATA", "PROGRAMDATA", "PROGRAMFILES", "PROGRAMFILES(X86)", "NUMBER_OF_PROCESSORS",
    "PROCESSOR_ARCHITECTURE",
)  # fmt: skip


def find_binary(definition: DxToolDefinition, root: Path, environ: Mapping[str, str]) -> Path:
    """The program of ``definition``: absolute, symlinks kept (a virtual environment's ``python`` is one).

    A text with a separator is a path, relative to ``root``. A bare name is looked up in `search_path`, then in ``root``
    itself.

    Raises:
        ToolDefinitionError: not there, with the list of where it was looked for; or there and not executable.
    """
    try:
        return find_program(definition.binary_path, root, environ)
    except LookupError as error:
        what, hint = error.args
        raise ToolDefinitionError(what, tool=definition.name, hint=hint) from None


def find_program(program: str, root: Path, environ: Mapping[str, str]) -> Path:
    """As `find_binary`, for any program.

    Raises:
        LookupError: not found; its arguments are what happened and a hint.
    """
    if _is_path(program):
        file = Path(os.path.abspath(root / Path(program).expanduser()))
        candidates = [file]
    else:
        folders = [*search_path(root, environ), root]
        candidates = [folder / program for folder in folders]
    for candidate in candidates:
        # which() knows Windows' suffixes; given a path, it only looks whether that one can be executed.
        found = shutil.which(str(candidate))
        if found is not None:
            return Path(found)
    for candidate in candidates:
        if candidate.is_file():
            raise LookupError(f"{candidate} is not executable", f"Run `chmod +x {candidate}`, or name another program")
        if candidate.is_dir() and _is_path(program):
            raise LookupError(f"{candidate} is a folder, not a program", "Name the program in it")
    if _is_path(program):
        raise LookupError(f"there is no program {candidates[0]}", "Check binary_path; it is relative to the project")
    looked = ", ".join(str(folder) for folder in folders)
    raise LookupError(f"there is no program {show(program)}; looked in {looked}", "Install it, or write its path")


def search_path(root: Path, environ: Mapping[str, str]) -> list[Path]:
    """Folders that programs are looked for in, which is also the PATH that tools get.

    The project's virtual environment, the one that dxforge runs in, the project's ``node_modules/.bin``, then PATH.
    """
    own = [root / ".venv" / _SCRIPTS, root / "venv" / _SCRIPTS]
    running = Path(sys.prefix)
    # A system's Python is not put first: its folder has its place in PATH already.
    if sys.prefix != sys.base_prefix or (running / "conda-meta").is_dir():
        own.append(running / _SCRIPTS)
    own.append(root / "node_modules" / ".bin")
    # An empty or relative entry would mean another folder in every tool.
    others = [Path(entry) for entry in environ.get("PATH", os.defpath).split(os.pathsep) if os.path.isabs(entry)]
    return list(dict.fromkeys([*(folder for folder in own if folder.is_dir()), *others]))


def make_environment(definition: DxToolDefinition, root: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """The whole environment of a tool: PATH, HOME and what the platform needs, ``pass_env``, and last ``env``."""
    windows = sys.platform == "win32"
    names = [name for name in (*_NEEDED, *(_NEEDED_ON_WINDOWS if windows else ())) if name in environ]
    names += [name for name in environ if name.startswith("LC_")]
    made = {name: environ[name] for name in names}
    made["PATH"] = os.pathsep.join(map(str, search_path(root, environ)))
    made.update({name: environ[name] for name in definition.pass_env if name in environ})
    made.update(definition.env)
    return made


def _is_path(program: str) -> bool:
    return os.sep in program or "/" in program or program.startswith("~")
