"""Changing ``dx.toml`` as text: comments, order and every other line stay byte for byte.

The functions are pure; the caller reads (`load.read_text`) and writes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from dxforge.config.document import SECTION, Value, bare_or_quoted, drop_package, literal, put_package, quoted
from dxforge.config.load import FILE_NAME, parse
from dxforge.config.model import GitSpec, NpmSpec, PackageSpec, PathSpec, PyPISpec
from dxforge.config.packages import check_names, decode_package, missing_package, same_name
from dxforge.config.requirement import parse_requirement
from dxforge.config.secrets import refuse_secrets
from dxforge.config.table import At, check_table, check_text
from dxforge.errors import ConfigError

if TYPE_CHECKING:
    from tomlkit import TOMLDocument

__all__ = ["add_package", "new_project", "parse_requirement", "remove_package"]

_BY_HAND = "Change it by hand; dxforge then reads it as it is"
_NEW_PROJECT = """\
# dx.toml: what this project owns as source. Edit it freely: `dxforge add` and `dxforge remove` keep your comments.

[project]
name = {name}
# packages_dir = "src/dx_packages"

[packages]
# humanize = ">=4.9,<5"                              # from the Python index
# lodash = {{ npm = "lodash-es", version = "^4.17" }}  # from npm
# theme = {{ path = "../theme" }}                      # a folder or an archive

[traffic]
review = "modified"  # or "always": ask about updates of untouched files too
on_yellow = "ask"    # what a run without you does with Yellow: ask, keep, accept or fail
"""


def new_project(name: str) -> str:
    """The text of a first ``dx.toml`` for a project called ``name``.

    Raises:
        ConfigError: the name is empty, too long, or holds control characters.
    """
    return _NEW_PROJECT.format(name=quoted(check_text(name, At(where=FILE_NAME, path=("project", "name")))))


def add_package(text: str, spec: PackageSpec, *, where: str = FILE_NAME) -> str:
    """``text`` with ``spec`` under ``[packages]``: in the place of the one with that name, else after the last one.

    Whether a path package would copy itself depends on the project's folder: `load.decode` the result to know.

    Raises:
        ConfigError: ``text`` is no TOML; ``spec`` cannot stand in a ``dx.toml``; another package's name differs only
            in case or ``-_.``; or the entry is spelt in a way that cannot be changed without touching other lines.
    """
    at = At(where=where)
    packages = check_table(parse(text, where=where).get(SECTION, {}), at / SECTION)
    place = at / SECTION / spec.name
    check_names([*(name for name in packages if name != spec.name), spec.name], at / SECTION)
    value = _shortest(spec)
    refuse_secrets(value, place)
    wanted = decode_package(spec.name, value, place)
    if spec.name in packages and _means(packages[spec.name], wanted):
        return text
    newline = _newline(text)
    result = _edited(text, at, lambda document: put_package(document, spec.name, value, newline))
    if result is None:
        gap = "" if not text or text.endswith("\n") else newline
        blank = newline if text.strip() else ""
        statement = f"{bare_or_quoted(spec.name)} = {literal(value)}"
        result = f"{text}{gap}{blank}[{SECTION}]{newline}{statement}{newline}"
    _check(result, text, place, others=packages, wanted=wanted)
    return result


def remove_package(text: str, name: str, *, where: str = FILE_NAME) -> str:
    """``text`` without the package ``name``; case and ``-_.`` make no difference.

    Raises:
        ConfigError: ``text`` is no TOML; no such package (names the nearest); or the entry is spelt in a way that
            cannot be changed without touching other lines.
    """
    at = At(where=where)
    packages = check_table(parse(text, where=where).get(SECTION, {}), at / SECTION)
    declared = name if name in packages else same_name(name, packages)
    if declared is None:
        raise missing_package(name, packages, where=where)
    result = _edited(text, at, lambda document: drop_package(document, declared)) or ""
    _check(result, text, at / SECTION / declared, others=packages, wanted=None)
    return result


def _newline(text: str) -> str:
    end = text.find("\n")
    return "\r\n" if end > 0 and text[end - 1] == "\r" else "\n"


def _shortest(spec: PackageSpec) -> Value:
    """How ``spec`` is spelt in ``dx.toml``."""
    if isinstance(spec, PyPISpec):
        project = "" if spec.project == spec.name else spec.project
        if not (project or spec.with_dependencies or spec.prereleases):
            return spec.version.strip() or "*"
        fields: dict[str, Value] = {
            "version": spec.version,
            "project": project,
            "with_dependencies": spec.with_dependencies,
            "prereleases": spec.prereleases,
        }
        return {key: value for key, value in fields.items() if value}
    if isinstance(spec, NpmSpec):
        fields = {"npm": spec.npm, "version": spec.version}
    elif isinstance(spec, PathSpec):
        fields = {"path": spec.path}
    elif isinstance(spec, GitSpec):
        fields = {"git": spec.git, "rev": spec.rev, "subdir": spec.subdir}
    else:
        fields = {"url": spec.url, "sha256": spec.sha256}
    # The first key names the source: it stays even where it is empty, and is then refused.
    source = next(iter(fields))
    return {key: value for key, value in fields.items() if value or key == source}


def _edited(text: str, at: At, change: Callable[[TOMLDocument], bool]) -> str | None:
    """``text`` with ``change`` made to its document; None where ``change`` says that it made none."""
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    body = text.removeprefix("\ufeff")
    mark = text[: len(text) - len(body)]
    if body and not body.endswith("\n"):
        # Else what is put after the last line would continue it.
        body += _newline(text)
    try:
        document = tomlkit.parse(body)
        return mark + document.as_string() if change(document) else None
    except (TOMLKitError, ValueError, TypeError, RecursionError) as error:
        raise at.error("the file is TOML, but it cannot be edited", hint=_BY_HAND) from error.with_traceback(None)


def _check(result: str, text: str, at: At, *, others: Mapping[str, object], wanted: PackageSpec | None) -> None:
    """Refuse a ``result`` that says anything else than was asked for, or that lost a comment.

    A table can be spelt in more ways than anyone foresees, so what was done is checked, not trusted.
    """
    name = str(at.path[-1])
    old, new = parse(text, where=at.where), parse(result, where=at.where)
    packages = check_table(new.pop(SECTION, {}), at)
    old.pop(SECTION, None)
    kept = [(key, value) for key, value in others.items() if key != name]
    alike = new == old and [(key, value) for key, value in packages.items() if key != name] == kept
    done = name not in packages if wanted is None else name in packages and _means(packages[name], wanted)
    if not (alike and done) or Counter(_comments(text)) - Counter(_comments(result)):
        raise at.error("the entry cannot be changed without touching other lines", hint=_BY_HAND)


def _means(value: object, wanted: PackageSpec) -> bool:
    try:
        return decode_package(wanted.name, value, At(where=FILE_NAME)) == wanted
    except ConfigError:
        return False  # what stands there is broken, and is being replaced


def _comments(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.lstrip().startswith("#")]
