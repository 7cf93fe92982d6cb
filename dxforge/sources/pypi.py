"""Packages of the Python index: PEP 503 and 691 through pypi-simple, choice by :mod:`.selection`."""

from __future__ import annotations

import hashlib
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn

from dxforge.config.model import PyPISpec
from dxforge.errors import DownloadError, IntegrityError, OfflineError, PackageNotFoundError, SourceError
from dxforge.events import Notice
from dxforge.sources import selection
from dxforge.sources.context import Context, label
from dxforge.sources.download import shown_url, strip_userinfo
from dxforge.sources.metadata import requirements_in, requirements_of
from dxforge.sources.model import Candidate, Layout, Pin
from dxforge.sources.selection import IndexFile, Wanted
from dxforge.sources.unpack import open_package

if TYPE_CHECKING:
    from packaging.tags import Tag

PYTHON = ".".join(str(part) for part in sys.version_info[:3])


def project_of(spec: PyPISpec) -> str:
    """The project's normalised name on the index (PEP 503)."""
    from packaging.utils import canonicalize_name

    return canonicalize_name(spec.project or spec.name)


def satisfies(spec: PyPISpec, pin: Pin) -> bool:
    """Whether the locked archive is still what ``dx.toml`` asks for. Pure."""
    from packaging.utils import canonicalize_name
    from packaging.version import InvalidVersion, Version

    if pin.kind != "pypi" or canonicalize_name(pin.ref) != project_of(spec):
        return False
    asked = selection.wanted(spec.version, prereleases=spec.prereleases, python=PYTHON)
    try:
        version = Version(pin.version)
    except InvalidVersion:
        return False
    return asked.accepts(version) and (asked.prereleases or not version.is_prerelease)


class PyPISource:
    """Finds candidates on one index. Every project's page is asked for once. Thread-safe."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._pages: dict[str, Future[tuple[IndexFile, ...]]] = {}
        self._lock = threading.Lock()
        self._tags: dict[Tag, int] = {}
        self._told: set[str] = set()

    @property
    def endpoint(self) -> str:
        """The index's address: dx.toml's, the environment's, or pypi-simple's own."""
        if self._context.index.pypi:
            return self._context.index.pypi.rstrip("/") + "/"
        from pypi_simple import PYPI_SIMPLE_ENDPOINT

        return PYPI_SIMPLE_ENDPOINT

    @property
    def origin(self) -> str:
        """Tells this index apart in the catalogue, without keeping its address."""
        # Not `endpoint`: importing pypi-simple for its own address would cost every offline install half a second.
        address = strip_userinfo(self.endpoint) if self._context.index.pypi else ""
        return hashlib.sha256(address.encode()).hexdigest()[:16]

    # -- candidates -------------------------------------------------------------------------------------------------

    def find(self, spec: PyPISpec) -> Candidate:
        """The newest version that satisfies ``spec`` and has source.

        Raises:
            PackageNotFoundError, NoMatchingVersionError, CompiledOnlyError: there is none; says why.
            DownloadError, OfflineError: the index cannot be asked.
        """
        project = project_of(spec)
        asked = selection.wanted(spec.version, prereleases=spec.prereleases, python=PYTHON)
        first = next(self.matching(project, asked), None)
        if first is None:
            self.explain(project, spec.version, asked)
        self.tell_skipped(project, asked, first)
        return replace(first, name=spec.name)

    def matching(self, project: str, asked: Wanted) -> Iterator[Candidate]:
        """All candidates of a project that satisfy ``asked``, the newest first; they are named by the project."""
        for file in selection.choices(self.files(project), asked):
            yield _candidate(project, file)

    def explain(self, project: str, specifier: str, asked: Wanted) -> NoReturn:
        """Raise the reason why :meth:`matching` is empty."""
        files = self.files(project)
        if self._context.offline:
            raise OfflineError(
                f"the cache has no version of {project} {specifier}".rstrip()
                + (f", only {', '.join(sorted({str(file.version) for file in files}))}" if files else ""),
                where=project,
                hint="Run the same command once without --offline (and without DXFORGE_OFFLINE)",
            )
        selection.explain(project, specifier, files, asked)

    def tell_skipped(self, project: str, asked: Wanted, chosen: Candidate) -> None:
        """A Notice, once, where a newer version was passed over because it is compiled only."""
        from packaging.version import Version

        newer = selection.compiled_only_above(self.files(project), asked, Version(chosen.version))
        with self._lock:
            known = project in self._told
            self._told.add(project)
        if newer is not None and not known:
            text = f"{project} {newer} exists only as compiled wheels; {chosen.version} is the newest with source"
            self._context.events.emit(Notice(text=text))

    def locate(self, pin: Pin) -> Candidate:
        """Where the locked archive can be downloaded.

        Raises:
            SourceError: the index does not have it any more, or has another file under its name.
        """
        self._context.refuse_offline(f"{pin.name} {pin.version} ({pin.filename})")
        from packaging.utils import canonicalize_name

        project = canonicalize_name(pin.ref)
        for file in self.files(project):
            if file.filename == pin.filename:
                if file.sha256 and file.sha256 != pin.sha256:
                    raise IntegrityError(
                        f"the index offers it with sha256 {file.sha256}, and dx.lock pins {pin.sha256}",
                        where=pin.filename,
                        hint="The file was replaced at its source; look into that before you install with --upgrade",
                    )
                found = _candidate(project, file)
                return replace(
                    found, name=pin.name, sha256=pin.sha256, requires=pin.requires, direct=pin.direct, layout=pin.layout
                )
        raise SourceError(
            f"the index has no {pin.filename} any more, which dx.lock pins",
            where=f"{pin.name} {pin.version}",
            hint=f"Install another version with `dxforge install {pin.name} --upgrade`",
        )

    # -- pages ------------------------------------------------------------------------------------------------------

    def files(self, project: str) -> tuple[IndexFile, ...]:
        """What the index offers of a project; offline: what was fetched of it and still is in the cache."""
        with self._lock:
            page = self._pages.get(project)
            mine = page is None
            if page is None:
                page = self._pages[project] = Future()
        if mine:
            try:
                page.set_result(self._cached(project) if self._context.offline else self._page(project))
            except BaseException as error:  # noqa: BLE001 - whoever waits for this page must hear of it
                with self._lock:
                    self._pages.pop(project, None)
                page.set_exception(error)
        return page.result()

    def _page(self, project: str) -> tuple[IndexFile, ...]:
        from packaging.version import InvalidVersion, Version
        from pypi_simple import (
            ACCEPT_JSON_PREFERRED,
            ProjectPage,
            PyPISimple,
            UnsupportedContentTypeError,
            UnsupportedRepoVersionError,
        )

        endpoint = strip_userinfo(self.endpoint)
        url = PyPISimple(endpoint).get_project_url(project)
        try:
            answer = self._context.net.get(url, accept=ACCEPT_JSON_PREFERRED, what=f"project {project} on the index")
        except PackageNotFoundError as error:
            raise PackageNotFoundError(
                f"the Python index has no project {project}",
                where=shown_url(endpoint),
                hint="Check the spelling; another index is named in PIP_INDEX_URL, or as pypi in dx.toml's [index]",
            ) from error
        try:
            page = ProjectPage.from_response(answer, project)
        except (UnsupportedContentTypeError, UnsupportedRepoVersionError, ValueError) as error:
            raise DownloadError(
                f"the index's page of {project} cannot be read",
                where=shown_url(url),
                hint="Check that the address is that of a package index (it often ends in /simple/)",
            ) from error
        tags = self._supported_tags()
        files = []
        for package in page.packages:
            try:
                version = Version(package.version or "")
            except InvalidVersion:
                continue
            kind, rank = selection.classify(package.filename, package.package_type, tags)
            files.append(
                IndexFile(
                    filename=package.filename,
                    version=version,
                    kind=kind,
                    rank=rank,
                    requires_python=package.requires_python or "",
                    yanked=package.is_yanked,
                    url=strip_userinfo(package.url),
                    sha256=package.digests.get("sha256", "").lower(),
                    size_bytes=package.size,
                    metadata=(package.metadata_digests or {}) if package.has_metadata else None,
                )
            )
        return tuple(files)

    def _cached(self, project: str) -> tuple[IndexFile, ...]:
        from packaging.version import Version

        tags = self._supported_tags()
        files = []
        for known in self._context.catalogue.archives("pypi", self.origin, project):
            if not self._context.store.path(known.sha256).exists():
                continue
            package_type = "wheel" if known.filename.endswith(".whl") else "sdist"
            kind, rank = selection.classify(known.filename, package_type, tags)
            files.append(
                IndexFile(
                    filename=known.filename,
                    version=Version(known.version),
                    kind=kind,
                    rank=rank,
                    requires_python=known.requires_python,
                    yanked=known.yanked,
                    sha256=known.sha256,
                )
            )
        return tuple(files)

    def _supported_tags(self) -> dict[Tag, int]:
        with self._lock:
            if not self._tags:
                from packaging.tags import sys_tags

                # `any` only: what is tied to a platform is no source.
                pure = (tag for tag in sys_tags() if tag.platform == "any" and tag.abi == "none")
                self._tags = {tag: position for position, tag in enumerate(pure)}
            return self._tags

    # -- dependencies -----------------------------------------------------------------------------------------------

    def known_requirements(self, sha256: str, candidate: Candidate) -> tuple[str, ...] | None:
        """The ``Requires-Dist`` lines of an archive as far as this machine knows; None where it does not."""
        lines = self._context.catalogue.requirements(sha256)
        if lines is None:
            path = self._context.store.get(sha256)
            if path is None:
                return None
            package = open_package(path, candidate.pin(), self._context.limits, self._context.store)
            lines = requirements_in(package, self._context.events)
            self._context.catalogue.record_requirements(sha256, lines)
        return lines

    def requirements(self, candidate: Candidate) -> tuple[str, ...]:
        """The ``Requires-Dist`` lines of a candidate: PEP 658 where the index has it, else from the archive.

        Raises:
            SourceError: they cannot be had.
        """
        if candidate.sha256:
            known = self.known_requirements(candidate.sha256, candidate)
            if known is not None:
                return known
        if not candidate.location:
            candidate = self.locate(candidate.pin())
        lines = self._offered_requirements(candidate)
        if lines is None:
            found, _ = self._context.fetch(candidate, self.origin)
            return self.known_requirements(found.sha256, found) or ()
        if candidate.sha256:
            self._context.catalogue.record_requirements(candidate.sha256, lines)
        return lines

    def _offered_requirements(self, candidate: Candidate) -> tuple[str, ...] | None:
        digests = next(
            (file.metadata for file in self.files(candidate.ref) if file.filename == candidate.filename), None
        )
        if digests is None:
            return None
        self._context.refuse_offline(label(candidate))
        url = candidate.location + ".metadata"
        try:
            content = self._context.net.get(url, what=f"metadata of {candidate.filename}").content
        except PackageNotFoundError:
            return None
        for algorithm, promised in digests.items():
            if algorithm in hashlib.algorithms_guaranteed and not algorithm.startswith("shake"):
                found = hashlib.new(algorithm, content).hexdigest()
                if found != promised.lower():
                    raise IntegrityError(
                        f"the {algorithm} of its metadata is {found}, and {promised} was promised",
                        where=candidate.filename,
                        hint="Try again; where it stays so, tell whoever runs the index",
                    )
        return requirements_of(content, candidate.filename, self._context.events)


def _candidate(project: str, file: IndexFile) -> Candidate:
    return Candidate(
        name=project,
        kind="pypi",
        ref=project,
        version=str(file.version),
        filename=file.filename,
        layout=Layout.AS_IS if file.filename.endswith(".whl") else Layout.TOP_FOLDER,
        sha256=file.sha256,
        location=file.url,
        size_bytes=file.size_bytes,
        requires_python=file.requires_python,
        yanked=file.yanked,
    )
