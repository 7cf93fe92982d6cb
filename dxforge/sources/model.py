"""What passes between the sources and the traffic light."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, fields
from enum import Enum
from typing import Protocol

from dxforge.store.tree import Tree


class Layout(Enum):
    """How an archive's entries become a package's files."""

    AS_IS = "as-is"
    """A wheel, or a folder packed by us: the contents as they are."""
    TOP_FOLDER = "top-folder"
    """The contents of the one top folder where there is just one (sdists, zips), else as they are."""
    NPM = "npm"
    """The contents of ``package/`` (or of the one top folder, as npm itself does)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """One exact archive of a package: what ``dx.lock`` records. Holds no address.

    ``kind`` is "pypi", "npm", "path", "git" or "url"; ``ref`` the identity within it (project name, npm name, path or
    git URL as written, URL). ``sha256`` is that of the archive (for folders and git: of the deterministic tar that
    dxforge packs), 64 hex digits. ``commit`` (the full id) and ``rev`` (as asked for) are git's only. ``requires`` are
    the names of the packages in the lock that this one needs (``with_dependencies``), in order; ``direct`` is False for
    those that were only pulled in.
    """

    name: str
    kind: str
    ref: str
    version: str
    filename: str
    sha256: str
    layout: Layout
    commit: str = ""
    rev: str = ""
    subdir: str = ""
    requires: tuple[str, ...] = ()
    direct: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """What a source offers for a package: one archive, perhaps not downloaded yet.

    The fields of :class:`Pin` mean the same; ``sha256`` is "" where the source does not tell it. ``location`` is where
    to download it, without credentials; "" where it has to be looked up again, or is in the cache. ``digests`` are
    other hashes that were promised, as (algorithm of hashlib, hex digits). ``requires_python`` and ``yanked`` are the
    Python index's.
    """

    name: str
    kind: str
    ref: str
    version: str
    filename: str
    layout: Layout
    sha256: str = ""
    commit: str = ""
    rev: str = ""
    subdir: str = ""
    requires: tuple[str, ...] = ()
    direct: bool = True
    location: str = ""
    digests: tuple[tuple[str, str], ...] = ()
    size_bytes: int | None = None
    requires_python: str = ""
    yanked: bool = False

    def pin(self) -> Pin:
        """What the lock records of it, once its sha256 is known."""
        assert self.sha256, "a candidate is pinned after it was obtained"  # noqa: S101 - a caller's mistake
        return Pin(**{item.name: getattr(self, item.name) for item in fields(Pin)})

    @classmethod
    def of(cls, pin: Pin) -> Candidate:
        """The candidate that the lock already names."""
        return cls(**{item.name: getattr(pin, item.name) for item in fields(pin)})

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


class Package(Protocol):
    """A verified archive at hand: its pin, its files, and a way to read them."""

    @property
    def pin(self) -> Pin:
        """Which archive this is."""

    @property
    def tree(self) -> Tree:
        """Its files as they will lie in the package's folder."""

    def read(self, paths: Collection[str] | None = None) -> Iterator[tuple[str, bytes]]:
        """Contents of ``paths`` (None: of every file), in the archive's order; each is checked against ``tree``."""
