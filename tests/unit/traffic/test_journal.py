"""The journal: wholly before or wholly after, whatever fails, whenever the process is killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from dxforge.errors import ApplyError, ChangedMeanwhileError, WriteError
from dxforge.events import Event, EventBus, Notice
from dxforge.store.tree import EXECUTABLE, FILE, SYMLINK, Entry, blob_oid
from dxforge.traffic.journal import Journal, read_text
from dxforge.traffic.record import Job, Record, TreeWrite, Write
from dxforge.traffic.undo import undo_job
from tests.support.project import Snapshot, snapshot

PACKAGES = "src/dx_packages"
NOW = "2026-11-23T00:00:00+00:00"


def entry(content: bytes, mode: int = FILE) -> Entry:
    return Entry(mode, blob_oid(content), len(content))


def put(root: Path, path: str, content: bytes, mode: int = FILE) -> None:
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    if mode == SYMLINK:
        target.symlink_to(os.fsdecode(content))
    else:
        target.write_bytes(content)
        target.chmod(0o755 if mode == EXECUTABLE else 0o644)


class Ground:
    """A project in which one job deletes, creates, updates and swaps files, and adds and removes whole folders."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.state = root / ".dx"
        self.state.mkdir()
        self.notices: list[str] = []
        events = EventBus()
        events.subscribe(self._listen)
        self.journal = Journal(root, self.state, events, PACKAGES)
        for path, content in (
            ("dx.toml", b"[project]\n"),
            (f"{PACKAGES}/a/edit.py", b"old\n"),
            (f"{PACKAGES}/a/run.sh", b"#!/bin/sh\n"),
            (f"{PACKAGES}/a/gone.py", b"gone\n"),
            (f"{PACKAGES}/a/deep/er/gone.py", b"gone too\n"),
            (f"{PACKAGES}/a/swap", b"a file\n"),
            (f"{PACKAGES}/a/own.py", b"the user's own\n"),
            (f"{PACKAGES}/b/one.py", b"one\n"),
            (f"{PACKAGES}/b/two/two.py", b"two\n"),
        ):
            put(root, path, content)
        put(root, f"{PACKAGES}/a/link", b"edit.py", SYMLINK)
        put(root, "dx.lock", b"before\n")

    def _listen(self, event: Event) -> None:
        if isinstance(event, Notice):
            self.notices.append(event.text)

    def job(self, *, lock_after: str | None = "after\n") -> Job:
        streamed = {
            f"{PACKAGES}/a/run.sh": b"#!/bin/sh\n",
            f"{PACKAGES}/a/new/new.py": b"streamed\n",
            f"{PACKAGES}/c/x.py": b"x\n",
            f"{PACKAGES}/c/bin/y": b"y\n",
            f"{PACKAGES}/c/z": b"bin/y",
        }
        return Job(
            command="install",
            summary="a 2",
            writes=(
                Write(path=f"{PACKAGES}/a/edit.py", before=entry(b"old\n"), after=entry(b"new\n"), content=b"new\n"),
                Write(
                    path=f"{PACKAGES}/a/run.sh", before=entry(b"#!/bin/sh\n"), after=entry(b"#!/bin/sh\n", EXECUTABLE)
                ),
                Write(path=f"{PACKAGES}/a/gone.py", before=entry(b"gone\n"), after=None),
                Write(path=f"{PACKAGES}/a/deep/er/gone.py", before=entry(b"gone too\n"), after=None),
                Write(path=f"{PACKAGES}/a/swap", before=entry(b"a file\n"), after=None),
                Write(path=f"{PACKAGES}/a/swap/in.py", before=None, after=entry(b"in\n"), content=b"in\n"),
                Write(path=f"{PACKAGES}/a/new/new.py", before=None, after=entry(b"streamed\n")),
                Write(
                    path=f"{PACKAGES}/a/link",
                    before=entry(b"edit.py", SYMLINK),
                    after=entry(b"own.py", SYMLINK),
                    content=b"own.py",
                ),
                Write(path="dx.toml", before=entry(b"[project]\n"), after=entry(b"[p]\n"), content=b"[p]\n"),
            ),
            trees=(
                TreeWrite(
                    path=f"{PACKAGES}/b",
                    files={"one.py": entry(b"one\n"), "two/two.py": entry(b"two\n")},
                    created=False,
                ),
                TreeWrite(
                    path=f"{PACKAGES}/c",
                    files={"x.py": entry(b"x\n"), "bin/y": entry(b"y\n", EXECUTABLE), "z": entry(b"bin/y", SYMLINK)},
                    created=True,
                ),
            ),
            lock_before="before\n",
            lock_after=lock_after,
            contents=streamed.items,
        )

    def run(self, job: Job) -> Record:
        return self.journal.run(job, now=NOW)

    def undo(self) -> Record:
        record = self.journal.last()
        assert record is not None
        return self.run(undo_job(record, self.root, lambda _: None))

    def tree(self) -> Snapshot:
        return snapshot(self.root)

    def half_done(self) -> list[str]:
        return [path.name for path in self.state.glob("journal/*")]


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path)


def expected_after() -> dict[str, tuple[int, bytes]]:
    return {
        "dx.lock": (FILE, b"after\n"),
        "dx.toml": (FILE, b"[p]\n"),
        f"{PACKAGES}/a/edit.py": (FILE, b"new\n"),
        f"{PACKAGES}/a/run.sh": (EXECUTABLE, b"#!/bin/sh\n"),
        f"{PACKAGES}/a/swap/in.py": (FILE, b"in\n"),
        f"{PACKAGES}/a/own.py": (FILE, b"the user's own\n"),
        f"{PACKAGES}/a/new/new.py": (FILE, b"streamed\n"),
        f"{PACKAGES}/a/link": (SYMLINK, b"own.py"),
        f"{PACKAGES}/c/x.py": (FILE, b"x\n"),
        f"{PACKAGES}/c/bin/y": (EXECUTABLE, b"y\n"),
        f"{PACKAGES}/c/z": (SYMLINK, b"bin/y"),
    }


def test_a_job_is_carried_out_and_kept_for_undo(ground: Ground) -> None:
    record = ground.run(ground.job())
    tree = ground.tree()
    assert tree.files == expected_after()
    assert f"{PACKAGES}/a/deep" not in tree.folders
    assert record.folder == ground.state / "operations" / "000001"
    (known,) = ground.journal.records()
    assert (known.id, known.folder, known.lock_before) == (record.id, record.folder, "before\n")
    assert [write.path for write in known.writes] == [write.path for write in record.writes]
    assert ground.journal.last() == known
    assert ground.half_done() == []
    saved = {(record.slot(number)).read_bytes() for number in (0, 2, 3, 4)}
    assert saved == {b"old\n", b"gone\n", b"gone too\n", b"a file\n"}
    assert (record.tree_slot(0) / "two" / "two.py").read_bytes() == b"two\n"


def test_undo_and_undo_again(ground: Ground) -> None:
    before = ground.tree()
    ground.run(ground.job())
    after = ground.tree()
    ground.undo()
    assert ground.tree() == before
    ground.undo()
    assert ground.tree() == after
    ground.undo()
    assert ground.tree() == before


def names_of_checkpoints(ground: Ground, job: Job) -> list[str]:
    names: list[str] = []
    ground.journal.checkpoint = names.append
    ground.run(job)
    ground.journal.checkpoint = lambda _: None
    return names


def test_there_is_a_checkpoint_between_any_two_steps(ground: Ground) -> None:
    names = names_of_checkpoints(ground, ground.job())
    assert names[:3] == ["stage", "staged", "recorded"]
    assert names[-3:] == ["commit", "committed", "settled"]
    assert len(names) == len(set(names)) == 3 + 9 + 2 + 3


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
@pytest.mark.parametrize("same_lock", [False, True])
def test_a_failure_anywhere_leaves_everything_as_it_was(tmp_path: Path, error: BaseException, same_lock: bool) -> None:
    lock_after = "before\n" if same_lock else "after\n"
    (tmp_path / "names").mkdir()
    sample = Ground(tmp_path / "names")
    names = names_of_checkpoints(sample, sample.job(lock_after=lock_after))
    commit = "settled" if same_lock else "committed"
    for number, name in enumerate(names):
        root = tmp_path / str(number)
        root.mkdir()
        ground = Ground(root)
        before = ground.tree()

        def stop(at: str, name: str = name) -> None:
            if at == name:
                raise error

        ground.journal.checkpoint = stop
        done = names.index(name) >= names.index(commit)
        if done and isinstance(error, OSError):
            ground.run(ground.job(lock_after=lock_after))  # past the commit it is done, and nothing to complain about
        else:
            with pytest.raises(WriteError if isinstance(error, OSError) else type(error)):
                ground.run(ground.job(lock_after=lock_after))
        if done:
            ground.journal.recover()
            assert ground.tree().files == {**expected_after(), "dx.lock": (FILE, lock_after.encode())}
            ground.journal.checkpoint = lambda _: None
            ground.undo()
        assert ground.tree() == before, name
        assert ground.half_done() == [], name
        assert ground.notices == []


def killed(work: Callable[[], object]) -> None:
    """Run ``work`` in a fork, which must die of SIGKILL."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks its victims")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.parametrize("same_lock", [False, True])
@pytest.mark.parametrize("undoing", [False, True])
def test_a_kill_anywhere_is_taken_back_or_finished(tmp_path: Path, same_lock: bool, undoing: bool) -> None:
    lock_after = "before\n" if same_lock else "after\n"
    (tmp_path / "names").mkdir()
    sample = Ground(tmp_path / "names")
    names = names_of_checkpoints(sample, sample.job(lock_after=lock_after))
    if undoing:
        record = sample.journal.last()
        assert record is not None
        names = names_of_checkpoints(sample, undo_job(record, sample.root, lambda _: None))
    commit = "settled" if same_lock else "committed"
    for number, name in enumerate(names):
        root = tmp_path / str(number)
        root.mkdir()
        ground = Ground(root)
        trees = [ground.tree()]
        job = ground.job(lock_after=lock_after)
        if undoing:
            ground.run(job)
            trees.insert(0, ground.tree())

        def kill(at: str, name: str = name) -> None:
            if at == name:
                os.kill(os.getpid(), signal.SIGKILL)

        ground.journal.checkpoint = kill
        killed(ground.undo if undoing else lambda ground=ground, job=job: ground.run(job))
        ground.journal.checkpoint = lambda _: None
        ground.journal.recover()
        after = names.index(name) >= names.index(commit)
        if after and not undoing:
            assert ground.tree().files == {**expected_after(), "dx.lock": (FILE, lock_after.encode())}, name
            ground.undo()
            assert ground.tree() == trees[0], name
        else:
            assert ground.tree() == trees[1 if after and undoing else 0], name
        assert ground.half_done() == [], name
        assert not (ground.state / "interrupted").exists(), name


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks its victims")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_kill_during_recovery_is_recovered_from(tmp_path: Path) -> None:
    from dxforge.traffic import rollback

    for countdown in range(40):
        root = tmp_path / str(countdown)
        root.mkdir()
        ground = Ground(root)
        before = ground.tree()

        def kill(at: str) -> None:
            if at == "commit":
                os.kill(os.getpid(), signal.SIGKILL)

        ground.journal.checkpoint = kill
        killed(lambda ground=ground: ground.run(ground.job()))

        def recover_and_die(ground: Ground = ground, left: int = countdown) -> None:
            remaining = [left]

            def counting(function: Callable[..., None]) -> Callable[..., None]:
                def call(*args: object, **options: object) -> None:
                    function(*args, **options)
                    remaining[0] -= 1
                    if remaining[0] < 0:
                        os.kill(os.getpid(), signal.SIGKILL)

                return call

            for name in ("move_new", "displace"):
                setattr(rollback, name, counting(getattr(rollback, name)))
            ground.journal.recover()
            os._exit(0)

        child = os.fork()
        if child == 0:
            recover_and_die()
        _, status = os.waitpid(child, 0)
        ground.journal.recover()
        assert ground.tree() == before, countdown
        assert not (ground.state / "interrupted").exists(), countdown
        if not os.WIFSIGNALED(status):
            break
    else:
        pytest.fail("recovery never ended")
    assert countdown > 5


@pytest.mark.parametrize(
    ("path", "change"),
    [
        (f"{PACKAGES}/a/edit.py", lambda target: target.write_bytes(b"edited at the last moment\n")),
        (f"{PACKAGES}/a/edit.py", lambda target: target.unlink()),
        (f"{PACKAGES}/a/edit.py", lambda target: target.chmod(0o755)),
        (f"{PACKAGES}/a/edit.py", lambda target: (target.unlink(), target.mkdir())),
        (f"{PACKAGES}/a/edit.py", lambda target: (target.unlink(), target.symlink_to("own.py"))),
        (f"{PACKAGES}/a/edit.py", lambda target: (target.unlink(), os.mkfifo(target))),
        (f"{PACKAGES}/a/gone.py", lambda target: target.write_bytes(b"edited at the last moment\n")),
        (f"{PACKAGES}/a/gone.py", lambda target: target.unlink()),
        (f"{PACKAGES}/a/new", lambda target: (target.mkdir(), (target / "new.py").write_bytes(b"the user's"))),
        (f"{PACKAGES}/a/new", lambda target: target.write_bytes(b"a file where a folder should be")),
        (f"{PACKAGES}/a/new", lambda target: target.symlink_to("/tmp")),
        (f"{PACKAGES}/c", lambda target: target.mkdir()),
        (f"{PACKAGES}/b/one.py", lambda target: target.write_bytes(b"edited at the last moment\n")),
        (f"{PACKAGES}/b/new.py", lambda target: target.write_bytes(b"the user's own, at the last moment\n")),
        ("dx.toml", lambda target: target.write_bytes(b"[other]\n")),
        ("dx.lock", lambda target: target.write_bytes(b"another branch\n")),
        ("dx.lock", lambda target: target.write_bytes(b"\xff\n")),
        ("dx.lock", lambda target: target.unlink()),
    ],
)
def test_a_change_at_the_last_moment_stops_everything(
    ground: Ground, path: str, change: Callable[[Path], object]
) -> None:
    changed: list[Snapshot] = []

    def edit(at: str) -> None:
        if at == "recorded":
            change(ground.root / path)
            changed.append(ground.tree())

    ground.journal.checkpoint = edit
    with pytest.raises(ApplyError) as caught:
        ground.run(ground.job())
    assert path in caught.value.where or caught.value.where in path
    assert caught.value.hint
    assert isinstance(caught.value, ChangedMeanwhileError | WriteError)
    assert ground.tree() == changed[0]
    assert ground.half_done() == []


@pytest.mark.parametrize("number", range(1, 9))
def test_a_folder_that_becomes_a_symlink_meanwhile_is_not_written_through(ground: Ground, number: int) -> None:
    """The whole package moves behind a symlink after ``number`` steps: stop, and put back what can be."""
    elsewhere = ground.root / "elsewhere"
    steps = 0

    def swap(at: str) -> None:
        nonlocal steps
        if at.startswith(("deleted", "wrote", "removed", "created")):
            steps += 1
            if steps == number:
                (ground.root / PACKAGES / "a").rename(elsewhere)
                (ground.root / PACKAGES / "a").symlink_to(elsewhere)

    ground.journal.checkpoint = swap
    with pytest.raises(ApplyError):
        ground.run(ground.job())
    there = snapshot(elsewhere)
    assert there.files["own.py"] == (FILE, b"the user's own\n")
    kept = [path.read_bytes() for path in ground.state.rglob("*") if path.is_file()]
    for name, content in (("edit.py", b"old\n"), ("gone.py", b"gone\n"), ("swap", b"a file\n")):
        assert there.files.get(name) == (FILE, content) or content in kept, name
    ground.journal.checkpoint = lambda _: None
    ground.journal.recover()
    assert ground.half_done() == []
    kept = [path.read_bytes() for path in ground.state.rglob("*") if path.is_file()]
    for name, content in (("edit.py", b"old\n"), ("gone.py", b"gone\n"), ("swap", b"a file\n")):
        assert there.files.get(name) == (FILE, content) or content in kept, name
    assert read_text(ground.root / "dx.lock") == "before\n"


def test_what_was_never_performed_is_no_problem_on_the_way_back(ground: Ground) -> None:
    outside = ground.root / "outside"
    outside.mkdir()

    def swap(at: str) -> None:
        if at == "recorded":
            for name in ("gone.py", "edit.py", "own.py", "run.sh", "swap", "link"):
                (ground.root / PACKAGES / "a" / name).rename(outside / name)
            (ground.root / PACKAGES / "a" / "deep").rename(outside / "deep")
            (ground.root / PACKAGES / "a").rmdir()
            (ground.root / PACKAGES / "a").symlink_to(outside)

    ground.journal.checkpoint = swap
    with pytest.raises(WriteError, match="symlink"):
        ground.run(ground.job())
    assert ground.half_done() == []
    assert (outside / "gone.py").read_bytes() == b"gone\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks its victims")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_recovery_leaves_what_the_user_changed_since_and_keeps_the_saved_copy(ground: Ground) -> None:
    def kill(at: str) -> None:
        if at == "commit":
            os.kill(os.getpid(), signal.SIGKILL)

    ground.journal.checkpoint = kill
    killed(lambda: ground.run(ground.job()))
    a = ground.root / PACKAGES / "a"
    (a / "edit.py").write_bytes(b"after the crash\n")
    (a / "gone.py").write_bytes(b"written anew\n")
    (a / "new" / "new.py").write_bytes(b"edited\n")
    (ground.root / PACKAGES / "c" / "x.py").write_bytes(b"edited\n")
    (ground.root / PACKAGES / "c" / "mine.py").write_bytes(b"mine\n")
    ground.journal.checkpoint = lambda _: None
    ground.journal.recover()
    tree = ground.tree().files
    assert tree[f"{PACKAGES}/a/edit.py"] == (FILE, b"after the crash\n")
    assert tree[f"{PACKAGES}/a/gone.py"] == (FILE, b"written anew\n")
    assert tree[f"{PACKAGES}/a/new/new.py"] == (FILE, b"edited\n")
    assert tree[f"{PACKAGES}/c/x.py"] == (FILE, b"edited\n")
    assert tree[f"{PACKAGES}/c/mine.py"] == (FILE, b"mine\n")
    assert f"{PACKAGES}/c/bin/y" not in tree
    assert tree[f"{PACKAGES}/a/run.sh"] == (FILE, b"#!/bin/sh\n")
    assert tree[f"{PACKAGES}/a/swap"] == (FILE, b"a file\n")
    assert tree[f"{PACKAGES}/b/two/two.py"] == (FILE, b"two\n")
    assert tree["dx.lock"] == (FILE, b"before\n")
    kept = ground.state / "interrupted" / "000001"
    contents = [path.read_bytes() for path in kept.rglob("*") if path.is_file()]
    assert b"old\n" in contents
    assert b"gone\n" in contents
    assert len([notice for notice in ground.notices if str(kept) in notice]) == 2
    assert any("taken back" in notice for notice in ground.notices)
    again = ground.tree()
    ground.journal.recover()
    assert ground.tree() == again


def test_a_damaged_record_is_put_aside_not_thrown_away(ground: Ground) -> None:
    left = ground.state / "journal" / "000007"
    (left / "files").mkdir(parents=True)
    (left / "files" / "0").write_bytes(b"the only copy\n")
    (left / "record.json").write_bytes(b"{")
    ground.journal.recover()
    assert (ground.state / "interrupted" / "000007" / "files" / "0").read_bytes() == b"the only copy\n"
    assert "000007" in ground.notices[0]
    assert ground.run(ground.job()).id == "000008"


def test_staged_files_without_a_record_are_cleared_away(ground: Ground) -> None:
    left = ground.state / "journal" / "000007"
    (left / "files").mkdir(parents=True)
    (left / "files" / "0").write_bytes(b"staged\n")
    ground.journal.recover()
    assert ground.half_done() == []


@pytest.mark.parametrize(
    "job",
    [
        Job(
            command="x",
            summary="",
            writes=(Write(path="f", before=None, after=entry(b"a"), content=b"b"),),
        ),
        Job(command="x", summary="", writes=(Write(path="f", before=None, after=entry(b"a")),)),
        Job(
            command="x",
            summary="",
            writes=(Write(path="f", before=None, after=entry(b"a")),),
            contents=lambda: [("f", b"other")],
        ),
    ],
)
def test_content_that_is_not_the_planned_is_refused(ground: Ground, job: Job) -> None:
    before = ground.tree()
    with pytest.raises(ApplyError, match="content"):
        ground.run(job)
    assert ground.tree() == before
    assert ground.half_done() == []


@pytest.mark.parametrize("path", ["/etc/passwd", "../out", "a/../../out", "a//b", "./a", ""])
def test_paths_that_lead_out_are_refused(ground: Ground, path: str) -> None:
    before = ground.tree()
    with pytest.raises(WriteError):
        ground.run(
            Job(command="x", summary="", writes=(Write(path=path, before=None, after=entry(b"a"), content=b"a"),))
        )
    assert ground.tree() == before


def test_the_lock_may_appear_and_disappear(ground: Ground) -> None:
    def change(before: str | None, after: str | None) -> Job:
        return Job(command="x", summary="", lock_before=before, lock_after=after)

    ground.run(change("before\n", None))
    assert not (ground.root / "dx.lock").exists()
    ground.undo()
    assert read_text(ground.root / "dx.lock") == "before\n"
    ground.undo()
    assert not (ground.root / "dx.lock").exists()
    ground.run(change(None, "new\n"))
    assert read_text(ground.root / "dx.lock") == "new\n"


def test_old_operations_are_forgotten_after_a_hundred(ground: Ground) -> None:
    for number in range(103):
        ground.run(
            Job(
                command="x",
                summary=str(number),
                writes=(Write(path=f"f{number}", before=None, after=entry(b"a"), content=b"a"),),
                lock_before="before\n",
                lock_after="before\n",
            )
        )
    records = ground.journal.records()
    assert [record.id for record in records] == [f"{number:06}" for number in range(4, 104)]
    assert [record.summary for record in records][-1] == "102"


def test_compiled_leftovers_do_not_keep_a_folder_alive(ground: Ground) -> None:
    cache = ground.root / PACKAGES / "a" / "deep" / "er" / "__pycache__"
    cache.mkdir()
    (cache / "gone.cpython-311.pyc").write_bytes(b"\0")
    ground.run(ground.job())
    assert not (ground.root / PACKAGES / "a" / "deep").exists()


def test_a_folder_with_a_file_of_the_users_stays(ground: Ground) -> None:
    (ground.root / PACKAGES / "a" / "deep" / "notes.txt").write_bytes(b"mine\n")
    ground.run(ground.job())
    assert (ground.root / PACKAGES / "a" / "deep" / "notes.txt").read_bytes() == b"mine\n"
    assert not (ground.root / PACKAGES / "a" / "deep" / "er").exists()


def test_odd_names_survive_the_record(ground: Ground) -> None:
    name = os.fsdecode(b"src/dx_packages/a/caf\xe9 \xff.py")
    job = Job(
        command="x",
        summary="",
        writes=(Write(path=name, before=None, after=entry(b"a"), content=b"a"),),
        lock_before="before\n",
        lock_after="after\n",
    )
    ground.run(job)
    assert (ground.root / name).read_bytes() == b"a"
    ground.undo()
    assert not (ground.root / name).exists()


def test_without_an_exchange_in_the_kernel_two_renames_do(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dxforge.files._KERNEL", [None, (0, 0)])
    before = ground.tree()
    ground.run(ground.job())
    assert ground.tree().files == expected_after()
    ground.undo()
    assert ground.tree() == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks its victims")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_kill_between_the_two_renames_is_taken_back(tmp_path: Path) -> None:
    from dxforge import files

    real = os.rename
    killed_times = 0
    for countdown in range(40):
        root = tmp_path / str(countdown)
        root.mkdir()
        ground = Ground(root)
        before = ground.tree()
        left = countdown

        def rename(source: Path, target: Path) -> None:
            nonlocal left
            real(source, target)
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

        child = os.fork()
        if child == 0:
            files._KERNEL[:] = [None, (0, 0)]
            os.rename = rename  # type: ignore[assignment]
            ground.run(ground.job())
            os._exit(0)
        _, status = os.waitpid(child, 0)
        ground.journal.recover()
        assert not (ground.state / "interrupted").exists(), (countdown, ground.notices)
        if not os.WIFSIGNALED(status):
            break
        killed_times += 1
        if read_text(root / "dx.lock") == "before\n":
            assert ground.tree() == before, countdown
        else:
            assert ground.tree().files == expected_after(), countdown
    assert killed_times > 5


def folder_job() -> Job:
    """Folders that come and go, empty and not, and a private file in each kind of place."""
    return Job(
        command="rollback",
        summary="folders",
        writes=(
            Write(path="old/only.txt", before=entry(b"only\n"), after=None),
            Write(path="was", before=entry(b"a file\n"), after=None),
            Write(path="key", before=entry(b"1\n"), after=entry(b"2\n"), content=b"2\n"),
        ),
        trees=(TreeWrite(path="tree", files={"in/key": entry(b"3\n"), "open": entry(b"4\n")}, created=True),),
        lock_before="before\n",
        lock_after="before\n",
        contents={"tree/in/key": b"3\n", "tree/open": b"4\n"}.items,
        folders=frozenset({"old", "old/empty", "bare"}),
        make=frozenset({"was", "was/deep", "tree", "tree/in", "tree/empty", "new"}),
        drop=frozenset({"old", "old/empty", "bare", "full"}),
        permissions={"key": 0o600, "tree/in/key": 0o640, "not/there": 0o600},
    )


def lay_folders(root: Path) -> None:
    put(root, "old/only.txt", b"only\n")
    put(root, "was", b"a file\n")
    put(root, "key", b"1\n")
    put(root, "full/own.txt", b"the user's own\n")
    for folder in ("old/empty", "bare"):
        (root / folder).mkdir()


def test_folders_come_and_go(ground: Ground) -> None:
    lay_folders(ground.root)
    before = ground.tree()
    ground.run(folder_job())
    after = ground.tree()
    assert after.folders - before.folders == {"was", "was/deep", "tree", "tree/in", "tree/empty", "new"}
    assert before.folders - after.folders == {"old", "old/empty", "bare"}
    assert "full/own.txt" in after.files
    modes = {path: (ground.root / path).stat().st_mode & 0o777 for path in ("key", "tree/in/key", "tree/open")}
    assert modes == {"key": 0o600, "tree/in/key": 0o640, "tree/open": 0o644}
    for expected in (before, after, before):
        ground.undo()
        assert ground.tree() == expected
    assert (ground.root / "key").stat().st_mode & 0o777 == 0o644


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks its victims")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_kill_among_the_folders(tmp_path: Path) -> None:
    (tmp_path / "names").mkdir()
    sample = Ground(tmp_path / "names")
    lay_folders(sample.root)
    names = names_of_checkpoints(sample, folder_job())
    assert {"dropped folders", "made folders"} < set(names)
    for number, name in enumerate(names):
        root = tmp_path / str(number)
        root.mkdir()
        ground = Ground(root)
        lay_folders(root)
        before = ground.tree()

        def kill(at: str, name: str = name) -> None:
            if at == name:
                os.kill(os.getpid(), signal.SIGKILL)

        ground.journal.checkpoint = kill
        killed(lambda ground=ground: ground.run(folder_job()))
        ground.journal.checkpoint = lambda _: None
        ground.journal.recover()
        assert ground.tree() == (sample.tree() if name == "settled" else before), name
        assert not (ground.state / "interrupted").exists(), name
