"""What the user changed in installed packages, with contents: for whoever wants to look into edits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from dxforge.files import read_entry
from dxforge.sources.model import Pin
from dxforge.traffic.local import local_entries
from dxforge.traffic.workspace import Workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class EditedFiles:
    """A package with edits.

    ``files`` has for each edited file, by its path in the package's folder, what it was as installed and what it is
    now; None where there is none. ``read_all`` brings every file of the installed version whose name ends so.
    """

    pin: Pin
    files: Mapping[str, tuple[bytes | None, bytes | None]]
    read_all: Callable[[str], dict[str, bytes]] = field(repr=False, compare=False)


def edited_packages(workspace: Workspace) -> Iterator[EditedFiles]:
    """Every package of the lock that carries edits, by name.

    Raises:
        SourceError: what a package was as installed cannot be had.
        ApplyError: something that is no folder is in a package's place.
    """
    for name in sorted(workspace.lock.packages):
        locked = workspace.lock.packages[name]
        if locked.leaving or workspace.untouched(name):
            continue
        look = workspace.look(name)
        tree = workspace.base_tree(look)
        bases = {**tree, **{item.path: item.base for item in locked.pending if item.path in tree}}
        local = local_entries(look.folder, look.found, look.index, set(tree))
        edited = [path for path in sorted(tree) if local.get(path) != bases[path]]
        if not edited:
            continue
        known = workspace.readers(look, {}, None).base([path for path in edited if bases[path] is not None])
        files = {}
        for path in edited:
            found = read_entry(look.folder / path)
            files[path] = (known.get(path), None if found is None else found[1])

        def read_all(ending: str, name: str = name, pin: Pin = locked.pin) -> dict[str, bytes]:
            package = workspace.lazy(name, pin)
            return dict(package.read({path for path in package.tree if path.endswith(ending)}))

        yield EditedFiles(pin=locked.pin, files=files, read_all=read_all)
