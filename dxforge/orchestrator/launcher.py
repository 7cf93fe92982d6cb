"""The session's side of ``guard/launcher.py``, and what an order and its refusal look like."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dxforge.errors import ToolStartError
from dxforge.orchestrator import guard

if TYPE_CHECKING:
    from dxforge.orchestrator.process import Launch

_POLL_S = 0.005
_EXIT_S = 5.0
_SHEBANG_BYTES = 256


class GuardForks:
    """The launcher process of one session: started at first need, again when it has died."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._lifeline: socket.socket | None = None

    @property
    def pid(self) -> int | None:
        """The launcher's pid, where one runs."""
        return self._child.pid if self._child is not None and self._child.poll() is None else None

    async def hand_over(self, theirs: socket.socket) -> None:
        """Have a guard forked that takes its order from ``theirs``; the caller closes its own copy.

        Raises:
            OSError: no launcher could be started, or no descriptor is free.
        """
        while True:
            lifeline = self._ready()
            try:
                socket.send_fds(lifeline, [b"g"], [theirs.fileno()])
            except BlockingIOError:
                await asyncio.sleep(_POLL_S)  # more starts are on their way than the socket holds
            except (BrokenPipeError, ConnectionResetError):
                self.drop()
            else:
                return

    def _ready(self) -> socket.socket:
        if self.pid is not None and self._lifeline is not None:
            return self._lifeline
        self.drop()
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                self._child = subprocess.Popen(
                    [
                        sys.executable,
                        "-I",
                        "-S",
                        str(Path(guard.__file__).with_name("__main__.py")),
                        str(theirs.fileno()),
                    ],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                    cwd="/",
                )
        except BaseException:
            ours.close()
            raise
        ours.settimeout(0.0)
        self._lifeline = ours
        return ours

    def drop(self) -> None:
        """Let go of a launcher that has died or is of no use; the next start makes another."""
        if self._lifeline is not None:
            self._lifeline.close()
            self._lifeline = None
        if self._child is not None:
            with contextlib.suppress(OSError):
                self._child.kill()
            self._child.wait()
            self._child = None

    async def close(self) -> None:
        """End the launcher: it goes when its lifeline is closed."""
        if self._lifeline is not None:
            self._lifeline.close()
            self._lifeline = None
        loop = asyncio.get_running_loop()
        until = loop.time() + _EXIT_S
        try:
            while self.pid is not None and loop.time() < until:  # noqa: ASYNC110 - a process sets no event
                await asyncio.sleep(_POLL_S)
        finally:
            self.drop()


def encode_order(launch: Launch) -> dict[str, Any]:
    """The order as a guard understands it: bytes as text in Latin-1, since JSON has no bytes.

    Raises:
        ToolStartError: an argument or variable that no process can be given.
    """
    words = [*launch.argv, launch.cwd, *launch.env, *launch.env.values()]
    if not launch.argv or any("\0" in word for word in words) or any("=" in name or not name for name in launch.env):
        raise ToolStartError(
            "no process can be given such arguments or variables",
            tool=launch.name,
            hint="Leave out the NUL characters, and '=' in names of variables",
        )
    return {
        "do": "start",
        "pid": os.getpid(),
        "argv": [_latin(word) for word in launch.argv],
        "cwd": _latin(launch.cwd),
        "env": [[_latin(name), _latin(value)] for name, value in launch.env.items()],
        "signal": int(launch.stop_signal),
        "grace_s": launch.grace_s,
        "keep": launch.keep,
        "folder": _latin(_made(launch)),
        "shared": launch.shared,
        "digest": launch.digest,
        "log_path": str(launch.folder / ("log" if launch.shared else "stdout")) if launch.folder else "",
        "log_bytes": launch.log_bytes,
        "log_files": launch.log_files,
        "cap_bytes": launch.cap_bytes,
    }


def _latin(text: str) -> str:
    return os.fsencode(text).decode("latin-1")


def _made(launch: Launch) -> str:
    if launch.folder is None:
        return ""
    try:
        launch.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if launch.shared:
            raise refusal(launch, "folder", error.errno or 0) from error
        return ""  # an execution runs without a log rather than not at all; its output is counted as lost
    return str(launch.folder.absolute())


def refusal(launch: Launch, stage: str, number: int) -> ToolStartError:
    """Why it could not be started, as the user should read it: the step it failed at, and the errno."""
    reason = os.strerror(number).lower()
    program = launch.argv[0]
    what, hint = f"it could not be started: {reason}", "See what stands in the way, then start it again"
    if number in (errno.EMFILE, errno.ENFILE):
        what, hint = f"it could not be started: {reason}", "Close some files, or raise the limit (ulimit -n)"
    elif stage in ("fork", "launcher"):
        what, hint = f"no process could be made for it: {reason}", "End some processes, or raise the limit (ulimit -u)"
    elif stage in ("folder", "record"):
        what, hint = f"{launch.folder} cannot be written: {reason}", "Free some space, or make the folder writable"
    elif stage == "alive":
        what, hint = f"it runs already, by what {launch.folder} says", "Stop it, then start it again"
        if number not in (errno.EWOULDBLOCK, errno.EAGAIN):
            what, hint = f"{launch.folder} cannot be locked: {reason}", "Move the project to another file system"
    elif stage == "cwd":
        what, hint = f"it cannot be run in {launch.cwd}: {reason}", "Correct its cwd in dx.toml"
    elif stage == "exec":
        what, hint = _exec_refusal(program, number, reason)
    return ToolStartError(what, tool=launch.name, hint=hint)


def lost_guard(launch: Launch, fault: str) -> ToolStartError:
    """It was not started because its guard has ended, by a ``fault`` (a traceback) of its own or by force."""
    if fault:
        what = f"its guard has failed: {fault.strip().splitlines()[-1]}"
        return ToolStartError(what, tool=launch.name, hint="Report this as a fault of dxforge")
    what = "its guard was killed before it was started"
    return ToolStartError(
        what, tool=launch.name, hint="See what kills processes here (no memory left?), then try again"
    )


def _exec_refusal(program: str, number: int, reason: str) -> tuple[str, str]:
    if number == errno.ENOENT and os.path.exists(program):
        interpreter = _interpreter(program)
        if interpreter:
            return (
                f"{program} is to be run by {interpreter}, which is not there",
                "Install that interpreter, or correct the first line of the file",
            )
        return f"{program} needs a loader that is not there", "Install the build for this system"
    if number in (errno.ENOENT, errno.ENOTDIR):
        return f"there is no program {program}", "Install it, or correct its binary_path in dx.toml"
    if number == errno.EACCES:
        return f"{program} may not be executed", "Make it executable (chmod +x), or correct its binary_path in dx.toml"
    if number == errno.ENOEXEC:
        return (
            f"{program} is no program that this system can run",
            "A script needs a first line such as #!/bin/sh, a binary must be built for this system",
        )
    if number == errno.E2BIG:
        return "its arguments and environment are too long together", "Give it less, for instance in a file"
    return f"{program} could not be executed: {reason}", "See what stands in the way, then start it again"


def _interpreter(program: str) -> str:
    with contextlib.suppress(OSError), open(program, "rb") as stream:
        first = stream.read(_SHEBANG_BYTES).partition(b"\n")[0]
        if first.startswith(b"#!"):
            return first[2:].decode(errors="replace").strip() or "nothing"
    return ""
