"""Items out of the remote, each compared with its sha256 before anyone sees it."""

from __future__ import annotations

import hashlib
import mmap
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from io import BufferedRandom
from pathlib import Path
from typing import NamedTuple

from dxforge.remote.garbage import pack_key
from dxforge.remote.model import Entry, RemoteOptions
from dxforge.remote.packs import spans
from dxforge.remote.session import Session
from dxforge.remote.transfer import in_parallel

_GAP_BYTES = 256 << 10


Take = Callable[[Entry, memoryview], object]


class Fetched(NamedTuple):
    """An item and its content; None where it was taken already, or where what lies there is not it (``reason``)."""

    entry: Entry
    content: memoryview | None
    reason: str = ""


def fetch(
    entries: Iterable[Entry],
    *,
    session: Session,
    options: RemoteOptions,
    spool_dir: Path,
    check: Callable[[], None],
    take: Take | None = None,
) -> Iterator[Fetched]:
    """Read ``entries``; in no order. A content may be used until the next one is asked for.

    Args:
        take: gets the contents instead, in the threads that read them.
        spool_dir: where an item that is too large for memory is put while it is used.
        check: called several times a second; raises to give up.

    Raises:
        RemoteError: a request failed for good.
    """
    by_pack: dict[str, list[Entry]] = defaultdict(list)
    large: list[tuple[Entry, ...]] = []
    for entry in entries:
        if entry.size_bytes > options.largest_pack_bytes:
            large.append((entry,))
        else:
            by_pack[entry.pack].append(entry)
    runs = [
        run
        for pack in by_pack.values()
        for run in spans(pack, gap_bytes=_GAP_BYTES, largest_bytes=options.largest_pack_bytes)
    ]
    for _, results in in_parallel(
        runs,
        lambda run: _taken(_fetch_run(run, session), take),
        session=session,
        workers=options.workers,
        size_bytes=_length,
        memory_bytes=options.memory_bytes,
        check=check,
    ):
        yield from results
    for (entry,) in large:
        for fetched in _fetch_large(entry, session, options, spool_dir, check):
            yield from _taken([fetched], take)


def _taken(results: list[Fetched], take: Take | None) -> list[Fetched]:
    if take is None:
        return results
    for fetched in results:
        if fetched.content is not None:
            take(fetched.entry, fetched.content)
    return [fetched._replace(content=None) for fetched in results]


def _length(run: Sequence[Entry]) -> int:
    return run[-1].offset + run[-1].size_bytes - run[0].offset


def _fetch_run(run: tuple[Entry, ...], session: Session) -> list[Fetched]:
    start = run[0].offset
    length = _length(run)
    # A range of nothing is refused by some servers.
    content = session.get_range(pack_key(run[0].pack), start, length) if length else memoryview(b"")
    if content is None:
        return [Fetched(entry, None, "it is gone") for entry in run]
    results = []
    for entry in run:
        piece = content[entry.offset - start : entry.offset - start + entry.size_bytes]
        if not _is(entry, piece):
            # Once more, alone: what is damaged on the way is not damaged there.
            again = (
                session.get_range(pack_key(entry.pack), entry.offset, entry.size_bytes) if entry.size_bytes else None
            )
            piece = again if again is not None else memoryview(b"")
            if not _is(entry, piece):
                results.append(Fetched(entry, None, "it is not what was uploaded"))
                continue
        results.append(Fetched(entry, piece))
    return results


def _fetch_large(
    entry: Entry, session: Session, options: RemoteOptions, spool_dir: Path, check: Callable[[], None]
) -> Iterator[Fetched]:
    spool_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=spool_dir) as stream:
        reason = _spool(entry, stream, session, options, check) and _spool(entry, stream, session, options, check)
        if reason:
            yield Fetched(entry, None, reason)
            return
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as mapped, memoryview(mapped) as view:
            yield Fetched(entry, view)


def _spool(
    entry: Entry, stream: BufferedRandom, session: Session, options: RemoteOptions, check: Callable[[], None]
) -> str:
    """Write the content of ``entry`` to ``stream``; what is wrong with it, or nothing."""
    step = options.part_bytes
    starts = range(entry.offset, entry.offset + entry.size_bytes, step)
    end = entry.offset + entry.size_bytes
    gone = False
    for start, content in in_parallel(
        starts,
        lambda start: session.get_range(pack_key(entry.pack), start, min(step, end - start)),
        session=session,
        workers=options.workers,
        size_bytes=lambda _: step,
        memory_bytes=options.memory_bytes,
        check=check,
    ):
        if content is None:
            gone = True
            continue
        stream.seek(start - entry.offset)
        stream.write(content)
    stream.truncate(entry.size_bytes)
    stream.seek(0)
    found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found == entry.sha256:
        return ""
    return "it is gone" if gone else "it is not what was uploaded"


def _is(entry: Entry, content: memoryview) -> bool:
    return len(content) == entry.size_bytes and hashlib.sha256(content).hexdigest() == entry.sha256
