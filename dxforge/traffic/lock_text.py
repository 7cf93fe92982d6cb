"""``dx.lock``'s text, read and written without doing again what the last time did: it may list 10,000 files."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from dxforge.sources.model import Pin
from dxforge.store.tree import Tree
from dxforge.traffic.lock import (
    HEADER,
    VERSION,
    Lock,
    LockedPackage,
    PendingFile,
    encode_package,
    encode_pending,
    loads,
)

_TEXTS = 3
_Head = tuple[Pin, tuple[Pin, ...], bool, Tree | None]


class LockTexts:
    """The same as ``loads`` and ``dumps`` of ``lock.py``, byte for byte, for one project's ever same lock."""

    def __init__(self) -> None:
        self._read: tuple[tuple[str, Lock], ...] = ()
        self._heads: dict[str, tuple[_Head, str]] = {}
        self._items: dict[PendingFile, tuple[str, bool]] = {}

    def loads(self, text: str | None, *, where: Path | str = "dx.lock") -> Lock:
        """Read a lock's text; see :func:`dxforge.traffic.lock.loads`."""
        known = next((lock for seen, lock in self._read if seen == text), None)
        if known is None:
            known = loads(text, where=where)
            if text is not None:
                self._remember(text, known)
        return known

    def dumps(self, lock: Lock) -> str | None:
        """A lock's text; see :func:`dxforge.traffic.lock.dumps`."""
        if not lock.packages:
            return None
        used: dict[PendingFile, tuple[str, bool]] = {}
        packages = {name: _ordered(package) for name, package in sorted(lock.packages.items())}
        parts = [self._package(package, used) for package in packages.values()]
        self._items = used
        text = HEADER + "\n".join([f"version = {VERSION}\n", *parts])
        self._remember(text, Lock(packages))
        return text

    def _remember(self, text: str, lock: Lock) -> None:
        self._read = ((text, lock), *self._read)[:_TEXTS]

    def _package(self, package: LockedPackage, used: dict[PendingFile, tuple[str, bool]]) -> str:
        import tomli_w

        blocks = self._blocks(package.pending, used)
        if blocks is None:
            return tomli_w.dumps({"package": [encode_package(package)]})
        head: _Head = (package.pin, package.former, package.leaving, package.files)
        known = self._heads.get(package.pin.name)
        # A path package lists all its files, so this is worth being remembered; the same list is the same object.
        if known is None or known[0][:3] != head[:3] or known[0][3] is not head[3]:
            alone = encode_package(package)
            alone.pop("pending", None)
            known = self._heads[package.pin.name] = (head, tomli_w.dumps({"package": [alone]}))
        return "".join([known[1], *blocks])

    def _blocks(self, items: Sequence[PendingFile], used: dict[PendingFile, tuple[str, bool]]) -> list[str] | None:
        """A table for each item; None where tomli-w would write them as one array, since all are short."""
        import tomli_w

        for item in items:
            known = self._items.get(item)
            if known is None:
                data = encode_pending(item)
                short = not tomli_w.dumps({"x": [data]}).startswith("[[x]]\n")
                known = f"\n[[package.pending]]\n{tomli_w.dumps(data)}", short
            used[item] = known
        return None if items and all(used[item][1] for item in items) else [used[item][0] for item in items]


def _ordered(package: LockedPackage) -> LockedPackage:
    """The package as reading its text gives it back."""
    pending = tuple(sorted(package.pending, key=lambda item: item.path))
    if any(tuple(sorted(item.rejected)) != item.rejected for item in pending):
        pending = tuple(dataclasses.replace(item, rejected=tuple(sorted(item.rejected))) for item in pending)
    wanted = {item.former for item in pending}
    former = {pin.sha256: pin for pin in package.former if pin.sha256 in wanted}
    return dataclasses.replace(package, pending=pending, former=tuple(former[key] for key in sorted(former)))
