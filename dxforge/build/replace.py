"""Emptying a step's outputs, and putting a kept result in their place.

An output is a whole: it is exchanged or taken away in one step of the kernel, so at any moment the old one or the new
one is there. What was taken away then lies in ``.dx/build/staging/<step>/swap``, out of everyone's reach, and is sorted
there: what a step wrote goes, what it did not write is put aside in ``.dx/build/replaced/<time>``. A build that is
killed in between leaves that to the next one (`repair`).

Outputs on another file system than ``.dx`` cannot be exchanged: those are emptied and filled file by file.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import os
import shutil
import stat
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from dxforge.build.cache import Cache
from dxforge.build.digests import Digests
from dxforge.build.look import kind, stamp
from dxforge.build.outputs import IGNORED
from dxforge.build.record import Row, Rows
from dxforge.errors import BuildPlanError
from dxforge.files import exchange, move_new, safe_join

_ELSEWHERE = (errno.EXDEV, errno.EBUSY)
"""Another file system, or the output is itself a mount point."""


Aside = dict[str, Path]
"""What was put aside: path from the project's root -> where it is now."""


class StagingError(Exception):
    """Nothing can be written or moved to ``.dx/build``."""


class Outputs:
    """Changes the outputs of steps. Only under the build's lock; from several threads for several steps.

    Args:
        root: the project's folder.
        folder: ``.dx/build``.
        digests: knows what lies in outputs that nobody touched.
        time_name: names the folder in ``replaced`` that things are put aside in.
    """

    def __init__(self, root: str, folder: Path, digests: Digests, *, time_name: str) -> None:
        self._root = root
        self._staging = folder / "staging"
        self._replaced = folder / "replaced"
        self._time_name = time_name
        self._digests = digests

    def clear(self, step_id: str, outputs: Sequence[str], known: Sequence[Rows]) -> Aside:
        """Empty a step's outputs before it runs, and make the folders that they are to lie in.

        Args:
            step_id: the step.
            outputs: its outputs.
            known: what steps wrote there before; anything else is put aside.

        Raises:
            StagingError: nothing can be moved to ``.dx/build``; nothing was changed.
            WriteError: an output lies behind a symlink.
            OSError: the file system refuses.
        """
        targets = [safe_join(Path(self._root), path) for path in outputs]
        swap = self._slot(step_id, outputs, known)
        for number, target in enumerate(targets):
            target.parent.mkdir(parents=True, exist_ok=True)
            if os.path.lexists(target):
                self._take(target, swap / str(number))
        return self._sort_out(step_id, outputs, known)

    def restore(self, step_id: str, outputs: Sequence[str], rows: Rows, known: Sequence[Rows], cache: Cache) -> Aside:
        """Make a step's outputs exactly ``rows``; everything else as `clear`.

        Raises:
            DamagedError: the cache lacks a content; nothing was changed.
            StagingError, WriteError, OSError: as `clear`.
        """
        targets = [safe_join(Path(self._root), path) for path in outputs]
        known = [*known, rows]
        folder = self._staging / step_id
        try:
            (folder / "new").mkdir(parents=True)
            for number, path in enumerate(outputs):
                _stage(folder / "new" / str(number), path, rows, cache)
        except BaseException as error:
            # Only this: what a killed build left may still lie beside it.
            with contextlib.suppress(OSError):
                _remove(folder / "new")
                folder.rmdir()
            if isinstance(error, OSError):
                raise StagingError(str(error)) from error
            raise
        swap = self._slot(step_id, outputs, known)
        for number, (path, target) in enumerate(zip(outputs, targets, strict=True)):
            if path in rows:
                target.parent.mkdir(parents=True, exist_ok=True)
                self._put(swap / str(number), target)
                if rows[path].kind == "dir":
                    # Only now: a folder that may not be written cannot be moved to another one.
                    target.chmod(rows[path].mode)
            elif os.path.lexists(target):
                self._take(target, swap / str(number))
        return self._sort_out(step_id, outputs, known)

    def clear_in_place(self, outputs: Sequence[str], known: Sequence[Rows]) -> None:
        """Where nothing can be moved to ``.dx/build``: remove what steps wrote, and leave everything else.

        Raises:
            OSError: the file system refuses.
        """
        for path in outputs:
            target = safe_join(Path(self._root), path)
            target.parent.mkdir(parents=True, exist_ok=True)
            if os.path.lexists(target):
                for name, file in _things(target, path):
                    if any(self._is(file, name, rows.get(name)) for rows in known):
                        file.unlink()
                _remove_empty(target)

    def repair(self, known: Callable[[str], Sequence[Rows]]) -> Aside:
        """Sort out what a killed build left in staging.

        Args:
            known: what a step (by id) wrote before.

        Raises:
            OSError: the file system refuses; it is all still there.
        """
        aside: Aside = {}
        for folder in sorted(self._staging.iterdir()) if self._staging.is_dir() else []:
            _remove(folder / "new")
            try:
                about = json.loads((folder / "about.json").read_bytes())
                outputs = [str(path) for path in about["outputs"]]
                rows = [{path: Row(*row) for path, *row in table} for table in about["known"]]
            except (OSError, ValueError, KeyError, TypeError):
                # Written before anything is moved: nothing was, or it was damaged since and all is put aside.
                outputs, rows = [], []
            aside |= self._sort_out(folder.name, outputs, [*rows, *known(folder.name)])
        return aside

    def forget_same(self, aside: Aside, rows: Rows) -> Aside:
        """Of what was put aside, remove what the step has now written again; returns the rest."""
        kept = {path: file for path, file in aside.items() if not self._is(file, path, rows.get(path))}
        for path, file in aside.items():
            if path not in kept:
                file.unlink()
        if len(kept) < len(aside):
            for folder in sorted({file.parent for file in aside.values()}, reverse=True):  # the deepest first
                _remove_empty_upward(folder, self._replaced)
        return kept

    def _slot(self, step_id: str, outputs: Sequence[str], known: Sequence[Rows]) -> Path:
        """The folder to exchange through, with a word for `repair`; what is staged is in it."""
        folder = self._staging / step_id
        tables = [[[path, *row] for path, row in rows.items()] for rows in known]
        swap = folder / "swap"
        try:
            if os.path.lexists(self._replaced):
                self._replaced.mkdir(exist_ok=True)  # fails where it is no folder, while nothing has been moved
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "about.json").write_text(json.dumps({"outputs": list(outputs), "known": tables}))
            if (folder / "new").is_dir():
                os.rename(folder / "new", swap)
            else:
                swap.mkdir()
        except OSError as error:
            raise StagingError(str(error)) from error
        return swap

    def _take(self, target: Path, slot: Path) -> None:
        """Move an output away."""
        _make_movable(target)
        try:
            os.rename(target, slot)
        except OSError as error:
            if error.errno not in _ELSEWHERE:
                raise
            _move_inside(target, slot)

    def _put(self, staged: Path, target: Path) -> None:
        """Move what is staged to its place; what was there is then where it was staged."""
        try:
            if os.path.lexists(target):
                _make_movable(target)
                exchange(staged, target)
            else:
                move_new(staged, target)
        except OSError as error:
            if error.errno not in _ELSEWHERE:
                raise
            there = staged.with_name(f"{staged.name}.there")
            if os.path.lexists(target):
                _move_inside(target, there)
            _move_inside(staged, target)

    def _sort_out(self, step_id: str, outputs: Sequence[str], known: Sequence[Rows]) -> Aside:
        """Put aside what no step wrote of what was moved away, and remove the rest."""
        folder = self._staging / step_id
        swap = folder / "swap"
        aside: Aside = {}
        for slot in sorted(swap.iterdir()) if swap.is_dir() else []:
            number = slot.name.partition(".")[0]
            top = outputs[int(number)] if number.isdigit() and int(number) < len(outputs) else f"unknown/{slot.name}"
            for path, file in _things(slot, top):
                if any(self._is(file, path, rows.get(path)) for rows in known):
                    continue
                aside[path] = self._put_aside(file, path)
        # In this order: without the word for `repair`, nobody knows what the rest is.
        _remove(swap)
        _remove(folder)
        return aside

    def _is(self, file: Path, path: str, row: Row | None) -> bool:
        if row is None:
            return False
        status = file.lstat()
        if stat.S_ISLNK(status.st_mode):
            return row.kind == "link" and os.readlink(file) == row.what
        if not stat.S_ISREG(status.st_mode):
            return row.kind == "special" and kind(status.st_mode) == row.what
        if row.kind != "file" or status.st_size != row.size:
            return False
        return self._digests.moved(path, str(file), stamp(status)) == row.what

    def _put_aside(self, file: Path, path: str) -> Path:
        self._replaced.mkdir(parents=True, exist_ok=True)
        for number in itertools.count():
            target = self._replaced / (f"{self._time_name}.{number}" if number else self._time_name) / path
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                move_new(file, target)
            except (FileExistsError, NotADirectoryError):
                continue  # put aside twice, or once as a folder
            return target
        raise AssertionError("unreachable")


def _stage(top: Path, path: str, rows: Rows, cache: Cache) -> None:
    """Write the part of ``rows`` at and below ``path`` to ``top``."""
    folders: list[tuple[Path, int]] = []
    for name, row in sorted(rows.items()):
        if name != path and not name.startswith(f"{path}/"):
            continue
        target = top if name == path else safe_join(top, name[len(path) + 1 :])
        if row.kind == "dir":
            target.mkdir()
            folders.append((target, row.mode))
        elif row.kind == "link":
            os.symlink(row.what, target)
        elif row.kind == "file":
            cache.fetch(row.what, str(target))
            target.chmod(row.mode)
    for folder, mode in reversed(folders):
        if folder != top:
            folder.chmod(mode)


def _things(top: Path, path: str) -> Iterator[tuple[str, Path]]:
    """Everything at and below ``top`` that is no folder, as (path in the project, where it is now)."""
    if not stat.S_ISDIR(top.lstat().st_mode):
        yield path, top
        return
    _make_movable(top)
    for name in sorted(os.listdir(top)):
        if name not in IGNORED:
            yield from _things(top / name, f"{path}/{name}")


def _make_movable(path: Path) -> None:
    """Let its owner write a folder: it could not be moved or emptied otherwise."""
    mode = path.lstat().st_mode
    if stat.S_ISDIR(mode) and mode & stat.S_IRWXU != stat.S_IRWXU:
        path.chmod(stat.S_IMODE(mode) | stat.S_IRWXU)


def _move_inside(source: Path, target: Path) -> None:
    """Move what is in ``source`` into ``target``, across file systems and into and out of mount points."""
    if not source.is_dir() or source.is_symlink():
        shutil.move(source, target)
        return
    target.mkdir(exist_ok=True)
    for name in os.listdir(source):
        shutil.move(source / name, target / name)


def _remove(folder: Path) -> None:
    """Remove a folder with everything in it, also what is read-only; nothing where there is none."""
    if not os.path.lexists(folder):
        return

    def again(function: Callable[[str], object], path: str, _: object) -> None:
        os.chmod(os.path.dirname(path), stat.S_IRWXU)
        if not os.path.islink(path):
            os.chmod(path, stat.S_IRWXU)
        function(path)

    if sys.version_info >= (3, 12):
        shutil.rmtree(folder, onexc=again)
    else:
        shutil.rmtree(folder, onerror=again)


def _remove_empty(folder: Path) -> None:
    """Remove a folder and those in it, as far as they hold nothing."""
    if folder.is_dir() and not folder.is_symlink():
        for name in os.listdir(folder):
            _remove_empty(folder / name)
        if not os.listdir(folder):
            folder.rmdir()


def _remove_empty_upward(folder: Path, top: Path) -> None:
    while folder != top and folder.is_dir() and not os.listdir(folder):
        folder.rmdir()
        folder = folder.parent


def check_places(root: str, outputs: Mapping[str, str]) -> None:
    """Refuse outputs that lie behind a symlink: they would be written somewhere else.

    Args:
        root: the project's folder.
        outputs: path -> the key of ``dx.toml`` that names it.

    Raises:
        BuildPlanError: one does.
    """
    known: set[str] = set()
    for path, where in outputs.items():
        folder = os.path.dirname(path)
        while folder and folder not in known:
            if os.path.islink(f"{root}/{folder}"):
                raise BuildPlanError(
                    f'the output "{path}" lies behind the symlink {folder}',
                    where=where,
                    hint="Name a path inside the project, or put a real folder there",
                )
            known.add(folder)
            folder = os.path.dirname(folder)
