"""What `dxforge add` understands, and what it answers when it does not."""

from __future__ import annotations

import traceback

import pytest

from dxforge.config.edit import parse_requirement
from dxforge.config.model import GitSpec, NpmSpec, PackageSpec, PathSpec, PyPISpec, UrlSpec
from dxforge.errors import UsageError

SHA = "0a" * 32


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("humanize", PyPISpec(name="humanize")),
        (" humanize ", PyPISpec(name="humanize")),
        ("humanize>=4.9,<5", PyPISpec(name="humanize", version=">=4.9,<5")),
        ("humanize >=4.9, <5", PyPISpec(name="humanize", version=">=4.9, <5")),
        ("humanize==4.9.0", PyPISpec(name="humanize", version="==4.9.0")),
        ("zope.interface~=7.0", PyPISpec(name="zope.interface", version="~=7.0")),
        ("npm:lodash-es", NpmSpec(name="lodash-es", npm="lodash-es")),
        ("npm:lodash-es@^4.17", NpmSpec(name="lodash-es", npm="lodash-es", version="^4.17")),
        ("npm:lodash-es@>=4 <5", NpmSpec(name="lodash-es", npm="lodash-es", version=">=4 <5")),
        ("npm:lodash-es@*", NpmSpec(name="lodash-es", npm="lodash-es")),
        ("npm:@scope/x@^1", NpmSpec(name="scope-x", npm="@scope/x", version="^1")),
        ("npm:@scope/x", NpmSpec(name="scope-x", npm="@scope/x")),
        (
            "git+https://example.org/o/x.git@v1#subdirectory=src",
            GitSpec(name="x", git="https://example.org/o/x.git", rev="v1", subdir="src"),
        ),
        ("git+https://example.org/o/x.git", GitSpec(name="x", git="https://example.org/o/x.git")),
        ("git+https://example.org/o/x@feature/y", GitSpec(name="x", git="https://example.org/o/x", rev="feature/y")),
        (
            "git+https://example.org/o/x#egg=y&subdirectory=a/b",
            GitSpec(name="y", git="https://example.org/o/x", subdir="a/b"),
        ),
        ("git+ssh://git@example.org/x.git@v1", GitSpec(name="x", git="ssh://git@example.org/x.git", rev="v1")),
        ("git+git@example.org:o/x.git@v1", GitSpec(name="x", git="git@example.org:o/x.git", rev="v1")),
        ("git+../widgets.git@v1.2", GitSpec(name="widgets", git="../widgets.git", rev="v1.2")),
        ("git+file:///srv/x.git", GitSpec(name="x", git="file:///srv/x.git")),
        ("./folder", PathSpec(name="folder", path="./folder")),
        ("./folder/", PathSpec(name="folder", path="./folder/")),
        ("../x.tar.gz", PathSpec(name="x", path="../x.tar.gz")),
        ("../my-lib-1.2.3.tar.gz", PathSpec(name="my-lib", path="../my-lib-1.2.3.tar.gz")),
        ("./a_b-4.9.0-py3-none-any.whl", PathSpec(name="a_b", path="./a_b-4.9.0-py3-none-any.whl")),
        ("/srv/lib-2", PathSpec(name="lib-2", path="/srv/lib-2")),
        ("C:\\lib\\x.zip", PathSpec(name="x", path="C:\\lib\\x.zip")),
        ("./my folder", PathSpec(name="my-folder", path="./my folder")),
        (
            f"https://example.org/a/x-1.0.tar.gz#sha256={SHA}",
            UrlSpec(name="x", url="https://example.org/a/x-1.0.tar.gz", sha256=SHA),
        ),
        (
            f"https://example.org/x.zip?v=2#sha256={SHA.upper()}&egg=y",
            UrlSpec(name="y", url="https://example.org/x.zip?v=2", sha256=SHA),
        ),
        ("w @ git+https://example.org/x.git", GitSpec(name="w", git="https://example.org/x.git")),
        ("w @ ./x", PathSpec(name="w", path="./x")),
        ("w @ .", PathSpec(name="w", path=".")),
        ("w@npm:lodash-es@^4", NpmSpec(name="w", npm="lodash-es", version="^4")),
        (f"w @ https://example.org/x.zip#sha256={SHA}", UrlSpec(name="w", url="https://example.org/x.zip", sha256=SHA)),
    ],
)
def test_every_form(text: str, spec: PackageSpec) -> None:
    assert parse_requirement(text) == spec


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("humanize>=4", PyPISpec(name="own", version=">=4", project="humanize")),
        ("own>=4", PyPISpec(name="own", version=">=4")),
        ("con", PyPISpec(name="own", project="con")),
        ("npm:@scope/x", NpmSpec(name="own", npm="@scope/x")),
        ("..", PathSpec(name="own", path="..")),
        ("w @ ./x", PathSpec(name="own", path="./x")),
        ("git+https://example.org", GitSpec(name="own", git="https://example.org")),
    ],
)
def test_a_name_of_ones_own(text: str, spec: PackageSpec) -> None:
    assert parse_requirement(text, name="own") == spec


@pytest.mark.parametrize(
    ("text", "what", "hint"),
    [
        ("", "no package is named", "npm:lodash-es@^4.17"),
        ("x" * 5000, "too long", "humanize>=4.9"),
        ("humanize 4.9", "not a version specifier", '"==4.9"'),
        ("humanize^4", "not a version specifier", '">=4,<5"'),
        ("humanize>=", "not a version specifier", '">=4.9,<5"'),
        ("humanize@4.9", "npm's way", '"humanize==4.9"'),
        ("humanize@", "npm's way", "humanize>=4.9"),
        ("humanize[x]>=1", "extras", "with_dependencies"),
        ('humanize>=1; python_version < "3"', "markers", '"humanize>=1"'),
        ("humanize-", "cannot be a project", "humanize>=4.9"),
        ("con", "reserved on Windows", 'project = "con"'),
        ("-x", "no package is named like this", "humanize>=4.9"),
        ("@scope/x", "no package is named like this", '"npm:@scope/x"'),
        ("npm:", "no name follows", "name @"),
        ("npm:x@", "no version follows", "npm:lodash-es@^4.17"),
        ("npm:x@latest", "not a range", '"*"'),
        ("npm:a b", "cannot be a package of the npm registry", "@scope/name"),
        ("git+", "no name follows", "name @"),
        ("git+https://example.org/x@", "no revision follows", "@v1.2"),
        ("git+https://example.org/x@v 1", "cannot be a revision", "tag"),
        ("git+https://example.org/x#subdirectory=../y", "leads out", "without '..'"),
        ("git+https://example.org/x#sha=1", "not known here", "subdirectory=…"),
        ("https://example.org/x.git", "looks like a git repository", '"git+https://example.org/x.git"'),
        ("git@example.org:o/x.git", "looks like a git repository", '"git+git@example.org:o/x.git"'),
        ("https://example.org/x.zip", "needs its sha256", "#sha256="),
        ("https://example.org/x.zip#sha256=12", "64 hexadecimal digits", "sha256sum"),
        ("https://example.org/x.zip#md5=12", "not known here", "sha256=…"),
        ("ftp://example.org/x.zip#sha256=" + SHA, "not an address that dxforge can read", "https://"),
        ("file:///x.zip", "named by its path", "./x.tar.gz"),
        (".", "no name follows", "name @"),
        ("..", "no name follows", "name @"),
        ("~/x", "no package is named like this", "without '~'"),
        ("folder/sub", "no package is named like this", '"./folder/sub"'),
        ("x.tar.gz", "looks like an archive", '"./x.tar.gz"'),
        ("./a\0b", "control characters", "Remove"),
        ("./a\udc80", "control characters", "Remove"),
    ],
)
def test_what_cannot_be_understood_is_answered_with_the_way_out(text: str, what: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_requirement(text)
    assert what in caught.value.what
    assert hint in caught.value.hint
    str(caught.value).encode()


@pytest.mark.parametrize("name", ["a/b", "..", "con", "-x", "x" * 200])
def test_a_name_of_ones_own_must_be_a_safe_folder(name: str) -> None:
    with pytest.raises(UsageError):
        parse_requirement("humanize", name=name)


@pytest.mark.parametrize(
    "text",
    [
        "git+https://u:hunter2@example.org/x.git",
        f"https://hunter2@example.org/x.zip#sha256={SHA}",
        f"https://example.org/x.zip?token=hunter2#sha256={SHA}",
        "x @ https://u:hunter2@example.org/x.zip",
    ],
)
def test_credentials_are_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(UsageError, match="carries credentials") as caught:
        parse_requirement(text)
    assert "hunter2" not in "".join(traceback.format_exception_only(caught.value))
