"""The terminal face: standard output and error, exit statuses, Ctrl-C, closed pipes, shell completion."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

from dxforge.errors import DxForgeError, ProjectError, UsageError

if TYPE_CHECKING:
    from dxforge.commands.parsing import Call
    from dxforge.commands.result import Result
    from dxforge.commands.view import Block

PROGRAM = "dxforge"
_INSTANT = frozenset({"help", "version"})
"""Actions that are over before anything could be shown."""
_COMPLETE = "_DXFORGE_COMPLETE"
_NOTHING: dict[str, dict[str, Any]] = {"build": {"steps": []}}
"""What JSON holds beside the error, by action: keys that are promised always."""


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run one command line (``sys.argv`` by default) and exit with the contract's status."""
    if _COMPLETE in os.environ:
        sys.exit(_complete())
    _fill_closed_streams()
    words = list(sys.argv[1:] if args is None else args)
    status = run(words)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _drop_stdout()
    sys.exit(status)


def run(args: Sequence[str]) -> int:
    """Run one command line on the real streams; returns the exit status."""
    # A line that cannot be parsed is answered in JSON where it asks for that; after `run TOOL` the tool is asked.
    as_json = "--json" in (args[: args.index("--")] if "--" in args else args)
    action = ""
    try:
        from dxforge.commands.grammar import parse

        call = parse(args)
        action = call.action
        as_json = call.options.as_json
        result = _execute(call)
        if (not call.options.quiet or as_json) and (unwritable := _show(result, as_json=as_json)):
            return _mute(unwritable)
        if (failure := result.failure()) and not as_json:
            _complain(failure)
        return result.exit_code
    except UsageError as error:
        return _fail(error, 2, action, as_json=as_json)
    except DxForgeError as error:
        return _fail(error, 1, action, as_json=as_json)
    except KeyboardInterrupt:
        return _interrupted(action, as_json=as_json)
    except BrokenPipeError:
        # The reader has gone (`| head`): what was asked for is done, there is just no one to tell.
        _drop_stdout()
        return 0
    except Exception as error:  # noqa: BLE001 - the last resort, so that no user meets a traceback
        return _unexpected(error, action, as_json=as_json)


def _execute(call: Call) -> Result:
    from dxforge.commands.actions import execute
    from dxforge.commands.session import Session

    try:
        cwd = Path.cwd()
    except FileNotFoundError as error:
        raise ProjectError("the current folder no longer exists", hint="Change to one that does") from error
    if call.action in _INSTANT:
        return execute(call, Session(cwd=cwd, program=PROGRAM))
    from dxforge.commands.progress import Reporter

    options = call.options
    reporter = Reporter(
        sys.stderr,
        # Not where colours are merely forced: a log has no place to draw on.
        bars=sys.stderr.isatty() and not options.quiet,
        output=None if options.as_json or options.quiet else sys.stdout,
        verbose=options.verbose and not options.as_json,
        quiet=options.quiet,
    )
    asking = sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty() and not options.as_json
    session = Session(cwd=cwd, program=PROGRAM, live=reporter, read_stdin=_read_stdin, ask=_ask if asking else None)
    unsubscribe = session.forges.events.subscribe(reporter)
    try:
        return execute(call, session)
    finally:
        unsubscribe()
        reporter.close()


def _ask(prompt: str) -> str:
    from getpass import getpass

    return getpass(prompt, sys.stderr)


def _read_stdin() -> bytes:
    if sys.stdin is None:
        raise UsageError("standard input is closed", where="--file -", hint="Write the content to a file and name it")
    return sys.stdin.buffer.read()


def _fill_closed_streams() -> None:
    """Python has None for a stream that the caller closed (``>&-``): then there is no one to tell."""
    if sys.stdout is None:
        _drop_stdout()
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115


def _show(result: Result, *, as_json: bool) -> OSError | None:
    """Write the result; the error where standard output cannot be written (a full disk)."""
    try:
        if as_json:
            import json

            _write(sys.stdout, json.dumps(result.to_json()))
        elif not result.shown_live:
            _draw([*result.view(), *result.notice_blocks()], sys.stdout)
    except BrokenPipeError:
        raise
    except OSError as error:
        return error
    return None


def _mute(error: OSError) -> int:
    """Nothing more can be written to standard output; returns the exit status."""
    _drop_stdout()
    reason = (error.strerror or str(error)).lower()
    _to_stderr("error", f"standard output cannot be written: {reason}", "What was asked for is done, but not shown")
    return 1


def _interactive(stream: TextIO) -> bool:
    return stream.isatty() or bool(os.environ.get("FORCE_COLOR"))


def _write(stream: TextIO, text: str) -> None:
    """Write a line, in the stream's encoding or the nearest to it."""
    from dxforge.commands.terminal import encodable

    stream.write(encodable(text, stream) + "\n")
    stream.flush()


def _fail(error: DxForgeError, status: int, action: str, *, as_json: bool) -> int:
    if as_json:
        from dxforge.commands.result import error_json

        _answer_error(error_json(error), action)
    else:
        _complain(error)
    if _debugging():
        raise error
    return status


def _complain(error: DxForgeError) -> None:
    from dxforge.commands.result import log_tail
    from dxforge.commands.shown import hint_text, shown

    where = f"{shown(error.where)}: " if error.where else ""
    _to_stderr("error", f"{where}{shown(error.what)}", hint_text(error.hint), log_tail(error))


def _interrupted(action: str, *, as_json: bool) -> int:
    from dxforge.commands.grammar import SECTIONS

    what = "interrupted"
    hint = f"`{PROGRAM} log` shows what was done; everything else is as it was"
    if action in {*SECTIONS["Tools"], *SECTIONS["Build"]}:
        hint = f"what this command had started is stopped; `{PROGRAM} status` shows what runs"
    if as_json:
        _answer_error({"kind": "KeyboardInterrupt", "what": what, "where": "", "hint": hint}, action)
    else:
        _to_stderr(what, hint, "")
    return 130


def _unexpected(error: Exception, action: str, *, as_json: bool) -> int:
    """A bug of ours: one line and how to report it, the traceback on request."""
    what = f"{type(error).__name__}: {error}"
    hint = "This is a bug in dxforge: run it again with DXFORGE_DEBUG=1 and report the whole output"
    if as_json:
        _answer_error({"kind": type(error).__name__, "what": what, "where": "", "hint": hint}, action)
    else:
        from dxforge.commands.shown import shown

        _to_stderr("unexpected error", shown(what), hint)
    if _debugging():
        raise error
    return 1


def _answer_error(fields: dict[str, Any], action: str) -> None:
    import json

    try:
        _write(sys.stdout, json.dumps({"ok": False, **_NOTHING.get(action, {}), "error": fields}))
    except BrokenPipeError:
        _drop_stdout()
    except OSError as error:
        _drop_stdout()
        _to_stderr("error", f"{fields['what']} (nor can standard output be written: {error})", fields["hint"])


def _to_stderr(label: str, text: str, hint: str, output: Sequence[str] = ()) -> None:
    if _interactive(sys.stderr) or output:
        from dxforge.commands.view import Output, Span, Text, line

        blocks: list[Block] = [Text(line(Span(f"{label}: ", "red"), text))]
        if output:
            blocks += [Text(line("its last output:"), indent=1), Output(tuple(output), indent=2)]
        if hint:
            blocks.append(Text(line(Span("hint: ", "strong"), hint), indent=1))
        _draw(blocks, sys.stderr)
    else:
        _write(sys.stderr, f"{label}: {text}" + (f"\n  hint: {hint}" if hint else ""))


def _draw(blocks: list[Block], stream: TextIO) -> None:
    if _interactive(stream):
        from dxforge.commands.terminal import console_for, print_view

        print_view(blocks, console_for(stream))
        stream.flush()
    else:
        from dxforge.commands.layout import plain

        _write(stream, plain(blocks))


def _debugging() -> bool:
    return os.environ.get("DXFORGE_DEBUG", "0") not in ("", "0")


def _drop_stdout() -> None:
    """Point standard output at nothing, so that the interpreter's own flush at exit cannot fail."""
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115


def _complete() -> int:
    from click.shell_completion import shell_complete

    from dxforge.commands.grammar import dxforge

    return shell_complete(dxforge, {"obj": {"notebook": False}}, PROGRAM, _COMPLETE, os.environ[_COMPLETE])
