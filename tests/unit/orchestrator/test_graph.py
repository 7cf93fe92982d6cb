"""Which tool needs which."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dxforge.errors import ToolDefinitionError, UnknownToolError
from dxforge.orchestrator import graph
from dxforge.orchestrator.definition import DxToolDefinition


def tools(needs: dict[str, str], priorities: dict[str, int] | None = None) -> dict[str, DxToolDefinition]:
    """Tools by name; ``needs`` gives the dependencies of each, separated by spaces."""
    return {
        name: DxToolDefinition(name, "true", (priorities or {}).get(name, 0), text.split())
        for name, text in needs.items()
    }


def test_closure_has_what_is_needed_and_no_more() -> None:
    known = tools({"a": "b c", "b": "d", "c": "d", "d": "", "e": "a"})
    assert set(graph.closure(["a"], known)) == {"a", "b", "c", "d"}
    assert set(graph.closure(["d"], known)) == {"d"}
    assert graph.closure([], known) == {}


def test_unknown_names_come_with_the_nearest() -> None:
    known = tools({"dx-style": "dx-stile", "other": ""})
    with pytest.raises(UnknownToolError, match='no tool "dx-stlye"') as unknown:
        graph.closure(["dx-stlye"], known)
    assert "dx-style" in unknown.value.hint
    with pytest.raises(ToolDefinitionError, match='depends on "dx-stile"') as dependency:
        graph.closure(["dx-style"], known)
    assert dependency.value.tool == "dx-style"
    assert dependency.value.hint
    with pytest.raises(UnknownToolError) as empty:
        graph.closure(["x"], {})
    assert "dx.toml" in empty.value.hint


@pytest.mark.parametrize(
    ("needs", "drawn"),
    [
        ({"a": "a"}, "a → a"),
        ({"a": "b", "b": "a"}, "a → b → a"),
        ({"z": "c", "c": "b", "b": "a", "a": "c"}, "a → c → b → a"),
    ],
)
def test_a_circle_is_drawn_along_what_needs_what(needs: dict[str, str], drawn: str) -> None:
    with pytest.raises(ToolDefinitionError) as caught:
        graph.waves(tools(needs))
    assert caught.value.what.endswith(f": {drawn}")
    assert caught.value.tool == drawn[0]


def test_waves_by_priority() -> None:
    known = tools({"app": "db cache", "db": "", "cache": "", "log": "", "web": "app"}, {"db": 5, "cache": -1, "log": 5})
    assert graph.waves(known) == [["cache", "db", "log"], ["app"], ["web"]]
    assert list(graph.by_priority(["db", "cache", "log"], known)) == [["cache"], ["db", "log"]]
    assert graph.waves({}) == []


@given(st.data())
def test_waves_of_any_graph(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 30))
    known = {}
    for number in range(count):
        needs = data.draw(st.sets(st.integers(0, number - 1), max_size=4)) if number else set()
        priority = data.draw(st.integers(-2, 2))
        known[f"t{number}"] = DxToolDefinition(f"t{number}", "true", priority, [f"t{other}" for other in needs])
    waves = graph.waves(known)
    place = {name: index for index, wave in enumerate(waves) for name in wave}
    assert set(place) == set(known)
    for name, definition in known.items():
        # As early as possible, and never before what it needs.
        assert place[name] == max((place[other] + 1 for other in definition.dependencies), default=0)
    for wave in waves:
        priorities = [known[name].priority for name in wave]
        assert priorities == sorted(priorities)
