"""Decoding ``[tools.*]``, ``[build]`` and ``[remote]``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

from dxforge.config.model import (
    DEFAULT_REMOTE,
    BuildConfig,
    HealthConfig,
    OnOwnerExit,
    RemoteConfig,
    RestartConfig,
    RestartPolicy,
    StepConfig,
    StopConfig,
    ToolConfig,
)
from dxforge.config.packages import check_inside, check_names, check_url
from dxforge.config.secrets import refuse_secrets
from dxforge.config.table import At, Table, check_table, check_text, show

MAX_SECONDS = 86_400.0
MAX_COUNT = 1_000_000
_POLICIES: tuple[RestartPolicy, ...] = get_args(RestartPolicy)
_ON_OWNER_EXIT: tuple[OnOwnerExit, ...] = get_args(OnOwnerExit)
# By name, not from `signal`: the same dx.toml is read on every system.
_SIGNALS = ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGKILL", "SIGUSR1", "SIGUSR2")
_HEALTH_KINDS = ("http", "tcp", "exec", "log")
_TOOL_KEYS = (
    "binary_path", "args", "env", "pass_env", "cwd", "priority", "dependencies", "health", "restart", "stop", "watch",
    "inputs", "outputs", "on_owner_exit",
)  # fmt: skip


def decode_tools(value: object, at: At) -> tuple[ToolConfig, ...]:
    """``[tools]``, in the order of the file.

    Raises:
        ConfigError: a name or a value that cannot be.
    """
    table = check_table(value, at)
    check_names(table, at)
    return tuple(_tool(name, Table(entry, at / name, _TOOL_KEYS)) for name, entry in table.items())


def decode_tool(name: str, entry: Mapping[str, object]) -> ToolConfig:
    """A tool that was described in Python, by the keys of ``[tools.<name>]``.

    Raises:
        ConfigError: a name or a value that cannot be.
    """
    at = At(where="DxToolDefinition", path=("tools",))
    if not isinstance(name, str):
        raise at.wrong_type(name, "a text for the name")
    check_names({name: entry}, at)
    refuse_secrets({"tools": {name: entry}}, At(where=at.where))
    return _tool(name, Table(entry, at / name, _TOOL_KEYS))


def _tool(name: str, table: Table) -> ToolConfig:
    return ToolConfig(
        name=name,
        binary_path=table.text("binary_path"),
        args=table.texts("args", empty=True, lines=True),
        env=_env(table.value("env"), table.at / "env"),
        pass_env=_variables(table),
        cwd=table.text("cwd", "", empty=True),
        priority=table.whole("priority", 0, low=-MAX_COUNT, high=MAX_COUNT),
        dependencies=table.texts("dependencies"),
        health=_health(table.value("health"), table.at / "health") if "health" in table else None,
        restart=_restart(table.value("restart"), table.at / "restart"),
        stop=_stop(table.value("stop"), table.at / "stop"),
        watch=table.texts("watch"),
        inputs=table.texts("inputs"),
        outputs=_outputs(table),
        on_owner_exit=table.choice("on_owner_exit", "stop", _ON_OWNER_EXIT),
    )


def _env(value: object, at: At) -> tuple[tuple[str, str], ...]:
    pairs = []
    for name, entry in check_table(value, at).items():
        _check_variable(name, at / name)
        pairs.append((name, check_text(entry, at / name, empty=True, lines=True)))
    return tuple(pairs)


def _variables(table: Table) -> tuple[str, ...]:
    names = table.texts("pass_env")
    for index, name in enumerate(names):
        _check_variable(name, table.at / "pass_env" / index)
    return names


def _check_variable(name: str, at: At) -> None:
    if "=" in name or not name.isprintable() or not name.strip():
        raise at.error(f"{show(name)} cannot name an environment variable", hint="Use letters and '_'")


def _outputs(table: Table) -> tuple[str, ...]:
    # Outputs are replaced as a whole on a cache hit, so none may lie outside of the project or be all of it.
    outputs = []
    for index, text in enumerate(table.texts("outputs")):
        at = table.at / "outputs" / index
        path = check_inside(text, at)
        if path == ".":
            raise at.error("the output is the whole project", hint="Name a file or folder in it")
        outputs.append(path)
    return tuple(outputs)


def _health(value: object, at: At) -> HealthConfig:
    table = Table(value, at, (*_HEALTH_KINDS, "interval_s", "timeout_s", "failures"))
    kinds = [kind for kind in _HEALTH_KINDS if kind in table]
    if len(kinds) != 1:
        found = f"more than one check: {', '.join(kinds)}" if kinds else "no check"
        raise at.error(found, hint=f"Give just one of {', '.join(_HEALTH_KINDS)}")
    default = HealthConfig()
    http, tcp = table.text("http", ""), table.text("tcp", "")
    if http:
        check_url(http, at / "http", schemes=("http", "https"))
    if tcp:
        _check_host_port(tcp, at / "tcp")
    program = table.texts("exec", empty=True, lines=True)
    if "exec" in table and not (program and program[0].strip()):
        raise (at / "exec").error("no program is named", hint='Write for example exec = ["pg_isready", "-q"]')
    return HealthConfig(
        http=http,
        tcp=tcp,
        exec=program,
        log=table.text("log", ""),
        interval_s=table.seconds("interval_s", default.interval_s, low=0.01, high=MAX_SECONDS),
        timeout_s=table.seconds("timeout_s", default.timeout_s, low=0.01, high=MAX_SECONDS),
        failures=table.whole("failures", default.failures, low=1, high=MAX_COUNT),
    )


def _check_host_port(text: str, at: At) -> None:
    host, _, port = text.rpartition(":")
    # isascii: int() also reads the digits of other scripts.
    digits = port if port.isascii() and port.isdigit() and len(port) <= 5 else "0"
    if not host or not 0 < int(digits) < 65_536 or any(char.isspace() or char in "/@" for char in host):
        raise at.error(f"{show(text)} is not host:port", hint='Write for example "127.0.0.1:8000"')


def _restart(value: object, at: At) -> RestartConfig:
    table = Table(value, at, ("policy", "max"))
    default = RestartConfig()
    return RestartConfig(
        policy=table.choice("policy", default.policy, _POLICIES),
        max=table.whole("max", default.max, low=0, high=MAX_COUNT),
    )


def _stop(value: object, at: At) -> StopConfig:
    table = Table(value, at, ("signal", "grace_s"))
    default = StopConfig()
    return StopConfig(
        signal=table.choice("signal", default.signal, _SIGNALS),
        grace_s=table.seconds("grace_s", default.grace_s, low=0, high=MAX_SECONDS),
    )


def decode_build(value: object, at: At) -> BuildConfig:
    """``[build]`` with its steps.

    Raises:
        ConfigError: a value that cannot be.
    """
    table = Table(value, at, ("needs", "steps"))
    steps = table.value("steps") if "steps" in table else []
    if not isinstance(steps, list):
        raise (at / "steps").wrong_type(steps, "an array of tables, [[build.steps]]")
    return BuildConfig(
        needs=table.texts("needs"),
        steps=tuple(_step(step, at / "steps" / index) for index, step in enumerate(steps)),
    )


def _step(value: object, at: At) -> StepConfig:
    table = Table(value, at, ("tool", "args", "inputs", "outputs"))
    return StepConfig(
        tool=table.text("tool"),
        args=table.texts("args", empty=True, lines=True),
        inputs=table.texts("inputs"),
        outputs=_outputs(table),
    )


def decode_remote(value: object, at: At) -> RemoteConfig:
    """``[remote]``.

    Raises:
        ConfigError: an address that is neither file, s3 nor r2.
    """
    table = Table(value, at, ("url", "read", "write"))
    url = DEFAULT_REMOTE
    if "url" in table:
        url = check_url(table.text("url").strip(), at / "url", schemes=("file", "s3", "r2"))
        if url == "file://":
            raise (at / "url").error("the address names no folder", hint='Write for example "file://.dx/remote"')
    return RemoteConfig(url=url, read=table.flag("read", default=True), write=table.flag("write", default=True))
