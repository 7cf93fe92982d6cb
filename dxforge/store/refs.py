"""A bare repository's references as files: loose ones, and those that git has packed.

Not by libgit2: it refuses repositories that belong to another user, as they do in containers.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection
from pathlib import Path

from dxforge.files import atomic_write, sync_folder
from dxforge.store.objects import IS_OID

_TEMPORARY = "dxforge.tmp"


class Refs:
    """The references of the repository at ``folder``. Writing needs the store's lock."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def all(self) -> tuple[dict[str, str], list[str]]:
        """Every reference with the id that it names; and the names of those that hold none, after a power cut."""
        found = self._packed()
        broken: list[str] = []
        top = self._folder / "refs"
        for where, _, names in os.walk(top):
            for name in names:
                path = Path(where, name)
                key = path.relative_to(self._folder).as_posix()
                if name.endswith(".lock"):
                    continue
                with contextlib.suppress(FileNotFoundError):
                    text = path.read_bytes().decode("ascii", "replace").strip()
                    if IS_OID.fullmatch(text):
                        found[key] = text
                    elif not text.startswith("ref: "):
                        broken.append(key)
        return found, broken

    def _packed(self) -> dict[str, str]:
        try:
            lines = (self._folder / "packed-refs").read_bytes().decode("utf-8", "surrogateescape").split("\n")
        except FileNotFoundError:
            return {}
        pairs = (line.split(" ", 1) for line in lines if line and line[0] not in "#^")
        return {pair[1]: pair[0] for pair in pairs if len(pair) == 2 and IS_OID.fullmatch(pair[0])}

    def set(self, name: str, oid: str) -> None:
        """Let ``name`` (``refs/...``) name ``oid``, synced.

        Raises:
            WriteError: the file system refused.
        """
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, f"{oid}\n".encode(), temporary=self._folder / _TEMPORARY)

    def delete(self, names: Collection[str]) -> None:
        """Forget references, loose and packed."""
        packed = self._packed()
        if any(name in packed for name in names):
            kept = "".join(f"{oid} {name}\n" for name, oid in sorted(packed.items()) if name not in names)
            content = kept.encode("utf-8", "surrogateescape")
            atomic_write(self._folder / "packed-refs", content, temporary=self._folder / _TEMPORARY)
        folders = set()
        for name in names:
            path = self._folder / name
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
            folders.add(path.parent)
        for folder in folders:
            if folder.is_dir():
                sync_folder(folder)
