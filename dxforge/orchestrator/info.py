"""Everything that is shown of tools, put together."""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Mapping
from pathlib import Path

from dxforge.orchestrator.definition import DxToolDefinition
from dxforge.orchestrator.life import Life
from dxforge.orchestrator.probe import describe
from dxforge.orchestrator.record import RunRecord, peek
from dxforge.orchestrator.status import ToolInfo, ToolStatus
from dxforge.orchestrator.usage import Meter, Tree, Usage


def gather(
    statuses: Mapping[str, ToolStatus],
    *,
    folder: Path,
    lives: Mapping[str, Life],
    definitions: Mapping[str, DxToolDefinition],
    declared: Container[str],
    meter: Meter,
) -> list[ToolInfo]:
    """The tools of ``statuses``, in that order.

    Args:
        statuses: how they stand.
        folder: ``.dx/tools``.
        lives: of those that this session runs.
        definitions: as they are now.
        declared: the names that stand in ``dx.toml``.
        meter: keeps what was measured before.
    """
    records = {name: _record(folder / name, lives.get(name)) for name in statuses}
    trees = {
        name: Tree(pid=record.pid, guard_pid=record.guard_pid) for name, record in records.items() if record is not None
    }
    usage = meter.measure(trees)
    return [
        _info(
            name,
            status,
            folder=folder / name,
            life=lives.get(name),
            definition=definitions.get(name),
            declared=name in declared,
            record=records[name],
            usage=usage.get(name),
        )
        for name, status in statuses.items()
    ]


def _record(folder: Path, life: Life | None) -> RunRecord | None:
    process = life.process if life is not None else None
    if process is None:
        return peek(folder)
    return dataclasses.replace(process.record, owner_pids=process.owner_pids, board=process.board)


def _info(
    name: str,
    status: ToolStatus,
    *,
    folder: Path,
    life: Life | None,
    definition: DxToolDefinition | None,
    declared: bool,
    record: RunRecord | None,
    usage: Usage | None,
) -> ToolInfo:
    log = folder / "log"
    board = record.board if record is not None else {}
    if record is not None and record.digest and (definition is None or definition.digest() != record.digest):
        if definition is None:
            outdated = "neither in dx.toml nor registered here"
        else:
            outdated = f"{'dx.toml' if declared else 'its definition'} changed; restart applies it"
        status = dataclasses.replace(status, detail=f"{status.detail}; {outdated}" if status.detail else outdated)
    return ToolInfo(
        name=name,
        status=status,
        health=describe(definition.health) if definition is not None else "",
        uptime_s=record.uptime_s() if record is not None else None,
        restarts=life.restarts if life is not None else int(board.get("restarts", 0)),
        cpu_percent=usage.cpu_percent if usage is not None else None,
        memory_bytes=usage.memory_bytes if usage is not None else None,
        processes=usage.processes if usage is not None else None,
        owner_pids=record.owner_pids if record is not None else (),
        log_path=str(log) if log.exists() else "",
        dependencies=definition.dependencies if definition is not None else (),
    )
