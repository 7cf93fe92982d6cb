"""Secrets are left out of what a notebook shows, since that is saved, committed and sent around.

Tools print what they like, their environment too. So in output of tools and builds the value of every variable whose
name says that it is a secret, and of every variable that a tool takes over (``pass_env``), becomes ``***``. Logs on
disk keep what the tools wrote.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from dxforge.config.secrets import has_credentials, is_secret_key
from dxforge.errors import DxForgeError

T = TypeVar("T")
HIDDEN = "***"
_SHORTEST = 6
"""Shorter values (``1``, ``true``, ``debug``) are in every other line; nothing that is secret is that short."""


class Redactor:
    """Replaces the values of secrets in texts.

    Args:
        values: the secrets; of one with several lines, each line is one. Those below six characters are left aside.
    """

    def __init__(self, values: Iterable[str] = ()) -> None:
        found = {part.strip() for value in values for part in (value, *value.splitlines())}
        # The longest first: one secret may begin with another.
        self._values = sorted((part for part in found if len(part) >= _SHORTEST), key=lambda part: (-len(part), part))
        self._pattern = re.compile("|".join(map(re.escape, self._values))) if self._values else None

    def __bool__(self) -> bool:
        return self._pattern is not None

    def __call__(self, text: str) -> str:
        """``text`` without them."""
        return text if self._pattern is None else self._pattern.sub(HIDDEN, text)

    def stream(self) -> RedactedStream:
        """For text that comes in pieces."""
        return RedactedStream(self, self._values)


class RedactedStream:
    """Text in pieces: the end of one that may be the beginning of a secret waits for the next."""

    def __init__(self, redactor: Redactor, values: list[str]) -> None:
        self._redactor = redactor
        self._values = values
        self._held = ""

    def __call__(self, text: str) -> str:
        """What can be shown by now."""
        # Whole ones first: where one ends, another may begin.
        text = self._redactor(self._held + text)
        cut = len(text) - max((_overlap(text, value) for value in self._values), default=0)
        self._held = text[cut:]
        return text[:cut]

    def rest(self) -> str:
        """What was held back, at the end."""
        text, self._held = self._held, ""
        return text


def _overlap(text: str, value: str) -> int:
    """How much of the end of ``text`` is a beginning of ``value``, but not all of it."""
    longest = min(len(value) - 1, len(text))
    return next((length for length in range(longest, 0, -1) if text.endswith(value[:length])), 0)


def redactor_for(folder: Path, environ: Mapping[str, str] = os.environ) -> Redactor:
    """Knows what in ``environ`` is secret: by a variable's name, by a password in an address, by ``pass_env``.

    Args:
        folder: the project's, or one in it; tools of a project that cannot be read pass on nothing.
        environ: the environment that tools are started with.
    """
    passed = _passed(folder)
    return Redactor(
        value
        for name, value in environ.items()
        # A path that is passed on is no secret, and would be missed.
        if is_secret_key(name) or has_credentials(value) or (name in passed and not value.startswith(("/", "~")))
    )


def _passed(folder: Path) -> set[str]:
    from dxforge.config.load import find_root
    from dxforge_nb.kernel import FORGES

    try:
        tools = FORGES.look(find_root(folder)).tool_registry.all()
    except DxForgeError:
        return set()
    return {name for tool in tools.values() for name in tool.pass_env}


def redacted(value: T, redactor: Redactor) -> T:
    """``value`` with every text in it redacted: dataclasses, lists, tuples, sets and dicts are gone through.

    What holds no secret is handed back as it is, the very same object.
    """
    return _redacted(value, redactor) if redactor else value


def _redacted(value: Any, redactor: Redactor) -> Any:
    match value:
        case str():
            text = redactor(value)
            # Not a subclass's (an enum's) place: those are ours, and hold no foreign text.
            return text if type(value) is str and text != value else value
        case list() | tuple() | set() | frozenset():
            parts = [_redacted(part, redactor) for part in value]
            same = all(new is old for new, old in zip(parts, value, strict=True))
            return value if same else type(value)(parts)
        case dict():
            pairs = {key: _redacted(part, redactor) for key, part in value.items()}
            return value if all(pairs[key] is value[key] for key in value) else pairs
        case BaseException():
            return _redacted_error(value, redactor)
        case _ if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value) if field.init}
            changed = {name: new for name, old in fields.items() if (new := _redacted(old, redactor)) is not old}
            return dataclasses.replace(value, **changed) if changed else value
        case _:
            return value


def _redacted_error(error: BaseException, redactor: Redactor) -> BaseException:
    """In place: an error cannot be made again, and whoever catches it must find this one."""
    for name in ("what", "where", "hint", "log_tail"):
        if (old := getattr(error, name, None)) and (new := _redacted(old, redactor)) is not old:
            setattr(error, name, new)
    error.args = tuple(_redacted(part, redactor) for part in error.args)
    return error
