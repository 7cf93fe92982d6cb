"""``Remote``: pushes to, pulls from and looks into the remote of a project.

Blobs first, manifest last: a push uploads packs, and then creates the next manifest, which must not exist yet. Whoever
loses that race reads the winner's manifest, computes anew and tries again. So a manifest never refers to what is not
there, whenever and wherever anyone is killed, and nobody's work is lost.
"""

from __future__ import annotations

import json
import random
import socket
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NoReturn, Self

from dxforge.config.load import RemoteEnvironment, load_remote_environment
from dxforge.config.model import Config
from dxforge.errors import RemoteContentError, RemoteDeniedError, RemoteError
from dxforge.events import EventBus, Notice, Progress
from dxforge.files import prepare_state_dir
from dxforge.remote.connect import connect
from dxforge.remote.credentials import Credentials, find_credentials
from dxforge.remote.fetch import Fetcher, Into, Take
from dxforge.remote.location import Location, parse_location
from dxforge.remote.model import (
    BLOB,
    JSON,
    Entry,
    Item,
    PullReport,
    Refs,
    RemoteOptions,
    SyncPlan,
    SyncReport,
)
from dxforge.remote.packs import check_item
from dxforge.remote.plan import Change, either
from dxforge.remote.policy import Breaker, RetryPolicy
from dxforge.remote.publish import Publisher
from dxforge.remote.push import Push
from dxforge.remote.reading import held_entries, known_damage, read, refs_of
from dxforge.remote.session import Circuit, Objects, Session
from dxforge.remote.state import Head, SyncState, owner_id, owner_or_new
from dxforge.remote.view import View, look

Check = Callable[[], None]


def _go_on() -> None:
    pass


class Remote:
    """A remote of a project. Thread-safe; nothing is asked of it before the first call.

    Args:
        location: where it is.
        credentials: for any but a folder.
        events: hears Progress (phases "upload" and "fetch", in bytes) and Notices.
        state_dir: what is remembered of remotes, e.g. the project's ``.dx/sync``; made when needed.
        options: see there.
        label: for people: whose project on which machine this is; the machine's name where empty.
        ca_file: certificates to trust besides the system's.
        now_s: seconds since 1970.
        chance: numbers in [0, 1).

    Raises (from every method, unless it says otherwise):
        RemoteCredentialsError, RemoteDeniedError, RemoteMissingError, RemoteContentError: somebody must do something.
        RemoteUnreachableError: worth trying later (``temporary``).
    """

    def __init__(
        self,
        location: Location,
        credentials: Credentials | None = None,
        *,
        events: EventBus,
        state_dir: Path,
        options: RemoteOptions | None = None,
        label: str = "",
        ca_file: str = "",
        now_s: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.location = location
        self.options = options or RemoteOptions()
        self.checkpoint: Callable[[str], None] = lambda _: None
        """Called between steps; for tests that interrupt there."""
        self._credentials = credentials
        self._events = events
        self._state_dir = state_dir
        self._state = SyncState(state_dir / location.id)
        self._label = label or socket.gethostname()
        self._ca_file = ca_file
        self._now_s = now_s
        self._chance = chance
        self._circuit = Circuit(Breaker())
        self._lock = threading.RLock()
        self._objects: Objects | None = None
        self._view: View | None = None
        self._looked_s = 0.0
        self._told = False

    @classmethod
    def open(
        cls,
        config: Config,
        *,
        events: EventBus,
        environment: RemoteEnvironment | None = None,
        credentials: Credentials | None = None,
        options: RemoteOptions | None = None,
    ) -> Self:
        """The remote that ``dx.toml`` names, with ``[remote] read`` and ``write`` unless the environment overrides.

        Args:
            environment: the process's own where None.
            credentials: typed in; looked for in the environment where None.

        Raises:
            ConfigError: the address cannot be one.
            ProjectError: ``.dx`` is no folder.
            RemoteCredentialsError: there are no credentials.
        """
        found = environment or load_remote_environment()
        location = parse_location(
            config.remote.url,
            root=config.root,
            where=str(config.file),
            endpoint=found.endpoint,
            region=found.region,
        )
        return cls(
            location,
            credentials or find_credentials(location, found),
            events=events,
            state_dir=prepare_state_dir(config.root) / "sync",
            options=replace(
                options or RemoteOptions(),
                read=config.remote.read if found.read is None else found.read,
                write=config.remote.write if found.write is None else found.write,
            ),
            label=f"{config.name} on {socket.gethostname()}",
            ca_file=found.ca_file,
        )

    def __repr__(self) -> str:
        return f"Remote({self.location.shown})"

    def __reduce__(self) -> NoReturn:
        message = "a Remote cannot be pickled, nor can its credentials: open it where it is needed"
        raise TypeError(message)

    @property
    def owner(self) -> str:
        """Who this project on this machine is to the remote; made on first use."""
        return owner_id(self._state_dir)

    # -- writing ----------------------------------------------------------------------------------------------------

    def plan(
        self,
        items: Iterable[Item],
        refs: Mapping[str, JSON] | None = None,
        *,
        whole: bool = False,
        check: Check = _go_on,
    ) -> SyncPlan:
        """What `push` with the same arguments would do; uploads nothing. The remote is asked what it has."""
        session = self._session(check)
        owner = owner_or_new(self._state_dir)
        push = self._push(session, items, refs, owner=owner, whole=whole, check=check)
        return push.plan(self._look(session, check))

    def push(
        self,
        items: Iterable[Item],
        refs: Mapping[str, JSON] | None = None,
        *,
        whole: bool = False,
        check: Check = _go_on,
    ) -> SyncReport:
        """Upload what is not there yet, then publish it together with ``refs``.

        Where nothing has changed, two cheap requests say so. When it is interrupted, nothing is published, and the
        next push goes on where this one was.

        Args:
            items: what this project wants to be there.
            refs: notes of this project, by name, to replace those of the same names (None removes one).
            whole: ``items`` is all that this project holds; what it no longer names, and nobody else holds, is
                deleted in time. False: ``items`` are added to what it holds already.
            check: called several times a second; raises to give up.

        Raises:
            RemoteDeniedError: ``write = false``, too.
        """
        self._refuse_writing()
        session = self._session(check)
        push = self._push(session, items, refs, owner=self.owner, whole=whole, check=check)
        publisher = self._publisher(session, check)
        head, published = self._publish(publisher, push.change)
        # Only now: before, they would be lost to the next push when this one is interrupted.
        for packed in (*push.added, *push.rewrite.packs):
            self._state.drop_upload(packed.pack.id)
        deleted = 0
        if published and head.generation % self.options.collect_every == 0:
            deleted = self._collect(publisher, head)
        return SyncReport(
            generation=head.generation,
            published=published,
            uploads=push.uploads,
            size_bytes=push.size_bytes,
            packs=push.packs,
            resumed=push.resumed,
            left_out=tuple(push.left_out.values()),
            deleted=deleted,
            requests=session.requests,
        )

    def forget(self, owner: str, *, check: Check = _go_on) -> bool:
        """Forget an owner that will not come back, with its refs and what only it holds; False: there is none."""
        self._refuse_writing()
        change = Change(owner=self.owner, forget=frozenset({owner}))
        return self._publish(self._publisher(self._session(check), check), lambda _: change)[1]

    def collect(self, *, check: Check = _go_on) -> int:
        """Delete what nothing refers to and is older than the grace time; how many objects that were.

        `push` does this by itself now and then.
        """
        self._refuse_writing()
        session = self._session(check)
        return self._collect(self._publisher(session, check), self._look(session, check).head)

    # -- reading ----------------------------------------------------------------------------------------------------

    def refs(self, *, check: Check = _go_on) -> tuple[Refs, ...]:
        """What all owners noted, the latest first."""
        self._refuse_reading()
        return refs_of(self._look(self._session(check), check))

    def entries(self, kinds: Collection[str] | None = None, *, check: Check = _go_on) -> tuple[Entry, ...]:
        """What somebody holds, of these kinds (None: all)."""
        self._refuse_reading()
        return held_entries(self._look(self._session(check), check), kinds)

    def pull(
        self,
        take: Callable[[Entry, memoryview], object],
        *,
        kinds: Collection[str] | None = None,
        known: Callable[[Entry], bool] = lambda _: False,
        into: Callable[[Entry], Path | None] | None = None,
        in_threads: bool = False,
        check: Check = _go_on,
    ) -> PullReport:
        """Read everything that somebody holds, and the refs.

        Args:
            take: gets each item, in no order, with its content, which is what was uploaded (sha256) and may be used
                until it returns. Its name is whatever the uploader called it: no path to be trusted.
            kinds: only these; None: all.
            known: what is here already, and need not be read.
            into: for items of ``stream_bytes`` and more: the file to write it to, which is faster and takes no memory;
                it is there only when it is whole, and ``take`` is not called. None: ``take`` gets this one too.
            in_threads: call ``take`` in several threads at once, which is faster where it writes files.
            check: called several times a second; raises to give up.

        Raises:
            RemoteDeniedError: ``read = false``, too.
        """
        self._refuse_reading()
        session = self._session(check)
        view = self._look(session, check)
        if view.head.damaged and not view.head.manifest.generation:
            raise RemoteContentError(
                "its manifest is damaged, and there is none before it",
                where=self.location.shown,
                hint="Run `dxforge sync` on a machine that still has everything",
            )
        wanted = [entry for entry in held_entries(view, kinds) if not known(entry)]
        before, gone = known_damage(view)
        fetcher = self._fetcher(session, check, take=take if in_threads else None, into=into)
        done = read(view, wanted, fetcher, take, self._progress)
        if done.gone or gone:
            self._report(session, either(done.gone, gone), check)
        return PullReport(
            items=done.items,
            size_bytes=done.size_bytes,
            refs=refs_of(view),
            damage=(*before, *done.damage),
            requests=session.requests,
        )

    def verify(self, *, check: Check = _go_on) -> PullReport:
        """Read everything that somebody holds, only to see whether it is what was uploaded.

        What is not is marked as gone for everyone, so that the next push from a machine that has it uploads it again.
        """
        return self.pull(lambda _entry, _content: None, in_threads=True, check=check)

    def get(self, kind: str, name: str, *, sha256: str = "", check: Check = _go_on) -> bytes | None:
        """One item; None where it is not there, damaged, or the remote does not answer. Raises what ``check`` does.

        For the build's cache: asks the remote for news at most every ``refresh_s``, does not wait long, and not
        again soon where it did not answer.
        """
        return self.get_many([(kind, name, sha256)], check=check).get((kind, name, sha256))

    def get_blob(self, sha256: str, *, check: Check = _go_on) -> bytes | None:
        """`get` of a blob."""
        return self.get(BLOB, sha256, sha256=sha256, check=check)

    def get_many(
        self, keys: Iterable[tuple[str, str, str]], *, check: Check = _go_on
    ) -> dict[tuple[str, str, str], bytes]:
        """`get` of several items (kind, name, sha256 or "") in as few requests as can be; those that are there."""
        if not self.options.read:
            return {}
        session = self._session(check, self.options.read_retry)
        try:
            view = self._recent(session, check)
            wanted: dict[Entry, list[tuple[str, str, str]]] = {}
            for key in keys:
                entry = view.catalogue.find(*key)
                if entry is not None:
                    wanted.setdefault(entry, []).append(key)
            found: dict[tuple[str, str, str], bytes] = {}

            def take(entry: Entry, content: memoryview) -> None:
                found.update(dict.fromkeys(wanted[entry], bytes(content)))

            gone = read(view, wanted, self._fetcher(session, check), take).gone
            if gone:
                self._report(None, gone, check)
        except RemoteError as error:
            if not self._told:
                self._told = True
                self._events.emit(Notice(text=f"the remote is not used: {error}"))
            return {}
        self._told = False
        return found

    # -- the parts --------------------------------------------------------------------------------------------------

    def _push(
        self,
        session: Session,
        items: Iterable[Item],
        refs: Mapping[str, JSON] | None,
        *,
        owner: str,
        whole: bool,
        check: Check,
    ) -> Push:
        everything = tuple(items)
        for item in everything:
            check_item(item)
        json.dumps(refs)  # what is no JSON raises before anything is uploaded
        return Push(
            session=session,
            state=self._state,
            options=self.options,
            events=self._events,
            spool_dir=self._state_dir,
            owner=owner,
            label=self._label,
            shown=self.location.shown,
            items=everything,
            refs=refs or {},
            whole=whole,
            now_s=self._now_s,
            chance=self._chance,
            check=check,
            checkpoint=self.checkpoint,
        )

    def _fetcher(
        self, session: Session, check: Check, *, take: Take | None = None, into: Into | None = None
    ) -> Fetcher:
        return Fetcher(
            session=session, options=self.options, spool_dir=self._state_dir, check=check, take=take, into=into
        )

    def _report(self, session: Session | None, gone: Mapping[str, int], check: Check) -> None:
        """Tell everyone of damage, so that whoever has the items uploads them again; else note it for our next push."""
        before = self._state.damaged()
        everything = either(gone, before)
        self._state.save_damaged(everything)
        count = sum(mask.bit_count() for mask in gone.values())
        items = f"{count} item{'' if count == 1 else 's'} in {len(gone)} pack{'' if len(gone) == 1 else 's'}"
        text = f"damaged: {items}; the next sync from a machine that has them heals it"
        self._events.emit(Notice(text=f"{self.location.shown}: {text}"))
        if session is None or not self.options.write:
            with self._lock:
                self._view = None
            return
        change = Change(owner=self.owner, gone=everything)
        try:
            self._publish(self._publisher(session, check), lambda _: change)
        except RemoteDeniedError:
            return  # we may only read

    def _publish(self, publisher: Publisher, change: Callable[[View], Change | None]) -> tuple[Head, bool]:
        head, published = publisher.publish(change)
        if published:
            with self._lock:
                self._view = None
        return head, published

    def _collect(self, publisher: Publisher, head: Head) -> int:
        deleted, lost = publisher.collect(head)
        if lost:
            self._report(publisher.session, lost, publisher.check)
        return deleted

    def _look(self, session: Session, check: Check) -> View:
        with self._lock:
            self._view = look(session, self._state, self._view, options=self.options, check=check)
            self._looked_s = time.monotonic()
            return self._view

    def _recent(self, session: Session, check: Check) -> View:
        with self._lock:
            if self._view is not None and time.monotonic() - self._looked_s < self.options.refresh_s:
                return self._view
            return self._look(session, check)

    def _publisher(self, session: Session, check: Check) -> Publisher:
        return Publisher(
            session=session,
            state=self._state,
            options=self.options,
            shown=self.location.shown,
            look=lambda: self._look(session, check),
            now_s=self._now_s,
            chance=self._chance,
            check=check,
            checkpoint=self.checkpoint,
        )

    def _session(self, check: Check, retry: RetryPolicy | None = None) -> Session:
        return Session(
            self._connect(),
            self.location,
            retry=retry or self.options.retry,
            circuit=self._circuit,
            chance=self._chance,
            check=check,
        )

    def _connect(self) -> Objects:
        with self._lock:
            if self._objects is None:
                self._objects = connect(self.location, self._credentials, self.options, ca_file=self._ca_file)
            return self._objects

    def _progress(self, done: int, total: int) -> None:
        self._events.emit(Progress(phase="fetch", item=self.location.shown, done=done, total=total))

    def _refuse_writing(self) -> None:
        if not self.options.write:
            raise RemoteDeniedError(
                "nothing is written there from here: write = false",
                where=self.location.shown,
                hint="Set write = true in dx.toml's [remote], or DXFORGE_REMOTE_WRITE=1 on a machine that may",
            )

    def _refuse_reading(self) -> None:
        if not self.options.read:
            raise RemoteDeniedError(
                "nothing is read from there: read = false",
                where=self.location.shown,
                hint="Set read = true in dx.toml's [remote], or DXFORGE_REMOTE_READ=1 on this machine",
            )
