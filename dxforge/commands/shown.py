"""How foreign text (file names, file contents, versions) is shown, so that it can neither act nor deceive."""

from __future__ import annotations

import re
import shlex

_SURROGATE_BYTES = range(0xDC80, 0xDD00)
# One escape sequence of `shown`, for reading it back.
_ESCAPED = re.compile(r"\\(x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8})")
# Control sequences of ECMA-48: CSI, OSC up to its end, and the two-character ones.
_TERMINAL = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]*[0-~])")


def shown(text: str) -> str:
    """``text`` on one line: control, bidirectional and invisible characters and undecodable bytes as ``\\x1b``.

    Covers terminal escapes, "trojan source" and separators that would break a table.
    """
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else _escape(character) for character in text)


def shown_line(text: str) -> str:
    """A line of a file: as ``shown``, but tabs stay, the newline goes, and a final carriage return is ``\\r``."""
    text = text.removesuffix("\n")
    if text.isprintable():
        return text
    # Every line of a CRLF file has one.
    text, returned = (text[:-1], "\\r") if text.endswith("\r") else (text, "")
    return "\t".join(shown(part) for part in text.split("\t")) + returned


def output_line(text: str) -> str:
    """A line that a program wrote: as ``shown_line``, without its colours and cursor moves.

    What a carriage return was to overwrite on a terminal (progress bars) is left out.
    """
    text = _TERMINAL.sub("", text.rstrip("\r\n"))
    return shown_line(text.rsplit("\r", 1)[-1])


def lines_of(text: str) -> list[str]:
    """The lines of a file or diff: ended by ``\\n`` alone, since everything else is content there."""
    lines = text.split("\n")
    if lines and not lines[-1]:
        lines.pop()
    return lines


def quoted(path: str) -> str:
    """``path`` as it can be typed after ``dxforge diff``; what cannot be typed stays escaped, and is understood so."""
    return shlex.quote(shown(path))


def hint_text(hint: str) -> str:
    """An error's hint as it is shown: a question gets its mark."""
    return f"{shown(hint)}?" if hint.startswith("Did you mean") else shown(hint)


def may_be_escaped(text: str) -> bool:
    """Whether ``text`` could have been copied from our output where the real name holds what cannot be shown."""
    return _ESCAPED.search(text) is not None


def _escape(character: str) -> str:
    code = ord(character)
    if code in _SURROGATE_BYTES:
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
