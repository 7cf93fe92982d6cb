"""Fixtures for every test: a loopback index, a cache of one's own, and a project with tools."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.index_server import IndexServer
from tests.support.processes import until
from tests.support.tools import Yard

_ELSEWHERE = (
    "UV_DEFAULT_INDEX",
    "UV_INDEX_URL",
    "UV_INDEX",
    "PIP_EXTRA_INDEX_URL",
    "PIP_FIND_LINKS",
    "PIP_NO_INDEX",
    "npm_config_registry",
    "UV_OFFLINE",
)


@pytest.fixture(autouse=True)
def nothing_in_the_background(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test leaves a snapshot or sync to a background process, unless it asks for that (`background`)."""
    monkeypatch.setenv("DXFORGE_BACKGROUND", "0")


@pytest.fixture
def background(nothing_in_the_background: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """As users have it: install and build leave tasks to the background."""
    monkeypatch.delenv("DXFORGE_BACKGROUND")


@pytest.fixture
def cache_dir(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty user cache, named by ``DXFORGE_CACHE_DIR`` (child processes see it too)."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("DXFORGE_CACHE_DIR", str(folder))
    return folder


@pytest.fixture
def index(cache_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[IndexServer]:
    """A running loopback index (see ``index_server.py``) that PIP_INDEX_URL and NPM_CONFIG_REGISTRY point at."""
    for name in _ELSEWHERE:
        monkeypatch.delenv(name, raising=False)
    with IndexServer() as server:
        monkeypatch.setenv("PIP_INDEX_URL", server.pypi_url)
        monkeypatch.setenv("NPM_CONFIG_REGISTRY", server.npm_url)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
        monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
        yield server


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    """An empty project whose tools must all be gone at the end of the test."""
    made = Yard(tmp_path, uuid.uuid4().hex)
    yield made
    until(lambda: not made.processes(), "a process was left behind")
