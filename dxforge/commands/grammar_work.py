"""What may be typed about snapshots, the remote and background tasks."""

from __future__ import annotations

from typing import Any

import click

from dxforge.commands import completion
from dxforge.commands.parsing import Command, Group, Parsed

_id = click.argument("identity", metavar="ID", shell_complete=completion.snapshot_ids)


@click.command(cls=Command)
@click.argument("label", default="")
def snapshot(**arguments: Any) -> Parsed:
    """Take a snapshot of the project now, with a LABEL of your own.

    Everything that .gitignore does not ignore is in it, whether git knows it or not. Where nothing has changed since
    the newest, none is taken. Your own git repository is left alone. After each install one is taken by itself.
    """
    return "snapshot", arguments


@click.group(cls=Group, sections={"Commands": ("diff",)}, invoke_without_command=True)
@click.option("-n", "limit", type=click.IntRange(min=1), metavar="N", help="Only the latest N.")
def snapshots(**arguments: Any) -> Parsed:
    """List the snapshots, newest first; or compare them."""
    return "snapshots", arguments


@snapshots.command("diff")
@click.argument("old", metavar="ID", shell_complete=completion.snapshot_ids)
@click.argument("new", metavar="[ID]", required=False, shell_complete=completion.snapshot_ids)
@click.option("--path", "paths", metavar="PATH", multiple=True, help="Only this file or folder; may be repeated.")
def snapshots_diff(**arguments: Any) -> Parsed:
    """Show what changed since a snapshot, or between two of them.

    An ID is as much of its beginning as tells it from the others, or `latest`. With -v, the changes line by line.
    """
    return "snapshots_diff", arguments


@click.command(cls=Command)
@_id
@click.argument("paths", metavar="[PATH]...", nargs=-1)
@click.option("--dry-run", is_flag=True, help="Print what would be done, and do nothing.")
def rollback(**arguments: Any) -> Parsed:
    """Make the project, or some PATHs, what it was in a snapshot.

    Contents, modes and deletions come back. A snapshot of what is there now is taken first, and `undo` takes the
    rollback back. What is ignored, or was left out of the snapshot, is not touched.
    """
    return "rollback", arguments


@click.command(cls=Command)
@click.option("--dry-run", is_flag=True, help="Say what would be sent, and what that costs at R2; send nothing.")
@click.option("--pull", is_flag=True, help="Fetch snapshots and build results instead, as on a new machine.")
@click.option("--verify", is_flag=True, help="Read everything there and check it; what is damaged is healed later.")
def sync(**arguments: Any) -> Parsed:
    """Upload snapshots, build results and products to [remote].

    Only what is not there yet is sent. After each successful build this happens by itself, in the background.
    """
    if sum(arguments.values()) > 1:
        raise click.UsageError("--dry-run, --pull and --verify exclude each other", click.get_current_context())
    return "sync", arguments


@click.command(cls=Command)
@click.argument("name", metavar="NAME", shell_complete=completion.package_names)
def prefetch(**arguments: Any) -> Parsed:
    """Fetch the newest version of a package into the cache.

    The next `install NAME --upgrade` then needs no network. The project is not touched.
    """
    return "prefetch", arguments


@click.command(cls=Command)
def analyze(**arguments: Any) -> Parsed:
    """Look through the project's Python files and notebooks.

    What is imported and where, which packages are injected but unused or used but not declared, how large your edits
    are, and what they use that the newest version no longer has. Newer versions are fetched in the background.
    """
    return "analyze", arguments


@click.group(cls=Group, sections={"Commands": ("run", "retry", "cancel")}, invoke_without_command=True)
def tasks() -> Parsed:
    """List background tasks: what waits, runs, failed, is done."""
    return "tasks", {}


@tasks.command("run")
def tasks_run() -> Parsed:
    """Do now what waits, until nothing is left that can be done.

    Commands in a terminal start this by themselves, in the background; a notebook's kernel does its tasks itself.
    """
    return "tasks_run", {}


@tasks.command("retry")
@click.argument("number", metavar="ID", type=click.IntRange(min=1))
def tasks_retry(**arguments: Any) -> Parsed:
    """Do a task that failed or was cancelled once more."""
    return "tasks_retry", arguments


@tasks.command("cancel")
@click.argument("number", metavar="ID", type=click.IntRange(min=1))
def tasks_cancel(**arguments: Any) -> Parsed:
    """Cancel a task that waits or runs."""
    return "tasks_cancel", arguments


COMMANDS = (snapshot, snapshots, rollback, sync, prefetch, analyze, tasks)
