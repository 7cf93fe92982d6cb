"""What a package's files are: names, modes and contents, without the contents themselves."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Mode = Literal[0o100644, 0o100755, 0o120000]
FILE: Mode = 0o100644
EXECUTABLE: Mode = 0o100755
SYMLINK: Mode = 0o120000


@dataclass(frozen=True, slots=True)
class Entry:
    """One file: git's mode, git's blob id (40 hex digits) of its content, and its size in bytes.

    A symlink's content is its target. Positional, unlike our other data: there are tens of thousands of them.
    """

    mode: int
    oid: str
    size: int


Tree = Mapping[str, Entry]
"""Relative path with ``/`` (surrogateescape for undecodable names) -> entry. Folders exist only through files."""


def blob_oid(content: bytes) -> str:
    """Git's id of ``content`` as a blob: SHA-1 over ``blob <size>\\0<content>``, 40 hex digits."""
    digest = hashlib.sha1(b"blob %d\0" % len(content), usedforsecurity=False)
    digest.update(content)
    return digest.hexdigest()


def travels(path: str) -> bool:
    """Whether a file at ``path`` is part of a package (contract: some names never travel)."""
    if path.endswith(".pyc"):
        return False
    parts = path.split("/")
    return not any(part in _NEVER for part in parts)


_NEVER = frozenset({".git", "__pycache__", ".ipynb_checkpoints"})
