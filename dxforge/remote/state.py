"""What a project remembers of a remote, so that it need not ask again; all of it may be lost at any time.

<state_dir>/owner                   who we are to the remote: a random word, made once
<state_dir>/<location id>/head      the newest manifest seen, and where it was
.../indexes/<pack>                  packs' indexes; they never change
.../uploads/<pack>                  a pack that is uploaded, and in no manifest yet: where an interrupted push goes on
.../damaged                         entries that were found damaged and could not be reported
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from dxforge.errors import RemoteContentError
from dxforge.files import move_new, sync_file, write_error, write_new
from dxforge.remote.manifest import decode_manifest
from dxforge.remote.model import Entry, Manifest, Pack
from dxforge.remote.packs import decode_index, described, is_sha256

T = TypeVar("T")
_STALE_S = 24 * 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The newest manifest: ``generation`` is the number it has in the remote, ``tag`` and ``size_bytes`` its object's.

    Where the newest one there is damaged, ``manifest`` is the newest that could be read, and ``damaged`` says so.
    """

    generation: int = 0
    tag: str = ""
    size_bytes: int = 0
    manifest: Manifest
    damaged: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A pack that was uploaded at ``at_s`` (seconds since 1970, our clock)."""

    pack: Pack
    entries: tuple[Entry, ...]
    at_s: float


def owner_id(state_dir: Path) -> str:
    """Who this project on this machine is; made on first use.

    Raises:
        WriteError: it cannot be written.
    """
    file = state_dir / "owner"
    try:
        state_dir.mkdir(parents=True, exist_ok=True)
        if not file.exists():
            # Another process may read it as soon as it is there, so it must be whole then.
            whole = file.with_name(f".owner-{secrets.token_hex(8)}")
            write_new(whole, secrets.token_hex(8).encode())
            sync_file(whole)
            try:
                move_new(whole, file)
            except FileExistsError:
                whole.unlink()
        return file.read_text(encoding="ascii")
    except OSError as error:
        raise write_error(error, file, "cannot be written") from error


def owner_or_new(state_dir: Path) -> str:
    """`owner_id` where that is made already, else one that nobody has; writes nothing."""
    try:
        return (state_dir / "owner").read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return secrets.token_hex(8)


class SyncState:
    """The folder of one remote. Reading never fails, and what cannot be written is not remembered.

    Args:
        folder: made with the first thing to remember.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    # -- the newest manifest ----------------------------------------------------------------------------------------

    def head(self) -> Head | None:
        """The last one seen; None where that is not known."""

        def read(content: bytes) -> Head:
            first, _, rest = content.partition(b"\n")
            data = json.loads(first)
            manifest = decode_manifest(rest, where="head") if rest else Manifest()
            return Head(
                generation=int(data["generation"]),
                tag=str(data["tag"]),
                size_bytes=int(data["size"]),
                manifest=manifest,
                damaged=bool(data["damaged"]),
            )

        return self._read("head", read)

    def save_head(self, head: Head, content: bytes) -> None:
        """Remember ``head``; ``content`` is its manifest as text."""
        data = {
            "generation": head.generation,
            "tag": head.tag,
            "size": head.size_bytes,
            "damaged": head.damaged,
        }
        self._write("head", json.dumps(data).encode() + b"\n" + content)

    def forget_head(self) -> None:
        """The remote is not what it was."""
        self._drop("head")

    # -- indexes ----------------------------------------------------------------------------------------------------

    def index(self, pack: Pack) -> tuple[Entry, ...] | None:
        """The entries of ``pack``, where they are remembered, or stand in the manifest."""
        if pack.index:
            with contextlib.suppress(RemoteContentError):
                return decode_index(pack, pack.index)
        return self._read(f"indexes/{pack.id}", lambda content: decode_index(pack, content))

    def save_index(self, pack: Pack, content: bytes) -> None:
        """Remember a pack's index, unless the manifest does."""
        if not pack.index:
            self._write(f"indexes/{pack.id}", content)

    def keep_indexes(self, pack_ids: Collection[str]) -> None:
        """Forget all other packs' indexes."""
        for name in self._names("indexes"):
            if name not in pack_ids:
                self._drop(f"indexes/{name}")
        # What killed processes were writing.
        with contextlib.suppress(OSError):
            for left in self._folder.rglob(".*"):
                if time.time() - left.stat().st_mtime > _STALE_S:
                    left.unlink(missing_ok=True)

    # -- uploads in no manifest -------------------------------------------------------------------------------------

    def uploads(self) -> Iterator[Upload]:
        """What interrupted pushes have uploaded."""
        for name in self._names("uploads"):
            found = self._read(f"uploads/{name}", lambda content, name=name: _upload(name, content))  # type: ignore[misc]
            if found is not None:
                yield found

    def save_upload(self, pack: Pack, index: bytes, at_s: float) -> None:
        """Remember a pack that was just uploaded."""
        data = {"size": pack.size_bytes, "entries": pack.entries, "at_s": at_s}
        self._write(f"uploads/{pack.id}", json.dumps(data).encode() + b"\n" + index)

    def drop_upload(self, pack_id: str) -> None:
        """It is in a manifest now, or of no use."""
        self._drop(f"uploads/{pack_id}")

    # -- damage that nobody else knows of ---------------------------------------------------------------------------

    def damaged(self) -> dict[str, int]:
        """Bits by pack."""
        found = self._read(
            "damaged", lambda content: {pack: int(mask, 16) for pack, mask in json.loads(content).items()}
        )
        return found or {}

    def save_damaged(self, damaged: Mapping[str, int]) -> None:
        """Remember it; {} forgets all."""
        if damaged:
            self._write("damaged", json.dumps({pack: f"{mask:x}" for pack, mask in damaged.items()}).encode())
        else:
            self._drop("damaged")

    # -- what the next manifest need not name ------------------------------------------------------------------------

    def swept(self) -> frozenset[str]:
        """Packs that were deleted."""
        return self._read("swept", lambda content: frozenset(map(str, json.loads(content)))) or frozenset()

    def save_swept(self, packs: Collection[str]) -> None:
        """Remember them; nothing forgets all."""
        if packs:
            self._write("swept", json.dumps(sorted(packs)).encode())
        else:
            self._drop("swept")

    # -- files ------------------------------------------------------------------------------------------------------

    def _read(self, name: str, decode: Callable[[bytes], T]) -> T | None:
        try:
            return decode((self._folder / name).read_bytes())
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RemoteContentError):
            return None

    def _write(self, name: str, content: bytes) -> None:
        # Not synced: what a power failure leaves of it does not decode, and is then as good as lost.
        with contextlib.suppress(OSError):
            file = self._folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            temporary = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
            try:
                temporary.write_bytes(content)
                temporary.replace(file)
            finally:
                temporary.unlink(missing_ok=True)

    def _drop(self, name: str) -> None:
        with contextlib.suppress(OSError):
            (self._folder / name).unlink()

    def _names(self, folder: str) -> list[str]:
        try:
            return [name for name in sorted(os.listdir(self._folder / folder)) if is_sha256(name)]
        except OSError:
            return []


def _upload(pack_id: str, content: bytes) -> Upload:
    first, _, index = content.partition(b"\n")
    data: dict[str, Any] = json.loads(first)
    pack = described(pack_id, int(data["size"]), int(data["entries"]), index)
    return Upload(pack=pack, entries=decode_index(pack, index), at_s=float(data["at_s"]))
