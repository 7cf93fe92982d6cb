"""Where the steps of a build are drawn: columns from left to right, lines around what lies between. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dxforge.build.model import Step

WIDTH, HEIGHT = 224, 68
"""Of a step's box, in px."""
GAP_X, GAP_Y = 64, 18
_LANE = 22
"""Height of a line's way through a column, in px."""
_MAX_ROWS = 14
"""A column with more is split."""
_SWEEPS = 6

Point = tuple[float, float]
_Lane = tuple[int, int]
"""The way through a column of all lines that end at a step: that step, the column."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """``boxes`` are the left upper corners by step; ``lines`` the points that each line from step to step visits."""

    boxes: Mapping[int, Point]
    lines: Mapping[tuple[int, int], tuple[Point, ...]]
    width: float
    height: float


def make_layout(steps: Sequence[Step]) -> Layout:
    """Lay out ``steps``; the same steps always give the same picture."""
    columns = _columns(steps)
    column_of = {index: number for number, column in enumerate(columns) for index in column}
    edges = _reduced(steps)
    lanes = {(end, column) for start, end in edges for column in range(column_of[start] + 1, column_of[end])}
    rows: list[list[int | _Lane]] = [
        [*column, *sorted(lane for lane in lanes if lane[1] == number)] for number, column in enumerate(columns)
    ]
    _order(rows, edges, column_of)
    heights = [sum(_height(item) for item in row) - GAP_Y for row in rows]
    height = max(heights, default=0.0)
    boxes: dict[int, Point] = {}
    ways: dict[_Lane, float] = {}
    for number, row in enumerate(rows):
        y = (height - heights[number]) / 2
        for item in row:
            if isinstance(item, int):
                boxes[item] = (number * (WIDTH + GAP_X), y)
            else:
                ways[item] = y + (_LANE - GAP_Y) / 2
            y += _height(item)
    lines = {(start, end): _line(start, end, boxes, ways, column_of) for start, end in edges}
    return Layout(boxes=boxes, lines=lines, width=len(rows) * (WIDTH + GAP_X) - GAP_X, height=height)


def _columns(steps: Sequence[Step]) -> list[list[int]]:
    columns: list[list[int]] = []
    for wave in sorted({step.wave for step in steps}):
        indexes = [step.index for step in steps if step.wave == wave]
        count = -(-len(indexes) // _MAX_ROWS)
        size = -(-len(indexes) // count)
        columns += [indexes[start : start + size] for start in range(0, len(indexes), size)]
    return columns


def _reduced(steps: Sequence[Step]) -> list[tuple[int, int]]:
    """The edges that do not follow from others: a → c is left out where a → b → c is there."""
    before: dict[int, set[int]] = {}
    for step in sorted(steps, key=lambda step: step.wave):
        before[step.index] = set(step.after).union(*(before[index] for index in step.after))
    return [
        (start, step.index)
        for step in steps
        for start in step.after
        if not any(start in before[other] for other in step.after if other != start)
    ]


def _order(rows: list[list[int | _Lane]], edges: Sequence[tuple[int, int]], column_of: Mapping[int, int]) -> None:
    """Order each column by where its neighbours are, back and forth, so that few lines cross."""
    links: dict[int | _Lane, list[int | _Lane]] = {}
    for start, end in edges:
        way: list[int | _Lane] = [start, *((end, at) for at in range(column_of[start] + 1, column_of[end])), end]
        for one, other in itertools.pairwise(way):
            links.setdefault(one, []).append(other)
            links.setdefault(other, []).append(one)
    places = {item: (index + 0.5) / len(row) for row in rows for index, item in enumerate(row)}
    columns = {item: number for number, row in enumerate(rows) for item in row}
    for sweep in range(_SWEEPS):
        forward = sweep % 2 == 0
        for number in range(len(rows)) if forward else reversed(range(len(rows))):
            row = rows[number]

            def wish(item: int | _Lane, number: int = number, *, forward: bool = forward) -> float:
                near = [
                    places[other]
                    for other in links.get(item, ())
                    if (columns[other] < number if forward else columns[other] > number)
                ]
                return sum(near) / len(near) if near else places[item]

            row.sort(key=lambda item: (round(wish(item), 9), item if isinstance(item, int) else item[0]))
            places.update({item: (index + 0.5) / len(row) for index, item in enumerate(row)})


def _height(item: int | _Lane) -> float:
    """With the gap below it."""
    return HEIGHT + GAP_Y if isinstance(item, int) else _LANE


def _line(
    start: int, end: int, boxes: Mapping[int, Point], ways: Mapping[_Lane, float], column_of: Mapping[int, int]
) -> tuple[Point, ...]:
    (left, top), (right, bottom) = boxes[start], boxes[end]
    points: list[Point] = [(left + WIDTH, top + HEIGHT / 2)]
    for column in range(column_of[start] + 1, column_of[end]):
        x, y = column * (WIDTH + GAP_X), ways[end, column]
        points += [(x, y), (x + WIDTH, y)]
    return (*points, (right, bottom + HEIGHT / 2))
