"""What the review panel shows, and what its buttons do. Hunks and decisions are on disk; nothing is kept here."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from dxforge.errors import ChangedMeanwhileError, DxForgeError, StaleDecisionError, UsageError
from dxforge.events import Event, Progress
from dxforge.traffic.lock import escape, unescape
from dxforge.traffic.model import Decision, Operation, Standing, TrafficLight
from dxforge_nb.panels.channel import Message, Push, StaleError, text_of

if TYPE_CHECKING:
    from dxforge.forge import DxForge

SHORTEST_S = 0.25
"""Between two looks, however much is going on."""
LOOK_S = 1.0
"""Between two looks at whether anyone has changed something."""
SLICE_FILES = 500
"""Pending files that one such look is about: the next takes the following ones."""
_CONFIG = "dx.toml"

T = TypeVar("T")
Marks = Mapping[str, tuple[int, int, int] | None]
"""By file or folder: what is another whenever it was written."""


class ReviewTopic:
    """The pending files of one project (`Topic`).

    Args:
        forge: the project's, open.
    """

    name = "review"
    reads = frozenset({"refresh", "open"})

    def __init__(self, forge: DxForge) -> None:
        self._forge = forge
        self._reviewing = forge.traffic_manager.reviewing
        self._place = hashlib.sha256(os.fsencode(forge.root)).hexdigest()[:16]
        """Under which a page keeps what it has of this project."""
        self._wake = asyncio.Event()
        self._looking = asyncio.Lock()
        """Held while what is known may change: a look that began before a decision must not end after it."""
        self._files: dict[str, Standing] = {}
        self._newest = ""
        self._undo: Operation | None = None
        self._met: set[str] = set()
        """Every path that has awaited a decision since the first look."""
        self._told: tuple[dict[str, Standing], Operation | None] = ({}, None)
        """What all pages know that watch."""
        self._push: Push | None = None
        self._seen: Marks | None = None
        """As they were at the last look at everything; what was decided here since then is known."""
        self._deciding = False
        self._prepared = False
        self._open = ""
        self._rounds: Iterator[list[str]] = iter(())

    # -- what pages ask ---------------------------------------------------------------------------------------------

    async def handle(self, op: str, args: Mapping[str, Any]) -> Message:
        """See `Topic`. "hello" and "refresh": everything, looked at now."""
        match op:
            case "hello" | "refresh":
                async with self._looking:
                    await self._look()
                    self._tell()
                return {
                    "files": [_entry(known) for known in self._files.values()],
                    "place": self._place,
                    **self._summary(),
                }
            case "open":
                return await self._view(unescape(text_of(args, "path")))
            case "decide":
                what, versions, hunks = _what(args), _versions(args), _hunks(args)
                return await self._decide(lambda: self._reviewing.decide(what, versions, hunks))
            case "resolve":
                path, version = unescape(text_of(args, "path")), text_of(args, "version")
                content = text_of(args, "content")
                return await self._decide(lambda: self._reviewing.resolve(path, version, content))
            case "undo":
                operation = text_of(args, "operation")
                return await self._decide(lambda: self._reviewing.undo(operation))
            case _:
                raise UsageError("this panel knows nothing of the kind", where=op, hint="Reload the page")

    async def _view(self, path: str) -> Message:
        self._open = path
        view = await self._fresh(lambda: self._reviewing.view(path))
        return {**view.to_json(), "entry": _entry(view.standing)}

    async def _decide(self, work: Callable[[], Decision]) -> Message:
        return self._answer(await self._carry_out(work))

    async def _carry_out(self, work: Callable[[], Decision]) -> Decision:
        async with self._looking:
            self._deciding = True
            try:
                before, decision = await self._fresh(lambda: (self._marks(), work()))
            except DxForgeError:
                self._wake.set()  # who was refused has to know how things are now
                raise
            finally:
                self._deciding = False
            self._take(decision.changed, decision.gone)
            last = self._newest
            marks, self._newest, self._undo = await asyncio.to_thread(
                lambda: (self._marks(), self._reviewing.newest(), self._reviewing.last())
            )
            if before == self._seen and before[_CONFIG] == marks[_CONFIG] and _next(last, decision, self._newest):
                self._seen = marks  # no need to look at everything: this is all that has changed
            self._tell()
        return decision

    def _answer(self, decision: Decision) -> Message:
        return {
            "operation": decision.operation,
            "changed": [_entry(known) for known in decision.changed],
            "gone": [escape(path) for path in decision.gone],
            "notes": [escape(note) for note in decision.notes],
            **self._summary(),
        }

    async def _fresh(self, work: Callable[[], T]) -> T:
        """The result of ``work`` in a thread; what it was asked about must not have changed."""
        try:
            return await asyncio.to_thread(work)
        except StaleDecisionError as error:
            stale = [{"path": escape(path), "what": escape(what)} for path, what in error.files]
            raise StaleError(error.what, where=escape(error.where), hint=error.hint, stale=stale) from error
        except ChangedMeanwhileError as error:
            where = escape(self._relative(error.where))
            hint = "Nothing was done; look at it again, then decide"
            raise StaleError(error.what, where=where, hint=hint, stale=[{"path": where, "what": error.what}]) from error

    def _relative(self, where: str) -> str:
        path = Path(where)
        return path.relative_to(self._forge.root).as_posix() if path.is_relative_to(self._forge.root) else where

    def _summary(self) -> Message:
        lights = [known.light for known in self._files.values()]
        return {
            "summary": {
                "yellow": lights.count(TrafficLight.YELLOW),
                "red": lights.count(TrafficLight.RED),
                "decided": len(self._met - self._files.keys()),
            },
            "undo": None if self._undo is None else {"id": self._undo.id, "summary": _said(self._undo)},
        }

    # -- what changes -----------------------------------------------------------------------------------------------

    async def watch(self, push: Push) -> None:
        """See `Topic`."""
        loop = asyncio.get_running_loop()
        pid = os.getpid()

        def heard(event: Event) -> None:
            if self._concerned(event) and os.getpid() == pid:  # a forked child has our listeners, and not our loop
                with contextlib.suppress(RuntimeError):  # the loop has just ended
                    loop.call_soon_threadsafe(self._wake.set)

        unsubscribe = self._forge.events.subscribe(heard)
        self._push = push
        self._seen = None
        try:
            while True:
                woken = self._wake.is_set()
                self._wake.clear()
                try:
                    async with self._looking:
                        same = not woken and await asyncio.to_thread(self._marks) == self._seen
                        await (self._glance() if same else self._look())
                        self._tell()
                    await self._prepare()
                except DxForgeError:
                    self._seen = None  # somebody is at work on it: look at everything the next time
                await asyncio.sleep(SHORTEST_S)
                with contextlib.suppress(TimeoutError):
                    # Not `wait_for`: until Python 3.12 it swallows a cancellation that comes at the same moment.
                    async with asyncio.timeout(LOOK_S - SHORTEST_S):
                        await self._wake.wait()
        finally:
            unsubscribe()
            self._push = None

    def _concerned(self, event: Event) -> bool:
        from dxforge_nb.panels.registry import CellRan

        applied = isinstance(event, Progress) and event.phase == "apply" and event.done == event.total
        return (applied and not self._deciding) or isinstance(event, CellRan)

    def _marks(self) -> Marks:
        """What is another whenever an operation, another branch or a hand has changed what is pending."""
        root = self._forge.root
        return {name: _mark(root / name) for name in ("dx.lock", _CONFIG, ".dx/operations", ".dx/journal")}

    async def _prepare(self) -> None:
        if not self._prepared:
            self._prepared = True
            await asyncio.to_thread(self._reviewing.prepare)

    async def _look(self) -> None:
        """Look at every pending file."""
        self._seen, files, self._newest, self._undo = await asyncio.to_thread(
            lambda: (self._marks(), self._reviewing.pending(), self._reviewing.newest(), self._reviewing.last())
        )
        self._files = {known.path: known for known in files}
        self._met |= self._files.keys()

    async def _glance(self) -> None:
        """Look at some of them, and at the one that was opened last."""
        some = next(self._rounds, None)
        if some is None:
            self._rounds = _slices(await asyncio.to_thread(self._reviewing.paths))
            some = next(self._rounds, [])
        wanted = {*some, *({self._open} & self._files.keys())}
        if wanted:
            found = await asyncio.to_thread(self._reviewing.pending, wanted)
            self._take(found, wanted - {known.path for known in found})

    def _take(self, changed: list[Standing] | tuple[Standing, ...], gone: set[str] | tuple[str, ...]) -> None:
        files = dict(self._files)
        for path in gone:
            files.pop(path, None)
        files |= {known.path: known for known in changed}
        self._files = dict(sorted(files.items()))
        self._met |= self._files.keys()

    def _tell(self) -> None:
        """Tell all pages what they do not know; whatever else one of them is told comes after this."""
        files, undo = self._told
        self._told = (self._files, self._undo)
        if self._push is not None and (files, undo) != self._told:
            changed = [_entry(known) for path, known in self._files.items() if files.get(path) != known]
            gone = [escape(path) for path in files if path not in self._files]
            self._push({"changed": changed, "gone": gone, **self._summary()})

    async def close(self) -> None:
        """See `Topic`. Nothing runs on."""


def _next(last: str, decision: Decision, now: str) -> bool:
    """Whether ``decision`` is the newest operation, and the only one since ``last``: they are counted."""
    return bool(last) and decision.operation == now and int(now) == int(last) + 1


def _slices(paths: list[str]) -> Iterator[list[str]]:
    return (paths[start : start + SLICE_FILES] for start in range(0, len(paths), SLICE_FILES))


def _mark(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.lstat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size


def _said(operation: Operation) -> str:
    return escape(f"{operation.command} {operation.summary}")


def _entry(known: Standing) -> Message:
    """As JSON; undecodable names stay apart, and can be told from others when they come back."""
    return {key: escape(value) if isinstance(value, str) else value for key, value in known.to_json().items()}


def _what(args: Mapping[str, Any]) -> Literal["accept", "reject"]:
    match args.get("what"):
        case "accept":
            return "accept"
        case "reject":
            return "reject"
        case _:
            raise UsageError("a change can be accepted or rejected", where="what", hint="Reload the page")


def _versions(args: Mapping[str, Any]) -> dict[str, str]:
    files = args.get("files")
    if not isinstance(files, list) or not all(isinstance(file, dict) for file in files):
        raise UsageError("the files are missing", where="files", hint="Reload the page")
    return {unescape(text_of(file, "path")): text_of(file, "version") for file in files}


def _hunks(args: Mapping[str, Any]) -> list[str] | None:
    hunks = args.get("hunks")
    if hunks is None:
        return None
    if not isinstance(hunks, list) or not all(isinstance(hunk, str) for hunk in hunks):
        raise UsageError("the hunks are no list of their ids", where="hunks", hint="Reload the page")
    return hunks
