"""Which files globs mean, held against pathspec."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dxforge.build.globs import GlobError, Globs, split
from dxforge.watching.globs import Globs as WatchGlobs


def _means(globs: list[str], path: str) -> bool:
    return bool(Globs([globs]).owners(path))


@pytest.mark.parametrize(
    ("glob", "inside", "outside"),
    [
        ("src/**", ["src/a", "src/b/c"], ["src", "a", "srcs/a"]),
        ("src", ["src", "src/a", "src/b/c"], ["lib/src", "srcs"]),
        ("src/", ["src/a"], ["lib/src/a"]),
        ("*.py", ["a.py", ".py", "a.py/inside"], ["src/a.py", "a.pyx"]),
        ("**/*.py", ["a.py", "src/a.py", "x/y/z.py"], ["a.js"]),
        ("src/**/test_*.py", ["src/test_a.py", "src/a/b/test_c.py"], ["test_a.py", "src/a.py"]),
        ("src/*", ["src/a", "src/a/b"], ["src"]),
        ("a/**/b/**/c", ["a/b/c", "a/x/b/y/z/c", "a/b/b/c"], ["a/c", "b/c"]),
        ("?.[ch]", ["a.c", "b.h"], ["ab.c", "a.d"]),
        ("[!a].c", ["b.c"], ["a.c"]),
        ("[^a].c", ["b.c"], ["a.c"]),
        ("[]].c", ["].c"], ["[.c"]),
        ("[*].c", ["*.c"], ["a.c"]),
        ("[", ["["], ["a"]),
        (".", ["a", "b/c"], []),
        ("./src/./a", ["src/a"], ["a"]),
        ("**", ["a", "b/c", ".hidden"], []),
        ("über/*", ["über/ä"], ["uber/a"]),
    ],
)
def test_what_a_glob_means(glob: str, inside: list[str], outside: list[str]) -> None:
    assert [path for path in inside if not _means([glob], path)] == []
    assert [path for path in outside if _means([glob], path)] == []


def test_the_last_glob_that_matches_decides() -> None:
    globs = ["src/**", "!src/gen", "src/gen/keep.js"]
    assert _means(globs, "src/a.js")
    assert not _means(globs, "src/gen/a.js")
    assert _means(globs, "src/gen/keep.js")
    assert not _means(["!src/**"], "src/a.js")
    assert _means(["!**", "src"], "src/a.js")


def test_what_is_never_an_input() -> None:
    for path in (".dx/state", ".git/config", ".git", "a/__pycache__/b.pyc", "b.pyc", "n/.ipynb_checkpoints/n.ipynb"):
        assert not _means(["**"], path), path
    assert not _means([".git/**"], ".git/config")


def test_what_is_left_out_unless_named() -> None:
    assert not _means(["**"], "node_modules/a/b.js")
    assert not _means(["web/**"], "web/node_modules/a/b.js")
    assert not _means(["**/*.js"], ".venv/lib/a.js")
    assert _means(["node_modules/a/**"], "node_modules/a/b.js")
    assert _means(["node_modules"], "node_modules/a/node_modules/b/c.js")
    assert _means(["**/node_modules/a/*.js"], "web/node_modules/a/b.js")


def test_own_outputs_are_left_out_whatever_they_are_called() -> None:
    globs = Globs([["**"], ["**"]], without=[["dist", "a[1].js"], []])
    assert globs.owners("dist/x.js") == (1,)
    assert globs.owners("a[1].js") == (1,)
    assert globs.owners("a1.js") == (0, 1)
    assert globs.owners("distant") == (0, 1)


@pytest.mark.parametrize(
    ("glob", "path", "expected"),
    [
        ("src/**/*.js", "src/gen", True),
        ("src/*.js", "src/gen", False),
        ("src/*.js", "src/gen.js", True),
        ("src/*.js", "src", True),
        ("src/gen/a.js", "src", True),
        ("src", "src/gen/deep", True),
        ("lib", "src", False),
        ("**", "node_modules", False),
        ("node_modules/x", "node_modules", True),
        ("**", ".dx/x", False),
    ],
)
def test_what_may_be_an_input_below_a_path_that_need_not_exist(glob: str, path: str, *, expected: bool) -> None:
    assert bool(Globs([[glob]]).possible(path)) is expected


def test_an_exclusion_counts_for_what_may_be() -> None:
    assert not Globs([["src/**", "!src/gen"]]).possible("src/gen/x")
    assert Globs([["src/**", "!src/gen", "src/gen/x/*.js"]]).possible("src/gen/x")
    assert not Globs([["src/gen/x/*.js", "src/**", "!src/gen"]]).possible("src/gen/x")


@pytest.mark.parametrize("glob", ["", "!", "/abs", "!/abs", "~/x", "../a", "a/../b", "a\\b", "//"])
def test_globs_that_cannot_be(glob: str) -> None:
    with pytest.raises(GlobError):
        split(glob)


def test_a_folder_of_literal_names_needs_no_listing() -> None:
    start = Globs([["a.txt", "src/b.txt"]]).start
    assert sorted(start.names or ()) == ["a.txt", "src"]
    assert start.enter_folder("src").names is not None
    assert Globs([["a.txt", "*.py"]]).start.names is None


_NAMES = st.sampled_from(["a", "b", "ab", "a.js", "b.js", "x-1", ".a"])
_PATHS = st.lists(_NAMES, min_size=1, max_size=4).map("/".join)
_PARTS = st.sampled_from(["a", "b", "*", "**", "?", "a*", "*.js", "[ab]", "[!a]*", "[a-b]", "x-[0-9]", "?b", ".*"])
_GLOBS = st.lists(_PARTS, min_size=1, max_size=4).map("/".join)


@given(_GLOBS, _PATHS)
def test_one_glob_means_what_pathspec_and_the_watch_mean(glob: str, path: str) -> None:
    assert _means([glob], path) is WatchGlobs([glob]).match(path)


@given(st.lists(st.tuples(st.booleans(), _GLOBS), max_size=4), _PATHS)
def test_several_globs_decide_in_their_order(globs: list[tuple[bool, str]], path: str) -> None:
    expected = False
    for positive, glob in globs:
        if WatchGlobs([glob]).match(path):
            expected = positive
    assert _means([glob if positive else f"!{glob}" for positive, glob in globs], path) is expected


@given(st.lists(_GLOBS, min_size=1, max_size=3), _PATHS)
def test_what_is_an_input_was_possible_all_the_way(globs: list[str], path: str) -> None:
    compiled = Globs([globs])
    if compiled.owners(path):
        parts = path.split("/")
        assert all(compiled.possible("/".join(parts[: count + 1])) for count in range(len(parts)))
