"""``[tools.*]``, ``[build]`` and ``[remote]``."""

from __future__ import annotations

import pytest

from dxforge.config.model import (
    BuildConfig,
    HealthConfig,
    RemoteConfig,
    RestartConfig,
    StepConfig,
    StopConfig,
    ToolConfig,
)
from dxforge.config.table import At
from dxforge.config.tools import decode_build, decode_remote, decode_tools
from dxforge.errors import ConfigError

AT = At(where="dx.toml")


def tool(**values: object) -> ToolConfig:
    return decode_tools({"t": {"binary_path": "bin/t", **values}}, AT / "tools")[0]


def test_a_tool_needs_just_a_binary() -> None:
    assert tool() == ToolConfig(name="t", binary_path="bin/t")
    with pytest.raises(ConfigError, match=r"tools\.t\.binary_path: the key is missing"):
        decode_tools({"t": {}}, AT / "tools")


def test_every_key_of_a_tool() -> None:
    assert tool(
        args=["serve", ""],
        env={"A": "1", "B": ""},
        cwd="web",
        priority=-3,
        dependencies=["db"],
        health={"tcp": "127.0.0.1:80", "interval_s": 0.5, "timeout_s": 2, "failures": 1},
        restart={"policy": "always", "max": 0},
        stop={"signal": "SIGINT", "grace_s": 0},
        watch=["src/**"],
        inputs=["a"],
        outputs=["./dist/"],
        on_owner_exit="keep",
    ) == ToolConfig(
        name="t",
        binary_path="bin/t",
        args=("serve", ""),
        env=(("A", "1"), ("B", "")),
        cwd="web",
        priority=-3,
        dependencies=("db",),
        health=HealthConfig(tcp="127.0.0.1:80", interval_s=0.5, timeout_s=2.0, failures=1),
        restart=RestartConfig(policy="always", max=0),
        stop=StopConfig(signal="SIGINT", grace_s=0.0),
        watch=("src/**",),
        inputs=("a",),
        outputs=("dist",),
        on_owner_exit="keep",
    )


@pytest.mark.parametrize(
    ("health", "config"),
    [
        ({"http": "http://127.0.0.1:8000/"}, HealthConfig(http="http://127.0.0.1:8000/")),
        ({"tcp": "[::1]:80"}, HealthConfig(tcp="[::1]:80")),
        ({"exec": ["pg_isready", "-q"]}, HealthConfig(exec=("pg_isready", "-q"))),
        ({"log": "[ready] on ("}, HealthConfig(log="[ready] on (")),
    ],
)
def test_every_way_to_be_healthy(health: object, config: HealthConfig) -> None:
    assert tool(health=health).health == config


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"args": "serve"}, "args"),
        ({"args": [1]}, "args[0]"),
        ({"env": {"A": 1}}, "env.A"),
        ({"env": {"A=B": "1"}}, 'env."A=B"'),
        ({"env": {"": "1"}}, "env."),
        ({"env": []}, "env"),
        ({"priority": True}, "priority"),
        ({"priority": 10**9}, "priority"),
        ({"dependencies": "db"}, "dependencies"),
        ({"health": {}}, "health"),
        ({"health": {"tcp": "h:1", "log": "x"}}, "health"),
        ({"health": {"htp": "x"}}, "health.htp"),
        ({"health": {"http": "127.0.0.1:80"}}, "health.http"),
        ({"health": {"tcp": "80"}}, "health.tcp"),
        ({"health": {"tcp": "h:0"}}, "health.tcp"),
        ({"health": {"tcp": "h:65536"}}, "health.tcp"),
        ({"health": {"tcp": "h:٣"}}, "health.tcp"),
        ({"health": {"tcp": "http://h:1"}}, "health.tcp"),
        ({"health": {"exec": []}}, "health.exec"),
        ({"health": {"exec": ["", "x"]}}, "health.exec"),
        ({"health": {"exec": "true"}}, "health.exec"),
        ({"health": {"log": "x", "interval_s": 0}}, "health.interval_s"),
        ({"health": {"log": "x", "timeout_s": float("nan")}}, "health.timeout_s"),
        ({"health": {"log": "x", "failures": 0}}, "health.failures"),
        ({"restart": {"policy": "sometimes"}}, "restart.policy"),
        ({"restart": {"max": -1}}, "restart.max"),
        ({"restart": "always"}, "restart"),
        ({"stop": {"signal": "TERM"}}, "stop.signal"),
        ({"stop": {"grace_s": -1}}, "stop.grace_s"),
        ({"outputs": ["../dist"]}, "outputs[0]"),
        ({"outputs": ["a", "."]}, "outputs[1]"),
        ({"on_owner_exit": "explode"}, "on_owner_exit"),
        ({"binary": "x"}, "binary"),
    ],
)
def test_what_is_refused_names_the_key(values: dict[str, object], key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        tool(**values)
    assert caught.value.key.replace('""', "") == f"tools.t.{key}"
    assert caught.value.hint


def test_tools_have_safe_and_different_names() -> None:
    with pytest.raises(ConfigError):
        decode_tools({"../t": {"binary_path": "t"}}, AT / "tools")
    with pytest.raises(ConfigError, match="only in case"):
        decode_tools({"a-b": {"binary_path": "t"}, "A_B": {"binary_path": "t"}}, AT / "tools")


def test_build_has_needs_and_steps_in_order() -> None:
    steps = [{"tool": "a", "args": ["build"], "inputs": ["src/**"], "outputs": ["dist"]}, {"tool": "b"}]
    assert decode_build({"needs": ["x"], "steps": steps}, AT / "build") == BuildConfig(
        needs=("x",),
        steps=(StepConfig(tool="a", args=("build",), inputs=("src/**",), outputs=("dist",)), StepConfig(tool="b")),
    )
    assert decode_build({}, AT / "build") == BuildConfig()


@pytest.mark.parametrize(
    ("value", "key"),
    [
        ({"steps": {"tool": "a"}}, "build.steps"),
        ({"steps": ["a"]}, "build.steps[0]"),
        ({"steps": [{"tool": "a"}, {"tols": "a"}]}, "build.steps[1].tols"),
        ({"steps": [{}]}, "build.steps[0].tool"),
        ({"steps": [{"tool": "a", "outputs": ["/x"]}]}, "build.steps[0].outputs[0]"),
        ({"needs": [1]}, "build.needs[0]"),
    ],
)
def test_what_build_refuses(value: object, key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        decode_build(value, AT / "build")
    assert caught.value.key == key


@pytest.mark.parametrize(
    "url",
    [
        "file://.dx/remote",
        "file:///srv/x",
        "s3://bucket/prefix?endpoint=http://127.0.0.1:1",
        "r2://account/bucket/prefix",
    ],
)
def test_remotes_of_the_contract(url: str) -> None:
    assert decode_remote({"url": url}, AT / "remote") == RemoteConfig(url=url)


def test_the_default_remote_is_in_the_project() -> None:
    assert decode_remote({}, AT / "remote").url == "file://.dx/remote"


@pytest.mark.parametrize("url", ["", "file://", "s3://", "http://h/x", "bucket", "s3:bucket", 1])
def test_remotes_that_are_none(url: object) -> None:
    with pytest.raises(ConfigError) as caught:
        decode_remote({"url": url}, AT / "remote")
    assert caught.value.key == "remote.url"


def test_reading_and_writing_are_separate() -> None:
    assert decode_remote({}, AT / "remote") == RemoteConfig(read=True, write=True)
    assert decode_remote({"write": False}, AT / "remote") == RemoteConfig(read=True, write=False)
    assert decode_remote({"url": "s3://b", "read": False}, AT / "remote") == RemoteConfig(url="s3://b", read=False)
    with pytest.raises(ConfigError, match=r"remote\.write: expected true or false"):
        decode_remote({"write": "no"}, AT / "remote")
