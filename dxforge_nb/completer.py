"""Tab completion of ``%dx`` lines, in IPython's terminal and over the kernel protocol."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.completer import CompletionContext, SimpleMatcherResult
    from IPython.core.interactiveshell import InteractiveShell

_IDENTIFIER = "dxforge_nb.dx"
_LINE = re.compile(r"^\s*(?:[^\W\d][\w.]*\s*=\s*)?%dx\s+(.*)$", re.DOTALL)
_CELL = re.compile(r"^\s*%%dx(\s|$)")


def command_before(full_text: str, cursor_line: int, text_until_cursor: str) -> str | None:
    """What stands between ``%dx`` and the cursor; None where the cursor is in no ``%dx`` line."""
    if found := _LINE.match(text_until_cursor):
        return found[1]
    first = full_text.split("\n", 1)[0]
    if not _CELL.match(first):
        return None
    if cursor_line:
        return text_until_cursor
    header = _CELL.match(text_until_cursor)
    return text_until_cursor[header.end() :] if header else None


def split(text: str) -> tuple[list[str], str, str]:
    """Whole words, the unfinished last one, and that one as typed (with its quotes)."""
    start = 0
    quote = ""
    position = 0
    while position < len(text):
        character = text[position]
        if character == "\\" and quote != "'":
            position += 1
        elif quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character.isspace():
            start = position + 1
        position += 1
    typed = text[start:]
    closed = typed + quote if not typed.endswith("\\") else typed[:-1]
    try:
        words = shlex.split(text[:start])
        last = shlex.split(closed)
    except ValueError:
        return [], "", typed
    return words, last[0] if last else "", typed


def completions(full_text: str, cursor_line: int, text_until_cursor: str) -> tuple[list[str], str]:
    """What can replace the text just before the cursor, and that text."""
    command = command_before(full_text, cursor_line, text_until_cursor)
    if command is None:
        return [], ""
    from dxforge.commands.completion import complete

    words, last, typed = split(command)
    return [shlex.quote(word) for word in complete(words, last, notebook=True)], typed


def add_matcher(shell: InteractiveShell) -> None:
    """Let ``shell`` complete ``%dx`` lines; again is harmless."""
    from IPython.core.completer import SimpleCompletion, context_matcher

    remove_matcher(shell)

    @context_matcher(identifier=_IDENTIFIER, priority=200)  # type: ignore[untyped-decorator]
    def dx_matcher(context: CompletionContext) -> SimpleMatcherResult:
        found, typed = completions(context.full_text, context.cursor_line, context.text_until_cursor)
        result: dict[str, Any] = {
            "completions": [SimpleCompletion(text, type="magic") for text in found],
            "suppress": bool(found),
            "ordered": True,
        }
        if found:
            result["matched_fragment"] = typed
        return result  # type: ignore[return-value]

    shell.Completer.custom_matchers.append(dx_matcher)


def remove_matcher(shell: InteractiveShell) -> None:
    """Take it back."""
    matchers = shell.Completer.custom_matchers
    matchers[:] = [known for known in matchers if getattr(known, "matcher_identifier", None) != _IDENTIFIER]
