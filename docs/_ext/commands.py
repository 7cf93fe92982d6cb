"""The reference of commands, from the one grammar."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import click

from dxforge.commands.grammar import SECTIONS, dxforge

SHARED = {"json", "verbose", "quiet", "help"}


def markdown() -> str:
    """Every command, by section."""
    program = click.Context(dxforge, info_name="dxforge", obj={"notebook": False})
    lines = ["## Options of every command", "", *_options(dxforge, program), ""]
    for section, names in SECTIONS.items():
        lines += [f"## {section}", ""]
        for name in names:
            lines += _command(name, dxforge.commands[name], program, level=3)
    return "\n".join(lines)


def _command(name: str, command: click.Command, parent: click.Context, *, level: int) -> Iterator[str]:
    with click.Context(command, parent=parent, info_name=name) as context:
        path = context.command_path.removeprefix("dxforge ")
        yield f"({path.replace(' ', '-')}-command)="
        yield f"{'#' * level} {path}"
        yield ""
        yield "```text"
        yield f"{context.command_path} {' '.join(command.collect_usage_pieces(context))}".rstrip()
        yield "```"
        yield ""
        yield from _prose(command.help or "")
        yield from _options(command, context, shared=False)
        yield ""
        if isinstance(command, click.Group):
            for sub, inner in command.commands.items():
                yield from _command(sub, inner, context, level=level + 1)


def _prose(text: str) -> Iterator[str]:
    """Click's help as Markdown: a paragraph after ``\\b`` is laid out by hand."""
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        if paragraph.startswith("\b"):
            yield from ("```text", paragraph.removeprefix("\b\n"), "```", "")
        else:
            yield from (_code(paragraph), "")


def _options(command: click.Command, context: click.Context, *, shared: bool = True) -> Iterator[str]:
    rows = []
    for parameter in command.get_params(context):
        if not isinstance(parameter, click.Option):
            continue
        names = {name.lstrip("-") for name in parameter.opts}
        record = parameter.get_help_record(context)
        if record is None or (not shared and names & SHARED):
            continue
        rows.append((record[0].replace("|", "\\|"), _code(record[1])))
    if rows:
        yield from ("| option | |", "|---|---|")
        yield from (f"| `{option}` | {text} |" for option, text in rows)


def _code(text: str) -> str:
    """Brackets as they are: Markdown would read ``[default: x]`` as the beginning of a link."""
    return text.replace("[", "\\[").replace("]", "\\]").replace("|", "\\|")
