"""Ten thousand files to decide on, in one page and in two, while others work on the same project."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from dxforge.forge import DxForge
from dxforge_nb.panels.channel import Message, StaleError
from dxforge_nb.panels.review import ReviewTopic
from tests.support.processes import until_async
from tests.support.project import PACKAGES, Project, lines

COUNT = 10_000
MINE = lines(6, _0="mine = 1")
THEIRS = lines(6, _5="five = 1")
BOTH = lines(6, _0="mine = 1", _5="five = 1")


def name(number: int) -> str:
    return f"d{number % 40}/f{number}.txt"


def at(number: int) -> str:
    return f"{PACKAGES}/pkg/{name(number)}"


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with 10,000 files of one hunk each pending, to be copied."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DXFORGE_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("DXFORGE_BACKGROUND", "0")
        project = Project(tmp_path_factory.mktemp("crowd"), "pkg")
        names = [name(number) for number in range(COUNT)]
        project.start(dict.fromkeys(names, lines(6)), dict.fromkeys(names, MINE))
        project.publish(dict.fromkeys(names, THEIRS))
        assert len(project.install().changes) == COUNT
        return project.base


class Page:
    """A page: what it was answered and what it heard."""

    def __init__(self, topic: ReviewTopic) -> None:
        self.topic = topic
        self.files: dict[str, Message] = {}
        self.summary: Message = {}
        self.heard = 0

    async def ask(self, op: str, **args: Any) -> Message:
        answer = await self.topic.handle(op, args)
        if op == "hello":
            self.files = {entry["path"]: entry for entry in answer["files"]}
            self.summary = answer["summary"]
        return answer

    async def decide(self, what: str, *paths: str, **args: Any) -> Message:
        files = [{"path": path, "version": self.files[path]["version"]} for path in paths]
        answer = await self.ask("decide", what=what, files=files, **args)
        self.hear(answer)
        return answer

    def hear(self, body: Mapping[str, Any]) -> None:
        self.heard += 1
        for path in body["gone"]:
            self.files.pop(path, None)
        self.files |= {entry["path"]: entry for entry in body["changed"]}
        self.summary = body["summary"]


@pytest.mark.slow
def test_ten_thousand_files(crowd: Path) -> None:
    project = Project(crowd, root=crowd / "project")

    async def story() -> None:
        topic = ReviewTopic(DxForge(project.root))
        page, other = Page(topic), Page(topic)
        for known in (page, other):
            await known.ask("hello")
            assert len(known.files) == COUNT
        assert {entry["hunks"] for entry in page.files.values()} == {1}
        assert page.summary == {"yellow": COUNT, "red": 0, "decided": 0}
        watching = asyncio.create_task(topic.watch(other.hear))
        try:
            await until_async(lambda: topic._push is not None)
            await decide_one_by_one(project, page, other)
            await decide_in_another_process(project, page, other)
            await decide_on_all(project, page, other)
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    asyncio.run(story())


async def decide_one_by_one(project: Project, page: Page, other: Page) -> None:
    view = await page.ask("open", path=at(0))
    assert view["sides"]["proposal"] == BOTH
    answers = [
        await page.decide("accept", at(0)),
        await page.decide("reject", at(1)),
        await page.decide("accept", at(2), hunks=["1"]),
        await page.ask("resolve", path=at(3), version=page.files[at(3)]["version"], content="own\n"),
    ]
    page.hear(answers[3])
    assert [answer["gone"] for answer in answers] == [[at(number)] for number in range(4)]
    assert [project.read(name(number)).decode() for number in range(5)] == [BOTH, MINE, BOTH, "own\n", MINE]
    await until_async(lambda: other.files == page.files)
    assert len(page.files) == COUNT - 4
    assert other.summary == page.summary == {"yellow": COUNT - 4, "red": 0, "decided": 4}
    page.hear(await page.ask("undo", operation=answers[3]["undo"]["id"]))
    await until_async(lambda: other.files == page.files)
    assert len(page.files) == COUNT - 3
    assert project.read(name(3)).decode() == MINE


async def decide_in_another_process(project: Project, page: Page, other: Page) -> None:
    terminal = Project(project.base, root=project.root)
    await asyncio.to_thread(terminal.manager.accept, [at(4), f"{PACKAGES}/pkg/d7"])
    left = COUNT - 3 - 1 - COUNT // 40
    await until_async(lambda: len(other.files) == left)
    whole, lock = project.tree(), project.lock_text()
    with pytest.raises(StaleError) as caught:
        await page.decide("reject", at(4), at(7), at(8))
    assert {item["path"] for item in caught.value.stale} == {at(4), at(7)}
    assert (project.tree(), project.lock_text()) == (whole, lock)
    await page.ask("hello")
    assert page.files == other.files


async def decide_on_all(project: Project, page: Page, other: Page) -> None:
    paths = list(page.files)
    project.write(name(5000), MINE + "later = 1\n")
    with pytest.raises(StaleError) as caught:
        await page.decide("accept", *paths)
    assert [item["path"] for item in caught.value.stale] == [at(5000)]
    await until_async(lambda: other.files[at(5000)] != page.files[at(5000)])
    page.files = dict(other.files)
    answer = await page.decide("accept", *paths)
    assert (page.files, len(answer["gone"])) == ({}, len(paths))
    tree = project.tree()
    contents = {number: tree[name(number)][1].decode() for number in range(COUNT)}
    assert contents.pop(1) == MINE
    assert contents.pop(5000) == BOTH + "later = 1\n"
    assert set(contents.values()) == {BOTH}
    await until_async(lambda: not other.files)
    page.hear(await page.ask("undo", operation=answer["undo"]["id"]))
    assert sorted(page.files) == sorted(paths)
    assert project.read(name(9)).decode() == MINE
