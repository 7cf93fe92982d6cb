"""What packages say they need, read without running anything."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from dxforge.config.model import Limits
from dxforge.errors import SourceError
from dxforge.events import Event, EventBus, Notice
from dxforge.sources.metadata import requirements_in, requirements_of
from dxforge.sources.model import Layout, Package, Pin
from dxforge.sources.unpack import open_package
from dxforge.store.archives import ArchiveStore
from tests.support.archives import zip_bytes


class Told:
    """An event bus, and the notices that it carried."""

    def __init__(self) -> None:
        self.notices: list[str] = []
        self.events = EventBus()
        self.events.subscribe(self._hear)

    def _hear(self, event: Event) -> None:
        assert isinstance(event, Notice)
        self.notices.append(event.text)


def package(tmp_path: Path, files: dict[str, str], filename: str = "x-1.zip") -> Package:
    """A package of ``files``."""
    path = ArchiveStore(tmp_path).add(io.BytesIO(zip_bytes(files)))
    pin = Pin(name="x", kind="pypi", ref="x", version="1", filename=filename, sha256=path.name, layout=Layout.AS_IS)
    return open_package(path, pin, Limits())


def test_a_wheel_s_metadata_counts_and_nothing_else(tmp_path: Path) -> None:
    files = {
        "x-1.dist-info/METADATA": "Metadata-Version: 2.1\nRequires-Dist: a (>=1)\nRequires-Dist: b ; extra == 'c'\n",
        "PKG-INFO": "Requires-Dist: no\n",
        "pyproject.toml": '[project]\nname = "x"\ndependencies = ["no"]\n',
    }
    told = Told()
    found = requirements_in(package(tmp_path, files, "x-1-py3-none-any.whl"), told.events)
    assert found == ("a>=1", 'b; extra == "c"')
    with pytest.raises(SourceError, match="no METADATA"):
        requirements_in(package(tmp_path, {"x.py": ""}, "x-1-py3-none-any.whl"), told.events)
    assert told.notices == []


def test_requires_txt_with_its_sections(tmp_path: Path) -> None:
    text = 'a>=1\n# comment\nb ; os_name == "nt"\n\n[:python_version < "3"]\nc\n'
    text += '\n[extra:sys_platform == "x"]\nd\n[more]\ne\n'
    files = {"PKG-INFO": "Metadata-Version: 1.2\n", "x.egg-info/requires.txt": text}
    assert requirements_in(package(tmp_path, files), Told().events) == (
        "a>=1",
        'b; os_name == "nt"',
        'c; python_version < "3"',
        'd; sys_platform == "x" and extra == "extra"',
        'e; extra == "more"',
    )


def test_static_pyproject_with_extras(tmp_path: Path) -> None:
    toml = """
[project]
name = "x"
dependencies = ["a ; python_version > '3'"]
[project.optional-dependencies]
more = ["b", "c ; os_name == 'nt' or os_name == 'java'"]
"""
    found = requirements_in(package(tmp_path, {"pyproject.toml": toml}), Told().events)
    assert found == (
        'a; python_version > "3"',
        'b; extra == "more"',
        'c; (os_name == "nt" or os_name == "java") and extra == "more"',
    )


def test_dynamic_metadata_is_not_believed(tmp_path: Path) -> None:
    told = Told()
    files = {"PKG-INFO": "Metadata-Version: 2.2\nDynamic: Requires-Dist\n", "pyproject.toml": "not toml ["}
    assert requirements_in(package(tmp_path, files), told.events) == ()
    assert "x-1.zip does not say what it needs" in told.notices[0]


def test_a_package_that_was_once_built_and_needs_nothing_is_no_news(tmp_path: Path) -> None:
    told = Told()
    files = {"PKG-INFO": "Metadata-Version: 2.1\n", "src/x.egg-info/SOURCES.txt": "x.py\n"}
    assert requirements_in(package(tmp_path, files), told.events) == ()
    assert told.notices == []


def test_lines_that_nobody_can_read_are_said() -> None:
    told = Told()
    content = b"Metadata-Version: 2.1\nRequires-Dist: !!!\nRequires-Dist: b\n"
    assert requirements_of(content, "x.whl", told.events) == ("b",)
    assert "!!!" in told.notices[0]
