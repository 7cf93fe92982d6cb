"""The manifest as text: a line with format and checksum, then JSON. Pure.

Bits are hexadecimal, or ``true`` for all of a pack's entries.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from dxforge.errors import RemoteContentError, RemoteNewerError
from dxforge.remote.model import Manifest, Owner, Pack
from dxforge.remote.packs import is_sha256

_FIRST_WORD = b"dxforge-manifest"
_FORMAT = 1


def encode_manifest(manifest: Manifest) -> bytes:
    """As it lies in the remote: same manifest, same bytes."""
    packs = {pack.id: pack for pack in manifest.packs}
    data = {
        "generation": manifest.generation,
        "nonce": manifest.nonce,
        "written_s": manifest.written_s,
        "packs": [
            [pack.id, pack.size_bytes, pack.index_bytes, pack.entries, f"{pack.gone:x}", b64encode(pack.index).decode()]
            for pack in manifest.packs
        ],
        "owners": {
            owner.id: {
                "label": owner.label,
                "seen_s": owner.seen_s,
                "refs": owner.refs,
                "holds": {pack: True if mask == packs[pack].all else f"{mask:x}" for pack, mask in owner.holds.items()},
            }
            for owner in manifest.owners
        },
        "retired": manifest.retired,
    }
    body = json.dumps(data, separators=(",", ":"), sort_keys=True, ensure_ascii=True).encode()
    return b"%s %d %s\n%s\n" % (_FIRST_WORD, _FORMAT, hashlib.sha256(body).hexdigest().encode(), body)


def decode_manifest(content: bytes, *, where: str) -> Manifest:
    """The manifest in ``content``.

    Args:
        where: how errors name it.

    Raises:
        RemoteNewerError: of a newer dxforge.
        RemoteContentError: damaged, or no manifest.
    """
    first, _, rest = content.partition(b"\n")
    words = first.split()
    if len(words) != 3 or words[0] != _FIRST_WORD or not words[1].isdigit():
        raise RemoteContentError(
            "what lies there is no manifest of dxforge",
            where=where,
            hint="Check the address in dx.toml's [remote], or use a prefix of its own",
        )
    if int(words[1]) > _FORMAT:
        raise RemoteNewerError("it was written by a newer dxforge", where=where, hint="Update dxforge on this machine")
    body = rest.removesuffix(b"\n")
    if hashlib.sha256(body).hexdigest().encode() != words[2]:
        raise RemoteContentError("the manifest is damaged", where=where, hint="The next sync writes a new one")
    try:
        return _decoded(json.loads(body))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise RemoteContentError(
            "the manifest cannot be read", where=where, hint="The next sync writes a new one"
        ) from error


def _decoded(data: Mapping[str, Any]) -> Manifest:
    packs = tuple(_pack(row) for row in data["packs"])
    by_id = {pack.id: pack for pack in packs}
    return Manifest(
        generation=_whole(data["generation"]),
        nonce=str(data["nonce"]),
        written_s=_whole(data["written_s"]),
        packs=packs,
        owners=tuple(
            Owner(
                id=str(owner_id),
                label=str(owner["label"]),
                seen_s=_whole(owner["seen_s"]),
                refs=dict(owner["refs"]),
                holds={
                    pack: by_id[pack].all if mask is True else _mask(mask, by_id[pack])
                    for pack, mask in owner["holds"].items()
                },
            )
            for owner_id, owner in data["owners"].items()
        ),
        retired={str(pack): _whole(generation) for pack, generation in data["retired"].items()},
    )


def _pack(row: Sequence[Any]) -> Pack:
    pack_id, size, index_bytes, entries, gone, index = row
    if not is_sha256(pack_id):
        raise ValueError(pack_id)
    pack = Pack(
        id=pack_id,
        size_bytes=_whole(size),
        index_bytes=_whole(index_bytes),
        entries=_whole(entries),
        index=b64decode(index, validate=True),
    )
    return replace(pack, gone=_mask(gone, pack))


def _mask(text: str, pack: Pack) -> int:
    mask = int(text, 16)
    if not 0 <= mask <= pack.all:
        raise ValueError(pack.id)
    return mask


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise TypeError(value)
    return value
