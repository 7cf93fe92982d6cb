"""What of a project goes to its remote and comes back: snapshots, kept build results, and what was built last."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

from dxforge.build.exchange import BuildStore, Intake, listing
from dxforge.config.load import RemoteEnvironment, load_remote_environment
from dxforge.config.model import Config
from dxforge.errors import DxForgeError, SnapshotDamagedError
from dxforge.events import EventBus, Notice
from dxforge.files import prepare_state_dir, project_lock
from dxforge.remote.location import Location, parse_location
from dxforge.remote.model import ACTION, ARTIFACT, BLOB, JSON, OBJECT, Entry, Item, PullReport, SyncPlan, SyncReport
from dxforge.remote.sync import Remote
from dxforge.remote.threads import begin
from dxforge.store.model import Snapshot
from dxforge.store.objects import children
from dxforge.store.snapshots import SnapshotStore

if TYPE_CHECKING:
    from dxforge.remote.credentials import Credentials

T = TypeVar("T")
Check = Callable[[], None]
_WAIT_S = 60.0
_PATIENCE_S = 10.0
_SLOWEST_BYTES_PER_S = 1 << 20
_PRODUCTS = "products"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulled:
    """What `Syncing.pull` brought: snapshots and build results that were not here. ``lost`` are ids of snapshots that
    the remote names and no longer has whole."""

    report: PullReport
    snapshots: tuple[Snapshot, ...] = ()
    results: int = 0
    lost: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    """Names of other projects whose snapshots are there, too, and were left there."""

    @property
    def ok(self) -> bool:
        """Whether everything was as it should be."""
        return self.report.ok and not self.lost

    def to_json(self) -> dict[str, Any]:
        """All of it."""
        return {
            **self.report.to_json(),
            "ok": self.ok,
            "snapshots": [{"id": item.id, "time": item.time, "label": item.label} for item in self.snapshots],
            "results": self.results,
            "lost": list(self.lost),
            "others": list(self.others),
        }


class Syncing:
    """A project and its remote. Blocks; belongs in a thread.

    Args:
        config: the project's.
        events: hears Progress ("upload", "fetch": bytes) and Notices.
        credentials: typed in; None: those of the environment.

    Raises (from every method):
        ConfigError, RemoteError: of `Remote`.
        ProjectBusyError: another sync of this project goes on for too long.
    """

    def __init__(self, config: Config, *, events: EventBus, credentials: Credentials | None = None) -> None:
        self.config = config
        self._events = events
        self._credentials = credentials
        self._snapshots = SnapshotStore(config.root, events=events, limits=config.snapshots)
        self._build = BuildStore(config.root)

    def remote(self) -> Remote:
        """The project's remote; asks nothing of it."""
        return Remote.open(self.config, events=self._events, credentials=self._credentials)

    def plan(self, *, check: Check) -> SyncPlan:
        """What :meth:`push` would do."""
        items, refs = self._everything()
        return self.remote().plan(items, refs, whole=True, check=check)

    def push(self, *, check: Check) -> SyncReport:
        """Upload what the remote lacks. Interrupted, the next one goes on where this one was."""
        with self._lock(check):
            items, refs = self._everything()
            remote = self.remote()
            report = remote.push(items, refs, whole=True, check=check)
            damaged = [left.name for left in report.left_out if left.kind == BLOB]
            if damaged:
                # What is damaged in our own cache is of no use to anyone, and must not hold up everything else.
                self._build.forget(damaged)
                items, refs = self._everything()
                report = remote.push(items, refs, whole=True, check=check)
            return report

    def verify(self, *, check: Check) -> Pulled:
        """Read everything there, and mark what is damaged, so that the next push heals it.

        Returns:
            With no snapshots nor results; ``lost`` also has those of other projects, and those found earlier.
        """
        links: dict[str, list[str]] = {}

        def take(entry: Entry, content: memoryview) -> None:
            if entry.kind == OBJECT:
                kind, _, oid = entry.name.partition(":")
                links[oid] = [] if kind == "blob" else [other for other, _ in children(kind, bytes(content))]

        with self._lock(check):
            report = self.remote().pull(take, in_threads=True, check=check)
        wanted = dict.fromkeys(oid for refs in report.refs for oid in _texts(refs.values.get("snapshots")))
        sound: set[str] = set()
        return Pulled(report=report, lost=tuple(oid for oid in wanted if not _is_whole(oid, links, sound)))

    def pull(self, *, check: Check) -> Pulled:
        """Take over snapshots and build results that are not here; the project's own files are left as they are."""
        with self._lock(check), tempfile.TemporaryFile(dir=self._folder()) as spool:
            objects: dict[tuple[str, str], tuple[int, int]] = {}
            with self._build.intake(self._events, check) as intake:

                def take(entry: Entry, content: memoryview) -> None:
                    if entry.kind == OBJECT:
                        kind, _, oid = entry.name.partition(":")
                        objects[oid, kind] = (spool.tell(), len(content))
                        spool.write(content)
                    else:
                        _take_result(intake, entry, content)

                report = self.remote().pull(take, kinds=(OBJECT, BLOB, ACTION), known=self._is_here, check=check)
            mine = [refs.values for refs in report.refs if refs.values.get("project") == self.config.name]
            theirs = {str(refs.values.get("project")) for refs in report.refs} - {self.config.name, "None"}
            wanted = list(dict.fromkeys(oid for values in mine for oid in _texts(values.get("snapshots"))))
            new, lost = self._import(wanted, objects, spool, check)
            return Pulled(
                report=report,
                snapshots=tuple(new),
                results=intake.results,
                lost=tuple(lost),
                others=tuple(sorted(theirs)),
            )

    def _import(
        self, wanted: list[str], objects: Mapping[tuple[str, str], tuple[int, int]], spool: IO[bytes], check: Check
    ) -> tuple[list[Snapshot], list[str]]:
        def contents() -> Iterator[tuple[str, str, bytes]]:
            for (oid, kind), (start, length) in objects.items():
                spool.seek(start)
                yield oid, kind, spool.read(length)

        if not wanted:
            return [], []
        try:
            return self._snapshots.import_objects(contents(), wanted, check=check), []
        except SnapshotDamagedError:
            pass  # one of them: the others shall come all the same
        new, lost = [], []
        for oid in wanted:
            try:
                new += self._snapshots.import_objects(contents(), [oid], check=check)
            except SnapshotDamagedError:
                lost.append(oid)
        return new, lost

    def _is_here(self, entry: Entry) -> bool:
        match entry.kind:
            case "object":
                return entry.name.partition(":")[2] in self._snapshots
            case "blob":
                return self._build.has_blob(entry.sha256, entry.size_bytes)
            case _:
                return self._build.has_result(entry.name)

    def _everything(self) -> tuple[list[Item], dict[str, JSON]]:
        """All that this project wants to be there, and what it notes beside it."""
        snapshots = self._snapshots.list()
        items = [
            # git's id stands for the content; the kind is needed to take it over elsewhere.
            Item(kind=OBJECT, name=f"{found.kind}:{found.oid}", size_bytes=found.size, read=found.read)
            for found in self._snapshots.objects()
        ]
        blobs: dict[str, Item] = {}
        actions = []
        for result in self._build.results():
            for digest, size in result.blobs.items():
                blobs[digest] = Item(kind=BLOB, sha256=digest, size_bytes=size, read=self._build.blob(digest))
            actions.append(_item(ACTION, result.key, result.data, needs=tuple(result.blobs)))
        products = self._build.products()
        for path, row in list(products.items()):
            if row.kind != "file" or row.what in blobs:
                continue
            file = self.config.root / path
            if _digest(file) == row.what:
                blobs[row.what] = Item(kind=BLOB, sha256=row.what, size_bytes=row.size, read=file)
            else:
                del products[path]  # changed since it was built, so it is no product any more
        needs = tuple(dict.fromkeys(row.what for row in products.values() if row.kind == "file"))
        artifacts = [_item(ARTIFACT, _PRODUCTS, listing(products), needs=needs)] if products else []
        refs: dict[str, JSON] = {
            "project": self.config.name,
            "snapshots": [snapshot.oid for snapshot in snapshots],
            "products": artifacts[0].sha256 if artifacts else None,
        }
        return [*items, *blobs.values(), *actions, *artifacts], refs

    def _folder(self) -> Path:
        return prepare_state_dir(self.config.root)

    def _lock(self, check: Check) -> contextlib.AbstractContextManager[None]:
        return project_lock(self._folder(), wait_s=_WAIT_S, events=self._events, check=check, name="sync.lock")


def _is_whole(oid: str, links: Mapping[str, list[str]], sound: set[str]) -> bool:
    """Whether everything that an object needs is in ``links``; what is goes into ``sound``."""
    seen: set[str] = set()
    todo = [oid]
    while todo:
        one = todo.pop()
        if one not in links:
            return False
        seen.add(one)
        todo.extend(other for other in links[one] if other not in seen and other not in sound)
    sound |= seen
    return True


def location_of(config: Config, environment: RemoteEnvironment) -> Location:
    """Where the project's remote is.

    Raises:
        ConfigError: the address cannot be one.
    """
    return parse_location(
        config.remote.url,
        root=config.root,
        where=str(config.file),
        endpoint=environment.endpoint,
        region=environment.region,
    )


def _item(kind: str, name: str, content: bytes, *, needs: tuple[str, ...]) -> Item:
    return Item(
        kind=kind,
        name=name,
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
        read=functools.partial(bytes, content),
        needs=needs,
    )


def _digest(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return ""


def _take_result(intake: Intake, entry: Entry, content: memoryview) -> None:
    if entry.kind == BLOB:
        intake.blob(entry.sha256, content)
    else:
        intake.result(entry.name, bytes(content))


def _texts(value: JSON) -> list[str]:
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []


@dataclass(slots=True)
class RemoteResults:
    """The remote as a build's cache sees it (`dxforge.build.through.Far`): raises nothing, and is left when it is slow.

    All its waiting for one build takes no longer than ten seconds, and what it takes to read at 1 MiB/s.
    """

    config: Config
    events: EventBus
    _remote: Remote | None = None
    _off: bool = False
    _left_s: float = field(default=_PATIENCE_S)

    def record(self, key: str) -> bytes | None:
        """See `Far.record`."""
        return self._ask(lambda remote: remote.get(ACTION, key), 0)

    def contents(self, digests: Mapping[str, int]) -> Mapping[str, bytes]:
        """See `Far.contents`."""
        keys = [(BLOB, digest, digest) for digest in digests]
        found = self._ask(lambda remote: remote.get_many(keys), sum(digests.values()))
        return {key[2]: content for key, content in (found or {}).items()}

    def _ask(self, ask: Callable[[Remote], T], size_bytes: int) -> T | None:
        remote = self._opened()
        if remote is None:
            return None
        begun_s = time.monotonic()
        future: Future[T] = begin(lambda: ask(remote))
        try:
            return future.result(timeout=self._left_s + size_bytes / _SLOWEST_BYTES_PER_S)
        except TimeoutError:
            self._give_up(f"it did not answer within {_PATIENCE_S:g} s")
        except DxForgeError as error:
            self._give_up(str(error))
        except Exception as error:  # noqa: BLE001 - a build never fails because of the remote
            self._give_up(f"{type(error).__name__}: {error}")
        finally:
            self._left_s -= max(0.0, time.monotonic() - begun_s - size_bytes / _SLOWEST_BYTES_PER_S)
            if self._left_s <= 0 and not self._off:
                self._give_up(f"waiting for it took {_PATIENCE_S:g} s")
        return None

    def _opened(self) -> Remote | None:
        if self._remote is None and not self._off:
            try:
                location = location_of(self.config, load_remote_environment())
                # Nothing was ever synced to a folder of the project's own that does not exist; and without .dx, this
                # is a mere plan, which writes nothing.
                absent = location.relative and location.folder is not None and not location.folder.is_dir()
                if absent or not (self.config.root / ".dx").is_dir():
                    return None
                remote = Remote.open(self.config, events=self.events)
            except DxForgeError as error:
                self._give_up(str(error))
                return None
            self._remote, self._off = remote, not remote.options.read
        return None if self._off else self._remote

    def _give_up(self, why: str) -> None:
        self._off = True
        self.events.emit(Notice(text=f"the build goes on without the remote: {why}"))
