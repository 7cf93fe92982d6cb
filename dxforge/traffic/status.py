"""How things stand without a decision: a package's edits, one file's own edit, the light for one file."""

from __future__ import annotations

import os
from pathlib import Path

from dxforge.files import read_entry
from dxforge.store.tree import FILE, SYMLINK, Entry, blob_oid
from dxforge.traffic import light as table
from dxforge.traffic.hunks import unified_diff
from dxforge.traffic.judge import Case, Readers, judge
from dxforge.traffic.local import local_entries
from dxforge.traffic.model import Action, Change, FileDiff, PackageStatus, TrafficLight
from dxforge.traffic.workspace import Workspace


def _owner(workspace: Workspace, path: str) -> tuple[str, str] | None:
    """The package that ``path`` (from the root) belongs to, and the path within it."""
    prefix = f"{workspace.config.packages_dir}/"
    name, _, inside = path.removeprefix(prefix).partition("/")
    if not path.startswith(prefix) or not inside or name not in workspace.lock.packages:
        return None
    return name, inside


def edit_diff(workspace: Workspace, path: str) -> FileDiff | None:
    """The user's own edit of an installed file that is not pending; None where ``path`` is no such file."""
    owner = _owner(workspace, path)
    if owner is None:
        return None
    name, inside = owner
    look = workspace.look(name)
    base = workspace.base_tree(look).get(inside)
    if base is None:
        return None
    content = dict(workspace.lazy(name, workspace.lock.packages[name].pin).read({inside}))[inside]
    found = read_entry(look.folder / inside)
    same = found is not None and found[0] == base
    reason = table.SAME if same else table.YOUR_EDIT if found is not None else table.YOUR_DELETION
    change = Change(path=path, light=TrafficLight.GREEN, reason=reason, action=Action.KEEP, package=name)
    return FileDiff(
        change=change, mine=unified_diff(content, found[1] if found else None, path), theirs="", proposal=""
    )


def status_of(workspace: Workspace, name: str, *, pending: int) -> PackageStatus:
    """How a package stands: edits, and so many open decisions."""
    locked = workspace.lock.packages[name]
    look = workspace.look(name)
    edited = 0
    tree = {} if locked.leaving or workspace.untouched(name) else workspace.base_tree(look)
    local = local_entries(look.folder, look.found, look.index, set(tree))
    if tree:
        decided_on = {item.path: item.base for item in locked.pending}
        edited = sum(local.get(path) != decided_on.get(path, entry) for path, entry in tree.items())
    return PackageStatus(
        name=name,
        version=locked.pin.version,
        source=locked.pin.kind,
        edited=edited,
        pending=pending,
        leaving=locked.leaving,
    )


def light_for(workspace: Workspace | None, root: Path, path: str, content: bytes) -> TrafficLight:
    """The light for one file; see ``TrafficManager.analyze_traffic_safety``."""
    target = root / path
    found = read_entry(target)
    if found is None:
        return TrafficLight.RED if os.path.lexists(target) else TrafficLight.GREEN
    local = found[0]
    incoming = Entry(FILE if local.mode == SYMLINK else local.mode, blob_oid(content), len(content))
    owner = _owner(workspace, path) if workspace is not None else None
    base: Entry | None = None
    readers = Readers(base=lambda _: {}, local=lambda _: {path: found[1]}, incoming=lambda _: {path: content})
    if workspace is not None and owner is not None:
        name, inside = owner
        look = workspace.look(name)
        locked = workspace.lock.packages[name]
        base = {item.path: item.base for item in locked.pending}.get(inside, workspace.base_tree(look).get(inside))
        stored = workspace.readers(look, {}, None).base([inside]) if base is not None else {}
        readers = Readers(
            base=lambda _: {path: stored[inside]} if inside in stored else {},
            local=readers.local,
            incoming=readers.incoming,
        )
    review = workspace.config.traffic.review if workspace is not None else "modified"
    case = Case(path=path, base=base, local=local, incoming=incoming)
    return judge([case], readers, review=review)[0].light
