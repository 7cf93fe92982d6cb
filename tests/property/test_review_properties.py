"""Whatever is decided in a page, however often it is sent: the files are what the same calls in Python make them."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from dxforge.errors import DxForgeError
from dxforge.forge import DxForge
from dxforge.traffic.model import InstallReport
from dxforge_nb.panels.channel import Message
from dxforge_nb.panels.review import ReviewTopic
from dxforge_nb.panels.service import Service
from tests.support.archives import Exec, Files
from tests.support.processes import until_async
from tests.support.project import Project

SETTINGS = settings(
    max_examples=int(os.environ.get("DXFORGE_TEST_EXAMPLES", "25")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
LINES = 16
NUMBERS = st.integers(0, 99)


@dataclass(frozen=True)
class Shape:
    """One file: which lines the user and upstream change, and what else is particular about it."""

    mine: frozenset[int]
    theirs: frozenset[int]
    kind: str
    end: str
    last: bool

    def text(self, changed: frozenset[int], who: str) -> bytes:
        lines = [f"{who} {number}" if number in changed else f"line {number}" for number in range(LINES)]
        return (self.end.join(lines) + (self.end if self.last or who == "mine" else "")).encode()


ROWS = st.frozensets(st.integers(0, LINES - 1), min_size=1, max_size=4)
SHAPES = st.builds(
    Shape,
    mine=ROWS,
    theirs=ROWS,
    kind=st.sampled_from(
        ["text", "text", "text", "text", "latin", "binary", "rename", "removed", "deleted", "new", "mode"]
    ),
    end=st.sampled_from(["\n", "\n", "\r\n"]),
    last=st.booleans(),
)


@dataclass(frozen=True)
class Act:
    """Something that is done in the page: ``which`` file and hunk are numbers of what there is at that time."""

    kind: str
    which: int
    hunk: int
    times: int
    content: str = "own\n"


ACTS = st.builds(
    Act,
    kind=st.sampled_from(
        ["accept", "accept", "reject", "hunk", "hunk", "hunk", "not hunk", "all", "resolve", "undo", "edit", "stale"]
    ),
    which=NUMBERS,
    hunk=NUMBERS,
    times=st.sampled_from([1, 1, 2, 3]),
    content=st.sampled_from(["own\n", "own\r\nwords", "", "é\n", "\u2028\n\n"]),
)


@contextmanager
def scene(shapes: list[Shape]) -> Iterator[tuple[Project, Project]]:
    """Two projects alike, with everything of ``shapes`` pending."""
    base = Path(tempfile.mkdtemp())
    before = {name: os.environ.get(name) for name in ("DXFORGE_CACHE_DIR", "DXFORGE_BACKGROUND")}
    os.environ.update({"DXFORGE_CACHE_DIR": str(base / "cache"), "DXFORGE_BACKGROUND": "0"})
    try:
        project = Project(base, "pkg")
        old: dict[str, Any] = {"keep": ""}
        new: dict[str, Any] = {"keep": ""}
        edits: Files = {}
        for number, shape in enumerate(shapes):
            _lay(f"f{number}.txt", shape, old, edits, new)
        project.start(
            old, {path: content for path, content in edits.items() if isinstance(content, bytes) or content is None}
        )  # type: ignore[misc]
        project.publish(new)
        project.install()
        shutil.copytree(project.root, base / "twin", symlinks=True)
        yield project, Project(base, root=base / "twin")
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})
        shutil.rmtree(base, ignore_errors=True)


def _lay(path: str, shape: Shape, old: dict[str, Any], edits: Any, new: dict[str, Any]) -> None:
    base, mine, theirs = (
        shape.text(changed, who)
        for changed, who in ((frozenset[int](), ""), (shape.mine, "mine"), (shape.theirs, "theirs"))
    )
    if shape.kind == "latin":
        base, mine, theirs = (b"caf\xe9" + content for content in (base, mine, theirs))
    if shape.kind == "binary":
        base, mine, theirs = (b"\0" + content for content in (base, mine, theirs))
    if shape.kind != "new":
        old[path] = base
    edits[path] = None if shape.kind == "deleted" else mine
    if shape.kind == "rename":
        new[f"moved/{path}"] = theirs
    elif shape.kind != "removed":
        new[path] = Exec(theirs) if shape.kind == "mode" else theirs


@dataclass
class Page:
    """A page that sends each of its messages as often as it is told to, and believes only the answers."""

    service: Service
    sent: list[Message] = field(default_factory=list)
    files: dict[str, Message] = field(default_factory=dict)
    undo: Message | None = None
    number: int = 0

    async def ask(self, op: str, times: int = 1, **args: Any) -> Message:
        self.number += 1
        content = {"dx": 1, "client": "page", "n": self.number, "op": op, **args}
        seen = len(self.sent)

        def answers() -> list[Message]:
            return [known for known in self.sent[seen:] if known.get("re") == self.number and "ok" in known]

        for _ in range(times):
            self.service.receive(content)
        await until_async(answers)
        self.service.receive(content)
        await until_async(lambda: len(answers()) >= 2)
        assert len({str(known) for known in answers()}) == 1 or op == "hello"
        answer = answers()[0]
        if answer["ok"]:
            self.take(op, answer)
        return answer

    def take(self, op: str, answer: Message) -> None:
        if op == "hello":
            self.files = {entry["path"]: entry for entry in answer["files"]}
        for path in answer.get("gone", ()):
            self.files.pop(path, None)
        self.files |= {entry["path"]: entry for entry in answer.get("changed", ())}
        self.undo = answer.get("undo", self.undo)


async def play(page: Page, project: Project, twin: Project, act: Act) -> None:
    """Do one thing in the page and the same in Python."""
    manager = twin.manager
    if act.kind == "undo":
        if page.undo is not None:
            operation = page.undo["id"]
            answer = await page.ask("undo", act.times, operation=operation)
            event("undo")
            undo = manager.reviewing.undo
            await same(answer, lambda: InstallReport(operation=undo(operation).operation), project, twin)
        return
    if not page.files:
        return
    path = sorted(page.files)[act.which % len(page.files)]
    wanted = [{"path": path, "version": page.files[path]["version"]}]
    if act.kind == "edit":
        for tree in (project, twin):
            target = tree.root / path
            if target.is_file():
                target.write_bytes(target.read_bytes() + b"%d later\n" % act.hunk)
        await page.ask("hello")
    elif act.kind == "stale":
        await stale(page, project, path, wanted)
    elif act.kind == "all":
        paths = sorted(page.files)
        wanted = [{"path": known, "version": page.files[known]["version"]} for known in paths]
        answer = await page.ask("decide", act.times, what="accept", files=wanted)
        await same(answer, lambda: manager.accept(paths), project, twin)
    elif act.kind == "resolve":
        if (await page.ask("open", path=path))["why_not"]:
            return
        answer = await page.ask("resolve", act.times, path=path, version=wanted[0]["version"], content=act.content)
        await same(answer, lambda: manager.resolve(path, act.content), project, twin)
    elif act.kind in ("accept", "reject"):
        decide = manager.accept if act.kind == "accept" else manager.reject
        answer = await page.ask("decide", act.times, what=act.kind, files=wanted)
        event(f"a file: {act.kind}")
        await same(answer, lambda: decide(path), project, twin)
    else:
        await hunk(page, project, twin, act, path)


async def hunk(page: Page, project: Project, twin: Project, act: Act, path: str) -> None:
    view = await page.ask("open", path=path)
    (change,) = [change for change in twin.manager.pending() if change.path == path]
    assert view["entry"] == page.files[path]
    if view["why_not"] or not view["hunks"]:
        return
    assert [(shown["id"], shown["header"]) for shown in view["hunks"]] == [(h.id, h.header) for h in change.hunks]
    fits(view)
    chosen = view["hunks"][act.hunk % len(view["hunks"])]["id"]
    what = "accept" if act.kind == "hunk" else "reject"
    decide = twin.manager.accept if what == "accept" else twin.manager.reject
    wanted = [{"path": path, "version": view["entry"]["version"]}]
    answer = await page.ask("decide", act.times, what=what, files=wanted, hunks=[chosen])
    await same(answer, lambda: decide(path, chosen), project, twin)
    event(f"a hunk: {what}, {answer['ok']}")


def fits(view: Message) -> None:
    """The hunks' ranges make the proposal of what is there."""
    lines, new = (view["sides"][side].split("\n") for side in ("local", "proposal"))
    for shown in reversed(view["hunks"]):
        lines[slice(*shown["old"])] = new[slice(*shown["new"])]
    assert "\n".join(lines) == view["sides"]["proposal"]


async def stale(page: Page, project: Project, path: str, wanted: list[Message]) -> None:
    """Another version, or one of another file: nothing changes, byte for byte."""
    before, lock = project.whole(), project.lock_text()
    other = [{"path": path, "version": entry["version"][::-1]} for entry in wanted]
    for op, args in (
        ("decide", {"what": "accept", "files": [*other]}),
        ("decide", {"what": "reject", "files": [*wanted, {"path": "src/dx_packages/pkg/keep", "version": "1"}]}),
        ("resolve", {"path": path, "version": other[0]["version"], "content": "lost\n"}),
        ("undo", {"operation": "000099"}),
    ):
        answer = await page.ask(op, **args)
        assert not answer["ok"]
        assert answer["stale"]
    assert (project.whole(), project.lock_text()) == (before, lock)


async def same(answer: Message, work: Any, project: Project, twin: Project) -> None:
    """The same came of it."""
    refused: DxForgeError | None = None
    report = InstallReport()
    try:
        report = await asyncio.to_thread(work)
    except DxForgeError as error:
        refused = error
        event(f"refused: {error.kind}")
    assert answer["ok"] == (refused is None), answer
    if refused is not None:
        assert answer["error"]["kind"] == refused.kind
    assert answer.get("operation") == report.operation
    assert project.whole().files == twin.whole().files
    assert project.lock_text() == twin.lock_text()


@SETTINGS
@given(shapes=st.lists(SHAPES, min_size=2, max_size=5), acts=st.lists(ACTS, min_size=4, max_size=10))
def test_a_page_does_what_python_does_and_once(shapes: list[Shape], acts: list[Act]) -> None:
    with scene(shapes) as (project, twin):

        async def main() -> None:
            sent: list[Message] = []
            service = Service(ReviewTopic(DxForge(project.root)), send=sent.append, clock=lambda: 0.0)
            page = Page(service, sent)
            await page.ask("hello")
            for act in acts:
                await play(page, project, twin, act)
                fresh = {
                    entry.path: entry.to_json()
                    for entry in Project(project.base, root=project.root).manager.reviewing.pending()
                }
                assert page.files == fresh
                assert [change.path for change in twin.manager.pending()] == sorted(page.files)
            await service.close()

        asyncio.run(main())
