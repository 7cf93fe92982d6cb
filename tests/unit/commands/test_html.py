from __future__ import annotations

import re

from dxforge.commands.html import html
from dxforge.commands.reports import DiffResult, OperationResult, ReviewResult
from dxforge.commands.view import Bar, Commands, Diff, Output, Picture, Section, Span, Table, Text, line
from dxforge.traffic.model import Change, FileDiff, InstallReport
from tests.support.strict_html import read


def test_every_block_is_well_formed_and_says_what_the_text_says() -> None:
    blocks = [
        Text(line("a < b ", Span("x", "strong")), indent=2),
        Table(((line("<td>"), line("&amp;")),), ("A&B", "C")),
        Diff(("@@ -1 +1 @@", "-<b>", "+&lt;"), ("hunk 1",)),
        Output(("\x1b[31mred\x1b[0m <b>", "10%\r20%")),
        Picture('<svg xmlns="http://www.w3.org/2000/svg"><text>a &lt; b</text></svg>'),
        Section(line("title"), (Commands((("dxforge diff '<x>'", "see"),)),), opened=True),
    ]
    words = read(html(blocks))
    for text in (
        "a < b ",
        "<td>",
        "&amp;",
        "A&B",
        "-<b>",
        "+&lt;",
        "hunk 1",
        "red <b>",
        "20%",
        "a < b",
        "dxforge diff '<x>'",
    ):
        assert text in words


def test_hostile_names_and_contents_are_text_everywhere(hostile_changes: list[Change]) -> None:
    diffs = {
        change.path: FileDiff(
            change=change,
            mine=f"@@ -1 +1 @@\n-{name}\n+x\n",
            theirs=f"@@ -1 +1 @@\n-x\n+{name}\n",
            proposal="",
        )
        for change in hostile_changes
        for name in [change.reason]
    }
    report = InstallReport(
        changes=hostile_changes, pending=hostile_changes, notes=[change.path for change in hostile_changes]
    )
    for result in (
        ReviewResult(pending=tuple(hostile_changes), diffs=diffs),
        ReviewResult(pending=tuple(hostile_changes)),
        OperationResult(command="install", report=report, verbose=True),
        OperationResult(command="accept", report=report),
        *(DiffResult(diff=diff) for diff in diffs.values()),
    ):
        words = read(result._repr_html_())
        assert all(character.isprintable() or character in "\n\t" for character in words)
        assert words.encode()


def test_the_review_folds_each_file_with_both_sides_apart(yellow: Change, red: Change, file_diff: FileDiff) -> None:
    result = ReviewResult(program="%dx", pending=(yellow, red), diffs={yellow.path: file_diff})
    text = result._repr_html_()
    words = read(text)
    assert "<details" in text
    assert "▲ Yellow" in words
    assert "■ Red" in words
    assert words.index("my edits") < words.index("theirs") < words.index("proposal")
    assert f"%dx accept {yellow.path} --hunk 1" in words
    assert f"%dx diff {red.path}" in words


def test_nothing_is_fetched_or_run(report: InstallReport) -> None:
    text = OperationResult(command="install", report=report)._repr_html_()
    assert not re.search(r"<script|src=|href=|url\(|@import|\son\w+=", text)


def test_a_bar_says_how_far_it_is_to_those_who_cannot_see_it() -> None:
    text = html(
        [Bar(line("a<b"), 1, 3, line("1 of 3")), Bar(line("b"), 7, None, line("7 B")), Bar(line("c"), 0, 0, ())]
    )
    assert read(text).strip().split("\n") == ["a<b1 of 3", "b7 B", "c"]
    assert 'role="progressbar" aria-label="a&lt;b" aria-valuemin="0" aria-valuemax="100" aria-valuenow="33"' in text
    assert "width: 33%" in text
    assert 'aria-label="b"><span class="some">' in text


def test_a_picture_is_shrunk_as_long_as_it_can_be_read() -> None:
    text = html([Picture('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1000 10" width="1000" height="10"/>')])
    assert '<div style="min-width: 600px"><svg' in text
    read(text)
