"""``dx.lock``'s text, read and written without doing again what the last time did: it may list 10,000 files."""

from __future__ import annotations

import dataclasses
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
_MAYBE_SHORT = 200
_Head = tuple[Pin, tuple[Pin, ...], bool, Tree | None]


@dataclasses.dataclass(frozen=True, slots=True)
class _Block:
    """A pending file as a table; ``short``: tomli-w would write it as one of an array, were all of them short."""

    item: PendingFile
    text: str
    short: bool


class LockTexts:
    """The same as ``loads`` and ``dumps`` of ``lock.py``, byte for byte, for one project's ever same lock."""

    def __init__(self) -> None:
        self._read: tuple[tuple[str, Lock], ...] = ()
        self._heads: dict[str, tuple[_Head, str]] = {}
        self._blocks: dict[str, dict[str, _Block]] = {}

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
        packages = {name: _ordered(package) for name, package in sorted(lock.packages.items())}
        parts = [self._package(name, package) for name, package in packages.items()]
        text = HEADER + "\n".join([f"version = {VERSION}\n", *parts])
        self._remember(text, Lock(packages))
        return text

    def _remember(self, text: str, lock: Lock) -> None:
        self._read = ((text, lock), *self._read)[:_TEXTS]

    def _package(self, name: str, package: LockedPackage) -> str:
        import tomli_w

        before = self._blocks.get(name, {})
        blocks = {item.path: _block(item, before.get(item.path)) for item in package.pending}
        self._blocks[name] = blocks
        if blocks and all(block.short for block in blocks.values()):
            return tomli_w.dumps({"package": [encode_package(package)]})
        head: _Head = (package.pin, package.former, package.leaving, package.files)
        known = self._heads.get(name)
        # A path package lists all its files, so this is worth being remembered; the same list is the same object.
        if known is None or known[0][:3] != head[:3] or known[0][3] is not head[3]:
            alone = encode_package(package)
            alone.pop("pending", None)
            known = self._heads[name] = (head, tomli_w.dumps({"package": [alone]}))
        return "".join([known[1], *(block.text for block in blocks.values())])


def _block(item: PendingFile, known: _Block | None) -> _Block:
    import tomli_w

    if known is not None and known.item == item:
        return known
    data = encode_pending(item)
    body = tomli_w.dumps(data)
    # tomli-w writes tables of up to about 100 characters within brackets; it is asked where it may.
    short = len(body) < _MAYBE_SHORT and not tomli_w.dumps({"x": [data]}).startswith("[[x]]\n")
    return _Block(item, f"\n[[package.pending]]\n{body}", short)


def _ordered(package: LockedPackage) -> LockedPackage:
    """The package as reading its text gives it back."""
    pending = tuple(sorted(package.pending, key=lambda item: item.path))
    if any(tuple(sorted(item.rejected)) != item.rejected for item in pending):
        pending = tuple(dataclasses.replace(item, rejected=tuple(sorted(item.rejected))) for item in pending)
    wanted = {item.former for item in pending}
    former = {pin.sha256: pin for pin in package.former if pin.sha256 in wanted}
    return dataclasses.replace(package, pending=pending, former=tuple(former[key] for key in sorted(former)))
