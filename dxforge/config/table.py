"""Reading TOML values by type, with errors that name the dotted key. Used by the decoders of this package only."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from dxforge.errors import ConfigError

MAX_TEXT_CHARS = 8192
_MAX_SHOWN_CHARS = 60
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
# Lone surrogates as well: they cannot be printed.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

Choice = TypeVar("Choice", bound=str)


@dataclass(frozen=True, slots=True, kw_only=True)
class At:
    """A place in a file: ``where`` names the file, ``path`` the key, array positions as numbers."""

    where: str
    path: tuple[str | int, ...] = ()

    def __truediv__(self, key: str | int) -> At:
        """The place of ``key`` inside this one."""
        return At(where=self.where, path=(*self.path, key))

    @property
    def key(self) -> str:
        """The dotted path, e.g. ``build.steps[0].tool``."""
        text = ""
        for part in self.path:
            if isinstance(part, int):
                text += f"[{part}]"
            else:
                text += ("." if text else "") + (_short(part) if _BARE_KEY.fullmatch(part) else show(part))
        return text

    def error(self, what: str, *, hint: str = "") -> ConfigError:
        """An error at this place."""
        return ConfigError(what, where=self.where, key=self.key, hint=hint)

    def wrong_type(self, value: object, expected: str) -> ConfigError:
        """``value`` is not what belongs here."""
        return self.error(f"expected {expected}, found {type_name(value)}", hint=f"Write {expected}")


def type_name(value: object) -> str:
    """What TOML calls ``value``'s type, with an article."""
    names: tuple[tuple[type, str], ...] = (
        (bool, "true or false"),
        (str, "a text"),
        (int, "a whole number"),
        (float, "a number with a fraction"),
        (dict, "a table"),
        (list, "an array"),
    )
    for known, name in names:
        if isinstance(value, known):
            return name
    return "a date or time"


def show(text: str) -> str:
    """``text`` quoted for an error: short, and without anything that would disturb a terminal."""
    shown = (char if char.isprintable() else f"\\u{ord(char):04x}" for char in _short(text).replace('"', '\\"'))
    return '"' + "".join(shown) + '"'


def _short(text: str) -> str:
    return text if len(text) <= _MAX_SHOWN_CHARS else text[: _MAX_SHOWN_CHARS - 1] + "…"


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The entry of ``known`` that ``word`` was most likely meant to be, or None."""
    import difflib

    by_folded = {entry.casefold(): entry for entry in known}
    # A key may be as long as the file; comparing is quadratic.
    found = difflib.get_close_matches(word[:_MAX_SHOWN_CHARS].casefold(), by_folded, n=1, cutoff=0.55)
    return by_folded[found[0]] if found else None


def nearest_hint(word: str, known: Iterable[str], *, kind: str = "key") -> str:
    """A hint that names the nearest of ``known``, or all of them where none is near."""
    entries = list(known)
    match = nearest(word, entries)
    if match is not None:
        return f"The nearest known {kind} is {show(match)}"
    return f"Known here: {', '.join(entries)}" if entries else ""


def check_text(value: object, at: At, *, empty: bool = False, lines: bool = False) -> str:
    """``value`` as text without control characters (``lines``: all but NUL may pass).

    Raises:
        ConfigError: not text, empty (unless ``empty``), too long, or with characters that have no place here.
    """
    if not isinstance(value, str):
        raise at.wrong_type(value, "a text in quotes")
    if not value.strip() and not empty:
        raise at.error("the text is empty", hint="Write a value, or remove the key")
    if len(value) > MAX_TEXT_CHARS:
        raise at.error(f"the text has {len(value)} characters, more than {MAX_TEXT_CHARS}", hint="Shorten it")
    if "\0" in value or (not lines and _CONTROL.search(value)):
        raise at.error("the text holds control characters", hint="Remove them")
    if not is_unicode(value):
        raise at.error("the text is not valid Unicode", hint="Write it in UTF-8")
    return value


def is_unicode(text: str) -> bool:
    """Whether ``text`` can be written as UTF-8: no lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_texts(value: object, at: At, *, empty: bool = False, lines: bool = False) -> tuple[str, ...]:
    """``value`` as an array of texts; the flags are those of `check_text`, for each of them."""
    if not isinstance(value, list):
        raise at.wrong_type(value, "an array of texts")
    return tuple(check_text(entry, at / index, empty=empty, lines=lines) for index, entry in enumerate(value))


def check_table(value: object, at: At) -> Mapping[str, object]:
    """``value`` as a table."""
    if not isinstance(value, dict):
        raise at.wrong_type(value, "a table")
    return value


class Table:
    """A table with known keys. Each method decodes the value of one key, or returns the default where it is absent.

    Raises:
        ConfigError: on construction, when ``value`` is no table or has a key that is not in ``known``; from the
            methods, when a value has the wrong type or is out of range. Numbers are never booleans.
    """

    def __init__(self, value: object, at: At, known: tuple[str, ...], *, near: tuple[str, ...] = ()) -> None:
        self.at = at
        self._data = check_table(value, at)
        for key in self._data:
            if key not in known:
                raise (at / key).error("unknown key", hint=nearest_hint(key, (*known, *near)))

    def __contains__(self, key: str) -> bool:
        """Whether ``key`` is written in the file."""
        return key in self._data

    def value(self, key: str) -> object:
        """The undecoded value of ``key``; an empty table where it is absent."""
        return self._data.get(key, {})

    def text(self, key: str, default: str | None = None, *, empty: bool = False) -> str:
        """A text; without a ``default`` the key must be there."""
        if key in self._data:
            return check_text(self._data[key], self.at / key, empty=empty)
        if default is None:
            raise (self.at / key).error("the key is missing", hint=f"Add {key} = …")
        return default

    def texts(self, key: str, *, empty: bool = False, lines: bool = False) -> tuple[str, ...]:
        """An array of texts; () where absent."""
        return check_texts(self._data.get(key, []), self.at / key, empty=empty, lines=lines)

    def flag(self, key: str, *, default: bool) -> bool:
        """True or false."""
        value = self._data.get(key, default)
        if not isinstance(value, bool):
            raise (self.at / key).wrong_type(value, "true or false")
        return value

    def whole(self, key: str, default: int, *, low: int, high: int) -> int:
        """A whole number from ``low`` to ``high``, both included."""
        value = self._data.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int):
            raise (self.at / key).wrong_type(value, "a whole number")
        self._check_range(key, value, low, high)
        return value

    def seconds(self, key: str, default: float, *, low: float, high: float) -> float:
        """A number of seconds from ``low`` to ``high``, both included."""
        value = self._data.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise (self.at / key).wrong_type(value, "a number of seconds")
        self._check_range(key, value, low, high)
        return float(value)

    def _check_range(self, key: str, value: float, low: float, high: float) -> None:
        # The number itself is not shown: a whole number of more than 4300 digits cannot even be formatted.
        # NaN compares false, so it is out of range too.
        if not low <= value <= high:
            raise (self.at / key).error("the number is out of range", hint=f"Write one from {low} to {high}")

    def choice(self, key: str, default: Choice, options: tuple[Choice, ...]) -> Choice:
        """One of ``options``."""
        value = self.text(key, default)
        for option in options:
            if value == option:
                return option
        listed = ", ".join(show(option) for option in options)
        match = nearest(value, options)
        hint = f"The nearest of {listed} is {show(match)}" if match else f"Write one of {listed}"
        raise (self.at / key).error(f"{show(value)} is not known here", hint=hint)
