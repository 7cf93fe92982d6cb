"""Pictures of a build: its graph as Mermaid text or SVG, and a timeline. Self-contained, the same each time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dxforge.build.layout import GAP_X, HEIGHT, WIDTH, Layout, Point, make_layout
from dxforge.build.model import BuildPlan, BuildReport, Step, StepPlan, StepResult, StepState
from dxforge.build.svg import COLOURS, HEAD, MARGIN, duration, fit, frame, n, quoted, short, span, text_of, titled

_NEED_HEIGHT, _NEED_GAP = 34, 12
_LANE_HEIGHT, _LANE_GAP = 30, 8
_TIME_WIDTH = 912
_TICKS = 8

_WORDS = {StepState.RUN: "will run", StepState.RESTORE: "will be restored", StepState.DEPENDS: "may run"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shown:
    """A step as it is drawn."""

    step: Step
    state: StepState
    time: str
    why: str

    @property
    def word(self) -> str:
        return _WORDS.get(self.state, self.state.word)

    @property
    def line(self) -> str:
        return f"{self.word} · {self.time}" if self.time else self.word


@dataclass(frozen=True, slots=True, kw_only=True)
class Now:
    """How a step stands: ``state`` is a StepState's value, "waiting" or "running", ``line`` the same in words."""

    state: str
    line: str
    why: str = ""

    @classmethod
    def of(cls, one: StepPlan | StepResult) -> Now:
        """What is planned for a step, or became of it."""
        shown = _Shown(step=one.step, state=one.state, time=_time_of(one), why=one.why)
        return cls(state=one.state.value, line=shown.line, why=one.why)


_WAITING = Now(state="waiting", line="waiting")


class LiveGraph:
    """The graph of a build that goes on: each step stays where it is, and is where `graph_svg` will have it."""

    def __init__(self, steps: Sequence[Step], needs: Sequence[str] = ()) -> None:
        self._steps = steps
        self._needs = needs
        self._layout = make_layout(steps)

    def svg(self, states: Mapping[int, Now]) -> str:
        """The picture now; steps that are not in ``states`` are waiting."""
        found = [states.get(step.index, _WAITING) for step in self._steps]
        names = [now.state for now in found]
        words = ", ".join(f"{names.count(name)} {name.replace('-', ' ')}" for name in dict.fromkeys(sorted(names)))
        shown = dict(zip(self._steps, found, strict=True))
        return _graph(shown, self._needs, self._layout, ("Build", words))


def mermaid(build: BuildPlan | BuildReport) -> str:
    """The graph as Mermaid's text, for a Markdown cell or a README."""
    lines = ["flowchart LR"]
    if build.needs:
        lines.append('  subgraph needs["needs"]')
        lines += [f'    n{number}(["{quoted(name)}"])' for number, name in enumerate(build.needs)]
        lines.append("  end")
    shown = _shown(build)
    lines += [f'  s{one.step.index}["{quoted(short(one.step.name, 60))}<br/>{quoted(one.line)}"]' for one in shown]
    if build.needs:
        lines += [f"  needs -.-> s{one.step.index}" for one in shown if not one.step.after]
    lines += [f"  s{before} --> s{one.step.index}" for one in shown for before in one.step.after]
    for state in dict.fromkeys(one.state for one in shown):
        name = state.value.replace("-", "")
        names = ",".join(f"s{one.step.index}" for one in shown if one.state is state)
        lines.append(f"  classDef {name} stroke:{COLOURS[state][0]},stroke-width:2px")
        lines.append(f"  class {names} {name}")
    return "\n".join(lines) + "\n"


def graph_svg(build: BuildPlan | BuildReport) -> str:
    """The graph from left to right: what must run, then the steps, each with its state and time."""
    shown = {one.step: Now.of(one) for one in build.steps}
    return _graph(shown, build.needs, make_layout(list(shown)), _headline(build))


def _graph(shown: Mapping[Step, Now], needs: Sequence[str], layout: Layout, headline: tuple[str, str]) -> str:
    names = {step.index: step.name for step in shown}
    needs_width = WIDTH + GAP_X if needs else 0
    needs_height = len(needs) * (_NEED_HEIGHT + _NEED_GAP) + 28 if needs else 0
    inner = max(layout.height, needs_height)
    top, left = HEAD + (inner - layout.height) / 2, MARGIN + needs_width
    width = max(MARGIN * 2 + needs_width + max(layout.width, 0), 420)
    body: list[str] = []
    if needs:
        body += _needs(needs, HEAD + (inner - needs_height) / 2, needs_height, arrow=bool(shown))
    for (start, end), points in layout.lines.items():
        moved = [(x + left, y + top) for x, y in points]
        body.append(_curve(moved, f"{names[start]} → {names[end]}"))
    for step, now in shown.items():
        x, y = layout.boxes[step.index]
        body.append(_box(step, now, x + left, y + top))
    if not shown:
        body.append(f'<text class="dxb-m" x="{n(left)}" y="{HEAD + 24}">There are no steps.</text>')
    return frame(width, HEAD + max(inner, 40) + MARGIN, headline, body)


def timeline_svg(report: BuildReport) -> str:
    """What ran when: a bar per step that ran, on as few lanes as they fit; the others as dots below."""
    ran = sorted(
        (result for result in report.steps if not result.cached and result.state is not StepState.SKIPPED),
        key=lambda result: (result.started_s, result.step.index),
    )
    rest = [result for result in report.steps if result not in ran]
    end = max([report.duration_s, *(result.started_s + result.duration_s for result in ran)])
    scale = _TIME_WIDTH / end if end > 0 else 0.0
    body: list[str] = []
    y = float(HEAD)
    if ran:
        lanes = _lanes(ran, scale)
        bottom = y + len(lanes) * (_LANE_HEIGHT + _LANE_GAP)
        body += _axis(end, scale, y - 6, bottom)
        for lane in lanes:
            body += [_bar(result, scale, y) for result in lane]
            y += _LANE_HEIGHT + _LANE_GAP
        y = bottom + 48
    else:
        body.append(f'<text class="dxb-m" x="{MARGIN}" y="{y + 14}">Nothing had to run.</text>')
        y += 16
    body += _dots(rest, y, "Did not run" if ran else "")
    rows = -(-len(rest) // _PER_ROW)
    return frame(_TIME_WIDTH + 2 * MARGIN, y + (rows * 20 + 30 if rest else 0), _headline(report), body)


# ---- parts of the graph


def _shown(build: BuildPlan | BuildReport) -> list[_Shown]:
    return [_Shown(step=one.step, state=one.state, time=_time_of(one), why=one.why) for one in build.steps]


def _time_of(one: StepPlan | StepResult) -> str:
    if isinstance(one, StepPlan) or one.state is StepState.SKIPPED:
        return ""
    if one.cached:
        return f"saved {duration(one.saved_s)}" if one.saved_s > 0 else ""
    return duration(one.duration_s)


def _headline(build: BuildPlan | BuildReport) -> tuple[str, str]:
    states = [one.state for one in build.steps]
    counts = ", ".join(
        f"{states.count(state)} {_WORDS.get(state, state.word)}" for state in StepState if state in states
    )
    if isinstance(build, BuildPlan):
        return "What a build would do", counts
    title = "Build" if build.ok else "Build failed" if not build.pending else "Build waits for decisions"
    return title, " · ".join(part for part in (counts, duration(build.duration_s)) if part)


def _needs(names: Sequence[str], top: float, height: float, *, arrow: bool) -> list[str]:
    parts = [
        f'<rect class="dxb-g" x="{MARGIN}" y="{n(top)}" width="{WIDTH}" height="{n(height)}" rx="12"/>',
        f'<text class="dxb-m" x="{MARGIN + 14}" y="{n(top + 19)}">kept running</text>',
    ]
    for number, name in enumerate(names):
        y = top + 28 + number * (_NEED_HEIGHT + _NEED_GAP)
        parts.append(
            f'<g>{titled(name)}<rect class="dxb-c" x="{MARGIN + 12}" y="{n(y)}" width="{WIDTH - 24}" '
            f'height="{_NEED_HEIGHT}" rx="17"/><text class="dxb-b" x="{MARGIN + WIDTH / 2}" y="{n(y + 22)}" '
            f'text-anchor="middle">{text_of(fit(name, WIDTH - 48, 8.6))}</text></g>'
        )
    if arrow:
        y, x = top + height / 2, MARGIN + WIDTH
        parts.append(f'<path class="dxb-e dxb-d" d="M{n(x)} {n(y)}H{n(x + GAP_X - 8)}"/>{_head(x + GAP_X - 1, y)}')
    return parts


def _box(step: Step, now: Now, x: float, y: float) -> str:
    args = " ".join(step.args)
    return (
        f"<g>{titled(step.name, now.line, now.why)}"
        f'<rect class="dxb-c" x="{n(x)}" y="{n(y)}" width="{WIDTH}" height="{HEIGHT}" rx="10"/>'
        f'<rect class="dxb-{now.state}" x="{n(x + 7)}" y="{n(y + 9)}" width="4" height="{HEIGHT - 18}" rx="2"/>'
        f'<text class="dxb-b" x="{n(x + 20)}" y="{n(y + 22)}">{text_of(fit(step.tool, WIDTH - 34, 8.6))}</text>'
        f'<text class="dxb-m dxb-k" x="{n(x + 20)}" y="{n(y + 39)}">{text_of(fit(args, WIDTH - 34, 6.7))}</text>'
        f'<text class="dxb-s dxb-{now.state}" x="{n(x + 20)}" y="{n(y + 57)}">'
        f"{text_of(fit(now.line, WIDTH - 34, 6.6))}</text></g>"
    )


def _curve(points: Sequence[Point], title: str) -> str:
    """A line that leaves and arrives level, with a head."""
    x, y = points[0]
    path = f"M{n(x)} {n(y)}"
    last = len(points) - 1
    for number, (to_x, to_y) in enumerate(points[1:], start=1):
        end_x = to_x - 7 if number == last else to_x
        if y == to_y:
            path += f"H{n(end_x)}"
        else:
            middle = (x + end_x) / 2
            path += f"C{n(middle)} {n(y)} {n(middle)} {n(to_y)} {n(end_x)} {n(to_y)}"
        x, y = end_x, to_y
    return f'<g>{titled(title)}<path class="dxb-e" d="{path}"/>{_head(points[-1][0], points[-1][1])}</g>'


def _head(x: float, y: float) -> str:
    return f'<path class="dxb-h" d="M{n(x)} {n(y)}l-8 -4.5v9z"/>'


# ---- parts of the timeline

_PER_ROW = 4


def _lanes(ran: Sequence[StepResult], scale: float) -> list[list[StepResult]]:
    """Bars on lanes, each on the first where neither it nor its label covers another."""
    lanes: list[list[StepResult]] = []
    ends: list[float] = []
    for result in ran:
        first, last = _label_span(result, scale)
        start = min(result.started_s * scale, first)
        end = max((result.started_s + result.duration_s) * scale, last) + 2
        lane = next((number for number, free in enumerate(ends) if free <= start), len(lanes))
        if lane == len(lanes):
            lanes.append([])
            ends.append(0.0)
        lanes[lane].append(result)
        ends[lane] = end
    return lanes


def _label(result: StepResult) -> str:
    return f"{short(result.step.name, 40)} · {duration(result.duration_s)}"


def _label_span(result: StepResult, scale: float) -> tuple[float, float]:
    """Where a bar's label begins and ends, from the axis' start: on the bar, else right of it, else left of its end."""
    start, length, size = result.started_s * scale, result.duration_s * scale, span(_label(result)) * 6.4
    if size + 16 <= length:
        return start + 8, start + 8 + size
    if start + length + 6 + size <= _TIME_WIDTH:
        return start + length + 6, start + length + 6 + size
    return max(0.0, start - 6 - size), start - 6


def _bar(result: StepResult, scale: float, y: float) -> str:
    x, length = result.started_s * scale, max(result.duration_s * scale, 2.0)
    label, _ = _label_span(result, scale)
    on_bar = label >= x and label < x + length
    return (
        f"<g>{titled(result.step.name, f'{result.state.word}, {duration(result.duration_s)}', result.why)}"
        f'<rect class="dxb-{result.state.value}" x="{n(MARGIN + x)}" y="{n(y)}" width="{n(length)}" '
        f'height="{_LANE_HEIGHT}" rx="{n(min(6.0, length / 2))}"/>'
        f'<text class="{"dxb-o" if on_bar else "dxb-s dxb-t"}" x="{n(MARGIN + label)}" y="{n(y + 20)}">'
        f"{text_of(_label(result))}</text></g>"
    )


def _axis(end_s: float, scale: float, top: float, bottom: float) -> list[str]:
    step = _tick(end_s)
    digits = max(0, -math.floor(math.log10(step)))
    parts = []
    for number in range(int(end_s / step + 1e-9) + 1):
        x = MARGIN + number * step * scale
        label = f"{number * step:.{digits}f}" + (" s" if number == 0 else "")
        parts.append(f'<path class="dxb-a" d="M{n(x)} {n(top)}V{n(bottom + 4)}"/>')
        parts.append(f'<text class="dxb-m" x="{n(x)}" y="{n(bottom + 18)}" text-anchor="middle">{label}</text>')
    return parts


def _tick(end_s: float) -> float:
    """1, 2 or 5 times a power of ten, so that there are at most eight."""
    power = 10.0 ** math.floor(math.log10(max(end_s, 1e-6) / _TICKS))
    return next(power * factor for factor in (1, 2, 5, 10) if end_s / (power * factor) <= _TICKS)


def _dots(rest: Sequence[StepResult], top: float, heading: str) -> list[str]:
    if not rest:
        return []
    parts = [f'<text class="dxb-m" x="{MARGIN}" y="{n(top)}">{heading}</text>']
    for number, result in enumerate(rest):
        x = MARGIN + (number % _PER_ROW) * (_TIME_WIDTH / _PER_ROW)
        y = top + 22 + number // _PER_ROW * 20
        state = f" · {result.state.word}"
        text = fit(result.step.name, _TIME_WIDTH / _PER_ROW - 28 - 6.6 * len(state), 6.6) + state
        parts.append(
            f"<g>{titled(result.step.name, result.why)}"
            f'<circle class="dxb-{result.state.value}" cx="{n(x + 5)}" cy="{n(y - 4)}" r="4"/>'
            f'<text class="dxb-s dxb-t" x="{n(x + 15)}" y="{n(y)}">{text_of(text)}</text></g>'
        )
    return parts
