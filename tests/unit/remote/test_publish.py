"""Making the next manifest, whoever else does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dxforge.errors import RemoteContentError, RemoteUnreachableError
from dxforge.remote.folder import FolderObjects
from dxforge.remote.garbage import manifest_key
from dxforge.remote.location import Location
from dxforge.remote.manifest import encode_manifest
from dxforge.remote.model import Manifest, RemoteOptions
from dxforge.remote.plan import Change
from dxforge.remote.policy import Breaker, RetryPolicy
from dxforge.remote.publish import Publisher
from dxforge.remote.session import Circuit, Session
from dxforge.remote.state import SyncState
from dxforge.remote.view import look

OPTIONS = RemoteOptions(publish_s=0.2)


def publisher(base: Path, checkpoint: Callable[[str], None] = lambda _: None) -> Publisher:
    objects = FolderObjects(base / "remote", make_parents=True)
    session = Session(
        objects, Location(kind="file"), retry=RetryPolicy(), circuit=Circuit(Breaker()), chance=lambda: 0.01
    )
    state = SyncState(base / "state")
    return Publisher(
        session=session,
        state=state,
        options=OPTIONS,
        shown="there",
        look=lambda: look(session, state, None, options=OPTIONS, check=lambda: None),
        now_s=lambda: 1000.0,
        chance=lambda: 0.01,
        check=lambda: None,
        checkpoint=checkpoint,
    )


def refs(value: int) -> Change:
    return Change(owner="me", refs={"r": value})


def test_a_change_is_the_next_manifest(tmp_path: Path) -> None:
    ours = publisher(tmp_path)
    head, published = ours.publish(lambda _: refs(1))
    assert (published, head.generation) == (True, 1)
    assert ours.publish(lambda _: refs(1)) == (head, False)
    assert ours.publish(lambda _: None) == (head, False)
    assert ours.publish(lambda _: refs(2))[0].generation == 2


def test_who_always_loses_gives_up_in_the_end(tmp_path: Path) -> None:
    objects = FolderObjects(tmp_path / "remote", make_parents=True)
    number = 0

    def overtaken(step: str) -> None:
        nonlocal number
        if step == "publishing":
            number += 1
            objects.put(manifest_key(number), encode_manifest(Manifest(generation=number, nonce="theirs")))

    with pytest.raises(RemoteUnreachableError, match="others have published"):
        publisher(tmp_path, overtaken).publish(lambda _: refs(1))
    assert number > 2


def test_what_is_stored_must_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A login page that says yes to everything stores nothing."""
    ours = publisher(tmp_path)
    monkeypatch.setattr(ours.session.objects, "create", lambda *_: "tag")
    with pytest.raises(RemoteContentError, match="what was just stored"):
        ours.publish(lambda _: refs(1))


def test_a_machine_that_slept_looks_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = publisher(tmp_path)
    now_s = [1000.0]
    monkeypatch.setattr("dxforge.remote.publish.time.time", lambda: now_s[0])
    calls = 0

    def change(_: object) -> Change:
        nonlocal calls
        calls += 1
        if calls == 1:
            now_s[0] += 3600
        return refs(calls)

    head, published = ours.publish(change)
    assert (published, calls) == (True, 2)
    assert head.manifest.owners[0].refs == {"r": 2}
