"""The gate: every entry of an archive passes here before anything is believed or written.

``Examination`` collects entries as a reader (:mod:`.zips`, :mod:`.tars`) comes upon them, refuses what must not be
unpacked, counts sizes while they stream, and in the end says which files the package has.
"""

from __future__ import annotations

from typing import NoReturn

from dxforge.config.model import Limits
from dxforge.errors import ArchiveError, UnsafeArchiveError
from dxforge.sources.manifest import RATIO_FREE_BYTES, Manifest, Place, Sizes, manifest_of
from dxforge.sources.model import Layout
from dxforge.sources.names import component_problem, fold, path_problem, shown, split
from dxforge.store.tree import SYMLINK, Entry, blob_oid, travels

_HINT = "Do not use this archive; where you trust it, ask its maker to publish it without that entry"
_LIMIT_HINT = "Where you trust it, raise the limit in dx.toml's [limits]"
_MAX_LINKS = 40


class Examination:
    """One archive's entries so far; lives for one reading.

    Args:
        where: names the archive in errors.
        archive_bytes: its size as it lies on disk.
        limits: what it may be at most.
    """

    def __init__(self, where: str, archive_bytes: int, limits: Limits) -> None:
        self.where = where
        self._archive_bytes = archive_bytes
        self.limits = limits
        self._files: dict[str, tuple[Entry, Place]] = {}
        self._links: dict[str, str] = {}
        self._folders: set[str] = set()
        self._folded: dict[str, str] = {}
        self._good: set[str] = set()
        self._entries = 0
        self._total = 0
        self._longest_path = 0
        self._longest_name = 0

    # -- refusing -----------------------------------------------------------------------------------------------

    def refuse(self, name: str, problem: str, *, hint: str = _HINT) -> NoReturn:
        """Raise UnsafeArchiveError: the entry ``name`` <problem>."""
        raise UnsafeArchiveError(f'the entry "{shown(name)}" {problem}', where=self.where, hint=hint, entry=name)

    def refuse_another(self, name: str) -> NoReturn:
        """Raise UnsafeArchiveError: with the entry ``name`` there are too many."""
        self.refuse(name, f"is one more than the {self.limits.entries} that are allowed", hint=_LIMIT_HINT)

    def damaged(self, problem: str) -> ArchiveError:
        """The error for an archive that is no longer what its maker made."""
        return ArchiveError(problem, where=self.where, hint="Fetch it again, or ask its maker for a sound one")

    # -- entries ------------------------------------------------------------------------------------------------

    def name(self, raw: str) -> str:
        """Check an entry's name and count it; returns its path, "" for the archive's own root folder."""
        limits = self.limits
        self._entries += 1
        if self._entries > limits.entries:
            self.refuse_another(raw)
        problem = path_problem(raw, path_bytes=limits.path_bytes)
        if problem:
            self.refuse(raw, problem)
        parts = split(raw)
        for part in parts:
            if part in self._good:
                continue
            problem = component_problem(part, name_bytes=limits.name_bytes)
            if problem:
                self.refuse(raw, problem)
            self._good.add(part)
            self._longest_name = max(self._longest_name, len(part.encode("utf-8", "surrogateescape")))
        path = "/".join(parts)
        self._longest_path = max(
            self._longest_path, len(path) if path.isascii() else len(path.encode("utf-8", "surrogateescape"))
        )
        return path

    def folder(self, raw: str) -> None:
        """An entry that is a folder."""
        path = self.name(raw)
        if path:
            self._folder(path, raw)

    def claim(self, raw: str) -> str:
        """An entry that is a file or a link: its path, which is now taken."""
        path = self.name(raw)
        if not path:
            self.refuse(raw, "is a file without a name")
        if path in self._files:
            self.refuse(raw, "is there twice")
        if path in self._folders:
            self.refuse(raw, "is both a file and a folder")
        self._take(path, raw)
        self._files[path] = _CLAIMED
        return path

    def file(self, path: str, mode: int, oid: str, size: int, place: Place) -> None:
        """What a claimed path turned out to be."""
        self._files[path] = (Entry(mode, oid, size), place)

    def symlink(self, path: str, target: str, place: Place) -> None:
        """A claimed path that is a symlink to ``target``."""
        problem = _target_problem(target, self.limits)
        if problem:
            self.refuse(path, f'is a link to "{shown(target)}", which {problem}')
        content = target.encode("utf-8", "surrogateescape")
        self._links[path] = target
        self.file(path, SYMLINK, blob_oid(content), len(content), place)

    def hard_link(self, path: str, target: str) -> None:
        """A claimed path that is to be the same file as the earlier entry ``target``: it becomes a copy."""
        problem = _target_problem(target, self.limits)
        if not problem and ".." in split(target):
            problem = "climbs out of its folder"
        if problem:
            self.refuse(path, f'is a hard link to "{shown(target)}", which {problem}')
        original = self._files.get("/".join(split(target)))
        if original is None or original is _CLAIMED or original[0].mode == SYMLINK:
            self.refuse(path, f'is a hard link to "{shown(target)}", which is no earlier file of this archive')
        self._files[path] = original
        self.spend(original[0].size, path)

    def spend(self, size_bytes: int, name: str) -> None:
        """Count unpacked bytes, as they come."""
        self._total += size_bytes
        self._bear(self._total, name)

    def foresee(self, size_bytes: int, name: str) -> None:
        """Refuse already what the archive itself says it will unpack to, before any of it is."""
        self._bear(self._total + size_bytes, name)

    def _bear(self, total_bytes: int, name: str) -> None:
        limits = self.limits
        if total_bytes > limits.total_bytes:
            self.refuse(name, f"makes it more than {limits.total_bytes} bytes when unpacked", hint=_LIMIT_HINT)
        if total_bytes > RATIO_FREE_BYTES and total_bytes > limits.ratio * self._archive_bytes:
            self.refuse(name, f"makes it more than {limits.ratio} times its size when unpacked", hint=_LIMIT_HINT)

    def _folder(self, path: str, raw: str) -> None:
        if path in self._folders:
            return
        if path in self._files:
            kind = "a link" if path in self._links else "a file"
            self.refuse(raw, f'lies below "{shown(path)}", which is {kind}' if raw != path else f"is {kind} too")
        self._take(path, raw)
        self._folders.add(path)

    def _take(self, path: str, raw: str) -> None:
        """Make the folders above ``path`` and see that no other entry would be the same file somewhere."""
        parent, slash, part = path.rpartition("/")
        if slash:
            self._folder(parent, raw)
        # The parent is unique under folding already, so its own spelling can stand for it.
        key = f"{parent}/{fold(part)}"
        other = self._folded.setdefault(key, path)
        if other != path:
            self.refuse(raw, f'is the same as "{shown(other)}" where case or Unicode forms are not told apart')

    # -- the end ------------------------------------------------------------------------------------------------

    def finish(self, container: str, layout: Layout) -> Manifest:
        """The package's files under ``layout``.

        Raises:
            UnsafeArchiveError: a symlink leads out of the package.
            ArchiveError: there is no file in it.
        """
        prefix = self._prefix(layout)
        start = len(prefix)
        files: dict[str, tuple[Entry, Place]] = {}
        links: dict[str, str] = {}
        for path, file in self._files.items():
            if not path.startswith(prefix):
                continue
            inside = path[start:]
            if travels(inside):
                files[inside] = file
            if path in self._links:
                links[inside] = self._links[path]
        for path, target in links.items():
            problem = _leads_out(path, links)
            if problem:
                self.refuse(prefix + path, f'is a link to "{shown(target)}", which {problem}')
        if not files:
            raise self.damaged("there is no file in it")
        sizes = Sizes(
            entries=self._entries,
            total_bytes=self._total,
            archive_bytes=self._archive_bytes,
            longest_path=self._longest_path,
            longest_name=self._longest_name,
        )
        return manifest_of(container, sizes, files)

    def _prefix(self, layout: Layout) -> str:
        if layout is Layout.AS_IS:
            return ""
        tops = {path.partition("/")[0] for path in self._files}
        if layout is Layout.NPM and "package" in tops and "package" in self._folders:
            return "package/"
        top = tops.pop() if len(tops) == 1 else ""
        return f"{top}/" if top in self._folders else ""


_CLAIMED: tuple[Entry, Place] = (Entry(0, "", 0), Place(0))


def _target_problem(target: str, limits: Limits) -> str | None:
    """Why a link's target is refused whatever else is in the archive."""
    problem = path_problem(target, path_bytes=limits.path_bytes)
    if problem:
        return problem
    for part in split(target):
        if part != "..":
            problem = component_problem(part, name_bytes=limits.name_bytes)
            if problem:
                return problem
    return None


def _leads_out(path: str, links: dict[str, str]) -> str | None:
    """Follow the link at ``path`` as a file system would, through other links; why not, or None when it stays in."""
    parent, _, _ = path.rpartition("/")
    where = split(parent)
    todo = split(links[path])[::-1]
    followed = 0
    while todo:
        part = todo.pop()
        if part == "..":
            if not where:
                return "leads out of the package"
            where.pop()
            continue
        where.append(part)
        target = links.get("/".join(where))
        if target is None:
            continue
        followed += 1
        if followed > _MAX_LINKS:
            return "goes round in circles"
        where.pop()
        todo.extend(split(target)[::-1])
    return None
