"""Which tools there are: registered from Python, or declared in ``dx.toml``."""

from __future__ import annotations

import copy
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from dxforge.config.packages import same_name
from dxforge.config.table import show
from dxforge.errors import DxForgeError, ToolDefinitionError
from dxforge.orchestrator import check, graph, lookup
from dxforge.orchestrator.definition import DxToolDefinition


class Registry:
    """The definitions of a project, by name. Thread-safe.

    Args:
        root: the project's folder, absolute.
        declared: gives the tools of ``dx.toml``, which is read where None; asked again when the file changed, and not
            while there is none.
    """

    def __init__(self, root: Path, declared: Callable[[], Sequence[DxToolDefinition]] | None = None) -> None:
        self._root = root
        self._declare = declared or self._load
        self._lock = threading.Lock()
        self._registered: Mapping[str, DxToolDefinition] = {}
        self._declared: Mapping[str, DxToolDefinition] = {}
        self._stamp: tuple[int, ...] | None = None
        self._fault: DxForgeError | None = None
        self._read_once = False

    def after_fork(self) -> None:
        """In a forked child: a thread that held the lock is not there to give it back."""
        self._lock = threading.Lock()

    def add(self, definition: DxToolDefinition) -> None:
        """Register a tool, checked as ``Orchestrator.register_tool`` says."""
        check.definition(definition)
        with self._lock:
            self._read()
            known = {**self._declared, **self._registered}
            other = same_name(definition.name, known)
            if other is not None:
                raise _duplicate(definition.name, other, "in dx.toml" if other in self._declared else "registered")
            for name in definition.dependencies:
                if name not in known and name != definition.name:
                    raise graph.unknown_dependency(definition.name, name, known)
            graph.sorter({**known, definition.name: definition})
            lookup.find_binary(definition, self._root, os.environ)
            self._registered = {**self._registered, definition.name: definition}

    def all(self, *, strict: bool = False) -> dict[str, DxToolDefinition]:
        """Every tool: those of ``dx.toml`` in its order, then the registered ones.

        While ``dx.toml`` says something that cannot be, what it last said; to start something (``strict``), that is an
        error.

        Raises:
            ConfigError: ``dx.toml`` cannot be, and was never read before, or ``strict``.
            ToolDefinitionError: ``dx.toml`` has come to declare a registered tool (``strict``).
        """
        with self._lock:
            self._read()
            if self._fault is not None and (strict or not self._read_once):
                raise copy.copy(self._fault) from self._fault
            for name in self._registered if strict else ():
                other = same_name(name, self._declared)
                if other is not None:
                    raise _duplicate(name, other, "in dx.toml")
            return {**self._declared, **self._registered}

    def declared(self) -> frozenset[str]:
        """The names that stand in ``dx.toml``, as it was last read."""
        return frozenset(self._declared)

    def binary(self, definition: DxToolDefinition) -> Path:
        """As ``Orchestrator.resolve_binary``."""
        return lookup.find_binary(definition, self._root, os.environ)

    def environment(self, definition: DxToolDefinition) -> dict[str, str]:
        """As ``Orchestrator.environment``."""
        return lookup.make_environment(definition, self._root, os.environ)

    def get(self, name: str) -> DxToolDefinition:
        """One tool.

        Raises:
            UnknownToolError: with the nearest name.
            UsageError: ``name`` is no text.
        """
        check.name(name)
        known = self.all()
        if name not in known:
            raise graph.unknown_tool(name, known)
        return known[name]

    def _load(self) -> Sequence[DxToolDefinition]:
        from dxforge.config.load import load_config

        return [DxToolDefinition.from_config(tool) for tool in load_config(self._root).tools]

    def _read(self) -> None:
        stamp = _stamp(self._root / "dx.toml")
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            declared = self._declare() if stamp is not None else ()
        except DxForgeError as error:
            self._fault = error
        else:
            self._declared = {definition.name: definition for definition in declared}
            self._fault, self._read_once = None, True


def _stamp(file: Path) -> tuple[int, ...] | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _duplicate(name: str, other: str, where: str) -> ToolDefinitionError:
    same = "" if name == other else f" (as {show(other)}, which would be the same folder somewhere)"
    return ToolDefinitionError(
        f"there is a tool of this name already, {where}{same}", tool=name, hint="Choose another name, or remove one"
    )
