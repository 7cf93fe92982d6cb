"""What passes between the sources and the traffic light."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
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
    dxforge packs), 64 hex digits. ``commit`` is git's only. ``dependencies`` are the names of the packages in the lock
    that this one pulled in (``with_dependencies``); ``direct`` is False for those that were only pulled in.
    """

    name: str
    kind: str
    ref: str
    version: str
    filename: str
    sha256: str
    layout: Layout
    commit: str = ""
    subdir: str = ""
    requires: tuple[str, ...] = ()
    direct: bool = True


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
