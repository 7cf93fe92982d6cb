"""Git's ignore rules, oddities included; ``tests/property`` compares any rules with git itself."""

from __future__ import annotations

import pytest

from dxforge.store.ignore import Ignore, Rules, parse


def ignored(rules: bytes, path: bytes, *, folder: bool = False) -> bool | None:
    return Rules(rules).verdict(path, path.rpartition(b"/")[2], folder=folder)


@pytest.mark.parametrize(
    ("rules", "yes", "no"),
    [
        (b"*.log", [b"a.log", b"d/a.log", b".log"], [b"a.logs", b"log"]),
        (b"/a", [b"a"], [b"d/a"]),
        (b"d/a", [b"d/a"], [b"a", b"x/d/a"]),
        (b"d/*.c", [b"d/a.c"], [b"d/e/a.c", b"a.c"]),
        (b"**/a", [b"a", b"d/a", b"d/e/a"], [b"ab"]),
        (b"a/**", [b"a/b", b"a/b/c"], [b"a", b"b/a"]),
        (b"a/**/b", [b"a/b", b"a/x/b", b"a/x/y/b"], [b"ab", b"a/xb"]),
        (b"/a**/b", [b"ax/y/b", b"a/b"], [b"b"]),  # what follows the literal part is taken by itself
        (b"x**", [b"x", b"xyz"], [b"y"]),
        (b"?", [b"a", b"d/b"], [b"ab", "é".encode()]),  # a byte, not a letter
        (b"[a-c]", [b"b"], [b"d", b"-"]),
        (b"[!a-c]", [b"d", b"-"], [b"b"]),
        (b"[^a]", [b"b"], [b"a"]),
        (b"[]a]", [b"]", b"a"], [b"["]),
        (b"[a-]", [b"a", b"-"], [b"b"]),
        (b"[z-a]", [b"z"], [b"a", b"-", b"m"]),
        (b"[\\]]", [b"]"], [b"\\"]),
        (b"[[:digit:]x]", [b"5", b"x"], [b"d", b":"]),
        (b"[[:nonsense:]]", [], [b"n", b":"]),
        (b"[a", [], [b"a", b"[a"]),
        (b"a\\", [], [b"a", b"a\\"]),
        (b"\\*", [b"*"], [b"a"]),
        (b"\\#a", [b"#a"], [b"a"]),
        (b"#a", [], [b"#a"]),
        (b"\\!a", [b"!a"], [b"a"]),
        (b"a  ", [b"a"], [b"a  "]),
        (b"a\\ ", [b"a "], [b"a"]),
        (b"a\t", [b"a\t"], [b"a"]),
        (b"a\r\nb\r\n", [b"a", b"b"], [b"a\r"]),
        (b"\xef\xbb\xbfa\n", [b"a"], []),
        (b"a\0b", [b"a"], [b"b"]),
        (b"\n\r\n/\n!\n", [], [b"a", b"/"]),
        (b"new\\\nline", [], [b"new\nline"]),
        (b"a*b", [b"ab", b"a\nb"], [b"a"]),
    ],
)
def test_patterns(rules: bytes, yes: list[bytes], no: list[bytes]) -> None:
    assert [path for path in yes if not ignored(rules, path)] == []
    assert [path for path in no if ignored(rules, path)] == []


def test_folders_only() -> None:
    assert ignored(b"build/", b"build", folder=True)
    assert ignored(b"build/", b"build") is None
    assert ignored(b"/a/build/", b"a/build", folder=True)


def test_the_last_rule_that_matches_decides() -> None:
    rules = b"*.log\n!keep.log\n/d/keep.log\n"
    assert ignored(rules, b"a.log") is True
    assert ignored(rules, b"keep.log") is False
    assert ignored(rules, b"d/keep.log") is True
    assert ignored(rules, b"other") is None
    assert ignored(b"/d/a\n!a\n", b"d/a") is False
    assert ignored(b"!a\n/d/a\n", b"d/a") is True


def test_the_nearest_file_decides() -> None:
    top = Ignore(b"", lambda: b"*.log\n/sub/x\n")
    sub = Ignore(b"sub/", lambda: b"!a.log\nx\n", top)
    bare = Ignore(b"sub/bare/", lambda: None, sub)
    assert not bare.ignores(b"sub/bare/a.log", b"a.log", folder=False)
    assert bare.ignores(b"sub/bare/b.log", b"b.log", folder=False)
    assert sub.ignores(b"sub/x", b"x", folder=True)
    assert not top.ignores(b"x", b"x", folder=False)


def test_a_file_is_read_only_when_it_is_asked_and_once() -> None:
    asked = []

    def read() -> bytes:
        asked.append(1)
        return b"a"

    ignore = Ignore(b"", read)
    assert asked == []
    assert ignore.ignores(b"a", b"a", folder=False)
    assert not ignore.ignores(b"b", b"b", folder=False)
    assert asked == [1]


def test_letters_without_their_case() -> None:
    assert Rules(b"*.LOG\n[a-c]x", fold_case=True).verdict(b"a.log", b"a.log", folder=False)
    assert Rules(b"[a-c]x", fold_case=True).verdict(b"BX", b"BX", folder=False)


def test_rules_as_data() -> None:
    (rule,) = parse(b"# comment\n!/a b/\n")
    assert (rule.pattern, rule.negated, rule.anchored, rule.folders_only) == (rb"a\ b", True, True, True)
