"""Names that archives may use: rules on their own, apart from any archive."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dxforge.sources.names import component_problem, fold, path_problem, shown, split

LIMITS = {"name_bytes": 255}


@pytest.mark.parametrize(
    "part",
    [
        "..", "a\0", "a\x7f", "a\u0085", "aux", "AUX.tar.gz", "Nul .x", "com¹", "CONIN$", "x.", "x ", "...", " ",
        ".git", ".GiT", ".git ", ".git.", ".git. .", ".git:x", "GIT~1", "git~42", ".g\u200dit", ".gi\u202et",
        "\ufeff.git", "․git", ".ｇit", "a:b", "n" * 256, "é" * 128,
    ],
)  # fmt: skip
def test_refused(part: str) -> None:
    assert component_problem(part, **LIMITS)


@pytest.mark.parametrize(
    "part",
    [
        "a", "__init__.py", ".gitignore", ".gitmodules", "git", "git~", "agit~1", "auxx", "xaux.py", "com", "com0x",
        ".x", "..x", "x..y", "x y", "a" * 255, "é" * 127, "日本.txt", "-", "_", "~", "con-text", "COM",
        "lpt10", "a\udce9",
    ],
)  # fmt: skip
def test_accepted(part: str) -> None:
    assert component_problem(part, **LIMITS) is None


@pytest.mark.parametrize("name", ["", "/x", "\\x", "a\\b", "c:x", "Z:/x", "x" * 2000])
def test_refused_as_a_whole(name: str) -> None:
    assert path_problem(name, path_bytes=1024)


def test_split_drops_what_does_no_harm() -> None:
    assert split("./a//b/./c/") == ["a", "b", "c"]
    assert split("a/../b") == ["a", "..", "b"]
    assert split("./") == []


@given(st.text(min_size=1, max_size=12))
def test_folding_is_stable_and_ignores_case_and_form(part: str) -> None:
    once = fold(part)
    assert fold(once) == once
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        assert fold(unicodedata.normalize(form, part)) == once
    assert fold(part.casefold()) == once


@given(st.text(max_size=300))
def test_any_text_is_judged_and_shown_in_one_printable_line(text: str) -> None:
    component_problem(text or "x", **LIMITS)
    path_problem(text, path_bytes=1024)
    line = shown(text)
    assert line.isprintable() and len(line) <= 120


@given(st.text(alphabet=".gitGIT~1 \u200c\ufeff:x", min_size=1, max_size=9))
def test_nothing_that_a_file_system_reads_as_git_passes(part: str) -> None:
    def hfs(text: str) -> str:
        return "".join(char for char in text if char not in "\u200c\ufeff").lower()

    def ntfs(text: str) -> str:
        return text.partition(":")[0].rstrip(". ").lower()

    if hfs(part) == ".git" or ntfs(part) in (".git", "git~1"):
        assert component_problem(part, **LIMITS)
