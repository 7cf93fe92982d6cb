"""Packages of the Python index, over a real server on loopback."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from dxforge.errors import (
    CompiledOnlyError,
    DownloadError,
    IntegrityError,
    NoMatchingVersionError,
    PackageNotFoundError,
    SourceError,
)
from dxforge.sources.model import Layout
from tests.support.index_server import IndexServer
from tests.support.sources import Given, contents_of, pins_of

FILES = {"demo/__init__.py": "A = 1\n"}
HERE = f"{sys.version_info[0]}.{sys.version_info[1]}"


@pytest.fixture
def given(index: IndexServer, tmp_path: Path) -> Given:
    """A project with the package ``demo``, whatever its version."""
    return Given(tmp_path / "project", 'demo = ""\n')


@pytest.mark.parametrize("html", [False, True])
def test_the_newest_wheel_is_found_downloaded_and_pinned(index: IndexServer, given: Given, html: bool) -> None:
    index.html_only = html
    index.wheel("demo", "1.9", FILES)
    newest = index.wheel("demo", "1.10", FILES)
    index.wheel("demo", "2.0rc1", FILES)
    candidate = given.resolve()["demo"]
    assert (candidate.version, candidate.filename, candidate.sha256) == ("1.10", newest.filename, newest.sha256)
    package = given.install()["demo"]
    pin = package.pin
    assert (pin.name, pin.kind, pin.ref, pin.version) == ("demo", "pypi", "demo", "1.10")
    assert (pin.sha256, pin.layout, pin.direct, pin.requires) == (newest.sha256, Layout.AS_IS, True, ())
    assert contents_of(package)["demo/__init__.py"] == b"A = 1\n"
    assert "demo-1.10.dist-info/METADATA" in package.tree


def test_specifiers_are_pep_440_s(index: IndexServer, given: Given) -> None:
    for version in ("1.0", "1.4.2", "1.5", "2.0", "2.0.post1", "3!0.1", "2.1.dev1", "2.1a1"):
        index.wheel("demo", version, FILES)
    for specifier, version in {
        "": "3!0.1", "<3!0": "2.0.post1", ">=1,<2": "1.5", "~=1.4.1": "1.4.2", "==1.*": "1.5", "!=1.5,<2": "1.4.2",
        "==2.0": "2.0", ">=2.1a1,<3!0": "2.1a1", "===1.0": "1.0",
    }.items():  # fmt: skip
        given.toml = f'demo = "{specifier}"\n'
        assert given.versions() == {"demo": version}, specifier


def test_prereleases_come_on_request_only(index: IndexServer, given: Given) -> None:
    index.wheel("demo", "1.0rc1", FILES)
    with pytest.raises(NoMatchingVersionError, match="only pre-releases") as caught:
        given.resolve()
    assert "prereleases = true" in caught.value.hint
    given.toml = "demo = { prereleases = true }\n"
    assert given.versions() == {"demo": "1.0rc1"}
    given.toml = 'demo = ">=1.0b1"\n'
    assert given.versions() == {"demo": "1.0rc1"}
    index.wheel("demo", "0.9", FILES)
    given.toml = 'demo = ""\n'
    assert given.versions() == {"demo": "0.9"}


def test_yanked_files_are_taken_only_when_pinned(index: IndexServer, given: Given) -> None:
    index.wheel("demo", "1.0", FILES)
    index.wheel("demo", "1.1", FILES, yanked="broken")
    assert given.versions() == {"demo": "1.0"}
    given.toml = 'demo = "==1.1"\n'
    assert given.versions() == {"demo": "1.1"}
    for specifier in (">1.0", "==1.1.*"):
        given.toml = f'demo = "{specifier}"\n'
        with pytest.raises(NoMatchingVersionError, match="withdrawn") as caught:
            given.resolve()
        assert '"==1.1"' in caught.value.hint


def test_requires_python_is_respected(index: IndexServer, given: Given) -> None:
    index.wheel("demo", "1.0", FILES, requires_python=f">={HERE}")
    index.wheel("demo", "2.0", FILES, requires_python=">=9.9")
    index.wheel("demo", "1.5", FILES, requires_python="not a specifier at all")
    assert given.versions() == {"demo": "1.5"}
    given.toml = 'demo = ">=2"\n'
    with pytest.raises(NoMatchingVersionError, match=r"needs Python >=9\.9, and this is"):
        given.resolve()


def test_pure_wheels_are_preferred_and_else_the_sdist_is_taken(index: IndexServer, given: Given) -> None:
    index.sdist("demo", "1.0", FILES)
    index.sdist("demo", "1.0", FILES, format="zip")
    index.wheel("demo", "1.0", FILES, tag="cp311-cp311-manylinux_2_17_x86_64")
    index.wheel("demo", "1.0", FILES, tag="py2-none-any")
    assert given.resolve()["demo"].filename == "demo-1.0.tar.gz"
    index.wheel("demo", "1.0", FILES, tag="py2.py3-none-any")
    assert given.resolve()["demo"].filename == "demo-1.0-py2.py3-none-any.whl"
    index.wheel("demo", "1.0", FILES, build="2")
    index.wheel("demo", "1.0", FILES, build="10")
    assert given.resolve()["demo"].filename == "demo-1.0-10-py3-none-any.whl"


def test_an_sdist_s_folder_is_the_package(index: IndexServer, given: Given) -> None:
    index.sdist("demo", "1.0", {"src/demo/__init__.py": "A = 1\n"})
    package = given.install()["demo"]
    assert package.pin.layout is Layout.TOP_FOLDER
    assert set(package.tree) == {"src/demo/__init__.py", "PKG-INFO"}


def test_compiled_wheels_only_is_an_error_with_a_way_out(index: IndexServer, given: Given) -> None:
    compiled = "cp311-cp311-manylinux_2_17_x86_64"
    index.wheel("demo", "2.0", FILES, tag=compiled)
    with pytest.raises(CompiledOnlyError, match=r"demo 2\.0 exists only as compiled wheels") as caught:
        given.resolve()
    assert "git" in caught.value.hint
    index.sdist("demo", "1.0", FILES)
    given.toml = 'demo = ">=2"\n'
    with pytest.raises(CompiledOnlyError) as caught:
        given.resolve()
    assert caught.value.hint == 'Version 1.0 has source: ask for "==1.0"'
    index.wheel("demo", "3.0", FILES, tag="cp311-none-any")
    given.toml = 'demo = "==2.*"\n'
    with pytest.raises(CompiledOnlyError, match=r"2\.0") as caught:
        given.resolve()
    assert "Version 3.0 has source" in caught.value.hint


def test_an_older_version_with_source_is_taken_with_a_word(index: IndexServer, given: Given) -> None:
    index.wheel("demo", "2.0", FILES, tag="cp311-abi3-win_amd64")
    index.sdist("demo", "1.0", FILES)
    assert given.versions() == {"demo": "1.0"}
    assert given.notices == ["demo 2.0 exists only as compiled wheels; 1.0 is the newest with source"]


def test_no_project_no_version_no_file(index: IndexServer, given: Given) -> None:
    with pytest.raises(PackageNotFoundError, match="no project demo") as caught:
        given.resolve()
    assert "spelling" in caught.value.hint
    index.offer("demo", "demo-1.0.exe", b"")
    with pytest.raises(NoMatchingVersionError):
        given.resolve()
    index.wheel("demo", "1.0", FILES)
    given.toml = 'demo = ">=7"\n'
    with pytest.raises(NoMatchingVersionError, match="no version of demo >=7") as unmatched:
        given.resolve()
    assert unmatched.value.hint == "The newest is 1.0"


def test_project_names_are_normalised(index: IndexServer, given: Given) -> None:
    index.wheel("Demo.Pkg", "1.0", FILES)
    given.toml = 'alias = { project = "dEMO_pkg" }\n'
    package = given.install()["alias"]
    assert (package.pin.name, package.pin.ref) == ("alias", "demo-pkg")
    assert index.count("/simple/demo-pkg/") == 1


def test_a_pin_that_still_satisfies_costs_no_request(index: IndexServer, given: Given) -> None:
    index.wheel("demo", "1.0", FILES)
    pins = pins_of(given.install())
    index.wheel("demo", "1.1", FILES)
    index.forget_requests()
    assert given.resolve(pins)["demo"].pin() == pins["demo"]
    assert pins_of(given.install(pins)) == pins
    assert index.count() == 0
    assert given.versions(pins=pins, upgrade=["demo"]) == {"demo": "1.1"}
    given.toml = 'demo = ">1.0"\n'
    assert given.versions(pins=pins) == {"demo": "1.1"}


def test_other_bytes_than_the_index_promised_are_refused(index: IndexServer, given: Given, cache_dir: Path) -> None:
    release = index.wheel("demo", "1.0", FILES)
    index.corrupt(release.filename)
    with pytest.raises(IntegrityError, match=release.sha256) as caught:
        given.install()
    assert caught.value.where == release.filename
    assert not (cache_dir / "archives").exists()
    assert given.install()["demo"].pin.sha256 == release.sha256


def test_an_index_without_hashes_is_pinned_by_what_came(index: IndexServer, given: Given) -> None:
    release = index.wheel("demo", "1.0", FILES, hashes=False, metadata=False)
    assert given.resolve()["demo"].sha256 == ""
    assert given.install()["demo"].pin.sha256 == release.sha256


def test_a_locked_archive_is_recalled_by_its_name(index: IndexServer, given: Given, cache_dir: Path) -> None:
    old = index.wheel("demo", "1.0", FILES)
    pins = pins_of(given.install())
    index.wheel("demo", "2.0", FILES)
    (cache_dir / "archives" / old.sha256[:2] / old.sha256).unlink()
    package = given.sources().recall(pins["demo"])
    assert package.pin == pins["demo"]
    assert contents_of(package)["demo/__init__.py"] == b"A = 1\n"


def test_recall_says_why_it_cannot(index: IndexServer, given: Given, cache_dir: Path) -> None:
    old = index.wheel("demo", "1.0", FILES)
    pin = pins_of(given.install())["demo"]
    (cache_dir / "archives" / old.sha256[:2] / old.sha256).unlink()
    index.wheel("demo", "1.0", {"demo/__init__.py": "A = 2\n"})
    with pytest.raises(IntegrityError, match=f"dx.lock pins {old.sha256}"):
        given.sources().recall(pin)
    index.withdraw("demo", old.filename)
    index.wheel("demo", "3.0", FILES)
    with pytest.raises(SourceError, match=f"has no {old.filename} any more"):
        given.sources().recall(pin)


def test_a_page_that_is_none_is_an_error(index: IndexServer, given: Given) -> None:
    index.file("/simple/demo/", b"what is this")
    with pytest.raises(DownloadError, match="page of demo cannot be read"):
        given.resolve()


def test_the_index_of_dx_toml_comes_first(index: IndexServer, given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    index.wheel("demo", "1.0", FILES)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple/")
    given.toml = f'[index]\npypi = "{index.pypi_url}"\n[packages]\ndemo = ""\n'
    assert given.versions() == {"demo": "1.0"}


def test_an_index_on_disk_serves(
    index: IndexServer, given: Given, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = index.wheel("demo", "1.0", FILES)
    mirror = tmp_path / "a mirror"
    (mirror / "demo").mkdir(parents=True)
    (mirror / "demo" / release.filename).write_bytes(release.content)
    link = f'<a href="{release.filename}#sha256={release.sha256}">{release.filename}</a>'
    (mirror / "demo" / "index.html").write_text(f"<!DOCTYPE html><html><body>{link}</body></html>")
    monkeypatch.setenv("PIP_INDEX_URL", mirror.as_uri())
    assert given.install()["demo"].pin.sha256 == release.sha256
    given.toml = 'missing = ""\n'
    with pytest.raises(PackageNotFoundError):
        given.resolve()
    assert index.count() == 0


def test_credentials_in_the_environment_serve_and_are_never_seen(
    index: IndexServer, given: Given, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.credentials = "me:s3cr3t"
    index.wheel("demo", "1.0", FILES)
    monkeypatch.setenv("PIP_INDEX_URL", index.pypi_url.replace("//", "//me:s3cr3t@"))
    candidate = given.resolve()["demo"]
    package = given.install()["demo"]
    for thing in (candidate, package.pin, given.heard):
        assert "s3cr3t" not in repr(thing)
    for path in cache_dir.rglob("*"):
        assert not path.is_file() or b"s3cr3t" not in path.read_bytes()
    monkeypatch.setenv("PIP_INDEX_URL", index.pypi_url.replace("//", "//me:wr0ng@"))
    with pytest.raises(DownloadError, match="401") as caught:
        given.resolve()
    assert "wr0ng" not in str(caught.value) and "netrc" in caught.value.hint
    chain: BaseException | None = caught.value
    while chain is not None:
        assert "wr0ng" not in str(chain)
        chain = chain.__cause__ or chain.__context__


def test_credentials_in_netrc_serve(
    index: IndexServer, given: Given, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.credentials = "me:s3cr3t"
    index.wheel("demo", "1.0", FILES)
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password s3cr3t\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    assert set(given.install()) == {"demo"}


def test_unusable_files_on_a_page_do_not_disturb(index: IndexServer, given: Given) -> None:
    for name in ("demo-1.0.egg", "demo-abc.tar.gz", "demo.whl", "demo-9-py3-none-any.whl.asc", "demo-1.0.win32.exe"):
        index.offer("demo", name, b"?")
    index.wheel("demo", "0.1", FILES)
    assert given.versions() == {"demo": "0.1"}


def test_a_name_that_unpacks_badly_is_named(index: IndexServer, given: Given) -> None:
    import zipfile

    from dxforge.errors import UnsafeArchiveError

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("../../outside", "x")
    index.offer("demo", "demo-1.0-py3-none-any.whl", buffer.getvalue())
    with pytest.raises(UnsafeArchiveError, match=r"demo 1.0 \(demo-1.0-py3-none-any.whl\)") as caught:
        given.install()
    assert caught.value.entry == "../../outside"
