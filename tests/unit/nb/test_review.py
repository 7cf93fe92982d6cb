"""The review panel's side in the kernel: what pages ask, what they are told, and what all of them hear."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import pytest

from dxforge.errors import ReviewError, UsageError
from dxforge.events import Progress
from dxforge.forge import DxForge
from dxforge.traffic.model import Standing
from dxforge_nb.panels import review
from dxforge_nb.panels.channel import Message, StaleError
from dxforge_nb.panels.review import ReviewTopic
from tests.support.processes import until_async
from tests.support.project import PACKAGES, Project, lines

MINE = lines(_2="mine = 1")
THEIRS = lines(_9="nine = 1", _15="fifteen = 1")
BOTH = lines(_2="mine = 1", _9="nine = 1", _15="fifteen = 1")
NAMES = ("a.py", "b.py", "c.py")


def at(name: str) -> str:
    return f"{PACKAGES}/pkg/{name}"


@pytest.fixture
def project(tmp_path: Path, cache_dir: Path) -> Project:
    """Three files with two hunks each to decide on."""
    made = Project(tmp_path, "pkg")
    made.start(dict.fromkeys(NAMES, lines()), dict.fromkeys(NAMES, MINE))
    made.publish(dict.fromkeys(NAMES, THEIRS))
    made.install()
    return made


def elsewhere(project: Project) -> Project:
    """The same project, as another process has it."""
    return Project(project.base, root=project.root)


class Page:
    """A page that keeps what it is told."""

    def __init__(self, topic: ReviewTopic) -> None:
        self.topic = topic
        self.files: dict[str, Message] = {}
        self.summary: Message = {}
        self.undo: Message | None = None
        self.pushed = 0

    async def ask(self, op: str, **args: Any) -> Message:
        answer = await self.topic.handle(op, args)
        json.dumps(answer, ensure_ascii=False).encode()  # it can be sent
        if op in ("hello", "refresh"):
            self.files = {entry["path"]: entry for entry in answer["files"]}
            assert list(self.files) == sorted(self.files)
        if op in ("decide", "resolve", "undo"):
            self.take(answer)
        if "summary" in answer:
            self.summary, self.undo = answer["summary"], answer["undo"]
        return answer

    async def decide(self, what: str, *names: str, **args: Any) -> Message:
        files = [{"path": at(name), "version": self.files[at(name)]["version"]} for name in names]
        return await self.ask("decide", what=what, files=files, **args)

    def hear(self, body: Mapping[str, Any]) -> None:
        self.pushed += 1
        self.take(body)
        self.summary, self.undo = body["summary"], body["undo"]

    def take(self, body: Mapping[str, Any]) -> None:
        for path in body["gone"]:
            self.files.pop(path, None)
        self.files |= {entry["path"]: entry for entry in body["changed"]}


def run(project: Project, story: Callable[[Page], Awaitable[None]]) -> None:
    """Play a story of one page that has said hello."""

    async def main() -> None:
        page = Page(ReviewTopic(DxForge(project.root)))
        await page.ask("hello", view="review")
        await story(page)
        await page.topic.close()

    asyncio.run(main())


@contextlib.asynccontextmanager
async def watched(page: Page) -> AsyncIterator[None]:
    watching = asyncio.create_task(page.topic.watch(page.hear))
    try:
        yield
    finally:
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching


def test_hello(project: Project) -> None:
    async def story(page: Page) -> None:
        assert list(page.files) == [at(name) for name in NAMES]
        assert page.files[at("a.py")] | {"version": ""} == {
            "path": at("a.py"),
            "package": "pkg",
            "light": "yellow",
            "reason": "your edit and the update merge cleanly",
            "hunks": 2,
            "binary": False,
            "new_path": None,
            "set_aside": None,
            "broken": "",
            "version": "",
        }
        assert page.summary == {"yellow": 3, "red": 0, "decided": 0}
        assert page.undo is None
        places = {(await page.ask("refresh"))["place"], (await page.ask("hello"))["place"]}
        assert len(places) == 1
        assert not any(str(project.root) in place or "pkg" in place for place in places)

    run(project, story)


def test_opening_a_file(project: Project) -> None:
    async def story(page: Page) -> None:
        answer = await page.ask("open", path=at("a.py"))
        assert answer["entry"] == page.files[at("a.py")]
        assert answer["sides"] == {"base": lines(), "local": MINE, "incoming": THEIRS, "proposal": BOTH}
        assert [hunk["id"] for hunk in answer["hunks"]] == ["1", "2"]
        with pytest.raises(StaleError) as caught:
            await page.ask("open", path=at("none.py"))
        assert caught.value.stale == ({"path": at("none.py"), "what": "it has been decided on"},)

    run(project, story)


def test_deciding_counting_and_undoing(project: Project) -> None:
    async def story(page: Page) -> None:
        answer = await page.decide("accept", "a.py")
        assert answer["gone"] == [at("a.py")]
        assert page.summary == {"yellow": 2, "red": 0, "decided": 1}
        assert page.undo == {"id": answer["operation"], "summary": f"accept {at('a.py')}"}
        await page.decide("accept", "b.py", hunks=["1"])
        assert page.files[at("b.py")]["hunks"] == 1
        assert page.summary == {"yellow": 2, "red": 0, "decided": 1}
        await page.decide("reject", "b.py", "c.py")
        assert page.summary == {"yellow": 0, "red": 0, "decided": 3}
        assert page.undo["summary"] == "reject 2 files"
        await page.ask("undo", operation=page.undo["id"])
        assert page.summary == {"yellow": 2, "red": 0, "decided": 1}
        assert page.undo["summary"] == f"accept {at('b.py')}"
        assert project.read("b.py") == lines(_2="mine = 1", _9="nine = 1").encode()
        await page.ask("undo", operation=page.undo["id"])
        assert page.undo == {"id": answer["operation"], "summary": f"accept {at('a.py')}"}
        assert page.files[at("b.py")]["hunks"] == 2
        files = page.files
        await page.ask("refresh")
        assert page.files == files
        await page.ask("undo", operation=page.undo["id"])
        assert page.summary == {"yellow": 3, "red": 0, "decided": 0}
        assert page.undo is None
        assert [project.read(name) for name in NAMES] == [MINE.encode()] * 3

    run(project, story)


def test_an_install_is_not_undone_from_here(project: Project) -> None:
    async def story(page: Page) -> None:
        with pytest.raises(StaleError):
            await page.ask("undo", operation=project.manager.log()[0].id)
        assert len(project.manager.pending()) == 3

    run(project, story)


def test_a_resolution(project: Project) -> None:
    async def story(page: Page) -> None:
        version = page.files[at("a.py")]["version"]
        answer = await page.ask("resolve", path=at("a.py"), version=version, content="own\r\nwords")
        assert answer["gone"] == [at("a.py")]
        assert project.read("a.py") == b"own\r\nwords"
        with pytest.raises(StaleError):
            await page.ask("resolve", path=at("a.py"), version=version, content="own")
        version = page.files[at("b.py")]["version"]
        with pytest.raises(ReviewError):
            await page.ask("resolve", path=at("b.py"), version=version, content="\udc80")

    run(project, story)


def test_old_news_is_refused_with_what_changed(project: Project) -> None:
    async def story(page: Page) -> None:
        project.write("b.py", MINE + "later = 1\n")
        whole, lock = project.whole(), project.lock_text()
        with pytest.raises(StaleError) as caught:
            await page.decide("accept", "a.py", "b.py")
        assert caught.value.stale == ({"path": at("b.py"), "what": "your file has changed"},)
        assert (project.whole(), project.lock_text()) == (whole, lock)
        with pytest.raises(StaleError) as caught:
            await page.decide("accept", "a.py", hunks=["9"])
        assert caught.value.stale[0]["path"] == at("a.py")
        await page.decide("reject", "a.py")
        undo = page.undo
        assert undo is not None
        elsewhere(project).manager.accept(at("c.py"))
        with pytest.raises(StaleError):
            await page.ask("undo", operation=undo["id"])

    run(project, story)


@pytest.mark.parametrize(
    ("op", "args"),
    [
        ("nonsense", {}),
        ("open", {}),
        ("open", {"path": 1}),
        ("decide", {}),
        ("decide", {"what": "accept"}),
        ("decide", {"what": "accept", "files": []}),
        ("decide", {"what": "accept", "files": "all"}),
        ("decide", {"what": "accept", "files": ["a.py"]}),
        ("decide", {"what": "accept", "files": [{"path": "a"}]}),
        ("decide", {"what": "delete", "files": [{"path": "a", "version": "1"}]}),
        ("decide", {"what": ["accept"], "files": [{"path": "a", "version": "1"}]}),
        ("decide", {"what": "accept", "files": [{"path": "a", "version": "1"}], "hunks": "1"}),
        ("decide", {"what": "accept", "files": [{"path": "a", "version": "1"}], "hunks": [1]}),
        ("resolve", {"path": "a", "version": "1"}),
        ("resolve", {"path": "a", "version": "1", "content": None}),
        ("undo", {}),
        ("undo", {"operation": 1}),
    ],
)
def test_what_cannot_be_understood_is_refused(project: Project, op: str, args: Message) -> None:
    async def story(page: Page) -> None:
        whole, lock = project.whole(), project.lock_text()
        with pytest.raises(UsageError):
            await page.ask(op, **args)
        assert (project.whole(), project.lock_text()) == (whole, lock)

    run(project, story)


@pytest.mark.parametrize("path", ["../../../etc/passwd", "/etc/passwd", "dx.toml", "", "a\0b", "\ud800"])
def test_paths_that_are_not_pending_open_nothing(project: Project, path: str) -> None:
    async def story(page: Page) -> None:
        with pytest.raises(StaleError):
            await page.ask("open", path=path)
        with pytest.raises(StaleError):
            await page.ask("decide", what="accept", files=[{"path": path, "version": "1"}])

    run(project, story)


HOSTILE = [
    "<script>alert(1)</script>.py",
    "'\"><img src=x onerror=alert(1)>.py",
    "\u202egnp.py",
    "ünï/日本.py",
    os.fsdecode(b"caf\xe9.py"),
    os.fsdecode(b"\xff\xfe"),
    "a[1].py",
    "-rf",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_go_and_come_back(tmp_path: Path, cache_dir: Path, name: str) -> None:
    project = Project(tmp_path, "pkg")
    project.start({name: lines(), "keep.py": ""}, {name: MINE})
    project.publish({name: THEIRS, "keep.py": ""})
    project.install()

    async def story(page: Page) -> None:
        ((path, entry),) = page.files.items()
        path.encode()
        assert (await page.ask("open", path=path))["entry"] == entry
        files = [{"path": path, "version": entry["version"]}]
        await page.ask("decide", what="accept", files=files, hunks=["1"])
        with pytest.raises(StaleError) as caught:
            await page.ask("decide", what="accept", files=files)
        assert caught.value.stale[0]["path"] == path
        await page.ask("resolve", path=path, version=page.files[path]["version"], content="own")
        assert (page.files, project.read(name)) == ({}, b"own")
        assert page.undo is not None
        await page.ask("undo", operation=page.undo["id"])
        assert list(page.files) == [path]

    run(project, story)


# ---- what all pages hear


def edit(project: Project) -> None:
    project.write("b.py", MINE + "later = 1\n")


def delete(project: Project) -> None:
    project.path("b.py").unlink()


def settle(project: Project) -> None:
    project.write("b.py", THEIRS)


def accept(project: Project) -> None:
    elsewhere(project).manager.accept(at("b.py"))


def reject_a_hunk(project: Project) -> None:
    elsewhere(project).manager.reject(at("b.py"), "1")


def upgrade(project: Project) -> None:
    project.publish(dict.fromkeys(NAMES, THEIRS + "more = 1\n"))
    asyncio.run(elsewhere(project).manager.install_all_dependencies())


def other_branch(project: Project) -> None:
    (project.root / "dx.lock").unlink()


@pytest.mark.parametrize("change", [edit, delete, settle, accept, reject_a_hunk, upgrade, other_branch])
def test_pages_hear_what_others_change(project: Project, change: Callable[[Project], None]) -> None:
    async def story(page: Page) -> None:
        async with watched(page):
            await asyncio.to_thread(change, project)
            fresh = Page(ReviewTopic(DxForge(project.root)))
            await fresh.ask("hello")
            await until_async(lambda: (page.files, page.undo) == (fresh.files, fresh.undo))
            assert (page.summary["yellow"], page.summary["red"]) == (fresh.summary["yellow"], fresh.summary["red"])

    run(project, story)


def test_other_pages_hear_what_one_decides_once(project: Project) -> None:
    async def story(page: Page) -> None:
        other = Page(page.topic)
        await other.ask("hello")
        async with watched(other):
            await page.decide("accept", "a.py")
            await until_async(lambda: other.files == page.files)
            assert (other.summary, other.undo) == (page.summary, page.undo)
            told = other.pushed
            await asyncio.sleep(2 * review.LOOK_S)
            assert (told, other.pushed) == (1, 1)

    run(project, story)


def test_only_what_others_do_needs_a_look_at_everything(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(page: Page) -> None:
        looks = 0
        pending = page.topic._reviewing.pending

        def counted(paths: Collection[str] | None = None) -> list[Standing]:
            nonlocal looks
            looks += paths is None
            return pending(paths)

        monkeypatch.setattr(page.topic._reviewing, "pending", counted)
        async with watched(page):
            await until_async(lambda: looks == 1)
            await page.decide("accept", "a.py", hunks=["1"])
            answer = await page.decide("reject", "a.py")
            await asyncio.sleep(review.LOOK_S + 2 * review.SHORTEST_S)
            await page.ask("undo", operation=answer["operation"])
            await asyncio.sleep(review.LOOK_S + 2 * review.SHORTEST_S)
            assert looks == 1
            elsewhere(project).manager.reject([at("b.py")])
            await page.decide("accept", "c.py")  # before anyone has looked
            await until_async(lambda: at("b.py") not in page.files)
            assert looks == 2
            assert list(page.files) == [at("a.py")]

    run(project, story)


def test_who_was_refused_hears_how_things_are(project: Project) -> None:
    async def story(page: Page) -> None:
        async with watched(page):
            project.write("b.py", MINE + "later = 1\n")
            version = page.files[at("b.py")]["version"]
            with contextlib.suppress(StaleError):
                await page.decide("accept", "b.py")
                pytest.fail("it was not refused")
            await until_async(lambda: page.files[at("b.py")]["version"] != version)
            await page.decide("accept", "b.py")

    run(project, story)


def test_an_install_in_this_kernel_is_heard_of(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(review, "LOOK_S", 60.0)

    async def story(page: Page) -> None:
        async with watched(page):
            await asyncio.sleep(2 * review.SHORTEST_S)  # it now waits for long
            project.write("b.py", MINE + "later = 1\n")
            page.topic._forge.events.emit(Progress(phase="apply", done=1, total=2))
            page.topic._forge.events.emit(Progress(phase="apply", done=2, total=2))
            await until_async(lambda: page.pushed == 1)

    run(project, story)


def test_many_files_are_looked_at_a_few_at_a_time(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(review, "SLICE_FILES", 1)
    monkeypatch.setattr(review, "LOOK_S", 0.1)
    monkeypatch.setattr(review, "SHORTEST_S", 0.05)

    async def story(page: Page) -> None:
        async with watched(page):
            for name in NAMES:
                before = page.files[at(name)]
                project.write(name, MINE + "later = 1\n")
                await until_async(lambda name=name, before=before: page.files[at(name)] != before)

    run(project, story)


def test_a_project_that_cannot_be_read_for_a_while(project: Project) -> None:
    async def story(page: Page) -> None:
        lock = (project.root / "dx.lock").read_text()
        async with watched(page):
            (project.root / "dx.lock").write_text("<<<<<<< ours\n")
            await asyncio.sleep(2 * review.LOOK_S)
            assert len(page.files) == 3
            (project.root / "dx.lock").write_text(lock)
            project.write("b.py", THEIRS)
            await until_async(lambda: at("b.py") not in page.files)

    run(project, story)


def test_what_changed_while_nobody_watched_is_in_the_next_hello(project: Project) -> None:
    async def story(page: Page) -> None:
        async with watched(page):
            pass
        settle(project)
        async with watched(page):
            await page.ask("hello")
            assert at("b.py") not in page.files
            project.write("b.py", MINE)
            await until_async(lambda: at("b.py") in page.files)

    run(project, story)
