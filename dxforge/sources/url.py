"""Packages at an address, with the sha256 that they must have."""

from __future__ import annotations

from dxforge.config.model import UrlSpec
from dxforge.sources.download import filename_of, strip_userinfo
from dxforge.sources.model import Candidate, Pin
from dxforge.sources.path import VERSION_DIGITS, layout_of


def satisfies(spec: UrlSpec, pin: Pin) -> bool:
    """Whether the locked archive is still what ``dx.toml`` asks for. Pure."""
    return pin.kind == "url" and pin.ref == strip_userinfo(spec.url) and pin.sha256 == spec.sha256


def candidate(spec: UrlSpec) -> Candidate:
    """The archive that ``spec`` names; nothing is asked of the network yet."""
    url = strip_userinfo(spec.url)
    filename = filename_of(url)
    return Candidate(
        name=spec.name,
        kind="url",
        ref=url,
        version=spec.sha256[:VERSION_DIGITS],
        filename=filename,
        layout=layout_of(filename),
        sha256=spec.sha256,
        location=url,
    )


def locate(pin: Pin) -> Candidate:
    """Where the locked archive can be downloaded: where it came from."""
    return candidate(UrlSpec(name=pin.name, url=pin.ref, sha256=pin.sha256))
