"""``with_dependencies``: which packages those need, by resolvelib, preferring what the lock has.

A project is one identifier; a project with extras is another one that needs the first in the same version (as pip
does it). What ``dx.toml`` declares itself is one more constraint; what it declares from git, a path or an address
stands for the project of that name whatever its version.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from dxforge.config.model import PackageSpec, PyPISpec
from dxforge.errors import PackageNotFoundError, ResolutionError, SourceError
from dxforge.sources import selection
from dxforge.sources.model import Candidate, Pin
from dxforge.sources.pypi import PYTHON, PyPISource, project_of

if TYPE_CHECKING:
    from packaging.requirements import Requirement
    from resolvelib.structs import Matches, RequirementInformation

_ROUNDS = 20_000
# Pages of the index that are asked for at once, ahead of the resolver, which is one thread.
_AHEAD = 4
_ROOT = "dx.toml"


@dataclass(frozen=True, slots=True)
class _Need:
    """A requirement: ``project`` with ``extras``, asked for by ``source`` in the words of ``text``."""

    project: str
    extras: frozenset[str]
    specifier: str
    source: str
    text: str
    by_url: bool = False

    @property
    def identifier(self) -> str:
        return f"{self.project}[{','.join(sorted(self.extras))}]" if self.extras else self.project


@dataclass(frozen=True, slots=True)
class _Choice:
    """A candidate in the graph; ``candidate`` is None for what dx.toml declares from elsewhere than the index."""

    project: str
    extras: frozenset[str]
    candidate: Candidate | None
    locked: bool = False

    @property
    def identifier(self) -> str:
        return f"{self.project}[{','.join(sorted(self.extras))}]" if self.extras else self.project


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What is known before resolving.

    ``specs`` are all of dx.toml's packages, ``roots`` those whose dependencies are wanted; ``pins`` the lock's by
    name; ``upgrade`` the names that are to move.
    """

    specs: Sequence[PackageSpec]
    roots: Sequence[PyPISpec]
    pins: Mapping[str, Pin]
    upgrade: frozenset[str]


def resolve_dependencies(
    declared: Declared, source: PyPISource, *, satisfies: Callable[[PyPISpec, Pin], bool]
) -> dict[str, Candidate]:
    """All packages that ``declared.roots`` need, themselves included, by name.

    Raises:
        ResolutionError: they contradict each other; says who asks for what.
        SourceError: a package or what it needs cannot be had.
    """
    from resolvelib import AbstractProvider, BaseReporter, ResolutionImpossible, ResolutionTooDeep, Resolver

    # resolvelib is imported only where something is to be resolved, so its base class (the defaults) joins late.
    class Joined(Provider, AbstractProvider[_Need, _Choice, str]):
        pass

    needs = [_Need(project_of(spec), frozenset(), spec.version, _ROOT, _declaration(spec)) for spec in declared.roots]
    with ThreadPoolExecutor(_AHEAD, thread_name_prefix="dxforge-pages") as pool:
        provider = Joined(declared, source, satisfies, lambda project: pool.submit(source.files, project))
        resolver = Resolver[_Need, _Choice, str](provider, BaseReporter())
        try:
            result = resolver.resolve(needs, max_rounds=_ROUNDS)
        except ResolutionImpossible as error:
            raise provider.impossible(list(error.causes)) from error
        except ResolutionTooDeep as error:
            raise ResolutionError(
                "the dependencies are too entangled to be resolved",
                where=", ".join(spec.name for spec in declared.roots),
                hint="Narrow the versions in dx.toml",
            ) from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    return provider.collect(result.mapping, declared.roots)


class Provider:
    """What resolvelib asks us; see its ``AbstractProvider``."""

    def __init__(
        self,
        declared: Declared,
        source: PyPISource,
        satisfies: Callable[[PyPISpec, Pin], bool],
        ask_ahead: Callable[[str], object],
    ) -> None:
        from packaging.utils import canonicalize_name

        self._source = source
        self._declared = declared
        self._ask_ahead = ask_ahead
        self._asked_ahead: set[str] = set()
        self._specs: dict[str, PyPISpec] = {}
        self._elsewhere: dict[str, PackageSpec] = {}
        # A project under two names: the roots' one first, for it is the root's version that is asked for.
        for spec in (*declared.roots, *declared.specs):
            if isinstance(spec, PyPISpec):
                self._specs.setdefault(project_of(spec), spec)
            else:
                self._elsewhere.setdefault(canonicalize_name(spec.name), spec)
        self._pins: dict[str, Pin] = {}
        for name, pin in declared.pins.items():
            if pin.kind != "pypi" or name in declared.upgrade:
                continue
            project = canonicalize_name(pin.ref)
            own = self._specs.get(project)
            # A package under two names: the one that dx.toml means, else one that was pulled in.
            if own is not None and (own.name != name or not satisfies(own, pin)):
                continue
            self._pins.setdefault(project, pin)
        self._lines: dict[tuple[str, str], tuple[str, ...]] = {}
        self._missing: dict[str, PackageNotFoundError] = {}

    # -- resolvelib's questions -------------------------------------------------------------------------------------

    def identify(self, requirement_or_candidate: _Need | _Choice) -> str:
        """The project, with its extras."""
        return requirement_or_candidate.identifier

    def get_preference(
        self,
        identifier: str,
        resolutions: Mapping[str, Any],  # noqa: ARG002 - resolvelib's signature
        candidates: Mapping[str, Any],  # noqa: ARG002
        information: Mapping[str, Iterable[Any]],
        backtrack_causes: Sequence[Any],
    ) -> tuple[bool, bool, bool, str]:
        """What is in conflict first, then what dx.toml asks for, then what is pinned; the rest by name."""
        needs = [info.requirement for info in information[identifier]]
        in_conflict = any(cause.requirement.identifier == identifier for cause in backtrack_causes)
        direct = any(need.source == _ROOT for need in needs)
        exact = any("==" in need.specifier for need in needs)
        return (not in_conflict, not direct, not exact, identifier)

    def find_matches(
        self,
        identifier: str,
        requirements: Mapping[str, Iterator[_Need]],
        incompatibilities: Mapping[str, Iterator[_Choice]],
    ) -> Matches[_Choice]:
        """Candidates that satisfy everything asked so far, lazily: the locked one costs no network."""
        needs = list(requirements[identifier])
        project, extras = needs[0].project, needs[0].extras
        refused = {
            (choice.candidate.version, choice.candidate.filename)
            for choice in incompatibilities[identifier]
            if choice.candidate is not None
        }
        if project in self._elsewhere and project not in self._specs:
            # Whatever its version is: dx.toml's own word is final.
            return [] if any(True for _ in incompatibilities[identifier]) else [_Choice(project, extras, None)]
        by_url = next((need for need in needs if need.by_url), None)
        if by_url is not None:
            raise ResolutionError(
                f"{by_url.source} needs {project} from an address of its own",
                where=project,
                hint=f"Declare {project} in dx.toml with git = … or url = …",
            )
        asked = self._asked(project, needs)

        def found() -> Iterator[_Choice]:
            locked = self._pins.get(project)
            fits = locked is not None and _accepts(asked, locked.version)
            if locked is not None and fits and (locked.version, locked.filename) not in refused:
                yield _Choice(project, extras, Candidate.of(locked), locked=True)
            try:
                for candidate in self._source.matching(project, asked):
                    same = locked is not None and candidate.filename == locked.filename
                    if not same and (candidate.version, candidate.filename) not in refused:
                        yield _Choice(project, extras, candidate)
            except PackageNotFoundError as error:
                # Another version of whoever asks may not need it; if none is, this is the reason.
                self._missing[project] = error

        return found

    def is_satisfied_by(self, requirement: _Need, candidate: _Choice) -> bool:
        """Whether the candidate's version is one that is asked for."""
        if candidate.candidate is None:
            return True
        return _accepts(self._asked(requirement.project, [requirement]), candidate.candidate.version)

    def get_dependencies(self, candidate: _Choice) -> list[_Need]:
        """What a candidate needs in this interpreter."""
        if candidate.candidate is None:
            return []
        chosen = candidate.candidate
        source = f"{candidate.identifier} {chosen.version}"
        needs = []
        if candidate.extras:
            exact = f"=={chosen.version}"
            needs.append(_Need(candidate.project, frozenset(), exact, source, f"{candidate.project}{exact}"))
        needs += [
            _Need(name, extras, specifier, source, text, by_url)
            for name, extras, specifier, text, by_url in self._needed(candidate)
        ]
        for need in needs:
            project = need.project
            if project not in self._asked_ahead and project not in self._pins and project not in self._elsewhere:
                self._asked_ahead.add(project)
                self._ask_ahead(project)
        return needs

    # -- what a package needs ---------------------------------------------------------------------------------------

    def _needed(self, choice: _Choice) -> Iterator[tuple[str, frozenset[str], str, str, bool]]:
        from packaging.requirements import Requirement
        from packaging.utils import canonicalize_name

        lines = self._requirement_lines(choice)
        if lines is None:
            return
        for line in lines:
            requirement = Requirement(line)
            if not _applies(requirement, choice.extras):
                continue
            yield (
                canonicalize_name(requirement.name),
                frozenset(canonicalize_name(extra) for extra in requirement.extras),
                str(requirement.specifier),
                line,
                requirement.url is not None,
            )

    def _requirement_lines(self, choice: _Choice) -> tuple[str, ...] | None:
        candidate = choice.candidate
        assert candidate is not None  # noqa: S101 - asked for the index's candidates only
        key = (candidate.ref, candidate.filename)
        if key not in self._lines:
            lines = self._source.known_requirements(candidate.sha256, candidate) if candidate.sha256 else None
            if lines is None and choice.locked and (candidate.requires or not candidate.direct):
                # Nothing here knows the archive, but the lock knows whom it needed.
                lines = self._locked_lines(candidate)
            self._lines[key] = self._source.requirements(candidate) if lines is None else lines
        return self._lines[key]

    def _locked_lines(self, candidate: Candidate) -> tuple[str, ...] | None:
        lines = []
        for name in candidate.requires:
            pin = self._declared.pins.get(name)
            if pin is None:
                return None
            if pin.kind == "pypi":
                lines.append(pin.ref)
        return tuple(lines)

    def _asked(self, project: str, needs: Sequence[_Need], *, declared: bool = True) -> selection.Wanted:
        """What ``needs`` ask for together, and dx.toml with them where it has ``declared`` the project."""
        spec = self._specs.get(project)
        specifiers = [need.specifier for need in needs if need.specifier]
        if declared and spec is not None and spec.version:
            specifiers.append(spec.version)
        return selection.wanted(
            ",".join(dict.fromkeys(specifiers)), prereleases=spec is not None and spec.prereleases, python=PYTHON
        )

    # -- the outcome ------------------------------------------------------------------------------------------------

    def name_of(self, project: str) -> str:
        """The package's name in dx.toml, else the project's."""
        if project in self._specs:
            return self._specs[project].name
        return self._elsewhere[project].name if project in self._elsewhere else project

    def collect(self, mapping: Mapping[str, _Choice], roots: Sequence[PyPISpec]) -> dict[str, Candidate]:
        """The chosen candidates by name, each with whom it needs."""
        needs: dict[str, set[str]] = {}
        for choice in mapping.values():
            if choice.candidate is None:
                continue
            of = needs.setdefault(choice.project, set())
            of.update(name for name, *_ in self._needed(choice) if name != choice.project)
        found: dict[str, Candidate] = {}
        waiting = [project_of(root) for root in roots][::-1]
        while waiting:
            project = waiting.pop()
            name = self.name_of(project)
            chosen = mapping.get(project)
            if name in found or chosen is None or chosen.candidate is None:
                continue
            wanted = sorted(needs[project])
            found[name] = replace(
                chosen.candidate,
                name=name,
                direct=project in self._specs,
                requires=tuple(sorted(self.name_of(other) for other in wanted)),
            )
            waiting.extend(wanted[::-1])
        for root in roots:
            if root.name not in found:
                found[root.name] = replace(found[self.name_of(project_of(root))], name=root.name)
        return found

    def impossible(self, causes: Sequence[RequirementInformation[_Need, _Choice]]) -> SourceError:
        """The error for requirements that cannot all be met."""
        for cause in causes:
            need = cause.requirement
            asks = f"{need.source} asks for {need.text}"
            if need.project in self._missing:
                error: SourceError = self._missing[need.project]
                return PackageNotFoundError(f"{error.what} ({asks})", where=error.where, hint=error.hint)
            asked = self._asked(need.project, [need], declared=False)
            if need.project not in self._elsewhere and next(self._source.matching(need.project, asked), None) is None:
                try:
                    self._source.explain(need.project, str(asked.specifier), asked)
                except SourceError as found:
                    return type(found)(f"{found.what} ({asks})", where=found.where, hint=found.hint)
        said = list(dict.fromkeys(f"{cause.requirement.source} asks for {cause.requirement.text}" for cause in causes))
        for project in dict.fromkeys(cause.requirement.project for cause in causes):
            spec = self._specs.get(project)
            if spec is not None and spec.version:
                said.append(f"{_ROOT} asks for {_declaration(spec)}")
        return ResolutionError(
            "there is no version for all of: " + "; ".join(dict.fromkeys(said)),
            where=", ".join(dict.fromkeys(self.name_of(cause.requirement.project) for cause in causes)),
            hint="Change one of the versions in dx.toml, or leave one of the packages without its dependencies",
        )


def _accepts(asked: selection.Wanted, version: str) -> bool:
    from packaging.version import Version

    return asked.accepts(Version(version))


def _applies(requirement: Requirement, extras: frozenset[str]) -> bool:
    """Whether its marker holds for this interpreter, with one of ``extras`` (PEP 508)."""
    if requirement.marker is None:
        return not extras  # then the project itself, without extras, asks for it already
    if not extras:
        return requirement.marker.evaluate({"extra": ""})
    return any(requirement.marker.evaluate({"extra": extra}) for extra in extras)


def _declaration(spec: PyPISpec) -> str:
    return f"{project_of(spec)} {spec.version}".rstrip()
