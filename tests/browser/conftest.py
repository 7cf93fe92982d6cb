"""A Lab server for each worker, a browser for each module, and pages that must not complain."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import threading
import urllib.request
import uuid
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from playwright.sync_api import BrowserContext, Page

from dxforge_nb.panels import assets
from tests.browser.pages import Notebook, Review
from tests.support.browser import Ear, browser
from tests.support.lab import Lab
from tests.support.project import Project

T = TypeVar("T")

FAILED = pytest.StashKey[bool]()
LAB = (
    # Fonts of the host's own, which its server refuses to give.
    ".woff2)",
)
NOTEBOOK_7 = (
    *LAB,
    # What Notebook 7.6 complains of on its own server too, with any notebook: a plugin without settings, and a command
    # of Lab's that it lacks.
    "Cannot read properties of undefined (reading 'schema')",
    "Command 'filebrowser:open-path' not registered",
)


def pytest_configure(config: pytest.Config) -> None:
    """The mark of these tests."""
    config.addinivalue_line("markers", "browser: needs Chromium (see scripts/browser.py)")


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The worker's server."""
    assets.core()  # says so where the front end is not built
    with Lab(tmp_path_factory.mktemp("lab") / "lab") as server:
        yield server


@pytest.fixture(scope="module")
def context(lab: Lab) -> Iterator[BrowserContext]:
    """A browser.

    A module's, not the session's: Playwright's loop runs in this thread while it is open, and other tests of this
    worker start loops of their own.
    """
    with browser() as opened:
        yield opened


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """Leave the outcome where fixtures see it."""
    report = yield
    if report.failed:
        item.stash[FAILED] = True
    return report


class Window:
    """The pages of one test, and the folder that its notebooks lie in."""

    def __init__(self, lab: Lab, context: BrowserContext, name: str) -> None:
        self.lab = lab
        self.context = context
        self.name = name
        self.folder = lab.files / name
        self.folder.mkdir()
        self.ears: list[Ear] = []
        self.pages: list[Page] = []

    def open(self, *sources: str, name: str = "a", under: str = "", app: str = "lab") -> Notebook:
        """Write a notebook with these cells into ``under`` and open it in a page of its own."""
        path = self.lab.write("/".join(filter(None, (self.name, under, f"{name}.ipynb"))), sources)
        return self.again(path, app)

    def review(self, *more: str) -> tuple[Notebook, Review]:
        """A notebook in the project with the review panel in its second cell, live."""
        notebook = self.open("%load_ext dxforge_nb", "%dx review", *more, under="project")
        notebook.run(0)
        notebook.run(1)
        panel = notebook.review(1)
        panel.in_state("live")
        return notebook, panel

    def again(self, path: str, app: str = "lab") -> Notebook:
        """Open a notebook that is there, in a further page."""
        page = self.context.new_page()
        self.pages.append(page)
        self.ears.append(Ear(page, LAB if app == "lab" else NOTEBOOK_7))
        # Two pages in one workspace are in each other's way, and a workspace remembers what was open.
        where = f"lab/workspaces/{uuid.uuid4().hex}/tree/{path}?reset" if app == "lab" else f"{app}/{path}"
        return Notebook(page, f"{self.lab.url}/{where}").open()

    def close(self) -> None:
        """Close the pages, and end their kernels."""
        for page in self.pages:
            page.close()
        self.end_kernels()

    def end_kernels(self) -> None:
        """Shut the test's kernels down, as closing them in the sidebar does."""
        for session in _ask(f"{self.lab.url}/api/sessions"):
            if session["path"].startswith(f"{self.name}/"):
                _ask(f"{self.lab.url}/api/sessions/{session['id']}", "DELETE")


@pytest.fixture
def window(lab: Lab, context: BrowserContext, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Window]:
    """Pages for one test. What they complain of fails it; what they looked like when it failed is kept."""
    made = Window(lab, context, re.sub(r"\W+", "-", request.node.name).strip("-"))
    try:
        yield made
        errors = [text for ear in made.ears for text in (*ear.errors, *ear.dialogs)]
        assert not errors, "the page complained:\n" + "\n".join(errors)
    except BaseException:
        request.node.stash[FAILED] = True
        raise
    finally:
        if request.node.stash.get(FAILED, False):
            _keep(made, tmp_path)
        made.close()
        shutil.rmtree(made.folder, ignore_errors=True)


@pytest.fixture
def project(window: Window) -> Project:
    """The sample, with two Yellow files and a Red one to decide."""
    from tests.browser import sample  # it uses `apart`

    return sample.made(window.folder)


def apart(work: Callable[..., T], *args: Any, **options: Any) -> T:
    """Call ``work`` in a thread of its own, where it may run a loop."""
    results: list[T] = []
    errors: list[BaseException] = []

    def call() -> None:
        try:
            results.append(work(*args, **options))
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            errors.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def _keep(made: Window, folder: Path) -> None:
    for number, (page, ear) in enumerate(zip(made.pages, made.ears, strict=True)):
        if not page.is_closed():
            picture = folder / f"page-{number}.png"
            with contextlib.suppress(Exception):
                page.screenshot(path=picture, full_page=True)
                print(f"page {number}: {picture}")
        for text in (*ear.errors, *ear.dialogs):
            print(f"page {number} complained: {text}")


def _ask(url: str, method: str = "GET") -> Any:
    # Loopback needs no proxy.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(urllib.request.Request(url, method=method), timeout=30) as answer:
        text = answer.read()
        return json.loads(text) if text else None
