"""What may be typed: the commands, their arguments and options. Parsing calls nothing and prints nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import click

from dxforge.commands import completion
from dxforge.errors import UsageError

SECTIONS = {
    "Project": ("init", "status", "doctor"),
    "Packages": ("add", "remove", "install"),
    "Decisions": ("review", "diff", "accept", "reject", "resolve"),
    "History": ("undo", "log"),
    "Help": ("help",),
}
_PROSE_WIDTH = 88


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Options of every command. ``store`` is the notebook's ``-o``."""

    directory: Path | None = None
    as_json: bool = False
    quiet: bool = False
    verbose: bool = False
    store: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A parsed line: which action, with what. ``action`` "help" and "version" need no project."""

    action: str
    arguments: Mapping[str, Any]
    options: Options


def parse(args: Sequence[str], *, program: str = "dxforge", notebook: bool = False) -> Call:
    """Parse one line, without its program's name.

    Raises:
        UsageError: the line cannot mean anything; says where, and what was probably meant.
    """
    words = list(args)
    shared: dict[str, Any] = {"notebook": notebook}
    try:
        with dxforge.make_context(program, words, obj=shared, terminal_width=80) as context:
            action, arguments = dxforge.invoke(context)
    except _Answer as answer:
        action, arguments = answer.action, answer.arguments
    except click.UsageError as error:
        raise usage_error(error, program) from error
    shared.pop("notebook")
    return Call(action=action, arguments=arguments, options=Options(**shared))


def usage_error(error: click.UsageError, program: str) -> UsageError:
    """Click's complaint as ours."""
    where = error.ctx.command_path if error.ctx is not None else program
    name = error.ctx.info_name if error.ctx is not None and error.ctx.parent is not None else None
    message = error.format_message().rstrip(".")
    what, _, better = message.partition(" Did you mean ")
    hint = f"Did you mean {better}" if better else f"`{program} help{f' {name}' if name else ''}` shows how it is used"
    return UsageError(_lower_first(what.rstrip(".")), where=where, hint=hint.rstrip("?"))


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]


class _Answer(Exception):  # noqa: N818 - no error
    """An option that is a question of its own (--help, --version) cuts parsing short."""

    def __init__(self, action: str, **arguments: Any) -> None:
        super().__init__(action)
        self.action = action
        self.arguments = arguments


def _note(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    # A flag that is given before *or* after the command counts; one that is not given takes nothing back.
    if value and parameter.name:
        context.find_root().obj[parameter.name] = value


def _show_help(context: click.Context, _parameter: click.Parameter, value: object) -> None:
    if value and not context.resilient_parsing:
        raise _Answer("help", content=context.get_help())


def _show_version(context: click.Context, _parameter: click.Parameter, value: object) -> None:
    if value and not context.resilient_parsing:
        raise _Answer("version")


def _shared_options(*, notebook: bool) -> list[click.Parameter]:
    options: list[click.Parameter] = [
        click.Option(
            ["--json", "as_json"], is_flag=True, expose_value=False, callback=_note, help="Print one JSON object."
        ),
        click.Option(["-v", "--verbose"], is_flag=True, expose_value=False, callback=_note, help="Show every file."),
        click.Option(
            ["-q", "--quiet"], is_flag=True, expose_value=False, callback=_note, help="Show nothing but errors."
        ),
    ]
    if notebook:
        text = "Store the result in this variable."
        options.append(click.Option(["-o", "store"], metavar="NAME", expose_value=False, callback=_note, help=text))
    options.append(
        click.Option(
            ["-h", "--help"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_show_help,
            help="Show this text.",
        )
    )
    return options


_SHARED = {notebook: _shared_options(notebook=notebook) for notebook in (False, True)}


class _Command(click.Command):
    """A command with the options that all share."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["add_help_option"] = False
        super().__init__(*args, **kwargs)

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        return [*super().get_params(ctx), *_SHARED[ctx.find_root().obj["notebook"]]]


class _Group(click.Group):
    """The program: commands by section, the nearest one named when a command is unknown."""

    command_class = _Command

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, add_help_option=False, **kwargs)

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        return [*super().get_params(ctx), *_SHARED[ctx.find_root().obj["notebook"]]]

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return [name for names in SECTIONS.values() for name in names]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in self.commands and not ctx.resilient_parsing:
            unknown_command(args[0], self.list_commands(ctx), ctx.command_path)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        for section, names in SECTIONS.items():
            with formatter.section(section):
                formatter.write_dl([(name, self.commands[name].get_short_help_str(68)) for name in names])


def unknown_command(name: str, known: Sequence[str], program: str) -> NoReturn:
    """Raise the ``UsageError`` for a command that does not exist."""
    import difflib

    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    program = program.split(" ", 1)[0]
    hint = f"Did you mean `{program} {nearest[0]}`" if nearest else f"`{program} help` lists the commands"
    raise UsageError(f"no such command '{name}'", where=program, hint=hint)


_EPILOG = """\
Exit status: 0 done, 1 an error, 2 bad usage, 3 done but changes await a decision.

\b
Completion for your shell (bash, zsh, fish):
  eval "$(_DXFORGE_COMPLETE=bash_source dxforge)"
"""


@click.group(
    cls=_Group, invoke_without_command=True, epilog=_EPILOG, context_settings={"max_content_width": _PROSE_WIDTH}
)
@click.option(
    "-C",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    expose_value=False,
    callback=_note,
    help="The project's folder. [default: the nearest one upward with a dx.toml]",
)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Show the version."
)
@click.pass_context
def dxforge(context: click.Context) -> tuple[str, dict[str, Any]]:
    """Own your dependencies' source, and still get updates.

    Packages lie in your project as plain source files. Edit them; the next install merges the new version into your
    edits, and a traffic light says per file whether that is safe.
    """
    if context.invoked_subcommand is None:
        raise _Answer("help", content=context.get_help())
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
def init(**arguments: Any) -> tuple[str, dict[str, Any]]:
    """Start a project: write a dx.toml."""
    return "init", arguments


@dxforge.command()
@click.argument("requirements", metavar="REQUIREMENT...", nargs=-1, required=True)
@click.option("--name", help="The package's name in dx.toml, and of its folder. [default: its own]")
@_offline
@_on_yellow
def add(**arguments: Any) -> tuple[str, dict[str, Any]]:
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
def remove(**arguments: Any) -> tuple[str, dict[str, Any]]:
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
def install(**arguments: Any) -> tuple[str, dict[str, Any]]:
    """Install what dx.toml asks for, merged into your edits.

    All packages, or just NAMEs. Versions are those of dx.lock where it still fits; --upgrade takes the newest.
    """
    return "install", arguments


@dxforge.command()
@_paths
def review(**arguments: Any) -> tuple[str, dict[str, Any]]:
    """List the changes that await your decision.

    All, or those that PATHs (files, folders or globs) name. With -v, show them in full.
    """
    return "review", arguments


@dxforge.command()
@_path
def diff(**arguments: Any) -> tuple[str, dict[str, Any]]:
    """Show your edits, theirs, and the proposal for one file."""
    return "diff", arguments


@dxforge.command()
@_paths
@_every
@_hunks
def accept(**arguments: Any) -> tuple[str, dict[str, Any]]:
    """Take the proposal, or some of its hunks.

    PATHs are files, folders or globs, from the current folder or from the project's.
    """
    return "accept", _decision(arguments)


@dxforge.command()
@_paths
@_every
@_hunks
def reject(**arguments: Any) -> tuple[str, dict[str, Any]]:
    """Keep your own version, or refuse some hunks.

    PATHs are files, folders or globs, from the current folder or from the project's.
    """
    return "reject", _decision(arguments)


@dxforge.command()
@_path
@click.option("--file", "source", required=True, metavar="F", help="The merged content; `-` reads standard input.")
def resolve(**arguments: Any) -> tuple[str, dict[str, Any]]:
    """Settle a change with a content of your own."""
    return "resolve", arguments


@dxforge.command()
@click.argument("operation", required=False, metavar="[ID]")
def undo(**arguments: Any) -> tuple[str, dict[str, Any]]:
    """Take the last operation back, or all down to the one with that ID.

    Files, dx.toml, dx.lock and the pending list are as before. Later edits of yours stay. An undo is an operation too:
    a second `undo` takes the first one back. IDs are those of `log`.
    """
    return "undo", arguments


@dxforge.command()
@click.option("-n", "limit", type=click.IntRange(min=1), metavar="N", help="Only the latest N.")
def log(**arguments: Any) -> tuple[str, dict[str, Any]]:
    """List what was done, newest first."""
    return "log", arguments


@dxforge.command()
def status(**arguments: Any) -> tuple[str, dict[str, Any]]:
    """Show packages, your edits and what is pending."""
    return "status", arguments


@dxforge.command()
def doctor(**arguments: Any) -> tuple[str, dict[str, Any]]:
    """Check the project and its surroundings."""
    return "doctor", arguments


@dxforge.command("help")
@click.argument("command", required=False, shell_complete=completion.command_names)
@click.pass_context
def help_(context: click.Context, command: str | None) -> tuple[str, dict[str, Any]]:
    """Explain the program, or one COMMAND."""
    parent = context.find_root()
    if command is None:
        return "help", {"content": parent.get_help()}
    found = dxforge.get_command(parent, command)
    if found is None:
        unknown_command(command, dxforge.list_commands(parent), parent.command_path)
    with click.Context(found, parent=parent, info_name=command) as inner:
        return "help", {"content": found.get_help(inner)}


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
