"""From a location to the objects there."""

from __future__ import annotations

from dxforge.errors import RemoteCredentialsError
from dxforge.remote.credentials import Credentials
from dxforge.remote.location import Location
from dxforge.remote.model import RemoteOptions
from dxforge.remote.session import Objects


def connect(location: Location, credentials: Credentials | None, options: RemoteOptions, *, ca_file: str) -> Objects:
    """The objects at ``location``; nothing is asked yet.

    Raises:
        RemoteCredentialsError: it needs credentials, and there are none.
        RemoteError: obstore is not installed, or ``ca_file`` cannot be read.
    """
    if location.folder is not None:
        from dxforge.remote.folder import FolderObjects

        return FolderObjects(location.folder, make_parents=location.relative)
    if credentials is None:
        raise RemoteCredentialsError(
            "there are no credentials for it",
            where=location.shown,
            hint="Give Remote the result of find_credentials or ask_credentials",
        )
    from dxforge.remote.objects import S3Objects

    return S3Objects(
        location,
        credentials,
        largest_put_bytes=max(options.single_put_bytes, options.largest_pack_bytes),
        part_bytes=options.part_bytes,
        ca_file=ca_file,
    )
