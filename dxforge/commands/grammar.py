"""What may be typed: the commands, their arguments and options. Parsing calls nothing and prints nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from dxforge.commands import completion, grammar_tools, grammar_work
from dxforge.commands.parsing import (
    Answer,
    Call,
    Group,
    Options,
    Parsed,
    note,
    show_version,
    unknown_command,
    usage_error,
)
from dxforge.errors import UsageError

SECTIONS = {
    "Project": ("init", "status", "doctor"),
    "Packages": ("add", "remove", "install"),
    "Decisions": ("review", "diff", "accept", "reject", "resolve"),
    "History": ("undo", "log", "snapshot", "snapshots", "rollback"),
    "Tools": ("start", "stop", "restart", "run", "logs"),
    "Build": ("build", "watch"),
    "Background": ("sync", "prefetch", "analyze", "tasks"),
    "Help": ("help",),
}
_PROSE_WIDTH = 88


def parse(args: Sequence[str], *, program: str = "dxforge", notebook: bool = False) -> Call:
    """Parse one line, without its program's name.

    Raises:
        UsageError: the line cannot mean anything; says where, and what was probably meant.
    """
    words = list(args)
    if any("\0" in word for word in words):
        raise UsageError(
            "a word holds a NUL character", where=program, hint="Nothing can be named with one: leave it out"
        )
    shared: dict[str, Any] = {"notebook": notebook}
    try:
        with dxforge.make_context(program, words, obj=shared, terminal_width=80) as context:
            action, arguments = dxforge.invoke(context)
    except Answer as answer:
        action, arguments = answer.action, answer.arguments
    except click.UsageError as error:
        raise usage_error(error, program) from error
    shared.pop("notebook")
    return Call(action=action, arguments=arguments, options=Options(**shared))


_EPILOG = """\
Exit status: 0 done, 1 an error, 2 bad usage, 3 changes await a decision, 130 interrupted.

\b
Completion for your shell (bash, zsh, fish):
  eval "$(_DXFORGE_COMPLETE=bash_source dxforge)"
"""

_NOTEBOOK_EPILOG = """\
Several commands in one cell, one a line, stopping at the first error:

\b
  %%dx
  install --upgrade
  review

With -q, or a semicolon at the end, nothing is shown. With -o NAME the result is in the variable NAME; it is also the
magic's value, as in `r = %dx status`. What is between braces or after a dollar sign is replaced by its Python value.

A command that fails raises, so the notebook stops there; changes that await a decision are no failure.
"""


@click.group(
    cls=Group,
    sections=SECTIONS,
    invoke_without_command=True,
    epilog=_EPILOG,
    notebook_epilog=_NOTEBOOK_EPILOG,
    context_settings={"max_content_width": _PROSE_WIDTH},
)
@click.option(
    "-C",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    expose_value=False,
    callback=note,
    help="The project's folder. [default: the nearest one upward with a dx.toml]",
)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=show_version, help="Show the version."
)
@click.pass_context
def dxforge(context: click.Context) -> Parsed:
    """Own your dependencies' source, and still get updates.

    Packages lie in your project as plain source files. Edit them; the next install merges the new version into your
    edits, and a traffic light says per file whether that is safe.
    """
    if context.invoked_subcommand is None:
        raise Answer("help", content=context.get_help())
    return "", {}


_path = click.argument("path", shell_complete=completion.pending_paths)
_paths = click.argument("paths", metavar="[PATH]...", nargs=-1, shell_complete=completion.pending_paths)
_every = click.option("--all", "every", is_flag=True, help="Decide on everything that is pending, Red included.")
_hunks = click.option(
    "--hunk",
    "hunks",
    metavar="N",
    multiple=True,
    shell_complete=completion.hunk_ids,
    help="Only this hunk of the one PATH; may be repeated, or `1,3`.",
)
_offline = click.option("--offline", is_flag=True, help="Use only what is in the cache.")
_on_yellow = click.option(
    "--on-yellow",
    type=click.Choice(["ask", "keep", "accept", "fail"]),
    help="What to do with Yellow. [default: dx.toml's, or ask]",
)


@dxforge.command()
@click.argument("folder", default=".", type=click.Path(path_type=Path, file_okay=False))
@click.option("--name", help="The project's name. [default: the folder's]")
def init(**arguments: Any) -> Parsed:
    """Start a project: write a dx.toml."""
    return "init", arguments


@dxforge.command()
@click.argument("requirements", metavar="REQUIREMENT...", nargs=-1, required=True)
@click.option("--name", help="The package's name in dx.toml, and of its folder. [default: its own]")
@_offline
@_on_yellow
def add(**arguments: Any) -> Parsed:
    """Add packages to dx.toml and install them.

    \b
    A REQUIREMENT is
      humanize  'humanize>=4.9,<5'       a package of the Python index
      npm:lodash-es  npm:lodash-es@^4    a package of the npm registry
      ../theme  ./theme-1.0.tar.gz       a folder or archive
      git+https://host/w.git@v1.2        a git repository (#subdirectory=src)
      https://host/x.tar.gz#sha256=...   an archive at an address
    """
    if arguments["name"] and len(arguments["requirements"]) != 1:
        raise click.UsageError("--name goes with exactly one REQUIREMENT", click.get_current_context())
    return "add", arguments


@dxforge.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True, shell_complete=completion.package_names)
@_on_yellow
def remove(**arguments: Any) -> Parsed:
    """Remove packages from dx.toml and the project.

    Files that you edited stay, for you to decide on.
    """
    return "remove", arguments


@dxforge.command()
@click.argument("names", metavar="[NAME]...", nargs=-1, shell_complete=completion.package_names)
@click.option("--dry-run", is_flag=True, help="Print the plan and write nothing.")
@click.option("-U", "--upgrade", is_flag=True, help="Take the newest versions that dx.toml allows.")
@click.option("--locked", is_flag=True, help="Fail where dx.lock would change.")
@_offline
@_on_yellow
@click.option("--strict", is_flag=True, help="Changes that await a decision are an error.")
def install(**arguments: Any) -> Parsed:
    """Install what dx.toml asks for, merged into your edits.

    All packages, or just NAMEs. Versions are those of dx.lock where it still fits; --upgrade takes the newest.
    """
    return "install", arguments


@dxforge.command()
@_paths
def review(**arguments: Any) -> Parsed:
    """List the changes that await your decision.

    All, or those that PATHs (files, folders or globs) name. With -v, show them in full.
    """
    return "review", arguments


@dxforge.command()
@_path
def diff(**arguments: Any) -> Parsed:
    """Show your edits, theirs, and the proposal for one file."""
    return "diff", arguments


@dxforge.command()
@_paths
@_every
@_hunks
def accept(**arguments: Any) -> Parsed:
    """Take the proposal, or some of its hunks.

    PATHs are files, folders or globs, from the current folder or from the project's.
    """
    return "accept", _decision(arguments)


@dxforge.command()
@_paths
@_every
@_hunks
def reject(**arguments: Any) -> Parsed:
    """Keep your own version, or refuse some hunks.

    PATHs are files, folders or globs, from the current folder or from the project's.
    """
    return "reject", _decision(arguments)


@dxforge.command()
@_path
@click.option("--file", "source", required=True, metavar="F", help="The merged content; `-` reads standard input.")
def resolve(**arguments: Any) -> Parsed:
    """Settle a change with a content of your own."""
    return "resolve", arguments


@dxforge.command()
@click.argument("operation", required=False, metavar="[ID]")
def undo(**arguments: Any) -> Parsed:
    """Take the last operation back, or all down to the one with that ID.

    Files, dx.toml, dx.lock and the pending list are as before. Later edits of yours stay. An undo is an operation too:
    a second `undo` takes the first one back, so what was undone is there again. `undo ID` goes further back: it takes
    back the operation with that ID in `log`, and everything after it.
    """
    return "undo", arguments


@dxforge.command()
@click.option("-n", "limit", type=click.IntRange(min=1), metavar="N", help="Only the latest N.")
def log(**arguments: Any) -> Parsed:
    """List what was done, newest first."""
    return "log", arguments


@dxforge.command()
def status(**arguments: Any) -> Parsed:
    """Show packages, your edits, what is pending, tools and tasks."""
    return "status", arguments


@dxforge.command()
def doctor(**arguments: Any) -> Parsed:
    """Check the project and its surroundings."""
    return "doctor", arguments


@dxforge.command("help")
@click.argument("command", required=False, shell_complete=completion.command_names)
@click.pass_context
def help_(context: click.Context, command: str | None) -> Parsed:
    """Explain the program, or one COMMAND."""
    parent = context.find_root()
    if command is None:
        return "help", {"content": parent.get_help()}
    found = dxforge.get_command(parent, command)
    if found is None:
        unknown_command(command, dxforge.list_commands(parent), parent.command_path)
    with click.Context(found, parent=parent, info_name=command) as inner:
        return "help", {"content": found.get_help(inner)}


for _command in (*grammar_tools.COMMANDS, *grammar_work.COMMANDS):
    dxforge.add_command(_command)


def _decision(arguments: dict[str, Any]) -> dict[str, Any]:
    """Accept's and reject's arguments, checked for sense; ``hunks`` None where the whole file is meant."""
    context = click.get_current_context()
    verb = context.info_name
    paths, every = arguments["paths"], arguments["every"]
    ids = [part for value in arguments["hunks"] for part in value.split(",") if part]
    if every and paths:
        raise click.UsageError("give PATHs or --all, not both", context)
    if not every and not paths:
        raise click.UsageError(f"{verb} what? Give PATHs, or --all", context)
    if arguments["hunks"] and (every or len(paths) != 1):
        raise click.UsageError("--hunk goes with exactly one PATH", context)
    if arguments["hunks"] and not (ids and all(part.isdecimal() for part in ids)):
        raise click.UsageError("--hunk takes the numbers of hunks, as `diff` shows them: 2, or 1,3", context)
    return {"paths": paths, "every": every, "hunks": tuple(ids) or None}
