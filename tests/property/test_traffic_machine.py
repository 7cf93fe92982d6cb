"""No sequence of edits, upgrades, decisions, undos and crashes loses a byte that the user wrote.

A ledger keeps every content that the user has written and that an operation of ours has met. After each operation every
one of them is in the tree, or in ``.dx`` where undo takes it from.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from dxforge.errors import DxForgeError, ReviewError, UndoError, UsageError
from dxforge.store.tree import SYMLINK
from dxforge.traffic.ground import Ground
from dxforge.traffic.journal import Journal
from dxforge.traffic.manager import TrafficManager
from dxforge.traffic.model import Action, InstallReport
from tests.support.archives import Exec, Files, Link
from tests.support.project import GREEN, PACKAGES, Project, Snapshot

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="forks its victims"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning"),
]

NAMES = ("a.py", "b.py", "d/c.py", "d/e.txt", "d", "f.new")
LINES = 9
NUMBERS = st.integers(0, 8)


def text(stem: int, variants: tuple[int, ...]) -> str:
    """A file upstream: each line in one of its variants. The stem, not the name, says which file it is."""
    return "".join(f"stem {stem} line {number} variant {variant}\n" for number, variant in enumerate(variants))


OTHERS: list[str | Exec | Link] = ["", "\0binary 1", "\0binary 2", Link("nowhere"), Link("elsewhere")]
MUTATIONS = st.lists(
    st.tuples(
        st.sampled_from(["line", "line", "line", "line", "rename", "remove", "mode", "ends", "other", "copy"]),
        NUMBERS,
        NUMBERS,
    ),
    min_size=1,
    max_size=4,
)


def mutated(files: Files, mutations: list[tuple[str, int, int]], version: int) -> Files:
    """The next version: lines changed, files renamed, removed, added, made executable, binary or a symlink."""
    new = dict(files)
    for kind, which, number in mutations:
        path = sorted(new)[which % len(new)]
        value = new[path]
        content = value.content if isinstance(value, Exec) else value
        free = NAMES[number % len(NAMES)]
        if kind == "line" and isinstance(content, str):
            lines = content.split("\n")
            lines[number % len(lines)] = f"line {number} of version {version}"
            new[path] = type(value)("\n".join(lines)) if isinstance(value, Exec) else "\n".join(lines)
        elif kind == "ends" and isinstance(value, str):
            new[path] = value.replace("\r\n", "\n") if "\r\n" in value else value.replace("\n", "\r\n")
        elif kind == "mode" and not isinstance(value, Link):
            new[path] = content if isinstance(value, Exec) else Exec(content)  # type: ignore[arg-type]
        elif kind == "rename" and free not in new:
            new[free] = new.pop(path)
        elif kind == "copy":
            new.setdefault(free, value)
        elif kind == "remove" and len(new) > 1:
            del new[path]
        elif kind == "other":
            new[path] = OTHERS[number % len(OTHERS)]
    if any(path.startswith("d/") for path in new):
        new.pop("d", None)  # a file where a folder must be
    return new


@pytest.fixture(autouse=True, scope="module")
def _quick() -> Iterator[None]:
    """A cache of our own; and no waiting for the disk: what is tested here is not its durability."""
    real = os.fsync
    with tempfile.TemporaryDirectory() as cache, pytest.MonkeyPatch.context() as patch:
        patch.setenv("DXFORGE_CACHE_DIR", cache)
        patch.setattr(os, "fsync", lambda descriptor: None)
        patch.setattr("dxforge.files._syncfs", lambda folder: True)
        yield
    assert os.fsync is real


class Machine(RuleBasedStateMachine):
    """One project with one package, its user, and its upstream."""

    def __init__(self) -> None:
        super().__init__()
        self.base = Path(tempfile.mkdtemp(prefix="machine-"))
        self.project = Project(self.base, "pkg")
        self.written = 0
        self.ledger: set[bytes] = set()
        self.before: Snapshot | None = None
        """The project as it was before the last operation, where nothing has been edited since."""
        self.versions = 0
        self.waits = False
        self.done = False
        self.upstream: Files = {path: text(stem, (0,) * LINES) for stem, path in enumerate(("a.py", "b.py", "d/c.py"))}
        self.project.publish(self.upstream)
        self.project.install()

    def teardown(self) -> None:
        shutil.rmtree(self.base, ignore_errors=True)

    # ---- what is there

    def mine(self) -> set[bytes]:
        """Contents in the tree that the user had a hand in."""
        return {content for _, content in self.project.tree().values() if b"user" in content}

    def contents(self) -> set[bytes]:
        tree = {content for _, content in self.project.whole().files.values()}
        return tree | set(self.project.kept())

    def file(self, path: str) -> Path | None:
        """The file at ``path`` where the user can edit one there."""
        target = self.project.path(path)
        for parent in target.relative_to(self.project.root).parents:
            there = self.project.root / parent
            if there.is_symlink() or (there.exists() and not there.is_dir()):
                return None
        return None if target.is_dir() and not target.is_symlink() else target

    # ---- the user

    def user(self, path: str, change: Callable[[Path, bytes | None], None]) -> None:
        target = self.file(path)
        if target is None:
            return
        old = None
        if target.is_symlink():
            old = os.fsencode(os.readlink(target))
        elif target.exists():
            old = target.read_bytes()
        target.parent.mkdir(parents=True, exist_ok=True)
        change(target, old)
        self.before = None
        # What the user takes away himself, and we never had in hand, is his to lose.
        self.ledger &= self.contents()

    def token(self) -> bytes:
        self.written += 1
        return b"user %d" % self.written

    def choose(self, number: int) -> str:
        paths = sorted({*self.project.tree(), "own.py", "d/own.py", *NAMES})
        return paths[number % len(paths)]

    @rule(edits=st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=3))
    def edits_lines(self, edits: list[tuple[int, int]]) -> None:
        for which, number in edits:
            self.edit_line(sorted(self.project.tree() or NAMES)[which % (len(self.project.tree()) or 1)], number)

    def edit_line(self, path: str, number: int) -> None:
        def change(target: Path, old: bytes | None) -> None:
            if target.is_symlink() or old is None:
                return
            lines = old.split(b"\n")
            lines[number % len(lines)] = self.token()
            target.write_bytes(b"\n".join(lines))

        self.user(path, change)

    @rule(
        which=NUMBERS,
        kind=st.sampled_from(["anew", "anew", "delete", "delete", "mode", "ends", "symlink", "folder", "move"]),
        to=NUMBERS,
    )
    def changes_files(self, which: int, kind: str, to: int) -> None:
        def change(target: Path, old: bytes | None) -> None:
            plain = old is not None and not target.is_symlink()
            if kind == "mode":
                if plain:
                    target.chmod(0o644 if target.stat().st_mode & 0o100 else 0o755)
            elif kind == "ends":
                if plain and old is not None:
                    crlf = b"\r\n" in old
                    target.write_bytes(old.replace(b"\r\n", b"\n") if crlf else old.replace(b"\n", b"\r\n"))
            elif kind == "move":
                place = self.file(self.choose(to))
                if old is not None and place is not None and not os.path.lexists(place):
                    place.parent.mkdir(parents=True, exist_ok=True)
                    target.rename(place)
            else:
                target.unlink(missing_ok=True)
                if kind == "anew":
                    target.write_bytes(self.token() + b"\n")
                elif kind == "symlink":
                    target.symlink_to(os.fsdecode(self.token()))
                elif kind == "folder":
                    target.mkdir()
                    (target / "inside").write_bytes(self.token())

        self.user(self.choose(which), change)

    # ---- dxforge

    def operate(self, work: Callable[[], InstallReport], *refusals: type[DxForgeError]) -> InstallReport | None:
        """Do something; what the user wrote must be somewhere afterwards, and a refusal must change nothing."""
        before, lock = self.project.whole(), self.project.lock_text()
        self.ledger |= self.mine()
        try:
            report = work()
        except refusals as error:
            event(type(error).__name__)
            assert (self.project.whole(), self.project.lock_text()) == (before, lock)
            return None
        if report.operation is None:
            assert (self.project.whole(), self.project.lock_text()) == (before, lock)
        else:
            self.before = before
        self.check_ledger()
        return report

    def check_ledger(self) -> None:
        there = self.contents()
        lost = [content for content in self.ledger if content not in there]
        assert not lost, lost

    @rule(mutations=MUTATIONS, on_yellow=st.sampled_from(["ask", "ask", "ask", "ask", "keep", "accept"]))
    def upgrades(self, mutations: list[tuple[str, int, int]], on_yellow: str) -> None:
        self.publish(mutations)
        self.installs(on_yellow)

    @rule(
        mine=st.lists(NUMBERS, min_size=1, max_size=2), theirs=st.lists(NUMBERS, min_size=1, max_size=3), which=NUMBERS
    )
    def edits_where_upstream_does(self, mine: list[int], theirs: list[int], which: int) -> None:
        path = sorted(self.upstream)[which % len(self.upstream)]
        for number in mine:
            self.edit_line(path, number)
        self.upgrades([("line", which, number) for number in theirs], "ask")

    @initialize(edits=st.lists(st.tuples(NUMBERS, NUMBERS), min_size=2, max_size=4), mutations=MUTATIONS)
    def has_edits_and_an_update(self, edits: list[tuple[int, int]], mutations: list[tuple[str, int, int]]) -> None:
        self.edits_lines(edits)
        self.upgrades(mutations, "ask")

    def publish(self, mutations: list[tuple[str, int, int]]) -> None:
        self.versions += 1
        self.upstream = mutated(self.upstream, mutations, self.versions)
        self.project.publish(self.upstream)

    def installs(self, on_yellow: str) -> None:
        report = self.operate(lambda: self.project.install(on_yellow=on_yellow))
        assert report is not None
        tree = self.project.tree()
        for change in report.changes:
            path = change.path.removeprefix(f"{PACKAGES}/pkg/")
            if change.light is GREEN and change.action in (Action.CREATE, Action.UPDATE):
                value = self.upstream[path]
                wanted = (
                    value.target if isinstance(value, Link) else value.content if isinstance(value, Exec) else value
                )
                assert tree[path][1] == (wanted if isinstance(wanted, bytes) else wanted.encode())
                assert (tree[path][0] == SYMLINK) == isinstance(value, Link)
            if change.light is GREEN and change.action is Action.DELETE:
                assert path not in tree
        # Twice is once.
        again = self.project.install(on_yellow=on_yellow)
        assert again.operation is None
        assert [(c.path, c.light, c.reason) for c in again.pending] == [
            (c.path, c.light, c.reason) for c in report.pending
        ]

    @rule()
    def installs_again(self) -> None:
        self.installs("ask")

    def waiting(self, number: int) -> str | None:
        pending = self.project.manager.pending()
        return pending[number % len(pending)].path if pending else None

    @precondition(lambda self: self.waits)
    @rule(number=NUMBERS, accept=st.booleans())
    def decides_on_a_file(self, number: int, accept: bool) -> None:
        path = self.waiting(number)
        if path is not None:
            decide = self.project.manager.accept if accept else self.project.manager.reject
            report = self.operate(lambda: decide(path), ReviewError)
            if report is not None:
                event("accepted" if accept else "rejected")
                assert path not in [change.path for change in report.pending]

    @precondition(lambda self: self.waits)
    @rule(number=NUMBERS, hunk=NUMBERS, accept=st.booleans())
    def decides_on_a_hunk(self, number: int, hunk: int, accept: bool) -> None:
        pending = [change for change in self.project.manager.pending() if change.hunks]
        if pending:
            change = pending[number % len(pending)]
            chosen = change.hunks[hunk % len(change.hunks)]
            decide = self.project.manager.accept if accept else self.project.manager.reject
            report = self.operate(lambda: decide(change.path, chosen.id), ReviewError)
            assert report is not None
            event("hunk accepted" if accept else "hunk rejected")
            for other in report.pending:
                if other.path == change.path:
                    assert chosen.lines not in [left.lines for left in other.hunks]

    @precondition(lambda self: self.waits)
    @rule(number=NUMBERS)
    def resolves(self, number: int) -> None:
        path = self.waiting(number)
        if path is not None:
            self.operate(lambda: self.project.manager.resolve(path, self.token() + b" resolved\n"), ReviewError)

    @precondition(lambda self: self.waits)
    @rule()
    def accepts_all_and_goes_back(self) -> None:
        paths = [change.path for change in self.project.manager.pending()]
        if paths and self.operate(lambda: self.project.manager.accept(paths), ReviewError, UsageError) is not None:
            event("accepted all")
            self.undoes()

    @precondition(lambda self: self.done)
    @rule()
    def undoes(self) -> None:
        expected = self.before
        report = self.operate(self.project.manager.undo, UndoError)
        if expected is not None:
            assert report is not None
            assert self.project.whole().files == expected.files
            event("undone")

    @rule(data=st.data())
    def removes_and_adds_again(self, data: st.DataObject) -> None:
        toml = (self.project.root / "dx.toml").read_bytes()
        if b"upstream" not in toml:
            return
        self.operate(self.project.remove)
        if data.draw(st.booleans()):
            self.installs("ask") if b"upstream" in (self.project.root / "dx.toml").read_bytes() else None
        (self.project.root / "dx.toml").write_bytes(toml)
        self.before = None
        self.installs("ask")

    @rule(clear=st.booleans())
    def clones(self, clear: bool) -> None:
        """A colleague goes on from what is in version control, with or without the archives at hand."""
        self.versions += 1
        self.project = self.project.clone(f"clone{self.versions}")
        if clear:
            shutil.rmtree(os.environ["DXFORGE_CACHE_DIR"], ignore_errors=True)
        self.before = None
        self.ledger = self.mine()

    @precondition(lambda self: self.project.lock_text() is not None)
    @rule(
        what=st.sampled_from(["install", "accept", "reject", "undo", "remove"]),
        mutations=MUTATIONS,
        at=st.integers(0, 12),
        recovery=st.sampled_from(["pending", "install"]),
    )
    def is_killed(self, what: str, mutations: list[tuple[str, int, int]], at: int, recovery: str) -> None:
        manager = self.project.manager
        if what == "install":
            self.publish(mutations)
        paths = [change.path for change in manager.pending()]
        if what in ("accept", "reject") and not paths:
            return
        work: dict[str, Callable[[], object]] = {
            "install": self.project.install,
            "accept": lambda: manager.accept(paths),
            "reject": lambda: manager.reject(paths),
            "undo": manager.undo,
            "remove": self.project.remove,
        }
        before, lock, log = self.project.whole(), self.project.lock_text(), manager.log()
        self.ledger |= self.mine()
        killed = killed_at(at, work[what])
        event(f"killed: {killed}")
        self.project = Project(self.base, root=self.project.root)
        if recovery == "pending" and (self.project.root / "dx.toml").exists():
            self.project.manager.pending()
        else:
            asyncio.run(TrafficManager(self.project.root).recover())
        assert not list((self.project.root / ".dx").glob("journal/*"))
        assert not (self.project.root / ".dx" / "interrupted").exists()
        if self.project.manager.log() == log:  # taken back: wholly as before
            assert (self.project.whole().files, self.project.lock_text()) == (before.files, lock)
        self.before = None
        self.check_ledger()
        if b"upstream" not in (self.project.root / "dx.toml").read_bytes():
            (self.project.root / "dx.toml").write_text(
                '[project]\nname = "demo"\n\n[packages]\npkg = { path = "../upstream/pkg" }\n'
            )

    # ---- always

    @invariant()
    def what_waits_can_be_shown(self) -> None:
        manager = self.project.manager
        pending = manager.pending()
        self.waits, self.done = bool(pending), bool(manager.log())
        assert sum(status.pending for status in manager.packages()) == len(pending)
        for change in pending:
            assert change.light is not GREEN
            manager.diff(change.path)
        assert not list((self.project.root / ".dx").glob("journal/*"))


def killed_at(at: int, work: Callable[[], object]) -> bool:
    """Do ``work`` in a fork that is killed at its step ``at``; False where it ended before that."""
    child = os.fork()
    if child == 0:
        original = Ground.journal
        steps = 0

        def journal(self: Ground) -> Journal:
            made = original(self)

            def checkpoint(_: str) -> None:
                nonlocal steps
                if steps == at:
                    os.kill(os.getpid(), signal.SIGKILL)
                steps += 1

            made.checkpoint = checkpoint
            return made

        Ground.journal = journal  # type: ignore[method-assign]
        try:
            with contextlib.suppress(DxForgeError):
                work()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


TestMachine = Machine.TestCase
TestMachine.settings = settings(
    max_examples=int(os.environ.get("DXFORGE_TEST_EXAMPLES", "25")),
    stateful_step_count=14,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
