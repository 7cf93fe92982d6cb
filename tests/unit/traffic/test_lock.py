"""``dx.lock``: the same in, the same out; garbage is a LockfileError and nothing else."""

from __future__ import annotations

import dataclasses
import os
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dxforge.errors import LockfileError
from dxforge.sources.model import Layout, Pin
from dxforge.store.tree import EXECUTABLE, FILE, SYMLINK, Entry
from dxforge.traffic.lock import Lock, LockedPackage, PendingFile, archives_in, dumps, loads

SHA = "0123456789abcdef" * 4
OTHER = "fedcba9876543210" * 4
OID = "89abcdef01" * 4


def pin(name: str = "humanize", **changes: object) -> Pin:
    base = Pin(
        name=name,
        kind="pypi",
        ref=name,
        version="4.9.0",
        filename=f"{name}-4.9.0-py3-none-any.whl",
        sha256=SHA,
        layout=Layout.AS_IS,
    )
    return dataclasses.replace(base, **changes)  # type: ignore[arg-type]


WHOLE = Lock(
    {
        "humanize": LockedPackage(
            pin=pin(requires=("typing-extensions",)),
            former=(pin(sha256=OTHER, version="4.8.0"),),
            pending=(
                PendingFile(
                    path="humanize/number.py",
                    base=Entry(FILE, OID, 10),
                    incoming=Entry(EXECUTABLE, OID[::-1], 11),
                    former=OTHER,
                    set_aside="humanize/number.py.new",
                    rejected=("aa", "bb"),
                    taken=True,
                ),
                PendingFile(
                    path="old.py",
                    base=Entry(FILE, OID, 10),
                    incoming=Entry(SYMLINK, OID, 11),
                    former=OTHER,
                    new_path="new.py",
                ),
                PendingFile(path="way.py", base=None, incoming=Entry(FILE, OID, 1)),
                PendingFile(path="zz.py", base=Entry(FILE, OID, 1), incoming=None, former=OTHER, candidates=("a", "b")),
            ),
        ),
        "theme": LockedPackage(
            pin=pin("theme", kind="path", ref="../theme", layout=Layout.TOP_FOLDER, direct=False),
            files={"a.css": Entry(FILE, OID, 0), os.fsdecode(b"caf\xe9/\xff.css"): Entry(FILE, OID, 5)},
        ),
        "widgets": LockedPackage(
            pin=pin("widgets", kind="git", ref="../w.git", commit="c" * 40, subdir="src", layout=Layout.NPM),
            leaving=True,
        ),
    }
)

GOOD = dumps(WHOLE) or ""


def test_everything_survives_the_round_trip() -> None:
    text = dumps(WHOLE)
    assert text is not None
    assert loads(text) == WHOLE
    assert dumps(loads(text)) == text


def test_the_order_of_everything_is_fixed() -> None:
    shuffled = Lock(
        {
            name: dataclasses.replace(
                package,
                pending=package.pending[::-1],
                files=None if package.files is None else dict(reversed(list(package.files.items()))),
            )
            for name, package in reversed(list(WHOLE.packages.items()))
        }
    )
    assert dumps(shuffled) == dumps(WHOLE)


def test_it_is_toml_that_a_person_can_read() -> None:
    text = dumps(WHOLE)
    assert text is not None
    assert text.startswith("# ")
    data = tomllib.loads(text)
    first = data["package"][0]
    assert list(first)[:2] == ["name", "version"]
    assert first["source"] == "pypi"
    assert "http" not in text


def test_no_packages_is_no_file() -> None:
    assert dumps(Lock()) is None
    assert loads(None) == Lock()
    assert loads("version = 1\n") == Lock()


def test_former_archives_are_kept_only_while_something_pending_needs_them() -> None:
    settled = WHOLE.with_package("humanize", dataclasses.replace(WHOLE.packages["humanize"], pending=()))
    text = dumps(settled)
    assert text is not None
    assert OTHER not in text
    assert loads(text).packages["humanize"].former == ()


def test_packages_are_set_and_taken_out() -> None:
    lock = WHOLE.with_package("theme", None)
    assert sorted(lock.packages) == ["humanize", "widgets"]
    assert sorted(WHOLE.packages) == ["humanize", "theme", "widgets"]
    assert WHOLE.pending == 4


def test_the_archives_that_texts_name() -> None:
    assert archives_in(GOOD) == {SHA, OTHER}
    assert archives_in(OID) == set()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("version = 1", "version = 2"),
        ("version = 1", "version = 'one'"),
        ("version = 1\n", ""),
        (SHA, "short"),
        (SHA, SHA.upper()),
        (f'"{SHA}"', "5"),
        ('"as-is"', '"sideways"'),
        ('"humanize"', '"../humanize"'),
        ('name = "humanize"', 'name = ".."'),
        ('name = "humanize"', 'name = ""'),
        ('name = "humanize"\n', ""),
        ('"humanize/number.py"', '"../number.py"'),
        ('"humanize/number.py"', '"/etc/passwd"'),
        ('"humanize/number.py.new"', '"a/../../b"'),
        ('"new.py"', '"a//b"'),
        ('"new.py"', "7"),
        (f'"100644 {OID} 10"', f'"100666 {OID} 10"'),
        (f'"100644 {OID} 10"', '"100644 xyz 10"'),
        (f'"100644 {OID} 10"', f'"100644 {OID} -1"'),
        ('"a.css"', '"../../a.css"'),
        ('"a.css"', '"/a.css"'),
        ("[[package]]", "[package]"),
        ("[[package]]", "["),
    ],
)
def test_a_damaged_lock_is_refused(old: str, new: str) -> None:
    assert old in GOOD
    with pytest.raises(LockfileError) as caught:
        loads(GOOD.replace(old, new, 1), where="/p/dx.lock")
    assert caught.value.where == "/p/dx.lock"
    assert caught.value.hint


def test_a_lock_of_a_newer_dxforge_says_so() -> None:
    with pytest.raises(LockfileError, match="Upgrade dxforge"):
        loads("version = 99\n")


@pytest.mark.parametrize("text", ["version = true\n", "version = 1.0\n", "version = 1\npackage = 5\n"])
def test_almost_a_lock(text: str) -> None:
    with pytest.raises(LockfileError):
        loads(text)


def test_two_entries_for_one_package_are_refused() -> None:
    one = dumps(Lock({"humanize": LockedPackage(pin=pin())})) or ""
    with pytest.raises(LockfileError):
        loads(one + one[one.index("[[package]]") :])


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.floats(allow_nan=False),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "path", "base", "sha256", "layout", "files", "pending", "former", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(text=st.text(max_size=200))
def test_garbage_is_a_lockfile_error_only(text: str) -> None:
    try:
        loads(text)
    except LockfileError:
        return
    assert loads(text) == Lock()


def _without_none(value: object) -> object:
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_none(item) for item in value if item is not None]
    return value


@given(data=st.data())
def test_a_lock_with_one_value_replaced_by_junk_is_read_or_refused(data: st.DataObject) -> None:
    import tomli_w

    document = tomllib.loads(GOOD)
    node: object = document
    while True:
        if isinstance(node, dict):
            key: object = data.draw(st.sampled_from(sorted(node)))
        elif isinstance(node, list) and node:
            key = data.draw(st.integers(0, len(node) - 1))
        else:
            break
        inner = node[key]  # type: ignore[index]
        if not isinstance(inner, dict | list) or not inner or data.draw(st.integers(0, 3)) == 0:
            junk = _without_none(data.draw(JUNK))
            node[key] = {} if junk is None else junk  # type: ignore[index]
            break
        node = inner
    try:
        lock = loads(tomli_w.dumps(document))
    except LockfileError:
        return
    assert dumps(loads(dumps(lock))) == dumps(lock)


@given(cut=st.integers(0, len(GOOD) - 1), junk=st.text(max_size=3))
def test_a_truncated_or_spoilt_lock_is_read_or_refused(cut: int, junk: str) -> None:
    for text in (GOOD[:cut], GOOD[:cut] + junk + GOOD[cut + 1 :]):
        try:
            lock = loads(text)
        except LockfileError:
            continue
        assert dumps(loads(dumps(lock))) == dumps(lock)
