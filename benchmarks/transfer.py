"""A child of ``benchmarks.remote``: moves a folder up or down with dxforge or boto3; run by the one that has it.

python transfer.py dxforge|boto3 up|down FOLDER ENDPOINT BUCKET PREFIX      (the key is in the environment)
"""

from __future__ import annotations

import os
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

_THREADS = 32


def dxforge_up(folder: Path, endpoint: str, bucket: str, prefix: str) -> None:
    """Everything in one push, remembered nowhere."""
    from dxforge.remote.model import Item

    items = [
        Item(kind="artifact", name=path.relative_to(folder).as_posix(), size_bytes=path.stat().st_size, read=path)
        for path in folder.rglob("*")
        if path.is_file()
    ]
    report = _remote(endpoint, bucket, prefix).push(items)
    if report.uploads != len(items):
        raise SystemExit(f"{report}")


def dxforge_down(folder: Path, endpoint: str, bucket: str, prefix: str) -> None:
    """Everything in one pull, as on a new machine; each file's sha256 is compared."""
    from dxforge.remote.model import Entry

    def take(entry: Entry, content: memoryview) -> None:
        target = folder / entry.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)

    report = _remote(endpoint, bucket, prefix).pull(take, into=lambda entry: folder / entry.name, in_threads=True)
    if not report.ok or not report.items:
        raise SystemExit(f"{report}")


def _remote(endpoint: str, bucket: str, prefix: str):
    from dxforge.config.load import load_remote_environment
    from dxforge.events import EventBus
    from dxforge.remote.credentials import find_credentials
    from dxforge.remote.location import Location
    from dxforge.remote.sync import Remote

    location = Location(kind="s3", bucket=bucket, prefix=prefix, endpoint=endpoint, region="us-east-1")
    return Remote(
        location,
        find_credentials(location, load_remote_environment()),
        events=EventBus(),
        state_dir=Path(tempfile.mkdtemp(dir=os.environ["TRANSFER_STATE"])),
    )


def boto3_up(folder: Path, endpoint: str, bucket: str, prefix: str) -> None:
    """One object per file."""
    client = _client(endpoint)
    with ThreadPoolExecutor(_THREADS) as threads:
        paths = [path for path in folder.rglob("*") if path.is_file()]
        list(threads.map(lambda p: client.upload_file(str(p), bucket, f"{prefix}/{p.relative_to(folder)}"), paths))


def boto3_down(folder: Path, endpoint: str, bucket: str, prefix: str) -> None:
    """All objects below the prefix."""
    client = _client(endpoint)
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{prefix}/")
    keys = [found["Key"] for page in pages for found in page.get("Contents", [])]

    def fetch(key: str) -> None:
        target = folder / key.removeprefix(f"{prefix}/")
        target.parent.mkdir(parents=True, exist_ok=True)
        client.download_file(bucket, key, str(target))

    with ThreadPoolExecutor(_THREADS) as threads:
        list(threads.map(fetch, keys))


def _client(endpoint: str):
    import boto3
    from botocore.config import Config

    config = Config(max_pool_connections=_THREADS, s3={"addressing_style": "path"})
    return boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", config=config)


if __name__ == "__main__":
    name, way, folder, endpoint, bucket, prefix = sys.argv[1:]
    globals()[f"{name}_{way}"](Path(folder), endpoint, bucket, prefix)
