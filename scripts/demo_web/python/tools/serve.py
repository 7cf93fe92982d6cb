#!/usr/bin/env python3
"""A development server: dist/ at http://127.0.0.1:$PORT/, and /health."""

from __future__ import annotations

import functools
import os
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer


class Handler(SimpleHTTPRequestHandler):
    """Files, and a page for the probe that stays out of the log."""

    def do_GET(self) -> None:
        """One request."""
        if self.path != "/health":
            super().do_GET()
            return
        self.send_response_only(200)
        self.end_headers()
        self.wfile.write(b"ok\n")


def main() -> None:
    """Serve until stopped."""
    port = int(os.environ["PORT"])
    with ThreadingHTTPServer(("127.0.0.1", port), functools.partial(Handler, directory="dist")) as server:
        print(f"serving dist/ on port {port}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
