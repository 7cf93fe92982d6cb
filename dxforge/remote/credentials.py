"""Who we are to the object store: from the environment, the AWS files, or typed in; never shown and never written."""

from __future__ import annotations

import configparser
import getpass
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from dxforge.config.load import AccessKey, RemoteEnvironment
from dxforge.config.secrets import Secret
from dxforge.errors import RemoteCredentialsError
from dxforge.remote.location import Location

if TYPE_CHECKING:
    from obstore.store import S3Credential

_HOW = (
    "Set R2_ACCESS_KEY_ID and R2_SECRET_ACCESS_KEY (or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE) "
    "in the environment"
)
_OTHER_WAYS = ("credential_process", "sso_session", "sso_start_url", "role_arn", "web_identity_token_file")


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """An access key. Its texts are `Secret`: not in the repr, and it cannot be pickled. ``source`` says whence."""

    id: Secret
    secret: Secret
    session_token: Secret = field(default_factory=Secret)
    source: str = ""

    def __call__(self) -> S3Credential:
        """Hand the key to the object store's client, and to nobody else."""
        return {
            "access_key_id": self.id.reveal(),
            "secret_access_key": self.secret.reveal(),
            "token": self.session_token.reveal() or None,
            "expires_at": None,
        }

    def redact(self, text: str) -> str:
        """``text`` without anything of this key; servers like to repeat it in their errors."""
        for secret in (self.secret, self.session_token, self.id):
            if secret:
                text = text.replace(secret.reveal(), "***")
        return text


def find_credentials(location: Location, environment: RemoteEnvironment) -> Credentials | None:
    """The key for ``location``; None where it is a folder, which needs none.

    R2's own variables come first for R2, the AWS ones for any other; then the profile of the AWS files.

    Raises:
        RemoteCredentialsError: there is none, half of one, or a profile that only the AWS tools can use.
    """
    if location.kind == "file":
        return None
    pairs = [("R2", environment.r2), ("AWS", environment.aws)]
    for vendor, key in pairs if location.is_r2 else reversed(pairs):
        if key.id or key.secret:
            return _whole(key, vendor, location)
    found = _from_profile(location, environment)
    if found is not None:
        return found
    raise RemoteCredentialsError("there are no credentials for it", where=location.shown, hint=_HOW)


def ask_credentials(location: Location, ask: Callable[[str], str] = getpass.getpass) -> Credentials:
    """Ask the user, without showing what is typed.

    Raises:
        RemoteCredentialsError: nothing was typed.
    """
    credentials = Credentials(
        id=Secret(ask(f"Access key id for {location.shown}: ").strip()),
        secret=Secret(ask("Secret access key: ").strip()),
        source="typed in",
    )
    if not credentials.id or not credentials.secret:
        raise RemoteCredentialsError("no credentials were typed in", where=location.shown, hint=_HOW)
    return credentials


def _whole(key: AccessKey, vendor: str, location: Location) -> Credentials:
    for name, part in (("ACCESS_KEY_ID", key.id), ("SECRET_ACCESS_KEY", key.secret)):
        if not part:
            raise RemoteCredentialsError(
                f"only half of the credentials is set: {vendor}_{name} is missing",
                where=location.shown,
                hint=f"Set {vendor}_ACCESS_KEY_ID and {vendor}_SECRET_ACCESS_KEY, or neither",
            )
    return Credentials(id=key.id, secret=key.secret, session_token=key.session_token, source=f"{vendor}_ACCESS_KEY_ID")


def _from_profile(location: Location, environment: RemoteEnvironment) -> Credentials | None:
    """From the profile's section in the AWS files; None where there is no such section, and none was asked for."""
    name = environment.profile or "default"
    sections = [
        _section(environment.credentials_file, name),
        _section(environment.config_file, name if name == "default" else f"profile {name}"),
    ]
    for section in sections:
        if "aws_access_key_id" in section and "aws_secret_access_key" in section:
            return Credentials(
                id=section["aws_access_key_id"],
                secret=section["aws_secret_access_key"],
                session_token=section.get("aws_session_token", Secret()),
                source=f"profile {name}",
            )
    other = next((key for section in sections for key in _OTHER_WAYS if key in section), None)
    if other is not None:
        raise RemoteCredentialsError(
            f"the AWS profile {name} gets its credentials by {other}, which only the AWS tools can do",
            where=location.shown,
            hint=f'Run `eval "$(aws configure export-credentials --profile {name} --format env)"` first',
        )
    if environment.profile:
        raise RemoteCredentialsError(
            f"the AWS files have no access key for the profile {name}",
            where=str(environment.credentials_file),
            hint="Add it with `aws configure`, or unset AWS_PROFILE",
        )
    return None


def _section(file: Path, name: str) -> dict[str, Secret]:
    """A section of an AWS file; {} where there is no such file or section."""
    parser = configparser.RawConfigParser()
    fault = ""
    try:
        parser.read_string(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        fault = f"it cannot be read: {(error.strerror or 'no reason given').lower()}"
    except (configparser.Error, UnicodeDecodeError):
        fault = "it is no AWS file that can be read"
    if fault:
        # Outside of the `except`: what the parser says repeats lines of the file.
        raise RemoteCredentialsError(fault, where=str(file), hint="Correct it, or set the keys in the environment")
    if not parser.has_section(name):
        # configparser calls DEFAULT what AWS calls default; both are meant.
        return {key: Secret(value.strip()) for key, value in parser.defaults().items()} if name == "default" else {}
    return {key: Secret(value.strip()) for key, value in parser.items(name)}
