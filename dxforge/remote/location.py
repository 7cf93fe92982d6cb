"""Where the remote is: ``[remote] url`` of ``dx.toml``, taken apart. Pure.

file://.dx/remote                                       a folder, relative to the project; file:///srv/x is absolute
s3://bucket/prefix?endpoint=https://host&region=name    any S3; without an endpoint, the environment's or AWS
r2://account/bucket/prefix?jurisdiction=eu              Cloudflare R2
"""

from __future__ import annotations

import hashlib
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from dxforge.config.table import nearest_hint, show
from dxforge.errors import ConfigError

Kind = Literal["file", "s3", "r2"]

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,62}")
_ACCOUNT = re.compile(r"[A-Za-z0-9-]{1,64}")
_REGION = re.compile(r"[A-Za-z0-9-]{1,64}")
_OPTIONS = {"s3": ("endpoint", "region"), "r2": ("jurisdiction", "endpoint")}
_JURISDICTIONS = ("eu", "fedramp")


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """A place for the remote. ``folder`` is set for ``file``, ``bucket`` for the others."""

    kind: Kind
    folder: Path | None = None
    relative: bool = False
    """Whether ``folder`` is one of the project's own, which is made when it is needed."""
    bucket: str = ""
    prefix: str = ""
    """Without slashes at its ends; "" = the whole bucket."""
    endpoint: str = ""
    """Scheme and host of the object store; "" = AWS."""
    region: str = ""

    @property
    def shown(self) -> str:
        """For messages; holds nothing secret."""
        if self.folder is not None:
            return str(self.folder)
        path = f"{self.bucket}/{self.prefix}" if self.prefix else self.bucket
        host = f" at {urlsplit(self.endpoint).netloc}" if self.endpoint else ""
        return f"{self.kind}://{path}{host}"

    @property
    def id(self) -> str:
        """Names this place on disk: 16 hex digits."""
        where = str(self.folder) if self.folder else f"{self.endpoint}\0{self.region}\0{self.bucket}\0{self.prefix}"
        return hashlib.sha256(where.encode("utf-8", "surrogateescape")).hexdigest()[:16]

    @property
    def is_r2(self) -> bool:
        """Whether Cloudflare is behind it, by whatever address."""
        host = urlsplit(self.endpoint).hostname or ""
        return self.kind == "r2" or host.endswith(".r2.cloudflarestorage.com")


def parse_location(url: str, *, root: Path, where: str = "dx.toml", endpoint: str = "", region: str = "") -> Location:
    """Take ``[remote] url`` apart.

    Args:
        url: as ``dx.toml`` has it.
        root: the project's folder, absolute; a relative ``file://`` starts there.
        where: how errors name the file.
        endpoint: the environment's, for an ``s3://`` that names none.
        region: the environment's, the same way.

    Raises:
        ConfigError: at ``remote.url``; nothing of the address's query is repeated.
    """
    parts = urlsplit(url)
    if parts.scheme == "file":
        folder, relative = _folder(url, root, where)
        return Location(kind="file", folder=folder, relative=relative)
    if parts.fragment or parts.username or parts.password:
        raise _error("the address has a part that has no place here", where, "Write s3://bucket/prefix")
    path = [unquote(part) for part in parts.path.split("/") if part]
    if parts.scheme == "s3":
        options = _options(parts.query, "s3", where)
        own = _endpoint(options.get("endpoint", ""), where)
        return Location(
            kind="s3",
            bucket=_checked(_BUCKET, parts.netloc, "bucket", where),
            prefix=_prefix(path, where),
            endpoint=own or endpoint.rstrip("/"),
            region=_checked(_REGION, options.get("region") or region or "us-east-1", "region", where),
        )
    if parts.scheme == "r2":
        options = _options(parts.query, "r2", where)
        account = _checked(_ACCOUNT, parts.netloc, "account", where)
        if not path:
            raise _error("the address names no bucket", where, "Write r2://account/bucket/prefix")
        inside = options.get("jurisdiction", "")
        if inside and inside not in _JURISDICTIONS:
            raise _error(f"{show(inside)} is no jurisdiction", where, f"Known are {', '.join(_JURISDICTIONS)}")
        own = _endpoint(options.get("endpoint", ""), where)
        host = f"{account}.{inside}." if inside else f"{account}."
        return Location(
            kind="r2",
            bucket=_checked(_BUCKET, path[0], "bucket", where),
            prefix=_prefix(path[1:], where),
            endpoint=own or f"https://{host}r2.cloudflarestorage.com",
            region="auto",
        )
    raise _error("not an address of a remote", where, "Write one that starts with file://, s3:// or r2://")


def _folder(url: str, root: Path, where: str) -> tuple[Path, bool]:
    # By hand: urlsplit would cut a '#' or '?', which a folder's name may well have.
    text = unquote(url[len("file://") :])
    if text.startswith("localhost/"):
        text = text.removeprefix("localhost")
    if not text.strip("/") or "\0" in text:
        raise _error("the address names no folder", where, 'Write for example "file://.dx/remote"')
    if sys.platform == "win32" and re.match(r"/[A-Za-z]:/", text):
        text = text[1:]
    path = Path(text.rstrip("/"))
    return root / path, not path.is_absolute()


def _options(query: str, kind: str, where: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in _OPTIONS[kind]:
            raise _error(f"{show(name)} is not known here", where, nearest_hint(name, _OPTIONS[kind], kind="option"))
        options[name] = value.strip()
    return options


def _endpoint(text: str, where: str) -> str:
    if not text:
        return ""
    parts = urlsplit(text)
    bare = not (parts.query or parts.fragment or parts.username or parts.path.strip("/"))
    if parts.scheme not in {"http", "https"} or not parts.hostname or not bare:
        raise _error("the endpoint is none", where, "Write for example endpoint=https://s3.example.org")
    return f"{parts.scheme}://{parts.netloc}"


def _prefix(parts: list[str], where: str) -> str:
    for part in parts:
        if part in {".", ".."} or "/" in part or not part.isprintable():
            raise _error(f"{show(part)} cannot be in a prefix", where, "Use plain names with '/' between them")
    return "/".join(parts)


def _checked(pattern: re.Pattern[str], text: str, what: str, where: str) -> str:
    if not pattern.fullmatch(text):
        shown = f"{show(quote(text, safe=' '))} cannot be the name of a {what}" if text else f"there is no {what}"
        raise _error(shown, where, f"Write the {what} as its console shows it")
    return text


def _error(what: str, where: str, hint: str) -> ConfigError:
    return ConfigError(what, where=where, key="remote.url", hint=hint)
