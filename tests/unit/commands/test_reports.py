from __future__ import annotations

import dataclasses
import json
import re

import pytest

from dxforge.commands.changes import LISTED_AT_MOST, awaiting, light_counts, review_item
from dxforge.commands.layout import plain
from dxforge.commands.reports import DiffResult, OperationResult, ReviewResult, StatusResult
from dxforge.commands.result import InitResult, LogResult, Result, TextResult
from dxforge.commands.view import Text
from dxforge.errors import UndecidedError
from dxforge.traffic.model import Action, Change, FileDiff, InstallReport, Operation, PackageChange, TrafficLight

PACKAGE = {"name": "humanize", "version": "4.9.0", "source": "pypi", "edited": 2, "pending": 1}


def test_install_json_has_the_promised_shape(report: InstallReport) -> None:
    data = json.loads(json.dumps(OperationResult(command="install", report=report).to_json()))
    assert data["ok"] is True
    assert data["packages"][0] == {"name": "humanize", "from": "4.9.0", "to": "4.12.1", "source": "pypi"}
    assert data["counts"] == {"green": 4, "yellow": 1, "red": 1}
    assert {"path", "light", "reason", "action"} <= data["changes"][0].keys()
    assert [item["light"] for item in data["pending"]] == ["yellow", "red"]
    assert "error" not in data


def test_review_and_status_json_have_just_the_promised_keys(yellow: Change) -> None:
    item = {
        "path": yellow.path,
        "light": "yellow",
        "reason": yellow.reason,
        "package": "humanize",
        "hunks": [{"id": "1", "header": yellow.hunks[0].header}, {"id": "2", "header": yellow.hunks[1].header}],
    }
    assert ReviewResult(pending=(yellow,)).to_json() == {"pending": [item]}
    status = StatusResult(project="demo", packages=(PACKAGE,), pending=(yellow,))
    assert status.to_json() == {"tools": [], "tasks": [], "packages": [PACKAGE], "pending": [item]}


def test_what_else_is_known_is_in_the_item(red: Change) -> None:
    change = dataclasses.replace(red, new_path="n.py", broken="line 1: no", binary=True)
    item = review_item(change)
    assert item["set_aside"] == red.set_aside
    assert (item["new_path"], item["broken"], item["binary"]) == ("n.py", "line 1: no", True)


def test_diff_json_has_every_side(file_diff: FileDiff) -> None:
    data = DiffResult(diff=file_diff).to_json()
    assert data["path"] == file_diff.change.path
    assert (data["mine"], data["theirs"], data["proposal"]) == (file_diff.mine, file_diff.theirs, file_diff.proposal)


@pytest.mark.parametrize("command", ["install", "add", "remove", "accept", "reject", "resolve", "undo"])
def test_pending_changes_are_status_three(command: str, report: InstallReport) -> None:
    assert OperationResult(command=command, report=report).exit_code == 3
    assert OperationResult(command=command, report=dataclasses.replace(report, pending=[])).exit_code == 0
    assert OperationResult(command=command, report=dataclasses.replace(report, dry_run=True)).exit_code == 3
    assert OperationResult(command=command, report=dataclasses.replace(report, ok=False)).exit_code == 1


def test_review_is_status_three_while_something_is_pending(yellow: Change) -> None:
    assert ReviewResult(pending=(yellow,)).exit_code == 3
    assert ReviewResult(pending=()).exit_code == 0


def test_looking_is_status_zero(yellow: Change, file_diff: FileDiff) -> None:
    assert StatusResult(project="p", packages=(), pending=(yellow,)).exit_code == 0
    assert DiffResult(diff=file_diff).exit_code == 0
    assert LogResult(operations=()).exit_code == 0


def test_strict_makes_an_error_of_it(report: InstallReport) -> None:
    result = OperationResult(command="install", report=report, strict=True)
    assert result.exit_code == 1
    assert isinstance(result.failure(), UndecidedError)
    data = result.to_json()
    assert data["ok"] is False
    assert data["error"]["kind"] == "UndecidedError"
    decided = dataclasses.replace(report, pending=[])
    assert OperationResult(command="install", report=decided, strict=True).failure() is None


def test_install_tells_versions_lights_reasons_and_what_to_type(
    report: InstallReport, yellow: Change, red: Change
) -> None:
    text = OperationResult(command="install", report=report).text()
    assert re.search(
        r"humanize +4\.9\.0 → 4\.12\.1 +PyPI +● 4 Green \(1 created, 3 updated\)  ▲ 1 Yellow  ■ 1 Red", text
    )
    assert re.search(r"lodash +4\.17\.21 \(new\) +npm", text)
    assert re.search(r"old +1\.0 \(removed\) +path", text)
    assert "2 changes await your decision" in text
    assert re.search(rf"▲ Yellow +{re.escape(yellow.path)} +2 hunks +{yellow.reason}", text)
    assert f"theirs is in {red.set_aside}" in text
    for command in (
        f"dxforge diff {yellow.path}",
        f"dxforge accept {yellow.path} --hunk 1",
        f"dxforge reject {yellow.path}",
        f"dxforge resolve {red.path} --file FILE",
        "dxforge undo",
    ):
        assert re.search(rf"^  {re.escape(command)}  ", text, re.MULTILINE), command
    assert "still loaded from the old source" in text


def test_green_is_summed_up_unless_asked_for(report: InstallReport) -> None:
    assert "g0.py" not in OperationResult(command="install", report=report).text()
    verbose = OperationResult(command="install", report=report, verbose=True).text()
    assert re.search(r"● Green +src/\S+/g0\.py +only upstream changed it", verbose)


def test_the_notebook_is_told_its_own_commands(report: InstallReport, yellow: Change) -> None:
    result = OperationResult(program="%dx", command="install", report=report)
    assert f"%dx accept {yellow.path}" in result.text()
    assert "dxforge accept" not in result.text() + result._repr_html_()


def test_a_dry_run_says_so_and_offers_nothing_to_decide(report: InstallReport) -> None:
    text = OperationResult(command="install", report=dataclasses.replace(report, dry_run=True)).text()
    assert "Nothing was written (--dry-run)." in text
    assert "2 changes would await your decision" in text
    assert "3 to update" in text
    assert "dxforge accept" not in text


def test_nothing_to_do_is_one_line() -> None:
    same = [PackageChange(name=name, from_version="1", to_version="1", source="pypi") for name in "ab"]
    assert OperationResult(command="install", report=InstallReport(packages=same)).text() == "2 packages up to date."
    assert OperationResult(command="install", report=InstallReport()).text() == "There are no packages in dx.toml yet."


def test_one_package_moves_and_the_others_are_counted() -> None:
    packages = [
        PackageChange(name="a", from_version="1", to_version="2", source="pypi"),
        PackageChange(name="b", from_version="1", to_version="1", source="pypi"),
    ]
    text = OperationResult(command="install", report=InstallReport(packages=packages)).text()
    assert "1 → 2" in text
    assert "1 package up to date." in text


def test_accept_warns_about_what_would_not_parse(yellow: Change) -> None:
    taken = dataclasses.replace(yellow, action=Action.UPDATE, broken="line 3: invalid syntax")
    text = OperationResult(command="accept", report=InstallReport(changes=[taken])).text()
    assert text.split("\n") == [f"Accepted {yellow.path}", "  warning: would not parse: line 3: invalid syntax"]
    kept = dataclasses.replace(taken, action=Action.KEEP)
    assert "parse" not in OperationResult(command="reject", report=InstallReport(changes=[kept])).text()


def test_a_partly_accepted_file_says_what_is_left(yellow: Change) -> None:
    left = dataclasses.replace(yellow, hunks=yellow.hunks[:1])
    text = OperationResult(command="accept", report=InstallReport(changes=[yellow], pending=[left])).text()
    assert text.startswith(f"Accepted {yellow.path} in part, 1 hunk left\n")


def test_a_diff_says_which_hunk_overlaps_the_edit(file_diff: FileDiff) -> None:
    first, *rest = file_diff.change.hunks
    change = dataclasses.replace(file_diff.change, hunks=(dataclasses.replace(first, overlaps=True), *rest))
    text = DiffResult(diff=dataclasses.replace(file_diff, change=change)).text()
    assert f"{first.header}  hunk {first.id}, overlaps your edit\n" in text
    assert text.count("overlaps your edit") == 1


def test_an_undone_decision_says_what_is_to_be_decided_again(yellow: Change) -> None:
    def said(action: Action, pending: Change) -> str:
        report = InstallReport(changes=[dataclasses.replace(yellow, action=action)], pending=[pending])
        return OperationResult(command="undo", report=report).text().split("\n")[0]

    assert said(Action.UPDATE, yellow) == f"Put back {yellow.path}, 2 hunks to decide"
    deleted = dataclasses.replace(yellow, hunks=())
    assert said(Action.DELETE, deleted) == f"Took away {yellow.path}, which you had deleted, to be decided again"


def test_a_long_undo_is_shortened_unless_asked_for() -> None:
    changes = [
        Change(path=f"f{number}.py", light=TrafficLight.GREEN, reason="r", action=Action.DELETE) for number in range(30)
    ]
    result = OperationResult(command="undo", report=InstallReport(changes=changes))
    assert len(result.text().split("\n")) == 21
    assert "… and 10 more" in result.text()
    assert len(dataclasses.replace(result, verbose=True).text().split("\n")) == 30


def test_the_review_is_grouped_by_package_and_bounded(yellow: Change) -> None:
    many = [dataclasses.replace(yellow, path=f"src/p/f{number}.py") for number in range(LISTED_AT_MOST + 7)]
    text = ReviewResult(pending=tuple(many)).text()
    assert text.count("▲ Yellow") == LISTED_AT_MOST
    assert "… and 7 more" in text
    other = dataclasses.replace(yellow, package="lodash", path="src/dx_packages/lodash/x.js")
    lines = ReviewResult(pending=(yellow, other, yellow)).text().split("\n")
    assert lines.count("humanize") == 1
    assert lines.index("humanize") < lines.index("lodash")


def test_a_verbose_review_shows_the_diffs(yellow: Change, file_diff: FileDiff) -> None:
    result = ReviewResult(pending=(yellow,), diffs={yellow.path: file_diff}, verbose=True)
    assert "my edits" in result.text()
    assert "my edits" not in dataclasses.replace(result, verbose=False).text()


def test_diff_shows_both_sides_apart_and_numbers_the_proposals_hunks(file_diff: FileDiff) -> None:
    text = DiffResult(diff=file_diff).text()
    mine, theirs, proposal = (text.index(word) for word in ("my edits", "theirs", "proposal"))
    assert mine < text.index("+mine") < theirs < text.index("+theirs <b>") < proposal
    assert re.findall(r"^@@ .* @@ .*  hunk (\d)$", text, re.MULTILINE) == ["1", "2"]


def test_commands_quote_what_a_shell_would_read_otherwise(yellow: Change) -> None:
    change = dataclasses.replace(yellow, path="src/$(reboot) it's.py")
    assert """dxforge accept 'src/$(reboot) it'"'"'s.py'""" in ReviewResult(pending=(change,)).text()


def test_status_says_what_is_not_installed() -> None:
    missing = {"name": "lodash", "version": None, "source": "npm", "edited": 0, "pending": 0}
    text = StatusResult(project="demo", packages=(PACKAGE, missing), pending=()).text()
    assert re.search(r"humanize +4\.9\.0 +PyPI +2 files +1 file", text)
    assert re.search(r"lodash +not installed +npm +- +-", text)
    assert "dxforge install" in text
    assert "dxforge add" in StatusResult(project="demo", packages=(), pending=()).text()


def test_log_lists_ids_times_and_what_was_undone() -> None:
    import dataclasses as dc

    operation = Operation(
        id="0002", time="2026-11-23T12:16:07+00:00", command="accept", summary="a.py", files=1, undone=True
    )
    result = LogResult(operations=(dc.asdict(operation),))
    assert re.search(r"0002 +2026-11-23 12:16:07 +accept +1 file +a\.py \(undone\)", result.text())
    assert result.to_json()["operations"][0]["id"] == "0002"
    assert LogResult(operations=()).text() == "Nothing has been done in this project yet."


def test_reprs_are_one_stable_line(report: InstallReport, yellow: Change, file_diff: FileDiff) -> None:
    results: list[Result] = [
        OperationResult(command="install", report=report),
        ReviewResult(pending=(yellow,)),
        DiffResult(diff=file_diff),
        StatusResult(project="demo", packages=(PACKAGE,), pending=()),
        LogResult(operations=()),
        InitResult(name="demo", folder="."),
        TextResult(kind="help", content="x"),
    ]
    for result in results:
        assert re.fullmatch(r"<dxforge [a-z]+.*>", repr(result))
        assert "0x" not in repr(result)
        assert result._repr_mimebundle_() == {"text/plain": str(result), "text/html": result._repr_html_()}


def test_notices_stand_below() -> None:
    result = InitResult(name="demo", folder=".", notices=("a cached archive was damaged",))
    assert result.text().endswith("note: a cached archive was damaged")


def test_counts_of_lights(yellow: Change, red: Change) -> None:
    assert plain([Text(light_counts([yellow, red, red], dry_run=False))]) == "▲ 1 Yellow  ■ 2 Red"
    assert awaiting(1) == "1 change awaits your decision"


def test_a_notebooks_review_stays_small(yellow: Change, file_diff: FileDiff) -> None:
    long = dataclasses.replace(file_diff, theirs="@@ -1 +1,9000 @@\n" + "+x = 1\n" * 9000)
    result = ReviewResult(program="%dx", pending=(yellow,), diffs={yellow.path: long})
    assert "… and 8601 lines more" in result._repr_html_()
    assert len(result._repr_html_()) < 60_000
    assert f"%dx diff {yellow.path}" in result._repr_html_()
    assert "more" not in DiffResult(diff=long).text()


def test_an_edit_that_nothing_waits_for_offers_nothing_to_decide(file_diff: FileDiff, yellow: Change) -> None:
    kept = dataclasses.replace(yellow, light=TrafficLight.GREEN, action=Action.KEEP, hunks=())
    result = DiffResult(diff=FileDiff(change=kept, mine=file_diff.mine, theirs="", proposal=""))
    assert "+mine" in result.text()
    assert "accept" not in result.text()


def test_what_awaits_a_decision_has_a_panel(report: InstallReport, yellow: Change) -> None:
    assert OperationResult(command="install", report=report).panel == "review"
    assert ReviewResult(pending=(yellow,)).panel == ReviewResult(pending=()).panel == "review"
    assert StatusResult(project="p", packages=(), pending=()).panel == "status"
    for result in (
        OperationResult(command="install", report=dataclasses.replace(report, dry_run=True)),
        OperationResult(command="install", report=dataclasses.replace(report, pending=[])),
        OperationResult(command="undo", report=report),
        TextResult(kind="help", content=""),
    ):
        assert result.panel == ""


def test_a_panel_is_made_when_it_is_shown_and_stands_beside_text_and_html() -> None:
    made = []

    def live() -> dict[str, str]:
        made.append(1)
        return {"application/x-panel": "id"}

    result = StatusResult(project="p", packages=(), pending=(), live=live)
    assert (repr(result), str(result)) == (repr(dataclasses.replace(result, live=None)), result.text())
    assert not made
    bundle = result._repr_mimebundle_()
    assert bundle == {"text/plain": result.text(), "text/html": result._repr_html_(), "application/x-panel": "id"}
    assert made == [1]


def test_why_there_is_no_panel_is_said_in_a_line() -> None:
    def live() -> dict[str, str]:
        raise UndecidedError("it is <gone>", where="there", hint="Look")

    bundle = StatusResult(project="p", packages=(), pending=(), live=live)._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/html"}
    assert "note: no live panel: there: it is <gone>. Look\n" in bundle["text/plain"] + "\n"
    assert "it is &lt;gone&gt;" in bundle["text/html"]
