"""Emptying and restoring outputs by themselves: whole or not at all, and nothing of the user's is lost."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from dxforge import files
from dxforge.build.cache import DamagedError, LocalCache
from dxforge.build.digests import Digests
from dxforge.build.outputs import difference, look_at, read
from dxforge.build.record import Row
from dxforge.build.replace import Outputs, StagingError, check_places
from dxforge.errors import BuildPlanError, WriteError
from tests.support.project import snapshot

OUTPUTS = ("dist", "one")


class Yard:
    """A project with two outputs, and a cache that knows them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.state = root / ".dx/build"
        self.state.mkdir(parents=True)
        self.cache = LocalCache(self.state)
        (root / "dist/deep").mkdir(parents=True)
        (root / "dist/deep/a").write_text("a")
        (root / "dist/link").symlink_to("deep")
        (root / "one").write_text("1")
        self.rows = read(look_at(str(root), OUTPUTS), self.digests())
        for path, row in self.rows.items():
            if row.kind == "file":
                assert self.cache.store(row.what, str(root / path))

    def digests(self) -> Digests:
        return Digests(str(self.root), self.state / "stat")

    def outputs(self) -> Outputs:
        return Outputs(str(self.root), self.state, self.digests(), time_name="now")

    def restore(self) -> dict[str, Path]:
        return self.outputs().restore("id", OUTPUTS, self.rows, [self.rows], self.cache)

    def differs(self) -> str:
        return difference(self.rows, look_at(str(self.root), OUTPUTS), self.digests())


@pytest.fixture
def yard(tmp_path: Path) -> Yard:
    return Yard(tmp_path)


def test_clear_takes_what_was_written_and_puts_aside_the_rest(yard: Yard) -> None:
    (yard.root / "dist/mine").write_text("m")
    (yard.root / "dist/deep/a").write_text("edited")
    os.mkfifo(yard.root / "dist/pipe")
    aside = yard.outputs().clear("id", OUTPUTS, [yard.rows])
    assert not (yard.root / "dist").exists() and not (yard.root / "one").exists()
    kept = yard.state / "replaced/now"
    assert aside == {path: kept / path for path in ("dist/mine", "dist/deep/a", "dist/pipe")}
    assert (kept / "dist/mine").read_text() == "m" and (kept / "dist/deep/a").read_text() == "edited"
    assert list((yard.state / "staging").iterdir()) == []


def test_clear_makes_the_folders_that_outputs_lie_in(yard: Yard) -> None:
    yard.outputs().clear("id", ("new/deep/out",), [])
    assert (yard.root / "new/deep").is_dir() and not (yard.root / "new/deep/out").exists()


def test_restore_over_anything(yard: Yard) -> None:
    for damage in (
        lambda: None,
        (yard.root / "one").unlink,
        lambda: (yard.root / "dist").rename(yard.root / "elsewhere"),
        lambda: ((yard.root / "one").unlink(), (yard.root / "one").mkdir()),
        lambda: (yard.root / "dist/deep").chmod(0o500),
    ):
        damage()
        yard.restore()
        assert yard.differs() == ""


def test_put_aside_twice(yard: Yard) -> None:
    outputs = yard.outputs()
    for content in ("first", "second"):
        (yard.root / "dist").mkdir(exist_ok=True)
        (yard.root / "dist/mine").write_text(content)
        outputs.clear("id", OUTPUTS, [yard.rows])
    (yard.root / "dist").write_text("third, and no folder")
    outputs.clear("id", OUTPUTS, [yard.rows])
    found = sorted(path.read_text() for path in (yard.state / "replaced").rglob("*") if path.is_file())
    assert found == ["first", "second", "third, and no folder"]


def test_a_missing_content_changes_nothing(yard: Yard) -> None:
    before = snapshot(yard.root)
    digest = yard.rows["one"].what
    (yard.state / f"blobs/{digest[:2]}/{digest}").unlink()
    with pytest.raises(DamagedError):
        yard.restore()
    assert snapshot(yard.root) == before
    assert list((yard.state / "staging").iterdir()) == []


@pytest.mark.parametrize("path", ["dist/../../evil", "dist/link/evil", "dist//x"])
def test_a_result_from_elsewhere_cannot_lead_out(yard: Yard, path: str) -> None:
    yard.rows[path] = yard.rows["one"]
    before = snapshot(yard.root.parent, without=(yard.root.name + "/.dx",))
    with pytest.raises((WriteError, StagingError)):
        yard.restore()
    assert snapshot(yard.root.parent, without=(yard.root.name + "/.dx",)) == before


def test_what_lies_in_no_output_is_not_restored(yard: Yard) -> None:
    rows = {**yard.rows, "elsewhere": yard.rows["one"]}
    yard.outputs().restore("id", OUTPUTS, rows, [], yard.cache)
    assert not (yard.root / "elsewhere").exists()


def test_outputs_behind_a_symlink_are_refused(yard: Yard) -> None:
    (yard.root / "link").symlink_to("dist")
    with pytest.raises(WriteError, match="symlink"):
        yard.outputs().clear("id", ("link/x",), [])
    with pytest.raises(BuildPlanError, match='"link/deep/x" lies behind the symlink link') as caught:
        check_places(str(yard.root), {"dist/x": "a", "link/deep/x": "build.steps[1].outputs"})
    assert caught.value.where == "build.steps[1].outputs"


@pytest.mark.parametrize("kernel", ["exchange", "no exchange"])
def test_without_the_kernels_exchange(yard: Yard, kernel: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if kernel == "no exchange":
        monkeypatch.setattr(files, "_KERNEL", [None, (0, 0)])
    (yard.root / "dist/mine").write_text("m")
    aside = yard.restore()
    assert set(aside) == {"dist/mine"} and yard.differs() == ""


def test_clear_in_place_leaves_what_is_not_known(yard: Yard) -> None:
    (yard.root / "dist/mine").write_text("m")
    yard.outputs().clear_in_place(OUTPUTS, [yard.rows])
    assert {path.relative_to(yard.root).as_posix() for path in (yard.root / "dist").rglob("*")} == {"dist/mine"}
    assert not (yard.root / "one").exists()


def test_staging_that_cannot_be_used_is_told_apart(yard: Yard) -> None:
    (yard.state / "staging").write_text("in the way")
    before = snapshot(yard.root)
    with pytest.raises(StagingError):
        yard.outputs().clear("id", OUTPUTS, [yard.rows])
    with pytest.raises(StagingError):
        yard.restore()
    assert snapshot(yard.root) == before


def test_repair_puts_aside_what_nobody_is_known_to_have_written(yard: Yard) -> None:
    swap = yard.state / "staging/gone/swap"
    (swap / "0").mkdir(parents=True)
    (swap / "0/x").write_text("whose?")
    (yard.state / "staging/other/new").mkdir(parents=True)
    (yard.state / "staging/other/new/half").write_text("half")
    aside = yard.outputs().repair(lambda _: [])
    assert {path: file.read_text() for path, file in aside.items()} == {"unknown/0/x": "whose?"}
    assert list((yard.state / "staging").iterdir()) == []


def test_what_a_killed_build_left_survives_whatever_follows_it_unrepaired(yard: Yard) -> None:
    swap = yard.state / "staging/id/swap"
    (swap / "0").mkdir(parents=True)
    (swap / "0/x").write_text("precious")
    before = snapshot(yard.root)
    with pytest.raises(StagingError):
        yard.outputs().clear("id", OUTPUTS, [yard.rows])
    with pytest.raises(StagingError):
        yard.restore()
    digest = yard.rows["one"].what
    (yard.state / f"blobs/{digest[:2]}/{digest}").unlink()
    with pytest.raises((DamagedError, StagingError)):
        yard.restore()
    assert snapshot(yard.root) == before
    assert (swap / "0/x").read_text() == "precious"
    assert [file.read_text() for file in yard.outputs().repair(lambda _: []).values()] == ["precious"]


def test_what_was_written_again_is_no_loss(yard: Yard) -> None:
    outputs = yard.outputs()
    aside = outputs.clear("id", OUTPUTS, [])
    assert set(aside) == {"dist/deep/a", "dist/link", "one"}
    other = {**yard.rows, "one": Row("file", 0o644, hashlib.sha256(b"2").hexdigest(), 1)}
    assert outputs.forget_same(aside, other) == {"one": yard.state / "replaced/now/one"}
    assert outputs.forget_same({"one": yard.state / "replaced/now/one"}, yard.rows) == {}
    assert list((yard.state / "replaced").iterdir()) == []
