"""What an object store's client raises, as what it means. The texts are obstore's own, as recorded."""

from __future__ import annotations

import pytest

from dxforge import errors
from dxforge.remote.failures import StoreError, Trouble, remote_error, understand
from dxforge.remote.location import Location

S3 = Location(kind="s3", bucket="bucket", prefix="p", endpoint="https://h", region="r")
FOLDER = Location(kind="file")


def answered(status: int, code: str = "", message: str = "") -> str:
    body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>" if code else ""
    return (
        f"Generic S3 error: Error performing PUT http://h/bucket/k in 1ms - "
        f"Server returned non-2xx status code: {status} Something: {body}\n\nDebug source:\nGeneric {{ }}"
    )


NETWORK = "Generic S3 error: Error performing GET http://h/k in 1ms - HTTP error: error sending request\n\nDebug:\n{}"


@pytest.mark.parametrize(
    ("text", "trouble"),
    [
        (answered(404, "NoSuchKey"), Trouble.ABSENT),
        (answered(404), Trouble.ABSENT),
        (answered(416, "InvalidRange"), Trouble.ABSENT),
        (answered(404, "NoSuchBucket"), Trouble.MISSING),
        (answered(401), Trouble.CREDENTIALS),
        (answered(403, "InvalidAccessKeyId"), Trouble.CREDENTIALS),
        (answered(403, "SignatureDoesNotMatch"), Trouble.CREDENTIALS),
        (answered(400, "InvalidArgument", "Credential access key has length 3, should be 32"), Trouble.CREDENTIALS),
        (answered(400, "ExpiredToken"), Trouble.CREDENTIALS),
        (answered(403, "AccessDenied"), Trouble.DENIED),
        (answered(403), Trouble.DENIED),
        ("DeleteObjects request failed for key k: Access Denied. (code: AccessDenied)", Trouble.DENIED),
        (answered(403, "RequestTimeTooSkewed"), Trouble.CLOCK),
        (answered(400, "AuthorizationHeaderMalformed"), Trouble.REGION),
        ("Received redirect without LOCATION, this normally indicates", Trouble.REGION),
        (answered(429), Trouble.BUSY),
        (answered(503, "SlowDown"), Trouble.BUSY),
        (answered(500, "InternalError"), Trouble.BUSY),
        (answered(501, "NotImplemented"), Trouble.OTHER),
        (answered(400, "InvalidRequest"), Trouble.OTHER),
        (NETWORK.format("dns error"), Trouble.UNREACHABLE),
        (NETWORK.format("ConnectionRefused"), Trouble.UNREACHABLE),
        (NETWORK.format("TimedOut"), Trouble.UNREACHABLE),
        (NETWORK.format("InvalidContentType"), Trouble.INSECURE),
        (NETWORK.format("invalid peer certificate: UnknownIssuer"), Trouble.INSECURE),
        (NETWORK.format(""), Trouble.UNREACHABLE),
        ("HTTP error: request or response body error", Trouble.CUT),
        ("something else\nand more", Trouble.OTHER),
    ],
)
def test_what_a_text_means(text: str, trouble: Trouble) -> None:
    assert understand(text).trouble is trouble


def test_only_status_code_and_message_are_passed_on() -> None:
    assert understand(answered(403, "SignatureDoesNotMatch", "it does not match")).detail == (
        "403 SignatureDoesNotMatch (it does not match)"
    )
    assert understand(answered(503)).detail == "503"
    assert "and more" not in understand("something else\nand more").detail


def test_what_the_server_repeats_is_redacted() -> None:
    said = understand(answered(400, "X", "key AKIA is bad"), redact=lambda text: text.replace("AKIA", "***"))
    assert said.detail == "400 X (key *** is bad)"
    assert understand("odd AKIA", redact=lambda text: text.replace("AKIA", "***")).detail == "odd ***"


EXPECTED = {
    Trouble.ABSENT: errors.RemoteMissingError,
    Trouble.MISSING: errors.RemoteMissingError,
    Trouble.CREDENTIALS: errors.RemoteCredentialsError,
    Trouble.DENIED: errors.RemoteDeniedError,
    Trouble.CLOCK: errors.RemoteCredentialsError,
    Trouble.REGION: errors.RemoteMissingError,
    Trouble.BUSY: errors.RemoteUnreachableError,
    Trouble.UNREACHABLE: errors.RemoteUnreachableError,
    Trouble.INSECURE: errors.RemoteError,
    Trouble.CUT: errors.RemoteUnreachableError,
    Trouble.FULL: errors.RemoteError,
    Trouble.OTHER: errors.RemoteError,
}


@pytest.mark.parametrize("trouble", Trouble)
@pytest.mark.parametrize("location", [S3, FOLDER], ids=["s3", "file"])
@pytest.mark.parametrize("writing", [True, False])
def test_every_trouble_is_an_error_that_says_what_to_do(trouble: Trouble, location: Location, *, writing: bool) -> None:
    error = remote_error(StoreError(trouble, "detail"), location, writing=writing)
    assert type(error) is EXPECTED[trouble]
    assert "detail" in error.what
    assert error.where == location.shown
    assert error.hint
    assert not error.hint.endswith(".")
    assert error.temporary == StoreError(trouble, "").temporary


def test_read_only_credentials_are_told_from_no_permission_at_all() -> None:
    denied = StoreError(Trouble.DENIED, "403")
    assert "may not write" in remote_error(denied, S3, writing=True).what
    assert "write = false" in remote_error(denied, S3, writing=True).hint
    assert "may not read" in remote_error(denied, S3, writing=False).what
