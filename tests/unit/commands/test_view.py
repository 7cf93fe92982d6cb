from __future__ import annotations

import pytest

from dxforge.build.model import StepState
from dxforge.commands.view import PLAIN_SHAPES, duration, size, state_span, step_span
from dxforge.orchestrator.status import ToolState


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 ms"),
        (0.004, "4 ms"),
        (0.0996, "0.10 s"),
        (0.994, "0.99 s"),
        (0.996, "1.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (185, "3 min 5 s"),
        (3600, "1 h"),
        (7800, "2 h 10 min"),
        (90_000, "1 d 1 h"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (12_345, "12 KiB"), (5 << 20, "5.0 MiB"), (3 << 40, "3072 GiB")],
)
def test_sizes(size_bytes: int, text: str) -> None:
    assert size(size_bytes) == text


def test_every_state_has_a_shape_of_its_own_also_without_colour_and_in_ascii() -> None:
    tools = [state_span(state) for state in ToolState]
    assert [span.text.split(" ", 1)[1] for span in tools] == ["Stopped", "Starting", "Running", "Healthy", "Degraded"]
    assert len({span.text[0] for span in tools}) == len(tools)
    for span in [*tools, *(step_span(state) for state in StepState)]:
        assert span.text.translate(PLAIN_SHAPES).isascii()
        assert span.style
