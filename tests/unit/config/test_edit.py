"""Adding to and removing from dx.toml: the change, and nothing but the change."""

from __future__ import annotations

import difflib
from pathlib import Path

import pytest

from dxforge.config import edit
from dxforge.config.edit import add_package, new_project, remove_package
from dxforge.config.load import decode
from dxforge.config.model import GitSpec, NpmSpec, PackageSpec, PathSpec, PyPISpec, UrlSpec
from dxforge.config.table import At
from dxforge.errors import ConfigError

SHA = "ab" * 32
NEW = PyPISpec(name="new", version=">=1")
SIMPLE = """\
# top
[project]
name   = "demo" # mine

[packages]
# the humane one
humanize   = ">=4"   # keep
lodash={npm="lodash-es"}

# about traffic
[traffic]
review="always"
"""


def packages(text: str) -> dict[str, PackageSpec]:
    return {spec.name: spec for spec in decode(text, root=Path("/srv/demo"), where="dx.toml").packages}


def changed(before: str, after: str) -> list[str]:
    """The lines that went and came."""
    lines = difflib.ndiff(before.splitlines(keepends=True), after.splitlines(keepends=True))
    return [line for line in lines if line[0] in "+-"]


# -- a new project


@pytest.mark.parametrize("name", ["demo", 'quote " and \\', "café", "[packages]", "{name}", "a # b"])
def test_a_new_project_can_be_read_and_added_to(name: str) -> None:
    text = new_project(name)
    config = decode(text, root=Path("/srv/x"), where="dx.toml")
    assert (config.name, config.packages) == (name, ())
    assert packages(add_package(text, NEW)) == {"new": NEW}


def test_what_the_new_project_shows_in_comments_works() -> None:
    text = new_project("demo").replace("\n# ", "\n")
    assert list(packages(text)) == ["humanize", "lodash", "theme"]


def test_a_new_project_is_short_and_explains_itself() -> None:
    lines = new_project("demo").splitlines()
    assert len(lines) < 20
    assert sum("#" in line for line in lines) >= 5


@pytest.mark.parametrize("name", ["", " ", "a\nb", "x" * 9000])
def test_a_project_without_a_proper_name(name: str) -> None:
    with pytest.raises(ConfigError):
        new_project(name)


# -- adding


@pytest.mark.parametrize(
    ("spec", "line"),
    [
        (PyPISpec(name="new"), 'new = "*"'),
        (PyPISpec(name="new", version="*"), 'new = "*"'),
        (NEW, 'new = ">=1"'),
        (PyPISpec(name="new", version=">=1", project="new"), 'new = ">=1"'),
        (PyPISpec(name="new", project="old"), 'new = { project = "old" }'),
        (
            PyPISpec(name="new", version=">=1", project="old", with_dependencies=True, prereleases=True),
            'new = { version = ">=1", project = "old", with_dependencies = true, prereleases = true }',
        ),
        (NpmSpec(name="new", npm="@scope/x"), 'new = { npm = "@scope/x" }'),
        (NpmSpec(name="new", npm="x", version="^1"), 'new = { npm = "x", version = "^1" }'),
        (PathSpec(name="new", path="C:\\x"), 'new = { path = "C:\\\\x" }'),
        (GitSpec(name="new", git="../w.git"), 'new = { git = "../w.git" }'),
        (GitSpec(name="new", git="a", rev="v1", subdir="s"), 'new = { git = "a", rev = "v1", subdir = "s" }'),
        (
            UrlSpec(name="new", url="https://example.org/x.zip", sha256=SHA),
            f'new = {{ url = "https://example.org/x.zip", sha256 = "{SHA}" }}',
        ),
    ],
)
def test_a_package_is_added_after_the_last_one_in_its_shortest_spelling(spec: PackageSpec, line: str) -> None:
    after = add_package(SIMPLE, spec)
    assert changed(SIMPLE, after) == [f"+ {line}\n"]
    assert after.index(line) < after.index("# about traffic")
    assert list(packages(after)) == ["humanize", "lodash", "new"]


def test_a_dotted_name_is_quoted() -> None:
    after = add_package(SIMPLE, PyPISpec(name="zope.interface"))
    assert changed(SIMPLE, after) == ['+ "zope.interface" = "*"\n']
    assert "zope.interface" in packages(after)
    assert remove_package(after, "zope.interface") == SIMPLE


def test_a_package_is_replaced_in_its_place_with_its_comment_and_alignment() -> None:
    after = add_package(SIMPLE, PyPISpec(name="humanize", version="==4.9.0"))
    assert changed(SIMPLE, after) == ['- humanize   = ">=4"   # keep\n', '+ humanize   = "==4.9.0"   # keep\n']
    after = add_package(SIMPLE, PathSpec(name="humanize", path="../h"))
    assert changed(SIMPLE, after)[1] == '+ humanize   = { path = "../h" }   # keep\n'
    after = add_package(SIMPLE, PyPISpec(name="lodash"))
    assert changed(SIMPLE, after) == ['- lodash={npm="lodash-es"}\n', '+ lodash="*"\n']


@pytest.mark.parametrize("spelling", ['">=4"', '{ version = ">=4" }', "'>=4'"])
def test_adding_what_is_there_changes_nothing(spelling: str) -> None:
    text = f"[packages]\na = {spelling}"
    assert add_package(text, PyPISpec(name="a", version=">=4")) == text


def test_what_stands_there_and_is_broken_can_be_replaced() -> None:
    assert packages(add_package("[packages]\nnew = 1\n", NEW)) == {"new": NEW}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", '[packages]\nnew = ">=1"\n'),
        ("# only this", '# only this\n\n[packages]\nnew = ">=1"\n'),
        ("[project]\r\n", '[project]\r\n\r\n[packages]\r\nnew = ">=1"\r\n'),
        ("[packages]", '[packages]\nnew = ">=1"\n'),
        ("[packages]\n\n[traffic]\n", '[packages]\nnew = ">=1"\n\n[traffic]\n'),
        ('[packages]\na = "*"', '[packages]\na = "*"\nnew = ">=1"\n'),
        ('\ufeff[packages]\r\na = "*"\r\n# x\r\n', '\ufeff[packages]\r\na = "*"\r\nnew = ">=1"\r\n# x\r\n'),
        ('packages.a = "*"\n[traffic]\n', 'packages.a = "*"\npackages.new = ">=1"\n[traffic]\n'),
        ('[packages.a]\nnpm = "x"\n', '[packages.a]\nnpm = "x"\n\n[packages]\nnew = ">=1"\n'),
        (
            '[packages]\na = "*"\n\n[packages.b]\nnpm = "x"\n',
            '[packages]\na = "*"\nnew = ">=1"\n\n[packages.b]\nnpm = "x"\n',
        ),
        (
            '[packages]\na.npm = "x"\na.version = "1"\n# z\n',
            '[packages]\na.npm = "x"\na.version = "1"\nnew = ">=1"\n# z\n',
        ),
        ("[ packages ] # here\n", '[ packages ] # here\nnew = ">=1"\n'),
        ('[a]\n["packages"]\n"b" = "*"\n', '[a]\n["packages"]\n"b" = "*"\nnew = ">=1"\n'),
    ],
)
def test_where_a_package_is_added_in_other_shapes(before: str, after: str) -> None:
    assert add_package(before, NEW) == after


def test_an_inline_table_of_packages_stays_one() -> None:
    after = add_package('packages = { a = "*" } # all\n[traffic]\n', NEW)
    assert packages(after) == {"a": PyPISpec(name="a"), "new": NEW}
    assert after.startswith('packages = { a = "*"')
    assert after.endswith("} # all\n[traffic]\n")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            '# h\n[packages.new] # i\n# j\nnpm = "x" # k\nversion = "1"\n\n# l\n[traffic]\n',
            '# h\n[packages.new] # i\n# j\nversion = ">=1"\n\n# l\n[traffic]\n',
        ),
        ("[packages]\n[packages.new]\n", '[packages]\n[packages.new]\nversion = ">=1"\n'),
        ('packages.new.npm = "x"\n# a\npackages.new.version = "1"\n', 'packages.new = ">=1"\n# a\n'),
        ('packages.new = "*" # a\n', 'packages.new = ">=1" # a\n'),
        ('[packages]\nnew.npm = "x"\n# a\nnew.version = "1"\nb = "*"\n', '[packages]\nnew = ">=1"\n# a\nb = "*"\n'),
    ],
)
def test_where_a_package_is_replaced_in_other_shapes(before: str, after: str) -> None:
    assert add_package(before, NEW) == after


@pytest.mark.parametrize(
    ("spec", "what"),
    [
        (PyPISpec(name="a/b"), "the name must be"),
        (PyPISpec(name="Humanize"), "only in case"),
        (PyPISpec(name="new", version="4.9"), "not a version specifier"),
        (NpmSpec(name="new", npm=""), "the text is empty"),
        (PathSpec(name="new", path="a\0b"), "control characters"),
        (GitSpec(name="new", git="https://u:hunter2@host/x"), "carries credentials"),
        (UrlSpec(name="new", url="https://host/x", sha256="12"), "64 hexadecimal digits"),
    ],
)
def test_what_could_not_be_read_is_not_written(spec: PackageSpec, what: str) -> None:
    with pytest.raises(ConfigError) as caught:
        add_package(SIMPLE, spec, where="/srv/dx.toml")
    assert what in caught.value.what
    assert caught.value.key.startswith("packages.")
    assert "/srv/dx.toml" in str(caught.value)
    assert "hunter2" not in str(caught.value)


# -- removing


def test_a_package_is_removed_with_its_line_only() -> None:
    assert changed(SIMPLE, remove_package(SIMPLE, "humanize")) == ['- humanize   = ">=4"   # keep\n']
    assert changed(SIMPLE, remove_package(SIMPLE, "lodash")) == ['- lodash={npm="lodash-es"}\n']


def test_case_and_separators_make_no_difference_when_removing() -> None:
    assert remove_package('[packages]\nfoo_bar = "*"\n', "Foo-Bar") == "[packages]\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('[packages]\na = "*"', "[packages]\n"),
        ('[packages]\r\na = "*"\r\n# x\r\n', "[packages]\r\n# x\r\n"),
        ('packages.a = "*"\n# x\n[traffic]\n', "# x\n[traffic]\n"),
        ('packages.a.npm = "x"\npackages.b = "*"\npackages.a.version = "1"\n', 'packages.b = "*"\n'),
        # tomlkit would take the comment about the next table along.
        ('[packages.a]\nnpm = "x"\n\n# about traffic\n[traffic]\n', "\n# about traffic\n[traffic]\n"),
        (
            '[packages.b]\nnpm = "x"\n[packages.a]\n# in\nnpm = "x"\n\n# about traffic\n[traffic]\n',
            '[packages.b]\nnpm = "x"\n# in\n\n# about traffic\n[traffic]\n',
        ),
        (
            '[packages.a]\nnpm = "x"\n# about b\n[packages.b]\nnpm = "x"\n',
            '# about b\n[packages.b]\nnpm = "x"\n',
        ),
        (
            '[packages]\nc = "*"\n[packages.a]\nnpm = "x"\n# about b\n[packages.b]\nnpm = "x"\n',
            '[packages]\nc = "*"\n# about b\n[packages.b]\nnpm = "x"\n',
        ),
        (
            '[packages.b]\nnpm = "x"\n[traffic]\n# t\n[packages.a]\nnpm = "x"\n# last\n',
            '[packages.b]\nnpm = "x"\n[traffic]\n# t\n# last\n',
        ),
        ('[packages]\na.npm = "x"\n# x\na.version = "1"\nb = "*"\n', '[packages]\n# x\nb = "*"\n'),
    ],
)
def test_removing_keeps_every_comment_in_every_shape(before: str, after: str) -> None:
    assert remove_package(before, "a") == after


def test_removing_from_an_inline_table() -> None:
    after = remove_package('packages = { a = "*", b = "1" } # all\n', "a")
    assert after.replace(" ", "") == 'packages={b="1"}#all\n'


def test_a_package_that_is_not_there_names_the_nearest() -> None:
    with pytest.raises(ConfigError) as caught:
        remove_package(SIMPLE, "humanise")
    assert caught.value.key == "packages"
    assert caught.value.hint == 'The nearest known package is "humanize"'
    with pytest.raises(ConfigError, match="Known here: humanize, lodash"):
        remove_package(SIMPLE, "zzz")
    with pytest.raises(ConfigError, match="There are no packages"):
        remove_package("", "zzz")


def test_a_broken_package_can_be_removed() -> None:
    assert remove_package('[packages]\na = "bad version"\nb = 1\n', "b") == '[packages]\na = "bad version"\n'


# -- both


@pytest.mark.parametrize("text", ["[packages", "a = [1, ", "[a]\n[a]\n", "packages = 1\n", "[[packages]]\n"])
def test_a_file_that_cannot_be_read_is_not_changed(text: str) -> None:
    with pytest.raises(ConfigError):
        add_package(text, NEW)
    with pytest.raises(ConfigError):
        remove_package(text, "new")


def test_add_then_remove_is_the_identity() -> None:
    assert remove_package(add_package(SIMPLE, NEW), "new") == SIMPLE


@pytest.mark.parametrize(
    "result",
    [
        '# a\n[packages]\na = "*"\n',  # not done
        '[packages]\na = "*"\nnew = ">=1"\n',  # a comment lost
        '# a\n[packages]\nnew = ">=1"\n',  # another package lost
        '# a\n[packages]\na = ">2"\nnew = ">=1"\n',  # another package changed
        '# a\n[packages]\na = "*"\nnew = ">=1"\n[traffic]\n',  # another table
        '# a\n[packages]\na = "*"\nnew = ">=2"\n',  # another version
        '# a\n[packages]\na = "*"\nnew = ">=1\n',  # no TOML
    ],
)
def test_a_change_that_went_wrong_is_never_handed_out(result: str) -> None:
    text = '# a\n[packages]\na = "*"\n'
    place = At(where="dx.toml", path=("packages", "new"))
    edit._check(add_package(text, NEW), text, place, others={"a": "*"}, wanted=NEW)
    with pytest.raises(ConfigError):
        edit._check(result, text, place, others={"a": "*"}, wanted=NEW)
