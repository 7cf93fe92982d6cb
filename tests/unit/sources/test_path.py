"""Packages from folders and archives on this machine, and from addresses with a sha256."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from dxforge.errors import (
    IntegrityError,
    OfflineError,
    PackageNotFoundError,
    SourceError,
    UnsafeArchiveError,
)
from dxforge.sources.model import Layout
from dxforge.sources.packing import Member, pack
from dxforge.store.archives import Incoming
from dxforge.store.tree import EXECUTABLE, FILE, SYMLINK
from tests.support.archives import sdist_bytes, wheel_bytes
from tests.support.index_server import IndexServer
from tests.support.sources import Given, contents_of, pins_of

pytestmark = pytest.mark.usefixtures("cache_dir")


@pytest.fixture
def given(tmp_path: Path) -> Given:
    """A project that wants the folder ``theme`` beside it."""
    return Given(tmp_path / "project", 'theme = { path = "../theme" }\n')


@pytest.fixture
def theme(tmp_path: Path) -> Path:
    """That folder, with one file of every kind."""
    folder = tmp_path / "theme"
    (folder / "css").mkdir(parents=True)
    (folder / "css" / "a.css").write_text("a {}\n")
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o755)
    (folder / "latest.css").symlink_to("css/a.css")
    (folder / "css-link").symlink_to("css", target_is_directory=True)
    return folder


def test_a_folder_is_taken_as_it_is_now(given: Given, theme: Path) -> None:
    for junk in (".git/config", "__pycache__/a.pyc", "x.pyc", ".ipynb_checkpoints/a.ipynb", "css/.git", ".dx/state.db"):
        (theme / junk).parent.mkdir(parents=True, exist_ok=True)
        (theme / junk).write_text("junk")
    package = given.install()["theme"]
    assert {path: entry.mode for path, entry in package.tree.items()} == {
        "css/a.css": FILE,
        "run.sh": EXECUTABLE,
        "latest.css": SYMLINK,
        "css-link": SYMLINK,
    }
    pin = package.pin
    assert (pin.kind, pin.ref, pin.layout) == ("path", "../theme", Layout.AS_IS)
    assert pin.version == pin.sha256[:12]
    assert contents_of(package)["css-link"] == b"css"


def test_its_version_is_its_content_and_nothing_else(given: Given, theme: Path, tmp_path: Path) -> None:
    first = given.install()["theme"].pin
    shutil.copytree(theme, tmp_path / "moved", symlinks=True)
    (tmp_path / "moved" / "css").touch()
    os.utime(tmp_path / "moved" / "run.sh", (1, 1))
    given.toml = 'theme = { path = "../moved" }\n'
    assert given.resolve()["theme"].version == first.version
    (tmp_path / "moved" / "run.sh").chmod(0o644)
    assert given.resolve()["theme"].version != first.version


def test_a_pin_never_hides_what_the_folder_has_become(given: Given, theme: Path) -> None:
    pins = pins_of(given.install())
    assert given.resolve(pins)["theme"].pin() == pins["theme"]
    (theme / "css" / "a.css").write_text("b {}\n")
    assert given.resolve(pins)["theme"].version != pins["theme"].version
    assert contents_of(given.install(pins)["theme"])["css/a.css"] == b"b {}\n"


def test_an_unchanged_folder_is_not_read_again(
    given: Given, theme: Path, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed: list[object] = []

    def counted(members: Iterable[Member], incoming: Incoming) -> None:
        packed.append(members)
        pack(members, incoming)

    monkeypatch.setattr("dxforge.sources.path.pack", counted)
    first = given.resolve()["theme"]
    given.resolve()
    assert len(packed) == 2  # files as young as these may change again within their clock's tick
    monkeypatch.setattr("dxforge.sources.packing._RACY_NS", 0)
    given.resolve()
    assert given.resolve()["theme"] == first
    assert len(packed) == 3
    # Same size, and even the same mtime: the ctime tells.
    file = theme / "css" / "a.css"
    status = file.stat()
    file.write_text("c {}\n")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert given.resolve()["theme"].version != first.version
    # The cache forgot the archive, so the folder is packed though it did not change.
    shutil.rmtree(cache_dir / "archives")
    assert contents_of(given.install()["theme"])["css/a.css"] == b"c {}\n"
    assert len(packed) == 5


def test_a_locked_folder_is_recalled_while_it_is_the_same(given: Given, theme: Path, cache_dir: Path) -> None:
    pin = given.install()["theme"].pin
    shutil.rmtree(cache_dir)
    assert given.sources().recall(pin).pin == pin
    (theme / "new").write_text("x")
    assert given.sources().recall(pin).pin == pin  # from the cache
    shutil.rmtree(cache_dir)
    with pytest.raises(SourceError, match=r"has changed since dx\.lock was written") as caught:
        given.sources().recall(pin)
    assert caught.value.hint


def test_what_no_package_may_hold_is_named(given: Given, theme: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        os.chdir(theme)  # a socket's path may not be long
        server.bind("css/sock")
        with pytest.raises(UnsafeArchiveError, match="css/sock") as caught:
            given.resolve()
        assert caught.value.entry == "css/sock"
    (theme / "css" / "sock").unlink()
    (theme / "out").symlink_to("../../outside")
    with pytest.raises(UnsafeArchiveError) as caught:
        given.install()
    assert caught.value.entry == "out"


def test_no_folder_no_file(given: Given, tmp_path: Path) -> None:
    with pytest.raises(PackageNotFoundError, match="no such folder or archive") as caught:
        given.resolve()
    assert "relative to the project" in caught.value.hint
    (tmp_path / "theme" / "sub").mkdir(parents=True)
    with pytest.raises(SourceError, match="no file in the folder"):
        given.resolve()


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may read anything")
def test_an_unreadable_file_is_named(given: Given, theme: Path) -> None:
    (theme / "css" / "a.css").chmod(0)
    with pytest.raises(SourceError, match=r"a\.css cannot be read"):
        given.resolve()


def test_an_absolute_path_and_a_link_to_the_folder_serve(given: Given, theme: Path, tmp_path: Path) -> None:
    version = given.resolve()["theme"].version
    (tmp_path / "alias").symlink_to(theme)
    for path in (theme, tmp_path / "alias"):
        given.toml = f'theme = {{ path = "{path}" }}\n'
        assert given.resolve()["theme"].version == version


def test_names_that_are_no_utf_8_and_long_ones_survive(given: Given, theme: Path) -> None:
    names = [os.fsdecode(b"caf\xe9"), "日本語" * 20, "n" * 255, "deep/" * 30 + "x"]
    for name in names:
        (theme / name).parent.mkdir(parents=True, exist_ok=True)
        (theme / name).write_text(name if name.isprintable() else "?")
    assert set(names) <= set(given.install()["theme"].tree)


def test_archives_are_packages_too(given: Given, tmp_path: Path) -> None:
    filename, content, _ = wheel_bytes("demo", "1.0", {"demo/__init__.py": "A = 1\n"})
    (tmp_path / filename).write_bytes(content)
    _, sdist = sdist_bytes("demo", "1.0", {"demo.py": "A = 1\n"})
    (tmp_path / "x.tar.gz").write_bytes(sdist)
    given.toml = f'wheel = {{ path = "../{filename}" }}\nsdist = {{ path = "../x.tar.gz" }}\n'
    packages = given.install()
    assert "demo-1.0.dist-info/METADATA" in packages["wheel"].tree
    assert set(packages["sdist"].tree) == {"demo.py", "PKG-INFO"}
    assert packages["wheel"].pin.sha256 == hashlib.sha256(content).hexdigest()
    assert packages["wheel"].pin.version == packages["wheel"].pin.sha256[:12]
    assert packages["sdist"].pin.filename == "x.tar.gz"


# -- addresses --------------------------------------------------------------------------------------------------------


def test_an_address_with_its_sha256(index: IndexServer, given: Given, cache_dir: Path) -> None:
    _, sdist = sdist_bytes("demo", "1.0", {"demo.py": "A = 1\n"})
    sha256 = hashlib.sha256(sdist).hexdigest()
    address = index.file("a folder/demo-1.0.tar.gz", sdist)
    given.toml = f'demo = {{ url = "{address}?x=1", sha256 = "{sha256}" }}\n'
    package = given.install()["demo"]
    pin = package.pin
    assert (pin.kind, pin.ref, pin.version, pin.filename) == ("url", f"{address}?x=1", sha256[:12], "demo-1.0.tar.gz")
    assert set(package.tree) == {"demo.py", "PKG-INFO"}
    index.forget_requests()
    assert given.install({"demo": pin})["demo"].pin == pin
    assert index.count() == 0
    (cache_dir / "archives" / sha256[:2] / sha256).unlink()
    with pytest.raises(OfflineError, match=r"demo-1\.0\.tar\.gz"):
        given.install({"demo": pin}, offline=True)
    assert given.sources().recall(pin).pin == pin
    other = hashlib.sha256(b"").hexdigest()
    given.toml = f'demo = {{ url = "{address}", sha256 = "{other}" }}\n'
    with pytest.raises(IntegrityError, match=other):
        given.install({"demo": pin})


def test_a_file_address(given: Given, tmp_path: Path) -> None:
    _, sdist = sdist_bytes("demo", "1.0", {"demo.py": "A = 1\n"})
    (tmp_path / "x.tar.gz").write_bytes(sdist)
    sha256 = hashlib.sha256(sdist).hexdigest()
    given.toml = f'demo = {{ url = "{(tmp_path / "x.tar.gz").as_uri()}", sha256 = "{sha256}" }}\n'
    assert set(given.install()["demo"].tree) == {"demo.py", "PKG-INFO"}
