"""What kernel and page say to each other, as pure bookkeeping: nothing here sends, waits, or knows a widget.

A page numbers what it asks, and asks again what was not acknowledged; each request is done at most once, and a repeated
one gets the answer that it got before. What all pages are told is numbered too, so that one that missed something
notices.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from dxforge.errors import DxForgeError, ReviewError, UsageError

VERSION = 1
ANSWERS_KEPT = 256
"""Per client; a repeated request beyond is refused, not done."""
CLIENTS_KEPT = 64
LEASE_S = 120.0
"""So long a page counts as looking after it last said so."""
_MAX_NAME_CHARS = 200

Message = dict[str, Any]
Push = Callable[[Mapping[str, Any]], None]


class Topic(Protocol):
    """What one panel is about. All of it runs on the loop of the project's forge.

    Attributes:
        name: of its pushes.
        reads: what changes nothing, and may be asked for and done again: such answers are large, and not kept.
    """

    @property
    def name(self) -> str: ...

    @property
    def reads(self) -> frozenset[str]: ...

    async def handle(self, op: str, args: Mapping[str, Any]) -> Message:
        """Do what a page asks; "hello" asks for the full state. Called for one request at a time.

        Raises:
            DxForgeError: told to the page; what it has as ``stale`` (`StaleError`) is told, too.
        """

    async def watch(self, push: Push) -> None:
        """Run while somebody looks, and push what changes; cancelled when nobody does any more."""

    async def close(self) -> None:
        """End what the topic itself still runs; called once."""


def text_of(args: Mapping[str, Any], key: str) -> str:
    """The text that a request has as ``key``.

    Raises:
        UsageError: there is none.
    """
    value = args.get(key)
    if not isinstance(value, str):
        raise UsageError("a text is missing", where=key, hint="Reload the page")
    return value


class StaleError(ReviewError):
    """What was decided on has changed meanwhile, and nothing was done; ``stale``: per path, what changed."""

    def __init__(self, what: str, *, where: str = "", hint: str = "", stale: Sequence[Mapping[str, str]] = ()) -> None:
        super().__init__(what, where=where, hint=hint)
        self.stale = tuple(stale)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Something to be done, once."""

    client: str
    number: int
    op: str
    args: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """What is to be sent at once, and what is to be done."""

    replies: tuple[Message, ...] = ()
    request: Request | None = None


@dataclass(slots=True)
class _Client:
    answers: OrderedDict[int, Message] = field(default_factory=OrderedDict)
    under_way: set[int] = field(default_factory=set)
    forgotten: int = 0
    """All up to this number may have been done."""


class Channel:
    """The pages of one model, and what was said to them. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._clients: OrderedDict[str, _Client] = OrderedDict()
        self._seq = 0

    @property
    def seq(self) -> int:
        """The number of the last push."""
        return self._seq

    def receive(self, content: object) -> Received:
        """Take what a page sent. What cannot be read is left unanswered: nobody knows whom to answer."""
        request = _read(content)
        if request is None:
            return Received()
        got = {"dx": VERSION, "to": request.client, "re": request.number, "got": True}
        with self._lock:
            client = self._clients.get(request.client)
            if client is None:
                if request.op not in _FIRST:
                    return Received(replies=(got, _refusal(request, "UnknownClientError", _UNKNOWN)))
                client = self._admit(request)
            self._clients.move_to_end(request.client)
            if request.number in client.answers:
                return Received(replies=(got, client.answers[request.number]))
            if request.number in client.under_way:
                return Received(replies=(got,))
            if request.number <= client.forgotten:
                return Received(replies=(got, _refusal(request, "ForgottenError", _FORGOTTEN)))
            client.under_way.add(request.number)
        return Received(replies=(got,), request=request)

    def answer(self, request: Request, body: Mapping[str, Any], *, keep: bool = True) -> Message:
        """The message that tells what came of a request.

        Args:
            request: what was asked.
            body: the answer.
            keep: for those who ask again; otherwise it is done again for them.
        """
        return self._ended(request, {**body, **_to(request), "ok": True}, keep=keep)

    def failure(self, request: Request, error: DxForgeError) -> Message:
        """The message that tells why a request was not done; kept for those who ask again."""
        fields = {"kind": error.kind, "what": error.what, "where": error.where, "hint": error.hint}
        message = {**_to(request), "ok": False, "error": fields}
        if stale := getattr(error, "stale", ()):
            message["stale"] = [dict(item) for item in stale]
        return self._ended(request, message, keep=True)

    def push(self, topic: str, body: Mapping[str, Any]) -> Message:
        """The next message to all pages."""
        with self._lock:
            self._seq += 1
            return {**body, "dx": VERSION, "push": topic, "seq": self._seq}

    def skip(self) -> None:
        """Leave out one number: pages may have missed something, and shall ask for the state again."""
        with self._lock:
            self._seq += 1

    def _admit(self, request: Request) -> _Client:
        while len(self._clients) >= CLIENTS_KEPT:
            idle = next((name for name, known in self._clients.items() if not known.under_way), None)
            if idle is None:
                break
            del self._clients[idle]
        # What it asked for before may have been done when we still knew it.
        client = self._clients[request.client] = _Client(forgotten=request.number - 1)
        return client

    def _ended(self, request: Request, message: Message, *, keep: bool) -> Message:
        with self._lock:
            client = self._clients.get(request.client)
            if client is not None:
                client.under_way.discard(request.number)
                if keep:
                    client.answers[request.number] = message
                while len(client.answers) > ANSWERS_KEPT:
                    number, _ = client.answers.popitem(last=False)
                    client.forgotten = max(client.forgotten, number)
        return message


class Leases:
    """Who looks at a panel, and until when they are believed to. Times are in seconds, of any clock that only grows."""

    def __init__(self, length_s: float = LEASE_S) -> None:
        self._length_s = length_s
        self._ends_s: dict[str, float] = {}

    def take(self, client: str, now_s: float) -> None:
        """``client`` looks now."""
        self._ends_s[client] = now_s + self._length_s

    def end(self, client: str) -> None:
        """``client`` looks no more."""
        self._ends_s.pop(client, None)

    def left_s(self, now_s: float) -> float:
        """For how long somebody still counts as looking; 0 when nobody does."""
        self._ends_s = {client: end_s for client, end_s in self._ends_s.items() if end_s > now_s}
        return max(self._ends_s.values(), default=now_s) - now_s


class IdleClock:
    """Seconds in which the kernel could hear its pages: it stands still while a cell runs. Thread-safe."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._lost_s = 0.0
        self._busy_since_s: float | None = None
        self._lock = threading.Lock()

    def __call__(self) -> float:
        """The time now."""
        with self._lock:
            return (self._now() if self._busy_since_s is None else self._busy_since_s) - self._lost_s

    def stop(self) -> None:
        """The kernel is busy from now on."""
        with self._lock:
            if self._busy_since_s is None:
                self._busy_since_s = self._now()

    def go_on(self) -> None:
        """It is not any more."""
        with self._lock:
            if self._busy_since_s is not None:
                self._lost_s += self._now() - self._busy_since_s
                self._busy_since_s = None


def _read(content: object) -> Request | None:
    if not isinstance(content, dict) or content.get("dx") != VERSION:
        return None
    args = {key: value for key, value in content.items() if key not in _ENVELOPE}
    client, number, op = content.get("client"), content.get("n"), content.get("op")
    if not isinstance(client, str) or not 0 < len(client) <= _MAX_NAME_CHARS:
        return None
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        return None
    if not isinstance(op, str) or len(op) > _MAX_NAME_CHARS:
        return None
    return Request(client=client, number=number, op=op, args=args)


def _to(request: Request) -> Message:
    return {"dx": VERSION, "to": request.client, "re": request.number}


def _refusal(request: Request, kind: str, what: str) -> Message:
    error = {"kind": kind, "what": what, "where": "", "hint": "Say hello again and look before deciding anew"}
    return {**_to(request), "ok": False, "error": error}


_FIRST = frozenset({"hello", "watch"})
_ENVELOPE = frozenset({"dx", "client", "n", "op"})
_UNKNOWN = "this page is not known here (any more), so nothing was done"
_FORGOTTEN = "that was asked so long ago that nobody knows whether it was done; it is not done again"
