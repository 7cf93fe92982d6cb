"""Making the next manifest, whoever else does; and deleting what no manifest refers to any more."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from dxforge.errors import RemoteContentError, RemoteUnreachableError
from dxforge.remote.garbage import find_garbage, manifest_key
from dxforge.remote.manifest import decode_manifest, encode_manifest
from dxforge.remote.model import Manifest, RemoteOptions
from dxforge.remote.plan import Change, advance
from dxforge.remote.session import Session
from dxforge.remote.state import Head, SyncState
from dxforge.remote.view import View

_FRESH_S = 60.0
"""A manifest is only followed up with the next one while it was read no longer ago than this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Publisher:
    """Publishes for one push, pull or other call.

    Args:
        shown: the remote, for errors.
        look: the remote as it is now.
        now_s: seconds since 1970.
        chance: numbers in [0, 1).
        check: raises to give up.
        checkpoint: called before and after a manifest is stored; for tests that interrupt there.
    """

    session: Session
    state: SyncState
    options: RemoteOptions
    shown: str
    look: Callable[[], View]
    now_s: Callable[[], float]
    chance: Callable[[], float]
    check: Callable[[], None]
    checkpoint: Callable[[str], None]

    def publish(self, change: Callable[[View], Change | None]) -> tuple[Head, bool]:
        """Make ``change`` to the newest manifest; it is called again for each one that another publishes first.

        Args:
            change: what to change; None for nothing.

        Returns:
            The newest manifest then, and whether it is ours; it is not where nothing would have been different.

        Raises:
            RemoteError: a request failed for good, or others kept publishing all the time.
        """
        began_s = time.monotonic()
        lost = 0
        while True:
            self.check()
            view = self.look()
            looked_s = time.time()
            wanted = change(view)
            if wanted is None:
                return view.head, False
            if not 0 <= time.time() - looked_s < _FRESH_S:
                # It took long, or this machine slept: others may have gone on, and deleted what we go by.
                continue
            nonce = secrets.token_hex(8)
            manifest = advance(
                view.head.manifest,
                view.head.generation + 1,
                view.indexes,
                wanted,
                now_s=int(self.now_s()),
                nonce=nonce,
                options=self.options,
                force=view.head.damaged,
            )
            if manifest is None:
                return view.head, False
            head = self._store(manifest)
            if head is not None:
                return head, True
            lost += 1
            if time.monotonic() - began_s > self.options.publish_s:
                raise RemoteUnreachableError(
                    f"others have published {lost} times while we tried to",
                    where=self.shown,
                    hint="Try again when fewer machines sync at the same time",
                )
            self.session.pause(self.chance() * min(2.0, 0.02 * 2.0 ** min(lost, 10)))

    def _store(self, manifest: Manifest) -> Head | None:
        """Store a manifest that nobody else has stored yet; None: somebody has."""
        content = encode_manifest(manifest)
        self.checkpoint("publishing")
        tag = self.session.create(manifest_key(manifest.generation), content)
        if tag is None or manifest.generation == 1:
            # Ours, if the answer to a first try got lost; and the very first one shows whether this store stores.
            tag = self._ours(manifest)
        if tag is None:
            return None
        self.checkpoint("published")
        head = Head(generation=manifest.generation, tag=tag, size_bytes=len(content), manifest=manifest)
        self.state.save_head(head, content)
        self._tidy(manifest)
        return head

    def _ours(self, manifest: Manifest) -> str | None:
        """The tag of the stored manifest of that generation if it is this one."""
        where = manifest_key(manifest.generation)
        found = self.session.get(where)
        if found is None:
            raise RemoteContentError(
                "it does not have what was just stored there",
                where=self.shown,
                hint="Check the endpoint in dx.toml's [remote]; something else answers for it",
            )
        stored = decode_manifest(bytes(found[0]), where=where)
        return found[1] if stored.nonce == manifest.nonce else None

    def _tidy(self, manifest: Manifest) -> None:
        """Forget what the new manifest knows."""
        gone = {pack.id: pack.gone for pack in manifest.packs}
        damaged = {pack: mask & ~gone[pack] for pack, mask in self.state.damaged().items() if pack in gone}
        self.state.save_damaged({pack: mask for pack, mask in damaged.items() if mask})
        self.state.save_swept(self.state.swept() & manifest.retired.keys())
        self.state.keep_indexes(gone)

    def collect(self, head: Head) -> tuple[int, dict[str, int]]:
        """Delete what nothing refers to and is older than the grace time.

        Returns:
            How many objects that were, and the packs that are missing though ``head`` refers to them, as bits of all
            of their entries.
        """
        if head.damaged or not head.generation:
            return 0, {}
        garbage = find_garbage(self.session.list_all(""), head.manifest, head.generation, self.options)
        for key in garbage.manifests:
            # One by one: whoever finds a gap takes the number before it for the newest.
            self.check()
            self.session.delete([key])
        if garbage.packs:
            self.session.delete(list(garbage.packs))
        deleted = {key.rpartition("/")[2] for key in garbage.packs}
        self.state.save_swept((garbage.swept | deleted) & head.manifest.retired.keys())
        lost = {pack.id: pack.all for pack in head.manifest.packs if pack.id in garbage.lost}
        return len(garbage.manifests) + len(garbage.packs), lost
