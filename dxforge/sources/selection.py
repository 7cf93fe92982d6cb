"""Which file of a Python project is taken. Pure: files, specifier and interpreter in, choice or reason out.

Rules: PEP 440 (versions), PEP 592 (yanked files), PEP 503 and 691 (``requires-python``), PEP 425 (tags). Source is
what dxforge is about, so a file is usable when it is a pure wheel or an sdist.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, NoReturn

from dxforge.errors import CompiledOnlyError, NoMatchingVersionError

if TYPE_CHECKING:
    from packaging.specifiers import SpecifierSet
    from packaging.tags import Tag
    from packaging.version import Version

FileKind = Literal["pure", "source", "compiled", "other"]


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexFile:
    """One file that an index offers.

    ``rank`` orders files of one version and kind, the best first. ``metadata`` are the digests of its PEP 658
    metadata file, None where there is none.
    """

    filename: str
    version: Version
    kind: FileKind
    rank: tuple[int, ...] = ()
    requires_python: str = ""
    yanked: bool = False
    url: str = ""
    sha256: str = ""
    size_bytes: int | None = None
    metadata: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is asked of a project."""

    specifier: SpecifierSet
    prereleases: bool
    """On request, by ``dx.toml`` or by a specifier that names one."""
    python: Version

    def accepts(self, version: Version) -> bool:
        """Whether the specifier has ``version``, pre-releases or not."""
        return self.specifier.contains(version, prereleases=True)

    def exactly(self, version: Version) -> bool:
        """Whether it is pinned by ``==`` or ``===``: then yanked files may be taken (PEP 592)."""
        return any(
            one.operator in ("==", "===") and not one.version.endswith(".*") for one in self.specifier
        ) and self.accepts(version)


def wanted(specifier: str, *, prereleases: bool, python: str) -> Wanted:
    """What a specifier of ``dx.toml`` or of a requirement asks for."""
    from packaging.specifiers import SpecifierSet
    from packaging.version import Version

    parsed = SpecifierSet(specifier)
    return Wanted(specifier=parsed, prereleases=prereleases or bool(parsed.prereleases), python=Version(python))


def classify(filename: str, package_type: str | None, tags: Mapping[Tag, int]) -> tuple[FileKind, tuple[int, ...]]:
    """What kind of file it is, and its rank within.

    Args:
        tags: what the interpreter takes, with the position in its own order.
    """
    if package_type == "sdist":
        return "source", (0 if filename.endswith(".tar.gz") else 1,)
    if package_type != "wheel":
        return "other", ()
    if not filename.endswith("-any.whl"):
        return "compiled", ()
    from packaging.utils import InvalidWheelFilename, parse_wheel_filename

    try:
        _, _, build, file_tags = parse_wheel_filename(filename)
    except InvalidWheelFilename:
        return "other", ()
    if any(tag.abi != "none" for tag in file_tags):
        return "compiled", ()
    positions = [tags[tag] for tag in file_tags if tag in tags]
    if not positions:
        return "other", ()
    return "pure", (min(positions), -build[0] if build else 0)


def choices(files: Iterable[IndexFile], asked: Wanted) -> Iterator[IndexFile]:
    """The best usable file of every version that is asked for, the newest version first."""
    for version, candidates in _by_version(files, asked):
        if version.is_prerelease and not asked.prereleases:
            continue
        best = _best(_allowed(candidates, version, asked))
        if best is not None:
            yield best


def compiled_only_above(files: Iterable[IndexFile], asked: Wanted, chosen: Version) -> Version | None:
    """The newest version above ``chosen`` that would have been taken, were it not compiled only."""
    for version, candidates in _by_version(files, asked):
        if version <= chosen:
            return None
        if version.is_prerelease and not asked.prereleases:
            continue
        if any(file.kind == "compiled" for file in _allowed(candidates, version, asked)):
            return version
    return None


def explain(project: str, specifier: str, files: Collection[IndexFile], asked: Wanted) -> NoReturn:
    """Say why there is no choice.

    Raises:
        NoMatchingVersionError, CompiledOnlyError: with the way out.
    """
    matching = _by_version(files, asked)
    text = f"{project} {specifier}".rstrip()
    if not matching:
        versions = sorted({file.version for file in files}, reverse=True)
        newest = next((version for version in versions if not version.is_prerelease), versions[0] if versions else None)
        raise NoMatchingVersionError(
            f"there is no version of {text}" if specifier else f"the index has no files of {project}",
            where=project,
            hint=f"The newest is {newest}" if newest is not None else "Name another index, or take it from git",
        )
    final = [(version, found) for version, found in matching if asked.prereleases or not version.is_prerelease]
    if not final:
        raise NoMatchingVersionError(
            f"there are only pre-releases of {text}, the newest is {matching[0][0]}",
            where=project,
            hint="Ask for them with prereleases = true",
        )
    fitting = [(version, [file for file in found if _fits(file, asked)]) for version, found in final]
    if not any(found for _, found in fitting):
        version, found = final[0]
        raise NoMatchingVersionError(
            f"{project} {version} needs Python {found[0].requires_python}, and this is {asked.python}",
            where=project,
            hint="Use a newer Python, or ask for another version",
        )
    allowed = [(version, _allowed(found, version, asked)) for version, found in final]
    compiled = [version for version, found in allowed if any(file.kind == "compiled" for file in found)]
    if compiled:
        raise CompiledOnlyError(
            f"{project} {compiled[0]} exists only as compiled wheels, there is no source to own",
            where=project,
            hint=_way_out(files, compiled[0], asked),
        )
    if not any(found for _, found in allowed):
        raise NoMatchingVersionError(
            f"every version of {text} was withdrawn (yanked) by its maintainers, the newest is {final[0][0]}",
            where=project,
            hint=f'Where you must have it, pin it: "=={final[0][0]}"',
        )
    raise NoMatchingVersionError(
        f"no file of {text} is a pure wheel or an sdist that Python {asked.python} can use",
        where=project,
        hint="Ask for another version, or take it from git",
    )


def _way_out(files: Collection[IndexFile], version: Version, asked: Wanted) -> str:
    with_source = sorted(
        {
            file.version
            for file in files
            if file.kind in ("pure", "source") and not file.yanked and _fits(file, asked)
            and (asked.prereleases or not file.version.is_prerelease)
        }
    )  # fmt: skip
    older = [known for known in with_source if known < version]
    newer = [known for known in with_source if known > version]
    if newer or older:
        best = newer[0] if newer else older[-1]
        return f'Version {best} has source: ask for "=={best}"'
    return "None of its versions has source there: take it from git, or install it with pip and leave it out here"


def _by_version(files: Iterable[IndexFile], asked: Wanted) -> list[tuple[Version, list[IndexFile]]]:
    """The versions that the specifier has, the newest first."""
    found: dict[Version, list[IndexFile]] = {}
    for file in files:
        found.setdefault(file.version, []).append(file)
    return [(version, found[version]) for version in sorted(found, reverse=True) if asked.accepts(version)]


def _allowed(files: Iterable[IndexFile], version: Version, asked: Wanted) -> list[IndexFile]:
    return [file for file in files if _fits(file, asked) and (not file.yanked or asked.exactly(version))]


def _best(files: list[IndexFile]) -> IndexFile | None:
    for kind in ("pure", "source"):
        usable = [file for file in files if file.kind == kind]
        if usable:
            return min(usable, key=lambda file: (file.rank, file.filename))
    return None


def _fits(file: IndexFile, asked: Wanted) -> bool:
    return not file.requires_python or _python_fits(file.requires_python, str(asked.python))


@lru_cache(maxsize=4096)
def _python_fits(requires_python: str, python: str) -> bool:
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        return SpecifierSet(requires_python).contains(python, prereleases=True)
    except InvalidSpecifier:
        return True  # what pip does: the index's field is old and often wrong
