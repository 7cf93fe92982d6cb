"""What the user changed in injected packages: how much, and what of it the newest version will not bear. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from dxforge.background.symbols import changed_lines, symbols_of, uses, vanished

_MAX_LINES = 20_000

Contents = Mapping[str, bytes]
EditKind = Literal["changed", "created", "deleted", "binary"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Newest:
    """The newest version of a package: its Python files by path in the package's folder."""

    version: str
    files: Contents


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageEdits:
    """An injected package that carries edits, as the traffic side knows it.

    ``files`` are the edited ones: path in the package's folder -> (base, local), None where there is no such file.
    ``base`` brings all Python files of the version that is installed, ``newest`` those of the newest one, where that is
    another and can be had. Both are called at most once, and only where an edit is of Python.
    """

    name: str
    version: str
    files: Mapping[str, tuple[bytes | None, bytes | None]]
    base: Callable[[], Contents]
    newest: Callable[[], Newest | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class EditedFile:
    """One edited file of an injected package; ``path`` from the package's folder. Lines are 0 for a binary file."""

    path: str
    kind: EditKind
    lines_added: int = 0
    lines_removed: int = 0
    size_bytes: int = 0
    """Of the file as it is now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VanishedSymbol:
    """A name that an edit uses and the newest version has no more.

    ``symbol`` is dotted, with its module; where not ``sure``, an attribute of an object whose class is not known.
    """

    path: str
    line: int
    symbol: str
    sure: bool


def measure(path: str, base: bytes | None, local: bytes | None) -> EditedFile:
    """How large an edit is."""
    size_bytes = len(local or b"")
    if b"\0" in (base or b"")[:8000] or b"\0" in (local or b"")[:8000]:
        return EditedFile(path=path, kind="binary", size_bytes=size_bytes)
    old, new = (base or b"").splitlines(), (local or b"").splitlines()
    if len(old) + len(new) > _MAX_LINES:
        known, present = set(old), set(new)
        added, removed = sum(line not in known for line in new), sum(line not in present for line in old)
    else:
        codes = difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
        added = sum(end - start for kind, _, _, start, end in codes if kind != "equal")
        removed = sum(end - start for kind, start, end, _, _ in codes if kind != "equal")
    kind: EditKind = "created" if base is None else "deleted" if local is None else "changed"
    return EditedFile(path=path, kind=kind, lines_added=added, lines_removed=removed, size_bytes=size_bytes)


def judge(
    files: Mapping[str, tuple[bytes | None, bytes | None]], base: Contents, newest: Contents | None
) -> tuple[list[EditedFile], list[VanishedSymbol]]:
    """Measure the edited ``files``, and find what they use that ``newest`` (None: unknown) has no more.

    Returns:
        By path.
    """
    measured = [measure(path, *files[path]) for path in sorted(files)]
    if newest is None:
        return measured, []
    before, after = symbols_of(base), symbols_of(newest)
    gone = []
    for path in sorted(files):
        old, new = files[path]
        if new is None or not path.endswith(".py"):
            continue
        found = vanished(uses(path, new, changed_lines(old or b"", new), before), before, after)
        gone += [
            VanishedSymbol(path=path, line=use.line, symbol=f"{use.module}.{use.symbol}".lstrip("."), sure=use.sure)
            for use in found
        ]
    return measured, gone


def has_python(edits: PackageEdits) -> bool:
    """Whether any of the edits is of Python, so that looking at the whole package is worth it."""
    return any(path.endswith(".py") and local is not None for path, (_, local) in edits.files.items())
