"""What a person sees and does in a notebook and in the panels, by the names that assistive technology reads."""

from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import Locator, Page, expect

_PANEL = "(() => { const shell = jupyterapp.shell; return shell.currentWidget; })()"


class Notebook:
    """A notebook in a page of its own, in JupyterLab or Notebook 7."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url

    def open(self) -> Notebook:
        """Load the page and wait until its kernel answers."""
        self.page.goto(self.url)
        return self.ready()

    def reload(self) -> Notebook:
        """Load the page again; the kernel lives on."""
        self.page.reload()
        return self.ready()

    def ready(self) -> Notebook:
        """Wait for the application, the notebook's session, and the kernel, in this order."""
        self.page.wait_for_function("() => window.jupyterapp")
        self.page.evaluate("async () => { await jupyterapp.restored; }")
        self.page.wait_for_function(f"() => {_PANEL}?.sessionContext && {_PANEL}.content.widgets.length")
        self.page.evaluate(
            f"async () => {{ const context = {_PANEL}.sessionContext; await context.ready;"
            " await context.session.kernel.info; }"
        )
        return self

    def command(self, name: str, **args: Any) -> None:
        """Run one of the application's commands to its end."""
        self.page.evaluate("async ([name, args]) => { await jupyterapp.commands.execute(name, args); }", [name, args])

    def start(self, index: int) -> None:
        """Run a cell without waiting."""
        self.page.evaluate(
            f"index => {{ {_PANEL}.content.activeCellIndex = index;"
            " void jupyterapp.commands.execute('notebook:run-cell'); }",
            index,
        )

    def run(self, index: int) -> str:
        """Run a cell to its end; what it shows, as text. Fails where the cell does."""
        failed = self.page.evaluate(
            f"""async index => {{
                const notebook = {_PANEL}.content;
                notebook.activeCellIndex = index;
                await jupyterapp.commands.execute('notebook:run-cell');
                return notebook.widgets[index].model.sharedModel.getOutputs()
                    .filter(output => output.output_type === 'error').map(output => output.traceback.join('\\n'));
            }}""",
            index,
        )
        assert not failed, "\n".join(failed)
        return self.output(index).inner_text()

    def add(self, source: str) -> int:
        """Append a cell; its number."""
        return int(
            self.page.evaluate(
                f"""source => {{
                    const model = {_PANEL}.content.model.sharedModel;
                    model.insertCell(model.cells.length, {{cell_type: 'code', source}});
                    return model.cells.length - 1;
                }}""",
                source,
            )
        )

    def do(self, source: str) -> str:
        """Append a cell and run it."""
        return self.run(self.add(source))

    def cell(self, index: int) -> Locator:
        """A cell."""
        return self.page.locator(".jp-Notebook .jp-Cell").nth(index)

    def output(self, index: int) -> Locator:
        """All that a cell shows."""
        return self.cell(index).locator(".jp-OutputArea").first

    def review(self, index: int) -> Review:
        """The review panel that a cell shows."""
        return Review(self.output(index).get_by_role("region", name="dxforge review"))

    def status(self, index: int) -> Status:
        """The status panel that a cell shows."""
        return Status(self.output(index).get_by_role("region", name="dxforge status"))

    def save(self) -> None:
        """Save the notebook."""
        self.command("docmanager:save")

    def restart(self) -> None:
        """Restart the kernel, and wait until it answers."""
        self.page.evaluate(
            f"""async () => {{
                const context = {_PANEL}.sessionContext;
                await context.session.kernel.restart();
                await context.session.kernel.info;
                await context.session.kernel.requestKernelInfo();
            }}"""
        )

    def select(self, index: int) -> None:
        """Select a cell, in command mode, with the focus on it."""
        self.cell(index).locator(".jp-InputPrompt").first.click()

    def cells(self) -> list[tuple[str, str]]:
        """Kind and source of each cell."""
        found = self.page.evaluate(
            f"() => {_PANEL}.content.model.sharedModel.cells.map(cell => [cell.cell_type, cell.getSource()])"
        )
        return [(kind, source) for kind, source in found]

    def theme(self, name: str) -> None:
        """Change the application's theme, as the Settings menu does."""
        there = "name => document.body.dataset.jpThemeName === name"
        if not self.page.evaluate(there, name):
            self.command("apputils:change-theme", theme=name)
            self.page.wait_for_function(there, arg=name)
        # It is drawn behind a curtain.
        expect(self.page.locator("#jupyterlab-splash")).to_have_count(0)

    def idle(self) -> None:
        """Wait until all cells have run."""
        self.page.wait_for_function(f"() => {_PANEL}.sessionContext.session.kernel.status === 'idle'")

    def busy(self) -> None:
        """Wait until the kernel works on a cell."""
        self.page.wait_for_function(f"() => {_PANEL}.sessionContext.session.kernel.status === 'busy'")


class Panel:
    """What both panels have."""

    def __init__(self, root: Locator) -> None:
        self.root = root
        self.page = root.page

    def button(self, name: str) -> Locator:
        """A button by its whole name."""
        return self.root.get_by_role("button", name=name, exact=True)

    def press(self, name: str) -> None:
        """Click a button."""
        self.button(name).click()

    def in_state(self, state: str, words: str = "") -> None:
        """Wait for a state of the panel: live, busy, disconnected or loading, and for the words that say so."""
        self.root.scroll_into_view_if_needed()  # a panel out of sight asks for nothing
        expect(self.root).to_have_attribute("data-state", state)
        if words:
            expect(self.root.get_by_role("status").filter(has_text=words).first).to_be_visible()

    def has_focus(self) -> bool:
        """Whether the keyboard's focus is inside."""
        return bool(self.root.evaluate("node => node.contains(document.activeElement)"))

    def tab_to(self, target: Locator) -> None:
        """Press Tab until the focus is on or in ``target``."""
        expect(target).to_be_visible()
        for _ in range(60):
            if target.evaluate("node => node.contains(document.activeElement)"):
                return
            self.page.keyboard.press("Tab")
        raise AssertionError(f"Tab does not lead to {target}")

    @property
    def alert(self) -> Locator:
        """What went wrong."""
        return self.root.get_by_role("alert")

    @property
    def theme_background(self) -> str:
        """The colour that the panel's text stands on."""
        return str(
            self.root.evaluate(
                """node => {
                    for (let at = node; at; at = at.parentElement) {
                        const color = getComputedStyle(at).backgroundColor;
                        if (color !== 'rgba(0, 0, 0, 0)') return color;
                    }
                    return 'none';
                }"""
            )
        )


class Review(Panel):
    """The review panel."""

    @property
    def listbox(self) -> Locator:
        """The list of files."""
        return self.root.get_by_role("listbox", name="Files to decide")

    @property
    def options(self) -> Locator:
        """The files that are in the page; a long list holds but those in sight."""
        return self.listbox.get_by_role("option")

    def option(self, path: str) -> Locator:
        """A file of the list."""
        return self.options.filter(has_text=path)

    def choose(self, path: str) -> None:
        """Click a file, and wait until it is shown."""
        self.option(path).click()
        expect(self.option(path)).to_have_attribute("aria-selected", "true")

    def go_to(self, path: str) -> None:
        """Press j until a file is chosen, having gone to the first by k."""
        for key in "k", "j":
            for _ in range(5):
                if self.option(path).get_attribute("aria-selected") == "true":
                    return
                self.page.keyboard.press(key)
        expect(self.option(path)).to_have_attribute("aria-selected", "true")

    def count(self, number: int) -> None:
        """Wait until the list has this many files, in sight or not."""
        if number:
            expect(self.options.first).to_have_attribute("aria-setsize", str(number))
        else:
            expect(self.options).to_have_count(0)

    @property
    def hunks(self) -> Locator:
        """The hunks of the chosen file."""
        return self.root.get_by_role("group", name=re.compile(r"^Hunk \d+ of \d+$"))

    def hunk(self, number: int, of: int) -> Locator:
        """One of them."""
        return self.root.get_by_role("group", name=f"Hunk {number} of {of}", exact=True)

    def accept_hunk(self, number: int, of: int) -> None:
        """Click its button."""
        self.hunk(number, of).get_by_role("button", name="Accept hunk").click()

    def reject_hunk(self, number: int, of: int) -> None:
        """Click its button."""
        self.hunk(number, of).get_by_role("button", name="Reject hunk").click()

    def tab(self, name: str) -> Locator:
        """One of the views of the chosen file."""
        return self.root.get_by_role("tab", name=name, exact=True)

    @property
    def filter(self) -> Locator:
        """The search box."""
        return self.root.get_by_label("Filter files")

    @property
    def editor(self) -> Locator:
        """Where the proposal is edited."""
        return self.root.locator(".cm-content[contenteditable=true]")

    @property
    def code(self) -> Locator:
        """The text of the chosen file."""
        return self.root.locator(".cm-content")

    def says(self, words: str | re.Pattern[str]) -> None:
        """Wait until the summary that screen readers hear says this."""
        expect(self.root.locator("[aria-live=polite]").filter(has_text=words).first).to_be_attached()


class Status(Panel):
    """The status panel."""

    def table(self, caption: str) -> Locator:
        """One of the tables."""
        return self.root.get_by_role("table", name=caption)

    def row(self, caption: str, name: str) -> Locator:
        """A row of one."""
        return self.table(caption).get_by_role("row").filter(has_text=name)

    def tool(self, name: str) -> Locator:
        """A tool's row."""
        return self.row("Tools", name)

    def cell(self, caption: str, name: str, column: str) -> Locator:
        """A cell of a row, by the name of its column."""
        heads = self.table(caption).get_by_role("columnheader").all_inner_texts()
        number = next(at for at, head in enumerate(heads) if head.strip().lower() == column.lower())
        return self.row(caption, name).get_by_role("cell").nth(number)
