"""Tools on Windows: a job object takes the guard's place. Written from Microsoft's documentation, never run.

The tool and all that it starts belong to a job, and the kernel kills the job when its last handle is closed, whatever
ends this process. What there is not: other sessions cannot join, and ``keep`` is not honoured.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from ctypes import c_int64, c_size_t, c_uint32, c_uint64, c_void_p
from typing import IO, TYPE_CHECKING, Any, ClassVar

from dxforge.orchestrator.guard.disk import CappedLog, LogFile, RotatedLog
from dxforge.orchestrator.launcher import refusal

if TYPE_CHECKING:
    from dxforge.orchestrator.process import Launch, OnOutput, Process

_CREATE_SUSPENDED, _CREATE_NEW_PROCESS_GROUP = 0x4, 0x200
_BASIC_ACCOUNTING, _EXTENDED_LIMIT = 1, 9  # JOBOBJECTINFOCLASS
_KILL_ON_JOB_CLOSE = 0x2000
_PIECE_BYTES = 1 << 16
_POLL_S = 0.05
_TICKS_PER_S = 10_000_000  # of 100 ns


class _ExtendedLimits(ctypes.Structure):
    """JOBOBJECT_EXTENDED_LIMIT_INFORMATION, with the structures inside it laid flat."""

    _fields_: ClassVar = [
        ("per_process_user_time", c_int64),
        ("per_job_user_time", c_int64),
        ("limit_flags", c_uint32),
        ("minimum_working_set", c_size_t),
        ("maximum_working_set", c_size_t),
        ("active_process_limit", c_uint32),
        ("affinity", c_size_t),
        ("priority_class", c_uint32),
        ("scheduling_class", c_uint32),
        ("io_counters", c_uint64 * 6),
        ("process_memory_limit", c_size_t),
        ("job_memory_limit", c_size_t),
        ("peak_process_memory", c_size_t),
        ("peak_job_memory", c_size_t),
    ]


class _Accounting(ctypes.Structure):
    """JOBOBJECT_BASIC_ACCOUNTING_INFORMATION; times in units of 100 ns."""

    _fields_: ClassVar = [
        ("total_user_time", c_int64),
        ("total_kernel_time", c_int64),
        ("period_user_time", c_int64),
        ("period_kernel_time", c_int64),
        ("page_faults", c_uint32),
        ("processes", c_uint32),
        ("active_processes", c_uint32),
        ("terminated_processes", c_uint32),
    ]


class _Job:
    """A job object. Everything in it is killed when it is closed."""

    def __init__(self) -> None:
        self._kernel: Any = _library("kernel32")
        self._kernel.CreateJobObjectW.restype = c_void_p
        self.handle = c_void_p(self._check(self._kernel.CreateJobObjectW(None, None)))
        limits = _ExtendedLimits(limit_flags=_KILL_ON_JOB_CLOSE)
        size = c_uint32(ctypes.sizeof(limits))
        self._check(self._kernel.SetInformationJobObject(self.handle, _EXTENDED_LIMIT, ctypes.byref(limits), size))

    def take(self, process: int) -> None:
        """Take in a suspended process, by its handle, and let it run."""
        self._check(self._kernel.AssignProcessToJobObject(self.handle, c_void_p(process)))
        status = _library("ntdll").NtResumeProcess(c_void_p(process))
        if status < 0:
            raise OSError(f"NtResumeProcess: {status & 0xFFFFFFFF:#x}")

    def accounting(self) -> _Accounting:
        """What it has used, and how many run."""
        found = _Accounting()
        self._query(_BASIC_ACCOUNTING, found)
        return found

    def peak_memory_bytes(self) -> int:
        """Of the largest process that it ever had."""
        found = _ExtendedLimits()
        self._query(_EXTENDED_LIMIT, found)
        return int(found.peak_process_memory)

    def kill(self) -> None:
        """End everything in it."""
        self._kernel.TerminateJobObject(self.handle, c_uint32(1))

    def close(self) -> None:
        """Close it; kills what is left."""
        self._kernel.CloseHandle(self.handle)

    def _query(self, kind: int, found: ctypes.Structure) -> None:
        size = c_uint32(ctypes.sizeof(found))
        self._check(self._kernel.QueryInformationJobObject(self.handle, kind, ctypes.byref(found), size, None))

    def _check(self, result: Any) -> Any:
        if not result and sys.platform == "win32":
            raise ctypes.WinError(ctypes.get_last_error())
        return result


def _library(name: str) -> Any:
    if sys.platform == "win32":
        return ctypes.WinDLL(name, use_last_error=True)
    else:  # noqa: RET505 - so mypy knows that this is for elsewhere
        raise OSError(f"there is no {name} but on Windows")


class _Tool:
    """Stands in for a guard: a ``Peer``. Three threads read the output and wait."""

    def __init__(self, launch: Launch, on_output: OnOutput) -> None:
        self._launch = launch
        self._on_output = on_output
        self._loop = asyncio.get_running_loop()
        self._hear: Callable[[dict[str, Any]], None] = lambda _said: None
        self._asked = False
        self._deadline: float | None = None
        self._survivors = 0
        self._job = _Job()
        self._logs = _logs(launch)
        try:
            self._popen = subprocess.Popen(
                launch.argv,
                cwd=launch.cwd,
                env=dict(launch.env),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT if launch.shared else subprocess.PIPE,
                bufsize=0,
                creationflags=_CREATE_SUSPENDED | _CREATE_NEW_PROCESS_GROUP,
            )
            try:
                self._job.take(int(getattr(self._popen, "_handle", 0)))
            except OSError:
                self._popen.kill()
                raise
        except OSError:
            self._job.close()
            raise
        self._readers = [
            threading.Thread(target=self._read, args=(name, pipe, log), name=f"dx-{name}", daemon=True)
            for name, pipe, log in zip(("stdout", "stderr"), self._pipes(), self._logs, strict=False)
        ]

    @property
    def pid(self) -> int:
        return self._popen.pid

    def begin(self, hear: Callable[[dict[str, Any]], None]) -> None:
        """Read, and tell ``hear`` how it ends."""
        self._hear = hear
        for reader in self._readers:
            reader.start()
        threading.Thread(target=self._wait, name="dx-wait", daemon=True).start()

    def send(self, **said: Any) -> None:
        """A guard's part: stop, leave, and the board, which nobody else sees."""
        if said["do"] == "stop" or said["do"] == "leave":
            if said["do"] == "leave":
                self._tell(what="left", goes_on=False)
            self._stop(said.get("grace_s"))

    def close(self) -> None:
        """The session is gone."""
        self._stop(None)

    def _stop(self, grace_s: float | None) -> None:
        deadline = time.monotonic() + (self._launch.grace_s if grace_s is None else grace_s)
        self._deadline = deadline if self._deadline is None else min(deadline, self._deadline)
        if not self._asked:
            self._asked = True
            # There is but one signal for a process group, and none without a console.
            with contextlib.suppress(OSError):
                self._popen.send_signal(getattr(signal, "CTRL_BREAK_EVENT", signal.SIGTERM))

    def _pipes(self) -> list[IO[bytes]]:
        return [pipe for pipe in (self._popen.stdout, self._popen.stderr) if pipe is not None]

    def _read(self, name: str, pipe: IO[bytes], log: LogFile) -> None:
        with pipe, contextlib.closing(log):
            while piece := pipe.read(_PIECE_BYTES):
                log.write(piece)
                self._call(self._on_output, name, piece)

    def _wait(self) -> None:
        counted = False
        while self._popen.poll() is None or self._job.accounting().active_processes:
            if self._popen.poll() is not None and not counted:
                counted = True
                self._survivors = self._job.accounting().active_processes
                self._deadline = self._deadline or time.monotonic() + self._launch.grace_s
            if self._deadline is not None and time.monotonic() >= self._deadline:
                self._job.kill()
            time.sleep(_POLL_S)
        for reader in self._readers:
            reader.join()
        used = self._job.accounting()
        peak = self._job.peak_memory_bytes()
        self._job.close()
        self._tell(
            what="ended",
            exit_code=self._popen.returncode,
            asked=self._asked,
            survivors=self._survivors,
            cpu_s=(used.total_user_time + used.total_kernel_time) / _TICKS_PER_S,
            max_memory_bytes=peak,
            lost_bytes=sum(log.lost_bytes for log in self._logs),
            fault="",
        )

    def _tell(self, **said: Any) -> None:
        self._call(self._hear, said)

    def _call(self, function: Callable[..., object], *args: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens
            self._loop.call_soon_threadsafe(function, *args)


def _logs(launch: Launch) -> list[LogFile]:
    if launch.folder is None:
        return [LogFile(""), LogFile("")]
    if launch.shared:
        return [RotatedLog(str(launch.folder / "log"), launch.log_bytes, launch.log_files)]
    return [CappedLog(str(launch.folder / name), launch.cap_bytes) for name in ("stdout", "stderr")]


async def start(launch: Launch, *, on_output: OnOutput) -> Process:
    """``Launcher.start`` for Windows.

    Raises:
        ToolStartError: as there.
    """
    from dxforge.orchestrator.process import Process
    from dxforge.orchestrator.record import RunRecord

    try:
        if launch.folder is not None:
            os.makedirs(launch.folder, exist_ok=True)
        tool = _Tool(launch, on_output)
    except OSError as error:
        raise refusal(launch, "exec", error.errno or 0) from error
    now = time.time()
    record = RunRecord(
        pid=tool.pid,
        start_ticks=0,
        create_time=now,
        boot_id="",
        guard_pid=os.getpid(),
        guard_start_ticks=0,
        guard_create_time=now,
        started=now,
        digest=launch.digest,
        log_path=str(launch.folder / "log") if launch.folder else "",
        owner_pids=(os.getpid(),),
    )
    process = Process(record, tool, {"board": {}, "keep": False, "owner_pids": [os.getpid()], "log": [0, 0]})
    tool.begin(process.hear)
    return process
