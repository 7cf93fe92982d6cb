"""Watching a project's files: the system says when to look, looking says what changed.

A notification only makes `Watch` look again, and the difference between two looks is what changed. So nothing depends
on how a change came about: editors that write by rename, a folder that is filled before anyone listens to it, one that
is moved away whole, a queue that ran over, a file that is as it was before anyone asked. Folders are watched one by
one, and only those that can hold a match: what git ignores costs nothing.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import contextlib
import os
import threading
from collections.abc import Callable, Collection, Generator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from dxforge.errors import WatchError
from dxforge.watching.looks import Looks

if TYPE_CHECKING:
    from watchfiles import Change

    from dxforge.watching.globs import Globs

_LONGEST_BURST = 10
_POLL_S = 1.0


class Watch:
    """Changed files in batches: ``async with Watch(root, Globs(...)) as changes: async for paths in changes: ...``.

    A batch holds the paths (from ``root``, with ``/``) of the files that are not what they were in the batch before, or
    when the block was entered: written, created, deleted, moved, made executable. What happens while no one waits for
    the next batch is in that batch, once, and only where it still makes a difference.

    Left out are what the project's ``.gitignore`` files leave out, version control, ``.dx``, ``node_modules`` and
    editors' temporary files; but never what a glob spells without a wildcard: both ``generated/data.json`` and
    ``generated/**`` are watched although git ignores ``generated``. Symlinked folders are not followed.

    Args:
        root: the project's folder.
        globs: which files are meant; own outputs are to be left out there.
        debounce_s: a batch ends when nothing happened for so long, or after ten times as long.
        notice: called with a line worth telling, in another thread.

    Raises:
        WatchError: the folder is not there, at first or later. A wait that is cancelled loses no change.
    """

    def __init__(
        self,
        root: Path | str,
        globs: Globs,
        *,
        debounce_s: float = 0.1,
        notice: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._root = Path(root).absolute()
        self._looks = Looks(self._root, globs)
        self._debounce_ms = max(1, round(debounce_s * 1000))
        self._notice = notice
        self._stop = threading.Event()
        self._work: asyncio.Future[frozenset[str]] | None = None
        self._thread: threading.Thread | None = None
        self._notified: Generator[set[tuple[Change, str]], None, None] | None = None
        self._heard: dict[str, int] = {}
        """The folders that it notifies of."""
        self._polls = False
        """The system cannot notify: look every second."""

    async def __aenter__(self) -> Self:
        # A thread that the interpreter's end catches inside of watchfiles aborts the process.
        atexit.register(self._end)
        try:
            await self._result(self._begin)
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> frozenset[str]:
        return await self._result(self._changes)

    async def _result(self, work: Callable[[], frozenset[str]]) -> frozenset[str]:
        # Kept and shielded: who gave up waiting comes back to the same work.
        self._work = self._work or self._in_thread(work)
        done = self._work
        try:
            return await asyncio.shield(done)
        finally:
            if done.done():
                self._work = None

    def _in_thread(self, work: Callable[[], frozenset[str]]) -> asyncio.Future[frozenset[str]]:
        outcome: concurrent.futures.Future[frozenset[str]] = concurrent.futures.Future()
        outcome.set_running_or_notify_cancel()

        def run() -> None:
            try:
                outcome.set_result(work())
            except BaseException as error:  # noqa: BLE001 - it is raised where the outcome is waited for
                outcome.set_exception(error)

        # Not of the loop's executor, whose few threads others need; a daemon, or a forgotten block would hang the end.
        self._thread = threading.Thread(target=run, name="dxforge-watch", daemon=True)
        self._thread.start()
        return asyncio.wrap_future(outcome)

    async def _close(self) -> None:
        self._stop.set()
        while self._work is not None:
            with contextlib.suppress(WatchError):
                await self._result(self._changes)
        self._end()
        atexit.unregister(self._end)

    def _end(self) -> None:
        self._stop.set()
        if self._thread is not None and self._thread.ident is not None:
            self._thread.join()
        self._silence()

    # What follows runs in the thread.

    def _begin(self) -> frozenset[str]:
        self._looks.again()
        while not self._stop.is_set() and self._listen():
            self._looks.again()
        return frozenset()

    def _changes(self) -> frozenset[str]:
        while not self._stop.is_set():
            named: Collection[str] = ()
            # Newly listened to: look once more, for what came before that.
            if not self._listen():
                if self._notified is None:
                    self._stop.wait(max(_POLL_S, 20 * self._looks.cost_s))
                elif not (named := self._names(next(self._notified, set()))):
                    continue
            if changed := self._looks.again(named):
                return changed
        return frozenset()

    def _names(self, raw: set[tuple[Change, str]]) -> set[str]:
        start = len(str(self._root)) + 1
        return {path[start:].replace(os.sep, "/") for _, path in raw} if raw else set()

    def _listen(self) -> bool:
        """Be notified of the folders that the last look found; False where that is so already, or cannot be."""
        import watchfiles

        folders = self._looks.folders
        if self._polls or folders == self._heard:
            return False
        notified = watchfiles.watch(
            *(os.path.join(self._root, folder) for folder in folders),
            watch_filter=None,
            debounce=_LONGEST_BURST * self._debounce_ms,
            step=self._debounce_ms,
            stop_event=self._stop,
            rust_timeout=self._debounce_ms,
            yield_on_timeout=True,
            raise_interrupt=False,
            recursive=False,
            # Leaves out any error, limits that are reached too; unreadable folders are not among ours.
            ignore_permission_denied=False,
        )
        try:
            next(notified, None)  # the first step starts it, and ends by the timeout
        except (FileNotFoundError, PermissionError):
            return True  # a folder went just now: look, and try again
        except (OSError, RuntimeError) as error:
            self._polls = True
            self._silence()
            self._notice(
                f"the system cannot watch {len(folders)} folders ({_reason(error)}), so we look every second "
                "or so; on Linux, raise fs.inotify.max_user_watches and fs.inotify.max_user_instances"
            )
            return True
        self._silence()
        self._notified, self._heard = notified, folders
        return True

    def _silence(self) -> None:
        if self._notified is not None:
            self._notified.close()
            self._notified = None


def _reason(error: Exception) -> str:
    return str(error).partition(" about [")[0].rstrip(".").lower()
