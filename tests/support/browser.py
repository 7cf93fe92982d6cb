"""The browser of the machine, driven by Playwright, and pages whose errors are heard."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, ConsoleMessage, Dialog, Page

NAMES = ("chromium", "chromium-browser", "google-chrome")
VARIABLE = "DXFORGE_BROWSER"
WIDTH, HEIGHT = 1200, 900
TIMEOUT_MS = 30_000
"""For what must happen at all; these machines are slow at times."""
_ADVICE = (
    f"The browser tests need Chromium: run `python -m scripts.browser` as root where apt is, install the package "
    f"`chromium` (or Google Chrome), or name a browser's program in the environment variable {VARIABLE}."
)


class NoBrowserError(Exception):
    """There is no browser to test in."""


def find_browser() -> str:
    """The browser's program.

    Raises:
        NoBrowserError: there is none; its text says what to install.
    """
    if named := os.environ.get(VARIABLE):
        if found := shutil.which(named):
            return found
        raise NoBrowserError(f"{VARIABLE} names {named!r}, which is no program. {_ADVICE}")
    for name in NAMES:
        if found := shutil.which(name):
            return found
    raise NoBrowserError(f"None of {', '.join(NAMES)} is on PATH. {_ADVICE}")


@contextlib.contextmanager
def browser() -> Iterator[BrowserContext]:
    """A headless Chromium with nothing remembered.

    While it is open, this thread has a running event loop: ``asyncio.run`` fails in it.
    """
    from playwright.sync_api import expect, sync_playwright

    program = find_browser()
    expect.set_options(timeout=TIMEOUT_MS)
    # Chromium's sandbox refuses to work as root, which is what containers run tests as.
    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    # Letters and scroll bars look the same on every machine that has the same fonts.
    options += ["--font-render-hinting=none", "--hide-scrollbars", "--force-color-profile=srgb"]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=options)
        try:
            context = chromium.new_context(viewport={"width": WIDTH, "height": HEIGHT}, reduced_motion="reduce")
            context.set_default_timeout(TIMEOUT_MS)
            yield context
        finally:
            chromium.close()


class Ear:
    """Hears what a page complains of.

    Attributes:
        errors: console errors and uncaught exceptions, but for what ``harmless`` texts are part of.
        dialogs: what a script opened a dialog with.
    """

    def __init__(self, page: Page, harmless: tuple[str, ...] = ()) -> None:
        self.errors: list[str] = []
        self.dialogs: list[str] = []
        self.harmless = [*harmless]
        page.on("console", self._console)
        page.on("pageerror", lambda error: self._heard(f"uncaught: {error.stack or error}"))
        page.on("dialog", self._dialog)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self._heard(f"{message.text} ({message.location.get('url', '')})")

    def _heard(self, text: str) -> None:
        if not any(part in text for part in self.harmless):
            self.errors.append(text)

    def _dialog(self, dialog: Dialog) -> None:
        if dialog.type == "beforeunload":
            dialog.accept()  # unsaved changes, and the test leaves the page
            return
        self.dialogs.append(f"{dialog.type}: {dialog.message}")
        dialog.dismiss()
