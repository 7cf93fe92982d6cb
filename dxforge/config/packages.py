"""Decoding ``[packages]``: names, sources, and the versions that they may have."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from dxforge.config.model import GitSpec, NpmSpec, PackageSpec, PathSpec, PyPISpec, UrlSpec
from dxforge.config.table import At, Table, check_table, check_text, nearest, nearest_hint, show
from dxforge.errors import ConfigError

MAX_NAME_CHARS = 128
MAX_VERSION_CHARS = 256
_SAFE_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_-])?")
# PyPA specifications, "Names and normalization".
_PROJECT_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_SEPARATORS = re.compile(r"[-_.]+")
# npm's own rules (validate-npm-package-name), with the capitals that old packages have.
_NPM_NAME = re.compile(r"(?:@[A-Za-z0-9~-][A-Za-z0-9._~-]*/)?[A-Za-z0-9~-][A-Za-z0-9._~-]*")
_MAX_NPM_NAME_CHARS = 214
_SHA256 = re.compile(r"[0-9A-Fa-f]{64}")
_DRIVE = re.compile(r"[A-Za-z]:")
# Microsoft, "Naming Files, Paths, and Namespaces"; reserved with any suffix.
_RESERVED = frozenset({
    "CON", "PRN", "AUX", "NUL", *(f"COM{digit}" for digit in range(10)), *(f"LPT{digit}" for digit in range(10)),
})  # fmt: skip
# Folders that never travel (contract) are never packages either.
_NOT_PACKAGES = frozenset({"__pycache__"})


def normal_name(name: str) -> str:
    """``name`` as it is compared: case and ``-_.`` make no difference (PyPA's normalization)."""
    return _SEPARATORS.sub("-", name).lower()


def same_name(name: str, known: Iterable[str]) -> str | None:
    """The entry of ``known`` that is ``name`` up to case and ``-_.``, or None."""
    wanted = normal_name(name)
    return next((entry for entry in known if normal_name(entry) == wanted), None)


def name_fault(name: str) -> str:
    """What keeps ``name`` from being a folder of its own on every system; empty when nothing does."""
    if len(name) > MAX_NAME_CHARS:
        return f"the name has more than {MAX_NAME_CHARS} characters"
    if not _SAFE_NAME.fullmatch(name):
        return "the name must be letters, digits, '.', '_' and '-', not start with '.' or '-', and not end with '.'"
    if name.split(".", 1)[0].upper() in _RESERVED:
        return "the name is reserved on Windows"
    if name in _NOT_PACKAGES:
        return "the name is Python's own for its caches"
    return ""


def check_names(names: Iterable[str], at: At) -> None:
    """Refuse ``names`` that are no safe folders, and two that would be the same one somewhere.

    Raises:
        ConfigError: names the first offender, and what it collides with.
    """
    seen: dict[str, str] = {}
    for name in names:
        fault = name_fault(name)
        if fault:
            raise (at / name).error(fault, hint="Choose another name")
        other = seen.setdefault(normal_name(name), name)
        if other != name:
            raise (at / name).error(
                f"the name differs from {show(other)} only in case or in '-', '_' and '.'",
                hint="Remove one of them, or choose another name",
            )


def decode_packages(value: object, at: At) -> tuple[PackageSpec, ...]:
    """``[packages]``, in the order of the file.

    Raises:
        ConfigError: a name, a source or a version that cannot be.
    """
    table = check_table(value, at)
    check_names(table, at)
    return tuple(decode_package(name, entry, at / name) for name, entry in table.items())


def decode_package(name: str, value: object, at: At) -> PackageSpec:
    """One package: a version of the Python index, or a table with one source.

    Raises:
        ConfigError: the entry is neither, or something in it is wrong.
    """
    if isinstance(value, str):
        return _pypi(name, Table({"version": value}, at, ("version",)), version_at=at)
    if not isinstance(value, dict):
        raise at.wrong_type(value, 'a version in quotes, or a table such as { npm = "…" }')
    sources = [key for key in _SOURCES if key in value]
    if len(sources) > 1:
        raise at.error(f"more than one source: {', '.join(sources)}", hint="Keep one of them")
    if not sources:
        # The word that should have named the source may be the misspelt one.
        return _pypi(name, Table(value, at, _PYPI_KEYS, near=tuple(_SOURCES)))
    known, decode = _SOURCES[sources[0]]
    for key in value:
        if key not in known and any(key in keys for keys, _ in _SOURCES.values()):
            hint = f"Known here: {', '.join(known)}"
            raise (at / key).error(f"the key does not belong to a package with {show(sources[0])}", hint=hint)
    return decode(name, Table(value, at, known))


def _pypi(name: str, table: Table, *, version_at: At | None = None) -> PyPISpec:
    if "pypi" in table and "project" in table:
        raise (table.at / "pypi").error("the same as project, and both are given", hint="Keep one of them")
    key = "pypi" if "pypi" in table else "project"
    project = table.text(key, name)
    if not _PROJECT_NAME.fullmatch(project):
        raise (table.at / key).error(
            f"{show(project)} cannot be a project of the Python index",
            hint='Give its name there with project = "…"',
        )
    return PyPISpec(
        name=name,
        version=check_specifier(table.text("version", "", empty=True), version_at or table.at / "version"),
        project="" if project == name else project,
        with_dependencies=table.flag("with_dependencies", default=False),
        prereleases=table.flag("prereleases", default=False),
    )


def _npm(name: str, table: Table) -> NpmSpec:
    npm = table.text("npm")
    if len(npm) > _MAX_NPM_NAME_CHARS or not _NPM_NAME.fullmatch(npm):
        raise (table.at / "npm").error(
            f"{show(npm)} cannot be a package of the npm registry", hint='Write it like "lodash-es" or "@scope/name"'
        )
    return NpmSpec(name=name, npm=npm, version=check_range(table.text("version", "", empty=True), table.at / "version"))


def _path(name: str, table: Table) -> PathSpec:
    return PathSpec(name=name, path=table.text("path"))


def _git(name: str, table: Table) -> GitSpec:
    rev = table.text("rev", "", empty=True).strip()
    if rev.startswith("-") or any(char.isspace() for char in rev):
        raise (table.at / "rev").error(f"{show(rev)} cannot be a revision", hint="Name a commit, a tag or a branch")
    subdir = table.text("subdir", "", empty=True)
    if subdir:
        subdir = check_inside(subdir, table.at / "subdir")
    git = table.text("git").strip()
    if git.startswith("-"):
        raise (table.at / "git").error("a repository cannot start with '-'", hint='Write "./-…" for such a folder')
    return GitSpec(name=name, git=git, rev=rev, subdir=subdir)


def _url(name: str, table: Table) -> UrlSpec:
    sha256 = table.text("sha256").strip()
    if not _SHA256.fullmatch(sha256):
        raise (table.at / "sha256").error(
            f"a sha256 is 64 hexadecimal digits, found {len(sha256)} characters",
            hint="Copy it as `sha256sum` prints it",
        )
    url = check_url(table.text("url"), table.at / "url", schemes=("https", "http", "file"))
    return UrlSpec(name=name, url=url, sha256=sha256.lower())


_PYPI_KEYS = ("version", "project", "pypi", "with_dependencies", "prereleases")
_SOURCES: dict[str, tuple[tuple[str, ...], Callable[[str, Table], PackageSpec]]] = {
    "npm": (("npm", "version"), _npm),
    "path": (("path",), _path),
    "git": (("git", "rev", "subdir"), _git),
    "url": (("url", "sha256"), _url),
    "pypi": (_PYPI_KEYS, _pypi),
}


def check_specifier(text: str, at: At) -> str:
    """A PEP 440 specifier set; "" for any version, which may be written ``*``.

    Raises:
        ConfigError: the text is none, with what was probably meant.
    """
    version = _bounded(text, at)
    if version in {"", "*"}:
        return ""
    from packaging.specifiers import SpecifierSet

    try:
        if len(SpecifierSet(version)):
            return version
        cause = None
    except ValueError as error:
        cause = error
    raise at.error(f"{show(version)} is not a version specifier (PEP 440)", hint=_specifier_hint(version)) from cause


def _specifier_hint(version: str) -> str:
    from packaging.version import InvalidVersion, Version

    example = 'Write one such as ">=4.9,<5"'
    bare = version.lstrip("^~=v ").strip()
    try:
        release = Version(bare)
    except (InvalidVersion, ValueError):
        return example
    if version.startswith("^"):
        major = release.release[0]
        return f"PEP 440 has no '^': write {show(f'>={bare},<{major + 1}')}"
    if version.startswith("~"):
        return f"Write {show(f'~={bare}')}" if len(release.release) > 1 else example
    return f"Write {show(f'=={bare}')} for just that version"


def check_range(text: str, at: At) -> str:
    """A range of versions as npm reads it; "" for any version, which may be written ``*``.

    Raises:
        ConfigError: the text is none, with what was probably meant.
    """
    version = _bounded(text, at)
    if version in {"", "*"}:
        return ""
    from semantic_version import NpmSpec as Range

    try:
        Range(version)
    except ValueError as error:
        if "," in version or "==" in version:
            hint = 'npm has no "," and no "==": write for example ">=1.2 <2" or "=1.2.3"'
        elif version.isalpha():
            hint = 'A tag is not a range: write "*" for the newest version'
        else:
            hint = 'Write one such as "^4.17" or ">=1.2 <2"'
        raise at.error(f"{show(version)} is not a range of versions (npm)", hint=hint) from error
    return version


def _bounded(text: str, at: At) -> str:
    if len(text) > MAX_VERSION_CHARS:
        raise at.error(f"a version has at most {MAX_VERSION_CHARS} characters", hint="Shorten it")
    return text.strip()


def check_inside(text: str, at: At) -> str:
    """A relative path with ``/`` that stays inside, without ``.`` and doubled ``/``; "." where nothing else is left.

    Raises:
        ConfigError: absolute, leading out, or with characters that some system cannot have.
    """
    if "\\" in text:
        raise at.error("a path is written with '/'", hint="Replace '\\' by '/'")
    if text.startswith(("/", "~")) or _DRIVE.match(text):
        raise at.error(f"{show(text)} is not relative", hint="Write it relative to the project's folder")
    parts = [part for part in text.split("/") if part not in {"", "."}]
    if ".." in parts:
        raise at.error(f"{show(text)} leads out", hint="Write it without '..'")
    return "/".join(parts) or "."


def check_url(value: object, at: At, *, schemes: tuple[str, ...]) -> str:
    """An address with one of ``schemes``, and with a host where the scheme needs one.

    Raises:
        ConfigError: it cannot be such an address; the text itself is not repeated.
    """
    from urllib.parse import urlsplit

    text = check_text(value, at).strip()
    hint = f"Write one that starts with {' or '.join(f'{scheme}://' for scheme in schemes)}"
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise at.error("not an address", hint=hint) from error
    if parts.scheme not in schemes or f"{parts.scheme}://" != text[: len(parts.scheme) + 3].lower():
        raise at.error("not an address that dxforge can read here", hint=hint)
    if (parts.scheme != "file" and not host) or any(char.isspace() for char in text):
        raise at.error("not a whole address", hint=hint)
    return text


def missing_package(name: str, declared: Iterable[str], *, where: str) -> ConfigError:
    """The error for a ``name`` that ``[packages]`` does not declare."""
    names = list(declared)
    hint = nearest_hint(name, names, kind="package") if nearest(name, names) or names else "There are no packages"
    return At(where=where, path=("packages",)).error(f"{show(name)} is not declared", hint=hint)
