"""What can come next on a line: for shells through click's own mechanism, and for ``%dx``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import click
    from click.shell_completion import CompletionItem

    from dxforge.config.model import Config
    from dxforge.traffic.model import Change


def complete(args: Sequence[str], incomplete: str, *, notebook: bool) -> list[str]:
    """The words that may stand where ``incomplete`` does, after ``args``; empty where nothing is known."""
    from click.shell_completion import ShellComplete

    from dxforge.commands.grammar import dxforge

    shell = ShellComplete(dxforge, {"obj": {"notebook": notebook}}, "dxforge", "")
    return [str(item.value) for item in shell.get_completions(list(args), incomplete) if item.type == "plain"]


def command_names(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Commands, for ``help``."""
    from dxforge.commands.grammar import dxforge

    return [name for name in dxforge.list_commands(context) if name.startswith(incomplete)]


def package_names(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Packages in ``dx.toml`` that the line does not name yet."""
    config = _config(context)
    if config is None:
        return []
    typed = context.params.get("names") or ()
    return [spec.name for spec in config.packages if spec.name.startswith(incomplete) and spec.name not in typed]


def tool_names(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Tools in ``dx.toml`` that the line does not name yet."""
    typed = context.params.get("names") or ()
    return [name for name in tool_name(context, _parameter, incomplete) if name not in typed]


def tool_name(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Tools in ``dx.toml``."""
    config = _config(context)
    return [] if config is None else [tool.name for tool in config.tools if tool.name.startswith(incomplete)]


def pending_paths(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """Pending files that the line does not name yet, relative to the current folder where that is how it starts."""
    from click.shell_completion import CompletionItem

    from dxforge.commands.shown import shown

    config = _config(context)
    if config is None:
        return []
    typed = set(context.params.get("paths") or ())
    items = []
    for change in _pending(config.root):
        for path in _spellings(change.path, config.root):
            if shown(path).startswith(incomplete) and not typed & set(_spellings(change.path, config.root)):
                items.append(CompletionItem(shown(path), help=change.light.value))
                break
    return items


def hunk_ids(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """Hunks of the one file that the line names."""
    from click.shell_completion import CompletionItem

    from dxforge.commands.targets import pending_at
    from dxforge.errors import NotPendingError

    config = _config(context)
    # An option without its value, as here, keeps click from sorting the words before it into parameters.
    paths = context.params.get("paths") or context.args
    if config is None or len(paths) != 1:
        return []
    typed = context.params.get("hunks") or ()
    try:
        changes = pending_at(paths, _pending(config.root), root=config.root, cwd=Path.cwd())
    except NotPendingError:
        return []
    return [
        CompletionItem(hunk.id, help=hunk.header)
        for change in changes[:1]
        for hunk in change.hunks
        if hunk.id.startswith(incomplete) and hunk.id not in typed
    ]


def snapshot_ids(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """Snapshots, newest first."""
    from click.shell_completion import CompletionItem

    from dxforge.errors import DxForgeError
    from dxforge.store.snapshots import SnapshotStore

    config = _config(context)
    if config is None:
        return []
    try:
        found = SnapshotStore(config.root).list()
    except (DxForgeError, OSError):
        return []
    return [CompletionItem(item.id, help=item.label) for item in found if item.id.startswith(incomplete)]


def _spellings(path: str, root: Path) -> Iterable[str]:
    from dxforge.commands.targets import from_folder

    near = from_folder(path, root=root, cwd=Path.cwd())
    return (path,) if near is None or near == path else (near, path)


def _config(context: click.Context) -> Config | None:
    """The project's configuration; None where there is no readable one: completion never complains."""
    from dxforge.config.load import find_root, load_config
    from dxforge.errors import DxForgeError

    shared: dict[str, Any] = context.find_root().obj
    try:
        return load_config(shared.get("directory") or find_root(Path.cwd()))
    except (DxForgeError, OSError):
        return None


def _pending(root: Path) -> list[Change]:
    from dxforge.errors import DxForgeError
    from dxforge.traffic.manager import TrafficManager

    try:
        return TrafficManager(root).pending()
    except (DxForgeError, OSError):
        return []
