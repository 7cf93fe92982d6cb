from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dxforge.commands.grammar import SECTIONS, dxforge, parse
from dxforge.errors import UsageError

PROMISED = (
    "init add remove install review diff accept reject resolve undo log status doctor help "
    "start stop restart run logs watch build snapshot snapshots rollback sync prefetch analyze tasks"
).split()
BELOW = {"snapshots_diff", "tasks_run", "tasks_retry", "tasks_cancel"}


def test_every_promised_command_exists_and_none_is_a_stub() -> None:
    assert sorted(dxforge.commands) == sorted(PROMISED)
    assert sorted(name for names in SECTIONS.values() for name in names) == sorted(PROMISED)
    assert all(command.help for command in dxforge.commands.values())


@pytest.mark.parametrize(
    ("words", "action", "arguments"),
    [
        ("snapshot", "snapshot", {"label": ""}),
        ("snapshot before", "snapshot", {"label": "before"}),
        ("snapshots", "snapshots", {"limit": None}),
        ("snapshots -n 3", "snapshots", {"limit": 3}),
        ("snapshots diff a", "snapshots_diff", {"old": "a", "new": None, "paths": ()}),
        ("snapshots diff a b --path x", "snapshots_diff", {"old": "a", "new": "b", "paths": ("x",)}),
        ("rollback a x y --dry-run", "rollback", {"identity": "a", "paths": ("x", "y"), "dry_run": True}),
        ("sync", "sync", {"dry_run": False, "pull": False, "verify": False}),
        ("sync --pull", "sync", {"dry_run": False, "pull": True, "verify": False}),
        ("prefetch a", "prefetch", {"name": "a"}),
        ("analyze", "analyze", {}),
        ("tasks", "tasks", {}),
        ("tasks run", "tasks_run", {}),
        ("tasks retry 3", "tasks_retry", {"number": 3}),
        ("tasks cancel 3", "tasks_cancel", {"number": 3}),
    ],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_what_is_done_in_the_background_is_typed_so(
    words: str, action: str, arguments: dict[str, object], as_json: bool
) -> None:
    call = parse([*words.split(), *(["--json"] if as_json else [])])
    assert (call.action, call.arguments, call.options.as_json) == (action, arguments, as_json)


@pytest.mark.parametrize(
    ("words", "where"),
    [
        ("rollback", "dxforge rollback"),
        ("sync --pull --dry-run", "dxforge sync"),
        ("tasks retry x", "dxforge tasks retry"),
        ("tasks retri 1", "dxforge tasks"),
        ("snapshots diff", "dxforge snapshots diff"),
    ],
)
def test_nested_commands_say_where_they_are_wrong(words: str, where: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(words.split())
    assert caught.value.where == where
    assert caught.value.hint


def test_help_of_nested_commands() -> None:
    assert "Usage: dxforge tasks retry" in parse(["tasks", "retry", "-h"]).arguments["content"]
    for words in (["tasks", "-h"], ["help", "tasks"]):
        assert "retry" in parse(words).arguments["content"]


def test_install_has_the_promised_options() -> None:
    words = "install a b --dry-run --upgrade --locked --offline --on-yellow accept --strict".split()
    call = parse(words)
    assert call.action == "install"
    assert call.arguments == {
        "names": ("a", "b"),
        "dry_run": True,
        "upgrade": True,
        "locked": True,
        "offline": True,
        "on_yellow": "accept",
        "strict": True,
    }


@pytest.mark.parametrize("words", [["--json", "status"], ["status", "--json"], ["--json", "status", "--json"]])
def test_json_is_taken_before_and_after_the_command(words: list[str]) -> None:
    call = parse(words)
    assert call.action == "status"
    assert call.options.as_json
    assert not call.options.verbose


def test_the_project_is_named_before_the_command() -> None:
    call = parse(["-C", "some/where", "-v", "log", "-q", "-n", "3"])
    assert call.options.directory == Path("some/where")
    assert call.options.verbose
    assert call.options.quiet
    assert call.arguments == {"limit": 3}


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["instal"], "Did you mean `dxforge install`"),
        (["acept", "x"], "Did you mean `dxforge accept`"),
        (["stat"], "Did you mean `dxforge status`"),
        (["install", "--upgade"], "Did you mean '--upgrade'"),
        (["help", "reviw"], "Did you mean `dxforge review`"),
        (["xyzzy"], "`dxforge help` lists the commands"),
    ],
)
def test_an_unknown_word_names_the_nearest_one(words: list[str], hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(words)
    assert caught.value.hint == hint


@pytest.mark.parametrize(
    ("words", "where"),
    [
        (["diff"], "dxforge diff"),
        (["diff", "a", "b"], "dxforge diff"),
        (["accept"], "dxforge accept"),
        (["accept", "a", "--all"], "dxforge accept"),
        (["reject", "a", "b", "--hunk", "1"], "dxforge reject"),
        (["reject", "--all", "--hunk", "1"], "dxforge reject"),
        (["accept", "a", "--hunk", ","], "dxforge accept"),
        (["resolve", "a"], "dxforge resolve"),
        (["install", "--on-yellow", "perhaps"], "dxforge install"),
        (["log", "-n", "0"], "dxforge log"),
        (["log", "-n", "x"], "dxforge log"),
        (["add"], "dxforge add"),
        (["add", "a", "b", "--name", "c"], "dxforge add"),
        (["remove"], "dxforge remove"),
        (["status", "extra"], "dxforge status"),
        (["-C"], "dxforge"),
        (["status", "-o", "x"], "dxforge status"),
    ],
)
def test_lines_that_cannot_mean_anything_say_where(words: list[str], where: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(words)
    assert caught.value.where == where
    assert caught.value.what
    assert not caught.value.what.endswith(".")
    assert caught.value.hint


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["build", "-C", "."], "-C stands before the command: `dxforge -C FOLDER build`"),
        (["start", "--all"], "Name the tools; `dxforge status` lists them"),
        (["restart", "--all"], "Name the tools; `dxforge status` lists them"),
        (["logs", "x", "-n", "y"], "'y' is no whole number"),
        (["run", "--timeout", "y", "x"], "'y' is no number"),
    ],
)
def test_what_is_elsewhere_or_no_number_is_said_in_plain_words(words: list[str], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(words)
    assert said in f"{caught.value.what} {caught.value.hint}"


def test_the_tail_of_a_log_has_two_names() -> None:
    assert parse(["logs", "x", "--tail", "3"]).arguments == parse(["logs", "x", "-n", "3"]).arguments


def test_hunks_are_repeated_or_listed() -> None:
    assert parse(["accept", "a", "--hunk", "1", "--hunk", "3"]).arguments["hunks"] == ("1", "3")
    assert parse(["accept", "a", "--hunk", "1,3"]).arguments["hunks"] == ("1", "3")
    assert parse(["accept", "a"]).arguments["hunks"] is None


def test_a_path_that_looks_like_an_option_goes_behind_two_dashes() -> None:
    assert parse(["diff", "--", "-rf.py"]).arguments == {"path": "-rf.py"}


def test_a_notebooks_help_ends_with_what_is_its_own() -> None:
    notebook = parse(["help"], program="%dx", notebook=True).arguments["content"]
    terminal = parse(["help"]).arguments["content"]
    for words in ("%%dx", "-o NAME", "-q"):
        assert words in notebook.split("Help:")[1]
    for words in ("_DXFORGE_COMPLETE", "Exit status"):
        assert words in terminal
        assert words not in notebook


def test_help_comes_from_everywhere_and_asks_for_nothing_else() -> None:
    for words in (["--help"], ["-h"], ["help"], []):
        call = parse(words)
        assert call.action == "help"
        for name in PROMISED:
            assert name in call.arguments["content"]
    for words in (["install", "--help"], ["diff", "--help"], ["help", "install"]):
        assert "Usage: dxforge " in parse(words).arguments["content"]
    assert parse(["help", "install"]).arguments == parse(["install", "-h"]).arguments


def test_no_short_help_is_cut_off() -> None:
    assert "..." not in parse([]).arguments["content"].replace("]...", "")


def test_the_notebook_has_its_own_name_and_option() -> None:
    call = parse(["status", "-o", "result"], program="%dx", notebook=True)
    assert call.options.store == "result"
    assert "Usage: %dx status" in parse(["help", "status"], program="%dx", notebook=True).arguments["content"]
    with pytest.raises(UsageError) as caught:
        parse(["statsu"], program="%dx", notebook=True)
    assert caught.value.hint == "Did you mean `%dx status`"


@given(
    st.lists(
        st.sampled_from([*PROMISED, "--all", "--hunk", "--json", "-C", "-q", "-n", "a", "", "--", "-", "1"]) | st.text()
    )
)
def test_any_line_is_a_call_or_a_usage_error(words: list[str]) -> None:
    with contextlib.suppress(UsageError):
        assert parse(words).action in {*PROMISED, *BELOW, "version"}


def test_a_nul_character_names_nothing() -> None:
    with pytest.raises(UsageError, match="NUL"):
        parse(["init", "\0"])
