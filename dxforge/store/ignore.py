"""Git's rules for ``.gitignore``, over bytes as git has them, without a git repository.

A pattern is translated once into a regular expression that says yes exactly where git's ``wildmatch`` does, its
oddities included (sources: gitignore(5); git's ``dir.c`` and ``wildmatch.c``). pathspec follows the documentation but
not the oddities, and libgit2 can only be asked about the work tree of a repository.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

_SPECIAL = frozenset(b"*?[\\")
_SLASH = ord("/")
_NEVER = rb"(?!)"

_ASCII = range(128)
_CLASSES: dict[bytes, frozenset[int]] = {
    b"alnum": frozenset(code for code in _ASCII if chr(code).isalnum()),
    b"alpha": frozenset(code for code in _ASCII if chr(code).isalpha()),
    b"blank": frozenset(b" \t"),
    b"cntrl": frozenset((*range(32), 127)),
    b"digit": frozenset(b"0123456789"),
    b"graph": frozenset(range(33, 127)),
    b"lower": frozenset(code for code in _ASCII if chr(code).islower()),
    b"print": frozenset(range(32, 127)),
    b"punct": frozenset(code for code in range(33, 127) if not chr(code).isalnum()),
    b"space": frozenset(b" \t\n\r"),
    b"upper": frozenset(code for code in _ASCII if chr(code).isupper()),
    b"xdigit": frozenset(b"0123456789abcdefABCDEF"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One line of a ``.gitignore``.

    ``pattern`` is a regular expression for the whole of a name, or where ``anchored`` of a path from the file's folder.
    """

    pattern: bytes
    negated: bool
    anchored: bool
    folders_only: bool


def parse(content: bytes) -> tuple[Rule, ...]:
    """The rules of one ``.gitignore``, in its order."""
    lines = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    return tuple(_rule(_trimmed(line)) for line in lines if line and not line.startswith(b"#"))


def _trimmed(line: bytes) -> bytes:
    """Without a carriage return and the spaces at the end that no backslash protects; git's strings end at a NUL."""
    line = line.removesuffix(b"\r").split(b"\0")[0]
    spaces = None
    position = 0
    while position < len(line):
        if line[position] == ord(" "):
            spaces = position if spaces is None else spaces
        else:
            if line[position] == ord("\\"):
                position += 1
                if position == len(line):
                    return line
            spaces = None
        position += 1
    return line[:spaces]


def _rule(line: bytes) -> Rule:
    negated = line.startswith(b"!")
    body = line[1:] if negated else line
    folders_only = body.endswith(b"/")
    if folders_only:
        body = body[:-1]
    anchored = b"/" in body
    body = body.removeprefix(b"/")
    plain = next((number for number, code in enumerate(body) if code in _SPECIAL), len(body))
    # Git compares what precedes the first wildcard by itself, so `a**/b` is `a` and then a *leading* `**/b`.
    rest = wildmatch(body[plain:], paths=anchored) if plain < len(body) else b""
    pattern = re.escape(body[:plain]) + rest if body else _NEVER
    return Rule(pattern=pattern, negated=negated, anchored=anchored, folders_only=folders_only)


def wildmatch(glob: bytes, *, paths: bool) -> bytes:
    """Git's ``wildmatch`` as a regular expression.

    Args:
        glob: the pattern.
        paths: whether ``/`` is special (WM_PATHNAME).
    """
    out: list[bytes] = []
    one = rb"[^/]" if paths else rb"."
    position, end = 0, len(glob)
    while position < end:
        code = glob[position]
        if code == ord("\\"):
            if position + 1 == end:
                return _NEVER
            out.append(re.escape(glob[position + 1 : position + 2]))
            position += 2
        elif code == ord("?"):
            out.append(one)
            position += 1
        elif code == ord("*"):
            start = position
            while position < end and glob[position] == ord("*"):
                position += 1
            alone = start == 0 or glob[start - 1] == _SLASH
            if not (paths and alone and position - start > 1):
                out.append(one + b"*")
            elif glob[position : position + 1] == b"/":
                out.append(rb"(?:.*/)?")
                position += 1
            else:
                out.append(rb".*" if glob[position : position + 2] in (b"", rb"\/") else one + b"*")
        elif code == ord("["):
            found = _set(glob, position + 1)
            if found is None:
                return _NEVER
            codes, position = found
            out.append(_one_of(codes - {_SLASH} if paths else codes))
        else:
            out.append(re.escape(glob[position : position + 1]))
            position += 1
    return b"".join(out)


def _set(glob: bytes, position: int) -> tuple[frozenset[int], int] | None:
    """The set that ``[`` opens, as codes, and where it ends; None where it is malformed and never matches."""
    codes: set[int] = set()
    negated = glob[position : position + 1] in (b"!", b"^")
    position += negated
    previous = 0
    first = True
    while first or glob[position : position + 1] != b"]":
        first = False
        if position >= len(glob):
            return None
        code = glob[position]
        if code == ord("\\"):
            position += 1
            if position >= len(glob):
                return None
            code = glob[position]
            codes.add(code)
        elif code == ord("-") and previous and glob[position + 1 : position + 2] not in (b"", b"]"):
            position += 1
            if glob[position] == ord("\\"):
                position += 1
                if position >= len(glob):
                    return None
            codes.update(range(previous, glob[position] + 1))
            code = 0
        elif glob[position : position + 2] == b"[:":
            close = glob.find(b"]", position + 2)
            if close < 0:
                return None
            name = glob[position + 2 : close]
            if name.endswith(b":"):
                if name[:-1] not in _CLASSES:
                    return None
                codes |= _CLASSES[name[:-1]]
                position, code = close, 0
            else:
                codes.add(code)
        else:
            codes.add(code)
        previous = code
        position += 1
    return (frozenset(range(1, 256)) - codes if negated else frozenset(codes)), position + 1


def _one_of(codes: frozenset[int]) -> bytes:
    return b"[" + b"".join(b"\\x%02x" % code for code in sorted(codes)) + b"]" if codes else _NEVER


class Rules:
    """The rules of one ``.gitignore``, ready to be asked. The last one that matches decides.

    Args:
        content: of the file.
        fold_case: whether letters are compared without their case, as git does on file systems that do.
    """

    def __init__(self, content: bytes, *, fold_case: bool = False) -> None:
        every = list(enumerate(parse(content)))[::-1]
        self._folders = _Asked(every, fold_case=fold_case)
        self._files = _Asked([item for item in every if not item[1].folders_only], fold_case=fold_case)

    def verdict(self, path: bytes, name: bytes, *, folder: bool) -> bool | None:
        """Whether these rules ignore something; None where none of them speaks of it.

        Args:
            path: from the folder of the ``.gitignore``.
            name: the last part of ``path``.
            folder: whether it is a folder (a symlink to one is none).
        """
        return (self._folders if folder else self._files).verdict(path, name)


class _Asked:
    """Rules as two expressions, one for names and one for paths, the last rule first: the first group to match wins."""

    def __init__(self, rules: Sequence[tuple[int, Rule]], *, fold_case: bool) -> None:
        self._names = _Alternatives([item for item in rules if not item[1].anchored], fold_case=fold_case)
        self._paths = _Alternatives([item for item in rules if item[1].anchored], fold_case=fold_case)

    def verdict(self, path: bytes, name: bytes) -> bool | None:
        by_name, by_path = self._names.find(name), self._paths.find(path)
        if by_name is None or (by_path is not None and by_path[0] > by_name[0]):
            by_name = by_path
        return None if by_name is None else not by_name[1].negated


class _Alternatives:
    def __init__(self, rules: Sequence[tuple[int, Rule]], *, fold_case: bool) -> None:
        self._rules = rules
        flags = re.DOTALL | (re.IGNORECASE if fold_case else 0)
        expression = b"|".join(b"(" + rule.pattern + b")" for _, rule in rules)
        self._expression = re.compile(expression, flags) if rules else None

    def find(self, text: bytes) -> tuple[int, Rule] | None:
        found = self._expression.fullmatch(text) if self._expression is not None else None
        return self._rules[found.lastindex - 1] if found is not None and found.lastindex else None


@dataclass(frozen=True, slots=True)
class Ignore:
    """The rules in force in a folder with a ``.gitignore``, and below as far as no folder has another.

    ``folder`` is its path from the root, with a slash at the end ("" for the root). ``read`` brings the file's content
    (None: it is none that git would read) when it is first needed; ``above`` are the rules in force around the folder.
    """

    folder: bytes
    read: Callable[[], bytes | None]
    above: Ignore | None = None
    fold_case: bool = False
    _rules: list[Rules | None] = field(default_factory=list)

    def ignores(self, path: bytes, name: bytes, *, folder: bool) -> bool:
        """Whether git would ignore something.

        Args:
            path: from the root; somewhere in this folder, and in none that is itself ignored.
            name: the last part of ``path``.
            folder: whether it is a folder (a symlink to one is none).
        """
        level: Ignore | None = self
        while level is not None:
            rules = level._own()  # noqa: SLF001 - of the same class
            said = None if rules is None else rules.verdict(path[len(level.folder) :], name, folder=folder)
            if said is not None:
                return said
            level = level.above
        return False

    def _own(self) -> Rules | None:
        if not self._rules:
            content = self.read()
            self._rules.append(Rules(content, fold_case=self.fold_case) if content else None)
        return self._rules[0]
