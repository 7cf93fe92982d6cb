"""Typed events. The runtime never prints: panels, progress bars and logs listen here."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Base of all events."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice(Event):
    """Something worth one line to the user, e.g. a cache entry that was damaged and fetched again."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingForProject(Event):
    """Another process holds the project's lock (``pid``, where known) and we wait for it."""

    pid: int | None
    timeout_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress(Event):
    """Work in progress: ``done`` of ``total`` units (None when unknown).

    ``phase`` is one of "resolve" (packages), "download" (bytes, ``item`` names the file), "unpack" (packages),
    "merge", "apply" and "snapshot" (files), "build" (steps), "analyze" (files), "upload" and "fetch" (bytes to and from
    the remote). The last event of an item has ``done == total``.
    """

    phase: str
    item: str = ""
    done: int
    total: int | None = None


Listener = Callable[[Event], None]


class EventBus:
    """Hands events to listeners, in the emitting thread. Thread-safe; a listener must not block."""

    def __init__(self) -> None:
        self._listeners: tuple[Listener, ...] = ()
        self._lock = threading.Lock()

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Add ``listener``; the returned function removes it and may be called more than once."""
        with self._lock:
            self._listeners = (*self._listeners, listener)

        def unsubscribe() -> None:
            with self._lock:
                self._listeners = tuple(known for known in self._listeners if known is not listener)

        return unsubscribe

    def emit(self, event: Event) -> None:
        """Hand ``event`` to every listener, in the order of subscription."""
        for listener in self._listeners:
            listener(event)
