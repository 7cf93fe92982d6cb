"""What ``doctor`` says about snapshots, background tasks and the remote. Asks nothing of the network."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from dxforge.commands.check import Check
from dxforge.commands.result import plural, shorter_time
from dxforge.errors import DxForgeError

if TYPE_CHECKING:
    from dxforge.config.model import Config
    from dxforge.forge import DxForge
    from dxforge.remote.location import Location

_MANY_WAIT = 100


def work_checks(config: Config, forge: DxForge) -> Iterator[Check]:
    """The findings."""
    yield _snapshots(config)
    yield _tasks(forge)
    yield _remote(config)


def _snapshots(config: Config) -> Check:
    from dxforge.events import Event, EventBus, Notice
    from dxforge.store.snapshots import SnapshotStore

    damage: list[str] = []

    def hear(event: Event) -> None:
        if isinstance(event, Notice):
            damage.append(event.text)

    events = EventBus()
    events.subscribe(hear)
    try:
        found = SnapshotStore(config.root, events=events, limits=config.snapshots).list()
    except DxForgeError as error:
        hint = "Run `dxforge snapshot`, which mends the store with what the project still has"
        return Check(name="snapshots", state="problem", detail=f"cannot be read: {error.what}", hint=hint)
    if damage:
        hint = "Run `dxforge snapshot`, which mends the store with what the project still has"
        return Check(name="snapshots", state="problem", detail="; ".join(damage), hint=hint)
    detail = f"{plural(len(found), 'snapshot')}, the newest of {shorter_time(found[0].time)}" if found else "none yet"
    return Check(name="snapshots", state="ok", detail=detail)


def _tasks(forge: DxForge) -> Check:
    from dxforge.background.tasks import TaskState
    from dxforge.events import Notice
    from dxforge.pipelines import background_is_on

    trouble: list[str] = []
    unsubscribe = forge.events.subscribe(
        lambda event: trouble.append(event.text) if isinstance(event, Notice) else None
    )
    tasks = forge.background_worker.tasks(recent=0)
    unsubscribe()
    if trouble:
        hint = "Run any command that leaves a task, such as `dxforge install`: it puts a damaged file aside"
        return Check(name="tasks", state="problem", detail="; ".join(trouble), hint=hint)
    failed = [info for info in tasks if info.state is TaskState.FAILED]
    waiting = sum(info.state is TaskState.WAITING for info in tasks)
    if failed:
        last = max(failed, key=lambda info: info.id or 0)
        detail = f"{plural(len(failed), 'task')} failed; last {last.kind} {last.argument}".rstrip() + f": {last.reason}"
        return Check(name="tasks", state="warning", detail=detail, hint=f"`dxforge tasks retry {last.id}` tries again")
    if waiting > _MANY_WAIT:
        hint = "`dxforge tasks run` does them now, and shows what it does"
        return Check(name="tasks", state="warning", detail=f"{waiting} tasks are waiting", hint=hint)
    off = "" if background_is_on() else "; none are added (DXFORGE_BACKGROUND=0)"
    return Check(name="tasks", state="ok", detail=f"{waiting} waiting, none failed{off}")


def _remote(config: Config) -> Check:
    from dxforge.config.load import load_remote_environment
    from dxforge.remote.credentials import find_credentials
    from dxforge.syncing import location_of

    try:
        environment = load_remote_environment()
        location = location_of(config, environment)
        credentials = find_credentials(location, environment)
    except DxForgeError as error:
        where = f"{error.where}: " if error.where else ""
        return Check(name="remote", state="problem", detail=f"{where}{error.what}", hint=error.hint)
    read = config.remote.read if environment.read is None else environment.read
    write = config.remote.write if environment.write is None else environment.write
    may = " and ".join([*(["read"] if read else []), *(["written"] if write else [])]) or "neither read nor written"
    if credentials is None:
        if trouble := _folder_trouble(location):
            # Not a problem: whatever belongs there may be mounted tomorrow, and until then everything else works.
            hint = "Make it, mount what belongs there, or correct url in dx.toml's [remote]"
            return Check(name="remote", state="warning", detail=f"{location.shown}: {trouble}", hint=hint)
        return Check(name="remote", state="ok", detail=f"the folder {location.shown}, {may}")
    from importlib.util import find_spec

    if find_spec("obstore") is None:
        hint = "Run `pip install 'dxforge[remote]'`"
        return Check(name="remote", state="problem", detail=f"{location.shown} needs obstore", hint=hint)
    return Check(
        name="remote",
        state="ok",
        detail=f"{location.shown}, {may}, as {credentials.source} says; `dxforge sync --dry-run` asks it",
    )


def _folder_trouble(location: Location) -> str:
    """Why a folder cannot be a remote; "" where nothing speaks against it."""
    folder = location.folder
    if folder is None:
        return ""
    if folder.exists():
        return "" if folder.is_dir() else "it is no folder"
    return "" if location.relative or folder.parent.is_dir() else f"{folder.parent} is not there"
