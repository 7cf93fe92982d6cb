"""All sources behind one door: resolve, obtain, recall."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from dxforge.config.load import Environment
from dxforge.config.model import Config, GitSpec, NpmSpec, PackageSpec, PathSpec, PyPISpec, UrlSpec
from dxforge.errors import SourceError
from dxforge.events import EventBus, Progress
from dxforge.sources import pypi, url
from dxforge.sources.catalogue import Catalogue
from dxforge.sources.context import Context, label
from dxforge.sources.dependencies import Declared, resolve_dependencies
from dxforge.sources.download import Downloader
from dxforge.sources.model import Candidate, Package, Pin
from dxforge.sources.path import PathSource
from dxforge.sources.pypi import PyPISource
from dxforge.sources.unpack import ArchivePackage, open_package
from dxforge.store.archives import ArchiveStore

if TYPE_CHECKING:
    from dxforge.sources.git import GitSource
    from dxforge.sources.npm import NpmSource

_T = TypeVar("_T")
_WORKERS = 8


class Sources:
    """Where packages come from. Thread-safe; cheap to make, and asks nothing of anybody before it has to.

    Args:
        config: the project's; its packages are what :meth:`resolve` resolves.
        environment: index addresses and certificates.
        store: the user's cache.
        events: hears Progress ("resolve", "download", "unpack") and Notices.
        offline: the network is not to be used.
    """

    def __init__(
        self, config: Config, environment: Environment, store: ArchiveStore, events: EventBus, *, offline: bool = False
    ) -> None:
        self._config = config
        self._events = events
        self._store = store
        index = environment.index(config)
        self._context = Context(
            root=config.root,
            limits=config.limits,
            index=index,
            store=store,
            catalogue=Catalogue(store.cache_dir, events),
            net=Downloader(events, ca_file=environment.ca_file, credentials=(index.pypi, index.npm)),
            events=events,
            offline=offline or environment.offline,
            ca_file=environment.ca_file,
        )
        self._pypi = PyPISource(self._context)
        self._path = PathSource(self._context)
        # Made, and their modules imported, when first needed.
        self._npm_source: NpmSource | None = None
        self._git_source: GitSource | None = None
        self._lock = threading.Lock()

    # -- the three questions ----------------------------------------------------------------------------------------

    def resolve(
        self, pins: Mapping[str, Pin], *, upgrade: Collection[str] = (), only: Collection[str] | None = None
    ) -> dict[str, Candidate]:
        """Which archive each package of ``dx.toml`` is, and each that those with dependencies pull in.

        A pin that still is what ``dx.toml`` asks for is taken as it is, without network; a path is taken as it is
        now; anything else is the newest that satisfies.

        Args:
            pins: what ``dx.lock`` has, by name.
            upgrade: names whose pins are not to be taken.
            only: names to resolve (default: all). The other declarations still bind what these pull in.

        Returns:
            By name: dx.toml's packages in the order of the file, then those that were pulled in.

        Raises:
            SourceError, ArchiveError: that of the first package in the order of the file.
        """
        wanted = [spec for spec in self._config.packages if only is None or spec.name in only]
        roots = [spec for spec in wanted if isinstance(spec, PyPISpec) and spec.with_dependencies]
        declared = Declared(
            specs=self._config.packages, roots=tuple(roots), pins=pins, upgrade=frozenset(upgrade)
        )  # fmt: skip
        done = _Counter(self._events, "resolve", len(wanted))

        def find(spec: PackageSpec) -> Candidate:
            candidate = self._settled(spec, pins, upgrade) or self._find(spec)
            done.one(spec.name)
            return candidate

        def pulled() -> dict[str, Candidate]:
            found = resolve_dependencies(declared, self._pypi, satisfies=pypi.satisfies)
            for spec in roots:
                done.one(spec.name)
            return found

        alone = [spec for spec in wanted if spec not in roots]
        try:
            quick = {spec.name: settled for spec in alone if (settled := self._settled(spec, pins, upgrade))}
            jobs: dict[str, Callable[[], Candidate | dict[str, Candidate]]] = {}
            for spec in wanted:
                if spec in roots:
                    jobs.setdefault("", pulled)
                elif spec.name in quick:
                    done.one(spec.name)
                else:
                    jobs[spec.name] = lambda spec=spec: find(spec)  # type: ignore[misc]
            results = _all(jobs)
        finally:
            self._context.net.close()
        needed = results.pop("", {})
        assert isinstance(needed, dict)  # noqa: S101 - "" is no package's name
        found: dict[str, Candidate] = {}
        for spec in wanted:
            candidate = needed.get(spec.name) or quick.get(spec.name) or results[spec.name]
            assert isinstance(candidate, Candidate)  # noqa: S101 - "" was taken out
            found[spec.name] = candidate
        return found | {name: candidate for name, candidate in needed.items() if name not in found}

    def obtain(self, candidates: Mapping[str, Candidate]) -> dict[str, Package]:
        """The packages themselves, downloaded in parallel where the cache lacks them, verified and examined.

        Raises:
            SourceError, ArchiveError: that of the first in the mapping's order; what was downloaded stays cached.
        """
        done = _Counter(self._events, "unpack", len(candidates))

        def get(candidate: Candidate) -> Package:
            package = self._package(candidate)
            done.one(candidate.name)
            return package

        try:
            jobs = {name: lambda item=item: get(item) for name, item in candidates.items()}
            return _all(jobs)
        finally:
            self._context.net.close()

    def recall(self, pin: Pin) -> Package:
        """The archive of a locked pin: from the cache, else found again at its source.

        Raises:
            SourceError: it cannot be had any more; says why.
        """
        try:
            return self._package(Candidate.of(pin))
        finally:
            self._context.net.close()

    # -- one package ------------------------------------------------------------------------------------------------

    def _settled(self, spec: PackageSpec, pins: Mapping[str, Pin], upgrade: Collection[str]) -> Candidate | None:
        """The locked archive, where it still is what is asked for; no network, no disk."""
        pin = pins.get(spec.name)
        if pin is None or spec.name in upgrade or not _satisfies(spec, pin):
            return None
        return replace(Candidate.of(pin), direct=True, requires=())

    def _find(self, spec: PackageSpec) -> Candidate:
        if isinstance(spec, PyPISpec):
            return self._pypi.find(spec)
        if isinstance(spec, NpmSpec):
            return self._npm.find(spec)
        if isinstance(spec, GitSpec):
            return self._git.find(spec)
        if isinstance(spec, PathSpec):
            return self._path.find(spec)
        return url.candidate(spec)

    def _locate(self, pin: Pin) -> Candidate:
        if pin.kind == "pypi":
            return self._pypi.locate(pin)
        if pin.kind == "npm":
            return self._npm.locate(pin)
        if pin.kind == "git":
            return self._git.locate(pin)
        if pin.kind == "path":
            return self._path.locate(pin)
        if pin.kind == "url":
            return url.locate(pin)
        raise SourceError(
            f'dx.lock names a source "{pin.kind}" that this dxforge does not know',
            where=pin.name,
            hint="Upgrade dxforge",
        )

    def _package(self, candidate: Candidate) -> ArchivePackage:
        found, path = self._archive(candidate)
        return open_package(path, found.pin(), self._context.limits, self._store)

    def _archive(self, candidate: Candidate) -> tuple[Candidate, Path]:
        path = self._store.get(candidate.sha256) if candidate.sha256 and not candidate.digests else None
        if path is not None:
            if candidate.location:
                self._context.catalogue.record(candidate, self._origin(candidate))
            return candidate, path
        if candidate.location:
            return self._context.fetch(candidate, self._origin(candidate))
        located = self._locate(candidate.pin())
        path = self._store.get(candidate.sha256)
        if path is None:
            if not located.location:
                raise SourceError("its archive is not in the cache any more", where=label(candidate), hint="Try again")
            _, path = self._context.fetch(located, self._origin(located))
        return candidate, path

    def _origin(self, candidate: Candidate) -> str:
        if candidate.kind == "pypi":
            return self._pypi.origin
        return self._npm.origin if candidate.kind == "npm" else ""

    @property
    def _npm(self) -> NpmSource:
        from dxforge.sources.npm import NpmSource

        with self._lock:
            if self._npm_source is None:
                self._npm_source = NpmSource(self._context)
            return self._npm_source

    @property
    def _git(self) -> GitSource:
        from dxforge.sources.git import GitSource

        with self._lock:
            if self._git_source is None:
                self._git_source = GitSource(self._context)
            return self._git_source


class _Counter:
    """Tells how many of a number of packages are done."""

    def __init__(self, events: EventBus, phase: str, total: int) -> None:
        self._events = events
        self._phase = phase
        self._total = total
        self._done = 0
        self._lock = threading.Lock()

    def one(self, item: str) -> None:
        """One more."""
        with self._lock:
            self._done += 1
            self._events.emit(Progress(phase=self._phase, item=item, done=self._done, total=self._total))


def _satisfies(spec: PackageSpec, pin: Pin) -> bool:
    """Whether ``pin`` still is what ``spec`` asks for; a path always has to be looked at."""
    if isinstance(spec, PyPISpec):
        return pypi.satisfies(spec, pin)
    if isinstance(spec, NpmSpec):
        from dxforge.sources import npm

        return npm.satisfies(spec, pin)
    if isinstance(spec, GitSpec):
        from dxforge.sources import git

        return git.satisfies(spec, pin)
    return isinstance(spec, UrlSpec) and url.satisfies(spec, pin)


def _all(jobs: Mapping[str, Callable[[], _T]]) -> dict[str, _T]:
    """Run ``jobs`` side by side; their results in order, or the first error in order."""
    if len(jobs) < 2:
        return {name: job() for name, job in jobs.items()}
    with ThreadPoolExecutor(min(_WORKERS, len(jobs)), thread_name_prefix="dxforge-sources") as pool:
        futures: dict[str, Future[_T]] = {name: pool.submit(job) for name, job in jobs.items()}
        try:
            return {name: future.result() for name, future in futures.items()}
        finally:
            _cancel(futures.values())


def _cancel(futures: Iterable[Future[_T]]) -> None:
    for future in futures:
        future.cancel()
