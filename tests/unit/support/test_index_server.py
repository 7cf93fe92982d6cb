"""The loopback index itself: other tests believe what it says."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile

import pytest
import requests
from pypi_simple import ACCEPT_HTML_ONLY, PyPISimple

from tests.support.archives import Exec, Link
from tests.support.index_server import IndexServer


@pytest.mark.parametrize("html", [False, True])
def test_a_client_sees_the_same_project_in_json_and_html(index: IndexServer, html: bool) -> None:
    index.html_only = html
    wheel = index.wheel("Demo.Pkg", "1.0", {"demo/__init__.py": "A = 1\n"}, requires_python=">=3.8", yanked="bad")
    index.sdist("demo-pkg", "0.9", {"demo/__init__.py": "A = 0\n"})
    assert os.environ["PIP_INDEX_URL"] == index.pypi_url
    with PyPISimple(index.pypi_url) as client:
        page = client.get_project_page("demo-pkg")
        first, second = page.packages
        assert (first.filename, first.version, first.requires_python) == (wheel.filename, "1.0", ">=3.8")
        assert first.is_yanked and first.yanked_reason == "bad"
        assert first.digests["sha256"] == wheel.sha256
        assert first.has_metadata
        assert "Name: Demo.Pkg" in client.get_package_metadata(first)
        assert second.package_type == "sdist" and not second.is_yanked
    assert index.count("/simple/") == 1


def test_accept_header_chooses_the_format(index: IndexServer) -> None:
    index.wheel("demo", "1.0", {})
    with PyPISimple(index.pypi_url, accept=ACCEPT_HTML_ONLY) as client:
        assert client.get_project_page("demo").packages[0].version == "1.0"


def test_wheels_hold_modes_links_and_a_record(index: IndexServer) -> None:
    release = index.wheel("demo", "1.0", {"run.sh": Exec("#!/bin/sh\n"), "alias": Link("run.sh")})
    body = requests.get(release.url, timeout=10).content
    assert hashlib.sha256(body).hexdigest() == release.sha256
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        assert archive.getinfo("run.sh").external_attr >> 16 == 0o100755
        assert archive.getinfo("alias").external_attr >> 16 == 0o120777
        assert "run.sh,sha256=" in archive.read("demo-1.0.dist-info/RECORD").decode()


def test_npm_packument_and_tarball(index: IndexServer) -> None:
    index.npm("@scope/left", "1.0.0", {"index.js": "1"})
    release = index.npm("@scope/left", "1.1.0", {"index.js": "2"}, tag=None, deprecated="old")
    packument = requests.get(index.npm_url + "@scope%2fleft", timeout=10).json()
    assert packument["dist-tags"] == {"latest": "1.0.0"}
    assert packument["versions"]["1.1.0"]["deprecated"] == "old"
    assert requests.get(packument["versions"]["1.1.0"]["dist"]["tarball"], timeout=10).content == release.content


def test_faults_happen_as_often_as_asked(index: IndexServer) -> None:
    url = index.file("x.bin", b"0123456789" * 10)
    index.fail("x.bin", times=1, status=429, retry_after="3")
    index.corrupt("x.bin")
    index.cut("x.bin", after=5)
    answer = requests.get(url, timeout=10)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "3")
    assert requests.get(url, timeout=10).content != b"0123456789" * 10
    with pytest.raises(requests.exceptions.RequestException):
        requests.get(url, timeout=10)
    assert requests.get(url, timeout=10).content == b"0123456789" * 10
    assert index.count("x.bin") == 4


def test_credentials_are_asked_for(index: IndexServer) -> None:
    url = index.file("x.bin", b"x")
    index.credentials = "me:secret"
    assert requests.get(url, timeout=10).status_code == 401
    assert requests.get(url.replace("//", "//me:secret@"), timeout=10).content == b"x"


def test_withdrawn_projects_are_gone_and_a_restart_keeps_the_port(index: IndexServer) -> None:
    index.wheel("demo", "1.0", {})
    index.withdraw("demo")
    assert requests.get(index.pypi_url + "demo/", timeout=10).status_code == 404
    url = index.url
    index.stop()
    with pytest.raises(requests.exceptions.ConnectionError):
        requests.get(url, timeout=10)
    index.start()
    assert index.url == url
    assert requests.get(url, timeout=10).status_code == 404
