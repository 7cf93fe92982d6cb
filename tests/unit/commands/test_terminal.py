from __future__ import annotations

import io
import re

import pytest

from dxforge.commands.changes import pending_blocks
from dxforge.commands.layout import plain
from dxforge.commands.reports import OperationResult
from dxforge.commands.terminal import console_for, print_view
from dxforge.commands.view import Block
from dxforge.traffic.model import InstallReport

SGR = re.compile(r"\x1b\[[0-9;]*m")


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def drawn(blocks: list[Block]) -> str:
    stream = Terminal()
    print_view(blocks, console_for(stream))
    return stream.getvalue()


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "400")


def test_a_terminal_sees_the_plain_text_with_colours(report: InstallReport) -> None:
    blocks = list(OperationResult(command="install", report=report).view())
    output = drawn(blocks)
    assert "\x1b[33m▲ Yellow\x1b[0m" in output
    assert SGR.sub("", output) == plain(blocks) + "\n"


def test_no_color_is_honoured(report: InstallReport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    output = drawn(list(OperationResult(command="install", report=report).view()))
    codes = {code for found in SGR.findall(output) for code in found[2:-1].split(";")}
    assert codes <= {"0", "1", "2"}
    assert "▲ Yellow" in output
    assert "■ Red" in output


def test_hostile_names_only_bring_our_own_escapes(hostile_changes: list[object]) -> None:
    output = drawn(pending_blocks(hostile_changes))  # type: ignore[arg-type]
    rest = SGR.sub("", output)
    assert rest.replace("\n", "").isprintable()
    assert "[bold red]markup[/].py" in rest
    assert ":warning:.py" in rest
    rows = [text for text in rest.splitlines() if text.startswith("  ▲ Yellow")]
    assert len(rows) == len(hostile_changes)
