"""Which files a list of globs means."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dxforge.build.globs import Globs as InputGlobs
from dxforge.watching.globs import Globs


@pytest.mark.parametrize(
    ("glob", "meant", "not_meant"),
    [
        ("src/**", ["src/a.css", "src/deep/er/b.css", "src/.hidden"], ["src", "lib/src/a.css", "srcs/a.css"]),
        ("src/**/*.css", ["src/a.css", "src/deep/er/b.css"], ["src/a.js", "a.css"]),
        ("*.html", ["index.html"], ["pages/index.html", "index.htm"]),
        ("**/*.py", ["setup.py", "a/b/c.py"], ["setup.pyi"]),
        ("src", ["src", "src/a", "src/b/c"], ["other/src/a"]),
        ("src/", ["src/a"], ["src.txt"]),
        ("./src/*.js", ["src/a.js"], ["src/b/a.js"]),
        ("page-?.html", ["page-1.html"], ["page-10.html", "page-/.html"]),
        ("[ab].txt", ["a.txt", "b.txt"], ["c.txt"]),
        (".", ["anything", "at/all"], []),
        ("#odd.txt", ["#odd.txt"], []),
    ],
)
def test_what_a_glob_means(glob: str, meant: list[str], not_meant: list[str]) -> None:
    globs = Globs([glob])
    assert [path for path in meant if not globs.match(path)] == []
    assert [path for path in not_meant if globs.match(path)] == []


def test_a_glob_may_take_out_again() -> None:
    globs = Globs(["src/**", "!src/vendor/**", "src/vendor/mine.js", "!./**/*.tmp"])
    assert [path for path in ("src/a", "src/vendor/b", "src/vendor/mine.js", "src/c.tmp") if globs.match(path)] == [
        "src/a", "src/vendor/mine.js"
    ]  # fmt: skip
    assert globs.bases == {"src", "src/vendor/mine.js"}


def test_several_lists_do_not_take_out_of_each_other() -> None:
    globs = Globs(["src/x/**"], ["src/**", "!src/x/**"])
    assert globs.match("src/x/a") and globs.match("src/b")


NAMES = st.sampled_from(["a", "b", "ab", "a.b", ".c", "*", "**", "?", "a*", "*.b", "[ab]", "[!a]b"])
PATHS = st.lists(st.sampled_from(["a", "b", "ab", "a.b", ".c", "cab"]), min_size=1, max_size=4).map("/".join)


@given(st.lists(st.tuples(st.sampled_from(["", "", "!"]), st.lists(NAMES, min_size=1, max_size=4)), max_size=4), PATHS)
@example([("!", ["a", "a", "a"]), ("", ["a"])], "a/a/a")
def test_a_build_reads_what_is_watched(written: list[tuple[str, list[str]]], path: str) -> None:
    globs = [sign + "/".join(names) for sign, names in written]
    assert Globs(globs).match(path) == bool(InputGlobs([globs]).owners(path))


def test_what_is_left_out_is_a_path_and_no_glob() -> None:
    globs = Globs(["**"], leave_out=["dist", "./out/page.html", "a[b]"])
    assert not globs.match("dist")
    assert not globs.match("dist/deep/a.js")
    assert not globs.match("out/page.html")
    assert not globs.match("a[b]/x")
    assert globs.match("distance/a.js")
    assert globs.match("out/page.html.bak")
    assert globs.match("ab/x")


@pytest.mark.parametrize(
    ("glob", "base"),
    [("src/**", "src"), ("**/*.py", ""), ("a/b/c.txt", "a/b/c.txt"), ("a/b*/c/**", "a"), (".", ""), ("a/", "a")],
)
def test_a_glob_starts_where_it_stops_being_literal(glob: str, base: str) -> None:
    assert Globs([glob]).bases == {base}
