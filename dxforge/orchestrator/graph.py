"""Which tool needs which: what must run, in what order. Pure."""

from __future__ import annotations

import graphlib
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby

from dxforge.config.table import nearest_hint, show
from dxforge.errors import ToolDefinitionError, UnknownToolError
from dxforge.orchestrator import check
from dxforge.orchestrator.definition import DxToolDefinition

Definitions = Mapping[str, DxToolDefinition]


def unknown_tool(name: str, known: Iterable[str]) -> UnknownToolError:
    """The error for a ``name`` that no tool has."""
    hint = nearest_hint(name, known, kind="tool") or "There are no tools: add [tools.<name>] to dx.toml"
    return UnknownToolError(f"there is no tool {show(name)}", where="tools", hint=hint)


def closure(names: Iterable[str], definitions: Definitions) -> dict[str, DxToolDefinition]:
    """The tools ``names`` and all that they need, directly or not.

    Raises:
        UnknownToolError: there is no such tool.
        UsageError: a name is no text.
        ToolDefinitionError: one of them needs a tool that does not exist.
    """
    found: dict[str, DxToolDefinition] = {}
    waiting: list[tuple[str, str]] = [(name, "") for name in names]
    while waiting:
        name, needed_by = waiting.pop()
        check.name(name)
        if name in found:
            continue
        if name not in definitions:
            raise unknown_dependency(needed_by, name, definitions) if needed_by else unknown_tool(name, definitions)
        found[name] = definitions[name]
        waiting.extend((dependency, name) for dependency in definitions[name].dependencies)
    return found


def unknown_dependency(tool: str, name: str, known: Iterable[str]) -> ToolDefinitionError:
    """The error for a tool that depends on a ``name`` that no tool has."""
    others = [other for other in known if other != tool]
    hint = nearest_hint(name, others, kind="tool") or f"Add [tools.{name}] to dx.toml, or register it first"
    return ToolDefinitionError(f"it depends on {show(name)}, and there is no such tool", tool=tool, hint=hint)


def sorter(definitions: Definitions) -> graphlib.TopologicalSorter[str]:
    """A prepared sorter, dependencies first. Names that ``definitions`` does not have are left out.

    Raises:
        ToolDefinitionError: they depend on each other in a circle, which the error draws: ``a → b → a``.
    """
    made: graphlib.TopologicalSorter[str] = graphlib.TopologicalSorter()
    # Sorted, so that the same tools give the same error.
    for name in sorted(definitions):
        made.add(name, *sorted(other for other in definitions[name].dependencies if other in definitions))
    try:
        made.prepare()
    except graphlib.CycleError as error:
        # graphlib gives each before the one that needs it, and the first again at the end.
        circle = list(reversed(error.args[1][1:]))
        start = circle.index(min(circle))
        drawn = " → ".join([*circle[start:], *circle[:start], circle[start]])
        raise ToolDefinitionError(
            f"tools depend on each other in a circle: {drawn}",
            tool=circle[start],
            hint="Take one of these dependencies away",
        ) from error
    return made


def by_priority(names: Iterable[str], definitions: Definitions) -> Iterator[list[str]]:
    """``names`` in groups of the same priority, lower first; by name within a group."""
    ordered = sorted(names, key=lambda name: (definitions[name].priority, name))
    for _, group in groupby(ordered, key=lambda name: definitions[name].priority):
        yield list(group)


def waves(definitions: Definitions) -> list[list[str]]:
    """The tools in waves: each wave needs only what earlier ones hold. By priority within a wave, lower first.

    Raises:
        ToolDefinitionError: a circle.
    """
    waiting = sorter(definitions)
    found = []
    while waiting.is_active():
        wave = waiting.get_ready()
        found.append([name for group in by_priority(wave, definitions) for name in group])
        waiting.done(*wave)
    return found
