"""Writes: never through a symlink, never over an edit, one process at a time."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dxforge.errors import ChangedMeanwhileError, ProjectBusyError, ProjectError, WriteError
from dxforge.events import Event, EventBus, WaitingForProject
from dxforge.files import (
    atomic_write,
    displace,
    exact_tree,
    exchange,
    lock_is_held,
    move_new,
    place,
    prepare_state_dir,
    private_bits,
    project_lock,
    read_entry,
    remove_if_empty,
    safe_join,
    sync_folders,
    sync_tree,
    walk,
    write_error,
    write_new,
)
from dxforge.store.tree import EXECUTABLE, FILE, SYMLINK, Entry, blob_oid


def entry(content: bytes, mode: int = FILE) -> Entry:
    return Entry(mode, blob_oid(content), len(content))


@pytest.fixture(params=["kernel", "renames"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With the kernel's atomic exchange, and with the renames that stand in for it elsewhere."""
    if request.param == "renames":
        monkeypatch.setattr("dxforge.files._KERNEL", [None, (0, 0)])
    return str(request.param)


# ---- paths


def test_a_path_below_the_root() -> None:
    assert safe_join(Path("/r"), "a/b c/d.py") == Path("/r/a/b c/d.py")


@pytest.mark.parametrize("path", ["/a", "..", "../a", "a/../b", "a/..", "a//b", "a/", "/", ".", "./a", "a/./b", ""])
def test_a_path_that_leads_out_or_nowhere(path: str) -> None:
    with pytest.raises(WriteError) as caught:
        safe_join(Path("/r"), path)
    assert caught.value.hint


def test_never_through_a_symlinked_parent(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "real" / "inner").symlink_to("/tmp")
    for path in ("link/f", "link/a/f", "real/inner/f"):
        with pytest.raises(WriteError, match="symlink"):
            safe_join(tmp_path, path)
    assert safe_join(tmp_path, "link") == tmp_path / "link"


def test_a_root_behind_a_symlink_is_fine(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert safe_join(tmp_path / "link", "a/b") == tmp_path / "link" / "a" / "b"


# ---- reading


def test_files_and_symlinks_are_entries(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x\n")
    (tmp_path / "x").write_bytes(b"")
    (tmp_path / "x").chmod(0o755)
    (tmp_path / "l").symlink_to("nowhere")
    assert read_entry(tmp_path / "f") == (entry(b"x\n"), b"x\n")
    assert read_entry(tmp_path / "x") == (entry(b"", EXECUTABLE), b"")
    assert read_entry(tmp_path / "l") == (entry(b"nowhere", SYMLINK), b"nowhere")


def test_what_is_no_file_is_no_entry(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "f").write_bytes(b"")
    os.mkfifo(tmp_path / "p")
    for name in ("none", "d", "f/below", "p"):
        assert read_entry(tmp_path / name) is None


def test_only_the_owners_x_counts(tmp_path: Path) -> None:
    for mode, expected in ((0o600, FILE), (0o655, FILE), (0o744, EXECUTABLE), (0o100, EXECUTABLE)):
        file = tmp_path / f"{mode:o}"
        file.write_bytes(b"")
        file.chmod(mode)
        found = read_entry(file) if mode & 0o400 or os.geteuid() == 0 else (entry(b"", expected), b"")
        assert found is not None and found[0].mode == expected


def test_an_unreadable_name_is_named(tmp_path: Path) -> None:
    with pytest.raises(WriteError) as caught:
        read_entry(tmp_path / ("n" * 300))
    assert "n" * 300 in caught.value.where


# ---- writing


def test_a_new_file_has_its_mode_within_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_new(tmp_path / "f", b"f")
        write_new(tmp_path / "x", b"x", EXECUTABLE)
        write_new(tmp_path / "l", b"t", SYMLINK)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o750
    assert os.readlink(tmp_path / "l") == "t"


def test_a_new_file_never_replaces(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"mine")
    (tmp_path / "dangling").symlink_to("target")
    for name in ("f", "dangling"):
        for mode in (FILE, SYMLINK):
            with pytest.raises(FileExistsError):
                write_new(tmp_path / name, b"x", mode)
    assert (tmp_path / "f").read_bytes() == b"mine"
    assert not (tmp_path / "target").exists()


def test_an_atomic_write_replaces_and_leaves_nothing_beside(tmp_path: Path) -> None:
    atomic_write(tmp_path / "f", b"one")
    atomic_write(tmp_path / "f", b"two")
    assert (tmp_path / "f").read_bytes() == b"two"
    assert os.listdir(tmp_path) == ["f"]


def test_a_failed_atomic_write_leaves_the_old(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "in").write_bytes(b"")
    with pytest.raises(WriteError) as caught:
        atomic_write(tmp_path / "d", b"x")
    assert caught.value.where == str(tmp_path / "d")
    assert os.listdir(tmp_path) == ["d"]
    with pytest.raises(WriteError):
        atomic_write(tmp_path / "missing" / "f", b"x")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EIO, errno.EFBIG])
def test_an_os_error_says_where_and_what_to_do(number: int) -> None:
    error = write_error(OSError(number, os.strerror(number)), Path("/p/f"), "cannot be written")
    assert error.where == "/p/f"
    assert os.strerror(number).lower() in error.what
    assert error.hint


# ---- moving


def test_exchange_swaps(tmp_path: Path, way: str) -> None:
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / "b").symlink_to("nowhere")
    exchange(tmp_path / "a", tmp_path / "b")
    assert os.readlink(tmp_path / "a") == "nowhere"
    assert (tmp_path / "b").read_bytes() == b"a"
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


@pytest.mark.parametrize("there", ["file", "folder", "symlink", "fifo"])
@pytest.mark.parametrize("moved", ["file", "folder", "symlink"])
def test_a_move_never_replaces(tmp_path: Path, way: str, there: str, moved: str) -> None:
    make: dict[str, Callable[[Path], object]] = {
        "file": lambda path: path.write_bytes(path.name.encode()),
        "folder": Path.mkdir,
        "symlink": lambda path: path.symlink_to("nowhere"),
        "fifo": os.mkfifo,
    }
    make[moved](tmp_path / "source")
    make[there](tmp_path / "target")
    before = (tmp_path / "target").lstat().st_ino
    with pytest.raises(FileExistsError):
        move_new(tmp_path / "source", tmp_path / "target")
    assert (tmp_path / "target").lstat().st_ino == before
    assert sorted(os.listdir(tmp_path)) == ["source", "target"]
    move_new(tmp_path / "source", tmp_path / "elsewhere")
    assert sorted(os.listdir(tmp_path)) == ["elsewhere", "target"]


def test_place_says_so_when_something_is_there(tmp_path: Path, way: str) -> None:
    (tmp_path / "slot").write_bytes(b"new")
    (tmp_path / "target").write_bytes(b"the user's")
    with pytest.raises(ChangedMeanwhileError) as caught:
        place(tmp_path / "slot", tmp_path / "target")
    assert caught.value.where == str(tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == b"the user's"
    (tmp_path / "target").unlink()
    place(tmp_path / "slot", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == b"new"


def test_displace_takes_away_or_swaps(tmp_path: Path, way: str) -> None:
    (tmp_path / "target").write_bytes(b"old")
    (tmp_path / "slot").write_bytes(b"new")
    displace(tmp_path / "target", tmp_path / "slot", entry(b"old"), replace=True)
    assert ((tmp_path / "target").read_bytes(), (tmp_path / "slot").read_bytes()) == (b"new", b"old")
    displace(tmp_path / "target", tmp_path / "away", entry(b"new"), replace=False)
    assert sorted(os.listdir(tmp_path)) == ["away", "slot"]


@pytest.mark.parametrize("replace", [True, False])
@pytest.mark.parametrize(
    "change",
    [
        lambda target: target.write_bytes(b"edited at the last moment"),
        lambda target: target.chmod(0o755),
        lambda target: (target.unlink(), target.mkdir(), (target / "f").write_bytes(b"")),
        lambda target: (target.unlink(), target.symlink_to("old")),
        lambda target: (target.unlink(), os.mkfifo(target)),
        lambda target: target.unlink(),
    ],
    ids=["edited", "mode", "folder", "symlink", "fifo", "gone"],
)
def test_an_edit_at_the_last_moment_goes_back(
    tmp_path: Path, way: str, replace: bool, change: Callable[[Path], object]
) -> None:
    target, slot = tmp_path / "target", tmp_path / "slot"
    target.write_bytes(b"old")
    change(target)
    if replace:
        slot.write_bytes(b"new")
    before = [(path.name, path.lstat().st_ino, path.lstat().st_mode) for path in sorted(tmp_path.iterdir())]
    with pytest.raises(ChangedMeanwhileError):
        displace(target, slot, entry(b"old"), replace=replace)
    assert [(path.name, path.lstat().st_ino, path.lstat().st_mode) for path in sorted(tmp_path.iterdir())] == before


# ---- folders


def test_walk_and_exact_tree(tmp_path: Path) -> None:
    folder = tmp_path / "p"
    (folder / "a" / "__pycache__").mkdir(parents=True)
    (folder / "a" / "__pycache__" / "f.pyc").write_bytes(b"")
    (folder / "a" / "f.py").write_bytes(b"f")
    (folder / "l").symlink_to("a")
    files = {"a/f.py": entry(b"f"), "l": entry(b"a", SYMLINK)}
    assert sorted(walk(folder)) == ["a/f.py", "l"]
    assert exact_tree(folder, files)
    (folder / "own").write_bytes(b"")
    assert not exact_tree(folder, files)
    (folder / "own").unlink()
    (folder / "a" / "f.py").write_bytes(b"g")
    assert not exact_tree(folder, files)
    (folder / "a" / "f.py").unlink()
    assert not exact_tree(folder, files)


def test_only_empty_folders_are_removed(tmp_path: Path) -> None:
    for name in ("empty", "cache", "odd", "file"):
        (tmp_path / name).mkdir()
    (tmp_path / "cache" / "__pycache__").mkdir()
    (tmp_path / "cache" / "__pycache__" / "x.pyc").write_bytes(b"")
    (tmp_path / "odd" / "__pycache__").mkdir()
    (tmp_path / "odd" / "__pycache__" / "notes.txt").write_bytes(b"mine")
    (tmp_path / "file" / "f").write_bytes(b"mine")
    (tmp_path / "link").symlink_to("empty")
    removed = {name: remove_if_empty(tmp_path / name) for name in ("cache", "odd", "file", "link", "empty", "none")}
    assert removed == {"cache": True, "odd": False, "file": False, "link": False, "empty": True, "none": False}
    assert sorted(os.listdir(tmp_path)) == ["file", "link", "odd"]
    assert (tmp_path / "odd" / "__pycache__" / "notes.txt").exists()


def test_a_symlinked_cache_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "x.pyc").write_bytes(b"")
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "__pycache__").symlink_to("../precious")
    assert not remove_if_empty(tmp_path / "d")
    assert (tmp_path / "precious" / "x.pyc").exists()


def test_many_files_and_folders_are_synced_at_once(tmp_path: Path) -> None:
    files = []
    for number in range(70):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "f").write_bytes(b"")
        files.append(folder / "f")
    (tmp_path / "l").symlink_to("nowhere")
    sync_tree(tmp_path, files)
    sync_tree(tmp_path, [*files[:2], tmp_path / "l"])
    sync_folders({file.parent for file in files} | {tmp_path / "gone"})
    sync_folders({tmp_path / "gone", tmp_path})


# ---- the state folder


def test_the_state_folder_ignores_itself(tmp_path: Path) -> None:
    assert prepare_state_dir(tmp_path) == tmp_path / ".dx"
    assert (tmp_path / ".dx" / ".gitignore").read_text() == "*\n"
    (tmp_path / ".dx" / ".gitignore").write_text("changed\n")
    prepare_state_dir(tmp_path)
    assert (tmp_path / ".dx" / ".gitignore").read_text() == "changed\n"


@pytest.mark.parametrize("make", [lambda path: path.write_bytes(b""), lambda path: path.symlink_to("/tmp")])
def test_a_state_folder_that_is_none_is_refused(tmp_path: Path, make: Callable[[Path], object]) -> None:
    make(tmp_path / ".dx")
    with pytest.raises(ProjectError):
        prepare_state_dir(tmp_path)


# ---- the lock

HOLDER = """
import sys
from pathlib import Path
from dxforge.events import EventBus
from dxforge.files import project_lock
with project_lock(Path(sys.argv[1]), wait_s=5, events=EventBus()):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def test_another_process_holds_it_and_is_named(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    events, seen = EventBus(), list[Event]()
    events.subscribe(seen.append)
    with (
        pytest.raises(ProjectBusyError, match=f"process {holder.pid} ") as caught,
        project_lock(tmp_path, wait_s=0.1, events=events),
    ):
        pytest.fail("two holders")
    assert caught.value.pid == holder.pid
    assert seen == [WaitingForProject(pid=holder.pid, timeout_s=0.1)]


def test_it_is_waited_for(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    events = EventBus()

    def let_go(event: Event) -> None:
        assert isinstance(event, WaitingForProject)
        assert holder.stdin is not None
        holder.stdin.write("\n")
        holder.stdin.flush()

    events.subscribe(let_go)
    with project_lock(tmp_path, wait_s=30, events=events):
        assert holder.wait(10) == 0


def test_a_killed_holder_lets_go(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    holder.kill()
    holder.wait()
    events, seen = EventBus(), list[Event]()
    events.subscribe(seen.append)
    with project_lock(tmp_path, wait_s=0, events=events):
        pass
    assert seen == []


def test_two_threads_exclude_each_other(tmp_path: Path) -> None:
    inside = 0
    overlaps = []

    def work() -> None:
        nonlocal inside
        with project_lock(tmp_path, wait_s=30, events=EventBus()):
            inside += 1
            overlaps.append(inside)
            time.sleep(0.02)
            inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert overlaps == [1, 1, 1, 1]


def test_it_is_free_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), project_lock(tmp_path, wait_s=0, events=EventBus()):
        raise RuntimeError
    with project_lock(tmp_path, wait_s=0, events=EventBus()):
        pass


def test_a_lock_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(WriteError), project_lock(tmp_path / "missing", wait_s=0, events=EventBus()):
        pytest.fail("no lock")


def test_another_lock_of_the_same_project(tmp_path: Path) -> None:
    with project_lock(tmp_path, wait_s=0, events=EventBus()):
        assert lock_is_held(tmp_path)
        with (
            project_lock(tmp_path, wait_s=0, events=EventBus(), name="other.lock"),
            pytest.raises(ProjectBusyError, match=f"process {os.getpid()} "),
            project_lock(tmp_path, wait_s=0, events=EventBus(), name="other.lock"),
        ):
            pytest.fail("two holders")
    assert not lock_is_held(tmp_path)
    assert not lock_is_held(tmp_path / "none")


def test_who_may_read_a_file() -> None:
    every = {0o644: None, 0o755: None, 0o664: None, 0o444: None, 0o600: 0o600, 0o640: 0o640, 0o400: 0o600, 0o711: 0o711}
    assert {bits: private_bits(stat.S_IFREG | bits) for bits in every} == every
    assert private_bits(stat.S_IFLNK | 0o700) is None
