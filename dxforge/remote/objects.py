"""An S3 bucket (R2 and any other) through obstore's sync API.

Its async API aborts the interpreter at exit now and then; the sync one in threads is as fast and does not. It never
retries here: waiting is decided in ``session.py``, where it can be counted and stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from dxforge.errors import RemoteError
from dxforge.remote.credentials import Credentials
from dxforge.remote.failures import StoreError, Trouble, understand
from dxforge.remote.garbage import Stored
from dxforge.remote.location import Location

if TYPE_CHECKING:
    from obstore.store import S3Store

T = TypeVar("T")

_CONNECT_S = 5
_READ_S = 30
_SLOWEST_BYTES_PER_S = 128 << 10
"""An upload that is slower than this is given up."""
_PARTS_AT_ONCE = 4
_PART_RETRIES = 5
_BLOCK = 1 << 16


class S3Objects:
    """The objects below ``location``'s prefix. Thread-safe; connects when first asked.

    Args:
        location: of kind ``s3`` or ``r2``.
        credentials: handed to obstore, which asks for them when it signs.
        largest_put_bytes: of a single request; with it the time an upload may take is computed.
        part_bytes: the same for uploads in parts.
        ca_file: certificates to trust besides the system's; "" for none.

    Raises:
        RemoteError: obstore is not installed, or ``ca_file`` cannot be read.
    """

    def __init__(
        self,
        location: Location,
        credentials: Credentials,
        *,
        largest_put_bytes: int,
        part_bytes: int,
        ca_file: str = "",
    ) -> None:
        try:
            import obstore.store
        except ImportError as error:
            raise RemoteError(
                "obstore is not installed, which object stores are reached with",
                where=location.shown,
                hint="Run `pip install 'dxforge[remote]'`",
            ) from error
        self._redact = credentials.redact
        certificates = _certificates(ca_file)

        def store(timeout_s: int, retries: int) -> S3Store:
            # All that obstore would else take from the environment, where it could contradict ours.
            return obstore.store.S3Store(
                location.bucket,
                prefix=location.prefix or None,
                config={"endpoint": location.endpoint, "aws_endpoint_url_s3": location.endpoint}
                if location.endpoint
                else {},
                region=location.region,
                credential_provider=credentials,
                virtual_hosted_style_request=False,
                skip_signature=False,
                unsigned_payload=False,
                conditional_put="etag",
                client_options={
                    "allow_http": location.endpoint.startswith("http://"),
                    "connect_timeout": timedelta(seconds=_CONNECT_S),
                    "read_timeout": timedelta(seconds=timeout_s),
                    "timeout": timedelta(hours=12),
                    "user_agent": "dxforge",
                    **({"root_certificate": certificates} if certificates else {}),
                },
                retry_config={"max_retries": retries, "retry_timeout": timedelta(minutes=4)},
            )

        # The read timeout runs from the start of a request until its answer begins: an upload's must allow for all of
        # it, and then a stalled download would go unnoticed as long. Hence three clients.
        self._reading = store(_READ_S, 0)
        self._writing = store(_READ_S + largest_put_bytes // _SLOWEST_BYTES_PER_S, 0)
        self._parts = store(_READ_S + part_bytes // _SLOWEST_BYTES_PER_S, _PART_RETRIES)

    def get(self, key: str) -> tuple[memoryview, str] | None:
        """An object's content and its tag; None where there is none."""
        import obstore

        def ask() -> tuple[memoryview, str]:
            found = obstore.get(self._reading, key)
            return memoryview(found.bytes()), found.meta["e_tag"] or ""

        return self._unless_absent(ask)

    def get_range(self, key: str, start: int, length: int) -> memoryview | None:
        """``length`` bytes from ``start``; None where there is no such object."""
        import obstore

        return self._unless_absent(
            lambda: memoryview(obstore.get_range(self._reading, key, start=start, length=length))
        )

    def stream(self, key: str, start: int, length: int, consume: Callable[[Iterable[bytes]], T]) -> T | None:
        """``consume`` gets ``length`` bytes from ``start`` block by block; None where there is no such object.

        What it raises is raised, unless that is an `OSError` or `ValueError`.
        """
        import obstore

        def ask() -> T:
            found = obstore.get(self._reading, key, options={"range": (start, start + length)})
            return consume(found.stream(min_chunk_size=_BLOCK))

        return self._unless_absent(ask)

    def head(self, key: str) -> Stored | None:
        """What `list_all` would say of one object; None where there is none."""
        import obstore

        def ask() -> Stored:
            meta = obstore.head(self._reading, key)
            return Stored(key=key, size_bytes=meta["size"], modified=meta["last_modified"], tag=meta["e_tag"] or "")

        return self._unless_absent(ask)

    def list_all(self, folder: str) -> list[Stored]:
        """Everything below ``folder`` ("" = the prefix), in no order."""
        import obstore

        def ask() -> list[Stored]:
            return [
                Stored(key=meta["path"], size_bytes=meta["size"], modified=meta["last_modified"])
                for meta in obstore.list(self._reading, folder or None).collect()
            ]

        return self._call(ask)

    def put(self, key: str, content: bytes | bytearray) -> None:
        """Store an object in one request, whatever was there."""
        import obstore

        self._call(lambda: obstore.put(self._writing, key, content, use_multipart=False))

    def put_parts(self, key: str, blocks: Iterable[bytes], part_bytes: int) -> None:
        """Store an object in parts of ``part_bytes`` each, but for the last: R2 refuses unequal ones.

        What ``blocks`` raises is raised, and nothing is stored.
        """
        import obstore

        raised: list[Exception] = []

        def watched() -> Iterator[bytes]:
            try:
                yield from blocks
            except Exception as error:
                raised.append(error)
                raise

        try:
            self._call(
                lambda: obstore.put(
                    self._parts,
                    key,
                    watched(),
                    use_multipart=True,
                    chunk_size=part_bytes,
                    max_concurrency=_PARTS_AT_ONCE,
                )
            )
        except StoreError:
            if raised:
                raise raised[0] from None
            raise

    def create(self, key: str, content: bytes) -> str | None:
        """Store an object that must not exist yet, and return its tag; None: it does, and nothing was changed."""
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        def ask() -> str | None:
            try:
                return obstore.put(self._writing, key, content, mode="create")["e_tag"] or ""
            except (AlreadyExistsError, PreconditionError):
                return None

        return self._call(ask)

    def delete(self, keys: list[str]) -> None:
        """Delete objects; those that are not there are fine. Where several fail, some may be deleted."""
        import obstore

        self._call(lambda: obstore.delete(self._writing, keys))

    def _unless_absent(self, ask: Callable[[], T]) -> T | None:
        try:
            return self._call(ask)
        except StoreError as error:
            if error.trouble is Trouble.ABSENT:
                return None
            raise

    def _call(self, ask: Callable[[], T]) -> T:
        from obstore import exceptions

        try:
            return ask()
        except (exceptions.BaseError, OSError, ValueError) as error:
            failure = understand(str(error), redact=self._redact)
            if failure.trouble is Trouble.OTHER:
                # Its texts may change; its types are promised.
                for kind, trouble in (
                    (FileNotFoundError, Trouble.ABSENT),
                    (exceptions.UnauthenticatedError, Trouble.CREDENTIALS),
                    (exceptions.PermissionDeniedError, Trouble.DENIED),
                ):
                    if isinstance(error, kind):
                        failure = StoreError(trouble, failure.detail)
        # Outside of the `except`: what obstore raised repeats what the server sent, and is not to be in a traceback.
        raise failure


def _certificates(ca_file: str) -> bytes:
    if not ca_file:
        return b""
    try:
        return Path(ca_file).read_bytes()
    except OSError as error:
        raise RemoteError(
            "the certificates to trust cannot be read", where=ca_file, hint="Correct AWS_CA_BUNDLE, or unset it"
        ) from error
