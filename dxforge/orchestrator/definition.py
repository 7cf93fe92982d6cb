"""What a tool is: the public definition, from Python or from ``[tools]``."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from dxforge.config.model import HealthConfig, OnOwnerExit, RestartConfig, StopConfig, ToolConfig
from dxforge.config.tools import decode_tool


@dataclass(frozen=True, slots=True, init=False)
class DxToolDefinition:
    """A program of the project: how it is found, started, watched and stopped.

    The keys of ``[tools.<name>]`` in ``dx.toml``, checked in the same way. ``health``, ``restart`` and ``stop`` may be
    given as there (``health={"tcp": "127.0.0.1:8000"}``) or as the classes of `dxforge.config.model`.

    Args:
        name: unique in the project.
        binary_path: a path (relative: from the project's root) or a bare name, looked up as `lookup` says.
        priority: lower starts first within a wave of tools whose dependencies are met.
        dependencies: names of tools that must be ready before.
        args: of the long-running form only; ``execute_tool`` and build steps give their own.
        env: the whole environment, but for PATH, HOME and what the platform needs.
        pass_env: names of variables that are taken over from dxforge's own environment, e.g. tokens.
        cwd: where it runs, relative to the project's root ("" = the root).
        health: how to tell that it is healthy; exactly one of http, tcp, exec and log.
        restart: when it is started again after it ended by itself.
        stop: the signal, and the seconds until it is killed.
        watch: globs of files whose changes restart it (``dxforge watch``).
        inputs: globs of what a build step of this tool reads, where the step names none.
        outputs: paths that such a step writes.
        on_owner_exit: "stop" it with the session that started it, or "keep" it running.

    Raises:
        ConfigError: a value that cannot be; names the key.
    """

    name: str
    binary_path: str
    priority: int
    dependencies: tuple[str, ...]
    args: tuple[str, ...]
    env: Mapping[str, str] = field(hash=False)
    pass_env: tuple[str, ...]
    cwd: str
    health: HealthConfig | None
    restart: RestartConfig
    stop: StopConfig
    watch: tuple[str, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    on_owner_exit: OnOwnerExit

    def __init__(
        self,
        name: str,
        binary_path: str | os.PathLike[str],
        priority: int = 0,
        dependencies: Sequence[str] = (),
        *,
        args: Sequence[str] = (),
        env: Mapping[str, str] = MappingProxyType({}),
        pass_env: Sequence[str] = (),
        cwd: str | os.PathLike[str] = "",
        health: HealthConfig | Mapping[str, Any] | None = None,
        restart: RestartConfig | Mapping[str, Any] | None = None,
        stop: StopConfig | Mapping[str, Any] | None = None,
        watch: Sequence[str] = (),
        inputs: Sequence[str] = (),
        outputs: Sequence[str] = (),
        on_owner_exit: OnOwnerExit = "stop",
    ) -> None:
        ready = {
            key: value
            for key, value in (("health", health), ("restart", restart), ("stop", stop))
            if isinstance(value, HealthConfig | RestartConfig | StopConfig)
        }
        written = {
            "binary_path": _text(binary_path),
            "priority": priority,
            "dependencies": _array(dependencies),
            "args": _array(args),
            "env": _table(env),
            "pass_env": _array(pass_env),
            "cwd": _text(cwd),
            "watch": _array(watch),
            "inputs": _array(inputs),
            "outputs": _array(outputs),
            "on_owner_exit": on_owner_exit,
        }
        for key, value in (("health", health), ("restart", restart), ("stop", stop)):
            if value is not None and key not in ready:
                written[key] = _table(value)
        config = decode_tool(name, written)
        self._fill(config, **ready)

    @classmethod
    def from_config(cls, config: ToolConfig) -> DxToolDefinition:
        """The definition that ``[tools.<name>]`` stands for."""
        definition = object.__new__(cls)
        definition._fill(config)
        return definition

    def to_json(self) -> dict[str, Any]:
        """All fields, as JSON has them. Of ``pass_env`` the names only."""
        data = {key: getattr(self, key) for key in self.__slots__}
        for key in ("health", "restart", "stop"):
            data[key] = None if data[key] is None else asdict(data[key])
        return {**data, "env": dict(self.env)}

    def digest(self) -> str:
        """The sha256 of `to_json`: another one, another definition."""
        text = json.dumps(self.to_json(), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()

    def _fill(self, config: ToolConfig, **ready: Any) -> None:
        for key in self.__slots__:
            value = ready.get(key, getattr(config, key))
            object.__setattr__(self, key, MappingProxyType(dict(value)) if key == "env" else value)


def _text(value: object) -> object:
    # What is no path goes on as it is, for the decoder to refuse.
    if isinstance(value, Path):
        return value.as_posix()
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _table(value: object) -> object:
    # What is no table goes on as it is, for the decoder to refuse.
    return dict(value) if isinstance(value, Mapping) else value


def _array(value: Sequence[str]) -> object:
    # A lone string is a sequence too, and hardly ever meant: it goes on as it is, for the decoder to refuse.
    return list(value) if isinstance(value, list | tuple | set | frozenset) else value
