"""Packages from git repositories: a commit's tree, packed as a folder would be.

A repository on this machine is read where it lies; any other is mirrored, bare, in the user's cache (``git/``).
Nothing of a repository is run: no hooks, no filters, no checkout. LFS pointers stay pointers, submodules stay out.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from dxforge.config.model import GitSpec
from dxforge.errors import IntegrityError, PackageNotFoundError, SourceError
from dxforge.events import Notice
from dxforge.sources.catalogue import Packed
from dxforge.sources.context import Context
from dxforge.sources.download import file_of, strip_userinfo
from dxforge.sources.model import Candidate, Layout, Pin
from dxforge.sources.packing import Member, pack
from dxforge.store.tree import EXECUTABLE, FILE, SYMLINK, travels

if TYPE_CHECKING:
    import pygit2

_HEX = re.compile(r"[0-9a-fA-F]{4,64}")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_SCP = re.compile(r"[A-Za-z0-9._-]+@[A-Za-z0-9.-]+:")
_SHORT_DIGITS = 12
# Part of the key of packed trees: raised when packing.py writes other bytes.
_PACKING = 1
_SUBMODULE = 0o160000
_MODES = {0o100644: FILE, 0o100664: FILE, 0o100755: EXECUTABLE, 0o120000: SYMLINK}


def satisfies(spec: GitSpec, pin: Pin) -> bool:
    """Whether the locked commit is still what ``dx.toml`` asks for. Pure: a branch may have moved, which an upgrade
    looks at."""
    return pin.kind == "git" and (pin.ref, pin.rev, pin.subdir) == (strip_userinfo(spec.git), spec.rev, spec.subdir)


class GitSource:
    """Finds commits, and packs their trees into the cache. Thread-safe; a mirror is fetched once."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._fresh: set[str] = set()
        self._locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def find(self, spec: GitSpec) -> Candidate:
        """The commit that ``spec.rev`` means now; its tree is in the cache afterwards.

        Raises:
            PackageNotFoundError: no such repository, revision or folder.
            DownloadError, OfflineError: it cannot be asked.
            SourceError: it cannot be read.
        """
        address = strip_userinfo(spec.git)
        where = f"{spec.name}: {address}"
        with self._lock_of(address):
            repository = self._open(address, where, fresh=True)
            commit, version = self._resolve(repository, spec.rev, address, where)
            sha256 = self._pack(repository, commit, spec.subdir, where)
        return Candidate(
            name=spec.name,
            kind="git",
            ref=address,
            version=version,
            filename=f"{_repository_name(address)}-{str(commit.id)[:_SHORT_DIGITS]}.tar",
            layout=Layout.AS_IS,
            sha256=sha256,
            commit=str(commit.id),
            rev=spec.rev,
            subdir=spec.subdir,
        )

    def locate(self, pin: Pin) -> Candidate:
        """The locked commit's tree, packed again into the cache.

        Raises:
            SourceError: the repository does not have it any more.
            IntegrityError: it is not what the lock pins.
        """
        where = f"{pin.name}: {pin.ref}"
        with self._lock_of(pin.ref):
            repository = self._open(pin.ref, where, fresh=False)
            commit = _commit_of(repository, pin.commit)
            if commit is None and not _is_local(pin.ref) and not self._context.offline:
                repository = self._open(pin.ref, where, fresh=True)
                commit = _commit_of(repository, pin.commit) or self._fetch_commit(repository, pin.ref, pin.commit)
            if commit is None:
                self._context.refuse_offline(f"{where} at {pin.commit[:_SHORT_DIGITS]}")
                raise SourceError(
                    f"it has no commit {pin.commit} any more, which dx.lock pins",
                    where=where,
                    hint=f"Install another one with `dxforge install {pin.name} --upgrade`",
                )
            sha256 = self._pack(repository, commit, pin.subdir, where)
        if sha256 != pin.sha256:
            raise IntegrityError(
                f"commit {pin.commit[:_SHORT_DIGITS]} packs to sha256 {sha256}, and dx.lock pins {pin.sha256}",
                where=where,
                hint="dx.lock was edited, or written by another dxforge; install with --upgrade to pin anew",
            )
        return Candidate.of(pin)

    # -- repositories -----------------------------------------------------------------------------------------------

    def _lock_of(self, address: str) -> threading.Lock:
        with self._lock:
            return self._locks.setdefault(address, threading.Lock())

    def _open(self, address: str, where: str, *, fresh: bool) -> pygit2.Repository:
        """The repository; of one elsewhere the mirror, brought up to date where ``fresh`` asks for it."""
        import pygit2

        if not _is_local(address):
            return self._mirror(address, where, fresh=fresh)
        path = file_of(address) if address.startswith("file://") else self._context.root / address
        try:
            return pygit2.Repository(os.path.abspath(path))
        except (pygit2.GitError, KeyError, OSError) as error:
            if not path.exists():
                raise PackageNotFoundError(
                    "there is no such repository",
                    where=where,
                    hint="Paths in dx.toml are relative to the project's folder",
                ) from error
            hint = "Name the folder that has .git, or the bare repository itself"
            if "owned" in str(error) or "owner" in str(error):
                hint = f"Trust it with `git config --global --add safe.directory {path}`"
            raise SourceError(f"it is no git repository that can be read: {error}", where=where, hint=hint) from error

    def _mirror(self, address: str, where: str, *, fresh: bool) -> pygit2.Repository:
        from dxforge.sources.remote_git import Mirror

        key = hashlib.sha256(address.encode()).hexdigest()[:32]
        mirror = Mirror(self._context, self._context.store.cache_dir / "git" / key, address, where)
        repository = mirror.open()
        if repository is None or (fresh and address not in self._fresh):
            if self._context.offline and repository is not None:
                return repository
            self._context.refuse_offline(where)
            repository = mirror.update()
            self._fresh.add(address)
        return repository

    def _fetch_commit(self, repository: pygit2.Repository, address: str, commit: str) -> pygit2.Commit | None:
        """Ask for a commit that no branch or tag leads to; servers may refuse, and then there is none."""
        from dxforge.sources.remote_git import Mirror

        Mirror(self._context, Path(repository.path), address, address).fetch_commit(repository, commit)
        return _commit_of(repository, commit)

    def _resolve(self, repository: pygit2.Repository, rev: str, address: str, where: str) -> tuple[pygit2.Commit, str]:
        """The commit, and how its version is written: the tag's name, else the commit's first digits."""
        import pygit2

        if not rev:
            try:
                commit = repository.head.peel(pygit2.Commit)
            except pygit2.GitError as error:
                raise PackageNotFoundError(
                    "its default branch has no commit", where=where, hint="Name a revision with rev = …"
                ) from error
            return commit, str(commit.id)[:_SHORT_DIGITS]
        # git's own order (gitrevisions(7)), remote-tracking branches for what was cloned but never checked out.
        for pattern in ("refs/tags/{}", "refs/heads/{}", "refs/remotes/origin/{}", "{}"):
            name = pattern.format(rev)
            if not name.startswith("refs/") or name not in repository.references:
                continue
            try:
                commit = repository.references[name].peel(pygit2.Commit)
            except pygit2.GitError as error:
                raise SourceError(f"{rev} is no commit", where=where, hint="Name a commit, tag or branch") from error
            return commit, rev if name == f"refs/tags/{rev}" else str(commit.id)[:_SHORT_DIGITS]
        found = _commit_of(repository, rev)
        if found is None and len(rev) >= 40 and not _is_local(address) and not self._context.offline:
            found = self._fetch_commit(repository, address, rev)
        if found is None:
            raise PackageNotFoundError(
                f'it has no commit, tag or branch "{rev}"', where=where, hint=_nearest(repository, rev)
            )
        return found, str(found.id)[:_SHORT_DIGITS]

    # -- trees ------------------------------------------------------------------------------------------------------

    def _pack(self, repository: pygit2.Repository, commit: pygit2.Commit, subdir: str, where: str) -> str:
        """Pack the commit's tree (below ``subdir``); returns the archive's sha256."""
        tree = _subtree(commit, subdir, where)
        key = f"git tree, packing {_PACKING}"
        known = self._context.catalogue.packed(f"{key}: {tree.id}")
        if known is not None and self._context.store.get(known.sha256) is not None:
            return known.sha256
        submodules: list[str] = []
        files = sorted(_files(tree, b"", submodules), key=lambda file: file[0])
        if not files:
            raise SourceError("there is no file at that commit", where=where, hint="Name another rev or subdir")
        store = self._context.store
        with store.incoming() as incoming:
            pack(_members(repository, files), incoming)
            sha256 = incoming.sha256
            if store.get(sha256) is None:
                store.keep(incoming, what=where)
        if submodules:
            text = f"{where}: submodules are left out ({', '.join(sorted(submodules))})"
            self._context.events.emit(Notice(text=text))
        self._context.catalogue.record_packed(f"{key}: {tree.id}", Packed(mark=str(tree.id), sha256=sha256))
        return sha256


def _is_local(address: str) -> bool:
    return address.startswith("file://") or not (_SCHEME.match(address) or _SCP.match(address))


def _repository_name(address: str) -> str:
    path = urlsplit(address).path if _SCHEME.match(address) else address
    return re.split(r"[/\\:]", path.rstrip("/\\"))[-1].removesuffix(".git") or "repository"


def _commit_of(repository: pygit2.Repository, rev: str) -> pygit2.Commit | None:
    """The commit with this id, or the one id that starts so."""
    import pygit2

    if not _HEX.fullmatch(rev):
        return None
    try:
        return repository.revparse_single(rev.lower()).peel(pygit2.Commit)
    except (KeyError, ValueError, pygit2.GitError):
        return None


def _nearest(repository: pygit2.Repository, rev: str) -> str:
    import difflib

    names = [name.split("/", 2)[2] for name in repository.references if name.startswith(("refs/tags/", "refs/heads/"))]
    near = difflib.get_close_matches(rev, names, n=1, cutoff=0.5)
    return f"Did you mean {near[0]}" if near else "Name a commit (at least 4 digits), a tag or a branch"


def _subtree(commit: pygit2.Commit, subdir: str, where: str) -> pygit2.Tree:
    import pygit2

    tree: pygit2.Object | None = commit.tree
    for part in (part for part in subdir.split("/") if part not in ("", ".")):
        tree = tree[part] if isinstance(tree, pygit2.Tree) and part in tree else None
    if not isinstance(tree, pygit2.Tree):
        raise PackageNotFoundError(
            f'there is no folder "{subdir}" at commit {str(commit.id)[:_SHORT_DIGITS]}',
            where=where,
            hint="Correct subdir, or the revision",
        )
    return tree


def _files(tree: pygit2.Tree, prefix: bytes, submodules: list[str]) -> Iterator[tuple[bytes, int, pygit2.Oid]]:
    """(path, mode, id) of everything that travels."""
    import pygit2

    for item in tree:
        path = prefix + (item.raw_name or b"")
        text = path.decode("utf-8", "surrogateescape")
        if not travels(text):
            continue
        mode = int(item.filemode)
        if mode == _SUBMODULE:
            submodules.append(text)
        elif isinstance(item, pygit2.Tree):
            yield from _files(item, path + b"/", submodules)
        else:
            yield path, _MODES.get(mode, FILE), item.id


def _members(repository: pygit2.Repository, files: list[tuple[bytes, int, pygit2.Oid]]) -> Iterator[Member]:
    for path, mode, oid in files:
        yield Member(path.decode("utf-8", "surrogateescape"), mode, repository.read(oid)[1])
