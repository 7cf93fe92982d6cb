"""``with_dependencies``: the packages that are pulled in, over a real index."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from dxforge.errors import (
    CompiledOnlyError,
    IntegrityError,
    NoMatchingVersionError,
    PackageNotFoundError,
    ResolutionError,
)
from dxforge.sources.model import Candidate
from tests.support.index_server import IndexServer
from tests.support.sources import Given, pins_of

NOTHING: dict[str, str] = {}


@pytest.fixture
def given(index: IndexServer, tmp_path: Path) -> Given:
    """A project that wants ``app`` with what it needs."""
    return Given(tmp_path / "project", "app = { with_dependencies = true }\n")


def found(given: Given) -> dict[str, Candidate]:
    """What a fresh resolution says."""
    return given.resolve()


def test_nothing_is_pulled_in_by_default(index: IndexServer, given: Given) -> None:
    index.wheel("app", "1.0", NOTHING, requires=["lib"])
    given.toml = 'app = ""\n'
    assert set(given.resolve()) == {"app"}
    assert index.count("/simple/lib/") == 0


def test_the_whole_closure_comes_with_who_needs_whom(index: IndexServer, given: Given) -> None:
    index.wheel("app", "1.0", NOTHING, requires=["lib>=1,<2", "Other.Lib"])
    index.wheel("lib", "1.5", NOTHING, requires=["base"])
    index.wheel("lib", "2.0", NOTHING)
    index.wheel("other-lib", "3.0", NOTHING, requires=["base<2", "lib"])
    index.wheel("base", "1.9", NOTHING)
    index.wheel("base", "2.0", NOTHING)
    packages = given.install()
    assert {name: package.pin.version for name, package in packages.items()} == {
        "app": "1.0", "lib": "1.5", "base": "1.9", "other-lib": "3.0"
    }  # fmt: skip
    assert next(iter(packages)) == "app"
    pins = pins_of(packages)
    assert pins["app"].requires == ("lib", "other-lib") and pins["app"].direct
    assert pins["other-lib"].requires == ("base", "lib") and not pins["other-lib"].direct
    assert pins["base"].requires == ()


def test_markers_and_extras_are_evaluated_for_this_interpreter(index: IndexServer, given: Given) -> None:
    here = f"{sys.version_info[0]}.{sys.version_info[1]}"
    index.wheel(
        "app", "1.0", NOTHING,
        requires=[
            f'yes; python_version >= "{here}"', 'no; python_version < "3"', 'no; sys_platform == "amiga"',
            "lib[Fast_er]", 'no; extra == "unasked"',
        ],
        extras=["unasked"],
    )  # fmt: skip
    index.wheel(
        "lib", "1.0", NOTHING, extras=["fast-er", "slow"],
        requires=[
            'quick; extra == "fast-er"', 'no; extra == "slow"', 'no; extra == "fast-er" and python_version < "3"',
        ],
    )  # fmt: skip
    index.wheel("yes", "1.0", NOTHING)
    index.wheel("quick", "1.0", NOTHING)
    candidates = found(given)
    assert set(candidates) == {"app", "yes", "lib", "quick"}
    assert candidates["lib"].requires == ("quick",)


def test_an_older_version_is_tried_where_the_newest_contradicts(index: IndexServer, given: Given) -> None:
    index.wheel("app", "1.0", NOTHING, requires=["a", "b"])
    index.wheel("a", "2.0", NOTHING, requires=["base>=2"])
    index.wheel("a", "1.0", NOTHING, requires=["base<2"])
    index.wheel("b", "1.0", NOTHING, requires=["base<2"])
    for version in ("1.0", "2.0"):
        index.wheel("base", version, NOTHING)
    assert given.versions() == {"app": "1.0", "a": "1.0", "b": "1.0", "base": "1.0"}


def test_a_contradiction_says_who_asks_for_what(index: IndexServer, given: Given) -> None:
    index.wheel("app", "1.0", NOTHING, requires=["a", "b"])
    index.wheel("a", "1.0", NOTHING, requires=["base>=2"])
    index.wheel("b", "1.0", NOTHING, requires=["base<2"])
    for version in ("1.0", "2.0"):
        index.wheel("base", version, NOTHING)
    with pytest.raises(ResolutionError) as caught:
        given.resolve()
    assert "a 1.0 asks for base>=2" in caught.value.what
    assert "b 1.0 asks for base<2" in caught.value.what
    assert caught.value.where == "base"


def test_dx_toml_s_own_declaration_is_a_constraint(index: IndexServer, given: Given) -> None:
    index.wheel("app", "1.0", NOTHING, requires=["lib"])
    for version in ("1.0", "2.0"):
        index.wheel("lib", version, NOTHING, requires=["base"])
    index.wheel("base", "1.0", NOTHING)
    given.toml += 'mylib = { project = "Lib", version = "<2" }\n'
    candidates = found(given)
    assert {name: candidate.version for name, candidate in candidates.items()} == {
        "app": "1.0", "mylib": "1.0", "base": "1.0"
    }  # fmt: skip
    assert candidates["app"].requires == ("mylib",)
    assert candidates["mylib"].direct and candidates["mylib"].ref == "lib"
    assert not candidates["base"].direct
    index.wheel("app", "1.0", NOTHING, requires=["lib>=2"])
    with pytest.raises(ResolutionError, match=r"app 1\.0 asks for lib>=2; dx\.toml asks for lib <2"):
        given.resolve()


def test_what_dx_toml_takes_from_elsewhere_stands_for_the_project(index: IndexServer, given: Given) -> None:
    index.wheel("app", "1.0", NOTHING, requires=["my-lib>=99", "other @ https://host.example/other.zip"])
    for name in ("lib", "other"):
        (given.root / name).mkdir()
        (given.root / name / "x.py").write_text("")
    given.toml += 'My_Lib = { path = "lib" }\nother = { path = "other" }\n'
    candidates = found(given)
    assert set(candidates) == {"app", "My_Lib", "other"}
    assert candidates["app"].requires == ("My_Lib", "other")
    assert index.count("/simple/my-lib/") == 0


def test_a_need_at_an_address_has_to_be_declared(index: IndexServer, given: Given) -> None:
    index.wheel("app", "1.0", NOTHING, requires=["other @ https://host.example/other.zip"])
    with pytest.raises(ResolutionError, match="needs other from an address") as caught:
        given.resolve()
    assert "Declare other in dx.toml" in caught.value.hint


def test_missing_and_unusable_needs_say_who_asks(index: IndexServer, given: Given) -> None:
    index.wheel("app", "1.0", NOTHING, requires=["lib>=2"])
    with pytest.raises(PackageNotFoundError, match=r"no project lib \(app 1\.0 asks for lib>=2\)"):
        given.resolve()
    index.wheel("lib", "1.0", NOTHING)
    with pytest.raises(NoMatchingVersionError, match=r"no version of lib >=2 \(app 1\.0 asks"):
        given.resolve()
    index.wheel("lib", "2.0", NOTHING, tag="cp311-abi3-win_amd64")
    with pytest.raises(CompiledOnlyError, match=r"lib 2\.0 exists only as compiled wheels"):
        given.resolve()


def test_a_missing_need_of_the_newest_leads_to_an_older_one(index: IndexServer, given: Given) -> None:
    index.wheel("app", "2.0", NOTHING, requires=["nowhere"])
    index.wheel("app", "1.0", NOTHING)
    assert given.versions() == {"app": "1.0"}


@pytest.mark.parametrize("metadata", [True, False])
def test_metadata_is_read_apart_where_offered_and_else_from_the_archive(
    index: IndexServer, given: Given, metadata: bool
) -> None:
    release = index.wheel("app", "1.0", NOTHING, requires=["lib"], metadata=metadata)
    index.wheel("lib", "1.0", NOTHING, metadata=metadata)
    assert set(given.resolve()) == {"app", "lib"}
    assert index.count(release.filename + ".metadata") == metadata
    archives = [path for path in index.paths if path.endswith(".whl")]
    assert bool(archives) is not metadata


@pytest.mark.parametrize(
    ("files", "needs"),
    [
        ({"pyproject.toml": '[project]\nname = "app"\ndependencies = ["lib"]\n'}, {"lib"}),
        ({"pyproject.toml": '[project]\nname = "app"\ndynamic = ["dependencies"]\n'}, set()),
        ({"src/app.egg-info/requires.txt": 'lib\n\n[:python_version < "3"]\nno\n\n[extra]\nno\n'}, {"lib"}),
        ({"setup.py": "raise SystemExit('never run')"}, set()),
    ],
)
def test_sdists_tell_what_they_can_unbuilt(
    index: IndexServer, given: Given, files: dict[str, str], needs: set[str]
) -> None:
    content = {"PKG-INFO": "Metadata-Version: 2.1\nName: app\nVersion: 1.0\n", **files}
    from tests.support.archives import tar_bytes

    archive = tar_bytes({f"app-1.0/{path}": text for path, text in content.items()}, compress=True)
    index.offer("app", "app-1.0.tar.gz", archive)
    index.wheel("lib", "1.0", NOTHING)
    assert set(given.resolve()) == {"app", *needs}
    assert bool(given.notices) is (not needs)


def test_an_sdist_with_static_metadata_is_believed(index: IndexServer, given: Given) -> None:
    index.sdist("app", "1.0", {"pyproject.toml": '[project]\nname = "app"\ndependencies = ["no"]\n'}, requires=["lib"])
    index.wheel("lib", "1.0", NOTHING)
    assert set(given.resolve()) == {"app", "lib"}


def test_lines_that_are_no_requirement_are_left_out_with_a_word(index: IndexServer, given: Given) -> None:
    index.wheel("app", "1.0", NOTHING, requires=["lib (>=1.x)", "base"])
    index.wheel("base", "1.0", NOTHING)
    assert set(given.resolve()) == {"app", "base"}
    assert "lib (>=1.x)" in given.notices[0]


def test_the_locked_set_is_taken_without_a_request(index: IndexServer, given: Given) -> None:
    index.wheel("app", "1.0", NOTHING, requires=["lib[x]"])
    index.wheel("lib", "1.0", NOTHING, requires=['extra-lib; extra == "x"'], extras=["x"])
    index.wheel("extra-lib", "1.0", NOTHING)
    pins = pins_of(given.install())
    for name in ("app", "lib", "extra-lib"):
        index.wheel(name, "2.0", NOTHING)
    index.forget_requests()
    again = given.resolve(pins)
    assert {name: candidate.pin() for name, candidate in again.items()} == pins
    assert index.count() == 0


def test_the_locked_set_is_taken_though_the_cache_was_cleared(
    index: IndexServer, given: Given, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    index.wheel("app", "1.0", NOTHING, requires=["lib"])
    index.wheel("lib", "1.0", NOTHING)
    pins = pins_of(given.install())
    monkeypatch.setenv("DXFORGE_CACHE_DIR", str(tmp_path / "another"))
    index.forget_requests()
    assert {name: candidate.pin() for name, candidate in given.resolve(pins).items()} == pins
    assert index.count() == 0


def test_upgrade_moves_what_is_named_and_keeps_the_rest(index: IndexServer, given: Given) -> None:
    index.wheel("app", "1.0", NOTHING, requires=["lib", "base"])
    index.wheel("lib", "1.0", NOTHING)
    index.wheel("base", "1.0", NOTHING)
    pins = pins_of(given.install())
    index.wheel("app", "2.0", NOTHING, requires=["lib>=2", "base"])
    index.wheel("lib", "2.0", NOTHING)
    index.wheel("base", "2.0", NOTHING)
    assert given.versions(pins=pins) == {"app": "1.0", "lib": "1.0", "base": "1.0"}
    # lib has to move with app, base need not.
    assert given.versions(pins=pins, upgrade=["app"]) == {"app": "2.0", "lib": "2.0", "base": "1.0"}
    assert given.versions(pins=pins, upgrade=list(pins)) == {"app": "2.0", "lib": "2.0", "base": "2.0"}


def test_dependencies_asked_for_later_are_found_for_the_locked_version(index: IndexServer, given: Given) -> None:
    index.wheel("app", "1.0", NOTHING, requires=["lib"])
    index.wheel("lib", "1.0", NOTHING)
    given.toml = 'app = ""\n'
    pins = pins_of(given.install())
    index.wheel("app", "2.0", NOTHING)
    given.toml = "app = { with_dependencies = true }\n"
    assert given.versions(pins=pins) == {"app": "1.0", "lib": "1.0"}


def test_what_was_pulled_in_and_is_declared_later_becomes_direct(index: IndexServer, given: Given) -> None:
    index.wheel("app", "1.0", NOTHING, requires=["lib"])
    index.wheel("lib", "1.0", NOTHING)
    pins = pins_of(given.install())
    assert not pins["lib"].direct
    given.toml += 'lib = ""\n'
    assert given.resolve(pins)["lib"].direct
    given.toml = 'lib = ""\n'
    only = given.resolve(pins)
    assert set(only) == {"lib"} and only["lib"].direct


def test_a_part_is_resolved_under_the_whole_file_s_constraints(index: IndexServer, given: Given) -> None:
    index.wheel("app", "1.0", NOTHING, requires=["lib"])
    for version in ("1.0", "2.0"):
        index.wheel("lib", version, NOTHING)
    given.toml += 'lib = "<2"\nunrelated = ""\n'
    candidates = given.resolve(only=["app"])
    assert {name: candidate.version for name, candidate in candidates.items()} == {"app": "1.0", "lib": "1.0"}
    assert candidates["lib"].direct


def test_circles_end(index: IndexServer, given: Given) -> None:
    index.wheel("app", "1.0", NOTHING, requires=["lib", "app[more]"], extras=["more"])
    index.wheel("lib", "1.0", NOTHING, requires=["app"])
    candidates = found(given)
    assert set(candidates) == {"app", "lib"}
    assert candidates["app"].requires == ("lib",)
    assert candidates["lib"].requires == ("app",)


def test_prereleases_are_pulled_in_only_where_someone_names_one(index: IndexServer, given: Given) -> None:
    index.wheel("app", "1.0", NOTHING, requires=["lib"])
    index.wheel("lib", "1.0", NOTHING)
    index.wheel("lib", "2.0b1", NOTHING)
    assert given.versions()["lib"] == "1.0"
    index.wheel("app", "1.0", NOTHING, requires=["lib>=2.0b1"])
    assert given.versions()["lib"] == "2.0b1"


def test_one_project_under_two_names(index: IndexServer, given: Given) -> None:
    index.wheel("lib", "1.0", NOTHING)
    index.wheel("lib", "2.0", NOTHING, requires=["base"])
    index.wheel("base", "1.0", NOTHING)
    given.toml = (
        'old = { project = "lib", version = "<2" }\n'
        'new = { project = "lib", version = ">=2", with_dependencies = true }\n'
        'also = { project = "lib", with_dependencies = true }\n'
    )
    packages = given.install()
    assert {name: package.pin.version for name, package in packages.items()} == {
        "old": "1.0", "new": "2.0", "also": "2.0", "base": "1.0"
    }  # fmt: skip
    pins = pins_of(packages)
    assert pins["also"].requires == ("base",)
    index.forget_requests()
    assert {name: candidate.pin() for name, candidate in given.resolve(pins).items()} == pins
    assert index.count() == 0


def test_a_wide_closure_is_asked_for_ahead(index: IndexServer, given: Given) -> None:
    names = [f"lib{number:02}" for number in range(40)]
    index.wheel("app", "1.0", NOTHING, requires=names)
    for name in names:
        index.wheel(name, "1.0", NOTHING, requires=["base"])
    index.wheel("base", "1.0", NOTHING)
    assert set(given.resolve()) == {"app", "base", *names}
    assert index.count("/simple/") == 42


def test_metadata_that_is_not_what_the_index_promised(index: IndexServer, given: Given) -> None:
    release = index.wheel("app", "1.0", NOTHING, requires=["lib"])
    index.wheel("lib", "1.0", NOTHING)
    index.corrupt(release.filename + ".metadata")
    with pytest.raises(IntegrityError, match="of its metadata is"):
        given.resolve()
    # Promised and not there: the archive has it too.
    index.fail(release.filename + ".metadata", status=404)
    assert set(given.resolve()) == {"app", "lib"}
    assert index.count(release.filename) == 3


def test_dependencies_of_an_index_without_hashes(index: IndexServer, given: Given) -> None:
    index.wheel("app", "1.0", NOTHING, requires=["lib"], hashes=False, metadata=False)
    index.wheel("lib", "1.0", NOTHING, hashes=False, metadata=False)
    packages = given.install()
    assert packages["app"].pin.requires == ("lib",)
    pins = pins_of(packages)
    assert {name: candidate.pin() for name, candidate in given.resolve(pins).items()} == pins
