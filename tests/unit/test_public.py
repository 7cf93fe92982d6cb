"""The public door: what it offers, and what opening it costs."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import dxforge

HEAVY = {
    "pygit2", "IPython", "requests", "urllib3", "pypi_simple", "httpx", "rich", "click", "resolvelib", "sqlite3",
    "psutil", "watchfiles", "pathspec",
}  # fmt: skip
CONTRACT = {
    "DxForge", "Orchestrator", "TrafficManager", "ToolStatus", "ToolState", "TrafficLight", "DxToolDefinition",
    "DxForgeError", "ForgeThread", "BackgroundWorker", "BackgroundTask",
}  # fmt: skip


@pytest.mark.parametrize("name", dxforge.__all__)
def test_every_public_name_resolves_and_is_documented(name: str) -> None:
    value = getattr(dxforge, name)
    if inspect.isclass(value) or inspect.isfunction(value):
        assert inspect.getdoc(value)
        assert value.__name__ == name


def test_all_is_sorted_complete_and_what_dir_and_star_give() -> None:
    assert sorted(dxforge.__all__) == dxforge.__all__
    assert set(dxforge.__all__) <= set(dir(dxforge))
    names: dict[str, object] = {}
    exec("from dxforge import *", names)
    assert set(dxforge.__all__) <= set(names)


def test_type_checkers_and_the_interpreter_see_the_same_names() -> None:
    source = ast.parse(Path(str(dxforge.__file__)).read_text())
    (typed,) = (node for node in source.body if isinstance(node, ast.If))
    imports = [node for node in typed.body if isinstance(node, ast.ImportFrom)]
    seen = {(alias.name, node.module) for node in imports for alias in node.names}
    assert seen == set(dxforge._MODULE_OF.items())
    assert {name for name, _ in seen} | {"__version__"} == set(dxforge.__all__)


def test_what_was_promised_is_there() -> None:
    assert set(dxforge.__all__) >= CONTRACT


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_thing"):
        dxforge.no_such_thing  # noqa: B018


def test_the_version_is_the_distributions() -> None:
    from importlib.metadata import version

    assert dxforge.__version__ == version("dxforge")


@pytest.mark.parametrize(
    "code",
    [
        "import dxforge",
        "from dxforge import TrafficManager, TrafficLight, DxForgeError",
        "from dxforge import DxForge, ForgeThread, Orchestrator, DxToolDefinition, ToolStatus, BuildReport",
        "import dxforge; dxforge.DxForge('.').orchestrator",
    ],
)
def test_importing_loads_nothing_heavy(code: str) -> None:
    code += "; import sys; print('\\n'.join(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not HEAVY & set(loaded)
