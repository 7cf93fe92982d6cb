"""What counts as a secret, and that it is never repeated."""

from __future__ import annotations

import copy
import pickle
import traceback
from pathlib import Path

import pytest

from dxforge.config.load import decode
from dxforge.config.secrets import Secret, has_credentials, is_secret_key
from dxforge.errors import ConfigError

SECRET = "hunter2-do-not-print"


@pytest.mark.parametrize(
    "name",
    [
        "token", "secret", "password", "access_key", "access-key", "AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID",
        "authToken", "NPM_AUTH_TOKEN", "apiKey", "API_KEY", "dbPassword", "DB_PASSWD", "credentials", "private_key",
        "secret_id", "token_value", "SECRET_KEY", "token2", "_authToken", "GITHUB_TOKEN", "client.secret", "ACCESSKEY",
    ],
)  # fmt: skip
def test_names_of_secrets(name: str) -> None:
    assert is_secret_key(name)


@pytest.mark.parametrize(
    "name",
    [
        "", "key", "keys", "MAX_TOKENS", "TOKENIZERS_PARALLELISM", "TOKEN_LIMIT", "PASSWORD_FILE", "secretary",
        "access", "PWD", "id", "CLIENT_ID", "monkey", "cache_key", "sha256", "123", "with_dependencies", "é",
    ],
)  # fmt: skip
def test_names_of_other_things(name: str) -> None:
    assert not is_secret_key(name)


@pytest.mark.parametrize(
    "text",
    [
        "https://user:pass@host/x", "https://token@host/x", "HTTPS://token@host", "git+https://token@host/x",
        "ssh://git:pass@host/x", "postgres://u:p@db/x", "https://user:p@ss@host/x", "--index=https://u:p@host",
        "see https://host/a and https://u:p@host/b", "s3://id:secret@bucket", "https://host/x?token=abc",
        "s3://b?endpoint=h&secret_access_key=abc", "https://host/x?a=1&X-Amz-Signature=abc", "https://h/x?sig=abc",
        "https://host/x#access_token=abc", "https://:pass@host/", "ssh://git:@host/x",
    ],
)  # fmt: skip
def test_addresses_with_credentials(text: str) -> None:
    assert has_credentials(text)


@pytest.mark.parametrize(
    "text",
    [
        "", "git@host:owner/x.git", "ssh://git@host/x", "git+ssh://git@host/x", "https://host/@scope/x", "a:b@c",
        "https://host:8080/x@v1", "https://host/x?version=1#sha256=ab", "https://host/x?token=", "https://host",
        "file:///a@b/c", "https://host?mail=a@b", "://", "a://b", "://@", "https://@host/x",
    ],
)  # fmt: skip
def test_addresses_without(text: str) -> None:
    assert not has_credentials(text)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (f'token = "{SECRET}"', "token"),
        (f'[remote]\nurl = "s3://b/p"\nsecret_access_key = "{SECRET}"', "remote.secret_access_key"),
        (f'[remote]\nurl = "s3://id:{SECRET}@b/p"', "remote.url"),
        (f'[remote]\nurl = "s3://b/p?access_key={SECRET}"', "remote.url"),
        (f'[index]\npypi = "https://u:{SECRET}@host/simple"', "index.pypi"),
        (f'[index]\nnpm = "https://{SECRET}@host/"', "index.npm"),
        (f'[packages]\na = {{ git = "https://u:{SECRET}@host/a.git" }}', "packages.a.git"),
        (f'[packages]\na = {{ url = "https://u:{SECRET}@host/a.zip", sha256 = "" }}', "packages.a.url"),
        (f'[packages]\na = {{ npm = "a", token = "{SECRET}" }}', "packages.a.token"),
        (f'[packages.token]\npassword = "{SECRET}"', "packages.token.password"),
        (f'[tools.a]\nbinary_path = "a"\nenv = {{ API_KEY = "{SECRET}" }}', "tools.a.env.API_KEY"),
        (f'[tools.a]\nbinary_path = "a"\nargs = ["x", "https://u:{SECRET}@host"]', "tools.a.args[1]"),
        (f'[tools.a]\nbinary_path = "a"\nhealth = {{ http = "http://u:{SECRET}@h/" }}', "tools.a.health.http"),
        (f'[[build.steps]]\ntool = "a"\nargs = ["postgres://u:{SECRET}@host"]', "build.steps[0].args[0]"),
        (f'a.b.c.password = "{SECRET}"', "a.b.c.password"),
        (f'a = [[{{ secret = "{SECRET}" }}]]', "a[0][0].secret"),
    ],
)
def test_dx_toml_with_a_secret_is_refused_and_the_secret_not_repeated(text: str, key: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        decode(text, root=tmp_path, where="dx.toml")
    assert caught.value.key == key
    assert "environment" in caught.value.hint
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_packages_and_tools_may_be_called_anything(tmp_path: Path) -> None:
    config = decode(
        '[packages]\nsecret = "*"\njs-token = "*"\n[tools.password]\nbinary_path = "pass"',
        root=tmp_path,
        where="dx.toml",
    )
    assert [spec.name for spec in config.packages] == ["secret", "js-token"]
    assert config.tools[0].name == "password"


def test_a_secret_is_never_shown_nor_pickled() -> None:
    secret = Secret(SECRET)
    assert secret.reveal() == SECRET
    for text in (repr(secret), str(secret), f"{secret}", f"{secret!r:>40}", repr([secret])):
        assert SECRET not in text
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match="environment"):
            pickle.dumps(secret, protocol)
    assert copy.deepcopy({"a": secret})["a"] is secret is copy.copy(secret)


def test_secrets_compare_by_their_text() -> None:
    assert Secret("a") == Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2
    assert Secret("a") and not Secret()
