"""``[analyze]`` of ``dx.toml``."""

from __future__ import annotations

from pathlib import Path

import pytest

from dxforge.config.load import decode
from dxforge.config.model import AnalyzeConfig
from dxforge.errors import ConfigError


def decoded(text: str) -> AnalyzeConfig:
    return decode(f'[project]\nname = "demo"\n{text}', root=Path("/p"), where="dx.toml").analyze


def test_nothing_is_looked_for_by_default() -> None:
    assert decoded("") == AnalyzeConfig()


def test_patterns_keep_their_order_and_exclude_is_a_list() -> None:
    found = decoded("[analyze]\nexclude = ['gen/']\npatterns = { todo = 'TODO|FIXME', print = '\\bprint\\(' }\n")
    assert found == AnalyzeConfig(patterns=(("todo", "TODO|FIXME"), ("print", "\\bprint\\(")), exclude=("gen/",))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("patterns = { todo = '(' }", r"analyze\.patterns\.todo: this is no regular expression"),
        ("patterns = { todo = 3 }", r"analyze\.patterns\.todo"),
        ("patterns = ['x']", r"analyze\.patterns"),
        ("pattern = { a = 'x' }", "patterns"),
        ("exclude = 'x'", r"analyze\.exclude"),
    ],
)
def test_mistakes_are_named(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        decoded(f"[analyze]\n{text}\n")
