"""The manifest as text."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from dxforge.errors import RemoteContentError, RemoteNewerError
from dxforge.remote.manifest import decode_manifest, encode_manifest
from dxforge.remote.model import Manifest, Owner, Pack

PACKS = tuple(
    Pack(
        id=str(number) * 64,
        size_bytes=1000 + number,
        index_bytes=50,
        entries=10 * number,
        gone=number - 1,
        index=b"i" * number,
    )
    for number in (3, 1, 2)
)
MANIFEST = Manifest(
    generation=7,
    nonce="abc",
    written_s=1_700_000_000,
    packs=PACKS,
    owners=(
        Owner(id="a", label="me é", seen_s=5, refs={"x": {"y": [1, None]}}, holds={"3" * 64: 0b101, "1" * 64: 1023}),
        Owner(id="b"),
    ),
    retired={"9" * 64: 3},
)


def framed(data: object, *, version: str = "1") -> bytes:
    body = json.dumps(data).encode()
    return f"dxforge-manifest {version} {hashlib.sha256(body).hexdigest()}\n".encode() + body + b"\n"


def body_of(manifest: Manifest) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(encode_manifest(manifest).split(b"\n")[1])
    return data


def test_what_is_written_is_read() -> None:
    content = encode_manifest(MANIFEST)
    assert decode_manifest(content, where="m") == MANIFEST
    assert encode_manifest(decode_manifest(content, where="m")) == content
    assert decode_manifest(encode_manifest(Manifest()), where="m") == Manifest()


def test_packs_keep_their_order_and_all_bits_are_short() -> None:
    data = body_of(MANIFEST)
    assert [row[0][0] for row in data["packs"]] == ["3", "1", "2"]
    assert data["owners"]["a"]["holds"] == {"1" * 64: True, "3" * 64: "5"}


def test_every_flipped_bit_is_noticed() -> None:
    content = encode_manifest(MANIFEST)
    for position in range(len(content) - 1):
        damaged = bytearray(content)
        damaged[position] ^= 4
        with pytest.raises(RemoteContentError):
            decode_manifest(bytes(damaged), where="m")


@pytest.mark.parametrize("length", [0, 1, 17, 90, 200])
def test_a_piece_of_a_manifest_is_none(length: int) -> None:
    with pytest.raises(RemoteContentError):
        decode_manifest(encode_manifest(MANIFEST)[:length], where="m")


def test_what_is_no_manifest_at_all() -> None:
    for content in (b"<html>", b"", b"a b c\n{}", b"dxforge-manifest x y\n"):
        with pytest.raises(RemoteContentError, match="no manifest"):
            decode_manifest(content, where="m")


def test_a_newer_format_says_so() -> None:
    with pytest.raises(RemoteNewerError, match=r"newer dxforge\. Update"):
        decode_manifest(framed({}, version="2"), where="m")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("generation", -1),
        ("generation", "1"),
        ("generation", True),
        ("packs", [["x", 1, 1, 1, "0", ""]]),
        ("packs", [["0" * 64, 1, 1, 1, "0"]]),
        ("packs", [["0" * 64, 1, 1, 1, "4", ""]]),
        ("packs", [["0" * 64, 1, 1, 1, "0", "no base64"]]),
        ("packs", None),
        ("owners", {"a": {}}),
        ("owners", {"a": {"label": "", "seen_s": 0, "refs": {}, "holds": {"0" * 64: "1"}}}),
        ("owners", {"a": {"label": "", "seen_s": 0, "refs": [], "holds": {"1" * 64: "ffff"}}}),
        ("owners", {"a": {"label": "", "seen_s": 0, "refs": 1, "holds": {}}}),
        ("retired", {"a": None}),
    ],
)
def test_rightly_framed_nonsense(key: str, value: object) -> None:
    data = body_of(MANIFEST)
    data[key] = value
    with pytest.raises(RemoteContentError, match="cannot be read"):
        decode_manifest(framed(data), where="m")
