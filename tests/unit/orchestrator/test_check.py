"""What a caller gives that cannot be: an error of ours that says what is expected."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dxforge.errors import ConfigError, UnknownToolError, UsageError
from dxforge.forge import DxForge
from dxforge.orchestrator.definition import DxToolDefinition
from dxforge.orchestrator.orchestrator import Orchestrator

TOML = '[project]\nname = "p"\n[tools.a]\nbinary_path = "true"\n'


@pytest.fixture
def tools(tmp_path: Path) -> Orchestrator:
    (tmp_path / "dx.toml").write_text(TOML)
    return Orchestrator(tmp_path)


@pytest.mark.parametrize("binary", [5, None, b"true", ["true"]])
def test_a_definition_needs_a_program(binary: Any) -> None:
    with pytest.raises(ConfigError, match="expected a text in quotes, found") as caught:
        DxToolDefinition("a", binary)
    assert caught.value.key == "tools.a.binary_path"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda tools: tools.register_tool({}), "must be a DxToolDefinition, not dict"),
        (lambda tools: tools.get_tool(5), "a tool's name must be a text, not 5"),
        (lambda tools: tools.status([]), "a tool's name must be a text, not list"),
        (lambda tools: tools.info(None), "must be a text, not NoneType"),
        (lambda tools: tools.logs("a", tail=-1), "0 or more, not -1"),
        (lambda tools: tools.logs("a", tail="5"), "0 or more, not str"),
        (lambda tools: asyncio.run(tools.ensure_running({})), "must be a text, not dict"),
        (lambda tools: asyncio.run(tools.ensure_all("abc")), "must be several texts, not str"),
        (lambda tools: asyncio.run(tools.ensure_all(5)), "must be several texts, not 5"),
        (lambda tools: asyncio.run(tools.ensure_all([["a"]])), "must be a text, not list"),
        (lambda tools: asyncio.run(tools.stop(5)), "must be a text, not 5"),
        (lambda tools: asyncio.run(tools.restart(5)), "must be a text, not 5"),
        (lambda tools: asyncio.run(tools.execute_tool("a", ["x", 5])), r"args\[1\] must be a text, not 5"),
        (lambda tools: asyncio.run(tools.execute_tool("a", "x y")), "args must be several texts, not str"),
        (lambda tools: asyncio.run(tools.execute_tool("a", 5)), "args must be several texts, not 5"),
        (lambda tools: asyncio.run(tools.execute_tool("a", timeout_s="1")), "timeout_s must be a number of seconds"),
        (lambda tools: asyncio.run(tools.execute_tool("a", env=["A"])), "env must be a table of texts, not list"),
        (lambda tools: asyncio.run(tools.execute_tool("a", env={"A": 1})), "must be a text under a text, not 1"),
        (lambda tools: asyncio.run(DxForge(tools.root).run_pipeline(5)), "is a text, not int"),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_is_a_usage_error(tools: Orchestrator, call: Callable[[Any], object], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        call(tools)
    assert caught.value.where
    assert not (tools.root / ".dx").exists(), "nothing was begun"


@pytest.mark.skipif(os.name == "nt", reason="a POSIX program")
def test_a_path_is_an_argument(tools: Orchestrator, tmp_path: Path) -> None:
    tools.register_tool(DxToolDefinition("python", sys.executable))

    async def go() -> None:
        async with tools:
            run = await tools.execute_tool("python", ["-c", "import sys; print(sys.argv[1])", tmp_path])  # type: ignore[list-item]
            assert run.stdout.strip() == str(tmp_path)

    asyncio.run(go())


def test_on_its_own_it_reads_dx_toml(tools: Orchestrator) -> None:
    assert [tool.name for tool in tools.tools()] == ["a"]
    with pytest.raises(UnknownToolError, match="The nearest known tool") as caught:
        tools.get_tool("aa")
    assert caught.value.where == "tools"


def test_what_is_declared_otherwise_counts_instead(tmp_path: Path) -> None:
    (tmp_path / "dx.toml").write_text(TOML)
    assert Orchestrator(tmp_path, declared=lambda: [DxToolDefinition("b", "true")]).get_tool("b").binary_path == "true"
    assert Orchestrator(tmp_path, declared=list).tools() == []


@pytest.mark.skipif(os.name == "nt", reason="a POSIX program")
def test_a_closed_forge_starts_nothing_until_it_is_opened_again(tools: Orchestrator) -> None:
    async def go() -> None:
        forge = DxForge(tools.root)
        async with forge:
            held = forge.orchestrator
            assert (await held.execute_tool("a")).ok
        for orchestrator in (held, forge.orchestrator):
            for call in (orchestrator.ensure_running("a"), orchestrator.execute_tool("a"), orchestrator.stop("a")):
                with pytest.raises(UsageError, match="its forge is closed"):
                    await call
            assert not orchestrator.status("a").up
        async with forge:
            assert (await forge.orchestrator.execute_tool("a")).ok

    asyncio.run(go())
