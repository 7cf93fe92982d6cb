"""``[packages]``: names, sources, versions."""

from __future__ import annotations

import pytest

from dxforge.config.model import GitSpec, NpmSpec, PackageSpec, PathSpec, PyPISpec, UrlSpec
from dxforge.config.packages import (
    check_inside,
    check_range,
    check_specifier,
    check_url,
    decode_package,
    decode_packages,
    name_fault,
    normal_name,
    same_name,
)
from dxforge.config.table import At
from dxforge.errors import ConfigError

AT = At(where="dx.toml", path=("packages",))
SHA = "0123456789abcdef" * 4


def decoded(value: object, name: str = "a") -> PackageSpec:
    return decode_package(name, value, AT / name)


def refused(value: object, name: str = "a") -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        decode_packages({name: value}, AT)
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize("name", ["a", "A-b_c.d", "_a", "a_", "a-", "a" * 128, "9", "com", "console", "nul1", "x.con"])
def test_good_names(name: str) -> None:
    assert name_fault(name) == ""


@pytest.mark.parametrize(
    "name",
    [
        "", ".", "..", ".a", "-a", "a.", "a/b", "a\\b", "a b", "a\n", "a\0", "é", "a:b", "@a", "a" * 129, "con", "CON",
        "Nul.txt", "com1", "LPT9.x.y", "prn", "aux", "COM0", "__pycache__",
    ],
)  # fmt: skip
def test_names_that_are_no_safe_folder(name: str) -> None:
    assert name_fault(name)
    assert refused("*", name).key.startswith("packages.")


def test_names_are_compared_without_case_and_separators() -> None:
    assert normal_name("Foo._-Bar") == "foo-bar"
    assert same_name("FOO_bar", ["x", "foo.bar"]) == "foo.bar"
    assert same_name("foo", ["foobar"]) is None


@pytest.mark.parametrize(("one", "other"), [("humanize", "Humanize"), ("a-b", "a_b"), ("a.b", "A--B")])
def test_two_names_that_differ_only_in_case_or_separators(one: str, other: str) -> None:
    with pytest.raises(ConfigError) as caught:
        decode_packages({one: "*", other: "*"}, AT)
    assert f'"{one}"' in caught.value.what
    assert caught.value.key in {f"packages.{other}", f'packages."{other}"'}


@pytest.mark.parametrize(
    ("value", "spec"),
    [
        ("*", PyPISpec(name="a")),
        ("", PyPISpec(name="a")),
        (">=4.9,<5", PyPISpec(name="a", version=">=4.9,<5")),
        (" ==1.0 ", PyPISpec(name="a", version="==1.0")),
        ({}, PyPISpec(name="a")),
        ({"version": "~=1.2"}, PyPISpec(name="a", version="~=1.2")),
        ({"project": "B"}, PyPISpec(name="a", project="B")),
        ({"pypi": "B", "version": "*"}, PyPISpec(name="a", project="B")),
        ({"project": "a"}, PyPISpec(name="a")),
        (
            {"with_dependencies": True, "prereleases": True},
            PyPISpec(name="a", with_dependencies=True, prereleases=True),
        ),
        ({"npm": "lodash-es", "version": "^4.17"}, NpmSpec(name="a", npm="lodash-es", version="^4.17")),
        ({"npm": "@scope/x", "version": "*"}, NpmSpec(name="a", npm="@scope/x")),
        ({"path": "../theme"}, PathSpec(name="a", path="../theme")),
        ({"git": "../w.git"}, GitSpec(name="a", git="../w.git")),
        (
            {"git": "git@host:x/w.git", "rev": "feature/x", "subdir": "./src//py/"},
            GitSpec(name="a", git="git@host:x/w.git", rev="feature/x", subdir="src/py"),
        ),
        (
            {"url": "https://example.org/x.tar.gz", "sha256": SHA.upper()},
            UrlSpec(name="a", url="https://example.org/x.tar.gz", sha256=SHA),
        ),
    ],
)
def test_every_source_of_the_contract(value: object, spec: PackageSpec) -> None:
    assert decoded(value) == spec


@pytest.mark.parametrize(
    ("value", "key", "what"),
    [
        (1, "packages.a", "expected a version in quotes"),
        (True, "packages.a", "found true or false"),
        (["*"], "packages.a", "found an array"),
        ("4.9", "packages.a", "not a version specifier"),
        ("^4", "packages.a", "not a version specifier"),
        (">=1,,<2;", "packages.a", "not a version specifier"),
        (",", "packages.a", "not a version specifier"),
        (">=" + "1" * 300, "packages.a", "at most 256 characters"),
        ({"version": 1}, "packages.a.version", "expected a text"),
        ({"version": "latest"}, "packages.a.version", "not a version specifier"),
        ({"prereleases": 1}, "packages.a.prereleases", "expected true or false"),
        ({"with_dependencies": "yes"}, "packages.a.with_dependencies", "expected true or false"),
        ({"project": "a/b"}, "packages.a.project", "cannot be a project"),
        ({"project": "a", "pypi": "b"}, "packages.a.pypi", "both are given"),
        ({"npm": "a", "version": "latest"}, "packages.a.version", "not a range"),
        ({"npm": "a", "version": ">=1,<2"}, "packages.a.version", "not a range"),
        ({"npm": "a b"}, "packages.a.npm", "cannot be a package of the npm registry"),
        ({"npm": "../x"}, "packages.a.npm", "cannot be a package of the npm registry"),
        ({"npm": "@a/b/c"}, "packages.a.npm", "cannot be a package of the npm registry"),
        ({"npm": "a" * 215}, "packages.a.npm", "cannot be a package of the npm registry"),
        ({"npm": "a", "git": "b"}, "packages.a", "more than one source: npm, git"),
        ({"path": "a", "url": "b", "npm": "c"}, "packages.a", "more than one source: npm, path, url"),
        ({"pypi": "a", "npm": "b"}, "packages.a", "more than one source: npm, pypi"),
        ({"path": "a", "version": "1"}, "packages.a.version", "does not belong to a package with"),
        ({"npm": "a", "prereleases": True}, "packages.a.prereleases", "does not belong to a package with"),
        ({"path": ""}, "packages.a.path", "the text is empty"),
        ({"path": "a\0b"}, "packages.a.path", "control characters"),
        ({"git": "a", "rev": "-x"}, "packages.a.rev", "cannot be a revision"),
        ({"git": "a", "rev": "a b"}, "packages.a.rev", "cannot be a revision"),
        ({"git": "--upload-pack=x"}, "packages.a.git", "cannot start with '-'"),
        ({"git": "a", "subdir": "../b"}, "packages.a.subdir", "leads out"),
        ({"git": "a", "subdir": "/b"}, "packages.a.subdir", "is not relative"),
        ({"url": "https://example.org/x"}, "packages.a.sha256", "the key is missing"),
        ({"url": "https://example.org/x", "sha256": "ab"}, "packages.a.sha256", "64 hexadecimal digits"),
        ({"url": "https://example.org/x", "sha256": "g" * 64}, "packages.a.sha256", "64 hexadecimal digits"),
        ({"url": "ftp://example.org/x", "sha256": SHA}, "packages.a.url", "not an address that dxforge can read"),
        ({"url": "https:///x", "sha256": SHA}, "packages.a.url", "not a whole address"),
        ({"url": "https://[::1/x", "sha256": SHA}, "packages.a.url", "not an address"),
        ({"url": "https://h:99999/x", "sha256": SHA}, "packages.a.url", "not an address"),
        ({"url": "https://h/a b", "sha256": SHA}, "packages.a.url", "not a whole address"),
    ],
)
def test_what_is_refused_names_the_key(value: object, key: str, what: str) -> None:
    error = refused(value)
    assert error.key == key
    assert what in error.what


def test_a_misspelt_source_is_recognised() -> None:
    assert refused({"gti": "x"}).hint == 'The nearest known key is "git"'
    assert refused({"npm": "x", "verison": "1"}).hint == 'The nearest known key is "version"'


def test_a_name_that_is_no_project_needs_one() -> None:
    assert 'project = "…"' in refused("*", "_private").hint
    assert decoded({"project": "private"}, "_private") == PyPISpec(name="_private", project="private")


@pytest.mark.parametrize(
    ("version", "hint"),
    [
        ("4.9", 'Write "==4.9" for just that version'),
        ("=4.9", 'Write "==4.9" for just that version'),
        ("^4.9", "PEP 440 has no '^': write \">=4.9,<5\""),
        ("~4.9", 'Write "~=4.9"'),
        ("~4", 'Write one such as ">=4.9,<5"'),
        ("newest", 'Write one such as ">=4.9,<5"'),
    ],
)
def test_the_hint_says_what_was_probably_meant(version: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_specifier(version, AT)
    assert caught.value.hint == hint


@pytest.mark.parametrize("version", ["^4.17", ">=1.2 <2", "1.x || 2.0.0 - 3", "~1", "=1.2.3", "v1.2.3", "1.2.3-rc.1"])
def test_ranges_that_npm_reads(version: str) -> None:
    assert check_range(version, AT) == version


@pytest.mark.parametrize(
    ("text", "path"), [("a/b", "a/b"), ("./a//b/", "a/b"), (".", "."), ("./", "."), ("a.b", "a.b")]
)
def test_paths_inside_are_tidied(text: str, path: str) -> None:
    assert check_inside(text, AT) == path


@pytest.mark.parametrize("text", ["..", "a/../b", "/a", "~/a", "C:/a", "c:a", "a\\b"])
def test_paths_that_lead_out(text: str) -> None:
    with pytest.raises(ConfigError):
        check_inside(text, AT)


def test_an_address_keeps_its_spelling() -> None:
    assert check_url(" HTTPS://Example.org/X ", AT, schemes=("https",)) == "HTTPS://Example.org/X"
    with pytest.raises(ConfigError):
        check_url("https:example.org", AT, schemes=("https",))
