"""What lies in a step's outputs, compared with what it wrote. Writes nothing."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator, Mapping, Sequence

from dxforge.build.digests import Digests
from dxforge.build.look import Stamp, cannot_read, kind, stamp
from dxforge.build.record import Row, Rows

IGNORED = frozenset(("__pycache__", ".ipynb_checkpoints"))
"""What Python and Jupyter leave in any folder: no part of an output."""


class Held:
    """One look at a step's outputs: everything at and below them, by path from the project's root."""

    __slots__ = ("files", "folders", "links", "looked_ns", "special")

    def __init__(self) -> None:
        self.looked_ns = time.time_ns()
        self.files: dict[str, Stamp] = {}
        self.folders: dict[str, int] = {}
        """With their permissions."""
        self.links: dict[str, str] = {}
        self.special: dict[str, str] = {}
        """FIFOs, sockets and devices, by kind: these cannot be kept."""


def look_at(root: str, outputs: Sequence[str]) -> Held:
    """Look at ``outputs``; those that are not there are left out.

    Raises:
        BuildError: something is there and cannot be looked at.
    """
    held = Held()
    for path in outputs:
        try:
            _look(root, path, os.lstat(f"{root}/{path}"), held)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise cannot_read(error, path) from error
    return held


def _look(root: str, path: str, status: os.stat_result, held: Held) -> None:
    mode = status.st_mode
    if stat.S_ISREG(mode):
        held.files[path] = stamp(status)
    elif stat.S_ISLNK(mode):
        held.links[path] = os.readlink(f"{root}/{path}")
    elif not stat.S_ISDIR(mode):
        held.special[path] = kind(mode)
    else:
        held.folders[path] = stat.S_IMODE(mode)
        with os.scandir(f"{root}/{path}") as entries:
            for entry in entries:
                if entry.name not in IGNORED:
                    _look(root, f"{path}/{entry.name}", entry.stat(follow_symlinks=False), held)


def read(held: Held, digests: Digests) -> dict[str, Row]:
    """What was found, with contents.

    Raises:
        BuildError: a file cannot be read, or keeps changing.
    """
    rows = {path: Row("dir", mode, "", 0) for path, mode in held.folders.items()}
    for path, current in held.files.items():
        token = digests.token(path, current, held.looked_ns)
        if token is not None:
            rows[path] = Row("file", stat.S_IMODE(current[4]), token[5:], current[3])
    rows.update((path, Row("special", 0, what, 0)) for path, what in held.special.items())
    rows.update((path, Row("link", 0, target, len(os.fsencode(target)))) for path, target in held.links.items())
    return rows


def difference(expected: Rows, held: Held, digests: Digests) -> str:
    """How what was found first differs from ``expected``, in words; empty where it is exactly that.

    Raises:
        BuildError: a file cannot be read.
    """
    # Contents and permissions can only be compared where the same things are there.
    for differences in (_of_names(expected, held), _of_contents(expected, held, digests)):
        for text in differences:
            return text
    return ""


def _of_names(expected: Rows, held: Held) -> Iterator[str]:
    tables: dict[str, Mapping[str, object]] = {
        "file": held.files,
        "dir": held.folders,
        "link": held.links,
        "special": held.special,
    }
    for path, row in expected.items():
        if path not in tables[row.kind]:
            there = any(path in table for table in tables.values())
            yield f"output {path} is something else" if there else f"output {path} is missing"
    for table in tables.values():
        for path in table:
            if path not in expected:
                yield f"{path} was not written by this step"


def _of_contents(expected: Rows, held: Held, digests: Digests) -> Iterator[str]:
    for path, target in held.links.items():
        if target != expected[path].what:
            yield f"output {path} was changed"
    for path, current in held.files.items():
        if current[3] != expected[path].size:
            yield f"output {path} was changed"
            continue
        token = digests.token(path, current, held.looked_ns)
        if token is None or token[5:] != expected[path].what:
            yield f"output {path} was changed"
    modes = {path: stat.S_IMODE(current[4]) for path, current in held.files.items()} | held.folders
    for path, mode in modes.items():
        if mode != expected[path].mode:
            yield f"output {path} has other permissions ({mode:o}, not {expected[path].mode:o})"
