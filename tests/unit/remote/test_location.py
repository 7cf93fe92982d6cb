"""Where a remote is."""

from __future__ import annotations

from pathlib import Path

import pytest

from dxforge.errors import ConfigError
from dxforge.remote.location import Location, parse_location

ROOT = Path("/project")


def parse(url: str, **options: str) -> Location:
    return parse_location(url, root=ROOT, **options)


def test_folders() -> None:
    assert parse("file://.dx/remote") == Location(kind="file", folder=ROOT / ".dx/remote", relative=True)
    assert parse("file:///srv/dx/") == Location(kind="file", folder=Path("/srv/dx"))
    assert parse("file://localhost/srv/dx").folder == Path("/srv/dx")
    assert parse("file:///srv/with%20space/a#b?c").folder == Path("/srv/with space/a#b?c")
    assert parse("file://../shared").folder == ROOT / "../shared"


def test_s3() -> None:
    assert parse("s3://bucket/a/b/") == Location(kind="s3", bucket="bucket", prefix="a/b", region="us-east-1")
    assert parse("s3://bucket?endpoint=http://127.0.0.1:8333&region=eu") == Location(
        kind="s3", bucket="bucket", endpoint="http://127.0.0.1:8333", region="eu"
    )
    assert parse("s3://b-1/x", endpoint="https://h/", region="r1").endpoint == "https://h"
    assert parse("s3://b-1/x", endpoint="https://h/", region="r1").region == "r1"
    assert parse("s3://b-1/x?endpoint=https://own", endpoint="https://h").endpoint == "https://own"


def test_r2() -> None:
    location = parse("r2://account0/bucket/pre/fix")
    assert location.endpoint == "https://account0.r2.cloudflarestorage.com"
    assert (location.bucket, location.prefix, location.region) == ("bucket", "pre/fix", "auto")
    assert parse("r2://a/bucket?jurisdiction=eu").endpoint == "https://a.eu.r2.cloudflarestorage.com"
    assert location.is_r2
    assert parse("s3://bucket?endpoint=https://a.r2.cloudflarestorage.com").is_r2
    assert not parse("s3://bucket").is_r2


def test_a_place_has_a_name_that_is_its_own() -> None:
    urls = ["file://a", "file://b", "s3://bucket", "s3://bucket/p", "s3://bucket/p?endpoint=https://h", "r2://a/bucket"]
    assert len({parse(url).id for url in urls}) == len(urls)
    assert parse("s3://bucket/p/").id == parse("s3://bucket/p").id


def test_a_place_is_shown_without_its_query() -> None:
    assert parse("s3://bucket/p?endpoint=http://host:1").shown == "s3://bucket/p at host:1"
    assert parse("s3://bucket").shown == "s3://bucket"
    assert parse("file:///srv").shown == "/srv"


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("s3://b/p", "bucket"),
        ("s3:///p", "no bucket"),
        ("s3://bu cket/p", "bucket"),
        ("s3://bucket/../p", "prefix"),
        ("s3://bucket/p?endpont=https://h", 'nearest known option is "endpoint"'),
        ("s3://bucket/p?endpoint=ftp://h", "endpoint"),
        ("s3://bucket/p?endpoint=https://h/path", "endpoint"),
        ("s3://bucket/p?region=a/b", "region"),
        ("s3://bucket/p#x", "no place here"),
        ("s3://user@bucket/p", "no place here"),
        ("r2://account", "names no bucket"),
        ("r2://acc_ount/bucket", "account"),
        ("r2://account/bucket?jurisdiction=mars", "eu, fedramp"),
        ("file://", "no folder"),
        ("file:///", "no folder"),
        ("gs://bucket", "file://, s3:// or r2://"),
    ],
)
def test_addresses_that_are_none(url: str, text: str) -> None:
    with pytest.raises(ConfigError, match=text) as caught:
        parse(url)
    assert caught.value.key == "remote.url"
    assert caught.value.hint
