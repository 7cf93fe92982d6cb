"""What one Python file or notebook tells."""

from __future__ import annotations

import ast
import json
import re

import pytest

from dxforge.background import reading
from dxforge.background.reading import FileFacts, Import, Match, Place, dump, load, parse_cell, read_file, strip_magics


def imports(text: str) -> list[tuple[str, int, int, bool]]:
    found = read_file(text.encode(), notebook=False)
    assert not found.problems
    return [(item.module, item.place.line, item.level, item.guarded) for item in found.imports]


def notebook(*cells: str | list[str], language: str = "python", version: int = 4) -> bytes:
    found = [{"cell_type": "code", "source": source, "metadata": {}, "outputs": []} for source in cells]
    data = {"cells": found, "metadata": {"kernelspec": {"language": language}}, "nbformat": version}
    return json.dumps(data).encode()


def test_every_import_statement_is_found() -> None:
    text = """\
import a, b.c as d
from e.f import g
from . import h
from ..i import j
def k():
    import l
class M:
    from n import *
if x:
    pass
elif y:
    import o
else:
    with z:
        for _ in ():
            import p
match q:
    case 1:
        import r
async def s():
    while True:
        import t
"""
    assert imports(text) == [
        ("a", 1, 0, False), ("b.c", 1, 0, False), ("e.f", 2, 0, False), ("", 3, 1, False), ("i", 4, 2, False),
        ("l", 6, 0, False), ("n", 8, 0, False), ("o", 12, 0, False), ("p", 16, 0, False), ("r", 19, 0, False),
        ("t", 22, 0, False),
    ]  # fmt: skip


def test_what_may_be_missing_is_guarded() -> None:
    text = """\
try:
    import a
except ImportError:
    import b
else:
    import c
if TYPE_CHECKING:
    import d
if typing.TYPE_CHECKING:
    import e
import f
"""
    assert [(name, guarded) for name, _, _, guarded in imports(text)] == [
        ("a", True), ("b", True), ("c", True), ("d", True), ("e", True), ("f", False),
    ]  # fmt: skip


def test_imports_by_name() -> None:
    text = 'import importlib\nimportlib.import_module("a.b")\n__import__("c")\nimport_module(name)\n'
    text += 'import_module(".d", p)\n'
    assert imports(text) == [("importlib", 1, 0, False), ("a.b", 2, 0, True), ("c", 3, 0, True), ("d", 5, 1, True)]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"def f(:\n", r"syntax error"),
        (b"x = '\xff'\n", r"cannot be decoded"),
        (b"# coding: klingon\n", r"cannot be decoded"),
        (b"x = 1\0\n", r"null bytes"),
        (b"(" * 5000 + b")" * 5000, r"syntax error|cannot be parsed"),
    ],
)
def test_what_cannot_be_parsed_is_a_problem(content: bytes, problem: str) -> None:
    found = read_file(content, notebook=False)
    assert len(found.problems) == 1 and re.search(problem, found.problems[0].what) and not found.imports


@pytest.mark.parametrize(
    "content",
    [
        "import a  # é\n".encode(),
        "# coding: latin-1\nimport a  # é\n".encode("latin-1"),
        b"\xef\xbb\xbfimport a\n",
        b"import a\r\n",
    ],
)
def test_encodings(content: bytes) -> None:
    found = read_file(content, notebook=False)
    assert [item.module for item in found.imports] == ["a"] and not found.problems


def test_patterns_are_searched_line_by_line() -> None:
    patterns = [("todo", re.compile("TODO")), ("print", re.compile(r"^\s*print\("))]
    text = "x = 1  # TODO: mend\n  print(x)\n" + "# TODO " * 5000 + "\n"
    found = read_file(text.encode(), notebook=False, patterns=patterns)
    assert found.matches == (Match("todo", Place(1), "x = 1  # TODO: mend"), Match("print", Place(2), "print(x)"))
    many = read_file(b"# TODO\n" * 1000, notebook=False, patterns=patterns)
    assert len(many.matches) == reading.MAX_MATCHES


def test_cells_of_a_notebook_with_magics() -> None:
    content = notebook(
        "import a\n",
        ["%matplotlib inline\n", "!pip install x\n", "import b"],
        "%%bash\nimport nothing here\n",
        "%%time\nimport c\n",
        "files = !ls\nx = %who_ls\nimport d\nd?\n",
        "def broken(:\n",
    )
    found = read_file(content, notebook=True)
    assert [(item.module, item.place) for item in found.imports] == [
        ("a", Place(1, 1)), ("b", Place(3, 2)), ("c", Place(2, 4)), ("d", Place(3, 5)),
    ]  # fmt: skip
    (problem,) = found.problems
    assert problem.place == Place(1, 6) and str(problem.place) == "cell 6, line 1"


def test_without_ipython_magics_are_stripped_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_loaded", [None])
    tree = parse_cell("%load_ext x\nif y:\n    !ls\n    z = %who\nimport a\na.b?\n?help\n")
    assert [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Import)] == [5]
    assert strip_magics("a['k'] = !ls") == "a['k'] = None"
    assert strip_magics("x = 5 % 3") == "x = 5 % 3" and strip_magics("# why?") == "# why?"


def test_a_notebook_in_another_language_tells_nothing() -> None:
    assert read_file(notebook("using A", language="julia"), notebook=True) == FileFacts()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"cells": [3]}', b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_notebook_is_a_problem(content: bytes) -> None:
    found = read_file(content, notebook=True)
    assert len(found.problems) == 1 and "no notebook" in found.problems[0].what


def test_a_notebook_of_format_3() -> None:
    content = json.dumps({"worksheets": [{"cells": [{"cell_type": "code", "input": ["import a\n"]}]}], "nbformat": 3})
    assert read_file(content.encode(), notebook=True).imports == (Import("a", Place(1, 1)),)


def test_facts_come_back_from_json() -> None:
    patterns = [("todo", re.compile("TODO"))]
    for content, is_notebook in (
        (b"import a.b\ntry:\n    from .c import d  # TODO\nexcept E: pass\n", False),
        (b"def (", False),
        (notebook("import a # TODO", "def ("), True),
        (b"\0", False),
    ):
        facts = read_file(content, notebook=is_notebook, patterns=patterns)
        assert load(json.loads(json.dumps(dump(facts)))) == facts
    for wrong in (None, [], [1, 2, 3], [[["a"]], [], []]):
        with pytest.raises((ValueError, TypeError, KeyError)):
            load(wrong)
