"""Items out of the remote, each compared with its sha256 before anyone sees it."""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import secrets
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import BufferedRandom
from pathlib import Path
from typing import NamedTuple

from dxforge.files import write_error
from dxforge.remote.garbage import pack_key
from dxforge.remote.model import Entry, RemoteOptions
from dxforge.remote.packs import spans
from dxforge.remote.session import Session
from dxforge.remote.transfer import in_parallel

_GAP_BYTES = 256 << 10
_STREAM_BYTES = 1 << 20
_GONE = "it is gone"
_OTHER = "it is not what was uploaded"

Take = Callable[[Entry, memoryview], object]
Into = Callable[[Entry], Path | None]


class Fetched(NamedTuple):
    """An item and its content; None where it was taken already, or where what lies there is not it (``reason``)."""

    entry: Entry
    content: memoryview | None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetcher:
    """Reads for one pull or look-up.

    Args:
        spool_dir: where an item that is too large for memory is put while it is used.
        check: called several times a second; raises to give up.
        take: gets the contents, in the threads that read them; None: `fetch` yields them.
        into: the file that a large item is to be; None: it is treated as the others.
    """

    session: Session
    options: RemoteOptions
    spool_dir: Path
    check: Callable[[], None]
    take: Take | None = None
    into: Into | None = None

    def fetch(self, entries: Iterable[Entry]) -> Iterator[Fetched]:
        """Read ``entries``; in no order. A content may be used until the next one is asked for.

        Raises:
            RemoteError: a request failed for good.
            WriteError: a file of ``into`` cannot be written.
        """
        small: dict[str, list[Entry]] = defaultdict(list)
        streamed: list[tuple[Entry, Path]] = []
        large: list[tuple[Entry, Path | None]] = []
        for entry in entries:
            wanted = self.into(entry) if self.into and entry.size_bytes >= self.options.stream_bytes else None
            if entry.size_bytes > self.options.largest_pack_bytes:
                large.append((entry, wanted))
            elif wanted is not None:
                streamed.append((entry, wanted))
            else:
                small[entry.pack].append(entry)
        yield from self._fetch_small(small)
        yield from self._fetch_streamed(streamed)
        for entry, wanted in large:
            yield from self._taken(self._fetch_large(entry, wanted))

    def _taken(self, results: Iterable[Fetched]) -> Iterator[Fetched]:
        for fetched in results:
            if self.take is None or fetched.content is None:
                yield fetched
            else:
                self.take(fetched.entry, fetched.content)
                yield Fetched(fetched.entry, None)

    # -- many of a pack at once, in memory ------------------------------------------------------------------------

    def _fetch_small(self, packs: dict[str, list[Entry]]) -> Iterator[Fetched]:
        runs = [
            run
            for entries in packs.values()
            for run in spans(entries, gap_bytes=_GAP_BYTES, largest_bytes=self.options.largest_pack_bytes)
        ]
        for _, results in in_parallel(
            runs,
            lambda run: list(self._taken(self._run(run))),
            session=self.session,
            workers=self.options.workers,
            size_bytes=_length,
            memory_bytes=self.options.memory_bytes,
            check=self.check,
        ):
            yield from results

    def _run(self, run: tuple[Entry, ...]) -> Iterator[Fetched]:
        start = run[0].offset
        length = _length(run)
        # A range of nothing is refused by some servers.
        content = self.session.get_range(pack_key(run[0].pack), start, length) if length else memoryview(b"")
        for entry in run:
            if content is None:
                yield Fetched(entry, None, _GONE)
                continue
            piece = content[entry.offset - start : entry.offset - start + entry.size_bytes]
            if not _is(entry, piece):
                # Once more, alone: what is damaged on the way is not damaged there.
                again = self.session.get_range(pack_key(entry.pack), entry.offset, max(1, entry.size_bytes))
                piece = again if again is not None else memoryview(b"")
            yield Fetched(entry, piece) if _is(entry, piece) else Fetched(entry, None, _OTHER)

    # -- straight to files ----------------------------------------------------------------------------------------

    def _fetch_streamed(self, files: Sequence[tuple[Entry, Path]]) -> Iterator[Fetched]:
        for (entry, _), reason in in_parallel(
            files,
            lambda job: self._stream(*job),
            session=self.session,
            workers=self.options.workers,
            size_bytes=lambda _: _STREAM_BYTES,
            memory_bytes=self.options.memory_bytes,
            check=self.check,
        ):
            yield Fetched(entry, None, reason)

    def _stream(self, entry: Entry, path: Path) -> str:
        with _placed(path) as (stream, keep):

            def consume(blocks: Iterable[bytes]) -> str:
                digest = hashlib.sha256()
                with _writing(path):
                    stream.seek(0)
                    stream.truncate()
                for block in blocks:
                    digest.update(block)
                    with _writing(path):
                        stream.write(block)
                return digest.hexdigest()

            for _ in range(2):
                found = self.session.stream(pack_key(entry.pack), entry.offset, entry.size_bytes, consume)
                if found == entry.sha256:
                    keep()
                    return ""
                if found is None:
                    return _GONE
            return _OTHER

    # -- too large for memory -------------------------------------------------------------------------------------

    def _fetch_large(self, entry: Entry, path: Path | None) -> Iterator[Fetched]:
        if path is not None:
            with _placed(path) as (target, keep):
                reason = self._spool(entry, target) and self._spool(entry, target)
                if not reason:
                    keep()
            yield Fetched(entry, None, reason)
            return
        self.spool_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=self.spool_dir) as stream:
            reason = self._spool(entry, stream) and self._spool(entry, stream)
            if reason:
                yield Fetched(entry, None, reason)
                return
            with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as mapped, memoryview(mapped) as view:
                yield Fetched(entry, view)

    def _spool(self, entry: Entry, stream: BufferedRandom) -> str:
        """Write the content of ``entry`` to ``stream``, several pieces at a time; what is wrong with it, or nothing."""
        step = self.options.part_bytes
        end = entry.offset + entry.size_bytes
        gone = False
        for start, content in in_parallel(
            range(entry.offset, end, step),
            lambda start: self.session.get_range(pack_key(entry.pack), start, min(step, end - start)),
            session=self.session,
            workers=self.options.workers,
            size_bytes=lambda _: step,
            memory_bytes=self.options.memory_bytes,
            check=self.check,
        ):
            if content is None:
                gone = True
                continue
            with _writing(self.spool_dir):
                stream.seek(start - entry.offset)
                stream.write(content)
        stream.truncate(entry.size_bytes)
        stream.seek(0)
        found = hashlib.file_digest(stream, "sha256").hexdigest()
        if found == entry.sha256:
            return ""
        return _GONE if gone else _OTHER


@contextlib.contextmanager
def _placed(path: Path) -> Iterator[tuple[BufferedRandom, Callable[[], None]]]:
    """A file beside ``path``, and what to call when it is right: then it takes that place, else it is deleted."""
    temporary = path.with_name(f".{path.name[:100]}.{secrets.token_hex(8)}")
    kept = False

    def keep() -> None:
        nonlocal kept
        kept = True

    with _writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = temporary.open("x+b")
    try:
        with stream:
            yield stream, keep
        if kept:
            with _writing(path):
                temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    """A disk of ours that is full is no failure of the remote's."""
    try:
        yield
    except OSError as error:
        raise write_error(error, path, "cannot be written") from error


def _length(run: Sequence[Entry]) -> int:
    return run[-1].offset + run[-1].size_bytes - run[0].offset


def _is(entry: Entry, content: memoryview) -> bool:
    return len(content) == entry.size_bytes and hashlib.sha256(content).hexdigest() == entry.sha256
