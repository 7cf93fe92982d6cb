"""What a Python package says it needs: ``Requires-Dist`` of a wheel, and the best that an sdist can tell unbuilt.

Nothing is ever run for this. Formats: core metadata 2.x (PEP 566, 643), ``[project]`` of pyproject.toml (PEP 621),
setuptools' ``requires.txt``.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from typing import Any

from dxforge.errors import SourceError
from dxforge.events import EventBus, Notice
from dxforge.sources.model import Package


def requirements_of(content: bytes, where: str, events: EventBus) -> tuple[str, ...]:
    """The ``Requires-Dist`` lines of a METADATA file; lines that no tool could read are left out with a Notice."""
    from packaging.metadata import parse_email

    raw, _ = parse_email(content)
    return _sound(raw.get("requires_dist", ()), where, events)


def requirements_in(package: Package, events: EventBus) -> tuple[str, ...]:
    """The ``Requires-Dist`` lines of an unpacked wheel or sdist.

    Raises:
        SourceError: a wheel without metadata.
    """
    where = package.pin.filename
    names = set(package.tree)
    if where.endswith(".whl"):
        for path in sorted(names):
            folder, slash, name = path.partition("/")
            if slash and name == "METADATA" and folder.endswith(".dist-info"):
                return requirements_of(_content(package, path), where, events)
        raise SourceError("it is no sound wheel: there is no METADATA in it", where=where)
    return _of_sdist(package, names, where, events)


def _of_sdist(package: Package, names: set[str], where: str, events: EventBus) -> tuple[str, ...]:
    from packaging.metadata import RawMetadata, parse_email

    told: RawMetadata = {}
    if "PKG-INFO" in names:
        told, _ = parse_email(_content(package, "PKG-INFO"))
        version = told.get("metadata_version", "1.0").split(".")
        dynamic = [name.lower() for name in told.get("dynamic", ())]
        # PEP 643: from 2.2 on, what is not marked dynamic is the same in every wheel that is built.
        if [int(part) if part.isdigit() else 0 for part in version] >= [2, 2] and "requires-dist" not in dynamic:
            return _sound(told.get("requires_dist", ()), where, events)
    if "pyproject.toml" in names:
        lines = _of_pyproject(_content(package, "pyproject.toml"))
        if lines is not None:
            return _sound(lines, where, events)
    for path in sorted(names):
        if path.endswith(".egg-info/requires.txt"):
            return _sound(_of_requires_txt(_content(package, path).decode("utf-8", "replace")), where, events)
    if not told.get("requires_dist") and not any(path.endswith(".egg-info/SOURCES.txt") for path in names):
        text = f"{where} does not say what it needs before it is built; no dependencies were pulled in for it"
        events.emit(Notice(text=text))
    return _sound(told.get("requires_dist", ()), where, events)


def _of_pyproject(content: bytes) -> list[str] | None:
    """Static ``[project]`` dependencies; None where they are dynamic or not there."""
    try:
        data: dict[str, Any] = tomllib.loads(content.decode("utf-8", "replace"))
    except tomllib.TOMLDecodeError:
        return None
    project = data.get("project")
    if not isinstance(project, dict) or "name" not in project:
        return None
    dynamic = project.get("dynamic", [])
    if "dependencies" in dynamic:
        return None
    lines = [str(line) for line in project.get("dependencies", [])]
    extras = project.get("optional-dependencies", {})
    for extra, extra_lines in extras.items() if isinstance(extras, dict) else ():
        lines += [_with_marker(str(line), f'extra == "{extra}"') for line in extra_lines]
    return lines


def _of_requires_txt(text: str) -> list[str]:
    """Setuptools' file: lines, and sections ``[extra:marker]`` that hold for what follows."""
    lines: list[str] = []
    markers: list[str] = []
    for raw in text.splitlines():
        line = raw.strip()
        if line.startswith("[") and line.endswith("]"):
            extra, _, marker = line[1:-1].partition(":")
            markers = [f"({marker})"] if marker else []
            markers += [f'extra == "{extra}"'] if extra else []
        elif line and not line.startswith("#"):
            lines.append(_with_marker(line, " and ".join(markers)))
    return lines


def _with_marker(line: str, marker: str) -> str:
    if not marker:
        return line
    requirement, _, own = line.partition(";")
    both = f"({own.strip()}) and {marker}" if own.strip() else marker
    return f"{requirement.strip()} ; {both}"


def _sound(lines: Iterable[str], where: str, events: EventBus) -> tuple[str, ...]:
    from packaging.requirements import InvalidRequirement, Requirement

    sound = []
    for line in lines:
        try:
            sound.append(str(Requirement(line)))
        except InvalidRequirement:
            events.emit(Notice(text=f"{where} asks for {line!r}, which is no requirement; it was left out"))
    return tuple(sound)


def _content(package: Package, path: str) -> bytes:
    return next(content for _, content in package.read([path]))
