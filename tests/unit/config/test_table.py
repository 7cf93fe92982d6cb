"""Reading TOML by type: what each method takes, and how it names what it refuses."""

from __future__ import annotations

import datetime

import pytest

from dxforge.config.table import MAX_TEXT_CHARS, At, Table, nearest, nearest_hint, show, type_name
from dxforge.errors import ConfigError

AT = At(where="dx.toml")


def table(known: str = "a", **values: object) -> Table:
    return Table(values, AT / "t", tuple(known.split()))


def test_a_key_is_named_by_its_dotted_path() -> None:
    assert (AT / "build" / "steps" / 0 / "tool").key == "build.steps[0].tool"
    assert (AT / "packages" / "a.b" / "path").key == 'packages."a.b".path'
    assert (AT / "packages" / 'a"b\n').key == 'packages."a\\"b\\u000a"'


def test_a_long_key_and_a_long_text_are_shown_short() -> None:
    assert len((AT / ("k" * 5000)).key) < 80
    assert len(show("v" * 5000)) < 80


def test_what_is_shown_can_always_be_printed() -> None:
    shown = show("a\x1b[31m\udc80\u2028")
    assert shown == '"a\\u001b[31m\\udc80\\u2028"'
    shown.encode()


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (True, "true or false"),
        ("x", "a text"),
        (1, "a whole number"),
        (1.5, "a number with a fraction"),
        ({}, "a table"),
        ([], "an array"),
        (datetime.date(2026, 1, 1), "a date or time"),
    ],
)
def test_types_have_names_that_a_user_knows(value: object, name: str) -> None:
    assert type_name(value) == name


def test_an_unknown_key_names_the_nearest_known_one() -> None:
    with pytest.raises(ConfigError) as caught:
        table("review on_yellow", reviw=1)
    assert caught.value.key == "t.reviw"
    assert caught.value.hint == 'The nearest known key is "review"'
    assert str(caught.value).startswith("dx.toml: t.reviw: unknown key")


def test_an_unknown_key_that_is_near_to_none_lists_all() -> None:
    with pytest.raises(ConfigError, match="Known here: review, on_yellow"):
        table("review on_yellow", zzz=1)


def test_nearest_ignores_case_and_copes_with_very_long_words() -> None:
    assert nearest("REVIEW", ["review", "other"]) == "review"
    assert nearest("x" * 100_000, ["review"]) is None
    assert nearest_hint("x", []) == ""


@pytest.mark.parametrize("value", [True, 1, 1.0, [], {}, datetime.date(2026, 1, 1)])
def test_text_takes_nothing_but_text(value: object) -> None:
    with pytest.raises(ConfigError, match="expected a text in quotes"):
        table(a=value).text("a")


def test_text_may_have_a_default_or_must_be_there() -> None:
    assert table().text("a", "x") == "x"
    with pytest.raises(ConfigError, match="the key is missing") as caught:
        table().text("a")
    assert caught.value.key == "t.a"


@pytest.mark.parametrize("value", ["a\0b", "a\nb", "a\x1bb", "a\x85b"])
def test_text_has_no_control_characters(value: str) -> None:
    with pytest.raises(ConfigError, match="control characters"):
        table(a=value).text("a")


def test_lines_may_pass_where_they_make_sense_but_nul_never() -> None:
    assert table(a=["x\ny"]).texts("a", lines=True) == ("x\ny",)
    with pytest.raises(ConfigError) as caught:
        table(a=["x", "\0"]).texts("a", lines=True)
    assert caught.value.key == "t.a[1]"


@pytest.mark.parametrize("value", ["", "  "])
def test_empty_text_is_refused_unless_it_means_something(value: str) -> None:
    with pytest.raises(ConfigError, match="the text is empty"):
        table(a=value).text("a")
    assert table(a=value).text("a", empty=True) == value


def test_text_has_an_upper_size() -> None:
    assert table(a="x" * MAX_TEXT_CHARS).text("a")
    with pytest.raises(ConfigError, match="8193 characters"):
        table(a="x" * (MAX_TEXT_CHARS + 1)).text("a")


@pytest.mark.parametrize("value", [True, "1", 1.0])
def test_whole_takes_no_boolean_text_or_fraction(value: object) -> None:
    with pytest.raises(ConfigError, match="expected a whole number"):
        table(a=value).whole("a", 0, low=0, high=9)


@pytest.mark.parametrize("value", [-1, 10, pytest.param(2**20_000, id="huge")])
def test_whole_keeps_to_its_range_even_where_the_number_cannot_be_printed(value: int) -> None:
    with pytest.raises(ConfigError, match="Write one from 0 to 9"):
        table(a=value).whole("a", 0, low=0, high=9)


def test_whole_takes_both_ends() -> None:
    assert [table(a=value).whole("a", 5, low=0, high=9) for value in (0, 9)] == [0, 9]
    assert table().whole("a", 5, low=0, high=9) == 5


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.5, pytest.param(2**20_000, id="huge")])
def test_seconds_are_finite_and_in_range(value: float) -> None:
    with pytest.raises(ConfigError, match="out of range"):
        table(a=value).seconds("a", 1, low=0, high=9)


def test_seconds_may_be_whole_and_never_boolean() -> None:
    value = table(a=2).seconds("a", 1, low=0, high=9)
    assert value == 2.0
    assert isinstance(value, float)
    with pytest.raises(ConfigError):
        table(a=True).seconds("a", 1, low=0, high=9)


@pytest.mark.parametrize("value", [0, 1, "true"])
def test_flag_takes_nothing_but_booleans(value: object) -> None:
    with pytest.raises(ConfigError, match="expected true or false"):
        table(a=value).flag("a", default=False)


def test_choice_names_the_nearest_option() -> None:
    assert table(a="keep").choice("a", "ask", ("ask", "keep")) == "keep"
    with pytest.raises(ConfigError, match='The nearest of "ask", "keep" is "keep"'):
        table(a="kep").choice("a", "ask", ("ask", "keep"))
    with pytest.raises(ConfigError, match='Write one of "ask", "keep"'):
        table(a="zzz").choice("a", "ask", ("ask", "keep"))


def test_texts_takes_an_array_of_texts() -> None:
    assert table(a=["x", "y"]).texts("a") == ("x", "y")
    assert table().texts("a") == ()
    with pytest.raises(ConfigError, match="expected an array of texts"):
        table(a="x").texts("a")
    with pytest.raises(ConfigError) as caught:
        table(a=["x", 1]).texts("a")
    assert caught.value.key == "t.a[1]"


@pytest.mark.parametrize("value", [[], "x", 1, None])
def test_a_table_is_a_table(value: object) -> None:
    with pytest.raises(ConfigError, match="expected a table"):
        Table(value, AT / "t", ())
