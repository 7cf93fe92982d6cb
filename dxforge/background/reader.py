"""A child process of low priority that parses, so that a notebook's own interpreter stays free.

Parsing holds the interpreter's lock, and switching warnings off is for a whole process: neither may happen to the
user's. Parent and child exchange pickled frames over pipes: a job, then what it came to.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import re
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from dxforge.background.reading import FileFacts, Problem, dump, read_file
from dxforge.errors import TaskError

MAX_FILE_BYTES = 20 * 1024 * 1024
_JOB_S = 60
_CODE = "import sys; sys.path.append(sys.argv[1]); from dxforge.background.reader import main; main()"

Stamp = tuple[int, int, int, int]
"""Time of change, of change of the inode, number and size of a file: the same means that it was not written since."""


class ReaderDiedError(Exception):
    """The child ended, or was ended because it took too long: something in the job was too much for it."""


class Reader:
    """The child process; started with the first call, and again after it died. One thread at a time uses it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False

    def read(self, paths: Sequence[str], patterns: Sequence[tuple[str, str]]) -> list[tuple[Stamp | None, Any]]:
        """For each file its stamp (None: it cannot be read) and its facts, as `reading.load` takes them.

        A file that is too much for the parser gets a Problem, and the others what is theirs.
        """
        try:
            found: list[tuple[Stamp | None, Any]] = self.call("read", list(paths), list(patterns))
        except ReaderDiedError:
            if self._stopped:
                raise
            if len(paths) > 1:
                half = len(paths) // 2
                return [*self.read(paths[:half], patterns), *self.read(paths[half:], patterns)]
            return [
                (None, dump(FileFacts(problems=(Problem("it is too much for Python's parser, or for a pattern"),))))
            ]
        return found

    def call(self, job: str, *arguments: Any) -> Any:
        """Let the child do one of ``JOBS``.

        Raises:
            ReaderDiedError: it did not survive that, or it was stopped.
            TaskError: it cannot be started.
        """
        process = self._running()
        assert process.stdin is not None  # noqa: S101 - a pipe
        assert process.stdout is not None  # noqa: S101 - a pipe
        # A pattern may take for ever; the child has an alarm of its own for when this process dies.
        timer = threading.Timer(_JOB_S, process.kill)
        timer.daemon = True
        timer.start()
        try:
            pickle.dump((job, arguments), process.stdin, pickle.HIGHEST_PROTOCOL)
            process.stdin.flush()
            return pickle.load(process.stdout)  # noqa: S301 - from our own child
        except (EOFError, OSError, pickle.UnpicklingError) as error:
            self._end()
            raise ReaderDiedError(f"the process that reads Python files ended at {job}") from error
        finally:
            timer.cancel()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._stopped:
            raise ReaderDiedError("it was stopped")
        if self._process is None:
            # -P: no module of the project's may stand in for the standard library's.
            command = [sys.executable, "-P", "-W", "ignore", "-c", _CODE, str(Path(__file__).parents[2])]
            try:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    start_new_session=sys.platform != "win32",  # an interrupt in the terminal is not meant for it
                )
            except OSError as error:
                what = f"Python could not be started to read files: {(error.strerror or str(error)).lower()}"
                raise TaskError(
                    what, where=command[0], hint="See that it can be run, and that memory is left"
                ) from error
        return self._process

    def stop(self) -> None:
        """End the child and start no more; from any thread. A call under way raises."""
        self._stopped = True
        process = self._process
        if process is not None:
            process.kill()

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()

    def close(self) -> None:
        """End the child."""
        self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


# -- in the child -------------------------------------------------------------------------------------------------


def main() -> None:
    """Do jobs until the parent closes the pipe."""
    from dxforge.background.priority import lower_this_process

    lower_this_process()
    source = sys.stdin.buffer
    target = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints must not get between the frames
    while True:
        _alarm(0)
        try:
            job, arguments = pickle.load(source)  # noqa: S301 - from our own parent
        except EOFError:
            return
        _alarm(_JOB_S + 5)
        _answer(target, JOBS[job](*arguments))


def _answer(target: BinaryIO, result: Any) -> None:
    pickle.dump(result, target, pickle.HIGHEST_PROTOCOL)
    target.flush()


def _alarm(seconds: int) -> None:
    if sys.platform != "win32":
        import signal

        signal.alarm(seconds)


def _read(paths: list[str], patterns: list[tuple[str, str]]) -> list[tuple[Stamp | None, Any]]:
    compiled = [(name, re.compile(pattern)) for name, pattern in patterns]
    return [_read_one(path, compiled) for path in paths]


def _read_one(path: str, patterns: list[tuple[str, re.Pattern[str]]]) -> tuple[Stamp | None, Any]:
    try:
        with open(path, "rb") as stream:
            stamp = stamp_of(os.fstat(stream.fileno()))
            content = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        problem = Problem(f"it cannot be read: {(error.strerror or str(error)).lower()}")
        return None, dump(FileFacts(problems=(problem,)))
    if len(content) > MAX_FILE_BYTES:
        return stamp, dump(FileFacts(problems=(Problem(f"it is larger than {MAX_FILE_BYTES >> 20} MiB"),)))
    return stamp, dump(read_file(content, notebook=path.endswith(".ipynb"), patterns=patterns))


def stamp_of(status: os.stat_result) -> Stamp:
    """A file's, by what the system says of it."""
    return status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_size


def _distributions() -> dict[str, list[str]]:
    from importlib.metadata import packages_distributions

    return {name: sorted(set(found)) for name, found in packages_distributions().items()}


def _judge(*arguments: Any) -> Any:
    from dxforge.background.edits import judge

    return judge(*arguments)


JOBS: dict[str, Any] = {"read": _read, "distributions": _distributions, "judge": _judge}
