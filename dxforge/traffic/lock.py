"""``dx.lock``: the exact archive of each package, and the files whose base is not (yet) that archive's.

The pending list *is* part of the lock: a file awaits a decision exactly as long as its base differs from the locked
version's file. So a fresh clone knows it too, and nothing else has to be kept in step.
"""

from __future__ import annotations

import dataclasses
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from dxforge.errors import LockfileError
from dxforge.sources.model import Layout, Pin
from dxforge.store.tree import Entry, Tree

VERSION = 1
HEADER = "# Written by dxforge; commit it, do not edit it.\n"
_ENTRY = re.compile(r"(100644|100755|120000) ([0-9a-f]{40}) (\d{1,18})")


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingFile:
    """A file that awaits a decision.

    ``path``, ``new_path`` and ``set_aside`` are relative to the package's folder. ``base`` is the file as the user last
    decided on it (None: never), found in the archive ``former`` (a sha256 of :attr:`LockedPackage.former`, "" where
    there is no base). ``incoming`` is the locked version's file (None: removed upstream; with ``new_path``: that one).
    ``rejected`` are digests of hunks that the user has already refused, and ``taken`` says that he has taken others;
    ``candidates`` are the places (relative too) upstream may have moved the file to, where they are alike and we
    do not guess.
    """

    path: str
    base: Entry | None
    incoming: Entry | None
    former: str = ""
    new_path: str | None = None
    set_aside: str | None = None
    rejected: tuple[str, ...] = ()
    candidates: tuple[str, ...] = ()
    taken: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedPackage:
    """A package's pin and its exceptions.

    ``files`` is kept for path packages: their old archive cannot be had again. ``leaving``: the package is gone from
    ``dx.toml`` and only the files that still await a decision are left.
    """

    pin: Pin
    pending: tuple[PendingFile, ...] = ()
    former: tuple[Pin, ...] = ()
    files: Tree | None = None
    leaving: bool = False


@dataclass(frozen=True, slots=True)
class Lock:
    """The whole file; ``packages`` by name."""

    packages: Mapping[str, LockedPackage] = field(default_factory=lambda: MappingProxyType({}))

    def with_package(self, name: str, package: LockedPackage | None) -> Lock:
        """A copy with ``name`` set, or without it (None)."""
        packages = {key: value for key, value in self.packages.items() if key != name}
        if package is not None:
            packages[name] = package
        return Lock(packages)

    @property
    def pending(self) -> int:
        """How many files await a decision."""
        return sum(len(package.pending) for package in self.packages.values())


def dumps(lock: Lock) -> str | None:
    """The lock's text: sorted, the same for the same input; None (no file) where there is nothing to say."""
    if not lock.packages:
        return None
    import tomli_w

    packages = [encode_package(package) for _, package in sorted(lock.packages.items())]
    return HEADER + tomli_w.dumps({"version": VERSION, "package": packages})


def loads(text: str | None, *, where: Path | str = "dx.lock") -> Lock:
    """Read a lock's text (None: no file).

    Raises:
        LockfileError: it is no dx.lock, or one of a newer dxforge.
    """
    if text is None:
        return Lock()
    try:
        data = tomllib.loads(text)
        version = data.get("version")
        if type(version) is int and version > VERSION:
            raise LockfileError(
                f"it has version {version}, and this dxforge knows {VERSION}", where=str(where), hint="Upgrade dxforge"
            )
        if type(version) is not int or version != VERSION:
            raise ValueError("no version")
        packages: dict[str, LockedPackage] = {}
        for item in data.get("package", ()):
            package = _decode_package(item)
            if package.pin.name in packages:
                raise ValueError(f"{package.pin.name} is there twice")
            packages[package.pin.name] = package
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        if "\n<<<<<<< " in text:
            raise LockfileError(
                "it holds conflict markers of a merge",
                where=str(where),
                hint="Take either side whole (`git checkout --ours dx.lock` or `--theirs`), then run `dxforge install`",
            ) from error
        raise LockfileError(
            f"it cannot be read ({type(error).__name__}: {error})",
            where=str(where),
            hint="Restore it from your version control; the files under the packages' folder are untouched",
        ) from error
    return Lock(packages)


def encode_package(package: LockedPackage) -> dict[str, Any]:
    data = _encode_pin(package.pin)
    if package.leaving:
        data["leaving"] = True
    if package.files is not None:
        data["files"] = {escape(path): _encode_entry(entry) for path, entry in sorted(package.files.items())}
    former = {pin.sha256: pin for pin in package.former if any(item.former == pin.sha256 for item in package.pending)}
    if former:
        data["former"] = [_encode_pin(pin) for _, pin in sorted(former.items())]
    if package.pending:
        data["pending"] = [encode_pending(item) for item in sorted(package.pending, key=lambda item: item.path)]
    return data


def _encode_pin(pin: Pin) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for item in dataclasses.fields(pin):
        value = getattr(pin, item.name)
        if isinstance(value, Layout):
            data[item.name] = value.value
        elif isinstance(value, tuple):
            if value:
                data[item.name] = list(value)
        elif item.name == "direct":
            if not value:
                data[item.name] = value
        elif value != "" or item.default is dataclasses.MISSING:
            data[item.name] = value
    data["source"] = data.pop("kind")
    return dict(sorted(data.items(), key=lambda pair: (pair[0] != "name", pair[0] != "version", pair[0])))


def encode_pending(item: PendingFile) -> dict[str, Any]:
    data: dict[str, Any] = {"path": escape(item.path)}
    if item.base is not None:
        data["base"] = _encode_entry(item.base)
    if item.incoming is not None:
        data["incoming"] = _encode_entry(item.incoming)
    if item.former:
        data["former"] = item.former
    if item.new_path is not None:
        data["new_path"] = escape(item.new_path)
    if item.set_aside is not None:
        data["set_aside"] = escape(item.set_aside)
    if item.rejected:
        data["rejected"] = sorted(item.rejected)
    if item.taken:
        data["taken"] = True
    if item.candidates:
        data["candidates"] = [escape(path) for path in item.candidates]
    return data


def _encode_entry(entry: Entry) -> str:
    return f"{entry.mode:o} {entry.oid} {entry.size}"


def _decode_package(data: dict[str, Any]) -> LockedPackage:
    files = data.get("files")
    return LockedPackage(
        pin=_decode_pin(data),
        pending=tuple(_decode_pending(item) for item in data.get("pending", ())),
        former=tuple(_decode_pin({"name": data["name"], **item}) for item in data.get("former", ())),
        files=None if files is None else {_relative(path): _decode_entry(value) for path, value in files.items()},
        leaving=data.get("leaving", False) is True,
    )


def _decode_pin(data: dict[str, Any]) -> Pin:
    values: dict[str, Any] = {}
    for item in dataclasses.fields(Pin):
        key = "source" if item.name == "kind" else item.name
        if key not in data:
            continue
        value = data[key]
        if item.name == "layout":
            value = Layout(value)
        elif item.name == "requires":
            value = tuple(_text(text) for text in value)
        elif item.name == "direct":
            value = bool(value)
        else:
            value = _text(value)
        values[item.name] = value
    pin = Pin(**values)
    if not re.fullmatch(r"[0-9a-f]{64}", pin.sha256):
        raise ValueError(f"{pin.name} has no sha256")
    if not pin.name or "/" in pin.name or "\\" in pin.name or pin.name in (".", ".."):
        raise ValueError(f"{pin.name!r} is no package name")
    return pin


def _decode_pending(data: dict[str, Any]) -> PendingFile:
    return PendingFile(
        path=_relative(data["path"]),
        base=_decode_entry(data["base"]) if "base" in data else None,
        incoming=_decode_entry(data["incoming"]) if "incoming" in data else None,
        former=_text(data.get("former", "")),
        new_path=_relative(data["new_path"]) if "new_path" in data else None,
        set_aside=_relative(data["set_aside"]) if "set_aside" in data else None,
        rejected=tuple(_text(item) for item in data.get("rejected", ())),
        candidates=tuple(_relative(item) for item in data.get("candidates", ())),
        taken=data.get("taken", False) is True,
    )


def _decode_entry(value: Any) -> Entry:
    found = _ENTRY.fullmatch(_text(value))
    if not found:
        raise ValueError(f"{value!r} is no file entry")
    return Entry(int(found[1], 8), found[2], int(found[3]))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _relative(value: Any) -> str:
    path = unescape(_text(value))
    if path.startswith("/") or any(part in ("", ".", "..") for part in path.split("/")):
        raise ValueError(f"{path!r} leads out of its package")
    return path


def escape(path: str) -> str:
    """Undecodable bytes (surrogates) as ``\\udcXX``: TOML has no way to say them, and no name holds a backslash."""
    return re.sub("[\udc80-\udcff]", lambda found: f"\\u{ord(found[0]):04x}", path)


def unescape(path: str) -> str:
    """What :func:`escape` was given."""
    return re.sub(r"\\u(dc[89a-f][0-9a-f])", lambda found: chr(int(found[1], 16)), path)


def archives_in(text: str) -> set[str]:
    """The sha256 of every archive that a text with locks in it names, without reading it fully."""
    return set(re.findall(r"\b[0-9a-f]{64}\b", text))
