"""Downloaded archives, once per user, by sha256; and what each holds, so that it is examined only once.

    <cache>/archives/ab/<sha256>                the archive, exactly as it was downloaded or packed
    <cache>/manifests/ab/<sha256>.<kind>        its files, as :mod:`dxforge.sources.manifest` writes them
    <cache>/damaged/                            entries whose content was no longer what their name says
    <cache>/tmp/                                what is being written

Every entry appears by one rename of a complete, synced file, so any number of processes may add and read the same
entry at once: they agree on its content, and the last rename wins.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from dxforge.config.model import Limits
from dxforge.errors import ArchiveError, IntegrityError
from dxforge.events import EventBus, Notice
from dxforge.files import sync_folder, write_error

_BLOCK = 1 << 20
_STALE_S = 24 * 3600


class Incoming:
    """An archive on its way into the store: written to a temporary file, hashed as it comes."""

    def __init__(self, path: Path, stream: BinaryIO) -> None:
        self._path = path
        self._stream = stream
        self._digest = hashlib.sha256()
        self._size = 0

    def write(self, block: bytes) -> int:
        """Append ``block``; returns its length (a file object's contract).

        Raises:
            WriteError: the disk is full, or will not have it.
        """
        try:
            self._stream.write(block)
        except OSError as error:
            raise write_error(error, self._path, "the cache cannot be written") from error
        self._digest.update(block)
        self._size += len(block)
        return len(block)

    def restart(self) -> None:
        """Forget everything written so far (a download that begins anew)."""
        self._stream.seek(0)
        self._stream.truncate()
        self._digest = hashlib.sha256()
        self._size = 0

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self._size

    @property
    def sha256(self) -> str:
        """Of what was written so far, 64 hex digits."""
        return self._digest.hexdigest()

    @property
    def path(self) -> Path:
        """The temporary file; complete only after :meth:`flush` or :meth:`finish`."""
        return self._path

    def flush(self) -> None:
        """Hand everything to the system, so that others can read it."""
        self._stream.flush()

    def finish(self) -> os.stat_result:
        """Hand everything to the disk; no more can be written."""
        self._stream.flush()
        os.fsync(self._stream.fileno())
        status = os.fstat(self._stream.fileno())
        self._stream.close()
        return status


class ArchiveStore:
    """The user-wide cache of archives. Thread-safe, and safe beside other processes; opening it reads nothing.

    Args:
        cache_dir: made when the first archive comes.
        limits: what an archive may be at most; kept here for those who open archives.
        events: hears a Notice when an entry is found damaged.
    """

    def __init__(self, cache_dir: Path, limits: Limits | None = None, events: EventBus | None = None) -> None:
        self.cache_dir = cache_dir
        self.limits = limits or Limits()
        self._events = events
        self._verified: dict[str, tuple[int, int, int]] = {}
        self._lock = threading.Lock()
        self._swept = False

    # -- archives ---------------------------------------------------------------------------------------------------

    def path(self, sha256: str) -> Path:
        """Where the archive lies, or would."""
        return self.cache_dir / "archives" / sha256[:2] / sha256

    def get(self, sha256: str) -> Path | None:
        """The archive with this content, verified; None where the cache does not have it.

        Its content is hashed once per process, and again whenever size, time or inode have changed. A damaged entry
        is moved to ``damaged/`` with a Notice, and counts as missing.

        Raises:
            ArchiveError: a damaged or unreadable entry that cannot be moved away.
        """
        path = self.path(sha256)
        try:
            with path.open("rb") as stream:
                status = os.fstat(stream.fileno())
                mark = (status.st_size, status.st_mtime_ns, status.st_ino)
                with self._lock:
                    known = self._verified.get(sha256) == mark
                if known or hashlib.file_digest(stream, "sha256").hexdigest() == sha256:
                    with self._lock:
                        self._verified[sha256] = mark
                    return path
        except FileNotFoundError:
            return None
        except OSError as error:
            return self._quarantine(sha256, cause=error)
        return self._quarantine(sha256)

    @contextlib.contextmanager
    def incoming(self) -> Iterator[Incoming]:
        """A place to write an archive whose sha256 may not be known yet; nothing of it stays unless it is kept.

        Raises:
            WriteError: the cache cannot be written.
        """
        folder = self.cache_dir / "tmp"
        path: Path | None = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._sweep(folder)
            descriptor, name = tempfile.mkstemp(prefix=f"{os.getpid()}-", dir=folder)
            path = Path(name)
        except OSError as error:
            raise write_error(error, folder, "the cache cannot be written") from error
        stream = os.fdopen(descriptor, "wb")
        try:
            yield Incoming(path, stream)
        finally:
            # What is kept has been flushed; on a full disk closing fails once more, and would hide the first error.
            with contextlib.suppress(OSError):
                stream.close()
            with contextlib.suppress(OSError):
                path.unlink()

    def keep(self, incoming: Incoming, sha256: str = "", *, what: str = "") -> Path:
        """Take a complete ``incoming`` into the cache, to be called inside its ``with`` block.

        Args:
            sha256: what its content must be; "" for whatever it is.
            what: names the archive in errors.

        Raises:
            IntegrityError: its content is something else; nothing is kept.
            WriteError: the cache cannot be written.
        """
        found = incoming.sha256
        if sha256 and found != sha256:
            raise IntegrityError(
                f"its sha256 is {found}, and {sha256} was promised",
                where=what,
                hint="Try again; where it stays so, the file was replaced at its source and must not be trusted",
            )
        target = self.path(found)
        try:
            # Of the temporary file: a rename keeps size, time and inode, and the target may be gone again at once.
            status = incoming.finish()
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.replace(incoming.path, target)
            except PermissionError:
                # Windows: another process has the same entry open. Then it is there, and get() checks it.
                if self.get(found) is None:
                    raise
            sync_folder(target.parent)
        except OSError as error:
            raise write_error(error, target, "the cache cannot be written") from error
        with self._lock:
            self._verified[found] = (status.st_size, status.st_mtime_ns, status.st_ino)
        return target

    def add(self, source: Path | BinaryIO | Iterable[bytes], sha256: str = "", *, what: str = "") -> Path:
        """Copy a file, a stream or blocks into the cache; the returned path's name is its sha256.

        Raises:
            IntegrityError: the content is not ``sha256``; nothing is kept.
            WriteError: the cache cannot be written.
            OSError: the source cannot be read.
        """
        if isinstance(source, Path):
            with source.open("rb") as stream:
                return self.add(stream, sha256, what=what or str(source))
        read = getattr(source, "read", None)
        blocks = iter(lambda: read(_BLOCK), b"") if read is not None else iter(source)
        with self.incoming() as incoming:
            for block in blocks:
                incoming.write(block)
            return self.keep(incoming, sha256, what=what)

    def _quarantine(self, sha256: str, cause: OSError | None = None) -> Path | None:
        path = self.path(sha256)
        aside = self.cache_dir / "damaged" / f"{sha256}.{os.getpid()}.{threading.get_ident()}"
        try:
            aside.parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, aside)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ArchiveError(
                f"a damaged archive in the cache cannot be moved away: {(error.strerror or str(error)).lower()}",
                where=str(path),
                hint="Delete that file and run the command again",
            ) from (cause or error)
        with self._lock:
            self._verified.pop(sha256, None)
        # Another process may have put a good one in its place since we looked.
        with contextlib.suppress(OSError), aside.open("rb") as stream:
            if hashlib.file_digest(stream, "sha256").hexdigest() == sha256:
                os.replace(aside, path)
                return path
        if self._events is not None:
            text = f"The cached archive {sha256[:12]} was damaged; it was moved to {aside} and is fetched again"
            self._events.emit(Notice(text=text))
        return None

    def _sweep(self, folder: Path) -> None:
        """Remove what killed processes left in ``tmp`` a day or more ago."""
        if self._swept:
            return
        self._swept = True
        oldest = time.time() - _STALE_S
        with contextlib.suppress(OSError):
            for item in os.scandir(folder):
                with contextlib.suppress(OSError):
                    if item.stat(follow_symlinks=False).st_mtime < oldest:
                        os.unlink(item.path)

    # -- manifests --------------------------------------------------------------------------------------------------

    def load_manifest(self, sha256: str, kind: str) -> bytes | None:
        """What :meth:`save_manifest` was given; None where there is none, or it is damaged (then it is removed)."""
        path = self._manifest(sha256, kind)
        try:
            data = path.read_bytes()
        except OSError:
            return None
        digest, body = data[:64], data[65:]
        if hashlib.sha256(body).hexdigest().encode() == digest:
            return body
        with contextlib.suppress(OSError):
            path.unlink()
        return None

    def save_manifest(self, sha256: str, kind: str, body: bytes) -> None:
        """Remember ``body`` for this archive. A cache that cannot be written is no error: it is examined again."""
        path = self._manifest(sha256, kind)
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor, temporary = tempfile.mkstemp(dir=path.parent)
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
            os.replace(temporary, path)

    def _manifest(self, sha256: str, kind: str) -> Path:
        return self.cache_dir / "manifests" / sha256[:2] / f"{sha256}.{kind}"
