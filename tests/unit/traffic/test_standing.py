"""The list of pending files: what its versions tell, and what is not evaluated again."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from dxforge.traffic import review
from dxforge.traffic.model import Standing
from dxforge.traffic.standing import difference
from tests.support.archives import Exec
from tests.support.project import PACKAGES, RED, YELLOW, Project, lines

MINE = lines(_2="mine = 1")
THEIRS = lines(_9="nine = 1", _15="fifteen = 1")
PATH = f"{PACKAGES}/pkg/m.py"
OTHER = f"{PACKAGES}/pkg/other.py"


@pytest.fixture
def project(tmp_path: Path, cache_dir: Path) -> Project:
    """Two files with two hunks each to decide on."""
    made = Project(tmp_path, "pkg")
    made.start({"m.py": lines(), "other.py": lines()}, {"m.py": MINE, "other.py": MINE})
    made.publish({"m.py": THEIRS, "other.py": THEIRS})
    made.install()
    return made


def look(project: Project) -> dict[str, Standing]:
    return {known.path: known for known in project.manager.reviewing.pending()}


def anew(project: Project) -> dict[str, Standing]:
    """What another process sees."""
    return look(Project(project.base, root=project.root))


def test_a_list_says_what_pending_says(project: Project) -> None:
    project.write("m.py", lines(_9="red = 1"))
    found = look(project)
    for change in project.manager.pending():
        known = found.pop(change.path)
        assert (known.light, known.reason, known.package) == (change.light, change.reason, "pkg")
        assert known.hunks == len(change.hunks)
        assert known.to_json().keys() == {
            "path", "package", "light", "reason", "hunks", "binary", "new_path", "set_aside", "broken", "version",
        }  # fmt: skip
    assert not found
    assert {known.light for known in look(project).values()} == {RED, YELLOW}


def test_what_pending_has_merged_the_list_merges_no_more(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = anew(project)
    project.manager.pending()
    monkeypatch.setattr(review, "judge", lambda cases, *_, **__: [pytest.fail(case.path) for case in cases])
    assert look(project) == expected


def test_versions_stay_while_nothing_changes_in_every_process(project: Project) -> None:
    before = look(project)
    os.utime(project.path("m.py"))
    assert look(project) == before == anew(project)


def accept_elsewhere(project: Project) -> None:
    Project(project.base, root=project.root).manager.accept(PATH, "1")


def reject_elsewhere(project: Project) -> None:
    Project(project.base, root=project.root).manager.reject(PATH, "1")


def upgrade(project: Project) -> None:
    project.publish({"m.py": THEIRS + "more = 1\n", "other.py": THEIRS})
    Project(project.base, root=project.root).install()


def upgrade_mode(project: Project) -> None:
    project.publish({"m.py": Exec(THEIRS), "other.py": THEIRS})
    Project(project.base, root=project.root).install()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda project: project.write("m.py", MINE + "more = 1\n"), "your file has changed"),
        (lambda project: project.path("m.py").unlink(), "your file has changed"),
        (lambda project: project.path("m.py").chmod(0o755), "your file has changed"),
        (accept_elsewhere, "some of its hunks have been decided on"),
        (reject_elsewhere, "some of its hunks have been decided on"),
        (upgrade, "another version of the package has come in"),
        (upgrade_mode, "another version of the package has come in"),
    ],
)
def test_a_version_changes_with_whatever_the_decision_depends_on(
    project: Project, change: Callable[[Project], object], said: str
) -> None:
    before = look(project)
    change(project)
    after = look(project)
    assert after == anew(project)
    assert after[PATH].version != before[PATH].version
    assert difference(before[PATH].version, after[PATH].version) == said
    assert after[OTHER].version == before[OTHER].version


def test_a_later_edit_in_the_same_instant_is_seen(project: Project) -> None:
    look(project)
    seen = set()
    for number in range(20):
        project.write("m.py", MINE.replace("mine = 1", f"mine ={number:2}"))
        seen.add(look(project)[PATH].version)
    assert len(seen) == 20


def test_only_what_changed_is_evaluated_again(project: Project) -> None:
    before = look(project)
    project.write("m.py", MINE + "more = 1\n")
    after = look(project)
    assert after[OTHER] is before[OTHER]
    assert after[PATH] is not before[PATH]
    assert look(project)[PATH] is after[PATH]


def test_some_files_alone(project: Project) -> None:
    before = look(project)
    project.write("other.py", lines())
    (known,) = project.manager.reviewing.pending([PATH])
    assert known is before[PATH]
    assert project.manager.reviewing.pending([f"{PACKAGES}/pkg/none.py"]) == []
    assert look(project)[OTHER].version != before[OTHER].version


def test_a_file_that_came_to_need_no_decision_is_left_out_and_comes_back(project: Project) -> None:
    before = look(project)
    project.write("m.py", THEIRS)
    assert look(project).keys() == {OTHER}
    assert look(project).keys() == {OTHER}
    project.write("m.py", MINE)
    assert look(project) == before


def test_a_setting_that_the_light_depends_on(project: Project) -> None:
    before = look(project)
    toml = project.root / "dx.toml"
    toml.write_text(toml.read_text() + '\n[traffic]\nreview = "always"\n')
    assert look(project)[PATH].version != before[PATH].version


def test_an_archive_that_comes_back_is_noticed(tmp_path: Path, cache_dir: Path) -> None:
    project = Project(tmp_path, "pkg")
    project.start({"m.py": lines()}, {"m.py": MINE})
    project.publish({"m.py": THEIRS})
    project.install()
    before = look(project)
    places = [place / "archives" for place in (project.root / ".dx", cache_dir)]
    for place in places:
        place.rename(place.with_name("elsewhere"))
    project.publish({"m.py": "quite another\n"})
    project.manager = Project(project.base, root=project.root).manager
    lost = look(project)
    assert lost[PATH].version != before[PATH].version
    assert "can no longer be had" in lost[PATH].reason
    # Nor does it stay so because somebody looked closer meanwhile.
    assert project.manager.reviewing.view(PATH).standing == lost[PATH]
    assert len(project.manager.pending()) == 1
    for place in places:
        if place.exists():
            place.rename(place.with_name("not this"))
        place.with_name("elsewhere").rename(place)
    assert look(project) == before


@pytest.mark.parametrize("garbage", ["", "1-2-3", "a-b-c-d-e", "no version"])
def test_what_is_no_version_is_another_one(garbage: str) -> None:
    assert difference(garbage, "1-2-3-4") == "it has changed"
    assert difference("1-2-3-5", "1-2-3-4") == "its proposal is another one"
