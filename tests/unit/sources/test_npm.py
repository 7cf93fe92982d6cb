"""Packages of the npm registry, over a real server on loopback."""

from __future__ import annotations

import base64
import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from dxforge.errors import (
    DownloadError,
    IntegrityError,
    NoMatchingVersionError,
    OfflineError,
    PackageNotFoundError,
    SourceError,
)
from dxforge.sources.model import Layout
from dxforge.sources.npm import digests_of, pick
from tests.support.index_server import IndexServer
from tests.support.sources import Given, contents_of, pins_of


@pytest.fixture
def given(index: IndexServer, tmp_path: Path) -> Given:
    """A project that wants ``left`` from npm, in version 1."""
    return Given(tmp_path / "project", 'pad = { npm = "left", version = "^1.0" }\n')


@pytest.mark.parametrize("integrity", [True, False])
def test_the_version_that_npm_takes(index: IndexServer, given: Given, integrity: bool) -> None:
    for version in ("1.0.0", "1.2.0", "2.0.0"):
        release = index.npm("left", version, {"index.js": f"'{version}'"}, integrity=integrity)
    assert release.filename == "left-2.0.0.tgz"
    package = given.install()["pad"]
    assert (package.pin.kind, package.pin.ref, package.pin.version) == ("npm", "left", "1.2.0")
    assert (package.pin.layout, package.pin.filename) == (Layout.NPM, "left-1.2.0.tgz")
    assert contents_of(package)["index.js"] == b"'1.2.0'"
    assert "package.json" in package.tree


@pytest.mark.parametrize(
    ("asked", "chosen"),
    [
        ("", "2.0.0"), ("*", "2.0.0"), ("^1.0", "1.2.0"), ("~1.1", "1.1.5"), ("1.x", "1.2.0"), (">=1.1 <1.2", "1.1.5"),
        ("1.0.0 - 1.1", "1.1.5"), ("^0.1 || ^1.1", "1.2.0"), (">2", None), (">=2", "2.0.0"),
        (">=3.0.0-rc.1", "3.0.0-rc.2"), ("3.0.0-rc.1", "3.0.0-rc.1"), ("=1.3.0", "1.3.0"), (">1.2.0 <2", "1.3.0"),
    ],
)  # fmt: skip
def test_pick_is_npm_s_rule(asked: str, chosen: str | None) -> None:
    versions: dict[str, Any] = {
        version: {} for version in ("1.0.0", "1.1.0", "1.1.5", "1.2.0", "2.0.0", "2.5.0", "3.0.0-rc.1", "3.0.0-rc.2")
    }
    versions["1.3.0"] = {"deprecated": "broken"}
    versions["2.5.0"] = {"deprecated": "broken too"}
    assert pick(versions, {"latest": "2.0.0"}, asked) == chosen


def test_latest_is_preferred_to_higher_versions_unless_deprecated() -> None:
    versions: dict[str, Any] = {"1.0.0": {}, "1.1.0": {}, "not-semver": {}}
    assert pick(versions, {"latest": "1.0.0"}, "^1.0") == "1.0.0"
    assert pick(versions, {"latest": "9.9.9"}, "^1.0") == "1.1.0"
    assert pick(versions, {}, "^1.0") == "1.1.0"
    assert pick({"1.0.0": {"deprecated": "x"}, "0.9.0": {}}, {"latest": "1.0.0"}, "") == "0.9.0"
    assert pick({"1.0.0-beta.1": {}}, {"latest": "1.0.0-beta.1"}, "") == "1.0.0-beta.1"
    assert pick({}, {}, "") is None


def test_scoped_packages(index: IndexServer, given: Given) -> None:
    index.npm("@scope/left", "1.0.0", {"index.js": "1"})
    given.toml = 'pad = { npm = "@scope/left" }\n'
    assert given.install()["pad"].pin.filename == "left-1.0.0.tgz"
    assert "/npm/@scope/left" in index.paths


def test_no_package_no_version(index: IndexServer, given: Given) -> None:
    with pytest.raises(PackageNotFoundError, match="no package left") as caught:
        given.resolve()
    assert "spelling" in caught.value.hint
    index.npm("left", "2.0.0", {})
    with pytest.raises(NoMatchingVersionError, match=r"left \^1\.0") as unmatched:
        given.resolve()
    assert unmatched.value.hint == "The newest is 2.0.0"
    index.file("/npm/left", b"<html>")
    with pytest.raises(DownloadError, match="cannot be read"):
        given.resolve()


def test_other_bytes_than_promised_are_refused(index: IndexServer, given: Given, cache_dir: Path) -> None:
    index.npm("left", "1.0.0", {"index.js": "1"})
    index.corrupt(".tgz")
    with pytest.raises(IntegrityError, match="sha512"):
        given.install()
    assert not (cache_dir / "archives").exists()
    assert given.install()["pad"].pin.version == "1.0.0"


def test_the_cached_tarball_serves_a_new_project(index: IndexServer, given: Given, tmp_path: Path) -> None:
    index.npm("left", "1.0.0", {"index.js": "1"})
    first = given.install()["pad"].pin
    index.forget_requests()
    assert Given(tmp_path / "other", given.toml).install()["pad"].pin == first
    assert index.count(".tgz") == 0
    # The registry now offers another file under that name.
    index.npm("left", "1.0.0", {"index.js": "2"})
    second = given.install()["pad"].pin
    assert second.sha256 != first.sha256
    assert index.count(".tgz") == 1


def test_a_pin_costs_no_request_until_the_range_changes(index: IndexServer, given: Given) -> None:
    index.npm("left", "1.0.0", {"index.js": "1"})
    pins = pins_of(given.install())
    index.npm("left", "1.1.0", {"index.js": "2"})
    index.forget_requests()
    assert pins_of(given.install(pins)) == pins
    assert index.count() == 0
    assert given.versions(pins=pins, upgrade=["pad"]) == {"pad": "1.1.0"}
    given.toml = 'pad = { npm = "left", version = ">1.0.0" }\n'
    assert given.versions(pins=pins) == {"pad": "1.1.0"}


def test_a_locked_tarball_is_recalled(index: IndexServer, given: Given, cache_dir: Path) -> None:
    index.npm("left", "1.0.0", {"index.js": "1"})
    pin = given.install()["pad"].pin
    kept = cache_dir / "archives" / pin.sha256[:2] / pin.sha256
    kept.unlink()
    index.npm("left", "1.1.0", {"index.js": "2"})
    assert contents_of(given.sources().recall(pin))["index.js"] == b"1"
    kept.unlink()
    index.npm("left", "1.0.0", {"index.js": "changed"})
    with pytest.raises(IntegrityError, match=pin.sha256):
        given.sources().recall(pin)


def test_a_version_that_was_withdrawn_cannot_be_recalled(index: IndexServer, given: Given, cache_dir: Path) -> None:
    import dataclasses

    index.npm("left", "1.0.0", {"index.js": "1"})
    pin = dataclasses.replace(given.install()["pad"].pin, version="1.0.5", sha256="0" * 64)
    with pytest.raises(SourceError, match=r"no left 1\.0\.5 any more"):
        given.sources().recall(pin)


def test_offline_the_cache_is_chosen_from(index: IndexServer, given: Given, tmp_path: Path) -> None:
    index.npm("left", "1.0.0", {"index.js": "1"})
    pin = given.install()["pad"].pin
    index.npm("left", "1.1.0", {"index.js": "2"})
    index.forget_requests()
    assert given.install(offline=True)["pad"].pin == pin
    given.toml = 'pad = { npm = "left", version = "^2" }\n'
    with pytest.raises(OfflineError, match=r"left \^2, only 1\.0\.0"):
        given.resolve(offline=True)
    assert index.count() == 0


def test_the_registry_is_asked_of_npm_where_nothing_names_one(
    index: IndexServer, given: Given, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The npm on PATH is a script of ours: what npm itself is configured to here is not the test's business."""
    monkeypatch.delenv("NPM_CONFIG_REGISTRY")
    tools = tmp_path / "tools"
    tools.mkdir()
    npm = tools / "npm"
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}/usr/bin{os.pathsep}/bin")
    index.npm("left", "1.0.0", {"index.js": "1"})

    def says(script: str) -> None:
        npm.write_text(f"#!/bin/sh\n{script}\n")
        npm.chmod(0o755)

    says(f'test "$*" = "config get registry" && echo {index.npm_url} && echo "npm warn" >&2; pwd > {tmp_path}/where')
    assert given.versions() == {"pad": "1.0.0"}
    assert (tmp_path / "where").read_text().strip() == str(given.root)
    for script in ("exit 1", "echo undefined", "true"):
        says(script)
        with pytest.raises(SourceError, match="npm config get registry") as caught:
            given.resolve()
        assert "NPM_CONFIG_REGISTRY" in caught.value.hint
    npm.unlink()
    monkeypatch.setenv("PATH", str(tools))
    with pytest.raises(SourceError, match="there is no npm to ask"):
        given.resolve()
    given.toml = f'[index]\nnpm = "{index.npm_url}"\n[packages]\n{given.toml}'
    assert given.versions() == {"pad": "1.0.0"}


def test_the_strongest_promise_counts() -> None:
    def sri(algorithm: str) -> str:
        return f"{algorithm}-{base64.b64encode(hashlib.new(algorithm, b'x').digest()).decode()}"

    sha512 = hashlib.sha512(b"x").hexdigest()
    assert digests_of({"integrity": f"{sri('sha1')} {sri('sha512')}?opt", "shasum": "00"}, "") == (("sha512", sha512),)
    assert digests_of({"integrity": sri("sha384")}, "")[0][0] == "sha384"
    assert digests_of({"shasum": "ABCD"}, "") == (("sha1", "abcd"),)
    assert digests_of({"integrity": "", "shasum": "ab"}, "") == (("sha1", "ab"),)
    assert digests_of({}, "") == ()
    for unreadable in ("sha512-!!!", "md5-AAAA"):
        with pytest.raises(IntegrityError):
            digests_of({"integrity": unreadable}, "left 1.0.0")
