"""Which names of a package an edit uses that the newest version has no more."""

from __future__ import annotations

import pytest

from dxforge.background.symbols import changed_lines, module_of, symbols_of, uses, vanished

BASE = {
    "demo/__init__.py": b"from .core import Engine, helper\nfrom . import core\n",
    "demo/core.py": b"""
LIMIT = 3
def helper(): pass
def unused(): pass
class Base:
    def inherited(self): pass
class Engine(Base):
    speed = 1
    def __init__(self):
        self.fuel = 2
    def start(self): pass
    def stop(self):
        return self.speed
class Open(dict):
    pass
if True:
    def inner(): pass
""",
    "demo/app.py": b"from demo.core import helper\ndef run():\n    return helper()\n",
}


def gone(edit: bytes, newest: dict[str, bytes], path: str = "demo/app.py") -> list[str]:
    base = symbols_of(BASE)
    found = uses(path, edit, changed_lines(BASE.get(path, b""), edit), base)
    return [f"{use.module}.{use.symbol}".lstrip(".") for use in vanished(found, base, symbols_of(newest))]


def without(*names: str) -> dict[str, bytes]:
    core = BASE["demo/core.py"].decode()
    for name in names:
        assert name in core
        core = core.replace(name, "other")
    return {**BASE, "demo/__init__.py": b"", "demo/core.py": core.encode()}


@pytest.mark.parametrize(
    ("edit", "renamed", "expected"),
    [
        ("from demo.core import helper\ndef run():\n    return helper()\nx = 1\n", ("helper",), []),
        ("from demo.core import helper\ndef run():\n    return [helper()]\n", ("helper",), ["demo.core.helper"]),
        ("from .core import unused as u\nu()\n", ("unused",), ["demo.core.unused"]),
        ("from demo import core\ncore.LIMIT\n", ("LIMIT",), ["demo.core.LIMIT"]),
        ("import demo.core\ndemo.core.unused()\n", ("unused",), ["demo.core.unused"]),
        ("import demo.core as c\nc.Engine.speed\n", ("speed",), ["demo.core.Engine.speed"]),
        ("from demo.core import Engine\nEngine.inherited\n", ("inherited",), ["demo.core.Engine.inherited"]),
        ("from demo.core import Engine\nEngine.speed\n", ("Engine",), ["demo.core.Engine"]),
        ("def run(engine):\n    engine.start()\n", ("start",), ["start"]),
        ("def run(engine):\n    engine.start()\n", ("stop",), []),
        ("def run(unused):\n    return unused\n", ("unused",), []),
        ("from demo.core import Open\nOpen.anything\n", ("LIMIT",), []),
        ("from demo.core import inner\ninner()\n", ("inner",), ["demo.core.inner"]),
        ("import os\nos.getcwd()\n", ("LIMIT",), []),
        ("this is no Python\n", ("LIMIT",), []),
    ],
)
def test_what_an_edit_uses_and_loses(edit: str, renamed: tuple[str, ...], expected: list[str]) -> None:
    assert gone(edit.encode(), without(*renamed)) == expected


def test_self_in_an_edited_method() -> None:
    edit = BASE["demo/core.py"].replace(b"return self.speed", b"return self.speed + self.fuel + self.mine")
    assert gone(edit, without("fuel"), "demo/core.py") == ["demo.core.Engine.fuel"]
    assert gone(edit, without("speed", "fuel"), "demo/core.py") == ["demo.core.Engine.fuel", "demo.core.Engine.speed"]


def test_a_name_that_moved_but_can_still_be_imported_is_there() -> None:
    edit = b"from demo.core import helper\nprint(helper)\n"
    moved = {
        "demo/core.py": b"from .util import *\n",
        "demo/util.py": b"def helper(): pass\n",
        "demo/__init__.py": b"",
    }
    assert gone(edit, moved) == []
    assert gone(edit, {**moved, "demo/core.py": b""}) == ["demo.core.helper"]
    assert gone(edit, {**moved, "demo/core.py": b"def __getattr__(name): ...\n"}) == []


def test_modules_that_import_each_other_come_to_an_end() -> None:
    circle = {"demo/core.py": b"from .b import helper\n", "demo/b.py": b"from .core import *\n"}
    assert symbols_of(circle).resolve("demo.core", "missing") in (True, False)


def test_a_whole_module_that_is_gone() -> None:
    edit = b"from demo.core import helper\nprint(helper)\n"
    assert gone(edit, {"demo/__init__.py": b""}) == ["demo.core.helper"]


@pytest.mark.parametrize(
    ("path", "module"),
    [
        ("demo/__init__.py", "demo"), ("demo/a/b.py", "demo.a.b"), ("single.py", "single"),
        ("src/demo/__init__.py", "demo"), ("src/one.py", "src.one"), ("__init__.py", "__init__"),
    ],
)  # fmt: skip
def test_modules_by_path(path: str, module: str) -> None:
    assert module_of(path) == module


def test_changed_lines_are_those_of_the_edit() -> None:
    assert changed_lines(b"a\nb\nc\n", b"a\nx\nb\nc\ny\n") == {2, 5}
    assert changed_lines(b"", b"a\n") == {1}
    long = b"\n".join(b"%d" % number for number in range(15_000))
    assert changed_lines(long, long + b"\nnew") == {15_001}
