"""Which file of a project is taken: the rules as properties; the stories are in ``test_pypi.py``."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.tags import Tag
from packaging.version import Version

from dxforge.errors import SourceError
from dxforge.sources.selection import FileKind, IndexFile, choices, classify, compiled_only_above, explain, wanted

VERSIONS = st.builds(
    lambda release, suffix: Version(".".join(str(part) for part in release) + suffix),
    st.lists(st.integers(0, 3), min_size=1, max_size=2),
    st.sampled_from(["", "", "rc1", ".dev2", ".post1"]),
)
KINDS: st.SearchStrategy[FileKind] = st.sampled_from(["pure", "source", "compiled", "other"])
FILES = st.lists(
    st.builds(
        lambda version, kind, yanked, python: IndexFile(
            filename=f"x-{version}.{kind}", version=version, kind=kind, yanked=yanked, requires_python=python
        ),
        VERSIONS,
        KINDS,
        st.booleans(),
        st.sampled_from(["", "", ">=3", ">=4", "nonsense"]),
    ),
    max_size=8,
)
SPECIFIERS = st.sampled_from(["", ">=1", "<2", "==1.0", "==1.*", "!=2", "~=1.1", ">=1.0rc1", "===2.0"])


@given(FILES, SPECIFIERS, st.booleans())
def test_choices_are_allowed_newest_first_and_else_there_is_a_reason(
    files: list[IndexFile], specifier: str, prereleases: bool
) -> None:
    asked = wanted(specifier, prereleases=prereleases, python="3.11.7")
    chosen = list(choices(files, asked))
    versions = [file.version for file in chosen]
    assert versions == sorted(set(versions), reverse=True)
    for file in chosen:
        assert asked.specifier.contains(file.version, prereleases=True)
        assert asked.prereleases or not file.version.is_prerelease
        assert file.kind in ("pure", "source") and file.requires_python != ">=4"
        assert not file.yanked or specifier in ("==1.0", "===2.0")
        if file.kind == "source":
            assert not any(
                other.kind == "pure" and other.version == file.version and other.requires_python != ">=4"
                and (not other.yanked or file.yanked)
                for other in files
            )  # fmt: skip
    if chosen:
        newer = compiled_only_above(files, asked, versions[0])
        assert newer is None or newer > versions[0]
    else:
        with pytest.raises(SourceError) as caught:
            explain("x", specifier, files, asked)
        assert caught.value.hint


@pytest.mark.parametrize(
    ("filename", "package_type", "kind"),
    [
        ("x-1-py3-none-any.whl", "wheel", "pure"),
        ("x-1-py2.py3-none-any.whl", "wheel", "pure"),
        ("x-1-2-py3-none-any.whl", "wheel", "pure"),
        ("x-1-py2-none-any.whl", "wheel", "other"),
        ("x-1-cp311-abi3-any.whl", "wheel", "compiled"),
        ("x-1-cp311-cp311-win_amd64.whl", "wheel", "compiled"),
        ("x-1-py3-none-manylinux1_x86_64.whl", "wheel", "compiled"),
        ("nonsense-any.whl", "wheel", "other"),
        ("x-1.tar.gz", "sdist", "source"),
        ("x-1.zip", "sdist", "source"),
        ("x-1.egg", "egg", "other"),
        ("x", None, "other"),
    ],
)
def test_kinds_of_files(filename: str, package_type: str | None, kind: str) -> None:
    assert classify(filename, package_type, {Tag("py3", "none", "any"): 0})[0] == kind


def test_specifiers_that_name_a_prerelease_ask_for_them() -> None:
    assert wanted(">=1.0rc1", prereleases=False, python="3.11.7").prereleases
    assert not wanted(">=1.0", prereleases=False, python="3.11.7").prereleases
    assert not wanted("", prereleases=False, python="3.11.7").prereleases
    assert wanted("", prereleases=True, python="3.11.7").prereleases
