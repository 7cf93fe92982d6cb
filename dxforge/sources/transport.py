"""What requests lacks for us: ``file:`` addresses, and credentials that go to one host only.

Imported only once there is something to fetch, because it needs requests.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import requests
from requests.adapters import BaseAdapter
from requests.auth import AuthBase, HTTPBasicAuth
from requests.utils import get_netrc_auth

from dxforge.sources.download import file_of, origin_of


class HostAuth(AuthBase):
    """User and password of the origin that is asked: from the addresses given, else from ``~/.netrc``."""

    def __init__(self, known: Mapping[str, tuple[str, str]]) -> None:
        self._known = known

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        url = request.url or ""
        pair = self._known.get(origin_of(url)) or get_netrc_auth(url)
        return request if pair is None else HTTPBasicAuth(*pair)(request)


class FileAdapter(BaseAdapter):
    """``file:`` addresses: a mirror on disk, as pip takes one. A folder answers with its ``index.html``."""

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:  # noqa: ARG002
        """The file as an answer: 200, or 404 where there is none."""
        answer = requests.Response()
        answer.request = request
        answer.url = request.url or ""
        path = file_of(answer.url)
        try:
            if path.is_dir():
                path /= "index.html"
            answer.raw = path.open("rb")
        except (FileNotFoundError, NotADirectoryError):
            answer.status_code, answer.raw = 404, io.BytesIO()
            return answer
        # requests does not close what was read to its end.
        answer.close = answer.raw.close  # type: ignore[method-assign]
        answer.status_code = 200
        answer.headers["Content-Length"] = str(path.stat().st_size)
        if path.suffix in (".html", ".json"):
            kind = "text/html" if path.suffix == ".html" else "application/json"
            answer.headers["Content-Type"] = kind
        return answer

    def close(self) -> None:
        """There is nothing to close."""
