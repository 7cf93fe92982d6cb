"""What an archive holds, once it has been examined: its files, and where their contents lie. Pure.

Kept in the cache beside the archive (``ArchiveStore.save_manifest``) as JSON columns, which load much faster than
objects: 12,000 files in a few hundredths of a second.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import starmap
from types import MappingProxyType

from dxforge.config.model import Limits
from dxforge.store.tree import EXECUTABLE, FILE, SYMLINK, Entry, Tree

RULES = 1
"""Raised whenever what is refused, or how an archive becomes files, changes: older manifests are not believed then."""

STORED, DEFLATED = 0, 8
RATIO_FREE_BYTES = 16 * 1024**2
"""Up to this unpacked size no ratio is suspicious (``Limits.ratio``)."""
_MODES: dict[str, int] = {"f": FILE, "x": EXECUTABLE, "l": SYMLINK}
_LETTERS = {mode: letter for letter, mode in _MODES.items()}


@dataclass(frozen=True, slots=True)
class Place:
    """Where one file's bytes lie.

    ``offset`` is where they begin: in the file for a zip, in the unpacked stream for a tar. ``packed`` is how many
    bytes they take in a zip, ``method`` how they are packed there. ``target`` is a tar's symlink target, whose bytes
    lie nowhere else. Positional: there are tens of thousands of them.
    """

    offset: int
    packed: int = 0
    method: int = STORED
    target: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """What ``Limits`` are held against; of the whole archive, with what does not travel."""

    entries: int
    total_bytes: int
    archive_bytes: int
    longest_path: int
    longest_name: int

    def within(self, limits: Limits) -> bool:
        """Whether an archive of these sizes is accepted under ``limits``."""
        return (
            self.entries <= limits.entries
            and self.total_bytes <= limits.total_bytes
            and (self.total_bytes <= RATIO_FREE_BYTES or self.total_bytes <= limits.ratio * self.archive_bytes)
            and self.longest_path <= limits.path_bytes
            and self.longest_name <= limits.name_bytes
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """An examined archive: its files in the archive's order, and for each where its bytes lie.

    ``container`` is "zip", "tar", "tar.gz", "tar.bz2" or "tar.xz". ``offsets``, ``packed`` and ``methods`` are in
    the order of ``tree``; see :class:`Place`.
    """

    container: str
    sizes: Sizes
    tree: Tree
    offsets: Sequence[int]
    packed: Sequence[int]
    methods: Sequence[int]
    targets: Mapping[str, str]


def manifest_of(container: str, sizes: Sizes, files: Mapping[str, tuple[Entry, Place]]) -> Manifest:
    """A manifest of ``files``."""
    places = [place for _, place in files.values()]
    return Manifest(
        container=container,
        sizes=sizes,
        tree=MappingProxyType({path: entry for path, (entry, _) in files.items()}),
        offsets=[place.offset for place in places],
        packed=[place.packed for place in places],
        methods=[place.method for place in places],
        targets={path: place.target for path, (_, place) in files.items() if place.target is not None},
    )


def dumps(manifest: Manifest) -> bytes:
    """``manifest`` as bytes."""
    entries = manifest.tree.values()
    sizes = manifest.sizes
    data = {
        "rules": RULES,
        "container": manifest.container,
        "entries": sizes.entries,
        "total_bytes": sizes.total_bytes,
        "archive_bytes": sizes.archive_bytes,
        "longest_path": sizes.longest_path,
        "longest_name": sizes.longest_name,
        "paths": list(manifest.tree),
        "modes": "".join(_LETTERS[entry.mode] for entry in entries),
        "oids": "".join(entry.oid for entry in entries),
        "sizes": [entry.size for entry in entries],
        "offsets": list(manifest.offsets),
        "packed": list(manifest.packed),
        "methods": list(manifest.methods),
        "targets": dict(manifest.targets),
    }
    return json.dumps(data, separators=(",", ":")).encode("ascii")


def loads(body: bytes) -> Manifest | None:
    """What :func:`dumps` wrote; None where it was written under other rules, or is something else."""
    try:
        data = json.loads(body)
        if data["rules"] != RULES:
            return None
        paths, oids = data["paths"], data["oids"]
        modes = [_MODES[letter] for letter in data["modes"]]
        ids = [oids[at : at + 40] for at in range(0, len(oids), 40)]
        tree = dict(zip(paths, starmap(Entry, zip(modes, ids, data["sizes"], strict=True)), strict=True))
        columns = data["offsets"], data["packed"], data["methods"]
        if len(oids) != 40 * len(tree) or any(len(column) != len(tree) for column in columns):
            return None
        return Manifest(
            container=data["container"],
            sizes=Sizes(
                entries=data["entries"],
                total_bytes=data["total_bytes"],
                archive_bytes=data["archive_bytes"],
                longest_path=data["longest_path"],
                longest_name=data["longest_name"],
            ),
            tree=MappingProxyType(tree),
            offsets=columns[0],
            packed=columns[1],
            methods=columns[2],
            targets=data["targets"],
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
