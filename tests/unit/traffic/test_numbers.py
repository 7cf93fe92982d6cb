"""``--hunk 2`` is the same hunk until it is gone."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from dxforge.traffic.numbers import HunkNumbers, Numbered


def test_numbers_follow_the_file_at_first(tmp_path: Path) -> None:
    assert HunkNumbers(tmp_path).of("p", "o", ["a", "b", "c"]) == ["1", "2", "3"]


def test_a_number_stays_and_is_never_given_again(tmp_path: Path) -> None:
    numbers = HunkNumbers(tmp_path)
    numbers.of("p", "o", ["a", "b", "c"])
    assert numbers.of("p", "o", ["b"]) == ["2"]
    assert HunkNumbers(tmp_path).of("p", "o", ["new", "c", "b"]) == ["4", "3", "2"]
    assert numbers.of("p", "o", []) == []


def test_files_and_proposals_count_apart(tmp_path: Path) -> None:
    numbers = HunkNumbers(tmp_path)
    assert numbers.of("p", "o", ["a", "b"]) == ["1", "2"]
    assert numbers.of("p", "other", ["b"]) == ["1"]
    assert numbers.of("q", "o", ["b"]) == ["1"]


def test_a_name_that_is_no_text(tmp_path: Path) -> None:
    numbers = HunkNumbers(tmp_path)
    assert numbers.of(os.fsdecode(b"\xff"), "o", ["a"]) == ["1"]
    assert numbers.of(os.fsdecode(b"\xfe"), "o", ["b"]) == ["1"]


def test_without_a_database_they_follow_the_file(tmp_path: Path) -> None:
    assert HunkNumbers(tmp_path / "missing").of("p", "o", ["a", "b"]) == ["1", "2"]
    (tmp_path / "state.db").write_bytes(b"this is no database" * 100)
    assert HunkNumbers(tmp_path).of("p", "o", ["b", "a"]) == ["1", "2"]


def test_threads_agree(tmp_path: Path) -> None:
    digests = [f"d{number}" for number in range(20)]
    answers: list[dict[str, str]] = []

    def ask(order: list[str]) -> None:
        answers.append(dict(zip(order, HunkNumbers(tmp_path).of("p", "o", order), strict=True)))

    threads = [threading.Thread(target=ask, args=(digests[start:] + digests[:start],)) for start in range(0, 20, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 4
    assert all(answer == answers[0] for answer in answers)
    assert len(set(answers[0].values())) == 20


def test_many_proposals_at_once(tmp_path: Path) -> None:
    numbers = HunkNumbers(tmp_path)
    numbers.of("p", "o", ["a", "b"])
    wanted = [Numbered("p", "o", ["b", "c"]), Numbered("q", "o", []), Numbered("q", "o", ["b"])]
    assert numbers.of_all(wanted) == [["2", "3"], [], ["1"]]
    assert numbers.of_all([]) == []
    assert HunkNumbers(tmp_path / "missing").of_all(wanted) == [["1", "2"], [], ["1"]]
