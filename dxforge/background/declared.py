"""Who provides an imported module, and whether anybody declared it."""

from __future__ import annotations

import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from dxforge.background.analysis import FilePlace, ImportedModule, Provider
from dxforge.background.reading import FileFacts
from dxforge.config.model import Config, PyPISpec
from dxforge.importer import InjectedFinder

# Not of the standard library as such, but there wherever a notebook or a test runs.
_GIVEN = frozenset({"__future__", "__main__", "_typeshed"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Origins:
    """Where a module's name can lead to."""

    injected: Mapping[str, tuple[str, ...]]
    """Injected packages by the top-level module they offer."""
    own: Mapping[str, frozenset[str]]
    """The modules in each of the project's folders ("" = the root), by the folder's path."""
    distributions: Mapping[str, tuple[str, ...]]
    declared: frozenset[str]
    """Normalised names of what the project declares, in ``dx.toml``, ``pyproject.toml`` or ``requirements*.txt``."""

    @classmethod
    def of(cls, config: Config, paths: Mapping[str, object], distributions: Mapping[str, list[str]]) -> Origins:
        """Look at the project's folders.

        Args:
            paths: all its Python files, injected ones included.
            distributions: installed distributions by the modules they offer.
        """
        packages = f"{config.packages_dir}/"
        return cls(
            injected=_injected(config),
            own=_own(path for path in paths if not path.startswith(packages)),
            distributions={name: tuple(found) for name, found in distributions.items()},
            declared=frozenset(_declared(config)),
        )

    def provider(self, top: str, path: str, *, injected: bool) -> tuple[Provider, tuple[str, ...]]:
        """Who provides the module ``top`` to the file ``path``, in the order in which Python would look."""
        if top in sys.stdlib_module_names or top in _GIVEN:
            return "stdlib", ()
        if not injected and self._is_own(top, path):
            return "own", ()
        if top in self.injected:
            return "injected", self.injected[top]
        if top in self.distributions:
            return "distribution", self.distributions[top]
        return "unknown", ()

    def _is_own(self, top: str, path: str) -> bool:
        # A script sees its own folder; tests and applications are run from folders around theirs.
        folders = {"", "src", "lib", *(str(parent) for parent in PurePosixPath(path).parents if str(parent) != ".")}
        return any(top in self.own.get(folder, ()) for folder in folders)

    def is_declared(self, top: str, provider: Provider, packages: tuple[str, ...]) -> bool:
        """Whether somebody said that the project needs it."""
        if provider in ("injected", "own", "stdlib"):
            return True
        return not self.declared.isdisjoint(_normal(name) for name in (*packages, top))


def conclude(
    config: Config, facts: Mapping[str, FileFacts], origins: Origins
) -> tuple[tuple[ImportedModule, ...], tuple[str, ...]]:
    """What the project's own files import, and which injected packages nobody imports."""
    packages = PurePosixPath(config.packages_dir)
    places: dict[tuple[str, Provider, tuple[str, ...]], list[tuple[FilePlace, bool]]] = defaultdict(list)
    used: set[str] = set()
    for path, found in facts.items():
        injected = PurePosixPath(path).is_relative_to(packages)
        inside = PurePosixPath(path).relative_to(packages).parts[0] if injected else ""
        for item in found.imports:
            if item.level or not item.top:
                continue
            provider, names = origins.provider(item.top, path, injected=injected)
            if provider == "injected":
                used.update(name for name in names if name != inside)
            if not injected:
                place = FilePlace(path=path, cell=item.place.cell, line=item.place.line)
                places[item.top, provider, names].append((place, item.guarded))
    imports = tuple(
        ImportedModule(
            module=top,
            provider=provider,
            packages=names,
            declared=origins.is_declared(top, provider, names),
            guarded=all(guarded for _, guarded in found),
            places=tuple(sorted({place for place, _ in found})),
        )
        for (top, provider, names), found in sorted(places.items())
    )
    offering = {name for names in origins.injected.values() for name in names}
    return imports, tuple(sorted(offering - used))


def _injected(config: Config) -> dict[str, tuple[str, ...]]:
    found: dict[str, set[str]] = defaultdict(set)
    for root in InjectedFinder(str(config.packages_path)).roots():
        name = Path(root.path).relative_to(config.packages_path).parts[0]
        for module in root.names:
            found[module].add(name)
    return {module: tuple(sorted(names)) for module, names in found.items()}


def _own(paths: Iterator[str]) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for path in paths:
        if not path.endswith(".py"):
            continue
        parts = path.split("/")
        found["/".join(parts[:-1])].add(parts[-1].removesuffix(".py"))
        for depth in range(len(parts) - 1):
            found["/".join(parts[:depth])].add(parts[depth])
    return {folder: frozenset(names) for folder, names in found.items()}


def _normal(name: str) -> str:
    from packaging.utils import canonicalize_name

    return canonicalize_name(name)


def _declared(config: Config) -> Iterator[str]:
    for spec in config.packages:
        yield _normal(spec.name)
        if isinstance(spec, PyPISpec) and spec.project:
            yield _normal(spec.project)
    lines = list(_pyproject(config.root))
    for file in sorted(config.root.glob("requirements*.txt")):
        try:
            lines += file.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            continue
    for line in lines:
        name = _requirement_name(line)
        if name:
            yield name


def _requirement_name(line: str) -> str:
    from packaging.requirements import InvalidRequirement, Requirement

    text = line.partition(" #")[0].strip()
    if not text or text.startswith(("#", "-")):
        return ""
    try:
        return _normal(Requirement(text).name)
    except InvalidRequirement:
        return ""


def _pyproject(root: Path) -> Iterator[str]:
    """The requirements in ``pyproject.toml`` (PEP 621 and 735); none where it is not to be read."""
    try:
        data = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return
    project = data.get("project", {})
    tables = [project.get("optional-dependencies", {}), data.get("dependency-groups", {})]
    groups = [project.get("dependencies", []), *(group for table in tables for group in dict(table).values())]
    for group in groups:
        yield from (line for line in group if isinstance(line, str))
    yield str(project.get("name", ""))
