"""The layout: boxes never cover each other, lines never cross a box, and the same steps give the same picture."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dxforge.build.layout import HEIGHT, WIDTH, Layout, make_layout
from dxforge.build.model import Step


def _steps(after: list[set[int]]) -> list[Step]:
    waves: list[int] = []
    for before in after:
        waves.append(1 + max((waves[index] for index in before), default=-1))
    return [
        Step(index=index, id=str(index), tool="t", after=tuple(sorted(before)), wave=waves[index])
        for index, before in enumerate(after)
    ]


@st.composite
def graphs(draw: st.DrawFn) -> list[Step]:
    count = draw(st.integers(0, 30))
    return _steps([draw(st.sets(st.integers(0, index - 1), max_size=3)) if index else set() for index in range(count)])


def _covers(layout: Layout, x: float, y: float) -> bool:
    return any(left < x < left + WIDTH and top < y < top + HEIGHT for left, top in layout.boxes.values())


@given(graphs())
def test_any_graph(steps: list[Step]) -> None:
    layout = make_layout(steps)
    assert make_layout(steps) == layout
    assert set(layout.boxes) == {step.index for step in steps}
    boxes = list(layout.boxes.values())
    for number, (x, y) in enumerate(boxes):
        assert 0 <= x <= layout.width - WIDTH and 0 <= y <= layout.height - HEIGHT
        assert all(abs(x - left) >= WIDTH or abs(y - top) >= HEIGHT for left, top in boxes[:number])
    for (start, end), points in layout.lines.items():
        assert points[0] == (layout.boxes[start][0] + WIDTH, layout.boxes[start][1] + HEIGHT / 2)
        assert points[-1] == (layout.boxes[end][0], layout.boxes[end][1] + HEIGHT / 2)
        assert [x for x, _ in points] == sorted(x for x, _ in points)
        assert not any(_covers(layout, x, y) for x, y in points)
        # A way through a column is level: its two points at the column's edges have no box between them.
        for (x, y), (to_x, to_y) in zip(points[1:-1:2], points[2:-1:2], strict=True):
            assert y == to_y and not _covers(layout, (x + to_x) / 2, y)


@given(graphs())
def test_lines_that_follow_from_others_are_left_out(steps: list[Step]) -> None:
    drawn = make_layout(steps).lines.keys()

    def reaches(end: int, start: int) -> bool:
        return any(before == start or reaches(before, start) for before, after in drawn if after == end)

    for step in steps:
        assert all(reaches(step.index, before) for before in step.after)
    for start, end in drawn:
        assert not any(other != start and reaches(other, start) for other, after in drawn if after == end)


def test_a_chain_is_level() -> None:
    layout = make_layout(_steps([set(), {0}, {1}]))
    assert {y for _, y in layout.boxes.values()} == {0}
    assert layout.height == HEIGHT


def test_many_steps_of_one_wave_are_split_into_columns() -> None:
    layout = make_layout(_steps([set() for _ in range(100)]))
    assert len({x for x, _ in layout.boxes.values()}) == 8
