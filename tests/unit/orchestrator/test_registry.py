"""Which tools there are."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from dxforge.errors import ConfigError, ToolDefinitionError, UnknownToolError
from dxforge.orchestrator.definition import DxToolDefinition
from dxforge.orchestrator.registry import Registry


class Declared:
    """Stands for the reader of ``dx.toml``: gives what it was told, and counts."""

    def __init__(self, root: Path, *names: str) -> None:
        self.file = root / "dx.toml"
        self.asked = 0
        self.changed_at_s = 1000
        self.fault = ""
        self.tell(*names)

    def tell(self, *names: str) -> None:
        self.names = names
        self.touch()

    def touch(self) -> None:
        self.file.write_text("")
        self.changed_at_s += 1
        os.utime(self.file, (self.changed_at_s, self.changed_at_s))

    def __call__(self) -> Sequence[DxToolDefinition]:
        self.asked += 1
        if self.fault:
            raise ConfigError(self.fault)
        return [DxToolDefinition(name, "no-such-program") for name in self.names]


def tool(name: str, *needs: str, binary: str = "true") -> DxToolDefinition:
    return DxToolDefinition(name, binary, 0, needs)


def test_round_trip_and_order(tmp_path: Path) -> None:
    registry = Registry(tmp_path, Declared(tmp_path, "z", "y"))
    made = tool("b", "z")
    registry.add(made)
    registry.add(tool("a", "b"))
    assert registry.get("b") is made
    assert list(registry.all()) == ["z", "y", "b", "a"]
    with pytest.raises(UnknownToolError):
        registry.get("c")


def test_duplicates_are_refused(tmp_path: Path) -> None:
    registry = Registry(tmp_path, Declared(tmp_path, "declared"))
    registry.add(tool("registered"))
    for name, where in (
        ("registered", "already, registered"),
        ("declared", "already, in dx.toml"),
        ("DeClared", 'in dx.toml .as "declared"'),
    ):
        with pytest.raises(ToolDefinitionError, match=where):
            registry.add(tool(name))
    assert list(registry.all()) == ["declared", "registered"]


def test_what_cannot_be_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    registry = Registry(tmp_path, None)
    registry.add(tool("base"))
    for definition, message in (
        (tool("a", "bsae"), 'depends on "bsae"'),
        (tool("a", "a"), "circle: a → a"),
        (tool("a", binary="no-such-program"), "there is no program"),
        (tool("a", binary="./nothing"), "there is no program"),
    ):
        with pytest.raises(ToolDefinitionError, match=message) as caught:
            registry.add(definition)
        assert caught.value.tool == "a"
    assert list(registry.all()) == ["base"]


def test_a_circle_through_dx_toml(tmp_path: Path) -> None:
    Declared(tmp_path)
    registry = Registry(tmp_path, lambda: [tool("a", "b")])
    with pytest.raises(ToolDefinitionError, match="circle: a → b → a"):
        registry.add(tool("b", "a"))


def test_dx_toml_is_asked_again_when_it_changed(tmp_path: Path) -> None:
    declared = Declared(tmp_path, "a")
    registry = Registry(tmp_path, declared)
    assert list(registry.all()) == list(registry.all()) == ["a"]
    assert declared.asked == 1
    declared.tell("b")
    assert list(registry.all()) == ["b"]
    declared.file.unlink()
    assert registry.all() == {}
    assert declared.asked == 2


def test_a_broken_dx_toml_keeps_what_it_said_and_lets_nothing_start(tmp_path: Path) -> None:
    declared = Declared(tmp_path, "a")
    registry = Registry(tmp_path, declared)
    assert list(registry.all()) == ["a"]
    declared.fault = "broken"
    declared.touch()
    assert list(registry.all()) == ["a"]
    for _ in range(2):
        with pytest.raises(ConfigError, match="broken"):
            registry.all(strict=True)
    assert declared.asked == 2
    fresh = Registry(tmp_path, declared)
    with pytest.raises(ConfigError, match="broken"):
        fresh.all()
    declared.fault = ""
    declared.touch()
    assert list(registry.all(strict=True)) == ["a"]


def test_dx_toml_comes_to_declare_a_registered_tool(tmp_path: Path) -> None:
    declared = Declared(tmp_path)
    registry = Registry(tmp_path, declared)
    mine = tool("a")
    registry.add(mine)
    declared.tell("a")
    assert registry.get("a") is mine
    with pytest.raises(ToolDefinitionError, match=r"in dx\.toml"):
        registry.all(strict=True)
