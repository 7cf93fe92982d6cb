"""Real wheels, sdists and npm tarballs, made in memory; the same input gives the same bytes."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Exec:
    """An executable file (mode 0755)."""

    content: bytes | str


@dataclass(frozen=True, slots=True)
class Link:
    """A symlink to ``target``."""

    target: str


Files = Mapping[str, "bytes | str | Exec | Link"]
"""Path with ``/`` -> what lies there."""

_ZIP_TIME = (2020, 1, 1, 0, 0, 0)


def wheel_bytes(
    name: str,
    version: str,
    files: Files,
    *,
    requires: Sequence[str] = (),
    requires_python: str = "",
    tag: str = "py3-none-any",
    build: str = "",
    extras: Sequence[str] = (),
) -> tuple[str, bytes, bytes]:
    """A wheel of ``files`` with its ``.dist-info``.

    Returns:
        Its filename, its bytes, and the bytes of its METADATA.
    """
    stem = f"{_escaped(name)}-{version}"
    metadata = _metadata(name, version, requires, requires_python, extras)
    dist_info = f"{stem}.dist-info"
    purelib = "true" if tag.endswith("-none-any") else "false"
    members: dict[str, bytes | str | Exec | Link] = {
        **files,
        f"{dist_info}/METADATA": metadata,
        f"{dist_info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: {purelib}\nTag: {tag}\n",
    }
    record = []
    for path, member in members.items():
        content = _content(member)
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        record.append(f"{path},sha256={digest},{len(content)}")
    record.append(f"{dist_info}/RECORD,,")
    members[f"{dist_info}/RECORD"] = "\n".join(record) + "\n"
    parts = [stem, build, tag] if build else [stem, tag]
    return "-".join(parts) + ".whl", zip_bytes(members), metadata


def sdist_bytes(
    name: str,
    version: str,
    files: Files,
    *,
    requires: Sequence[str] = (),
    requires_python: str = "",
    format: str = "tar.gz",
) -> tuple[str, bytes]:
    """An sdist (``format`` "tar.gz" or "zip") of ``files`` under its one top folder, with PKG-INFO (PEP 625, 643).

    Returns:
        Its filename and its bytes.
    """
    stem = f"{_escaped(name)}-{version}"
    members = {
        f"{stem}/{path}": member
        for path, member in {**files, "PKG-INFO": _metadata(name, version, requires, requires_python, ())}.items()
    }
    return f"{stem}.{format}", zip_bytes(members) if format == "zip" else tar_bytes(members, compress=True)


def npm_bytes(name: str, version: str, files: Files, *, top: str = "package") -> bytes:
    """An npm tarball: ``files`` and a package.json under ``top``."""
    members = {"package.json": json.dumps({"name": name, "version": version}) + "\n", **files}
    return tar_bytes({f"{top}/{path}": member for path, member in members.items()}, compress=True)


def zip_bytes(members: Files) -> bytes:
    """A deflated zip of ``members``, modes and symlinks included."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, member in members.items():
            info = zipfile.ZipInfo(path, _ZIP_TIME)
            info.create_system = 3
            info.external_attr = _mode(member) << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, _content(member))
    return buffer.getvalue()


def tar_bytes(members: Files, *, compress: bool = False) -> bytes:
    """A tar of ``members`` (gzip where ``compress``), modes and symlinks included."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path, member in members.items():
            info = tarfile.TarInfo(path)
            info.mode = _mode(member) & 0o777
            if isinstance(member, Link):
                info.type = tarfile.SYMTYPE
                info.linkname = member.target
                archive.addfile(info)
            else:
                content = _content(member)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    raw = buffer.getvalue()
    return gzip.compress(raw, mtime=0) if compress else raw


def _content(member: bytes | str | Exec | Link) -> bytes:
    if isinstance(member, Exec):
        member = member.content
    elif isinstance(member, Link):
        member = member.target
    return member.encode() if isinstance(member, str) else member


def _mode(member: bytes | str | Exec | Link) -> int:
    if isinstance(member, Exec):
        return 0o100755
    return 0o120777 if isinstance(member, Link) else 0o100644


def _escaped(name: str) -> str:
    return name.replace("-", "_").replace(".", "_")


def _metadata(name: str, version: str, requires: Sequence[str], requires_python: str, extras: Sequence[str]) -> bytes:
    lines = ["Metadata-Version: 2.2", f"Name: {name}", f"Version: {version}"]
    if requires_python:
        lines.append(f"Requires-Python: {requires_python}")
    lines += [f"Provides-Extra: {extra}" for extra in extras]
    lines += [f"Requires-Dist: {requirement}" for requirement in requires]
    return ("\n".join(lines) + "\n").encode()
