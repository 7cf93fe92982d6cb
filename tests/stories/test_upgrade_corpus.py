"""Two steps of the real upgrade corpus; ``make soak`` runs all of it, with a table."""

from __future__ import annotations

import pytest

from tests.soak.pipenv_corpus import run

pytestmark = pytest.mark.network


@pytest.mark.parametrize(
    ("order", "step", "files", "git_clean", "git_equal"),
    [("index", 0, 34, 23, 23), ("release", 20, 72, 40, 37)],
)
def test_no_file_is_worse_than_gits(order: str, step: int, files: int, git_clean: int, git_equal: int) -> None:
    (upgrade,) = run(order, slice(step, step + 1))
    figures = upgrade.figures()
    assert figures[:3] == (files, git_clean, git_equal), "the corpus has changed"
    assert [file.path for file in upgrade.files if file.worse] == []
    assert figures[3] >= git_clean
    assert figures[4] >= git_equal


def test_a_better_merge_is_explained() -> None:
    for upgrade in run("release", slice(20, 21)):
        for file in upgrade.files:
            assert not file.better or file.ours.how, file.path
