"""Bare mirrors of repositories elsewhere: cloned beside their place and moved there whole, fetched afterwards.

Processes need no lock: a clone appears by one rename, git's own files by renames of their own, and where two fetches
meet at a reference, the later one tries again.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from dxforge.errors import DownloadError
from dxforge.events import Progress
from dxforge.files import write_error
from dxforge.sources.context import Context
from dxforge.sources.download import ATTEMPTS, shown_url

if TYPE_CHECKING:
    import pygit2

_REFSPECS = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"]
_TIMEOUT_MS = 60_000
_BACKOFF_S = 0.4
_PROGRESS_S = 0.1
# libgit2 tells errors apart by their text only. These stay as they are however often one asks.
_FINAL = (
    "401",
    "403",
    "404",
    "authenticat",
    "not found",
    "certificate",
    "unsupported url",
    "malformed url",
    "redirect",
)


class Mirror:
    """One repository's mirror in the cache.

    Args:
        folder: where it lies, or is to lie.
        address: the repository's, without credentials.
        where: names the package in errors.
    """

    def __init__(self, context: Context, folder: Path, address: str, where: str) -> None:
        self._context = context
        self._folder = folder
        self._address = address
        self._where = where

    def open(self) -> pygit2.Repository | None:
        """The mirror as it is; None where there is none, or none that can be read."""
        import pygit2

        try:
            return pygit2.Repository(str(self._folder), pygit2.enums.RepositoryOpenFlag.NO_SEARCH)
        except (pygit2.GitError, KeyError):
            return None

    def update(self) -> pygit2.Repository:
        """Bring it up to date, or make it.

        Raises:
            DownloadError: the repository cannot be had, after retries; an older mirror stays as it was.
        """
        import pygit2

        for number in range(1, ATTEMPTS + 1):
            try:
                known = self.open()
                if known is None:
                    return self._clone()
                self._fetch(known)
                return known
            except pygit2.GitError as error:
                text = str(error).lower()
                if number == ATTEMPTS or any(sign in text for sign in _FINAL):
                    raise self._error(error) from error
                time.sleep(_BACKOFF_S * 2 ** (number - 1))
            except OSError as error:
                raise write_error(error, self._folder, "the cache cannot be written") from error
        raise AssertionError  # the last attempt raises

    def fetch_commit(self, repository: pygit2.Repository, commit: str) -> None:
        """Ask for one commit by its id; that the server refuses is no error."""
        import pygit2

        with contextlib.suppress(pygit2.GitError):
            remote = repository.remotes.create_anonymous(self._address)
            refspec = f"+{commit}:refs/dxforge/{commit}"
            remote.fetch([refspec], callbacks=_callbacks(self._context, self._address), proxy=True)

    def _clone(self) -> pygit2.Repository:
        import pygit2

        self._folder.parent.mkdir(parents=True, exist_ok=True)
        if self._folder.exists():
            shutil.rmtree(self._folder)  # there, and not to be opened: damaged
        temporary = Path(tempfile.mkdtemp(prefix=f"{self._folder.name}.", dir=self._folder.parent))
        try:
            self._fetch(pygit2.init_repository(str(temporary), bare=True))
            with contextlib.suppress(OSError):  # another process was first: then its mirror is as good
                os.rename(temporary, self._folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return pygit2.Repository(str(self._folder))

    def _fetch(self, repository: pygit2.Repository) -> None:
        import pygit2

        settings = pygit2.settings
        settings.server_connect_timeout = settings.server_timeout = _TIMEOUT_MS
        if self._context.ca_file:
            settings.set_ssl_cert_locations(self._context.ca_file, None)
        # Anonymous: the address, which may be a secret's neighbour, is not written into the mirror's config.
        remote = repository.remotes.create_anonymous(self._address)
        heads = remote.list_heads(callbacks=_callbacks(self._context, self._address), proxy=True)
        remote.fetch(
            _REFSPECS,
            callbacks=_callbacks(self._context, self._address),
            prune=pygit2.enums.FetchPrune.PRUNE,
            proxy=True,
        )
        target = next((head.symref_target for head in heads if head.name == "HEAD" and head.symref_target), None)
        if target is not None:
            repository.set_head(target)

    def _error(self, error: pygit2.GitError) -> DownloadError:
        text = str(error).lower()
        hint = "Check the address and the network, or use what is in the cache with --offline"
        if "certificate" in text:
            hint = "Name the certificates to trust in PIP_CERT, REQUESTS_CA_BUNDLE or SSL_CERT_FILE"
        elif any(sign in text for sign in ("401", "403", "authenticat")):
            hint = "Put user and password into ~/.netrc; for ssh, add your key to the agent"
        shown = shown_url(self._address) if "://" in self._address else self._address
        reason = str(error).replace(self._address, shown)
        return DownloadError(f"the repository cannot be had: {reason}", where=self._where, hint=hint)


def _callbacks(context: Context, address: str) -> pygit2.RemoteCallbacks:
    import pygit2

    class Callbacks(pygit2.RemoteCallbacks):
        """Credentials from ``~/.netrc`` or the ssh agent, once; progress in bytes."""

        asked = False
        shown_s = 0.0

        def credentials(self, url: str, username_from_url: str | None, allowed_types: Any) -> Any:
            if not self.asked:
                self.asked = True
                kinds = pygit2.enums.CredentialType
                if allowed_types & kinds.USERPASS_PLAINTEXT:
                    from requests.utils import get_netrc_auth

                    pair = get_netrc_auth(url)
                    if pair is not None:
                        return pygit2.UserPass(*pair)
                if allowed_types & kinds.SSH_KEY:
                    return pygit2.KeypairFromAgent(username_from_url or "git")
            raise pygit2.GitError("401: authentication is required")

        def transfer_progress(self, stats: Any) -> None:
            now_s = time.monotonic()
            finished = stats.received_objects == stats.total_objects
            if finished or now_s - self.shown_s >= _PROGRESS_S:
                self.shown_s = now_s
                item = urlsplit(address).path.rpartition("/")[2] or address
                total = stats.received_bytes if finished else None
                context.events.emit(Progress(phase="download", item=item, done=stats.received_bytes, total=total))

    return Callbacks()
