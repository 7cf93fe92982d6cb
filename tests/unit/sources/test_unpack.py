"""Hostile archives stop here; sound ones become files as the contract says."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import random
import tarfile
from collections.abc import Callable, Generator
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dxforge.config.model import Limits
from dxforge.errors import ArchiveError, IntegrityError, UnsafeArchiveError
from dxforge.sources.model import Layout, Pin
from dxforge.sources.unpack import ArchivePackage, examine, open_package
from dxforge.store.archives import ArchiveStore
from dxforge.store.tree import EXECUTABLE, FILE, SYMLINK, blob_oid
from tests.support.archives import Exec, Files, Link, npm_bytes, sdist_bytes, tar_bytes, wheel_bytes, zip_bytes
from tests.support.hostile import HOSTILE, ZipMember, damaged, many_entries, many_hard_links, zip_of, zip_with


def opened(
    tmp_path: Path, content: bytes, layout: Layout = Layout.AS_IS, limits: Limits | None = None, *, cached: bool = True
) -> ArchivePackage:
    """The package in ``content``, through a cache in ``tmp_path``."""
    store = ArchiveStore(tmp_path / "cache")
    path = store.add(io.BytesIO(content))
    pin = Pin(
        name="demo", kind="url", ref="", version="1", filename="demo.bin", sha256=path.name, layout=layout
    )  # fmt: skip
    return open_package(path, pin, limits or Limits(), store if cached else None)


@pytest.mark.parametrize("story", HOSTILE)
def test_hostile_archives_are_refused_by_name_and_nothing_is_written(tmp_path: Path, story: str) -> None:
    content, entry = HOSTILE[story]()
    with pytest.raises(UnsafeArchiveError) as caught:
        opened(tmp_path, content)
    assert caught.value.entry == entry
    assert caught.value.where == "demo 1 (demo.bin)"
    assert caught.value.hint
    assert "\n" not in str(caught.value) and "\x1b" not in str(caught.value)
    written = sorted(path.relative_to(tmp_path).parts[1] for path in tmp_path.rglob("*") if path.is_file())
    assert written == ["archives"]


def test_there_are_at_least_forty_of_them() -> None:
    assert len(HOSTILE) >= 40
    contents = {hashlib.sha256(attack()[0]).hexdigest() for attack in HOSTILE.values()}
    assert len(contents) == len(HOSTILE)


@pytest.mark.parametrize("story", damaged())
def test_broken_archives_are_an_archive_error(tmp_path: Path, story: str) -> None:
    with pytest.raises(ArchiveError) as caught:
        opened(tmp_path, damaged()[story])
    assert not isinstance(caught.value, UnsafeArchiveError)


def test_limits_are_the_configuration_s(tmp_path: Path) -> None:
    content = many_entries(20)
    assert len(opened(tmp_path, content, limits=Limits(entries=20)).tree) == 20
    # The manifest that was cached under a wider limit does not open a back door.
    with pytest.raises(UnsafeArchiveError, match="19 that are allowed") as caught:
        opened(tmp_path, content, limits=Limits(entries=19))
    assert caught.value.entry == "demo/19"
    with pytest.raises(UnsafeArchiveError, match="one more than the 2 "):
        opened(tmp_path, tar_bytes({"a": "1", "b": "2", "c": "3"}), limits=Limits(entries=2))
    big = zip_bytes({"demo/x": random.Random(1).randbytes(5000)})
    opened(tmp_path, big, limits=Limits(total_bytes=5000))
    with pytest.raises(UnsafeArchiveError, match="4999 bytes"):
        opened(tmp_path, big, limits=Limits(total_bytes=4999))
    with pytest.raises(UnsafeArchiveError, match="more than 5 bytes"):
        opened(tmp_path, big, limits=Limits(path_bytes=5))
    with pytest.raises(UnsafeArchiveError, match="component of more than 3 bytes"):
        opened(tmp_path, big, limits=Limits(name_bytes=3))


def test_a_generous_ratio_lets_a_dull_archive_pass(tmp_path: Path) -> None:
    content, _ = HOSTILE["tar bomb"]()
    package = opened(tmp_path, content, limits=Limits(ratio=100_000))
    assert package.tree["demo/zeros"].size == 64 << 20


def test_hard_links_count_as_the_copies_that_they_become(tmp_path: Path) -> None:
    content = many_hard_links()
    with pytest.raises(UnsafeArchiveError, match="times its size") as caught:
        opened(tmp_path, content)
    assert caught.value.entry.startswith("demo/l")
    package = opened(tmp_path, content, limits=Limits(ratio=100_000))
    assert package.tree["demo/l39"] == package.tree["demo/big"]


def test_an_archive_in_an_archive_stays_a_file(tmp_path: Path) -> None:
    inner, _ = HOSTILE["zip bomb, honest"]()
    package = opened(tmp_path, zip_bytes({"demo/inner.zip": inner}))
    assert dict(package.read()) == {"demo/inner.zip": inner}


def test_a_wheel_is_taken_as_it_is(tmp_path: Path) -> None:
    files: Files = {
        "demo/__init__.py": b"A = 1\n",
        "demo/run.sh": Exec(b"#!/bin/sh\n"),
        "demo/latest": Link("__init__.py"),
    }
    _, content, metadata = wheel_bytes("demo", "1.0", files)
    package = opened(tmp_path, content)
    assert {path: entry.mode for path, entry in package.tree.items()} == {
        "demo/__init__.py": FILE,
        "demo/run.sh": EXECUTABLE,
        "demo/latest": SYMLINK,
        "demo-1.0.dist-info/METADATA": FILE,
        "demo-1.0.dist-info/WHEEL": FILE,
        "demo-1.0.dist-info/RECORD": FILE,
    }
    assert package.tree["demo/__init__.py"].oid == blob_oid(b"A = 1\n")
    contents = dict(package.read())
    assert contents["demo-1.0.dist-info/METADATA"] == metadata
    assert contents["demo/latest"] == b"__init__.py"


@pytest.mark.parametrize("format", ["tar.gz", "zip"])
def test_of_an_sdist_the_top_folder_goes(tmp_path: Path, format: str) -> None:
    _, content = sdist_bytes("demo", "1.0", {"src/demo/__init__.py": "A = 1\n"}, format=format)
    package = opened(tmp_path, content, Layout.TOP_FOLDER)
    assert set(package.tree) == {"src/demo/__init__.py", "PKG-INFO"}


def test_two_top_folders_or_a_file_beside_stay_as_they_are(tmp_path: Path) -> None:
    two = zip_bytes({"a/x": b"1", "b/x": b"2"})
    assert set(opened(tmp_path, two, Layout.TOP_FOLDER).tree) == {"a/x", "b/x"}
    beside = zip_bytes({"a/x": b"1", "readme": b"2"})
    assert set(opened(tmp_path, beside, Layout.TOP_FOLDER).tree) == {"a/x", "readme"}
    alone = zip_bytes({"readme": b"2"})
    assert set(opened(tmp_path, alone, Layout.TOP_FOLDER).tree) == {"readme"}


@pytest.mark.parametrize("top", ["package", "left-1.0"])
def test_npm_contents_lie_below_their_folder(tmp_path: Path, top: str) -> None:
    package = opened(tmp_path, npm_bytes("left", "1.0.0", {"lib/index.js": "1"}, top=top), Layout.NPM)
    assert set(package.tree) == {"package.json", "lib/index.js"}


def test_npm_takes_package_even_beside_others(tmp_path: Path) -> None:
    content = tar_bytes({"package/index.js": "1", "other/x": "2"}, compress=True)
    assert set(opened(tmp_path, content, Layout.NPM).tree) == {"index.js"}


def test_what_never_travels_is_left_behind(tmp_path: Path) -> None:
    content = zip_bytes(
        {
            "demo/x.py": b"1",
            "demo/x.pyc": b"2",
            "demo/__pycache__/x.cpython-311.pyc": b"3",
            "demo/.ipynb_checkpoints/x.py": b"4",
            "demo/.gitignore": b"5",
        }
    )
    assert set(opened(tmp_path, content).tree) == {"demo/x.py", "demo/.gitignore"}


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "tar.bz2", "tar.xz"])
def test_every_compression_gives_the_same_files(tmp_path: Path, kind: str) -> None:
    big = random.Random(7).randbytes(1_200_000)
    files: Files = {
        "top/a.py": big,
        "top/run": Exec(b"x" * 10),
        "top/sub/link": Link("../a.py"),
        "top/empty": b"",
        "top/" + "long" * 40: b"long name",
    }
    raw = tar_bytes(files)
    packers: dict[str, Callable[[bytes], bytes]] = {
        "tar": bytes,
        "tar.gz": gzip.compress,
        "tar.bz2": bz2.compress,
        "tar.xz": lzma.compress,
    }
    package = opened(tmp_path, packers[kind](raw), Layout.TOP_FOLDER)
    contents = dict(package.read())
    assert contents["a.py"] == big
    assert contents["sub/link"] == b"../a.py"
    assert package.tree["run"].mode == EXECUTABLE
    assert package.tree["sub/link"].mode == SYMLINK
    assert list(dict(package.read(["run", "empty"]))) == ["run", "empty"]
    assert {path: blob_oid(content) for path, content in contents.items()} == {
        path: entry.oid for path, entry in package.tree.items()
    }


def test_several_compressed_members_and_padding_are_one_stream(tmp_path: Path) -> None:
    raw = tar_bytes({"demo/x": b"x" * 5000})
    twice = gzip.compress(raw[:700]) + gzip.compress(raw[700:]) + bytes(512)
    assert opened(tmp_path, twice).tree["demo/x"].size == 5000
    twice = bz2.compress(raw[:700]) + bz2.compress(raw[700:])
    assert opened(tmp_path, twice).tree["demo/x"].size == 5000


def test_hard_links_inside_become_copies(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        original = tarfile.TarInfo("demo/b.py")
        original.size, original.mode = 3, 0o755
        archive.addfile(original, io.BytesIO(b"abc"))
        last = tarfile.TarInfo("demo/c.py")
        last.size = 2
        archive.addfile(last, io.BytesIO(b"cc"))
        link = tarfile.TarInfo("demo/a.py")
        link.type, link.linkname = tarfile.LNKTYPE, "demo/b.py"
        archive.addfile(link)
    package = opened(tmp_path, buffer.getvalue())
    assert dict(package.read()) == {"demo/a.py": b"abc", "demo/b.py": b"abc", "demo/c.py": b"cc"}
    assert package.tree["demo/a.py"].mode == EXECUTABLE


def test_names_that_are_no_utf_8_survive(tmp_path: Path) -> None:
    name = b"demo/caf\xe9.py"
    text = name.decode("utf-8", "surrogateescape")
    for content in (zip_of([ZipMember(name=name, content=b"x", flags=0)]), tar_bytes({text: b"x"})):
        for _ in range(2):  # examined, then from the cached manifest
            package = opened(tmp_path, content)
            assert list(package.read()) == [(text, b"x")]


def test_utf_8_names_without_the_flag_are_read_as_utf_8(tmp_path: Path) -> None:
    content = zip_of([ZipMember(name="demo/café.py".encode(), content=b"x", flags=0)])
    assert list(opened(tmp_path, content).tree) == ["demo/café.py"]


def test_ordinary_names_are_not_refused(tmp_path: Path) -> None:
    names = [
        "demo/.gitignore", "demo/.gitattributes", "demo/.github/workflows/ci.yml", "demo/console.py", "demo/auxiliary",
        "demo/git", "demo/a b.txt", "demo/nullable.py", "demo/x~", "demo/com10", "demo/日本語.txt", "demo/-dash",
        "demo/café", "demo/[x](y){z}", "demo/$HOME", "demo/.hidden", "demo/..x", "demo/x..y", "demo/n" + "o" * 254,
    ]  # fmt: skip
    package = opened(tmp_path, zip_bytes(dict.fromkeys(names, b"x")))
    assert list(package.tree) == names


def test_links_that_stay_inside_are_kept(tmp_path: Path) -> None:
    files: Files = {
        "demo/a/x": b"x", "demo/b": Link("a/x"), "demo/a/up": Link(".."), "demo/c": Link("a/up/a/x"),
        "top": Link("demo/a"), "demo/dangling": Link("nowhere"), "demo/self": Link("."),
    }  # fmt: skip
    package = opened(tmp_path, tar_bytes(files))
    assert package.tree["demo/c"].mode == SYMLINK
    assert dict(package.read())["demo/c"] == b"a/up/a/x"


def test_a_link_may_not_leave_the_package_though_it_stays_in_the_archive(tmp_path: Path) -> None:
    content = tar_bytes({"package/link": Link("../other/x"), "other/x": b"x"}, compress=True)
    with pytest.raises(UnsafeArchiveError) as caught:
        opened(tmp_path, content, Layout.NPM)
    assert caught.value.entry == "package/link"


def test_a_path_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    package = opened(tmp_path, zip_bytes({"demo/x": b"x"}))
    assert list(package.read([])) == []
    with pytest.raises(ArchiveError, match='no "demo/y" in it'):
        list(package.read(["demo/x", "demo/y"]))


def test_a_zip_written_to_a_pipe_is_fine(tmp_path: Path) -> None:
    """Local headers without sizes (bit 3, a data descriptor behind the content) are what streaming writers make."""
    import zipfile

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def tell(self) -> int:
            raise OSError

        def seek(self, *_: int) -> int:
            raise OSError

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("demo/x.py", b"print()\n" * 50)
        archive.writestr("demo/y.py", b"")
    assert set(opened(tmp_path, pipe.getvalue()).tree) == {"demo/x.py", "demo/y.py"}


def test_sizes_beyond_four_gigabytes_fields_are_read(tmp_path: Path) -> None:
    """force_zip64 puts the local sizes into the extra field though they are small."""
    import zipfile

    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open(zipfile.ZipInfo("demo/x.py"), "w", force_zip64=True) as member,
    ):
        member.write(b"print()\n" * 50)
    assert opened(tmp_path, buffer.getvalue()).tree["demo/x.py"].size == 400


def test_contents_are_checked_against_the_tree(tmp_path: Path) -> None:
    package = opened(tmp_path, zip_of([ZipMember(name=b"demo/x", content=b"abcabc", method=0)]))
    raw = package.path.read_bytes()
    package.path.write_bytes(raw.replace(b"abcabc", b"abcabd"))
    with pytest.raises(IntegrityError, match="demo/x"):
        list(package.read())
    package.path.unlink()
    with pytest.raises(ArchiveError, match="cannot be read"):
        list(package.read())


def test_large_zips_are_read_in_order_and_may_be_left_early(tmp_path: Path) -> None:
    chance = random.Random(3)
    files: dict[str, bytes] = {f"demo/{number:04}": chance.randbytes(20_000) for number in range(900)}
    package = opened(tmp_path, zip_bytes(files))
    reading = package.read()
    assert next(reading) == ("demo/0000", files["demo/0000"])
    cast("Generator[tuple[str, bytes], None, None]", reading).close()
    assert [path for path, _ in package.read()] == list(files)
    some = {"demo/0899", "demo/0001"}
    assert dict(package.read(some)) == {path: files[path] for path in some}


def test_the_manifest_is_kept_and_a_damaged_one_made_anew(tmp_path: Path) -> None:
    content = zip_with(ZipMember(name=b"demo/x.py", content=b"1"))
    first = opened(tmp_path, content)
    (kept,) = (tmp_path / "cache" / "manifests").rglob("*.as-is-*")
    whole = kept.read_bytes()
    assert dict(opened(tmp_path, content).tree) == dict(first.tree)
    kept.write_bytes(whole.replace(b"demo/x.py", b"demo/y.py"))
    assert dict(opened(tmp_path, content).tree) == dict(first.tree)
    assert kept.read_bytes() == whole
    kept.write_bytes(b"")
    assert dict(opened(tmp_path, content, cached=False).tree) == dict(first.tree)
    assert kept.read_bytes() == b""


SOUND = tar_bytes({"demo/a.py": "x = 1\n" * 50, "demo/l": Link("a.py"), "demo/" + "n" * 120: "long", "demo/é": b"1"})
SEEDS = [
    zip_bytes({"demo/a.py": "x = 1\n" * 50, "demo/l": Link("a.py"), "demo/é": b"1"}),
    SOUND,
    gzip.compress(SOUND, mtime=0),
    bz2.compress(SOUND),
    lzma.compress(SOUND),
]


@given(
    st.sampled_from(SEEDS),
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 3), st.binary(max_size=8)), min_size=1, max_size=6),
)
def test_whatever_is_damaged_is_an_archive_error_or_sound(
    tmp_path_factory: pytest.TempPathFactory, seed: bytes, changes: list[tuple[int, int, bytes]]
) -> None:
    content = bytearray(seed)
    for where, kind, data in changes:
        at = where % (len(content) + 1)
        if kind == 0:
            content[at : at + len(data)] = data
        elif kind == 1:
            content[at:at] = data
        elif kind == 2:
            del content[at : at + len(data)]
        else:
            del content[at:]
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(content)
    try:
        manifest = examine(path, Layout.AS_IS, Limits(), where="damaged")
    except ArchiveError:
        return
    assert all(not path.startswith(("/", "../")) for path in manifest.tree)
