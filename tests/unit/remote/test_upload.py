"""Items into packs: what is left out, and in which parts large ones go."""

from __future__ import annotations

from pathlib import Path

import pytest

from dxforge.remote.folder import FolderObjects
from dxforge.remote.location import Location
from dxforge.remote.model import BLOB, Item, RemoteOptions
from dxforge.remote.policy import Breaker, RetryPolicy
from dxforge.remote.session import Circuit, Session
from dxforge.remote.state import SyncState
from dxforge.remote.upload import Uploader, part_size
from tests.support.remotes import blob, sha256

MIB = 1 << 20


def uploader(base: Path) -> Uploader:
    objects = FolderObjects(base / "remote", make_parents=True)
    return Uploader(
        session=Session(
            objects, Location(kind="file"), retry=RetryPolicy(), circuit=Circuit(Breaker()), chance=lambda: 0.5
        ),
        state=SyncState(base / "state"),
        options=RemoteOptions(),
        now_s=lambda: 7.0,
        chance=lambda: 0.5,
    )


def test_parts_are_as_said_and_never_too_many() -> None:
    options = RemoteOptions()
    assert part_size(100_000_000, options) == 16 * MIB
    assert part_size(1 << 40, options) == 117 * MIB
    assert -(-(1 << 40) // part_size(1 << 40, options)) <= 10_000


def test_a_pack_of_items_from_files_and_functions(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"from a file")
    items = (
        Item(kind=BLOB, name="a", size_bytes=11, read=tmp_path / "a"),
        Item(kind="object", name="b", size_bytes=2, read=lambda: b"xy"),
    )
    (uploaded,) = uploader(tmp_path).upload([items], lambda: None)
    assert uploaded.packed is not None
    assert [(entry.name, entry.sha256) for entry in uploaded.packed.entries] == [
        ("a", sha256(b"from a file")),
        ("b", sha256(b"xy")),
    ]
    stored = (tmp_path / "remote/packs" / uploaded.packed.pack.id).read_bytes()
    assert stored.startswith(b"from a filexy")
    assert len(stored) == uploaded.packed.pack.size_bytes
    (noted,) = SyncState(tmp_path / "state").uploads()
    assert (noted.pack, noted.at_s) == (uploaded.packed.pack, 7.0)


@pytest.mark.parametrize(
    ("read", "reason"),
    [
        (Path("/no/such/file"), "no longer there"),
        (Path("/"), "cannot be read: is a directory"),
        (lambda: b"wrong", "changed while"),
        (lambda: {}["x"], "cannot be read: 'x'"),
    ],
)
def test_what_cannot_be_read_is_left_out_with_the_reason(tmp_path: Path, read: object, reason: str) -> None:
    bad = Item(kind=BLOB, name="bad", size_bytes=3, read=read)  # type: ignore[arg-type]
    (uploaded,) = uploader(tmp_path).upload([(bad, blob(b"good"))], lambda: None)
    assert uploaded.packed is not None
    assert [entry.size_bytes for entry in uploaded.packed.entries] == [4]
    ((item, left),) = uploaded.left_out
    assert item is bad
    assert reason in left.reason
    (nothing,) = uploader(tmp_path).upload([(bad,)], lambda: None)
    assert nothing.packed is None


def test_a_reader_is_called_by_one_thread_at_a_time(tmp_path: Path) -> None:
    inside = 0
    most = 0

    def read() -> bytes:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        content = bytes(1000)
        inside -= 1
        return content

    groups = [(Item(kind="object", name=f"{number}", size_bytes=1000, read=read),) for number in range(40)]
    assert len(list(uploader(tmp_path).upload(groups, lambda: None))) == 40
    assert most == 1
