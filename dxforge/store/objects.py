"""Git's objects as bytes: ids, trees, commits. Pure; the files that hold them are ``pack.py``'s.

Source: git's ``Documentation/gitformat-pack.txt`` and ``git-mktree(1)``. libgit2 writes them too, one file and one call
at a time, which is what makes a first snapshot slow.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Literal

Kind = Literal["commit", "tree", "blob"]
TREE_MODE = 0o040000
EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
IS_OID = re.compile(r"[0-9a-f]{40}")
_IDENTITY = b"dxforge <dxforge@localhost>"
_MODES = frozenset({TREE_MODE, 0o100644, 0o100755, 0o120000})

TreeItem = tuple[bytes, int, str]
"""Name, mode, id."""


def object_oid(kind: str, data: bytes) -> str:
    """Git's id of an object: SHA-1 over ``<kind> <size>\\0<data>``, 40 hex digits."""
    digest = hashlib.sha1(f"{kind} {len(data)}\0".encode(), usedforsecurity=False)
    digest.update(data)
    return digest.hexdigest()


def encode_tree(items: Iterable[TreeItem]) -> bytes:
    """A tree's bytes, in git's order: folders sort as if their names ended in a slash."""
    ordered = sorted(items, key=lambda item: item[0] + b"/" if item[1] == TREE_MODE else item[0])
    return b"".join([b"%o %b\0%b" % (mode, name, bytes.fromhex(oid)) for name, mode, oid in ordered])


def parse_tree(data: bytes) -> list[TreeItem]:
    """What a tree holds.

    Raises:
        ValueError: it is no tree, or has a mode or a name that a snapshot cannot have.
    """
    items: list[TreeItem] = []
    names: set[bytes] = set()
    position = 0
    while position < len(data):
        space = data.index(b" ", position)
        end = data.index(b"\0", space)
        mode, name, oid = int(data[position:space], 8), data[space + 1 : end], data[end + 1 : end + 21]
        if len(oid) != 20 or mode not in _MODES:
            raise ValueError(f"an entry of mode {mode:o}")
        if not name or b"/" in name or name in {b".", b".."} or reserved(name):
            raise ValueError(f"an entry named {name!r}")
        if name in names:
            raise ValueError(f"two entries named {name!r}")
        names.add(name)
        items.append((name, mode, oid.hex()))
        position = end + 21
    return items


def reserved(name: bytes) -> bool:
    """Whether a name is git's or dxforge's own, in any case: file systems exist where the case does not matter."""
    return name.lower() in {b".git", b".dx"}


def encode_commit(tree: str, *, seconds: int, message: bytes) -> bytes:
    """A commit without parents: a snapshot must not keep the one before it from being forgotten.

    Args:
        tree: its id.
        seconds: since the epoch, UTC.
        message: without NUL.
    """
    who = b"%b %d +0000" % (_IDENTITY, seconds)
    return b"tree %b\nauthor %b\ncommitter %b\n\n%b" % (tree.encode(), who, who, message)


def parse_commit(data: bytes) -> tuple[str, bytes]:
    """A commit's tree and message.

    Raises:
        ValueError: it is no commit.
    """
    head, separator, message = data.partition(b"\n\n")
    tree = head.split(b"\n")[0].removeprefix(b"tree ").decode("ascii", "replace")
    if not separator or not IS_OID.fullmatch(tree):
        raise ValueError("no commit")
    return tree, message


def children(kind: str, data: bytes) -> list[tuple[str, str]]:
    """The id and kind ("" where it has to be looked at) of each object that one needs; also of objects not ours.

    Raises:
        ValueError: it is not of that kind.
    """
    if kind == "tree":
        found = []
        position = 0
        while position < len(data):
            space, end = data.index(b" ", position), data.index(b"\0", position)
            mode, oid = data[position:space], data[end + 1 : end + 21].hex()
            if mode != b"160000":  # another repository's commit
                found.append((oid, "tree" if mode == b"40000" else "blob"))
            position = end + 21
        return found
    if kind == "commit":
        lines = data.partition(b"\n\n")[0].split(b"\n")
        wanted = {b"tree": "tree", b"parent": "commit"}
        pairs = (line.split(b" ", 1) for line in lines)
        return [(pair[1].decode("ascii"), wanted[pair[0]]) for pair in pairs if len(pair) == 2 and pair[0] in wanted]
    if kind == "tag":
        return [(data.split(b"\n")[0].removeprefix(b"object ").decode("ascii"), "")]
    return []
