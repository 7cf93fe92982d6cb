"""Manifests come back as they were, or not at all."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from dxforge.config.model import Limits
from dxforge.sources.manifest import RULES, Place, Sizes, dumps, loads, manifest_of
from dxforge.store.tree import EXECUTABLE, FILE, SYMLINK, Entry

SIZES = Sizes(entries=3, total_bytes=10, archive_bytes=5, longest_path=7, longest_name=4)
PATHS = st.text(alphabet=st.characters(min_codepoint=1), min_size=1, max_size=20)
FILES = st.dictionaries(
    PATHS,
    st.tuples(
        st.builds(
            Entry,
            st.sampled_from([FILE, EXECUTABLE, SYMLINK]),
            st.text(alphabet="0123456789abcdef", min_size=40, max_size=40),
            st.integers(0, 2**40),
        ),
        st.builds(Place, st.integers(0, 2**40), st.integers(0, 2**40), st.sampled_from([0, 8]), st.none() | st.text()),
    ),
    max_size=8,
)


@given(FILES, st.sampled_from(["zip", "tar", "tar.gz"]))
def test_what_is_written_is_read(files: dict[str, tuple[Entry, Place]], container: str) -> None:
    manifest = manifest_of(container, SIZES, files)
    again = loads(dumps(manifest))
    assert again is not None
    assert again == manifest
    assert list(again.tree) == list(files)
    assert dumps(again) == dumps(manifest)


def test_names_that_are_no_utf_8_survive() -> None:
    name = b"caf\xe9".decode("utf-8", "surrogateescape")
    manifest = manifest_of("tar", SIZES, {name: (Entry(FILE, "0" * 40, 0), Place(0))})
    again = loads(dumps(manifest))
    assert again is not None and list(again.tree) == [name]


def test_other_rules_and_other_things_are_not_believed() -> None:
    body = dumps(manifest_of("zip", SIZES, {"a": (Entry(FILE, "0" * 40, 1), Place(0))}))
    assert loads(body) is not None
    data = json.loads(body)
    changes: list[dict[str, Any]] = [
        {"rules": RULES + 1},
        {"oids": "00"},
        {"modes": "z"},
        {"sizes": []},
        {"offsets": [1, 2]},
        {"paths": ["a", "a"]},
    ]
    for change in changes:
        assert loads(json.dumps({**data, **change}).encode()) is None, change
    for other in (b"", b"null", b"[]", b"{}", b"\xff"):
        assert loads(other) is None


def test_limits_hold_for_what_was_examined_before() -> None:
    assert SIZES.within(Limits())
    for limits in (Limits(entries=2), Limits(total_bytes=9), Limits(path_bytes=6), Limits(name_bytes=3)):
        assert not SIZES.within(limits)
    big = Sizes(entries=1, total_bytes=32 << 20, archive_bytes=1 << 20, longest_path=1, longest_name=1)
    assert big.within(Limits(ratio=32)) and not big.within(Limits(ratio=31))
