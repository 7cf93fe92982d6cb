"""Whether what a caller gives is what is expected: a `UsageError` that says so, not whatever it leads to further in."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence

from dxforge.errors import UsageError
from dxforge.orchestrator.definition import DxToolDefinition


def name(value: object) -> None:
    """A tool's name is a text."""
    if not isinstance(value, str):
        raise _unexpected("a tool's name", value, "a text", hint='Write for example "web"')


def names(value: Iterable[str] | object) -> list[str]:
    """Names of tools, one by one; each is checked where it is looked up."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise _unexpected("names", value, "several texts", hint='Give the names one by one: ["web", "db"]')
    return list(value)


def definition(value: object) -> None:
    """What is registered is a definition."""
    if not isinstance(value, DxToolDefinition):
        hint = 'Write register_tool(DxToolDefinition("name", "program"))'
        raise _unexpected("what is registered", value, "a DxToolDefinition", hint=hint)


def lines(value: object) -> None:
    """A number of lines, 0 or more."""
    if not isinstance(value, int) or value < 0:
        raise _unexpected("tail", value, "a number of lines, 0 or more", hint="Write for example tail=100")


def words(value: Sequence[str] | object) -> tuple[str, ...]:
    """A program's arguments; paths count as the texts they are."""
    hint = 'Give the arguments one by one, as texts: ["build", "--fast"]'
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise _unexpected("args", value, "several texts", hint=hint)
    found = [os.fspath(word) if isinstance(word, os.PathLike) else word for word in value]
    for number, word in enumerate(found):
        if not isinstance(word, str):
            raise _unexpected(f"args[{number}]", word, "a text", hint=hint)
    return tuple(found)


def seconds(value: object) -> None:
    """A time, or None."""
    if value is not None and (not isinstance(value, int | float) or math.isnan(value)):
        raise _unexpected("timeout_s", value, "a number of seconds, or None", hint="Write for example timeout_s=30")


def environment(value: object) -> None:
    """Variables by name, or None."""
    if value is None:
        return
    if not isinstance(value, Mapping):
        raise _unexpected("env", value, "a table of texts", hint='Write for example env={"NAME": "text"}')
    for key, text in value.items():
        if not (isinstance(key, str) and isinstance(text, str)):
            raise _unexpected(f"env[{key!r}]", text, "a text under a text", hint='Write env={"NAME": "text"}')


def _unexpected(what: str, value: object, expected: str, *, hint: str) -> UsageError:
    # Only numbers are shown: a text may be a secret.
    found = repr(value) if isinstance(value, int | float) and math.isfinite(value) else type(value).__name__
    return UsageError(f"{what} must be {expected}, not {found}", where="orchestrator", hint=hint)
