from __future__ import annotations

from dxforge.commands.layout import plain
from dxforge.commands.phases import Phases
from dxforge.events import Progress


def told(*events: Progress) -> list[str]:
    phases = Phases()
    for event in events:
        phases.take(event)
    return plain(phases.bars()).split("\n")


def test_phases_keep_their_order_and_end_without_an_item() -> None:
    assert told(
        Progress(phase="resolve", item="a", done=1, total=2),
        Progress(phase="unpack", item="a", done=1, total=2),
        Progress(phase="resolve", item="b", done=2, total=2),
    ) == ["Resolving  2 of 2", "Unpacking  1 of 2  a"]


def test_downloads_share_a_bar_of_which_the_end_is_known_or_not() -> None:
    first = Progress(phase="download", item="a", done=1024, total=4096)
    assert told(first, Progress(phase="download", item="b", done=1024)) == ["Downloading  2.0 KiB  b"]
    assert told(first, Progress(phase="download", item="b", done=0, total=4096)) == [
        "Downloading  1.0 KiB of 8.0 KiB  b"
    ]


def test_a_long_item_is_shown_by_its_end() -> None:
    (line,) = told(Progress(phase="analyze", item="src/" + "x" * 100 + "/main.py", done=1, total=2))
    assert line.endswith("x/main.py")
    assert "…" in line
    assert len(line) < 80


def test_nothing_is_no_phase_and_an_unknown_one_has_its_name() -> None:
    assert not Phases()
    assert told(Progress(phase="polish", done=1)) == ["Polish  1"]
