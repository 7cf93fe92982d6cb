"""The pipelines: named, ordered steps over the parts of a forge."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dxforge.forge import DxForge
    from dxforge.traffic.model import InstallReport

_log = logging.getLogger("dxforge")


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownPipeline:
    """The report on a command that is no pipeline: nothing was changed. ``notes`` say which there are."""

    command: str
    notes: tuple[str, ...]
    ok: bool = False

    def to_json(self) -> dict[str, Any]:
        """All fields."""
        return {"ok": self.ok, "command": self.command, "notes": list(self.notes)}


async def install(forge: DxForge) -> InstallReport:
    """Install everything that ``dx.toml`` declares."""
    return await forge.traffic_manager.install_all_dependencies()


PIPELINES: Mapping[str, Callable[[DxForge], Awaitable[InstallReport]]] = {"install": install}


async def run(forge: DxForge, command: str) -> InstallReport | UnknownPipeline:
    """Run the pipeline ``command``; an unknown one only logs a warning that names the known ones."""
    pipeline = PIPELINES.get(command)
    if pipeline is not None:
        return await pipeline(forge)
    near = difflib.get_close_matches(command, PIPELINES, n=1, cutoff=0.4)
    guess = f"; did you mean {near[0]!r}?" if near else ""
    note = f"there is no pipeline {command!r}, only {', '.join(map(repr, PIPELINES))}{guess}"
    _log.warning("%s", note)
    return UnknownPipeline(command=command, notes=(note,))
