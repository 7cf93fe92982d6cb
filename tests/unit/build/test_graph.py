"""The graph of steps: edges from what is declared, refusals, cycles drawn."""

from __future__ import annotations

from pathlib import Path

import pytest

from dxforge.build.graph import DEFAULT, Graph, make_graph
from dxforge.build.toolbox import ToolFacts
from dxforge.config.model import BuildConfig, StepConfig
from dxforge.errors import BuildPlanError


def _step(
    tool: str, inputs: tuple[str, ...] = (), outputs: tuple[str, ...] = (), args: tuple[str, ...] = ()
) -> StepConfig:
    return StepConfig(tool=tool, args=args, inputs=inputs, outputs=outputs)


def _graph(*steps: StepConfig, tools: tuple[ToolFacts, ...] = ()) -> Graph:
    facts = {
        step.tool: ToolFacts(name=step.tool, binary=Path("/bin/true"), environment={}, definition={}) for step in steps
    } | {tool.name: tool for tool in tools}
    return make_graph(BuildConfig(steps=steps), facts)


def _after(*steps: StepConfig) -> list[tuple[int, ...]]:
    return [step.after for step in _graph(*steps).steps]


def test_a_step_waits_for_what_it_reads() -> None:
    assert _after(
        _step("css", ("styles/**",), ("dist/site.css",)),
        _step("js", ("src/**",), ("dist/app.js",)),
        _step("html", ("dist/**", "pages/**"), ("site",)),
    ) == [(), (), (0, 1)]


def test_outputs_need_not_exist_nor_match_as_files() -> None:
    assert _after(_step("gen", ("schema.json",), ("src/gen",)), _step("js", ("src/**/*.js",), ("dist",))) == [(), (0,)]
    assert _after(_step("gen", ("schema.json",), ("src/gen",)), _step("js", ("src/*.js",), ("dist",))) == [(), ()]


def test_the_order_of_the_file_does_not_matter_to_edges() -> None:
    graph = _graph(_step("js", ("gen/**",), ("dist",)), _step("gen", ("schema.json",), ("gen",)))
    assert [step.after for step in graph.steps] == [(1,), ()]
    assert [step.index for step in graph.order] == [1, 0]


def test_order_keeps_the_file_among_equals() -> None:
    graph = _graph(*(_step("t", (f"in{n}",), (f"out{n}",)) for n in range(5)), _step("all", ("out*",), ("x",)))
    assert [step.index for step in graph.order] == [0, 1, 2, 3, 4, 5]
    assert [step.wave for step in graph.steps] == [0, 0, 0, 0, 0, 1]


def test_an_exclusion_takes_an_edge_away() -> None:
    assert _after(_step("a", ("x",), ("dist",)), _step("b", ("**", "!dist"), ("out",))) == [(), ()]


def test_own_outputs_make_no_edge() -> None:
    assert _after(_step("a", ("**",), ("dist",))) == [()]


def test_steps_that_name_nothing_keep_their_places() -> None:
    assert _after(
        _step("a", ("a",), ("b",)), _step("any"), _step("c", ("c",), ("d",)), _step("e", ("e",), ("f",)), _step("last")
    ) == [(), (0,), (1,), (1,), (1, 2, 3)]


def test_a_step_that_names_outputs_only_lets_others_pass() -> None:
    assert _after(
        _step("a", ("a",), ("b",)), _step("stamp", (), ("stamp.txt",)), _step("c", ("c",)), _step("d", ("stamp.txt",))
    ) == [(), (0,), (), (1,)]


def test_places_give_way_to_what_is_declared() -> None:
    # The second names no inputs, but the first reads what it writes.
    assert _after(_step("reader", ("stamp.txt",), ("r",)), _step("stamp", (), ("stamp.txt",))) == [(1,), ()]


def test_inputs_and_outputs_of_the_tool_where_a_step_names_none() -> None:
    tool = ToolFacts(
        name="js", binary=Path("/bin/js"), environment={}, definition={}, inputs=("src/**",), outputs=("dist",)
    )
    steps = _graph(_step("js"), _step("js", ("other",), ("elsewhere",)), tools=(tool,)).steps
    assert (steps[0].inputs, steps[0].outputs) == (("src/**",), ("dist",))
    assert (steps[1].inputs, steps[1].outputs) == (("other",), ("elsewhere",))


def test_nested_outputs_of_one_step_are_one() -> None:
    (step,) = _graph(_step("a", ("x",), ("dist/a", "dist", "dist-x", "dist/b"))).steps
    assert step.outputs == ("dist", "dist-x")


def test_a_step_stays_the_same_while_its_arguments_change() -> None:
    before = _graph(_step("a", ("x",), ("o",), ("build",)), _step("lint", ("x",)), _step("lint", ("y",)))
    after = _graph(_step("a", ("y",), ("o",), ("build", "-m")), _step("lint", ("z",), (), ("-v",)), _step("lint"))
    assert [step.id for step in before.steps] == [step.id for step in after.steps]
    assert len({step.id for step in before.steps}) == 3


@pytest.mark.parametrize(
    ("first", "second", "relation"),
    [("dist", "dist", "is"), ("dist", "dist/a", "lies in"), ("dist/a/b", "dist/a", "holds")],
)
def test_overlapping_outputs_are_refused(first: str, second: str, relation: str) -> None:
    with pytest.raises(BuildPlanError) as caught:
        _graph(_step("a", ("x",), (first,), ("build",)), _step("b", ("y",), (second,)))
    assert caught.value.where == "dx.toml: build.steps[1].outputs"
    assert caught.value.what == f'the output "{second}" {relation} "{first}", which build.steps[0] (a build) writes'


def test_similar_outputs_do_not_overlap() -> None:
    assert len(_graph(_step("a", ("x",), ("dist",)), _step("b", ("y",), ("dist2", "dis"))).steps) == 2


@pytest.mark.parametrize("path", ["src", "src/dx_packages", "src/dx_packages/theme/dist"])
def test_no_step_writes_where_the_packages_lie(path: str) -> None:
    facts = {"a": ToolFacts(name="a", binary=Path("/bin/true"), environment={}, definition={})}
    config = BuildConfig(steps=(_step("a", ("in",), (path,)),))
    with pytest.raises(BuildPlanError, match="which hold your edits") as caught:
        make_graph(config, facts, packages_dir="src/dx_packages")
    assert caught.value.where == "dx.toml: build.steps[0].outputs"
    assert len(make_graph(config, facts, packages_dir="vendor").steps) == 1


@pytest.mark.parametrize("path", ["dx.toml", "dx.lock", ".dx/x", ".git", "a/.git/b"])
def test_outputs_that_are_not_a_steps_to_write(path: str) -> None:
    with pytest.raises(BuildPlanError, match="not a step's to write"):
        _graph(_step("a", ("x",), (path,)))


@pytest.mark.parametrize("glob", ["src/**", "src", "src/a/*.js"])
def test_inputs_within_the_own_outputs_are_refused(glob: str) -> None:
    with pytest.raises(BuildPlanError, match="in its own output") as caught:
        _graph(_step("format", ("x", glob), ("src",)))
    assert caught.value.where == "dx.toml: build.steps[0].inputs[1]"


def test_globs_that_cannot_be_name_their_key() -> None:
    with pytest.raises(BuildPlanError, match="lead out") as caught:
        _graph(_step("a", ("x", "../y")))
    assert caught.value.where == "dx.toml: build.steps[0].inputs[1]"
    tool = ToolFacts(name="a", binary=Path("/a"), environment={}, definition={}, inputs=("/etc",))
    with pytest.raises(BuildPlanError) as caught:
        _graph(_step("a"), tools=(tool,))
    assert caught.value.where == "dx.toml: tools.a.inputs[0]"


def test_a_cycle_is_drawn() -> None:
    with pytest.raises(BuildPlanError) as caught:
        _graph(
            _step("free", ("x",), ("y",)),
            _step("js", ("css/**",), ("dist",), ("build",)),
            _step("sass", ("tokens",), ("css",)),
            _step("tokens", ("dist/*.json",), ("tokens",)),
        )
    assert caught.value.what == (
        "the steps wait for each other: js build → dist → tokens → tokens → sass → css → js build"
    )


def test_the_default_pipeline_is_the_contracts() -> None:
    assert DEFAULT.needs == ("dx-style", "dx-js-runtime")
    assert [(step.tool, step.args) for step in DEFAULT.steps] == [("dx-js-bundler", ("build",))]
