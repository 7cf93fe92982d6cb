"""``%dx`` and ``%%dx``: hand the line to the one grammar, show the result, raise what failed.

Nothing of dxforge's machinery is imported before the first command, so loading is instant.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from IPython.core.magic import Magics, line_cell_magic, magics_class
from traitlets import Bool, observe

from dxforge.errors import DxForgeError, ProjectError, UsageError

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from dxforge.commands.parsing import Call
    from dxforge.commands.result import Result

PROGRAM = "%dx"
_PANELS = ("review", "status")
"""Commands that show one."""


@magics_class
class DxMagics(Magics):
    """Holder of the one magic, and of ``%config DxMagics``."""

    nest_asyncio = Bool(
        default_value=False,
        help="Let asyncio.run() be called in cells, through nest-asyncio. It patches asyncio for the whole kernel, "
        "until that is restarted; dxforge itself does not need it.",
    ).tag(config=True)

    @observe("nest_asyncio")
    def _nest_asyncio_changed(self, change: Any) -> None:
        from dxforge_nb import nest

        try:
            nest.follow(self.shell, wanted=change["new"])
        except DxForgeError as error:
            self.set_trait("nest_asyncio", not change["new"])
            raise one_line(error) from None

    @line_cell_magic
    def dx(self, line: str, cell: str | None = None) -> Any:
        """Own your dependencies' source, and still get updates.

        ::

            %dx [-C DIR] COMMAND [ARGUMENTS]

            %dx init                                start a project in the current folder
            %dx add 'humanize>=4.9,<5'              add a package and install it
            %dx install [NAME ...] [--upgrade]      bring packages to what dx.toml asks for
            %dx review                              what awaits your decision, with diffs
            %dx diff PATH                           one file: your edits, theirs, the proposal
            %dx accept PATH [--hunk N]              take the proposal, or some of its hunks
            %dx reject PATH [--hunk N]              keep yours
            %dx resolve PATH --file F               settle it with a content of your own
            %dx undo  /  %dx log                    take back the last operation / list them
            %dx start TOOL  /  stop TOOL            start a tool, and what it depends on / stop it
            %dx run TOOL [ARGS]                     run a tool's program to its end
            %dx logs TOOL [-n N] [-f]               what a tool wrote
            %dx build [--explain] [--force]         run the build's steps whose inputs have changed
            %dx watch                               build again, and restart tools, when files change
            %dx status  /  %dx doctor               the project at a glance / check it
            %dx help [COMMAND]                      all commands, or one in full

        Several commands in one cell, one a line, stopping at the first error::

            %%dx
            install --upgrade
            # comments and empty lines are skipped
            review

        Options of every command:

        -q        show nothing (a ``;`` at the end does the same)
        -o NAME   store the result in the variable NAME; it has ``.ok``, ``.exit_code`` and ``.to_json()``
        --json    give the result as plain dicts and lists

        The result is also the magic's value: ``r = %dx status``. ``$name`` and ``{expression}`` are replaced by
        their values (not between single quotes); words are quoted as in a shell. The project is the nearest folder
        with a ``dx.toml``, upward from the current one. A command that fails raises, so the notebook stops there;
        changes that await a decision are no failure, unless ``install --strict`` says so.

        Tools that are started here belong to the kernel: they end with it, however it ends. Interrupting a cell ends
        what the cell waits for, not the tools.
        """
        try:
            if cell is None:
                words, silent = _words(line)
                return self._run(words, silent=silent)
            return self._run_cell(line, cell)
        except DxForgeError as error:
            raise one_line(error) from None
        except KeyboardInterrupt as interrupt:
            raise _without_frames(interrupt) from None

    def _run_cell(self, header: str, cell: str) -> Any:
        options, silent = _words(header)
        lines = [text for text in map(str.strip, cell.splitlines()) if text and not text.startswith("#")]
        value = None
        for number, text in enumerate(lines):
            if number and value is not None:
                self._display(value)
            words, hush = _words(text)
            value = self._run([*options, *words], silent=silent or hush)
        return value

    def _run(self, words: list[str], *, silent: bool) -> Any:
        """One command; its value is what the cell shows, None where nothing is to be shown."""
        from dxforge.commands.grammar import parse

        call = parse(words, program=PROGRAM, notebook=True)
        quiet = silent or call.options.quiet
        if call.options.store is not None and not call.options.store.isidentifier():
            raise UsageError("this is no name for a variable", where=f"-o {call.options.store}")
        result = self._execute(call, quiet=quiet)
        if result.panel:
            result = dataclasses.replace(result, live=functools.partial(_live, result, _root(call)))
        value = result.to_json() if call.options.as_json else result
        if call.options.store is not None:
            self._namespace()[call.options.store] = value
        with contextlib.suppress(DxForgeError):  # what is wrong with the project is for the command to say
            activate_project(current_folder() / (call.options.directory or ""))
        if failure := result.failure():
            if not quiet:
                self._display(value)
            raise failure
        return None if quiet else value

    def _execute(self, call: Call, *, quiet: bool) -> Result:
        from dxforge.commands.actions import execute
        from dxforge.commands.session import Session
        from dxforge_nb.attended import attended
        from dxforge_nb.interrupted import done_since, newest_operation
        from dxforge_nb.kernel import FORGES
        from dxforge_nb.live import CellLive
        from dxforge_nb.redact import redacted, redactor_for

        folder = current_folder() / (call.options.directory or "")
        redactor = redactor_for(folder)
        before = newest_operation(folder, call.action)
        if call.action in _PANELS and attended(self.shell) and not (quiet or call.options.as_json):
            # The panel needs the kernel's forge anyway, and what that has merged for the text it need not merge again.
            with contextlib.suppress(DxForgeError):
                FORGES.thread(_root(call))
        live = CellLive(quiet=quiet or call.options.as_json, board=attended(self.shell), redactor=redactor)
        session = Session(cwd=current_folder(), program=PROGRAM, forges=FORGES, live=live, detailed=True)
        unsubscribe = FORGES.events.subscribe(live)
        try:
            return live.added_to(execute(call, session))
        except DxForgeError as error:
            redacted(error, redactor)
            raise
        except KeyboardInterrupt as interrupt:
            interrupt.args = (done_since(before, folder, call.action),)
            raise
        finally:
            unsubscribe()
            live.close()

    def _namespace(self) -> dict[str, Any]:
        return {} if self.shell is None else self.shell.user_ns

    @staticmethod
    def _display(value: Any) -> None:
        from IPython.display import display

        display(value)  # type: ignore[no-untyped-call]


def _root(call: Call) -> Path:
    """The folder of the project that a command was about."""
    from dxforge.config.load import find_root

    if call.options.directory is None:
        return find_root(current_folder())
    return Path(os.path.abspath(current_folder() / call.options.directory))


def _live(result: Result, root: Path) -> dict[str, Any]:
    """The panel of ``result``; what that does not show is shown above it."""
    from dxforge_nb.panels.registry import PANELS

    view = PANELS.view(result.panel, root)
    if view and not result.panel_tells_all:
        from IPython.display import display

        display({"text/plain": result.text(), "text/html": result._repr_html_()}, raw=True)  # type: ignore[no-untyped-call]
        again = f"{PROGRAM} {result.panel} shows what awaits your decision."
        view |= {"text/plain": again, "text/html": f"<p>{again}</p>"}
    return view


def current_folder() -> Path:
    """Where the notebook stands now; a cell may have changed it.

    Raises:
        ProjectError: it was deleted.
    """
    try:
        return Path.cwd()
    except FileNotFoundError as error:
        raise ProjectError("the current folder no longer exists", hint="os.chdir to one that does") from error


def one_line(error: DxForgeError) -> DxForgeError:
    """``error``, shown by IPython without a traceback; the cell still fails, for nbval and papermill too."""
    from dxforge.commands.result import log_tail
    from dxforge.commands.shown import hint_text, output_line, shown

    if os.environ.get("DXFORGE_DEBUG", "0") in ("", "0"):
        where = f"{shown(error.where)}: " if error.where else ""
        lines = [f"{error.kind}: {where}{shown(error.what)}"]
        lines += [f"    {output_line(text)}" for text in log_tail(error)]
        if error.hint:
            # The errors do not know which face shows them.
            lines.append(f"  hint: {hint_text(error.hint).replace('`dxforge ', f'`{PROGRAM} ')}")
        # On the instance, so that `except ConfigError` in a cell still finds the class it names.
        error._render_traceback_ = lambda: lines  # type: ignore[attr-defined]
    return error


def _without_frames(interrupt: KeyboardInterrupt) -> KeyboardInterrupt:
    # The cell stops, and where in us it did so tells nobody anything.
    told = " ".join(map(str, interrupt.args))
    text = f"Interrupted, but {told}." if told else "Interrupted."
    interrupt._render_traceback_ = lambda: [text]  # type: ignore[attr-defined]
    return interrupt


def activate_project(folder: Path) -> None:
    """Make the packages of the project around ``folder`` importable, where there is one.

    Raises:
        DxForgeError: there is one, and it cannot be read.
    """
    root = next((path for path in (folder, *folder.parents) if (path / "dx.toml").is_file()), None)
    if root is not None:
        import dxforge

        dxforge.activate(root)


def load(shell: InteractiveShell) -> None:
    """Register the magic and its completion; again is harmless."""
    from dxforge_nb.completer import add_matcher
    from dxforge_nb.nest import explain_errors

    _leave_config(shell)
    shell.register_magics(DxMagics(shell))
    add_matcher(shell)
    explain_errors(shell)
    try:
        activate_project(current_folder())
    except DxForgeError as error:
        print(f"dxforge: packages are not imported from the project. {error}", file=sys.stderr)  # noqa: T201


def unload(shell: InteractiveShell) -> None:
    """Take everything back."""
    import dxforge
    from dxforge_nb.completer import remove_matcher
    from dxforge_nb.nest import leave_errors

    if kernel := sys.modules.get("dxforge_nb.kernel"):
        kernel.FORGES.close()
    manager = shell.magics_manager
    for kind in ("line", "cell"):
        manager.magics[kind].pop("dx", None)
    manager.registry.pop(DxMagics.__name__, None)
    _leave_config(shell)
    leave_errors(shell)
    remove_matcher(shell)
    dxforge.deactivate()


def _leave_config(shell: InteractiveShell) -> None:
    # `%config` takes the first of a name.
    shell.configurables[:] = [known for known in shell.configurables if type(known).__name__ != DxMagics.__name__]


def _words(line: str) -> tuple[list[str], bool]:
    """A line's words, quoted as in a shell, and whether a final ``;`` asks for silence."""
    line = line.strip()
    silent = line.endswith(";")
    try:
        return shlex.split(line.removesuffix(";")), silent
    except ValueError as error:
        hint = "Close the quotes, or put a backslash before a quote that belongs to a name"
        raise UsageError(f"the line cannot be read: {str(error).lower()}", where=PROGRAM, hint=hint) from error
