"""The front end as it was built at install: the core that every panel is made of, and the editor's part."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import Any

from dxforge.errors import DxForgeError, UsageError

STATIC = Path(__file__).parents[1] / "static"
_CORE, _STYLE, _EDITOR = "panel.js", "panel.css", "editor.js"


class NotBuiltError(DxForgeError):
    """The front end is not there: there was no Node.js when dxforge was installed."""


def core() -> tuple[str, str]:
    """The script and the style sheet of every panel.

    Raises:
        NotBuiltError: they are not there.
    """
    return _text(_CORE), _text(_STYLE)


def editor_id() -> str:
    """What tells this editor from that of another version: its sha256; empty where there is none."""
    try:
        return _part(_EDITOR)[0]
    except NotBuiltError:
        return ""


def asset(name: str) -> dict[str, Any]:
    """A part that is sent when it is first needed: "editor".

    Raises:
        UsageError: there is no such part.
        NotBuiltError: it is not there.
    """
    if name != "editor":
        raise UsageError("there is no such part of the front end", where=name, hint='Ask for "editor"')
    digest, code = _part(_EDITOR)
    return {"name": name, "sha256": digest, "code": code}


def _text(name: str) -> str:
    return _part(name)[1]


def _part(name: str) -> tuple[str, str]:
    file = STATIC / name
    try:
        return _read(file, file.stat().st_mtime_ns)
    except OSError as error:
        raise NotBuiltError(
            "the front end was not built when dxforge was installed",
            where=f"dxforge_nb/static/{name}",
            hint="Install Node.js, and dxforge again",
        ) from error


@functools.lru_cache(maxsize=8)
def _read(file: Path, _: int) -> tuple[str, str]:
    content = file.read_bytes()
    return hashlib.sha256(content).hexdigest(), content.decode()
