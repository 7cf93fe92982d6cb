"""The only place that writes the user's tree: safe paths, atomic writes, the project's lock.

Every replacement *exchanges* the new file with the one it replaces, in one step of the kernel, so what was there is
in our hands whatever happens next; every creation fails when something is there already.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import stat
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dxforge.errors import ChangedMeanwhileError, ProjectBusyError, ProjectError, WriteError
from dxforge.store.tree import EXECUTABLE, FILE, SYMLINK, Entry, Tree, blob_oid

if TYPE_CHECKING:
    from dxforge.events import EventBus

_POLL_S = 0.05


def safe_join(root: Path, relative: str) -> Path:
    """``root / relative``, which must stay below ``root`` and pass through no symlink on the way to its parent.

    Raises:
        WriteError: the path is absolute, leads out, or a parent is a symlink.
    """
    parts = relative.split("/")
    if relative.startswith("/") or any(part in ("", ".", "..") for part in parts):
        raise WriteError("the path leads out of its folder", where=relative, hint="Use a path inside the project")
    path = os.fspath(root)
    for part in parts[:-1]:
        path = f"{path}/{part}"
        if os.path.islink(path):
            raise WriteError(
                f"{path} is a symlink, and dxforge never writes through one",
                where=relative,
                hint="Put a real folder there, or remove the package from dx.toml",
            )
    return Path(f"{path}/{parts[-1]}")


def read_entry(path: Path) -> tuple[Entry, bytes] | None:
    """The file or symlink at ``path`` with its content; None where there is none, or a folder or special file."""
    try:
        status = path.lstat()
        if stat.S_ISLNK(status.st_mode):
            target = os.fsencode(os.readlink(path))
            return Entry(SYMLINK, blob_oid(target), len(target)), target
        if not stat.S_ISREG(status.st_mode):
            return None
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise write_error(error, path, "cannot be read") from error
    return Entry(entry_mode(status.st_mode), blob_oid(content), len(content)), content


def entry_mode(st_mode: int) -> int:
    """Git's mode for a regular file: executable by its owner, or not."""
    return EXECUTABLE if st_mode & stat.S_IXUSR else FILE


def write_error(error: OSError, path: Path | str, what: str) -> WriteError:
    """An ``OSError`` as the user should read it."""
    hints = {
        errno.ENOSPC: "Free some space and run the command again",
        errno.EDQUOT: "Free some space and run the command again",
        errno.EACCES: "Give yourself permission (chmod u+w), then run the command again",
        errno.EPERM: "Give yourself permission (chmod u+w), then run the command again",
        errno.EXDEV: "The packages' folder and .dx must lie on one file system: change packages_dir, or the mount",
        errno.EROFS: "The file system is read-only: move the project or mount it writable",
    }
    reason = (error.strerror or str(error)).lower()
    hint = hints.get(error.errno or 0, "See what is there, then run the command again")
    return WriteError(f"{what}: {reason}", where=str(path), hint=hint)


def write_new(path: Path | str, content: bytes, mode: int = FILE) -> None:
    """Write a file or symlink that must not exist; git's ``mode`` becomes permissions within the umask."""
    if mode == SYMLINK:
        os.symlink(os.fsdecode(content), path)
        return
    permissions = 0o777 if mode == EXECUTABLE else 0o666
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), permissions)
    try:
        done = os.write(descriptor, content)
        while done < len(content):
            done += os.write(descriptor, memoryview(content)[done:])
    finally:
        os.close(descriptor)


def atomic_write(path: Path, content: bytes, *, temporary: Path | None = None) -> None:
    """Replace ``path`` by ``content`` so that a crash leaves the old or the new, synced to disk.

    A crash may also leave the ``temporary`` file (default: beside ``path``); name one where recovery clears it away.
    """
    temporary = temporary or path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise write_error(error, path, "cannot be written") from error
    sync_folder(path.parent)


def sync_file(path: Path) -> None:
    """Flush one file's content to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Flush a folder's names to disk; where the platform has no such thing, nothing."""
    if sys.platform == "win32":
        return
    sync_file(folder)


def sync_folders(folders: set[Path]) -> None:
    """Flush the names in ``folders`` to disk; folders that are gone are left out."""
    there = [folder for folder in folders if folder.is_dir()]
    if len(there) > 16 and _syncfs(there[0]):
        return
    for folder in there:
        sync_folder(folder)


def sync_tree(folder: Path, few: list[str]) -> None:
    """Flush what was written below ``folder``: file by file while ``few`` are few, else the whole file system once."""
    if len(few) <= 64 or not hasattr(os, "sync"):
        for path in few:
            if not os.path.islink(path):
                sync_file(Path(path))
        sync_folder(folder)
    elif not _syncfs(folder):
        os.sync()


def exchange(staged: Path, target: Path) -> None:
    """Swap two existing files in one step; where the kernel cannot, in two renames through ``<staged>.old``."""
    if not _rename(staged, target, exchange=True):
        old = staged.with_name(staged.name + ".old")
        os.rename(target, old)
        os.rename(staged, target)
        os.rename(old, staged)


def move_new(source: Path, target: Path) -> None:
    """Rename ``source`` to ``target``, which must not exist.

    Raises:
        FileExistsError: something is there; nothing was moved.
    """
    if _rename(source, target, exchange=False):
        return
    if source.is_dir() and not source.is_symlink():
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
        os.rename(source, target)
        return
    os.link(source, target, follow_symlinks=False)
    source.unlink()


def _rename(source: Path, target: Path, *, exchange: bool) -> bool:
    """renameat2 (Linux) or renamex_np (macOS); False where this system or file system has neither."""
    function, flags = _kernel_rename()
    if function is None:
        return False
    code = function(os.fsencode(source), os.fsencode(target), flags[0 if exchange else 1])
    if code == 0:
        return True
    if code in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
        return False
    raise OSError(code, os.strerror(code), str(source), None, str(target))


_KERNEL: list[Any] = []


def _kernel_rename() -> tuple[Any, tuple[int, int]]:
    if not _KERNEL:
        import ctypes

        function: Any = None
        flags = (0, 0)
        with contextlib.suppress(AttributeError, OSError):
            library = ctypes.CDLL(None, use_errno=True)
            if sys.platform == "linux":
                at_cwd = -100
                raw = library.renameat2

                def function(source: bytes, target: bytes, flag: int) -> int:
                    return 0 if raw(at_cwd, source, at_cwd, target, flag) == 0 else ctypes.get_errno()

                flags = (2, 1)  # RENAME_EXCHANGE, RENAME_NOREPLACE
            elif sys.platform == "darwin":
                raw = library.renamex_np

                def function(source: bytes, target: bytes, flag: int) -> int:
                    return 0 if raw(source, target, flag) == 0 else ctypes.get_errno()

                flags = (2, 4)  # RENAME_SWAP, RENAME_EXCL
        _KERNEL[:] = [function, flags]
    return _KERNEL[0], _KERNEL[1]


def _syncfs(folder: Path) -> bool:
    if sys.platform != "linux":
        return False
    import ctypes

    try:
        function = ctypes.CDLL(None, use_errno=True).syncfs
    except AttributeError:
        return False
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        return bool(function(descriptor) == 0)
    finally:
        os.close(descriptor)


def displace(target: Path, slot: Path, expected: Entry, *, replace: bool) -> None:
    """Take ``target`` away into ``slot`` (with ``replace``: and put what was in ``slot`` in its place).

    What was displaced is compared with ``expected`` *after* it is out of anyone's reach; when it differs, it goes
    back, so an edit that lands at the last moment is never written over.

    Raises:
        ChangedMeanwhileError: it differed; target and slot are as they were.
    """
    move = exchange if replace else move_new
    try:
        move(*((slot, target) if replace else (target, slot)))
    except FileNotFoundError:
        if target.exists() or target.is_symlink():
            raise
        raise _changed(target) from None
    found = read_entry(slot)
    if found is None or found[0] != expected:
        move(slot, target)
        raise _changed(target)


def place(slot: Path, target: Path) -> None:
    """Move a staged file to where nothing may be yet.

    Raises:
        ChangedMeanwhileError: something is there; nothing was moved.
    """
    try:
        move_new(slot, target)
    except FileExistsError as error:
        raise _changed(target) from error


def _changed(target: Path) -> ChangedMeanwhileError:
    return ChangedMeanwhileError(
        "it changed while dxforge was about to write it", where=str(target), hint="Run the command again"
    )


@contextlib.contextmanager
def project_lock(
    state_dir: Path, *, wait_s: float, events: EventBus, check: Callable[[], None] = lambda: None, name: str = "lock"
) -> Iterator[None]:
    """Hold the project's lock across processes and threads; it is freed by the kernel when its holder dies.

    Args:
        state_dir: the project's ``.dx``; exists.
        wait_s: how long to wait for another holder, in seconds; a ``WaitingForProject`` event says so.
        events: where that event goes.
        check: called while waiting; raises to give up.
        name: another lock of the same project.

    Raises:
        ProjectBusyError: still held after ``wait_s``; names the holder's pid.
    """
    from dxforge.events import WaitingForProject

    path = state_dir / name
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise write_error(error, path, "cannot be opened") from error
    try:
        deadline = time.monotonic() + wait_s
        told = False
        while not try_lock(descriptor):
            pid = _holder(path)
            if time.monotonic() >= deadline:
                who = f"process {pid}" if pid else "another process"
                raise ProjectBusyError(
                    f"{who} has been working on this project for more than {wait_s:g} s",
                    where=str(state_dir.parent),
                    hint="Wait for it to end, or stop it, then run the command again",
                    pid=pid,
                )
            if not told:
                events.emit(WaitingForProject(pid=pid, timeout_s=wait_s))
                told = True
            check()
            time.sleep(_POLL_S)
        _write_holder(path)
        yield
    finally:
        os.close(descriptor)


def lock_is_held(state_dir: Path) -> bool:
    """Whether somebody, this process included, holds the project's lock just now."""
    try:
        descriptor = os.open(state_dir / "lock", os.O_RDWR)
    except OSError:
        return False
    try:
        return not try_lock(descriptor)
    finally:
        os.close(descriptor)


def _holder(path: Path) -> int | None:
    try:
        return int(json.loads(path.with_name(f"{path.name}.json").read_text())["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write_holder(path: Path) -> None:
    # Beside the lock, not in it: a locked file cannot be read on Windows.
    with contextlib.suppress(OSError):
        path.with_name(f"{path.name}.json").write_text(json.dumps({"pid": os.getpid()}))


def try_lock(descriptor: int) -> bool:
    """Lock an open file for this descriptor alone, across processes; False: another holds it. Freed by closing it.

    Raises:
        OSError: the file system has no locks.
    """
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
            return False
        raise
    return True


def prepare_state_dir(root: Path) -> Path:
    """Make ``<root>/.dx`` with its own ``.gitignore``; returns it.

    Raises:
        ProjectError: ``.dx`` is a symlink or a file.
    """
    state = root / ".dx"
    try:
        if state.is_symlink() or (state.exists() and not state.is_dir()):
            raise ProjectError(".dx is not a folder", where=str(state), hint="Move it away and run the command again")
        state.mkdir(exist_ok=True)
        ignore = state / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n")
    except OSError as error:
        raise write_error(error, state, "cannot be made") from error
    return state


def remove_if_empty(folder: Path) -> bool:
    """Remove ``folder`` where it holds nothing, or only ``__pycache__`` folders of ``.pyc`` files."""
    try:
        names = os.listdir(folder)
        for name in names:
            cache = folder / name
            if name != "__pycache__" or cache.is_symlink():
                return False
            if not all(inside.endswith(".pyc") for inside in os.listdir(cache)):
                return False
        for name in names:
            shutil.rmtree(folder / name)
        folder.rmdir()
    except OSError:
        return False
    return True


def exact_tree(folder: Path, files: Tree) -> bool:
    """Whether ``folder`` holds exactly ``files`` (compiled leftovers aside)."""
    seen = 0
    for path in walk(folder):
        found = read_entry(folder / path)
        if found is None or files.get(path) != found[0]:
            return False
        seen += 1
    return seen == len(files)


def walk(folder: Path, prefix: str = "") -> Iterator[str]:
    """Relative paths of everything below ``folder`` that is not a folder, compiled leftovers left out."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if entry.name != "__pycache__":
                    yield from walk(folder / entry.name, f"{prefix}{entry.name}/")
            else:
                yield prefix + entry.name


def private_bits(st_mode: int) -> int | None:
    """A file's permission bits, its owner's right to write added, where not everybody may read it; else None.

    A copy of such a file must not be open to more people than the file itself.
    """
    bits = stat.S_IMODE(st_mode) & 0o777 | stat.S_IWUSR
    return None if not stat.S_ISREG(st_mode) or bits & 0o044 == 0o044 else bits


def read_only(path: Path) -> bool:
    """Whether ``path`` is a file that its owner may not write, whoever we are."""
    try:
        status = path.lstat()
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and not status.st_mode & stat.S_IWUSR


def drop_bytecode(sources: Iterable[Path]) -> None:
    """Remove what Python compiled from ``sources``.

    It tells a fresh ``.pyc`` by the source's size and its time in whole seconds, so an update of the same length within
    one second would go unseen.
    """
    listings: dict[Path, list[str]] = {}
    for source in sources:
        if source.suffix != ".py":
            continue
        cache = source.parent / "__pycache__"
        if cache not in listings:
            try:
                listings[cache] = [] if cache.is_symlink() else os.listdir(cache)
            except OSError:
                listings[cache] = []
        for name in listings[cache]:
            if name.startswith(f"{source.stem}.") and name.endswith(".pyc"):
                with contextlib.suppress(OSError):
                    (cache / name).unlink()
