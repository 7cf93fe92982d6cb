"""Which Python files and notebooks a project has: not what git would ignore, nor environments and caches."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from dxforge.background.reader import Stamp, stamp_of
from dxforge.config.model import Config
from dxforge.store.ignore import Ignore

_SUFFIXES = (b".py", b".ipynb")
_NEVER = frozenset({b"__pycache__", b"node_modules", b"site-packages"})


@dataclass(slots=True)
class Files:
    """What there is: the stamp of each file by its path from the root, with ``/``, and folders that cannot be read."""

    stamps: dict[str, Stamp] = field(default_factory=dict)
    problems: list[tuple[str, str]] = field(default_factory=list)


def find_files(config: Config, check: Callable[[], None] = lambda: None) -> Files:
    """Go through the project.

    Hidden folders, environments and what ``.gitignore`` or ``[analyze] exclude`` name are left out; links are not
    followed. The ``.gitignore`` of an injected package is for its own authors, and says nothing here.
    """
    found = Files()
    root = os.fsencode(config.root)
    packages = os.fsencode(config.packages_dir) + b"/"
    excluded = "\n".join(config.analyze.exclude).encode("utf-8", "surrogateescape")
    extra = Ignore(folder=b"", read=lambda: excluded)
    stack: list[tuple[bytes, Ignore | None]] = [(b"", None)]
    while stack:
        check()
        path, ignore = stack.pop()
        try:
            with os.scandir(os.path.join(root, path)) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            if path:
                reason = (error.strerror or str(error)).lower()
                found.problems.append((os.fsdecode(path.rstrip(b"/")), f"it cannot be read: {reason}"))
            continue
        names = {entry.name for entry in entries}
        if path and b"pyvenv.cfg" in names:
            continue
        injected = path.startswith(packages)
        if b".gitignore" in names and not injected:
            ignore = Ignore(folder=path, read=_reads(os.path.join(root, path, b".gitignore")), above=ignore)
        folders = []
        for entry in entries:
            name, folder = entry.name, entry.is_dir(follow_symlinks=False)
            inner = path + name
            if folder:
                if name.startswith(b".") or name in _NEVER:
                    continue
            elif not name.endswith(_SUFFIXES):
                continue
            # What was injected is looked at even where the project does not keep it in git.
            wanted = (inner + b"/").startswith(packages) or not (
                ignore is not None and ignore.ignores(inner, name, folder=folder)
            )
            if not wanted or extra.ignores(inner, name, folder=folder):
                continue
            if folder:
                folders.append((inner + b"/", ignore))
            else:
                _take(entry, inner, found)
        stack.extend(reversed(folders))
    return found


def _take(entry: os.DirEntry[bytes], path: bytes, found: Files) -> None:
    try:
        status = entry.stat(follow_symlinks=False)
    except OSError:
        return  # gone meanwhile
    if stat.S_ISREG(status.st_mode):  # a pipe would never end, and a link's target is found where it is
        found.stamps[os.fsdecode(path)] = stamp_of(status)


def _reads(path: bytes) -> Callable[[], bytes | None]:
    def read() -> bytes | None:
        try:
            return Path(os.fsdecode(path)).read_bytes()
        except OSError:
            return None

    return read
