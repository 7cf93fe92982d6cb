"""Credentials: where they come from, and that nobody ever sees them."""

from __future__ import annotations

import io
import pickle
import traceback
from pathlib import Path

import pytest
from rich.console import Console
from rich.traceback import Traceback

from dxforge.config.load import RemoteEnvironment, load_remote_environment
from dxforge.config.secrets import Secret
from dxforge.errors import RemoteCredentialsError
from dxforge.remote.credentials import Credentials, ask_credentials, find_credentials
from dxforge.remote.location import parse_location

CANARY = "canary-5ecret-of-the-mine"
S3 = parse_location("s3://bucket", root=Path("/"))
R2 = parse_location("r2://account/bucket", root=Path("/"))


def environment(tmp_path: Path, **variables: str) -> RemoteEnvironment:
    files = {"AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "c"), "AWS_CONFIG_FILE": str(tmp_path / "f")}
    return load_remote_environment({**files, **variables})


def texts(credentials: Credentials | None) -> tuple[str, str, str]:
    assert credentials is not None
    return credentials.id.reveal(), credentials.secret.reveal(), credentials.session_token.reveal()


BOTH = {
    "R2_ACCESS_KEY_ID": "r2-id",
    "R2_SECRET_ACCESS_KEY": "r2-secret",
    "AWS_ACCESS_KEY_ID": "aws-id",
    "AWS_SECRET_ACCESS_KEY": "aws-secret",
    "AWS_SESSION_TOKEN": "aws-token",
}


def test_a_folder_needs_none(tmp_path: Path) -> None:
    assert find_credentials(parse_location("file://x", root=tmp_path), environment(tmp_path)) is None


def test_each_place_has_its_own_variables_first(tmp_path: Path) -> None:
    found = environment(tmp_path, **BOTH)
    assert texts(find_credentials(R2, found)) == ("r2-id", "r2-secret", "")
    assert texts(find_credentials(S3, found)) == ("aws-id", "aws-secret", "aws-token")
    own = parse_location("s3://bucket?endpoint=https://a.r2.cloudflarestorage.com", root=tmp_path)
    assert texts(find_credentials(own, found)) == ("r2-id", "r2-secret", "")


def test_the_others_variables_do_too(tmp_path: Path) -> None:
    aws = {name: value for name, value in BOTH.items() if name.startswith("AWS")}
    r2 = {name: value for name, value in BOTH.items() if name.startswith("R2")}
    assert texts(find_credentials(R2, environment(tmp_path, **aws)))[0] == "aws-id"
    assert texts(find_credentials(S3, environment(tmp_path, **r2)))[0] == "r2-id"


def test_half_a_key_is_an_error_that_names_the_other_half(tmp_path: Path) -> None:
    with pytest.raises(RemoteCredentialsError, match="R2_SECRET_ACCESS_KEY is missing"):
        find_credentials(R2, environment(tmp_path, R2_ACCESS_KEY_ID="x"))
    with pytest.raises(RemoteCredentialsError, match="AWS_ACCESS_KEY_ID is missing"):
        find_credentials(S3, environment(tmp_path, AWS_SECRET_ACCESS_KEY=CANARY))


def test_profiles_of_the_aws_files(tmp_path: Path) -> None:
    (tmp_path / "c").write_text(
        "[default]\naws_access_key_id = d\naws_secret_access_key = ds%(x)s\n"
        "[work]\naws_access_key_id=w\naws_secret_access_key=ws\naws_session_token=wt\n"
    )
    (tmp_path / "f").write_text("[profile only]\naws_access_key_id=o\naws_secret_access_key=os\n")
    assert texts(find_credentials(S3, environment(tmp_path))) == ("d", "ds%(x)s", "")
    assert texts(find_credentials(S3, environment(tmp_path, AWS_PROFILE="work"))) == ("w", "ws", "wt")
    assert texts(find_credentials(S3, environment(tmp_path, AWS_PROFILE="only"))) == ("o", "os", "")
    with pytest.raises(RemoteCredentialsError, match="no access key for the profile nobody"):
        find_credentials(S3, environment(tmp_path, AWS_PROFILE="nobody"))


def test_the_environment_goes_before_the_profile(tmp_path: Path) -> None:
    (tmp_path / "c").write_text("[default]\naws_access_key_id = d\naws_secret_access_key = ds\n")
    assert texts(find_credentials(S3, environment(tmp_path, **BOTH)))[0] == "aws-id"


def test_a_profile_that_only_the_aws_tools_can_use_says_how(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("[default]\nsso_session = corp\n")
    with pytest.raises(RemoteCredentialsError, match=r"sso_session.*aws configure export-credentials"):
        find_credentials(S3, environment(tmp_path))


def test_none_anywhere(tmp_path: Path) -> None:
    with pytest.raises(RemoteCredentialsError, match=r"no credentials.*R2_ACCESS_KEY_ID"):
        find_credentials(R2, environment(tmp_path))


def test_a_broken_file_is_named_and_never_quoted(tmp_path: Path) -> None:
    for first_line in ("[default", ""):
        (tmp_path / "c").write_text(f"{first_line}\naws_secret_access_key = {CANARY}")
        with pytest.raises(RemoteCredentialsError, match="no AWS file") as caught:
            find_credentials(S3, environment(tmp_path))
        assert CANARY not in shown(caught.value)
    (tmp_path / "c").unlink()
    (tmp_path / "c").mkdir()
    with pytest.raises(RemoteCredentialsError, match="cannot be read"):
        find_credentials(S3, environment(tmp_path))


def test_typed_in() -> None:
    asked: list[str] = []
    answers = iter([" id ", CANARY])

    def ask(prompt: str) -> str:
        asked.append(prompt)
        return next(answers)

    assert texts(ask_credentials(R2, ask)) == ("id", CANARY, "")
    assert "r2://bucket" in asked[0]
    with pytest.raises(RemoteCredentialsError, match="typed in"):
        ask_credentials(R2, lambda _: "")


def shown(error: BaseException) -> str:
    """All that any traceback of ``error`` would show, variables included, and all errors behind it."""
    out = io.StringIO()
    console = Console(file=out, width=400)
    console.print(
        Traceback.from_exception(
            type(error), error, error.__traceback__, show_locals=True, locals_max_length=None, locals_max_string=None
        )
    )
    seen: BaseException | None = error
    chain = []
    while seen is not None:
        chain += [repr(seen), str(seen), repr(seen.args), repr(vars(seen))]
        seen = seen.__context__
    return out.getvalue() + "".join(chain) + "".join(traceback.format_exception(error))


def test_a_key_is_not_in_any_text_nor_pickle() -> None:
    credentials = Credentials(id=Secret(CANARY), secret=Secret(CANARY), session_token=Secret(CANARY), source="here")
    for text in (repr(credentials), str(credentials), f"{credentials}", repr([credentials]), repr({"c": credentials})):
        assert CANARY not in text
        assert "here" in text
    with pytest.raises(TypeError, match="environment"):
        pickle.dumps(credentials)
    with pytest.raises(ValueError, match="here") as caught:
        raise ValueError(credentials)
    assert CANARY not in shown(caught.value)


def test_what_others_repeat_is_redacted() -> None:
    credentials = Credentials(id=Secret("AKIA123"), secret=Secret(CANARY), session_token=Secret("tok"))
    assert credentials.redact(f"key AKIA123 with {CANARY} and tok") == "key *** with *** and ***"
