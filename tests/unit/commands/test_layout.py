from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dxforge.commands.layout import layout, plain, width
from dxforge.commands.view import Commands, Diff, Gap, Line, Section, Span, Table, Text, line


def text_of(lines: list[Line]) -> list[str]:
    return ["".join(span.text for span in item) for item in lines]


def test_columns_line_up() -> None:
    table = Table(((line("a"), line("long cell"), line("x")), (line("bbb"), line("c"), line("y"))), ("One", "Two", "3"))
    assert plain([table]).split("\n") == ["One  Two        3", "a    long cell  x", "bbb  c          y"]


def test_wide_and_combining_characters_line_up() -> None:
    assert width("宽e\u0301") == 3
    table = Table(((line("宽"), line("x")), (line("ab"), line("y"))))
    assert plain([table]).split("\n") == ["宽  x", "ab  y"]


def test_a_row_wider_than_the_window_goes_on_below_between_words() -> None:
    table = Table(((line("ab"), line("a/path.py"), line("a reason ", Span("of words", "red"))),), indent=1)
    assert text_of(list(layout([table], columns=20))) == ["  ab  a/path.py", "      a reason of", "      words"]


def test_a_word_longer_than_the_window_stays_whole() -> None:
    path = "p" * 60
    table = Table(((line("ab"), line(f"see {path}")),))
    assert text_of(list(layout([table], columns=20))) == ["ab", "    see", f"    {path}"]


def test_commands_stay_whole_whatever_the_window() -> None:
    commands = Commands((("dxforge accept src/a.py", "take it"), ("dxforge undo", "back")))
    assert plain([commands]).split("\n") == ["  dxforge accept src/a.py  take it", "  dxforge undo             back"]
    assert text_of(list(layout([commands], columns=25))) == [
        "  dxforge accept src/a.py",
        "      take it",
        "  dxforge undo",
        "      back",
    ]


def test_a_diff_keeps_trailing_blanks_and_labels_its_hunks() -> None:
    diff = Diff(("@@ -1 +1 @@", "-a  ", "+a\t", "@@ -9 +9 @@", " b"), ("hunk 1", "hunk 2"))
    assert plain([diff]).split("\n") == ["@@ -1 +1 @@  hunk 1", "-a  ", "+a\t", "@@ -9 +9 @@  hunk 2", " b"]


def test_sections_and_gaps() -> None:
    assert plain([Section(line("mine"), (Text(line("x"), indent=1),)), Gap(), Text(line("y"))]) == "mine\n\n  x\n\n\ny"


words = st.text(st.characters(codec=None), max_size=12).map(line)


@given(st.integers(1, 4).flatmap(lambda n: st.lists(st.tuples(*[words] * n), max_size=5)), st.integers(1, 60))
def test_no_cell_adds_or_breaks_a_line(rows: list[tuple[Line, ...]], columns: int) -> None:
    table = Table(tuple(rows))
    lines = plain([table]).split("\n") if rows else []
    assert len(lines) == len(rows)
    assert all(text.isprintable() for text in text_of(list(layout([table], columns=columns))))


@pytest.mark.parametrize("columns", [50, 80])
def test_a_first_column_that_may_be_cut_leaves_room_for_the_rest(columns: int) -> None:
    name = "esbuild src/app.js --bundle --outfile=dist/app.js --minify"
    row = (line(name), line("Built"), line("12 ms"), line("src/app.js changed and what is beside it"))
    cut = text_of(list(layout([Table((row,), cut_first=True)], columns=columns)))
    assert max(map(width, cut)) <= columns
    assert cut[0].startswith(f"{name[: columns // 3 - 1]}…  Built")
    assert len(cut) <= 3
    assert text_of(list(layout([Table((row,), cut_first=True)])))[0].startswith(name), "a pipe has all of it"
    assert text_of(list(layout([Table((row,))], columns=columns)))[0].startswith(name)


def test_a_row_without_a_last_cell_is_followed_by_no_empty_line() -> None:
    rows = (
        (line("web"), line("x" * 30), line("something to say")),
        (line("db"), line("x"), line("")),
    )
    assert "" not in text_of(list(layout([Table(rows)], columns=20)))
