"""One Python file or notebook: what it imports, and which lines match a pattern. Pure: bytes in, data out."""

from __future__ import annotations

import ast
import codecs
import contextlib
import importlib
import io
import json
import re
import tokenize
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

MAX_LINE_CHARS = 10_000
"""A longer line is not searched for patterns: no person wrote it, and a pattern may take for ever on it."""
MAX_MATCHES = 200
"""Per file and pattern."""
_SHOWN_CHARS = 160
# Their bodies are Python, run in the notebook's own namespace; those of other cell magics are anything.
_PYTHON_MAGICS = frozenset({"time", "timeit", "capture", "prun", "debug", "mprun", "memit", "lprun", "scalene"})
_CELL_MAGIC = re.compile(r"\s*%%(\w+)[^\n]*")
_ASSIGNED = re.compile(r"^(\s*)([\w.\[\]'\", ]+?=)\s*[%!]")
_BY_NAME = re.compile(rb"\b(?:import_module|__import__)\s*\(")


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a file; in a notebook, of its ``cell`` (both from 1; 0 = no notebook)."""

    line: int
    cell: int = 0

    def __str__(self) -> str:
        return f"cell {self.cell}, line {self.line}" if self.cell else f"line {self.line}"


@dataclass(frozen=True, slots=True)
class Import:
    """One imported module, by its dotted name.

    ``level`` counts the dots of a relative import. ``guarded``: it may be missing (inside ``try``, or for type checkers
    only).
    """

    module: str
    place: Place
    level: int = 0
    guarded: bool = False

    @property
    def top(self) -> str:
        """The first part of the name."""
        return self.module.partition(".")[0]


@dataclass(frozen=True, slots=True)
class Match:
    """A line that one of the configured patterns found something in."""

    pattern: str
    place: Place
    text: str


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that could not be read."""

    what: str
    place: Place | None = None


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What one file tells."""

    imports: tuple[Import, ...] = ()
    matches: tuple[Match, ...] = ()
    problems: tuple[Problem, ...] = ()


Pattern = tuple[str, "re.Pattern[str]"]


def read_file(content: bytes, *, notebook: bool, patterns: Sequence[Pattern] = ()) -> FileFacts:
    """What ``content`` tells. Never raises for what is in it: that is a Problem."""
    if notebook:
        return read_notebook(content, patterns)
    try:
        text = decode(content)
    except (SyntaxError, UnicodeDecodeError, LookupError) as error:
        return FileFacts(problems=(Problem(f"it cannot be decoded: {error}"),))
    matches = tuple(find_matches(text, patterns))
    try:
        tree = parse(text)
    except SyntaxError as error:
        problem = Problem(f"syntax error: {error.msg}", Place(error.lineno or 1))
        return FileFacts(matches=matches, problems=(problem,))
    except (ValueError, RecursionError, MemoryError) as error:
        return FileFacts(matches=matches, problems=(Problem(f"it cannot be parsed: {_said(error)}"),))
    by_name = _BY_NAME.search(content) is not None
    return FileFacts(imports=tuple(find_imports(tree, by_name=by_name)), matches=matches)


def decode(content: bytes) -> str:
    """A source file's text, by its byte order mark or coding line (PEP 263)."""
    if content.isascii() and b"coding" not in content[:400]:
        return content.decode("ascii")
    encoding, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
    return content.removeprefix(codecs.BOM_UTF8).decode("utf-8" if encoding == "utf-8-sig" else encoding)


def parse(text: str) -> ast.Module:
    """The tree of a source text.

    Raises:
        SyntaxError, ValueError, RecursionError, MemoryError: it has none.
    """
    return ast.parse(text)


def find_imports(tree: ast.Module, *, by_name: bool = False, cell: int = 0) -> Iterator[Import]:
    """Every import statement, in nested blocks too.

    Args:
        by_name: look for ``import_module("x")`` and ``__import__("x")`` as well, which costs a walk over everything.
    """
    # Only statements hold statements, so expressions, most of a tree, are not looked at.
    stack: list[tuple[ast.AST, bool]] = [(node, False) for node in reversed(tree.body)]
    while stack:
        node, guarded = stack.pop()
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, Place(node.lineno, cell), 0, guarded)
        elif isinstance(node, ast.ImportFrom):
            yield Import(node.module or "", Place(node.lineno, cell), node.level, guarded)
        else:
            inside = guarded or isinstance(node, ast.Try | ast.TryStar) or _is_for_checkers(node)
            for name in ("finalbody", "orelse", "cases", "handlers", "body"):
                block = getattr(node, name, None)
                if isinstance(block, list):
                    stack.extend((child, inside) for child in reversed(block))
    if by_name:
        yield from _imports_by_name(tree, cell)


def _is_for_checkers(node: ast.AST) -> bool:
    if not isinstance(node, ast.If):
        return False
    test = node.test
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )


def _imports_by_name(tree: ast.Module, cell: int) -> Iterator[Import]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            name = node.args[0].value
            if called in ("import_module", "__import__") and isinstance(name, str) and name.strip("."):
                level = len(name) - len(name.lstrip("."))
                yield Import(name[level:], Place(node.lineno, cell), level, guarded=True)


def find_matches(text: str, patterns: Sequence[Pattern], cell: int = 0) -> Iterator[Match]:
    """The lines that a pattern finds something in."""
    if not patterns:
        return
    counts = dict.fromkeys((name for name, _ in patterns), 0)
    for number, line in enumerate(text.splitlines(), 1):
        if len(line) > MAX_LINE_CHARS:
            continue
        for name, pattern in patterns:
            if counts[name] < MAX_MATCHES and pattern.search(line):
                counts[name] += 1
                yield Match(name, Place(number, cell), line.strip()[:_SHOWN_CHARS])


# -- notebooks -----------------------------------------------------------------------------------------------------


def read_notebook(content: bytes, patterns: Sequence[Pattern] = ()) -> FileFacts:
    """What a notebook's code cells tell; one in another language tells nothing."""
    try:
        # nbformat validates, converts and takes its time; of a notebook only the cells' sources matter here.
        notebook = json.loads(content)
        cells = list(_code_cells(notebook))
        language = _language(notebook)
    except (ValueError, RecursionError) as error:
        return FileFacts(problems=(Problem(f"it is no notebook: {_said(error)}"),))
    except (TypeError, AttributeError, KeyError):
        return FileFacts(problems=(Problem("it is no notebook: its JSON is of another form"),))
    if language not in ("", "python", "ipython"):
        return FileFacts()
    imports: list[Import] = []
    matches: list[Match] = []
    problems: list[Problem] = []
    for number, source in cells:
        matches.extend(find_matches(source, patterns, number))
        try:
            tree = parse_cell(source)
        except SyntaxError as error:
            problems.append(Problem(f"syntax error: {error.msg}", Place(error.lineno or 1, number)))
        except (ValueError, RecursionError, MemoryError) as error:
            problems.append(Problem(f"it cannot be parsed: {_said(error)}", Place(1, number)))
        else:
            by_name = _BY_NAME.search(source.encode("utf-8", "replace")) is not None
            imports.extend(find_imports(tree, by_name=by_name, cell=number))
    return FileFacts(tuple(imports), tuple(matches), tuple(problems))


def _code_cells(notebook: Any) -> Iterator[tuple[int, str]]:
    """Number (from 1, among all cells) and source of each code cell; formats 3 and 4."""
    if "worksheets" in notebook:
        cells: Iterable[Any] = [cell for sheet in notebook["worksheets"] for cell in sheet["cells"]]
    else:
        cells = notebook["cells"]
    for number, cell in enumerate(cells, 1):
        if cell.get("cell_type") == "code":
            source = cell.get("source", cell.get("input", ""))
            yield number, source if isinstance(source, str) else "".join(source)


def _language(notebook: Any) -> str:
    metadata = notebook.get("metadata", {})
    language = metadata.get("kernelspec", {}).get("language") or metadata.get("language_info", {}).get("name") or ""
    return str(language).lower()


def parse_cell(source: str) -> ast.Module:
    """The tree of a cell, magics and shell lines taken out.

    Raises:
        SyntaxError, ValueError, RecursionError, MemoryError: it has none even so.
    """
    magic = _CELL_MAGIC.match(source)
    if magic is not None:
        if magic[1] not in _PYTHON_MAGICS:
            return ast.Module(body=[], type_ignores=[])
        source = "\n" * magic[0].count("\n") + source[magic.end() :]
    try:
        return parse(source)  # most cells are plain Python
    except SyntaxError:
        pass
    transformer = _ipython()
    if transformer is not None:
        with contextlib.suppress(Exception):  # IPython's own errors on odd input; ours is the better message
            return parse(transformer.transform_cell(source))
    return parse(strip_magics(source))


_loaded: list[Any] = []


def _ipython() -> Any:
    """IPython's own way to turn a cell into Python, where IPython is installed."""
    if not _loaded:
        try:
            # By name: the library itself must do without it.
            _loaded.append(importlib.import_module("IPython.core.inputtransformer2").TransformerManager())
        except ImportError:
            _loaded.append(None)
    return _loaded[0]


def strip_magics(source: str) -> str:
    """``source`` with `pass` for lines that are IPython's, line numbers kept. Simple: strings are not looked into."""
    lines = []
    for line in source.split("\n"):
        bare = line.strip()
        indent = line[: len(line) - len(line.lstrip())]
        assigned = _ASSIGNED.match(line)
        if bare.startswith(("%", "!", "?")) or (bare.endswith("?") and not bare.startswith("#")):
            lines.append(f"{indent}pass")
        elif assigned is not None:
            lines.append(f"{assigned[1]}{assigned[2]} None")
        else:
            lines.append(line)
    return "\n".join(lines)


def _said(error: BaseException) -> str:
    return str(error) or type(error).__name__


# -- as plain data, for the cache ------------------------------------------------------------------------------------


def dump(facts: FileFacts) -> list[Any]:
    """As JSON can say it."""
    return [
        [[item.module, item.place.line, item.place.cell, item.level, int(item.guarded)] for item in facts.imports],
        [[item.pattern, item.place.line, item.place.cell, item.text] for item in facts.matches],
        [[item.what, *((item.place.line, item.place.cell) if item.place else ())] for item in facts.problems],
    ]


def load(data: Any) -> FileFacts:
    """What :func:`dump` gave.

    Raises:
        ValueError, TypeError, KeyError: it is something else.
    """
    imports, matches, problems = data
    return FileFacts(
        tuple(
            Import(module, Place(line, cell), level, bool(guarded)) for module, line, cell, level, guarded in imports
        ),
        tuple(Match(pattern, Place(line, cell), text) for pattern, line, cell, text in matches),
        tuple(Problem(what, Place(*place) if place else None) for what, *place in problems),
    )
