from __future__ import annotations

import shlex

from hypothesis import given
from hypothesis import strategies as st

from dxforge_nb.completer import command_before, completions, split


def test_what_stands_before_the_cursor() -> None:
    assert command_before("%dx sta", 0, "%dx sta") == "sta"
    assert command_before("  x = %dx sta", 0, "  x = %dx sta") == "sta"
    assert command_before("%dx", 0, "%dx") is None
    assert command_before("print('%dx sta", 0, "print('%dx sta") is None
    assert command_before("%%dx\nsta", 1, "sta") == "sta"
    assert command_before("%%dx -q", 0, "%%dx -q") == "-q"
    assert command_before("%%dxx\nsta", 1, "sta") is None
    assert command_before("%%time\nsta", 1, "sta") is None


def test_words_are_split_as_a_shell_does_and_the_last_is_kept_as_typed() -> None:
    assert split("accept a b") == (["accept", "a"], "b", "b")
    assert split("accept a ") == (["accept", "a"], "", "")
    assert split("accept 'a b") == (["accept"], "a b", "'a b")
    assert split('accept "a') == (["accept"], "a", '"a')
    assert split("accept a\\ b") == (["accept"], "a b", "a\\ b")
    assert split("accept a\\") == (["accept"], "a", "a\\")


def test_a_quoted_word_is_completed_with_its_quotes() -> None:
    assert completions("%dx 'stat", 0, "%dx 'stat") == (["status"], "'stat")


@given(st.text(st.sampled_from("ab '\"\\\t-$")))
def test_any_text_splits_into_its_own_end(text: str) -> None:
    words, _, typed = split(text)
    assert text.endswith(typed)
    assert all(isinstance(word, str) for word in words)


@given(
    st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\n\r\0"), min_size=1)), st.text("abc", min_size=1)
)
def test_quoted_words_come_out_as_they_were(words: list[str], last: str) -> None:
    assert split(" ".join([*map(shlex.quote, words), last])) == (words, last, last)
