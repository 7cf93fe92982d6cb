"""What a build needs of the project's tools: facts, start, execution. `dxforge.pipelines` gives the orchestrator's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolFacts:
    """What is known of a tool before it runs."""

    name: str
    binary: Path
    """The resolved program; its content is part of what a step's result depends on."""
    environment: Mapping[str, str]
    """Only what is declared: ``env``, and the values of ``pass_env``. Neither PATH nor HOME."""
    in_the_open: frozenset[str] = frozenset()
    """The names of those whose values stand in ``dx.toml``: they may be shown and written down."""
    definition: Mapping[str, Any]
    """What else of the definition a result depends on, as JSON. It is written down: no secrets."""
    inputs: tuple[str, ...] = ()
    """Of a step that names none of its own."""
    outputs: tuple[str, ...] = ()
    """The same."""
    search_path: str = ""
    """The PATH that the program gets, where a script's ``#!/usr/bin/env`` looks ("": the PATH of this process)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """One execution of a tool, to its end. ``stdout`` and ``stderr`` may be shortened; the logs keep every byte."""

    exit_code: int
    stdout: str
    stderr: str
    duration_s: float
    stdout_path: str = ""
    stderr_path: str = ""


class Toolbox(Protocol):
    """The tools of a project."""

    def definition(self, name: str) -> ToolFacts:
        """What is known of the tool.

        Raises:
            UnknownToolError: there is none; the hint names the nearest.
            ToolError: its program cannot be found.
        """

    async def ensure_all(self, names: Sequence[str]) -> object:
        """Start these tools, and what they depend on, unless they run; back when all are ready.

        Raises:
            ToolError: one did not become ready.
        """

    async def execute(self, name: str, args: Sequence[str], *, on_output: Callable[[str, str], None]) -> Execution:
        """Run the tool's program with just ``args`` in the project's root, to its end.

        Args:
            on_output: called with ("stdout" or "stderr", text) as it comes, from any thread.

        Raises:
            ToolError: it could not be run. A cancellation leaves no process.
        """
