"""The pictures: well-formed, self-contained, and with every step in them."""

from __future__ import annotations

import itertools
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dxforge.build.model import BuildPlan, BuildReport, Step, StepPlan, StepResult, StepState
from dxforge.build.picture import LiveGraph, Now, graph_svg, mermaid, timeline_svg
from dxforge.build.svg import duration, short, span

SVG = "{http://www.w3.org/2000/svg}"


def _result(
    index: int, state: StepState, *, name: str = "tool", args: tuple[str, ...] = (), after: tuple[int, ...] = (),
    started_s: float = 0.0, duration_s: float = 0.0, saved_s: float = 0.0,
) -> StepResult:  # fmt: skip
    step = Step(
        index=index, id=str(index), tool=name, args=args, after=after, wave=0 if not after else 1 + (3 in after)
    )
    return StepResult(
        step=step, state=state, why=f"why {index}", started_s=started_s, duration_s=duration_s, saved_s=saved_s
    )


REPORT = BuildReport(
    ok=False,
    steps=(
        _result(0, StepState.BUILT, name="sass", args=("a.scss",), started_s=0.01, duration_s=1.25),
        _result(1, StepState.UP_TO_DATE, name="tsc", saved_s=3.0),
        _result(2, StepState.RESTORED, name="lint"),
        _result(3, StepState.FAILED, name="page", after=(0, 1), started_s=1.3, duration_s=0.2),
        _result(4, StepState.SKIPPED, name="deploy", after=(3,)),
    ),
    needs=("dx-style", "dx-js-runtime"),
    duration_s=1.6,
)


def _texts(svg: str) -> list[str]:
    return ["".join(element.itertext()) for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def test_the_graph_shows_steps_states_times_and_needs() -> None:
    texts = _texts(graph_svg(REPORT))
    for text in (
        "sass", "a.scss", "built · 1.25 s", "tsc", "up to date · saved 3.00 s", "lint", "restored", "failed · 200 ms",
        "deploy", "skipped", "dx-style", "dx-js-runtime", "kept running",
        "Build failed1 built, 1 restored, 1 up to date, 1 failed, 1 skipped · 1.60 s",
    ):  # fmt: skip
        assert text in texts
    assert graph_svg(REPORT) == graph_svg(REPORT)
    titles = ["".join(title.itertext()) for title in ElementTree.fromstring(graph_svg(REPORT)).iter(f"{SVG}title")]
    assert "sass a.scss\nbuilt · 1.25 s\nwhy 0" in titles and "sass a.scss → page" in titles


def test_a_plan_says_what_will_be() -> None:
    states = (StepState.RUN, StepState.RESTORE, StepState.DEPENDS, StepState.UP_TO_DATE)
    plan = BuildPlan(
        steps=tuple(
            StepPlan(step=_result(index, state).step, state=state, why="") for index, state in enumerate(states)
        )
    )
    texts = _texts(graph_svg(plan))
    assert texts[0] == "What a build would do1 will run, 1 will be restored, 1 may run, 1 up to date"
    for word in ("will run", "will be restored", "may run", "up to date"):
        assert word in texts
    assert "may run" in mermaid(plan)


def test_the_timeline_has_a_bar_per_run_and_dots_for_the_rest() -> None:
    svg = timeline_svg(REPORT)
    root = ElementTree.fromstring(svg)
    bars = [bar for bar in root.iter(f"{SVG}rect") if bar.get("class") != "dxb-p"]
    assert [bar.get("class") for bar in bars] == ["dxb-built", "dxb-failed"]
    assert float(bars[0].get("width", "")) == pytest.approx(1.25 / 1.6 * 912, abs=0.1)
    assert len([*root.iter(f"{SVG}circle")]) == 3
    texts = _texts(svg)
    assert "0.0 s" in texts and "1.4" in texts and "Did not run" in texts and "tsc · up to date" in texts
    assert "Nothing had to run." in _texts(timeline_svg(BuildReport(ok=True, steps=REPORT.steps[1:2])))


def test_bars_and_labels_do_not_cover_each_other() -> None:
    report = BuildReport(
        ok=True,
        duration_s=10.0,
        steps=tuple(
            _result(
                index,
                StepState.BUILT,
                name=f"tool-{index}",
                started_s=index * 0.37,
                duration_s=(index % 5) * 0.5 + 0.01,
            )
            for index in range(24)
        ),
    )
    root = ElementTree.fromstring(timeline_svg(report))
    spans: dict[str, list[tuple[float, float]]] = {}
    for group in root.iter(f"{SVG}g"):
        bar, label = group.find(f"{SVG}rect"), group.find(f"{SVG}text")
        assert bar is not None and label is not None
        start, length = float(bar.get("x", "")), float(bar.get("width", ""))
        left, size = float(label.get("x", "")), 6.4 * span("".join(label.itertext()))
        spans.setdefault(bar.get("y", ""), []).append((min(start, left), max(start + length, left + size)))
    for row in spans.values():
        row.sort()
        assert all(end <= start for (_, end), (start, _) in itertools.pairwise(row))


def test_mermaid() -> None:
    text = mermaid(REPORT)
    assert text.startswith('flowchart LR\n  subgraph needs["needs"]\n    n0(["dx-style"])\n')
    assert '  s0["sass a.scss<br/>built · 1.25 s"]\n' in text
    assert "  s0 --> s3\n  s1 --> s3\n  s3 --> s4\n" in text
    assert "  needs -.-> s0\n" in text and "class s1 uptodate" in text
    assert mermaid(BuildReport(ok=True)) == "flowchart LR\n"


@given(st.text(), st.lists(st.text(), max_size=3))
def test_any_name_is_escaped(name: str, args: list[str]) -> None:
    report = BuildReport(
        ok=True,
        steps=(
            _result(0, StepState.BUILT, name=name, args=tuple(args), duration_s=0.1),
            _result(1, StepState.SKIPPED, name=name),
        ),
        needs=(name,),
    )
    for svg in (graph_svg(report), timeline_svg(report)):
        assert len({element.tag for element in ElementTree.fromstring(svg).iter()} - {
            f"{SVG}{tag}" for tag in ("svg", "style", "rect", "text", "tspan", "g", "title", "path", "circle")
        }) == 0  # fmt: skip
        assert "<script" not in svg and "href" not in svg.replace(name, "")
    for line in mermaid(report).splitlines():
        assert re.fullmatch(
            r'flowchart LR|\s+(subgraph.*|end|n0\(\["[^"]*"\]\)|s\d\["[^"]*"\]|needs -\.-> s\d|class(Def)? .*)',
            line,
        )


def test_it_needs_nothing_from_elsewhere() -> None:
    for svg in (graph_svg(REPORT), timeline_svg(REPORT)):
        assert "http" not in svg.replace("http://www.w3.org/2000/svg", "") and "url(" not in svg
        assert "prefers-color-scheme:dark" in svg


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 ms"),
        (0.0124, "12 ms"),
        (0.9996, "1.00 s"),
        (59.99, "59.99 s"),
        (59.996, "1 min 00 s"),
        (125, "2 min 05 s"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@given(st.text(), st.integers(1, 40))
def test_shortening(text: str, columns: int) -> None:
    shortened = short(text, columns)
    assert span(shortened) <= columns
    assert shortened == text or "…" in shortened


def test_a_live_graph_is_where_the_final_one_will_be() -> None:
    live = LiveGraph([result.step for result in REPORT.steps], REPORT.needs)
    places = re.compile(r'<rect class="dxb-[cg]"[^>]*>')
    begun = live.svg({0: Now(state="running", line="running · 3 s", why="why 0")})
    assert places.findall(begun) == places.findall(graph_svg(REPORT))
    assert "running · 3 s" in _texts(begun)
    assert _texts(begun).count("waiting") == 4
    assert any("1 running, 4 waiting" in text for text in _texts(begun))
    ended = live.svg({result.step.index: Now.of(result) for result in REPORT.steps})
    assert set(_texts(graph_svg(REPORT))) - set(_texts(ended)) == {
        text for text in _texts(graph_svg(REPORT)) if text.startswith("Build failed")
    }
