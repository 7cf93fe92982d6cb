"""How a tool begins: its place on disk, and the child that becomes it. It needs the standard library only."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal
import socket
import time

from dxforge.orchestrator.guard.system import IGNORED, PR_SET_PDEATHSIG, prctl

TYPE_CHECKING = False  # typing itself would cost every guard memory
if TYPE_CHECKING:
    from typing import Any, NoReturn

LOCK_TRIES, LOCK_PAUSE_S = 100, 0.01


def take_lock(path: str) -> int:
    """Hold ``path`` until we end; whoever asks whether we live (``peek``) holds it for an instant, so try again.

    Raises:
        OSError: ``EWOULDBLOCK``, another guard holds it; or the file system refuses.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    for _ in range(LOCK_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(LOCK_PAUSE_S)
        else:
            return descriptor
    os.close(descriptor)
    raise BlockingIOError(errno.EWOULDBLOCK, os.strerror(errno.EWOULDBLOCK), path)


def holds(path: str, descriptor: int) -> bool:
    """Whether what ``take_lock`` gave for ``path`` is still what others find there."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False
    except OSError:
        return True  # the file system is in trouble, which may pass


def listen(path: str) -> socket.socket:
    """A listening socket at ``path``, which is relative: an address has room for 108 bytes only.

    Raises:
        OSError: the file system refuses, or has no sockets.
    """
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)  # of one that was killed
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)
    try:
        listener.bind(path)
        listener.listen(64)
    except OSError:
        listener.close()
        raise
    finally:
        os.umask(mask)
    listener.settimeout(0.0)
    return listener


def spawn(order: dict[str, Any], stdout: int, stderr: int) -> tuple[int, int]:
    """Fork the tool: its pid, and a descriptor that is at its end once the program runs, and else says why it cannot.

    Raises:
        OSError: no process, or no descriptor, can be had.
    """
    oops, write = os.pipe()  # both are closed by exec
    guard = os.getpid()
    tool = os.fork()
    if not tool:
        _become(order, guard, stdout, stderr, write)
    os.close(write)
    return tool, oops


def _become(order: dict[str, Any], guard: int, stdout: int, stderr: int, oops: int) -> NoReturn:
    """In the child: become the tool. Never returns; why it failed goes into ``oops`` as "stage errno"."""
    stage = "fork"
    try:
        os.setpgid(0, 0)
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != guard:
            os._exit(127)  # it died before we could ask to be told
        for number in IGNORED:  # all others are as they were at first (see launcher.py), or exec makes them so
            signal.signal(number, signal.SIG_DFL)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(stdout, 1)
        os.dup2(stderr, 2)
        stage = "cwd"
        os.chdir(order["cwd"].encode("latin-1"))
        stage = "exec"
        argv = [word.encode("latin-1") for word in order["argv"]]
        env = {name.encode("latin-1"): value.encode("latin-1") for name, value in order["env"]}
        os.execve(argv[0], argv, env)  # noqa: S606 - no shell is wanted
    except OSError as error:
        os.write(oops, f"{stage} {error.errno}".encode())
    except BaseException:  # noqa: BLE001 - nothing of the guard may run on in the child
        os.write(oops, f"{stage} {errno.EINVAL}".encode())
    finally:
        os._exit(127)
