"""How a line is parsed: click's machinery, with our errors, shared options and sections. Prints and calls nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import click

from dxforge.errors import UsageError

Parsed = tuple[str, dict[str, Any]]
"""What a command's function gives: the action and its arguments."""


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


_ELSEWHERE: dict[tuple[str | None, str], str] = {
    ("", "-C"): "-C stands before the command: `{program} -C FOLDER {name}`",
    ("start", "--all"): "Name the tools; `{program} status` lists them",
    ("restart", "--all"): "Name the tools; `{program} status` lists them",
}
"""What to do instead of an option that others have, by command ("" is any) and option."""
_PLAINER = {"is not a valid integer range": "is no whole number", "is not a valid float range": "is no number"}


def usage_error(error: click.UsageError, program: str) -> UsageError:
    """Click's complaint as ours."""
    where = error.ctx.command_path if error.ctx is not None else program
    name = error.ctx.info_name if error.ctx is not None and error.ctx.parent is not None else None
    message = error.format_message().rstrip(".")
    what, _, better = message.partition(" Did you mean ")
    nested = error.ctx is not None and error.ctx.parent is not None and error.ctx.parent.parent is not None
    ask = f"{where} --help" if nested else f"{program} help{f' {name}' if name else ''}"
    hint = f"Did you mean {better}" if better else f"`{ask}` shows how it is used"
    if isinstance(error, click.NoSuchOption):
        hint = _ELSEWHERE.get((name, error.option_name)) or _ELSEWHERE.get(("", error.option_name)) or hint
        hint = hint.format(program=program, name=name)
    for words, plainer in _PLAINER.items():
        what = what.replace(words, plainer)
    return UsageError(_lower_first(what.rstrip(".")), where=where, hint=hint.rstrip("?"))


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]


class Answer(Exception):  # noqa: N818 - no error
    """An option that is a question of its own (--help, --version) cuts parsing short."""

    def __init__(self, action: str, **arguments: Any) -> None:
        super().__init__(action)
        self.action = action
        self.arguments = arguments


def note(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    # A flag that is given before *or* after the command counts; one that is not given takes nothing back.
    if value and parameter.name:
        context.find_root().obj[parameter.name] = value


def _show_help(context: click.Context, _parameter: click.Parameter, value: object) -> None:
    if value and not context.resilient_parsing:
        raise Answer("help", content=context.get_help())


def show_version(context: click.Context, _parameter: click.Parameter, value: object) -> None:
    if value and not context.resilient_parsing:
        raise Answer("version")


def _shared_options(*, notebook: bool) -> list[click.Parameter]:
    options: list[click.Parameter] = [
        click.Option(
            ["--json", "as_json"], is_flag=True, expose_value=False, callback=note, help="Print one JSON object."
        ),
        click.Option(
            ["-v", "--verbose"],
            is_flag=True,
            expose_value=False,
            callback=note,
            help="Show more: every file, every step.",
        ),
        click.Option(
            ["-q", "--quiet"], is_flag=True, expose_value=False, callback=note, help="Show nothing but errors."
        ),
    ]
    if notebook:
        text = "Store the result in this variable."
        options.append(click.Option(["-o", "store"], metavar="NAME", expose_value=False, callback=note, help=text))
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


class Command(click.Command):
    """A command with the options that all share."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["add_help_option"] = False
        super().__init__(*args, **kwargs)

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        return [*super().get_params(ctx), *_SHARED[ctx.find_root().obj["notebook"]]]


class Group(click.Group):
    """The program: commands by section, the nearest one named when a command is unknown."""

    command_class = Command

    def __init__(
        self, *args: Any, sections: Mapping[str, Sequence[str]], notebook_epilog: str = "", **kwargs: Any
    ) -> None:
        super().__init__(*args, add_help_option=False, **kwargs)
        self.sections = sections
        self.notebook_epilog = notebook_epilog

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        return [*super().get_params(ctx), *_SHARED[ctx.find_root().obj["notebook"]]]

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return [name for names in self.sections.values() for name in names]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in self.commands and not ctx.resilient_parsing:
            unknown_command(args[0], self.list_commands(ctx), ctx.command_path)
        return super().resolve_command(ctx, args)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        epilog = self.notebook_epilog if ctx.find_root().obj["notebook"] else self.epilog
        if epilog:
            formatter.write_paragraph()
            with formatter.indentation():
                formatter.write_text(epilog)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        for section, names in self.sections.items():
            with formatter.section(section):
                formatter.write_dl([(name, self.commands[name].get_short_help_str(68)) for name in names])


def unknown_command(name: str, known: Sequence[str], program: str) -> NoReturn:
    """Raise the ``UsageError`` for a command that does not exist."""
    import difflib

    longer = [word for word in known if name and word.startswith(name)]
    nearest = longer if len(longer) == 1 else difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"Did you mean `{program} {nearest[0]}`" if nearest else f"`{program} help` lists the commands"
    raise UsageError(f"no such command '{name}'", where=program, hint=hint)
