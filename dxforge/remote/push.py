"""One push: what is missing, in which packs it goes, and what the next manifest says then."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dxforge.events import EventBus, Progress
from dxforge.remote.fetch import Fetched, Fetcher
from dxforge.remote.garbage import pack_key
from dxforge.remote.model import (
    BLOB,
    JSON,
    Entry,
    Item,
    LeftOut,
    RemoteOptions,
    Requests,
    SyncPlan,
)
from dxforge.remote.packs import arrange, bits, chosen, spans
from dxforge.remote.plan import Catalogue, Change, Packed, Rewrite, advance, choose_rewrite, either, lacking, missing
from dxforge.remote.session import Session, listing_pages, parts
from dxforge.remote.state import SyncState
from dxforge.remote.upload import Uploader, part_size
from dxforge.remote.view import View

_GAP_BYTES = 256 << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What a push would do now: ``groups`` to upload, and ``moved`` entries of ``victims`` to upload anew."""

    groups: tuple[tuple[Item, ...], ...] = ()
    victims: frozenset[str] = frozenset()
    moved: tuple[Entry, ...] = ()
    publishes: bool = False


@dataclass(slots=True, kw_only=True)
class Push:
    """What this push has done so far; used from one thread.

    Args:
        items: all that is to be there, checked.
        refs: published once they are.
        whole: the items are all that this owner holds.
    """

    session: Session
    state: SyncState
    options: RemoteOptions
    events: EventBus
    spool_dir: Path
    owner: str
    label: str
    shown: str
    items: tuple[Item, ...]
    refs: Mapping[str, JSON]
    whole: bool
    now_s: Callable[[], float]
    chance: Callable[[], float]
    check: Callable[[], None]
    checkpoint: Callable[[str], None]
    added: list[Packed] = field(default_factory=list)
    added_at_s: list[float] = field(default_factory=list)
    rewrite: Rewrite = field(default_factory=Rewrite)
    gone: dict[str, int] = field(default_factory=dict)
    left_out: dict[Item, LeftOut] = field(default_factory=dict)
    uploads: int = 0
    size_bytes: int = 0
    packs: int = 0
    resumed: int = 0
    _began: bool = False
    _asked: int = 0

    # -- deciding ---------------------------------------------------------------------------------------------------

    def plan(self, view: View) -> SyncPlan:
        """What `change` would do, given that everything can be read."""
        draft = self._draft(view)
        upload = sum(item.size_bytes for group in draft.groups for item in group)
        return SyncPlan(
            items=len(self.items),
            uploads=sum(map(len, draft.groups)),
            size_bytes=upload,
            packs=len(draft.groups),
            publishes=draft.publishes,
            requests=self._requests(view, draft),
        )

    def _draft(self, view: View) -> Draft:
        if not self._began:
            self._began = True
            self._resume(view)
        self._refresh_added()
        catalogue = self._catalogue(view)
        absent = self._absent(catalogue)
        groups = tuple(arrange(absent, lambda item: item.size_bytes, self.options))
        publishes = bool(groups) or self._changes(view, catalogue)
        if not publishes or self.rewrite.victims:
            return Draft(groups=groups, publishes=publishes)
        victims = frozenset(choose_rewrite(view.head.manifest, view.indexes, self.options))
        return Draft(groups=groups, publishes=True, victims=victims, moved=self._moved(view, catalogue, victims))

    def _wanted(self) -> tuple[Item, ...]:
        return tuple(item for item in self.items if item not in self.left_out) if self.left_out else self.items

    def _catalogue(self, view: View) -> Catalogue:
        if self.gone:
            packs, bad = view.head.manifest.packs, either(view.bad, self.gone)
            return Catalogue(packs, view.indexes, bad).extended(self._uploaded())
        return view.catalogue.extended(self.added) if self.added else view.catalogue

    def _uploaded(self) -> list[Packed]:
        return [*self.added, *self.rewrite.packs]

    def _absent(self, catalogue: Catalogue) -> tuple[Item, ...]:
        """What is to be uploaded; items that would lack what they need are left out."""
        absent = missing(self._wanted(), catalogue)
        coming = frozenset(item.sha256 or item.name for item in absent if item.kind == BLOB)
        count = len(self.left_out)
        for item in self._wanted():
            lack = lacking(item, catalogue, coming) if item.needs else None
            if lack is not None:
                reason = f"it needs {lack}, which is not there"
                self.left_out[item] = LeftOut(kind=item.kind, name=item.name or item.sha256, reason=reason)
        return absent if len(self.left_out) == count else missing(self._wanted(), catalogue)

    def _changes(self, view: View, catalogue: Catalogue) -> bool:
        """Whether the next manifest would be another, given that nothing is missing."""
        head = view.head
        change = self._change(view, self._wanted())
        plain = None if self.gone or self.added else catalogue
        return head.damaged or (
            advance(
                head.manifest,
                head.generation + 1,
                view.indexes,
                change,
                now_s=int(self.now_s()),
                nonce="",
                options=self.options,
                catalogue=plain,
            )
            is not None
        )

    def _moved(self, view: View, catalogue: Catalogue, victims: frozenset[str]) -> tuple[Entry, ...]:
        """What anybody still wants of the victims."""
        held = view.head.manifest.held()
        positions: dict[str, set[int]] = defaultdict(set)
        for item in self._wanted():
            for entry in (catalogue.item(item), *(catalogue.find(BLOB, needed, needed) for needed in item.needs)):
                if entry is not None and entry.pack in victims:
                    positions[entry.pack].add(entry.position)
        moved: dict[object, Entry] = {}
        for pack in view.head.manifest.packs:
            if pack.id in victims:
                mask = (held[pack.id] | bits(positions[pack.id], pack.entries)) & ~view.gone(pack)
                for entry in chosen(mask, view.indexes[pack.id]):
                    moved.setdefault(entry.key, entry)
        return tuple(moved.values())

    def _requests(self, view: View, draft: Draft) -> Requests:
        """Exactly those that `Remote.push` makes when nothing goes wrong and nobody else pushes."""
        known = view.head.generation > 0 and not view.head.damaged
        class_a, class_b = (0, 2) if known else (1, 0)
        class_b += self._asked
        if not draft.publishes:
            return Requests(class_a=class_a, class_b=class_b)
        for group in draft.groups:
            size = sum(item.size_bytes for item in group)
            large = len(group) == 1 and size >= self.options.single_put_bytes
            # A pack's index may make one more part of it, hardly ever; it is some hundred bytes.
            class_a += parts(size + 1, part_size(size, self.options)) + 2 if large else 1
        by_pack: dict[str, list[Entry]] = defaultdict(list)
        for entry in draft.moved:
            by_pack[entry.pack].append(entry)
        for entries in by_pack.values():
            class_b += len(list(spans(entries, gap_bytes=_GAP_BYTES, largest_bytes=self.options.largest_pack_bytes)))
        class_a += len(arrange(draft.moved, lambda entry: entry.size_bytes, self.options))
        generation = view.head.generation + 1
        class_b += generation == 1
        if generation % self.options.collect_every == 0:
            manifest = view.head.manifest
            objects = len(manifest.packs) + len(manifest.retired) + len(draft.groups) + self.options.collect_every
            class_a += listing_pages(objects)
        return Requests(class_a=class_a + 1, class_b=class_b)

    # -- doing ------------------------------------------------------------------------------------------------------

    def change(self, view: View) -> Change | None:
        """Upload what is missing, and say what the next manifest should be; None: it need not be another.

        Raises:
            RemoteError: a request failed for good; what is uploaded is remembered.
        """
        draft = self._draft(view)
        if not draft.publishes:
            return None
        if draft.victims:
            self._rewrite(draft)
        # More than once only where an item was left out, and where the rewrite found something damaged.
        while absent := self._absent(self._catalogue(view)):
            self._upload(arrange(absent, lambda item: item.size_bytes, self.options))
        return self._change(view, self._wanted())

    def _change(self, view: View, items: tuple[Item, ...]) -> Change:
        return Change(
            owner=self.owner,
            label=self.label,
            items=items,
            whole=self.whole and not self.left_out,
            refs={} if self.left_out else self.refs,
            added=tuple(self.added),
            rewrite=self.rewrite,
            gone=either(view.bad, self.gone),
            swept=self.state.swept(),
        )

    def _resume(self, view: View) -> None:
        """Go on where an interrupted push was: what it uploaded not long ago, and is still there, need not be again."""
        manifest = view.head.manifest
        wanted = {(item.kind, item.name or item.sha256) for item in missing(self.items, view.catalogue)}
        for upload in self.state.uploads():
            pack, age_s = upload.pack, self.now_s() - upload.at_s
            young = 0 <= age_s < self.options.grace_s / 4
            if manifest.pack(pack.id) or pack.id in manifest.retired or not young:
                self.state.drop_upload(pack.id)
                continue
            if not any((entry.kind, entry.name) in wanted for entry in upload.entries):
                continue
            self._asked += 1
            found = self.session.head(pack_key(pack.id))
            if found is not None and found.size_bytes == pack.size_bytes:
                self.resumed += 1
                self._add(Packed(pack=pack, entries=upload.entries), upload.at_s)
            else:
                self.state.drop_upload(pack.id)

    def _add(self, packed: Packed, at_s: float) -> None:
        self.added.append(packed)
        self.added_at_s.append(at_s)

    def _refresh_added(self) -> None:
        """Forget uploads that are so old that somebody could take them for garbage (this machine slept)."""
        limit_s = self.now_s() - self.options.grace_s / 4
        if self.added_at_s and min(self.added_at_s) < limit_s:
            self.added.clear()
            self.added_at_s.clear()
            self.rewrite = Rewrite()

    def _upload(self, groups: Sequence[tuple[Item, ...]]) -> None:
        total = sum(item.size_bytes for group in groups for item in group)
        done = 0
        self._progress(done, total)
        for uploaded in self._uploader().upload(groups, self.check):
            for item, left in uploaded.left_out:
                self.left_out[item] = left
            if uploaded.packed is not None:
                self._add(uploaded.packed, self.now_s())
                self.packs += 1
                self.uploads += uploaded.packed.pack.entries
                self.size_bytes += uploaded.size_bytes
            done += uploaded.size_bytes + sum(item.size_bytes for item, _ in uploaded.left_out)
            self._progress(min(done, total), total)

    def _rewrite(self, draft: Draft) -> None:
        """Read what is wanted of the victims, and upload it in new packs."""
        items: list[Item] = []
        for fetched in self._fetch(draft.moved):
            entry = fetched.entry
            if fetched.content is None:
                self.gone[entry.pack] = self.gone.get(entry.pack, 0) | 1 << entry.position
            else:
                items.append(_again(entry, bytes(fetched.content)))
        groups = arrange(items, lambda item: item.size_bytes, self.options)
        packs = [
            uploaded.packed for uploaded in self._uploader().upload(groups, self.check) if uploaded.packed is not None
        ]
        self.rewrite = Rewrite(victims=draft.victims, packs=tuple(packs))
        self.added_at_s.append(self.now_s())

    def _fetch(self, entries: tuple[Entry, ...]) -> Iterator[Fetched]:
        fetcher = Fetcher(session=self.session, options=self.options, spool_dir=self.spool_dir, check=self.check)
        return fetcher.fetch(entries)

    def _uploader(self) -> Uploader:
        return Uploader(
            session=self.session,
            state=self.state,
            options=self.options,
            now_s=self.now_s,
            chance=self.chance,
            checkpoint=self.checkpoint,
        )

    def _progress(self, done: int, total: int) -> None:
        self.events.emit(Progress(phase="upload", item=self.shown, done=done, total=total))


def _again(entry: Entry, content: bytes) -> Item:
    return Item(kind=entry.kind, name=entry.name, sha256=entry.sha256, size_bytes=len(content), read=lambda: content)
