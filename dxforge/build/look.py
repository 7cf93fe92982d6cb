"""One walk through the project that finds the inputs of all steps. Opens no file."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterable, Sequence

from dxforge.build.globs import NEVER, Globs, State
from dxforge.build.graph import inside
from dxforge.errors import BuildError

Stamp = tuple[int, int, int, int, int]
"""st_mtime_ns, st_ctime_ns, st_ino, st_size, st_mode: what is the same while a file is not touched."""


class Found:
    """What was found of one step's inputs, by path from the project's root.

    ``looked_ns`` is the time before the first stamp was taken.
    """

    __slots__ = ("files", "links", "looked_ns", "special")

    def __init__(self, looked_ns: int) -> None:
        self.files: dict[str, Stamp] = {}
        self.links: dict[str, str] = {}
        """Symlinks with their targets."""
        self.special: dict[str, str] = {}
        """What is neither file, folder nor symlink, by kind. Never opened: a FIFO would hang."""
        self.looked_ns = looked_ns

    def __len__(self) -> int:
        return len(self.files) + len(self.links) + len(self.special)


def stamp(status: os.stat_result) -> Stamp:
    """The stamp in a file's status."""
    return (status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_size, status.st_mode)


def kind(mode: int) -> str:
    """What a special file is."""
    for name, test in (("fifo", stat.S_ISFIFO), ("socket", stat.S_ISSOCK)):
        if test(mode):
            return name
    return "device"


def cannot_read(error: OSError, path: str) -> BuildError:
    """An ``OSError`` on the way to an input or output, as the user should read it."""
    return BuildError(
        f"it cannot be read: {(error.strerror or str(error)).lower()}",
        where=path,
        hint=f'Give yourself permission (chmod u+r); an input can also be taken out of the inputs with "!{path}"',
    )


class Look:
    """What one walk found of the inputs of all steps (see `look`)."""

    __slots__ = ("_root", "found", "seen")

    def __init__(self, root: str, count: int) -> None:
        self._root = root
        looked_ns = time.time_ns()
        self.found = [Found(looked_ns) for _ in range(count)]
        self.seen: set[State] = set()

    @property
    def matched(self) -> set[int]:
        """The globs that match something, by number."""
        return {number for state in self.seen for number in state.matched}

    def walk(self, top: str, start: State) -> None:
        """Look below ``top`` ("" or a folder with a ``/`` at its end), where ``start`` is the state.

        Raises:
            BuildError: a folder cannot be read.
        """
        stack = [(top, start)]
        while stack:
            prefix, state = stack.pop()
            names = state.names
            try:
                folders = self._list(prefix, state) if names is None else self._pick(prefix, state, names)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                raise cannot_read(error, prefix.rstrip("/") or ".") from error
            for name in folders:
                below = state.enter_folder(name)
                if below.possible:
                    stack.append((f"{prefix}{name}/", below))

    def _list(self, prefix: str, state: State) -> list[str]:
        """Note the inputs in one folder; returns the names of its folders."""
        folders = []
        enter, uniform, seen, found = state.enter, state.uniform, self.seen, self.found
        with os.scandir(f"{self._root}/{prefix}") as entries:
            for entry in entries:
                name = entry.name
                if name in NEVER:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    folders.append(name)
                    continue
                at = uniform or enter(name)
                if not at.possible or name.endswith(".pyc"):
                    continue
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                mode = status.st_mode
                if not stat.S_ISREG(mode):
                    self._note(prefix + name, mode, at, state.enter_folder(name))
                elif at.owners:
                    current = (status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_size, mode)
                    seen.add(at)
                    for owner in at.owners:
                        found[owner].files[prefix + name] = current
        return folders

    def _pick(self, prefix: str, state: State, names: Iterable[str]) -> list[str]:
        """As `_list`, where only these names can matter: the folder may hold any number of others."""
        folders = []
        for name in names:
            try:
                status = os.lstat(f"{self._root}/{prefix}{name}")
            except (FileNotFoundError, NotADirectoryError):
                continue
            at = state.enter(name)
            if stat.S_ISDIR(status.st_mode):
                if name not in NEVER:
                    folders.append(name)
            elif name in NEVER or name.endswith(".pyc"):
                continue
            elif not stat.S_ISREG(status.st_mode):
                self._note(prefix + name, status.st_mode, at, state.enter_folder(name))
            elif at.owners:
                self.seen.add(at)
                for owner in at.owners:
                    self.found[owner].files[prefix + name] = stamp(status)
        return folders

    def _note(self, path: str, mode: int, at: State, below: State) -> None:
        """Note a symlink or a special file."""
        if not stat.S_ISLNK(mode):
            self.seen.add(at)
            for owner in at.owners:
                self.found[owner].special[path] = kind(mode)
            return
        full = f"{self._root}/{path}"
        try:
            target = os.readlink(full)
        except OSError:
            return
        # A glob may go on behind a symlinked folder.
        state = below if os.path.isdir(full) else at
        self.seen.add(state)
        for owner in state.possible if state is below else state.owners:
            self.found[owner].links[path] = target


def look(root: str, globs: Globs, count: int, *, without: Sequence[Sequence[str]]) -> Look:
    """Find the inputs of ``count`` steps.

    Args:
        root: the project's folder.
        globs: the inputs of all steps; the owners are numbered below ``count``.
        count: how many steps there are.
        without: per step, the paths of its outputs; what a symlinked folder leads to is not looked for there.

    Raises:
        BuildError: a folder on the way cannot be read.
    """
    result = Look(root, count)
    if globs.start.possible:
        result.walk("", globs.start)
    for owner, mine in enumerate(result.found):
        if mine.links:
            _follow(root, mine, without[owner])
    return result


def _follow(root: str, mine: Found, without: Sequence[str]) -> None:
    """Add what lies in folders of this project that the step's symlinks lead to, each under its own path.

    Under its own, since folders that link to each other (pnpm's do) would give endlessly many others.
    """
    real_root = os.path.realpath(root)
    done: set[str] = set()
    left = list(mine.links)
    while left:
        real = os.path.realpath(f"{root}/{left.pop()}")
        if not real.startswith(real_root + os.sep) or not os.path.isdir(real):
            continue
        relative = real[len(real_root) + 1 :].replace(os.sep, "/")
        if relative in done or NEVER & set(relative.split("/")):
            continue
        done.add(relative)
        more = Look(root, 1)
        more.walk(f"{relative}/", Globs([["**"]]).start)
        for name in ("files", "links", "special"):
            known, new = getattr(mine, name), getattr(more.found[0], name)
            added = [path for path in new if path not in known and not any(inside(path, output) for output in without)]
            known.update({path: new[path] for path in added})
            if name == "links":
                left += added
