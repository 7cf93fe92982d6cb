"""Three-way merges of file contents, by libgit2, in memory.

Nothing here touches a disk: contents go into an object database that is a dictionary, libgit2 merges trees of them,
and the results are read back. One call for a thousand files costs about as much as ten calls for one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dxforge.traffic.finer import agreed_base, merge_finely

if TYPE_CHECKING:
    import pygit2

_BINARY_PROBE_BYTES = 8000
_WORTH_A_THREAD = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeResult:
    """Outcome of one merge. ``content`` is the merged file, empty where ``clean`` is False.

    ``how`` says what made it clean where the plain line merge was not enough: "line ends", "cell by cell", or one of
    ``finer.py``'s.
    """

    clean: bool
    content: bytes = b""
    how: str = ""


@dataclass(frozen=True, slots=True)
class Sides:
    """The three contents that go into a merge. ``taken``: the user has taken a part of the incoming edits already."""

    base: bytes
    local: bytes
    incoming: bytes
    taken: bool = False

    def map(self, change: Callable[[bytes], bytes]) -> Sides:
        """The same with every content changed."""
        return Sides(change(self.base), change(self.local), change(self.incoming), self.taken)

    def agreed(self) -> Sides:
        """The same, with what was taken made a part of the base."""
        return Sides(agreed_base(self.base, self.local, self.incoming), self.local, self.incoming)


def is_binary(content: bytes) -> bool:
    """Git's rule: a NUL among the first 8000 bytes."""
    return b"\0" in content[:_BINARY_PROBE_BYTES]


def merge3(base: bytes, local: bytes, incoming: bytes, *, path: str = "") -> MergeResult:
    """Merge one file; see :func:`merge_many`."""
    return merge_many({path or "file": Sides(base, local, incoming)})[path or "file"]


def merge_many(files: Mapping[str, Sides]) -> dict[str, MergeResult]:
    """Merge the edits base -> local and base -> incoming of every file.

    Notebooks are merged cell by cell where nbdime is installed and finds no conflict. Text whose sides differ in
    their line ends is merged without them, and the result gets the line ends of the side that changed them. Binary
    contents never merge. What libgit2's line merge calls a conflict is looked at more finely (``finer.py``).

    Args:
        files: path (its suffix chooses the way) -> the three contents.

    Returns:
        A result for every path, in the order given.
    """
    results: dict[str, MergeResult] = {}
    texts: dict[str, Sides] = {}
    line_ends: dict[str, bytes] = {}
    for path, sides in files.items():
        if any(is_binary(side) for side in (sides.base, sides.local, sides.incoming)):
            results[path] = MergeResult(clean=False)
            continue
        if path.endswith(".ipynb"):
            notebook = _merge_notebook(sides)
            if notebook is not None:
                results[path] = notebook
                continue
        ends = _merged_line_end(sides)
        if ends is None:
            texts[path] = sides
        else:
            line_ends[path] = ends
            texts[path] = sides.map(lambda side: side.replace(b"\r\n", b"\n"))
    results.update(_merge_texts(texts))
    for path, end in line_ends.items():
        result = results[path]
        if result.clean:
            results[path] = MergeResult(
                clean=True, content=result.content.replace(b"\n", end), how=result.how or "line ends"
            )
    return {path: results[path] for path in files}


def _merge_texts(texts: Mapping[str, Sides]) -> dict[str, MergeResult]:
    """Line merge by libgit2; what conflicts is looked at more finely."""
    texts = {path: sides.agreed() if sides.taken else sides for path, sides in texts.items()}
    results = _merge_in_parallel(texts)
    for path, sides in texts.items():
        if not results[path].clean:
            finer = merge_finely(sides.base, sides.local, sides.incoming, path=path)
            if finer is not None:
                results[path] = MergeResult(clean=True, content=finer[0], how=finer[1])
    return results


def _merge_in_parallel(texts: Mapping[str, Sides]) -> dict[str, MergeResult]:
    """Many merges in two threads: libgit2 works outside of Python's lock."""
    if len(texts) < _WORTH_A_THREAD:
        return _merge_trees(texts)
    from concurrent.futures import ThreadPoolExecutor

    items = list(texts.items())
    halves = [dict(items[: len(items) // 2]), dict(items[len(items) // 2 :])]
    with ThreadPoolExecutor(len(halves), thread_name_prefix="dxforge-merge") as pool:
        first, second = pool.map(_merge_trees, halves)
    return {**first, **second}


def _merge_trees(texts: Mapping[str, Sides]) -> dict[str, MergeResult]:
    if not texts:
        return {}
    import pygit2
    import pygit2.enums

    repository, objects = memory_repository()
    trees = []
    for side in ("base", "local", "incoming"):
        index = pygit2.Index()
        for number, sides in enumerate(texts.values()):
            blob = repository.create_blob(getattr(sides, side))
            # A prefix of its own per number: no name is a folder of another's.
            index.add(pygit2.IndexEntry(f"{number:08}", blob, pygit2.enums.FileMode.BLOB))
        trees.append(index.write_tree(repository))
    base, local, incoming = trees
    merged = repository.merge_trees(base, local, incoming, flags=pygit2.enums.MergeFlag(0))
    conflicted = set()
    for ancestor, ours, theirs in merged.conflicts or ():
        conflicted |= {entry.path for entry in (ancestor, ours, theirs) if entry is not None}
    results = {}
    for number, path in enumerate(texts):
        name = f"{number:08}"
        if name in conflicted:
            results[path] = MergeResult(clean=False)
        else:
            results[path] = MergeResult(clean=True, content=objects.content(str(merged[name].id)))
    return results


def memory_repository() -> tuple[pygit2.Repository, Any]:
    """A repository whose objects live in a dictionary; ``objects.content(oid)`` reads a blob back."""
    import pygit2

    class MemoryObjects(pygit2.OdbBackend):
        """libgit2's object database protocol over a dict."""

        def __init__(self) -> None:
            super().__init__()
            self._objects: dict[str, tuple[int, bytes]] = {}

        def content(self, oid: str) -> bytes:
            return self._objects[oid][1]

        def read_cb(self, oid: pygit2.Oid) -> tuple[int, bytes]:
            return self._objects[str(oid)]

        def read_header_cb(self, oid: pygit2.Oid) -> tuple[int, int]:
            kind, data = self._objects[str(oid)]
            return kind, len(data)

        def read_prefix_cb(self, oid: pygit2.Oid) -> tuple[int, bytes, pygit2.Oid]:
            raise KeyError(oid)

        def exists_cb(self, oid: pygit2.Oid) -> bool:
            return str(oid) in self._objects

        def exists_prefix_cb(self, oid: pygit2.Oid) -> pygit2.Oid:
            raise KeyError(oid)

        def write_cb(self, oid: pygit2.Oid, data: bytes, kind: int) -> None:
            self._objects[str(oid)] = (kind, bytes(data))

        def refresh_cb(self) -> None:
            """Nothing to read again."""

        def __iter__(self) -> Iterator[pygit2.Oid]:
            return (pygit2.Oid(hex=oid) for oid in self._objects)

    objects = MemoryObjects()
    database = pygit2.Odb()
    database.add_backend(objects, 1)
    repository = pygit2.Repository()
    repository.set_odb(database)
    return repository, objects


def _merged_line_end(sides: Sides) -> bytes | None:
    """The line end that the merge should have, where the three differ in nothing subtler; None = merge as they are."""
    if not any(b"\r" in side for side in (sides.base, sides.local, sides.incoming)):
        return None
    ends = [_line_end(side) for side in (sides.base, sides.local, sides.incoming)]
    if None in ends or len(set(ends) - {b""}) < 2:
        return None
    base, local, incoming = ends
    chosen = local if local not in (base, b"") else incoming
    return chosen or local or base


def _line_end(content: bytes) -> bytes | None:
    """``b"\\n"`` or ``b"\\r\\n"`` where all lines end so, ``b""`` where none ends, None where they are mixed."""
    feeds = content.count(b"\n")
    pairs = content.count(b"\r\n")
    if pairs not in (0, feeds):
        return None
    if not feeds:
        return b""
    return b"\r\n" if pairs else b"\n"


def _merge_notebook(sides: Sides) -> MergeResult | None:
    """Merge notebooks with nbdime; None where it is absent, cannot read them, or finds a conflict."""
    try:
        import nbformat
        from nbdime.merging.decisions import apply_decisions
        from nbdime.merging.notebooks import decide_notebook_merge
    except ImportError:
        return None
    try:
        base, local, incoming = (
            nbformat.reads(side.decode("utf-8"), as_version=nbformat.NO_CONVERT)
            for side in (sides.base, sides.local, sides.incoming)
        )
        decisions = decide_notebook_merge(base, local, incoming)
        if any(decision.conflict for decision in decisions):
            return None
        merged = apply_decisions(base, decisions)
        text = nbformat.writes(merged, version=nbformat.NO_CONVERT)
    except Exception:  # noqa: BLE001 - nbdime crashes on some inputs (both sides inserting cells); text merge serves
        return None
    indented = b'\n "' in sides.local[:200]
    if not indented:
        return None
    end = b"\n" if sides.local.endswith(b"\n") else b""
    return MergeResult(clean=True, content=text.rstrip("\n").encode("utf-8") + end, how="cell by cell")
