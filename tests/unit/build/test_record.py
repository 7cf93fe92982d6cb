"""Records: exact, and never half-read. Transcripts: in order, and bounded."""

from __future__ import annotations

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dxforge.build.record import Record, Row, Transcript, decode, encode, encode_manifest

RECORD = Record(
    key="k",
    outcome="ok",
    rows={
        "dist": Row("dir", 0o755, "", 0),
        "dist/\udcff\n": Row("file", 0o644, "ab" * 32, 3),
        "dist/l": Row("link", 0, "a b", 3),
        "dist/p": Row("special", 0, "fifo", 0),
    },
    duration_s=1.5,
    raw_manifest=encode_manifest({"inputs": {"\udcff": "file:1"}}),
    raw_log=json.dumps([["stdout", "line\n"], ["stderr", "é\x00"]]).encode(),
)


def test_a_record_comes_back_as_it_was() -> None:
    assert decode(encode(RECORD)) == RECORD
    assert RECORD.manifest == {"inputs": {"\udcff": "file:1"}}
    assert RECORD.log == [("stdout", "line\n"), ("stderr", "é\x00")]
    assert RECORD.blobs == {"ab" * 32: 3}


@given(st.integers(0), st.integers(1, 255))
def test_a_flipped_bit_is_always_noticed(where: int, flip: int) -> None:
    data = bytearray(encode(RECORD))
    data[where % len(data)] ^= flip
    with pytest.raises(ValueError, match=r"."):
        decode(bytes(data))


@pytest.mark.parametrize("data", [b"", b"\n", b"\n\n\n", b"x" * 64 + b"\n{}\n{}\n[]", encode(RECORD)[:-1]])
def test_what_is_no_record(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode(data)


def test_a_record_of_another_form() -> None:
    for head in (
        {},
        {"outcome": "odd"},
        {"outcome": "ok", "rows": [["a", "odd", 0, "", 0]]},
        {"outcome": "ok", "rows": 3},
    ):
        body = json.dumps(head).encode() + b"\n{}\n[]"
        with pytest.raises(ValueError, match=r"."):
            decode(hashlib.sha256(body).hexdigest().encode() + b"\n" + body)


def test_a_transcript_keeps_the_order() -> None:
    transcript = Transcript()
    for stream, text in (("stdout", "a"), ("stdout", "b"), ("stderr", "c"), ("stdout", "")):
        transcript.add(stream, text)
    assert transcript.pieces() == [("stdout", "ab"), ("stderr", "c")]
    assert json.loads(transcript.encode()) == [["stdout", "ab"], ["stderr", "c"]]


@given(st.lists(st.tuples(st.sampled_from(["stdout", "stderr"]), st.text("ab\n", max_size=30)), max_size=40))
def test_of_very_much_the_beginning_and_the_end_are_kept(pieces: list[tuple[str, str]]) -> None:
    transcript = Transcript(half=20)
    for stream, text in pieces:
        transcript.add(stream, text)
    whole = "".join(text for _, text in pieces)
    kept = "".join(text for _, text in transcript.pieces())
    if len(whole) <= 40:
        assert kept == whole
        for stream in ("stdout", "stderr"):
            assert "".join(text for name, text in transcript.pieces() if name == stream) == "".join(
                text for name, text in pieces if name == stream
            )
    else:
        assert kept == f"{whole[:20]}\n[{len(whole) - 40} characters left out]\n{whole[-20:]}"
