"""What ``AnalyzeCodebasePatterns`` found, as data and as JSON, text, HTML and a picture."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from dxforge.background.edits import EditedFile, VanishedSymbol

Provider = Literal["injected", "own", "stdlib", "distribution", "unknown"]
_SHOWN = 3
Rows = list[tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class FilePlace:
    """A line of a file of the project; ``path`` from its root, ``cell`` of a notebook from 1 (0: none)."""

    path: str
    cell: int = 0
    line: int = 0

    def __str__(self) -> str:
        place = f" cell {self.cell}:{self.line}" if self.cell else f":{self.line}" if self.line else ""
        return f"{self.path}{place}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedModule:
    """A top-level module that the project imports, who provides it, and where it is imported.

    ``packages`` are the injected packages, or the installed distributions, that offer it. ``guarded``: everywhere it is
    imported it may be missing (in ``try``, for type checkers only, by name).
    """

    module: str
    provider: Provider
    packages: tuple[str, ...] = ()
    declared: bool = True
    guarded: bool = False
    places: tuple[FilePlace, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EditedPackage:
    """An injected package with edits. ``newest`` is the newest version, "" where it is not known or not newer."""

    name: str
    version: str
    newest: str = ""
    files: tuple[EditedFile, ...] = ()
    vanished: tuple[VanishedSymbol, ...] = ()

    @property
    def lines_added(self) -> int:
        """In all files."""
        return sum(file.lines_added for file in self.files)

    @property
    def lines_removed(self) -> int:
        """In all files."""
        return sum(file.lines_removed for file in self.files)


@dataclass(frozen=True, slots=True, kw_only=True)
class PatternMatch:
    """A line that a pattern of ``dx.toml`` found something in."""

    pattern: str
    place: FilePlace
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FileProblem:
    """A file, or a place in it, that could not be read or parsed."""

    place: FilePlace
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewerVersion:
    """An injected package for which ``dx.toml`` allows a newer ``version`` than the installed ``before``."""

    name: str
    before: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalysisReport:
    """What the analysis found. ``read`` of the ``files`` were parsed anew; the others had not changed since."""

    files: int
    read: int
    imports: tuple[ImportedModule, ...] = ()
    unused: tuple[str, ...] = ()
    """Injected packages that nothing imports, neither the project nor another injected package."""
    edits: tuple[EditedPackage, ...] = ()
    matches: tuple[PatternMatch, ...] = ()
    problems: tuple[FileProblem, ...] = ()
    newer: tuple[NewerVersion, ...] = ()
    unasked: tuple[tuple[str, str], ...] = ()
    """Packages whose newest version could not be asked for, and why."""

    @property
    def undeclared(self) -> tuple[ImportedModule, ...]:
        """What is used, and declared nowhere."""
        return tuple(item for item in self.imports if not item.declared)

    def to_json(self) -> dict[str, Any]:
        """The object of ``analyze --json``."""
        return {
            "files": self.files,
            "read": self.read,
            "imports": [
                {
                    "module": item.module,
                    "provider": item.provider,
                    "packages": list(item.packages),
                    "declared": item.declared,
                    "guarded": item.guarded,
                    "places": [dataclasses.asdict(place) for place in item.places],
                }
                for item in self.imports
            ],
            "unused": list(self.unused),
            "undeclared": [item.module for item in self.undeclared],
            "edits": [
                {
                    "name": item.name,
                    "version": item.version,
                    "newest": item.newest,
                    "lines_added": item.lines_added,
                    "lines_removed": item.lines_removed,
                    "files": [dataclasses.asdict(file) for file in item.files],
                    "vanished": [dataclasses.asdict(symbol) for symbol in item.vanished],
                }
                for item in self.edits
            ],
            "matches": [
                {"pattern": item.pattern, **dataclasses.asdict(item.place), "text": item.text} for item in self.matches
            ],
            "problems": [{**dataclasses.asdict(item.place), "what": item.what} for item in self.problems],
            "newer": [dataclasses.asdict(item) for item in self.newer],
            "unasked": [{"name": name, "why": why} for name, why in self.unasked],
        }

    def tables(self) -> Iterator[tuple[str, tuple[str, ...], Rows]]:
        """Title, headings and rows of each part that has something to say: what text and HTML show."""
        used = [item for item in self.imports if item.provider == "injected"]
        parts: list[tuple[str, tuple[str, ...], Rows]] = [
            ("Injected and used", ("module", "package", "where"), [_used(item) for item in used]),
            ("Injected but unused", ("package",), [(name,) for name in self.unused]),
            (
                "Used but not declared",
                ("module", "distribution", "where"),
                [_used(item, "may be missing" if item.guarded else "") for item in self.undeclared],
            ),
            (
                "Edits",
                ("file", "added", "removed", "bytes"),
                [_edited(package, file) for package in self.edits for file in package.files],
            ),
            (
                "Gone in the newest version, but used by an edit",
                ("name", "where", "newest"),
                [
                    (
                        symbol.symbol if symbol.sure else f".{symbol.symbol} (of some object)",
                        f"{package.name}/{symbol.path}:{symbol.line}",
                        package.newest,
                    )
                    for package in self.edits
                    for symbol in package.vanished
                ],
            ),
            ("Patterns", ("pattern", "where", "line"), [(i.pattern, str(i.place), i.text) for i in self.matches]),
            ("Newer versions", ("package", "installed", "newest"), [(i.name, i.before, i.version) for i in self.newer]),
            ("Not asked for", ("package", "why"), list(self.unasked)),
            ("Could not be read", ("where", "what"), [(str(i.place), i.what) for i in self.problems]),
        ]
        yield from ((title, headings, rows) for title, headings, rows in parts if rows)

    def __str__(self) -> str:
        """As plain text."""
        blocks = [self._summary()]
        for title, headings, rows in self.tables():
            table = [headings, *[tuple(_printable(value) for value in row) for row in rows]]
            widths = [max(len(row[column]) for row in table) for column in range(len(headings))]
            lines = ["  ".join(value.ljust(width) for value, width in zip(row, widths, strict=True)) for row in table]
            blocks.append("\n".join([title, *(f"  {line}".rstrip() for line in lines)]))
        return "\n\n".join(blocks)

    def _summary(self) -> str:
        files, modules = _count(self.files, "file"), _count(len(self.imports), "module")
        return f"{files}, {self.read} of them read anew; {modules} imported"

    def _repr_html_(self) -> str:
        from dxforge.background.picture import html

        return html(self)

    def svg(self) -> str:
        """A picture of the edits per package, complete in itself; "" where there are none."""
        from dxforge.background.picture import svg

        return svg(self.edits)


def _used(item: ImportedModule, note: str = "") -> tuple[str, ...]:
    where = _places(item.places)
    return item.module, ", ".join(item.packages) or "not installed", f"{where} ({note})" if note else where


def _places(places: Sequence[FilePlace]) -> str:
    text = ", ".join(str(place) for place in places[:_SHOWN])
    return f"{text} and {len(places) - _SHOWN} more" if len(places) > _SHOWN else text


def _edited(package: EditedPackage, file: EditedFile) -> tuple[str, ...]:
    name = f"{package.name}/{file.path}"
    if file.kind == "binary":
        return f"{name} (binary)", "", "", str(file.size_bytes)
    note = "" if file.kind == "changed" else f" ({file.kind})"
    return f"{name}{note}", f"+{file.lines_added}", f"-{file.lines_removed}", str(file.size_bytes)


def _printable(text: str) -> str:
    """Without what a terminal would obey."""
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
