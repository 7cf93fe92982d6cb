"""What of a tool's output says that it is ready."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from dxforge.orchestrator.said import Search, was_said
from dxforge.orchestrator.status import ToolState
from tests.support.processes import sh
from tests.support.tools import Yard


def found(text: str, output: bytes) -> bool:
    """Searched in one piece and byte by byte, which must be the same."""
    whole, single = Search(text), Search(text)
    at_once = whole.feed(output)
    assert at_once == any(single.feed(output[at : at + 1]) for at in range(len(output)))
    return at_once


@pytest.mark.parametrize(
    ("text", "output", "expected"),
    [
        ("ready", b"not yet\nall ready", True),
        ("ready", b"rea\ndy\n", False),
        ("a.b (c)", b"a.b (c)", True),  # plain text counts as it is, in a line that is not complete too
        (r"^ready in \d+ ms$", b"x\nready in 12 ms\r\ny", True),
        (r"^ready in \d+ ms$", b"not ready in 12 ms\n", False),
        (r"ready in \d+", b"ready in 12", False),  # an expression waits for the whole line
        (r"port (80|443)", "läuft: port 443\n".encode(), True),
        ("[ready", b"it is [ready now", True),
        ("[ready", b"ready\n", False),
        ("(", b"(", True),
        ("x*", b"\xff\xfe\n", True),
        ("", b"anything\n", False),
    ],
)
def test_text_or_expression(text: str, output: bytes, *, expected: bool) -> None:
    assert found(text, output) is expected


def test_a_line_without_an_end_is_bounded() -> None:
    search = Search("^end$")
    for _ in range(100):
        assert not search.feed(b"x" * 30_000)
    assert not search.feed(b"end\n")
    assert search.feed(b"end\n")


def test_in_the_log(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"ready in 5 ms\n")
    assert was_said(tmp_path, (0, 0), r"in \d ms")
    assert not was_said(tmp_path, ((tmp_path / "log").stat().st_ino, 14), r"in \d ms")


@pytest.mark.skipif(sys.platform == "win32", reason="a shell")
def test_a_tool_is_ready_by_an_expression(yard: Yard) -> None:
    tool = yard.define("a", sh("sleep 0.3; echo ready in 12 ms; exec sleep 300"), health={"log": r"ready in \d+ ms"})

    async def go() -> None:
        async with yard.orchestrator(tool) as tools:
            assert (await tools.ensure_running("a")).state is ToolState.HEALTHY

    asyncio.run(go())
