from __future__ import annotations

import shlex

from hypothesis import given
from hypothesis import strategies as st

from dxforge.commands.shown import lines_of, quoted, shown, shown_line

any_text = st.text(st.characters(codec=None) | st.sampled_from("\x1b\r\n\x00\x7f\x9b\u202e\u200b\udcff\\[]<>&"))


def test_ordinary_names_are_shown_as_they_are() -> None:
    for name in ("a.py", "ein Name mit Leerzeichen.py", "宽.py", "[x].py", "back\\slash"):
        assert shown(name) == name


def test_what_could_act_is_spelled_out() -> None:
    assert shown("\x1b[31mred") == "\\x1b[31mred"
    assert shown("a\nb\rc\td") == "a\\x0ab\\x0dc\\x09d"
    assert shown("\u202egnp.exe") == "\\u202egnp.exe"
    assert shown("a\u200bb") == "a\\u200bb"
    assert shown("\udcff") == "\\xff"
    assert shown("\U000e0001") == "\\U000e0001"


@given(any_text)
def test_shown_is_one_printable_line_in_any_encoding(text: str) -> None:
    result = shown(text)
    assert result.isprintable()
    result.encode("utf-8")


@given(any_text)
def test_a_line_keeps_its_tabs_and_nothing_else_that_acts(text: str) -> None:
    result = shown_line(text)
    assert result.replace("\t", "").isprintable()


def test_the_end_of_a_crlf_line_is_short() -> None:
    assert shown_line("a = 1\r\n") == "a = 1\\r"
    assert shown_line("a\rb\r\n") == "a\\x0db\\r"


@given(any_text)
def test_a_quoted_path_is_one_word(text: str) -> None:
    assert shlex.split(quoted(text)) == [shown(text)]


def test_only_newlines_end_lines() -> None:
    assert lines_of("a\x0cb\u2028c\rd\ne") == ["a\x0cb\u2028c\rd", "e"]
    assert lines_of("") == []
    assert lines_of("a\n\n") == ["a", ""]
