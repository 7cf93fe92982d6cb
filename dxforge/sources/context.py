"""What every source works with."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

from dxforge.config.model import IndexConfig, Limits
from dxforge.errors import IntegrityError, OfflineError
from dxforge.events import EventBus
from dxforge.sources.catalogue import Catalogue
from dxforge.sources.download import Downloader, fetch_archive
from dxforge.sources.model import Candidate
from dxforge.store.archives import ArchiveStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The project, the user's cache, and the way to the network (not to be taken when ``offline``)."""

    root: Path
    limits: Limits
    index: IndexConfig
    store: ArchiveStore
    catalogue: Catalogue
    net: Downloader
    events: EventBus
    offline: bool
    ca_file: str = ""

    def refuse_offline(self, what: str) -> None:
        """Raise where the network would be needed and must not be used.

        Args:
            what: what is missing, e.g. ``humanize 4.9 (humanize-4.9.tar.gz)``.

        Raises:
            OfflineError: with the way out.
        """
        if self.offline:
            raise OfflineError(
                "it is not in the cache, and the network was not to be used",
                where=what,
                hint="Run the same command once without --offline (and without DXFORGE_OFFLINE)",
            )

    def fetch(self, candidate: Candidate, origin: str) -> tuple[Candidate, Path]:
        """The archive of a candidate that has a ``location``, from the cache where it is there.

        Args:
            origin: the source's own, for the catalogue.

        Returns:
            The candidate with its sha256, and the archive's path.

        Raises:
            SourceError: it cannot be had; nothing was kept.
        """
        known = candidate if candidate.sha256 else self.catalogue.same(candidate, origin)
        path = self.store.get(known.sha256) if known.sha256 else None
        if path is not None:
            for algorithm, promised in known.digests:
                with path.open("rb") as stream:
                    if hashlib.file_digest(stream, algorithm).hexdigest() != promised:
                        raise IntegrityError(
                            f"its {algorithm} is not the {promised} that was promised",
                            where=candidate.filename,
                            hint="The index offers another file under the same name; look into that before you go on",
                        )
        else:
            self.refuse_offline(label(candidate))
            path = fetch_archive(
                self.net, self.store, candidate.location, item=candidate.filename, sha256=candidate.sha256,
                digests=candidate.digests, size_bytes=candidate.size_bytes,
            )  # fmt: skip
            known = replace(candidate, sha256=path.name)
        self.catalogue.record(known, origin)
        return known, path


def label(candidate: Candidate) -> str:
    """How errors name a candidate."""
    return f"{candidate.name} {candidate.version} ({candidate.filename})"
