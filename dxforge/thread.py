"""``ForgeThread``: a forge on an event loop and thread of its own, for sync callers and notebooks."""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import inspect
import threading
from collections.abc import Coroutine
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from dxforge.errors import UsageError

if TYPE_CHECKING:
    from dxforge.forge import DxForge
    from dxforge.pipelines import UnknownPipeline
    from dxforge.traffic.model import InstallReport

T = TypeVar("T")

_POLL_S = 0.1


class ForgeThread:
    """A forge for callers without a loop, or with one that must not be touched.

    ``with ForgeThread(root) as forge: forge.run_pipeline("install")``, or :meth:`start` and :meth:`close` by hand. The
    caller's event loop, if it has one, is neither used nor patched.

    Args:
        root: the project's folder.
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root).absolute()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._forge: DxForge | None = None

    @property
    def forge(self) -> DxForge:
        """The forge itself; its async methods go through :meth:`run`.

        Raises:
            UsageError: not started, or closed.
        """
        if self._forge is None:
            raise UsageError("this ForgeThread is not running", hint="Use it as a `with` block, or call start() first")
        return self._forge

    def start(self) -> Self:
        """Start the thread and open the forge; does nothing when it is running."""
        if self._forge is not None:
            return self
        from dxforge.forge import DxForge

        loop = asyncio.new_event_loop()
        self._loop = loop
        self._thread = threading.Thread(target=_serve, args=(loop,), name="dxforge", daemon=True)
        self._thread.start()
        try:
            self._forge = self._wait(DxForge.new(self.root))
        except BaseException:
            self._stop_loop()
            raise
        return self

    @property
    def traffic_manager(self) -> Any:
        """The traffic manager for sync callers: its async methods are waited for, everything else is as it is."""
        return _Waiting(self, self.forge.traffic_manager)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the forge's loop and wait for it.

        An interrupt (Ctrl-C, a notebook's stop button) cancels it, waits until it has stopped cleanly, and is raised.
        """
        try:
            self.forge  # noqa: B018 - raises when there is no loop to run on
        except UsageError:
            work.close()
            raise
        return self._wait(work)

    def run_pipeline(self, command: str) -> InstallReport | UnknownPipeline:
        """:meth:`DxForge.run_pipeline`, waited for."""
        return self.run(self.forge.run_pipeline(command))

    def close(self) -> None:
        """Close the forge and end the thread; may be called more than once."""
        if self._forge is not None:
            forge, self._forge = self._forge, None
            try:
                self._wait(forge.close())
            finally:
                self._stop_loop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        loop, thread = self._loop, self._thread
        if loop is None or thread is threading.current_thread():
            work.close()
            raise UsageError("a ForgeThread cannot be waited for from its own loop", hint="Use `await` there")
        future = asyncio.run_coroutine_threadsafe(work, loop)
        try:
            return _patiently(future)
        except KeyboardInterrupt:
            future.cancel()
            # The work may be past its last safe stop; what it leaves must be whole before anyone goes on.
            asyncio.run_coroutine_threadsafe(_others_done(), loop).result()
            raise

    def _stop_loop(self) -> None:
        loop, thread = self._loop, self._thread
        self._loop = self._thread = None
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()


class _Waiting:
    """Another object whose async methods are run on a ForgeThread and waited for."""

    def __init__(self, thread: ForgeThread, target: object) -> None:
        self._thread = thread
        self._target = target

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, name)
        if not inspect.iscoroutinefunction(found):
            return found

        @functools.wraps(found)
        def wait(*args: Any, **options: Any) -> Any:
            return self._thread.run(found(*args, **options))

        return wait

    def __dir__(self) -> list[str]:
        return dir(self._target)


def _patiently(future: concurrent.futures.Future[T]) -> T:
    """Wait in short pieces, so that an interrupt is noticed on every platform."""
    while True:
        try:
            return future.result(timeout=_POLL_S)
        except concurrent.futures.TimeoutError:
            if future.done():
                return future.result()


async def _others_done() -> None:
    current = asyncio.current_task()
    await asyncio.gather(*(task for task in asyncio.all_tasks() if task is not current), return_exceptions=True)


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()
