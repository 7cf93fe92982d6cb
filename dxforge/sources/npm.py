"""Packages of the npm registry: packuments, semver ranges, integrity (SRI).

The choice is npm's own (npm-pick-manifest): ``latest`` where it satisfies the range, else the highest version that
does and is not deprecated, else the highest.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import shutil
import subprocess
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from dxforge.config.model import NpmSpec
from dxforge.errors import (
    DownloadError,
    IntegrityError,
    NoMatchingVersionError,
    OfflineError,
    PackageNotFoundError,
    SourceError,
)
from dxforge.sources.context import Context
from dxforge.sources.download import filename_of, shown_url, strip_userinfo
from dxforge.sources.model import Candidate, Layout, Pin

if TYPE_CHECKING:
    from semantic_version import Version

_ACCEPT = "application/vnd.npm.install-v1+json; q=1.0, application/json; q=0.8"
_ASK_NPM_S = 60
# Strongest first: the first that a registry gives is the one that counts (SRI, 3.3.4).
_ALGORITHMS = ("sha512", "sha384", "sha256", "sha1")


def satisfies(spec: NpmSpec, pin: Pin) -> bool:
    """Whether the locked archive is still what ``dx.toml`` asks for. Pure."""
    if pin.kind != "npm" or pin.ref != spec.npm:
        return False
    version = _version(pin.version)
    return version is not None and (not spec.version or _in_range(spec.version, version))


class NpmSource:
    """Finds candidates in one registry. Every packument is asked for once. Thread-safe."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._registry = ""
        self._lock = threading.Lock()

    @property
    def registry(self) -> str:
        """The registry's address: dx.toml's, the environment's, or what npm itself is configured to use.

        Raises:
            SourceError: nothing names one.
        """
        with self._lock:
            if not self._registry:
                named = self._context.index.npm or _ask_npm(self._context)
                self._registry = named.rstrip("/") + "/"
            return self._registry

    @property
    def origin(self) -> str:
        """Tells this registry apart in the catalogue, without keeping its address."""
        return hashlib.sha256(strip_userinfo(self.registry).encode()).hexdigest()[:16]

    def find(self, spec: NpmSpec) -> Candidate:
        """The version that npm would take for ``spec``.

        Raises:
            PackageNotFoundError, NoMatchingVersionError: there is none.
            DownloadError, OfflineError: the registry cannot be asked.
        """
        if self._context.offline:
            return self._cached(spec)
        packument = self._packument(spec.npm)
        versions: dict[str, Any] = packument["versions"]
        chosen = pick(versions, packument.get("dist-tags") or {}, spec.version)
        if chosen is None:
            newest = max((version for text in versions if (version := _version(text))), default=None)
            raise NoMatchingVersionError(
                f"there is no version of {spec.npm} {spec.version}".rstrip(),
                where=spec.npm,
                hint=f"The newest is {newest}" if newest else "Every version of it was withdrawn",
            )
        return self._candidate(spec.name, spec.npm, chosen, versions[chosen])

    def locate(self, pin: Pin) -> Candidate:
        """Where the locked archive can be downloaded.

        Raises:
            SourceError: the registry does not have it any more.
        """
        self._context.refuse_offline(f"{pin.name} {pin.version} ({pin.filename})")
        data = self._packument(pin.ref)["versions"].get(pin.version)
        if data is None:
            raise SourceError(
                f"the registry has no {pin.ref} {pin.version} any more, which dx.lock pins",
                where=f"{pin.name} {pin.version}",
                hint=f"Install another version with `dxforge install {pin.name} --upgrade`",
            )
        found = self._candidate(pin.name, pin.ref, pin.version, data)
        return replace(found, sha256=pin.sha256)

    def _cached(self, spec: NpmSpec) -> Candidate:
        known = {
            candidate.version: candidate
            for candidate in self._context.catalogue.archives("npm", self.origin, spec.npm)
            if self._context.store.path(candidate.sha256).exists()
        }
        chosen = pick({version: {} for version in known}, {}, spec.version)
        if chosen is None:
            raise OfflineError(
                f"the cache has no version of {spec.npm} {spec.version}".rstrip()
                + (f", only {', '.join(sorted(known))}" if known else ""),
                where=spec.npm,
                hint="Run the same command once without --offline (and without DXFORGE_OFFLINE)",
            )
        return replace(known[chosen], name=spec.name, digests=())  # checked when it was fetched

    def _packument(self, npm: str) -> dict[str, Any]:
        url = strip_userinfo(self.registry) + quote(npm, safe="@")
        try:
            answer = self._context.net.get(url, accept=_ACCEPT, what=f"package {npm} in the registry")
        except PackageNotFoundError as error:
            raise PackageNotFoundError(
                f"the npm registry has no package {npm}",
                where=shown_url(self.registry),
                hint="Check the spelling; another registry is named in NPM_CONFIG_REGISTRY, or as npm in [index]",
            ) from error
        try:
            data = answer.json()
            versions = data.get("versions", {})
            if not isinstance(versions, dict) or not all(isinstance(item, dict) for item in versions.values()):
                raise ValueError("no versions")
        except (ValueError, AttributeError) as error:
            raise DownloadError(
                f"the registry's answer for {npm} cannot be read",
                where=shown_url(url),
                hint="Check that the address is that of an npm registry",
            ) from error
        return {**data, "versions": versions}

    def _candidate(self, name: str, npm: str, version: str, data: dict[str, Any]) -> Candidate:
        dist = data.get("dist")
        tarball = dist.get("tarball") if isinstance(dist, dict) else None
        if not isinstance(dist, dict) or not isinstance(tarball, str) or not tarball:
            raise DownloadError(
                f"the registry does not say where {npm} {version} is", where=npm, hint="Ask for another version"
            )
        return Candidate(
            name=name,
            kind="npm",
            ref=npm,
            version=version,
            filename=filename_of(tarball, f"{npm.rpartition('/')[2]}-{version}.tgz"),
            layout=Layout.NPM,
            location=strip_userinfo(tarball),
            digests=digests_of(dist, f"{npm} {version}"),
        )


def pick(versions: dict[str, Any], tags: dict[str, Any], asked: str) -> str | None:
    """The version that npm takes for the range ``asked`` ("" = any). Pure.

    Args:
        versions: the packument's, by version; of each, "deprecated" counts.
        tags: its dist-tags.
    """
    latest = tags.get("latest")
    if isinstance(latest, str) and latest in versions and not versions[latest].get("deprecated"):
        version = _version(latest)
        if version is not None and (not asked or asked == "*" or _in_range(asked, version)):
            return latest
    parsed = ((_version(text), text) for text in versions)
    fitting = [(version, text) for version, text in parsed if version is not None and _in_range(asked or "*", version)]
    if not fitting:
        return None
    return max(fitting, key=lambda pair: (not versions[pair[1]].get("deprecated"), pair[0]))[1]


def digests_of(dist: dict[str, Any], where: str) -> tuple[tuple[str, str], ...]:
    """The strongest promise of a packument's ``dist``: of ``integrity`` (SRI), else ``shasum``.

    Raises:
        IntegrityError: there is an integrity, and it cannot be read.
    """
    found: dict[str, str] = {}
    integrity = dist.get("integrity")
    for part in integrity.split() if isinstance(integrity, str) else ():
        algorithm, _, value = part.partition("-")
        try:
            # Only the first of each: alternatives would have to be tried, and no registry gives them.
            found.setdefault(algorithm, base64.b64decode(value.partition("?")[0], validate=True).hex())
        except (binascii.Error, ValueError) as error:
            raise IntegrityError(
                "the registry gives an integrity that cannot be read", where=where, hint="Ask for another version"
            ) from error
    if not found and isinstance(dist.get("shasum"), str):
        found["sha1"] = dist["shasum"].lower()
    for algorithm in _ALGORITHMS:
        if algorithm in found:
            return ((algorithm, found[algorithm]),)
    if found:
        raise IntegrityError(
            f"the registry promises a {', '.join(found)} only, which dxforge cannot check",
            where=where,
            hint="Ask for another version",
        )
    return ()


def _ask_npm(context: Context) -> str:
    """What ``npm config get registry`` says in the project's folder."""
    hint = "Set NPM_CONFIG_REGISTRY, or npm in dx.toml's [index], to the registry's address"
    npm = shutil.which("npm")
    if npm is None:
        raise SourceError("no npm registry is configured, and there is no npm to ask", where="npm", hint=hint)
    try:
        answer = subprocess.run(
            [npm, "config", "get", "registry"],
            cwd=context.root,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=_ASK_NPM_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise SourceError("`npm config get registry` failed", where="npm", hint=hint) from error
    lines = answer.stdout.split()
    if not lines or not lines[-1].startswith(("http://", "https://")):
        raise SourceError("`npm config get registry` names no address", where="npm", hint=hint)
    return lines[-1]


def _version(text: str) -> Version | None:
    from semantic_version import Version

    try:
        return Version(text)
    except ValueError:
        return None


def _in_range(asked: str, version: Version) -> bool:
    from semantic_version import NpmSpec as Range

    try:
        return bool(Range(asked).match(version))
    except ValueError as error:
        raise NoMatchingVersionError(
            f'"{asked}" is no range of versions', where="npm", hint='Write one such as "^4.17" or ">=1.2 <2"'
        ) from error
