"""What ``doctor`` says about tools: definitions, programs, ports, Node, and the tools that the build names."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from dxforge.commands.check import Check
from dxforge.commands.result import plural
from dxforge.errors import DxForgeError

if TYPE_CHECKING:
    from dxforge.config.model import Config
    from dxforge.orchestrator.definition import DxToolDefinition
    from dxforge.orchestrator.orchestrator import Orchestrator

_NODE_PROGRAMS = frozenset({"node", "npm", "npx", "yarn", "pnpm"})
_SHEBANG_BYTES = 256


def tool_checks(config: Config, tools: Orchestrator) -> Iterator[Check]:
    """The findings; a single one where there are no tools."""
    definitions = {tool.name: tool for tool in tools.tools()}
    if not definitions:
        yield Check(name="tools", state="ok", detail="none in dx.toml")
    else:
        yield _graph(definitions)
        programs = dict(_programs(definitions, tools))
        yield _found(programs)
        found = {name: path for name, path in programs.items() if isinstance(path, Path)}
        if users := [name for name, path in found.items() if _wants_node(path)]:
            yield _node(users, config.root)
        yield _ports(definitions, tools)
        yield _states(tools)
    if config.build.needs or config.build.steps:
        yield _build(config, definitions)


def _graph(definitions: Mapping[str, DxToolDefinition]) -> Check:
    from dxforge.orchestrator.graph import closure, sorter

    try:
        sorter(closure(definitions, definitions))
    except DxForgeError as error:
        return Check(name="tools", state="problem", detail=f"{error.where}: {error.what}", hint=error.hint)
    return Check(name="tools", state="ok", detail=f"{plural(len(definitions), 'tool')}, dependencies known, no circle")


def _programs(
    definitions: Mapping[str, DxToolDefinition], tools: Orchestrator
) -> Iterator[tuple[str, Path | DxForgeError]]:
    for name, definition in definitions.items():
        try:
            yield name, tools.resolve_binary(definition)
        except DxForgeError as error:
            yield name, error


def _found(programs: Mapping[str, Path | DxForgeError]) -> Check:
    errors = [error for error in programs.values() if isinstance(error, DxForgeError)]
    if errors:
        detail = "; ".join(f"{error.where}: {error.what}" for error in errors)
        return Check(name="programs", state="problem", detail=detail, hint=errors[0].hint)
    return Check(name="programs", state="ok", detail=f"{plural(len(programs), 'program')} found, executable")


def _wants_node(program: Path) -> bool:
    """Whether it is Node, or a script that Node runs (as everything in ``node_modules/.bin``)."""
    if program.stem.lower() in _NODE_PROGRAMS or program.parent.parts[-2:] == ("node_modules", ".bin"):
        return True
    try:
        with program.open("rb") as stream:
            first = stream.read(_SHEBANG_BYTES).split(b"\n", 1)[0]
    except OSError:
        return False
    return first.startswith(b"#!") and b"node" in first


def _node(users: list[str], root: Path) -> Check:
    from dxforge.orchestrator.lookup import find_program

    try:
        node = find_program("node", root, os.environ)
    except LookupError as error:
        hint = "Install Node.js, or put the folder of `node` on PATH"
        return Check(name="node", state="problem", detail=f"needed by {', '.join(users)}; {error.args[0]}", hint=hint)
    return Check(name="node", state="ok", detail=f"{node}, for {', '.join(users)}")


def _ports(definitions: Mapping[str, DxToolDefinition], tools: Orchestrator) -> Check:
    from dxforge.orchestrator.ports import find_holder, is_taken, local_addresses, probed_address

    probed = 0
    taken: list[tuple[str, int]] = []
    for name, definition in definitions.items():
        address = probed_address(definition.health)
        if address is None:
            continue
        probed += 1
        host, port = address
        if tools.status(name).pid is None and any(is_taken(near, port) for near in local_addresses(host)):
            taken.append((name, port))
    if taken:
        detail = "; ".join(f"{port}, which {name} is to have, by {find_holder(port)}" for name, port in taken)
        hint = "Stop what holds it, or give the tool another port"
        return Check(name="ports", state="problem", detail=f"taken: {detail}", hint=hint)
    return Check(name="ports", state="ok", detail=f"{plural(probed, 'port')} free, or held by the tool itself")


def _states(tools: Orchestrator) -> Check:
    from dxforge.commands.tools import up_count
    from dxforge.orchestrator.status import ToolState

    infos = tools.infos()
    sick = [info for info in infos if info.status.state is ToolState.DEGRADED]
    if sick:
        detail = "; ".join(f"{info.name} is degraded: {info.status.detail}" for info in sick)
        hint = f"`dxforge logs {sick[0].name}` shows what it wrote, `dxforge restart {sick[0].name}` starts it again"
        return Check(name="running", state="warning", detail=detail, hint=hint)
    return Check(name="running", state="ok", detail=up_count(infos))


def _build(config: Config, definitions: Mapping[str, DxToolDefinition]) -> Check:
    named = dict.fromkeys((*config.build.needs, *(step.tool for step in config.build.steps)))
    unknown = [name for name in named if name not in definitions]
    if unknown:
        hint = f"Add [tools.{unknown[0]}] to dx.toml, or correct the name in [build]"
        return Check(name="build", state="problem", detail=f"no such tool: {', '.join(unknown)}", hint=hint)
    return Check(name="build", state="ok", detail=f"{plural(len(config.build.steps), 'step')}, every tool known")
