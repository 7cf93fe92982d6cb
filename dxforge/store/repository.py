"""The bare git repository of a project's snapshots, as the rest of ``store`` sees it.

libgit2 reads it and lays it out; objects come into it as whole packs. Nothing here is ever the user's own repository.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
from collections.abc import Callable, Container, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from dxforge.errors import SnapshotDamagedError
from dxforge.files import atomic_write, sync_folder
from dxforge.store.model import Picture, Snapshot, decode_message, encode_message, with_ids
from dxforge.store.objects import (
    EMPTY_TREE,
    TREE_MODE,
    TreeItem,
    children,
    encode_commit,
    object_oid,
    parse_commit,
    parse_tree,
)
from dxforge.store.pack import PackWriter, packed, packs, sweep
from dxforge.store.refs import Refs
from dxforge.store.retention import age_key, taken_at

if TYPE_CHECKING:
    import pygit2

T = TypeVar("T")
SNAPSHOTS = "refs/snapshots/"
LATEST = "refs/heads/latest"
"""So that any git client shows the newest snapshot by itself."""
_MANY = 200
_KINDS = {1: "commit", 2: "tree", 3: "blob", 4: "tag"}
# The contents are the user's files, not ours to judge: git's checks of them look for attacks on its own checkout.
_TOLERATED = """
    hasDotgit gitmodulesBlob gitmodulesLarge gitmodulesName gitmodulesParse gitmodulesPath gitmodulesSymlink
    gitmodulesUpdate gitmodulesUrl gitattributesBlob gitattributesLarge gitattributesLineLength gitattributesSymlink
    gitignoreSymlink mailmapSymlink
""".split()
_CONFIG = (
    "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n[gc]\n\tauto = 0\n[fsck]\n"
    + "".join(f"\t{name} = ignore\n" for name in _TOLERATED)
)


class Repository:
    """The repository at ``folder``. Cheap to make: nothing is read before the first call. Writing needs the lock."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.packs = folder / "objects" / "pack"
        self.refs = Refs(folder)
        self._odb: pygit2.Odb | None = None
        self._seen: dict[str, Snapshot | None] = {}

    @property
    def exists(self) -> bool:
        """Whether there is a repository."""
        return (self.folder / "HEAD").is_file() and (self.folder / "objects").is_dir()

    def prepare(self) -> None:
        """Make the repository where there is none, put back what it lacks, and clear away what killed writers left."""
        if not self.folder.exists():
            fresh = self.folder.with_name(f"{self.folder.name}.new")
            shutil.rmtree(fresh, ignore_errors=True)
            self._lay_out(fresh)
            os.rename(fresh, self.folder)
            sync_folder(self.folder.parent)
        elif not self.exists or not (self.folder / "config").is_file():
            self._lay_out(self.folder)
        sweep(self.packs)

    def _lay_out(self, folder: Path) -> None:
        for name in ("objects/info", "objects/pack", "refs/heads", "refs/tags"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        for name, text in (("config", _CONFIG), ("HEAD", f"ref: {LATEST}\n")):
            atomic_write(folder / name, text.encode())

    # ---- objects

    def _open(self) -> pygit2.Odb:
        if self._odb is None:
            import pygit2

            self._odb = pygit2.Odb(str(self.folder / "objects"))
        return self._odb

    def reopen(self) -> None:
        """Forget what libgit2 knows of packs that have been replaced."""
        self._odb = None

    def __contains__(self, oid: object) -> bool:
        return isinstance(oid, str) and oid in self._open()

    def having(self, many: int) -> Container[str]:
        """The objects that are here, for about so many questions: asking libgit2 for what is missing is slow."""
        return {str(oid) for oid in self._open()} if many > _MANY else self

    def read(self, oid: str, kind: str = "") -> tuple[str, bytes]:
        """An object's kind and content, verified by its id.

        Args:
            oid: its id.
            kind: what it must be ("": anything).

        Raises:
            SnapshotDamagedError: it is missing, damaged or of another kind.
        """
        if oid == EMPTY_TREE and kind != "blob":
            return "tree", b""
        code, content = self._retried(lambda odb: odb.read(oid), oid)
        if kind and _KINDS.get(code) != kind:
            raise damaged(self.folder, f"{oid} is no {kind}", oid)
        return _KINDS[code], content

    def blob(self, oid: str) -> bytes:
        """A file's content; raises as :meth:`read` does."""
        return self.read(oid, "blob")[1]

    def size(self, oid: str) -> int:
        """An object's size in bytes; raises as :meth:`read` does."""
        return self._retried(lambda odb: odb.read_header(oid), oid)[1]

    def _retried(self, work: Callable[[pygit2.Odb], tuple[int, T]], oid: str) -> tuple[int, T]:
        import pygit2

        try:
            return work(self._open())
        except (pygit2.GitError, KeyError, ValueError):
            self.reopen()  # a pack may have been replaced since it was opened
        try:
            return work(self._open())
        except (pygit2.GitError, KeyError, ValueError) as error:
            self.mark()
            missing = isinstance(error, KeyError)
            raise damaged(self.folder, f"the object {oid} is {'missing' if missing else 'damaged'}", oid) from error

    def tree(self, oid: str) -> list[TreeItem]:
        """What a tree holds; raises as :meth:`read` does."""
        try:
            return parse_tree(self.read(oid, "tree")[1])
        except ValueError as error:
            raise damaged(self.folder, f"the tree {oid} holds {error}", oid) from error

    def pack_sizes(self) -> dict[str, int]:
        """The packs by name, in bytes."""
        return {path.name: size for path, size in packs(self.packs).items()}

    def find(self, tree: str, path: str) -> str | None:
        """The id of what is at a path in a tree, None where there is nothing; raises as :meth:`read` does."""
        oid: str | None = tree
        for part in os.fsencode(path).split(b"/"):
            if oid is None:
                return None
            oid = next((inside for name, _, inside in self.tree(oid) if name == part), None)
        return oid

    # ---- damage

    @property
    def marked(self) -> bool:
        """Whether something could not be read; the next snapshot looks into everything and mends what it can."""
        return self._mark.exists()

    def mark(self, *, damaged: bool = True) -> None:
        """Remember, or forget, that something could not be read."""
        with contextlib.suppress(OSError):
            self._mark.touch() if damaged else self._mark.unlink(missing_ok=True)

    @property
    def _mark(self) -> Path:
        return self.folder / "dxforge.damaged"

    # ---- snapshots

    def snapshot(self, oid: str) -> Snapshot | None:
        """The snapshot whose commit this is; None where the commit is somebody else's."""
        try:
            tree, message = parse_commit(self.read(oid, "commit")[1])
            return decode_message(message, oid=oid, tree=tree)
        except ValueError:
            return None

    def snapshots(self) -> tuple[list[Snapshot], list[SnapshotDamagedError]]:
        """Every snapshot, newest first, and why others cannot be read."""
        found: list[Snapshot] = []
        errors: list[SnapshotDamagedError] = []
        if not self.exists:
            return found, errors
        for name, oid in self.refs.all()[0].items():
            if not name.startswith(SNAPSHOTS):
                continue
            if oid not in self._seen:
                try:
                    self._seen[oid] = self.snapshot(oid)
                except SnapshotDamagedError as error:
                    errors.append(error)
                    continue
            snapshot = self._seen[oid]
            if snapshot is not None:
                found.append(snapshot)
        return with_ids(sorted(found, key=age_key, reverse=True)), errors

    def point_at_newest(self) -> None:
        """Let the branch that git clients show be the newest snapshot."""
        snapshots, _ = self.snapshots()
        if snapshots:
            self.refs.set(LATEST, snapshots[0].oid)

    def picture(self, snapshot: Snapshot) -> Picture:
        """Everything in a snapshot; raises as :meth:`read` does."""
        files: dict[str, tuple[int, str]] = {}
        folders: set[str] = set()
        stack = [(snapshot.tree, "")]
        while stack:
            oid, prefix = stack.pop()
            for name, mode, inside in self.tree(oid):
                path = prefix + os.fsdecode(name)
                if mode == TREE_MODE:
                    folders.add(path)
                    stack.append((inside, f"{path}/"))
                else:
                    files[path] = (mode, inside)
        return Picture(
            files=files,
            folders=frozenset(folders),
            left_out=snapshot.left_out,
            hidden_folders=snapshot.hidden_folders,
        )


def closure(
    roots: Iterable[str],
    read: Callable[[str], tuple[str, bytes]],
    check: Callable[[], None],
) -> dict[str, str]:
    """The id and kind of everything that ``roots`` need, what is needed before what needs it.

    Args:
        roots: ids of commits, trees, tags or blobs.
        read: brings an object's kind and content; not called for blobs in trees.
        check: called for each tree; raises to stop.
    """
    found: dict[str, str] = {}
    stack = [(oid, "", False) for oid in roots]
    while stack:
        oid, kind, done = stack.pop()
        if done:
            found[oid] = kind
            continue
        if oid in found:
            continue
        if kind == "blob":
            found[oid] = kind
            continue
        check()
        expected = kind
        kind, content = read(oid)
        try:
            if expected not in ("", kind):
                raise ValueError(f"it should be a {expected}")
            inside = children(kind, content)
        except ValueError as error:
            raise SnapshotDamagedError(f"the {kind} {oid} cannot be read ({error})", oid=oid) from error
        stack.append((oid, kind, True))
        stack += [(needed, needed_kind, False) for needed, needed_kind in inside]
    return found


def add_commit(snapshot: Snapshot, pack: PackWriter) -> Snapshot:
    """Write a snapshot's commit; returns the snapshot with its id."""
    seconds = max(0, int(taken_at(snapshot).timestamp()))
    content = encode_commit(snapshot.tree, seconds=seconds, message=encode_message(snapshot))
    oid = object_oid("commit", content)
    pack.add(packed("commit", content, oid))
    return dataclasses.replace(snapshot, oid=oid)


def damaged(folder: Path, what: str, oid: str = "") -> SnapshotDamagedError:
    """The error of a damaged store."""
    return SnapshotDamagedError(
        what,
        where=str(folder),
        hint="Take a new snapshot, which mends what is still in the project, or fetch it with `dxforge sync --pull`",
        oid=oid,
    )
