"""``Orchestrator``: the project's tools, kept running."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Self

from dxforge.config.model import RestartConfig
from dxforge.config.packages import name_fault
from dxforge.errors import DxForgeError, UsageError
from dxforge.events import EventBus
from dxforge.files import prepare_state_dir
from dxforge.orchestrator import check, execution, graph, info, lastword
from dxforge.orchestrator.definition import DxToolDefinition
from dxforge.orchestrator.life import Common
from dxforge.orchestrator.logs import tail as log_tail
from dxforge.orchestrator.policy import Pace
from dxforge.orchestrator.process import Launcher
from dxforge.orchestrator.record import peek
from dxforge.orchestrator.registry import Registry
from dxforge.orchestrator.session import Session
from dxforge.orchestrator.status import ToolChanged, ToolInfo, ToolRun, ToolState, ToolStatus
from dxforge.orchestrator.subscription import Subscription
from dxforge.orchestrator.usage import Meter

_log = logging.getLogger("dxforge")
_NOTHING: Mapping[str, str] = MappingProxyType({})
_STOPPED = ToolStatus(ToolState.STOPPED)


class Orchestrator:
    """Starts, watches, restarts and stops the tools of a project, and executes them.

    Async methods may be awaited on any event loop, and all others called from any thread: what runs is supervised on a
    thread and loop of its own, made with the first process. Tools belong to the *session*, which is this object in this
    process: at `close`, or when the process ends in whatever way, those that nobody else uses are stopped, unless they
    are to be kept. A second session, in another kernel or terminal, joins what runs instead of starting it again, and
    owns it as well. A forked child has no session; it begins its own when it starts something.

    After `close` it can be used again, which begins a new session; the one of a forge cannot, once that is closed.

    Args:
        root: the project's folder.
        events: where ``ToolChanged`` and ``ToolOutput`` are told, on the supervising thread: listeners must not block.
        declared: gives the tools of ``dx.toml``, which is read where None; asked again when the file has changed. They
            are checked when they are used, and a change takes effect at the tool's next start.
        registry: where the definitions are, shared with others; one of its own, over ``declared``, where None.
        pace: times that ``dx.toml`` does not set.
    """

    def __init__(
        self,
        root: Path | str = ".",
        *,
        events: EventBus | None = None,
        declared: Callable[[], Sequence[DxToolDefinition]] | None = None,
        registry: Registry | None = None,
        pace: Pace | None = None,
    ) -> None:
        self.root = Path(root).absolute()
        self._events = events
        self._pace = pace or Pace()
        self._registry = registry or Registry(self.root, declared)
        self._folder = self.root / ".dx" / "tools"
        self._session: Session | None = None
        self._final = False
        self._lock = threading.Lock()
        self._subscriptions: weakref.WeakSet[Subscription] = weakref.WeakSet()
        self._meter = Meter()
        _LIVE.add(self)

    # ----------------------------------------------------------------------------------------------- definitions
    def register_tool(self, definition: DxToolDefinition) -> None:
        """Add a tool. `get_tool` gives it back as it is.

        Raises:
            ToolDefinitionError: the name is taken (also by ``dx.toml``); it depends on a tool that does not exist, or
                in a circle, which the error draws; its program is not there, or not executable.
            ConfigError: ``dx.toml`` cannot be read.
        """
        self._registry.add(definition)

    def get_tool(self, name: str) -> DxToolDefinition:
        """A tool's definition.

        Raises:
            UnknownToolError: with the nearest name.
        """
        return self._registry.get(name)

    def tools(self) -> list[DxToolDefinition]:
        """All tools: those of ``dx.toml`` in its order, then the registered ones."""
        return list(self._registry.all().values())

    def resolve_binary(self, definition: DxToolDefinition) -> Path:
        """The tool's program: on a path relative to the project, or for a bare name where `lookup.search_path` says.

        Raises:
            ToolDefinitionError: not there, with the list of where it was looked for; or not executable.
        """
        return self._registry.binary(definition)

    def environment(self, definition: DxToolDefinition) -> dict[str, str]:
        """The tool's whole environment: what is declared, PATH (the project's programs first), HOME, the platform's."""
        return self._registry.environment(definition)

    # ---------------------------------------------------------------------------------------------------- status
    def status(self, name: str) -> ToolStatus:
        """How a tool stands, also one that another session runs.

        What another session waits to start again is not seen here: ``STOPPED``. One that is being stopped says so in
        its detail, and nobody is given it any more. One that ended, or could not be started, and that no session
        starts again is ``DEGRADED`` with the reason, also for later sessions, until it is started or stopped.

        Raises:
            UnknownToolError: no such tool, and nothing of that name runs.
        """
        check.name(name)
        engaged = self._engaged(name)
        if engaged is not None:
            return engaged
        return self._seen(self._known(name))

    def statuses(self) -> dict[str, ToolStatus]:
        """How every tool stands, by name; also those that only another session knows, while they run."""
        return {name: self._engaged(name) or self._seen(name) for name in self._names()}

    def info(self, name: str) -> ToolInfo:
        """Everything about a tool, with CPU and memory.

        Raises:
            UnknownToolError: no such tool.
        """
        self.status(name)
        return self._infos([name])[0]

    def infos(self) -> list[ToolInfo]:
        """Everything about every tool. CPU is since the previous call, at first since the tool was started."""
        return self._infos(self._names())

    def logs(self, name: str, tail: int = 100) -> list[str]:
        """The last ``tail`` lines of a tool's output, of earlier runs too.

        Raises:
            UnknownToolError: no such tool.
            UsageError: ``tail`` is no number of lines.
        """
        check.lines(tail)
        self.status(name)
        on_disk = log_tail(self._folder / name, tail)
        session = self._session
        actor = session.actors.get(name) if session is not None else None
        life = actor.life if actor is not None else None
        in_memory = life.ring.tail(tail) if life is not None else []
        # What a full disk did not take is in memory only.
        # (What is the beginning of a line here may have grown there meanwhile.)
        lost = in_memory and not any(line.startswith(in_memory[-1]) for line in on_disk)
        return in_memory if lost else on_disk

    def subscribe(self) -> Subscription:
        """Follow the changes of the tools that this session runs, until it or the subscription is closed."""
        subscription = Subscription()
        with self._lock:
            self._subscriptions.add(subscription)
        return subscription

    # ------------------------------------------------------------------------------------------------------- run
    async def ensure_running(self, name: str, *, keep: bool | None = None) -> ToolStatus:
        """Have a tool running and ready. Returns at once when it is, with the same pid, whoever started it.

        What it depends on is started first. One that runs but is degraded gets the time of a start to recover.
        Cancelling ends this wait only: what has begun to start goes on (``stop`` ends it), what still waits for its
        dependencies is not started unless somebody else asks for it.

        Args:
            name: the tool's.
            keep: whether it, and for True what it depends on, goes on after the last session; None: as they are, or
                as their definitions say.

        Raises:
            UnknownToolError: no such tool.
            ToolDefinitionError: its program, or one of its dependencies, is not there; dependencies in a circle.
            ToolStartError: it ended, or did not become ready in time (30 s, or as long as its probe's ``failures``
                take); with its last output. It is Degraded then, and where it runs, goes on being probed.
            PortTakenError: another process has its port.
            ConfigError: ``dx.toml`` cannot be read.
        """
        if keep is None:
            session = self._session
            actor = session.actors.get(name) if session is not None else None
            ready = actor.ready if actor is not None else None
            if ready is not None:
                return ready
        return (await self._bring_up([name], keep=keep))[name]

    async def ensure_all(self, names: Iterable[str]) -> dict[str, ToolStatus]:
        """Have all of ``names`` running and ready, and what they depend on, in parallel where they can be.

        Raises:
            DxForgeError: as `ensure_running`, of the first that failed; the others are started all the same.
            UsageError: ``names`` is something else than a list of texts.
        """
        return await self._bring_up(check.names(names), keep=None)

    async def stop(self, name: str) -> ToolStatus:
        """Stop a tool, whoever started it. Wins over every restart; done when nothing of it is left.

        What depends on it goes on. Cancelling ends the wait only.

        Raises:
            UnknownToolError: no such tool, and nothing of that name runs.
            ToolStopError: something of it is still there after it was killed.
        """
        return (await self._stop([self._known(name)]))[name]

    async def stop_all(self) -> None:
        """Stop every tool that runs, whoever started it, dependents first.

        Raises:
            ToolStopError: of the first that could not be stopped; the others are.
        """
        running = [name for name in self._names() if self._engaged(name) or self._seen(name) != _STOPPED]
        await self._stop(running)

    async def restart(self, name: str) -> ToolStatus:
        """Stop a tool, whoever started it, and start it with its definition of now; waits until it is ready.

        What depends on it goes on. Cancelling ends the wait only.

        Raises:
            DxForgeError: as `stop` and `ensure_running`.
        """
        definitions = self._registry.all(strict=True)
        needed = graph.closure([name], definitions)
        graph.sorter(needed)
        session = self._open()
        turn = session.turn([name])

        async def work() -> ToolStatus:
            others = definitions[name].dependencies
            await session.bring_up(others, graph.closure(others, definitions), keep=None, turn=turn)
            return await session.actor(name).restart(turn)

        return await session.call(work, patient=False)

    async def execute_tool(
        self,
        name: str,
        args: Sequence[str] = (),
        *,
        timeout_s: float | None = None,
        on_output: execution.Show | None = None,
        env: Mapping[str, str] | None = None,
    ) -> ToolRun:
        """Run a tool's program once, with just ``args``, in the project's root; what it depends on is started first.

        Cancelling stops it, with everything that it has started, and returns when nothing of it is left.

        Args:
            name: the tool's.
            args: the program's arguments; those of the definition are not used.
            timeout_s: how long it may take, the start of its dependencies left out; None: for ever.
            on_output: called with "stdout" or "stderr" and text as it comes, on the caller's loop.
            env: variables in addition to the declared ones.

        Returns:
            The run, also where the exit status is not 0.

        Raises:
            UsageError: ``args`` is one text, or holds something else than texts.
            ToolTimeoutError: it took longer; it was stopped.
            DxForgeError: as `ensure_running`, of its dependencies and of its own start.
        """
        words = check.words(args)
        check.seconds(timeout_s)
        check.environment(env)
        definitions = self._registry.all(strict=True)
        needed = graph.closure([name], definitions)
        graph.sorter(needed)
        session = self._open()
        turn = session.turn()
        relay = execution.Relay(asyncio.get_running_loop(), on_output) if on_output is not None else None
        tell = execution.announce(self._events, name)

        def show(stream: str, text: str) -> None:
            tell(stream, text)
            if relay is not None:
                relay.push(stream, text)

        async def work() -> ToolRun:
            others = definitions[name].dependencies
            await session.bring_up(others, graph.closure(others, definitions), keep=None, turn=turn)
            return await execution.execute(
                session.common, definitions[name], words, timeout_s=timeout_s, env=env or _NOTHING, show=show
            )

        try:
            return await session.call(work)
        finally:
            if relay is not None:
                relay.drain()

    # ----------------------------------------------------------------------------------------------------- close
    async def close(self, *, final: bool = False) -> None:
        """End the session: dependents first, tools that nobody else uses are stopped, but for those that are kept.

        Whatever still waits or runs here is cancelled, and its callers hear a ``UsageError``. Takes, for each tool of
        the longest chain of dependencies, at most its grace time and 10 s. May be called more than once. Cancelling
        ends the wait only.

        Args:
            final: whoever starts or stops something here from now on hears a ``UsageError``, since nobody would end
                the session that this begins.

        Raises:
            ToolStopError: something of a tool is still there after it was killed.
        """
        with self._lock:
            self._final = self._final or final
            session, self._session = self._session, None
        try:
            if session is not None:
                try:
                    definitions = self._registry.all()
                except DxForgeError:
                    definitions = {}  # dx.toml has never been readable: only the order is lost
                await session.close(definitions)
        finally:
            with self._lock:
                subscriptions = tuple(self._subscriptions)
                self._subscriptions.clear()
            for subscription in subscriptions:
                subscription.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # --------------------------------------------------------------------------------------------------- private
    def _open(self) -> Session:
        """The session, begun where there is none."""
        with self._lock:
            if self._final:
                raise UsageError("its forge is closed", where="orchestrator", hint="Open the project again")
            if self._session is None:
                prepare_state_dir(self.root)
                common = Common(
                    root=self.root,
                    folder=self._folder,
                    launcher=Launcher(),
                    pace=self._pace,
                    definition=self._registry.get,
                    chance=random.random,
                )
                self._session = Session(common, self._changed)
            return self._session

    async def _bring_up(self, names: Sequence[str], *, keep: bool | None) -> dict[str, ToolStatus]:
        needed = graph.closure(names, self._registry.all(strict=True))
        graph.sorter(needed)
        session = self._open()
        turn = session.turn()
        return await session.call(lambda: session.bring_up(names, needed, keep=keep, turn=turn), patient=False)

    async def _stop(self, names: Sequence[str]) -> dict[str, ToolStatus]:
        if not names:
            return {}
        definitions = self._registry.all()
        session = self._open()
        turn = session.turn(names)
        return await session.call(lambda: session.stop(names, definitions, turn=turn), patient=False)

    def _engaged(self, name: str) -> ToolStatus | None:
        """How a tool stands that this session has a say about."""
        session = self._session
        actor = session.actors.get(name) if session is not None else None
        return actor.status if actor is not None and actor.engaged else None

    def _seen(self, name: str) -> ToolStatus:
        """How a tool stands that this session does not run: as its owners say, else as this one left it."""
        record = peek(self._folder / name)
        if record is not None:
            try:
                state = ToolState(record.board.get("state", ""))
            except ValueError:
                state = ToolState.STARTING  # its owner has not said anything yet
            detail = "stopping" if record.stopping else str(record.board.get("detail", ""))
            if not record.owner_pids and state is not ToolState.RUNNING and not detail:
                detail = "as last seen; no session watches it"
            return ToolStatus(state, record.pid, detail)
        session = self._session
        actor = session.actors.get(name) if session is not None else None
        left = actor.status if actor is not None else _STOPPED
        if left.state is not ToolState.STOPPED:
            return left
        return lastword.read(self._folder / name, self._restart_policy(name)) or left

    def _restart_policy(self, name: str) -> RestartConfig:
        try:
            return self._registry.get(name).restart
        except DxForgeError:
            return RestartConfig()

    def _known(self, name: str) -> str:
        """``name``, if there is such a tool, or something of that name runs (dx.toml may have lost it since)."""
        check.name(name)
        try:
            self._registry.get(name)
        except DxForgeError:
            if name_fault(name) or not (self._engaged(name) or self._seen(name).pid is not None):
                raise
        return name

    def _names(self) -> list[str]:
        session = self._session
        # A tool that dx.toml has lost stays in sight while this session runs it.
        running = [name for name, actor in dict(session.actors).items() if actor.engaged] if session is not None else []
        known = dict.fromkeys([*self._registry.all(), *running])
        return [*known, *(name for name in self._on_disk() if name not in known and peek(self._folder / name))]

    def _on_disk(self) -> list[str]:
        """The names that any session has ever started: of what is kept, dx.toml may know nothing any more."""
        try:
            return sorted(name for name in os.listdir(self._folder) if not name_fault(name))
        except OSError:
            return []

    def _infos(self, names: Sequence[str]) -> list[ToolInfo]:
        session = self._session
        actors = dict(session.actors) if session is not None else {}
        return info.gather(
            {name: self._engaged(name) or self._seen(name) for name in names},
            folder=self._folder,
            lives={name: life for name, actor in actors.items() if (life := actor.life) is not None},
            definitions=self._registry.all(),
            declared=self._registry.declared(),
            meter=self._meter,
        )

    def _changed(self, name: str, before: ToolStatus, now: ToolStatus) -> None:
        change = ToolChanged(name=name, status=now, previous=before)
        with self._lock:
            subscriptions = tuple(self._subscriptions)
        for subscription in subscriptions:
            subscription.push(change)
        if self._events is not None:
            try:
                self._events.emit(change)
            except Exception:  # noqa: BLE001 - logged
                # What listens must not bring down what supervises.
                _log.exception("a listener has failed")

    def _after_fork(self) -> None:
        """In a forked child: neither the thread nor the sockets of the parent's session are ours to use."""
        _OF_PARENTS.append(self._session)  # never collected: that would warn of what only the parent can close
        self._session = None
        self._lock = threading.Lock()
        self._subscriptions = weakref.WeakSet()
        self._registry.after_fork()
        self._meter = Meter()


_LIVE: weakref.WeakSet[Orchestrator] = weakref.WeakSet()
_OF_PARENTS: list[Session | None] = []


def _after_fork() -> None:
    for orchestrator in tuple(_LIVE):
        orchestrator._after_fork()  # noqa: SLF001 - of the same module


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
