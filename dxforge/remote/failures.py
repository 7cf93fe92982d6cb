"""What an object store's client raises, as what it means; and that as the errors of the tree.

Nothing of the client's own text is passed on but status, code and message: servers like to repeat keys and signatures.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum

from dxforge.errors import (
    RemoteCredentialsError,
    RemoteDeniedError,
    RemoteError,
    RemoteMissingError,
    RemoteUnreachableError,
)
from dxforge.remote.location import Location


class Trouble(Enum):
    """Why a request failed."""

    ABSENT = "no such object"
    MISSING = "no such bucket or folder"
    CREDENTIALS = "unknown or wrong credentials"
    DENIED = "not allowed"
    CLOCK = "the clock is wrong"
    REGION = "the region is wrong"
    BUSY = "too busy"
    UNREACHABLE = "no answer"
    INSECURE = "no secure connection"
    CUT = "not all of it arrived"
    FULL = "no space"
    OTHER = "refused"


_TEMPORARY = frozenset({Trouble.BUSY, Trouble.UNREACHABLE, Trouble.CUT})
_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>([A-Za-z0-9]{1,64})</Code>|\(code: ([A-Za-z0-9]{1,64})\)")
_MESSAGE = re.compile(r"<Message>([^<]{1,200})</Message>")
_CODES = {
    "NoSuchKey": Trouble.ABSENT,
    "InvalidRange": Trouble.ABSENT,
    "NoSuchBucket": Trouble.MISSING,
    "InvalidAccessKeyId": Trouble.CREDENTIALS,
    "SignatureDoesNotMatch": Trouble.CREDENTIALS,
    "InvalidToken": Trouble.CREDENTIALS,
    "ExpiredToken": Trouble.CREDENTIALS,
    "InvalidSecurity": Trouble.CREDENTIALS,
    "Unauthorized": Trouble.CREDENTIALS,
    "AccessDenied": Trouble.DENIED,
    "RequestTimeTooSkewed": Trouble.CLOCK,
    "AuthorizationHeaderMalformed": Trouble.REGION,
    "PermanentRedirect": Trouble.REGION,
    "InvalidRegionName": Trouble.REGION,
    "SlowDown": Trouble.BUSY,
    "QuotaExceeded": Trouble.FULL,
    "StorageFull": Trouble.FULL,
}
_STATUSES = {
    401: Trouble.CREDENTIALS,
    403: Trouble.DENIED,
    404: Trouble.ABSENT,
    408: Trouble.UNREACHABLE,
    416: Trouble.ABSENT,
}
_SIGNS = (
    ("Received redirect", Trouble.REGION, "it is somewhere else"),
    ("ertificate", Trouble.INSECURE, "the server's certificate cannot be trusted"),
    ("InvalidContentType", Trouble.INSECURE, "the server does not speak TLS"),
    ("dns error", Trouble.UNREACHABLE, "the host's name cannot be resolved"),
    ("ConnectionRefused", Trouble.UNREACHABLE, "the connection was refused"),
    ("Connection refused", Trouble.UNREACHABLE, "the connection was refused"),
    ("TimedOut", Trouble.UNREACHABLE, "the server does not answer in time"),
    ("body error", Trouble.CUT, "the connection was cut"),
    ("IncompleteMessage", Trouble.UNREACHABLE, "the connection was cut"),
    ("ConnectionReset", Trouble.UNREACHABLE, "the connection was cut"),
    ("error sending request", Trouble.UNREACHABLE, "the connection failed"),
)


class StoreError(Exception):
    """One request failed; ``detail`` is fit to be shown."""

    def __init__(self, trouble: Trouble, detail: str) -> None:
        super().__init__(detail)
        self.trouble = trouble
        self.detail = detail

    @property
    def temporary(self) -> bool:
        """Whether the same request may work later."""
        return self.trouble in _TEMPORARY


def understand(text: str, *, redact: Callable[[str], str] = str) -> StoreError:
    """What obstore's error text means.

    Args:
        text: the whole of it, with the debug part.
        redact: takes secrets out of what the server said.
    """
    found, match = _STATUS.search(text), _CODE.search(text)
    if found is None and match is None:
        for sign, trouble, reason in _SIGNS:
            if sign in text:
                return StoreError(trouble, reason)
        return StoreError(Trouble.OTHER, redact(text.split("\n", 1)[0])[:300])
    status = int(found[1]) if found else 0
    code = (match[1] or match[2]) if match else ""
    said = _MESSAGE.search(text)
    message = redact(" ".join(said[1].split())) if said else ""
    trouble = _CODES.get(code) or _STATUSES.get(status, Trouble.OTHER)
    if "access key has length" in message:  # R2, for a key that was cut when it was copied
        trouble = Trouble.CREDENTIALS
    elif status == 429 or (status >= 500 and status not in {501, 505, 507}):
        trouble = Trouble.BUSY
    words = (str(status or ""), code, f"({message})" if message else "")
    return StoreError(trouble, " ".join(word for word in words if word))


def remote_error(error: StoreError, location: Location, *, writing: bool) -> RemoteError:
    """What the user should read; ``writing``: while something was to be stored or deleted."""
    kind, what, hint = _explained(error, location, writing=writing)
    return kind(f"{what}: {error.detail}" if error.detail else what, where=location.shown, hint=hint)


def _explained(error: StoreError, location: Location, *, writing: bool) -> tuple[type[RemoteError], str, str]:
    file = location.kind == "file"
    match error.trouble:
        case Trouble.CREDENTIALS:
            hint = "Check the access key in the environment; R2 shows it once, when it is made"
            return RemoteCredentialsError, "the credentials were not accepted", hint
        case Trouble.DENIED if writing:
            what = "the folder cannot be written" if file else "the credentials may not write there"
            return (
                RemoteDeniedError,
                what,
                (
                    "Give yourself permission, or write another url in dx.toml's [remote]"
                    if file
                    else "Use credentials with write permission, or set write = false in dx.toml's [remote]"
                ),
            )
        case Trouble.DENIED:
            what = "the folder cannot be read" if file else "the credentials may not read there"
            return RemoteDeniedError, what, "Give the access key permission to read and list this bucket"
        case Trouble.MISSING | Trouble.ABSENT:
            what = "there is no such folder" if file else f"there is no bucket {location.bucket}"
            return (
                RemoteMissingError,
                what,
                (
                    "Make it, or mount what belongs there"
                    if file
                    else "Make the bucket, or correct url (and endpoint) in dx.toml's [remote]"
                ),
            )
        case Trouble.CLOCK:
            return RemoteCredentialsError, "this machine's clock is off", "Set the clock and try again"
        case Trouble.REGION:
            return RemoteMissingError, "the bucket is in another region", "Add ?region=… to url in dx.toml's [remote]"
        case Trouble.INSECURE:
            hint = "Name the certificates to trust in AWS_CA_BUNDLE, or correct the endpoint"
            return RemoteError, "there is no secure connection", hint
        case Trouble.BUSY:
            return RemoteUnreachableError, "the remote is too busy", "Try again later; nothing that was done is lost"
        case Trouble.UNREACHABLE | Trouble.CUT:
            hint = "Check the network and the endpoint; nothing that was done is lost"
            return RemoteUnreachableError, "the remote cannot be reached", hint
        case Trouble.FULL:
            return RemoteError, "there is no space left", "Free some space, or clean up other prefixes of the bucket"
        case Trouble.OTHER:
            return RemoteError, "the remote refused a request", "Check url and endpoint in dx.toml's [remote]"
