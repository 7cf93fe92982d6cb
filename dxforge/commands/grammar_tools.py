"""What may be typed about tools and builds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from dxforge.commands import completion
from dxforge.commands.parsing import Command, Parsed

GRAPH_SUFFIXES = (".svg", ".mmd")

_names = click.argument("names", metavar="TOOL...", nargs=-1, required=True, shell_complete=completion.tool_names)
_name = click.argument("name", metavar="TOOL", shell_complete=completion.tool_name)


@click.command(cls=Command)
@_names
def start(**arguments: Any) -> Parsed:
    """Start tools and wait until they are ready.

    What they depend on is started first. A tool that runs already is left alone. Started from a terminal, tools go on
    until they are stopped; started from a notebook, they end with its kernel.
    """
    return "start", arguments


@click.command(cls=Command)
@click.argument("names", metavar="[TOOL]...", nargs=-1, shell_complete=completion.tool_names)
@click.option("--all", "every", is_flag=True, help="Stop every tool of the project.")
def stop(**arguments: Any) -> Parsed:
    """Stop tools, whoever started them.

    Done when no process of theirs is left: first the tool's own signal, after its grace time the kill.
    """
    context = click.get_current_context()
    if arguments["every"] and arguments["names"]:
        raise click.UsageError("give TOOLs or --all, not both", context)
    if not arguments["every"] and not arguments["names"]:
        raise click.UsageError("stop what? Give TOOLs, or --all", context)
    return "stop", arguments


@click.command(cls=Command)
@_names
def restart(**arguments: Any) -> Parsed:
    """Stop tools and start them again."""
    return "restart", arguments


# Options stop at TOOL: what follows is the tool's, options included.
@click.command(cls=Command, context_settings={"allow_interspersed_args": False})
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=0, min_open=True),
    metavar="S",
    help="Kill it after so many seconds.",
)
@_name
@click.argument("args", metavar="[ARGS]...", nargs=-1, type=click.UNPROCESSED)
def run(**arguments: Any) -> Parsed:
    """Run a tool's program to its end, with ARGS.

    In the project's folder, with the environment that dx.toml declares; what the tool depends on is started first.
    Everything after TOOL goes to the program as it is, so options of this command stand before TOOL. Its output is
    shown as it comes, and kept as bytes in .dx/tools.
    """
    return "run", arguments


@click.command(cls=Command)
@_name
@click.option(
    "-n",
    "--tail",
    "lines",
    type=click.IntRange(min=0),
    default=100,
    metavar="N",
    show_default=True,
    help="The last N lines.",
)
@click.option("-f", "--follow", is_flag=True, help="Go on showing new lines, until interrupted.")
def logs(**arguments: Any) -> Parsed:
    """Show what a tool wrote, also after it ended."""
    return "logs", arguments


@click.command(cls=Command)
@click.argument("names", metavar="[TOOL]...", nargs=-1, shell_complete=completion.tool_names)
def watch(**arguments: Any) -> Parsed:
    """Build again, and restart tools, when files change.

    Goes on until it is interrupted. Tools are restarted for the files that their `watch` names, build steps run again
    for those that they read. With TOOLs, only those tools and their steps.
    """
    return "watch", arguments


@click.command(cls=Command)
@click.option("--dry-run", is_flag=True, help="Say what would run, and run nothing.")
@click.option("--explain", is_flag=True, help="Say of every step exactly what is different from its last run.")
@click.option("--force", is_flag=True, help="Run every step, cached or not.")
@click.option("--allow-pending", is_flag=True, help="Build although files that are read await a decision.")
@click.option("--strict", is_flag=True, help="Files that await a decision are an error.")
@click.option(
    "-j", "--jobs", type=click.IntRange(min=1), metavar="N", help="Steps at a time. [default: one for each processor]"
)
@click.option(
    "--graph",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the graph of the steps as FILE.svg or FILE.mmd (Mermaid).",
)
def build(**arguments: Any) -> Parsed:
    """Run the build's steps whose inputs have changed.

    The tools that [build] needs are started first. A step whose inputs, tool and environment are as in an earlier run
    is not run: its outputs are checked, and brought back where they are missing. Without [build] in dx.toml, dx-style
    and dx-js-runtime are started, and `dx-js-bundler build` is the one step.
    """
    graph: Path | None = arguments["graph"]
    if graph is not None and graph.suffix not in GRAPH_SUFFIXES:
        where = click.get_current_context()
        raise click.UsageError(f"--graph writes {' or '.join(GRAPH_SUFFIXES)}, not '{graph.name}'", where)
    return "build", arguments


COMMANDS = (start, stop, restart, run, logs, build, watch)
