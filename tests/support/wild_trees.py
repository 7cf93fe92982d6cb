"""Trees with every kind of name and thing in them, for hypothesis, and a look at a tree that sees all of it."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hypothesis import strategies as st

# Few, so that two trees often have different things at one path.
NAMES = (
    b"a",
    b"b",
    b"a.txt",
    b".hidden",
    b"-dash",
    b"new\nline",
    b"\xff\xfe",
    "é".encode(),
    b"sp ace ",
    b"\\back",
    b"*[x]?",
    b"~",
    b"CON",
    b"dx.toml",
    b"git",
    b"x" * 200,
)


@dataclass(frozen=True)
class File:
    """A file."""

    content: bytes
    executable: bool = False


@dataclass(frozen=True)
class Link:
    """A symlink."""

    target: bytes


Node = File | Link | Mapping[bytes, "Node"]
"""A mapping is a folder."""
Tree = Mapping[bytes, Node]

CONTENTS = st.one_of(
    st.sampled_from([b"", b"a\n", b"b\n", b"a\nb\nc\n", b"\0", b"\r\n", b"\xff" * 3]), st.binary(max_size=40)
)
FILES = st.builds(File, CONTENTS, st.booleans())
LINKS = st.builds(Link, st.sampled_from([b"a", b"..", b"nowhere", b"/", b".", b"b/a", b"\xff\xfe"]))
NODES: st.SearchStrategy[Node] = st.recursive(
    st.one_of(FILES, FILES, LINKS, st.just({})),
    lambda inner: st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=12,
)
TREES: st.SearchStrategy[Tree] = st.dictionaries(st.sampled_from(NAMES), NODES, max_size=6)


def lay_out(root: Path, tree: Tree) -> None:
    """Write ``tree`` into the folder ``root``."""
    for name, node in tree.items():
        path = os.path.join(os.fsencode(root), name)
        if isinstance(node, File):
            with open(path, "wb") as stream:
                stream.write(node.content)
            os.chmod(path, 0o755 if node.executable else 0o644)
        elif isinstance(node, Link):
            os.symlink(node.target, path)
        else:
            os.mkdir(path)
            lay_out(Path(os.fsdecode(path)), node)


def clear(root: Path) -> None:
    """Remove everything in ``root`` but ``.dx``."""
    for entry in os.scandir(root):
        if entry.name != ".dx":
            shutil.rmtree(entry.path) if entry.is_dir(follow_symlinks=False) else os.unlink(entry.path)


def photograph(root: Path, *, without: tuple[str, ...] = (".dx", ".git")) -> dict[str, tuple[str, bytes]]:
    """Everything below ``root`` but the top entries ``without``: kind (with the executable bit) and content."""
    found: dict[str, tuple[str, bytes]] = {}
    stack = [""]
    while stack:
        prefix = stack.pop()
        for entry in os.scandir(root / prefix if prefix else root):
            path = prefix + entry.name
            if path in without:
                continue
            mode = entry.stat(follow_symlinks=False).st_mode
            if stat.S_ISDIR(mode):
                found[path] = ("folder", b"")
                stack.append(f"{path}/")
            elif stat.S_ISLNK(mode):
                found[path] = ("link", os.fsencode(os.readlink(entry.path)))
            elif stat.S_ISREG(mode):
                content = Path(entry.path).read_bytes()
                found[path] = ("program" if mode & stat.S_IXUSR else "file", content)
            else:
                found[path] = ("special", b"")
    return found


GIT_ENV = {
    "PATH": os.environ.get("PATH", ""),
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "LC_ALL": "C",
}


def git(*arguments: str | bytes, cwd: Path, stdin: bytes = b"") -> bytes:
    """Run git without any configuration; returns its standard output."""
    done = subprocess.run(["git", *arguments], cwd=cwd, env=GIT_ENV, check=True, capture_output=True, input=stdin)
    return done.stdout


def fsck(folder: Path) -> str:
    """What ``git fsck --strict`` complains about in a repository; "" where it is whole."""
    done = subprocess.run(
        ["git", "fsck", "--strict", "--full", "--no-dangling", "--no-progress"],
        cwd=folder,
        env=GIT_ENV,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr if done.returncode else ""
