"""The finder: real packages on disk, imported for real."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.resources
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dxforge.errors import ProjectError
from dxforge.importer import InjectedFinder, activate, deactivate, loaded_from


class Project:
    """A project whose injected packages are written by hand."""

    def __init__(self, root: Path, packages_dir: str = "src/dx_packages") -> None:
        self.root = root
        self.packages = root / packages_dir
        self.packages.mkdir(parents=True)
        setting = "" if packages_dir == "src/dx_packages" else f'packages_dir = "{packages_dir}"\n'
        (root / "dx.toml").write_text(f'[project]\nname = "demo"\n{setting}')

    def write(self, files: dict[str, str]) -> None:
        for name, text in files.items():
            path = self.packages / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "project")


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "path", list(sys.path))
    modules = dict(sys.modules)
    yield
    deactivate()
    for name in set(sys.modules) - set(modules):
        if name.startswith("dxt"):
            del sys.modules[name]
    importlib.invalidate_caches()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A ``site-packages`` of its own at the end of ``sys.path``."""
    folder = tmp_path / "lib" / "site-packages"
    folder.mkdir(parents=True)
    sys.path.append(str(folder))
    return folder


def metadata(name: str, version: str) -> str:
    return f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"


def test_a_wheels_package_comes_before_site_packages(project: Project, site: Path) -> None:
    (site / "dxt_both.py").write_text("WHO = 'site'")
    project.write({"dxt-both/dxt_both/__init__.py": "WHO = 'ours'", "dxt-both/dxt_both/part.py": "X = 1"})
    project.write({"dxt-both/dxt_both-1.0.dist-info/METADATA": metadata("dxt-both", "1.0")})
    assert "dxt_both" in activate(project.root)
    module = importlib.import_module("dxt_both")
    assert module.WHO == "ours"
    assert module.__file__ == str(project.packages / "dxt-both/dxt_both/__init__.py")
    assert importlib.import_module("dxt_both.part").X == 1


def test_the_projects_own_modules_and_the_standard_library_win(project: Project, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "dxt_mine.py").write_text("WHO = 'mine'")
    sys.path.insert(0, str(own))
    project.write({"a/dxt_mine.py": "WHO = 'injected'", "a/this.py": "WHO = 'injected'"})
    activate(project.root)
    assert importlib.import_module("dxt_mine").WHO == "mine"
    spec = importlib.util.find_spec("this")
    assert spec is not None
    assert not str(spec.origin).startswith(str(project.root))


def test_the_src_folder_of_a_source_archive_is_the_root(project: Project) -> None:
    project.write(
        {
            "dxt-sdist/PKG-INFO": metadata("dxt-sdist", "2.5"),
            "dxt-sdist/pyproject.toml": "",
            "dxt-sdist/dxt_not_this.py": "",
            "dxt-sdist/src/dxt_sdist/__init__.py": "",
        }
    )
    assert activate(project.root) == ["dxt_sdist"]
    assert importlib.import_module("dxt_sdist").__name__ == "dxt_sdist"
    assert importlib.metadata.version("dxt_sdist") == "2.5"


def test_a_flat_source_archive_offers_what_it_would_install(project: Project) -> None:
    project.write(
        {
            "flat/PKG-INFO": metadata("dxt-flat", "3"),
            "flat/setup.py": "raise SystemExit('not an import')",
            "flat/tests/__init__.py": "",
            "flat/docs/conf.py": "",
            "flat/dxt_flat/__init__.py": "",
            "flat/dxt_single.py": "",
            "web/package.json": "{}",
            "web/src/dxt_web.js": "",
        }
    )
    assert activate(project.root) == ["dxt_flat", "dxt_single"]


def test_a_source_package_named_src_is_not_a_layout(project: Project) -> None:
    project.write({"odd/pyproject.toml": "", "odd/src/__init__.py": "", "odd/dxt_odd.py": ""})
    assert activate(project.root) == ["dxt_odd", "src"]


def test_namespace_packages_span_injected_packages_and_site_packages(project: Project, site: Path) -> None:
    project.write({"one/dxt_ns/one.py": "N = 1", "one/one-1.dist-info/METADATA": metadata("one", "1")})
    project.write({"two/dxt_ns/two/__init__.py": "N = 2", "two/two-1.dist-info/METADATA": metadata("two", "1")})
    (site / "dxt_ns").mkdir()
    (site / "dxt_ns" / "three.py").write_text("N = 3")
    activate(project.root)
    found = [importlib.import_module(f"dxt_ns.{part}").N for part in ("one", "two", "three")]
    assert found == [1, 2, 3]

    # Still so after sys.path changed, and with a portion that arrived later.
    sys.path.append(str(site.parent))
    project.write({"late/dxt_ns/four.py": "N = 4", "late/late-1.dist-info/METADATA": metadata("late", "1")})
    importlib.invalidate_caches()
    assert importlib.import_module("dxt_ns.four").N == 4
    assert len(sys.modules["dxt_ns"].__path__) == 4
    names = {item.name for item in importlib.resources.files("dxt_ns").iterdir()}
    assert {"one.py", "two", "three.py", "four.py"} <= names


def test_a_regular_package_in_site_packages_beats_a_namespace_as_in_python(project: Project, site: Path) -> None:
    (site / "dxt_reg").mkdir()
    (site / "dxt_reg" / "__init__.py").write_text("WHO = 'site'")
    project.write({"a/dxt_reg/data.txt": "", "a/a-1.dist-info/METADATA": metadata("a", "1")})
    activate(project.root)
    assert importlib.import_module("dxt_reg").WHO == "site"


def test_metadata_of_injected_packages(project: Project, site: Path) -> None:
    installed = site / "dxt_meta-0.1.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text(metadata("dxt-meta", "0.1"))
    project.write({"m/dxt_meta-9.0.dist-info/METADATA": metadata("dxt-meta", "9.0")})
    project.write({"m/dxt_meta-9.0.dist-info/entry_points.txt": "[dxt.group]\nhello = dxt_meta:hello\n"})
    project.write({"e/dxt_egg.egg-info/PKG-INFO": metadata("dxt-egg", "4"), "e/PKG-INFO": metadata("dxt-egg", "4")})
    assert importlib.metadata.version("dxt-meta") == "0.1"
    activate(project.root)
    assert importlib.metadata.version("dxt-meta") == "9.0"
    assert importlib.metadata.version("dxt.egg") == "4"
    assert [point.name for point in importlib.metadata.entry_points(group="dxt.group")] == ["hello"]
    ours = [item for item in importlib.metadata.distributions() if item.metadata["Name"] == "dxt-egg"]
    assert len(ours) == 1
    assert [item.version for item in importlib.metadata.distributions(path=[str(site)])] == ["0.1"]
    with pytest.raises(importlib.metadata.PackageNotFoundError):
        importlib.metadata.version("dxt-none")


def test_resources_of_injected_packages(project: Project) -> None:
    project.write({"r/dxt_res/__init__.py": "", "r/dxt_res/data/words.txt": "hello"})
    activate(project.root)
    assert importlib.resources.files("dxt_res").joinpath("data/words.txt").read_text() == "hello"


def test_an_edit_is_seen_after_reload(project: Project) -> None:
    project.write({"e/dxt_edit.py": "VALUE = 1"})
    activate(project.root)
    module = importlib.import_module("dxt_edit")
    project.write({"e/dxt_edit.py": "VALUE = 'two'"})
    assert importlib.reload(module).VALUE == "two"


def test_reload_moves_a_module_from_site_packages_to_ours(project: Project, site: Path) -> None:
    (site / "dxt_move.py").write_text("WHO = 'site'")
    importlib.invalidate_caches()
    module = importlib.import_module("dxt_move")
    project.write({"m/dxt_move.py": "WHO = 'ours'"})
    activate(project.root)
    assert importlib.reload(module).WHO == "ours"


def test_packages_that_come_and_go_later_are_seen(project: Project) -> None:
    assert activate(project.root) == []
    project.write({"later/dxt_later.py": "X = 1"})
    assert importlib.import_module("dxt_later").X == 1
    project.write({"later/dxt_second.py": "X = 2"})
    assert importlib.import_module("dxt_second").X == 2
    (project.packages / "later/dxt_second.py").unlink()
    assert importlib.util.find_spec("dxt_third") is None
    del sys.modules["dxt_second"]
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("dxt_second")


def test_a_packages_folder_that_does_not_exist_yet(project: Project) -> None:
    project.packages.rmdir()
    assert activate(project.root) == []
    project.write({"x/dxt_x.py": ""})
    assert importlib.import_module("dxt_x").__name__ == "dxt_x"


def test_listings_are_read_again_only_when_a_folder_changed(project: Project) -> None:
    project.write({"x/dxt_x.py": ""})
    for folder in (project.packages / "x", project.packages):
        os.utime(folder, (1, 1))
    finder = InjectedFinder(str(project.packages))
    first = finder.roots()
    assert finder.roots() is first
    project.write({"y/dxt_y.py": ""})
    assert [root.path for root in finder.roots()] == [str(project.packages / name) for name in ("x", "y")]
    finder.invalidate_caches()
    assert finder.modules() == ["dxt_x", "dxt_y"]


def test_activation_is_idempotent_and_the_last_project_wins(project: Project, tmp_path: Path) -> None:
    other = Project(tmp_path / "other", packages_dir="vendor")
    project.write({"x/dxt_who.py": "WHO = 1"})
    other.write({"x/dxt_who.py": "WHO = 2"})
    before = list(sys.meta_path)
    activate(project.root)
    activate(str(project.root))
    assert len(sys.meta_path) == len(before) + 1
    assert activate(other.root) == ["dxt_who"]
    assert len(sys.meta_path) == len(before) + 1
    assert importlib.import_module("dxt_who").WHO == 2
    deactivate()
    deactivate()
    assert sys.meta_path == before


def test_the_nearest_project_is_found_from_the_working_directory(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write({"x/dxt_near.py": ""})
    inside = project.root / "notebooks"
    inside.mkdir()
    monkeypatch.chdir(inside)
    assert activate() == ["dxt_near"]
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ProjectError):
        activate()


def test_loaded_from_names_the_modules_of_changed_files(project: Project) -> None:
    project.write({"l/dxt_load/__init__.py": "", "l/dxt_load/a.py": "", "l/dxt_load/b.py": ""})
    activate(project.root)
    importlib.import_module("dxt_load.a")
    folder = project.packages / "l" / "dxt_load"
    assert loaded_from([folder / "a.py", folder / "b.py", str(folder / "c.py")]) == ["dxt_load.a"]
    assert loaded_from([folder / "__init__.py"]) == ["dxt_load"]
    assert loaded_from([]) == []


def test_loaded_from_sees_through_symlinked_projects(project: Project, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(project.root)
    project.write({"l/dxt_link.py": ""})
    activate(link)
    importlib.import_module("dxt_link")
    assert loaded_from([project.packages / "l" / "dxt_link.py"]) == ["dxt_link"]


def test_importing_the_importer_costs_no_heavy_library() -> None:
    code = "import sys, dxforge.importer; print('\\n'.join(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"pygit2", "requests", "rich", "click", "IPython", "importlib.metadata", "tomllib"} & set(loaded)
