"""Imports injected packages from the project's own copy.

``activate`` puts one finder on ``sys.meta_path``, just ahead of Python's own ``PathFinder``. It searches as if the
injected packages stood on ``sys.path`` between everything of the user's (the script's folder, ``PYTHONPATH``, the
standard library) and the first ``site-packages``: a module of the project itself still wins, an installed copy of a
package loses. The rules for packages, namespace packages and modules are then Python's own, because ``PathFinder``
applies them. Packages that come or go later are seen without activating again.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder, all_suffixes
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.metadata import Distribution, DistributionFinder
    from types import ModuleType

_SITE_FOLDERS = ("site-packages", "dist-packages")
_RACY_NS = 50_000_000
_UNSURE = -2

# What lies at the top of a source archive and is not what it installs: setuptools' rule, FlatLayoutPackageFinder and
# FlatLayoutModuleFinder in setuptools/discovery.py.
_NOT_INSTALLED = frozenset(
    "ci bin debian doc docs documentation manpages news newsfragments changelog test tests unit_test unit_tests "
    "example examples scripts tools util utils python build benchmark benchmarks exercise exercises htmlcov setup "
    "conftest toxfile noxfile pavement dodo tasks fabfile SConstruct conanfile manage".split()
)


def activate(root: Path | str | None = None) -> list[str]:
    """Import the project's injected packages from its own copy, ahead of site-packages, from now on.

    Calling it again is free; for another project, that project takes the place of the first. Modules that are loaded
    already stay as they are until they are reloaded.

    Args:
        root: the project's root; None = the nearest folder upward from the working directory with a ``dx.toml``.

    Returns:
        The top-level modules that can be imported from injected packages now, sorted.

    Raises:
        ProjectError: there is no project.
        ConfigError: its ``dx.toml`` cannot be read.
    """
    from dxforge.config.load import find_root, load_config

    config = load_config(find_root(Path.cwd()) if root is None else Path(root))
    folder = os.fspath(config.packages_path)
    active = _active()
    if active is None or active.folder != folder:
        finder = InjectedFinder(folder)
        deactivate()
        position = sys.meta_path.index(PathFinder) if PathFinder in sys.meta_path else len(sys.meta_path)
        sys.meta_path.insert(position, finder)
        active = finder
    return active.modules()


def deactivate() -> None:
    """Take back ``activate``. Modules that are loaded stay loaded."""
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, InjectedFinder)]


def loaded_from(paths: Iterable[Path | str]) -> list[str]:
    """Names of the modules in memory that were loaded from one of ``paths``, sorted.

    An install report names them: they go on running the old source until they are reloaded.
    """
    folders: dict[str, str] = {}

    def real(path: Path | str) -> str:
        # Thousands of files lie in hundreds of folders: ask the disk once for each folder.
        folder, name = os.path.split(path)
        if folder not in folders:
            folders[folder] = os.path.realpath(folder)
        return os.path.join(folders[folder], name)

    wanted = {real(path) for path in paths}
    names = {os.path.basename(path) for path in wanted}
    return sorted(
        name
        for name, module in list(sys.modules.items())
        if name != "__main__"
        and (file := _module_file(module)) is not None
        # The cheap comparison first: there are thousands of modules, and realpath asks the disk.
        and os.path.basename(file) in names
        and os.path.realpath(file) in wanted
    )


def _module_file(module: ModuleType) -> str | None:
    # Modules may be anything, e.g. lazy ones that import on attribute access: look, don't ask.
    try:
        file = vars(module).get("__file__")
    except TypeError:
        return None
    return file if isinstance(file, str) else None


def _active() -> InjectedFinder | None:
    return next((finder for finder in sys.meta_path if isinstance(finder, InjectedFinder)), None)


@dataclass(frozen=True, slots=True)
class _Root:
    """A folder that modules are imported from, and the top-level names that it offers."""

    path: str
    names: frozenset[str]
    metadata: str
    """The folder with the PKG-INFO of a source archive, which serves where there is no ``.egg-info``; "" = none."""


class InjectedFinder:
    """A finder (``importlib.abc.MetaPathFinder``, ``importlib.metadata.DistributionFinder``) for one packages folder.

    Args:
        folder: ``<packages_dir>``, absolute; need not exist yet.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self._stamps: dict[str, int] = {}
        self._roots: tuple[_Root, ...] = ()

    def __repr__(self) -> str:
        return f"InjectedFinder({self.folder!r})"

    def modules(self) -> list[str]:
        """Every top-level name on offer, sorted."""
        return sorted({name for root in self.roots() for name in root.names})

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Where ``fullname`` comes from, if from an injected package.

        Submodules are found by Python itself, through their package's ``__path__``.
        """
        if path is not None:
            return None
        injected = [root.path for root in self.roots() if fullname in root.names]
        if not injected:
            return None
        spec = PathFinder.find_spec(fullname, _search_path(injected), target)
        if spec is None:
            return None
        if spec.loader is None:
            portions = spec.submodule_search_locations or ()
            if not any(_below(portion, injected) for portion in portions):
                return None
            namespace = ModuleSpec(fullname, None, is_package=True)
            namespace.submodule_search_locations = _NamespacePath(self, fullname, portions)  # type: ignore[assignment]
            return namespace
        return spec if spec.origin is not None and _below(spec.origin, injected) else None

    def find_distributions(self, context: DistributionFinder.Context | None = None) -> Iterator[Distribution]:
        """The metadata of injected packages, for ``importlib.metadata``."""
        from importlib.metadata import DistributionFinder, MetadataPathFinder, PathDistribution

        context = DistributionFinder.Context() if context is None else context
        if "path" in vars(context):  # the caller wants one folder, not what can be imported
            return
        for root in self.roots():
            inside = list(
                MetadataPathFinder.find_distributions(DistributionFinder.Context(name=context.name, path=[root.path]))
            )
            yield from inside
            if root.metadata and not inside:
                distribution = PathDistribution(Path(root.metadata))
                if context.name is None or _same_project(distribution.metadata["Name"], context.name):
                    yield distribution

    def invalidate_caches(self) -> None:
        """Forget every listing (``importlib.invalidate_caches()`` calls it)."""
        self._stamps = {}

    def portions(self, fullname: str) -> list[str] | None:
        """Where a namespace package lies now; None where it is a namespace no more."""
        injected = [root.path for root in self.roots() if fullname in root.names]
        spec = PathFinder.find_spec(fullname, _search_path(injected))
        if spec is None or spec.loader is not None or spec.submodule_search_locations is None:
            return None
        return list(spec.submodule_search_locations)

    def roots(self) -> tuple[_Root, ...]:
        """The import roots of the injected packages, by name; read again only where a folder's mtime changed."""
        if not self._stamps or any(_stamp(folder) != stamp for folder, stamp in self._stamps.items()):
            self._stamps, self._roots = _read(self.folder)
        return self._roots


class _NamespacePath:
    """``__path__`` of a namespace package with injected portions.

    Python's own class would search ``sys.path`` alone when that changes, and lose them. Its name must contain
    "NamespacePath": ``importlib.resources`` looks for that.
    """

    def __init__(self, finder: InjectedFinder, name: str, portions: Iterable[str]) -> None:
        self._finder = finder
        self._name = name
        self._portions = list(portions)
        self._seen = self._state()

    def _state(self) -> tuple[object, ...]:
        return (self._finder.roots(), tuple(sys.path))

    def _current(self) -> list[str]:
        state = self._state()
        if state != self._seen:
            self._seen = state
            self._portions = self._finder.portions(self._name) or self._portions
        return self._portions

    def __iter__(self) -> Iterator[str]:
        return iter(self._current())

    def __getitem__(self, index: int) -> str:
        return self._current()[index]

    def __len__(self) -> int:
        return len(self._current())

    def __contains__(self, item: object) -> bool:
        return item in self._current()

    def append(self, item: str) -> None:
        """As ``pkgutil.extend_path`` and old-style namespaces do."""
        self._portions.append(item)

    def __repr__(self) -> str:
        return f"_NamespacePath({self._current()!r})"


def _search_path(injected: list[str]) -> list[str]:
    """``sys.path`` with the injected roots ahead of the first site-packages."""
    site = next((number for number, entry in enumerate(sys.path) if _is_site(entry)), len(sys.path))
    return [*sys.path[:site], *injected, *sys.path[site:]]


def _is_site(entry: str) -> bool:
    return os.path.basename(entry.rstrip("/\\")) in _SITE_FOLDERS


def _below(path: str, folders: list[str]) -> bool:
    return any(path.startswith(folder + os.sep) for folder in folders)


def _stamp(folder: str) -> int:
    try:
        return os.stat(folder).st_mtime_ns
    except OSError:
        return -1


def _read(folder: str) -> tuple[dict[str, int], tuple[_Root, ...]]:
    """List the packages and what they offer, with the mtime of every folder that was looked at."""
    now = time.time_ns()
    stamps = {folder: _stamp(folder)}
    roots = []
    for name in sorted(_names(folder)):
        package = os.path.join(folder, name)
        if name.startswith(".") or not os.path.isdir(package):
            continue
        stamps[package] = _stamp(package)
        names = _names(package)
        path = package
        if _has_src(package, names):
            path = os.path.join(package, "src")
            stamps[path] = _stamp(path)
        installed = path != package or any(name.endswith(".dist-info") for name in names)
        roots.append(_Root(path, _offered(path, everything=installed), metadata=package if "PKG-INFO" in names else ""))
        # Python's own listing of the folder may be as old as ours was.
        cached = sys.path_importer_cache.get(path)
        if cached is not None and hasattr(cached, "invalidate_caches"):
            cached.invalidate_caches()
    # A folder changed just now may change again without a new mtime: look again next time.
    return {path: _UNSURE if stamp > now - _RACY_NS else stamp for path, stamp in stamps.items()}, tuple(roots)


def _has_src(package: str, names: list[str]) -> bool:
    """Whether this is a Python source archive or checkout (not a wheel, not an npm package) with a ``src/`` layout."""
    return (
        "src" in names
        and not {"PKG-INFO", "pyproject.toml", "setup.py", "setup.cfg"}.isdisjoint(names)
        and not any(name.endswith(".dist-info") for name in names)
        and not os.path.isfile(os.path.join(package, "src", "__init__.py"))
    )


def _offered(root: str, *, everything: bool) -> frozenset[str]:
    """The importable names in ``root``; of a flat source archive (not ``everything``) only what it would install."""
    offered = set()
    suffixes = all_suffixes()
    for name in _names(root):
        stem = next((name[: -len(suffix)] for suffix in suffixes if name.endswith(suffix)), name)
        if not stem.isidentifier() or stem == "__pycache__" or (stem in _NOT_INSTALLED and not everything):
            continue
        path = os.path.join(root, name)
        module = stem != name or os.path.isfile(os.path.join(path, "__init__.py"))
        if module or (everything and os.path.isdir(path)):  # ... or a namespace package's portion
            offered.add(stem)
    return frozenset(offered)


def _same_project(first: str, second: str) -> bool:
    from packaging.utils import canonicalize_name

    return canonicalize_name(first) == canonicalize_name(second)


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []
