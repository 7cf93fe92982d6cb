"""Looking at the disk: what is there, what stands in the way, and which files need not be opened again."""

from __future__ import annotations

import dataclasses
import os
import shutil
import socket
from pathlib import Path

import pytest

from dxforge.errors import ChangedMeanwhileError
from dxforge.store.tree import EXECUTABLE, FILE, SYMLINK, Entry, blob_oid
from dxforge.traffic.light import Obstacle
from dxforge.traffic.local import (
    Index,
    load_index,
    local_entries,
    make_index,
    now_ns,
    save_index,
    scan,
    still_clean,
    trusted,
)

LATER_NS = 10**9


def entry(content: bytes, mode: int = FILE) -> Entry:
    return Entry(mode, blob_oid(content), len(content))


@pytest.fixture
def package(tmp_path: Path) -> Path:
    folder = tmp_path / "pkg"
    (folder / "sub" / "empty").mkdir(parents=True)
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "a.pyc").write_bytes(b"")
    (folder / "a.py").write_bytes(b"a\n")
    (folder / "sub" / "run").write_bytes(b"run\n")
    (folder / "sub" / "run").chmod(0o755)
    (folder / "link").symlink_to("sub")
    os.mkfifo(folder / "pipe")
    return folder


TREE = {"a.py": entry(b"a\n"), "sub/run": entry(b"run\n", EXECUTABLE), "link": entry(b"sub", SYMLINK)}


def test_a_look_at_everything(package: Path) -> None:
    found = scan(package)
    assert found.exists
    assert set(found.files) == {"a.py", "sub/run", "link"}
    assert found.folders == {"sub", "sub/empty"}
    assert found.special == {"pipe": "FIFO"}
    status = (package / "a.py").stat()
    assert found.files["a.py"] == (status.st_mtime_ns, status.st_ctime_ns, status.st_ino, 2, status.st_mode)
    assert local_entries(package, found, None) == TREE


def test_a_socket_is_special(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # socket names are short
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("s")
        assert scan(tmp_path).special == {"s": "socket"}


def test_no_folder_no_files(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "link").symlink_to(tmp_path)
    for name in ("none", "file", "link"):
        assert not scan(tmp_path / name).exists


def test_symlinks_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "up").symlink_to("..")
    assert set(scan(tmp_path / "pkg").files) == {"up"}


def test_names_that_are_no_text(tmp_path: Path) -> None:
    name = b"caf\xe9.py"
    (tmp_path / os.fsdecode(name)).write_bytes(b"x")
    found = scan(tmp_path)
    assert [os.fsencode(path) for path in found.files] == [name]
    index = make_index("s", {}, trusted(found.files, local_entries(tmp_path, found, None), now_ns()), said=frozenset())
    save_index(tmp_path / "index.json", index)
    assert load_index(tmp_path / "index.json") == index


@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("a.py", None),
        ("new.py", None),
        ("sub/new.py", None),
        ("sub/empty/new.py", None),
        ("no/such/new.py", None),
        ("sub", "a folder is there"),
        ("pipe", "a FIFO is there"),
        ("a.py/below", "a file is at a.py"),
        ("a.py/far/below", "a file is at a.py"),
        ("link/below", "a symlink is at link"),
        ("sub/run/below", "a file is at sub/run"),
        ("pipe/below", "a FIFO is at pipe"),
    ],
)
def test_what_is_in_the_way(package: Path, path: str, what: str | None) -> None:
    assert scan(package).obstacle(path) == (None if what is None else Obstacle(what))


def test_only_the_paths_asked_for_are_read(package: Path) -> None:
    assert local_entries(package, scan(package), None, {"a.py", "missing"}) == {"a.py": TREE["a.py"]}


def test_a_file_that_vanishes_while_it_is_read(package: Path) -> None:
    found = scan(package)
    (package / "a.py").unlink()
    with pytest.raises(ChangedMeanwhileError) as caught:
        local_entries(package, found, None)
    assert caught.value.where == str(package / "a.py")


# ---- the stat cache


def whole_index(package: Path) -> Index:
    (package / "pipe").unlink(missing_ok=True)
    found = scan(package)
    entries = local_entries(package, found, None)
    return make_index("sha", TREE, trusted(found.files, entries, now_ns() + LATER_NS), said=frozenset({"gone.py"}))


def test_known_stamps_are_not_opened(package: Path) -> None:
    index = whole_index(package)
    lie = dataclasses.replace(index, seen={path: (stamp, entry(b"lie")) for path, (stamp, _) in index.seen.items()})
    assert set(local_entries(package, scan(package), lie).values()) == {entry(b"lie")}


@pytest.mark.parametrize("what", ["content", "mode", "replaced", "times set back", "touched"])
def test_whatever_changes_is_read_again(package: Path, what: str) -> None:
    index = whole_index(package)
    file = package / "a.py"
    expected = entry(b"b\n")
    old = file.stat()
    if what == "content":
        file.write_bytes(b"b\n")
    elif what == "mode":
        file.chmod(0o755)
        expected = entry(b"a\n", EXECUTABLE)
    elif what == "replaced":
        (package / "new").write_bytes(b"b\n")
        os.utime(package / "new", ns=(old.st_atime_ns, old.st_mtime_ns))
        (package / "new").rename(file)
    elif what == "times set back":
        file.write_bytes(b"b\n")
        os.utime(file, ns=(old.st_atime_ns, old.st_mtime_ns))
    else:
        os.utime(file)
        expected = entry(b"a\n")
    assert local_entries(package, scan(package), index, {"a.py"}) == {"a.py": expected}


def test_a_file_touched_just_before_the_look_is_not_trusted(package: Path) -> None:
    found = scan(package)
    entries = local_entries(package, found, None)
    touched = found.files["a.py"][1]
    assert "a.py" not in trusted(found.files, entries, touched)
    assert "a.py" not in trusted(found.files, entries, touched + 20_000_000)
    assert "a.py" in trusted(found.files, entries, touched + LATER_NS)


def test_a_racy_edit_of_the_same_length_is_seen(tmp_path: Path) -> None:
    """The edit lands within the clock's tick of the look and leaves size and times as they were."""
    file = tmp_path / "f"
    file.write_bytes(b"old")
    looked = now_ns()
    found = scan(tmp_path)
    index = make_index(
        "s", {"f": entry(b"old")}, trusted(found.files, local_entries(tmp_path, found, None), looked), said=frozenset()
    )
    for number in range(50):
        file.write_bytes(b"%03d" % number)
        assert local_entries(tmp_path, scan(tmp_path), index) == {"f": entry(b"%03d" % number)}


def test_clean_means_every_file_of_the_archive_is_its_own(package: Path) -> None:
    index = whole_index(package)
    assert index.clean == scan(package).files
    found = scan(package)
    entries = local_entries(package, found, None)
    late = now_ns() + LATER_NS
    for tree in ({**TREE, "more.py": entry(b"")}, {**TREE, "a.py": entry(b"other")}):
        assert make_index("sha", tree, trusted(found.files, entries, late), said=frozenset()).clean is None
    assert make_index("sha", TREE, trusted(found.files, entries, 0), said=frozenset()).clean is None


def test_the_users_own_files_do_not_make_it_unclean(package: Path) -> None:
    index = whole_index(package)
    assert index.clean is not None
    (package / "own.py").write_bytes(b"")
    assert still_clean(package, index.clean)
    found = scan(package)
    entries = local_entries(package, found, None, set(TREE))
    again = make_index("sha", TREE, trusted(found.files, entries, now_ns() + LATER_NS), said=frozenset())
    assert again.clean == index.clean


@pytest.mark.parametrize("what", ["edited", "mode", "touched", "gone", "a folder", "folder gone"])
def test_a_change_is_noticed_by_its_stamp(package: Path, what: str) -> None:
    index = whole_index(package)
    assert index.clean is not None
    assert still_clean(package, index.clean)
    file = package / "a.py"
    if what == "edited":
        file.write_bytes(b"b\n")
    elif what == "mode":
        file.chmod(0o755)
    elif what == "touched":
        os.utime(file)
    elif what == "gone":
        file.unlink()
    elif what == "a folder":
        file.unlink()
        file.mkdir()
    else:
        shutil.rmtree(package)
    assert not still_clean(package, index.clean)


def test_an_index_survives_the_disk(package: Path, tmp_path: Path) -> None:
    index = whole_index(package)
    edited = dataclasses.replace(
        index,
        seen={**index.seen, "a.py": (index.seen["a.py"][0], entry(b"edited\n"))},
        clean=None,
    )
    for saved in (index, edited, Index("s", {}, {}, clean={})):
        save_index(tmp_path / "index" / "pkg.json", saved)
        assert load_index(tmp_path / "index" / "pkg.json") == saved


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"[]", b"{}", b'{"format": 1}', b"null", b'{"format": 2, "paths": 3}', b"\xff", b'{"format": 2}'],
)
def test_a_damaged_index_is_none(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "i").write_bytes(text)
    assert load_index(tmp_path / "i") is None
    assert load_index(tmp_path / "missing") is None


def test_an_index_that_cannot_be_saved_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    save_index(tmp_path / "file" / "i.json", Index("s", {}, {}))
    assert not (tmp_path / "file" / "i.json").exists()
    (tmp_path / "folder.json").mkdir()
    save_index(tmp_path / "folder.json", Index("s", {}, {}))
    assert load_index(tmp_path / "folder.json") is None


def test_a_look_at_some_paths_sees_of_them_what_a_look_at_everything_sees(package: Path) -> None:
    (package / "file").write_bytes(b"")
    whole = scan(package)
    for paths in (["a.py"], ["sub/run", "link"], ["pipe"], ["sub"], ["file/below"], ["link/run"], ["none/at/all"], []):
        found = scan(package, paths)
        assert found.files.keys() <= whole.files.keys()
        for path in paths:
            assert found.files.get(path) == whole.files.get(path)
            assert found.obstacle(path) == whole.obstacle(path)
    assert scan(package, ["a.py"]).files.keys() == {"a.py"}
    assert not scan(package / "nowhere", ["a.py"]).exists


def test_what_was_read_lately_is_not_opened_again(package: Path) -> None:
    found = scan(package)
    lie = {"a.py": (found.files["a.py"], entry(b"remembered"))}
    assert local_entries(package, found, None, {"a.py"}, recent=lie) == {"a.py": entry(b"remembered")}
    old = make_index("s", {}, {"a.py": ((0, 0, 0, 0, 0), entry(b"outdated"))}, said=frozenset())
    assert local_entries(package, found, old, {"a.py"}, recent=lie) == {"a.py": entry(b"remembered")}
    (package / "a.py").write_bytes(b"changed\n")
    assert local_entries(package, scan(package), old, {"a.py"}, recent=lie) == {"a.py": entry(b"changed\n")}
