"""What every test has: the fixtures of ``tests/support``."""

from __future__ import annotations

pytest_plugins = ["tests.support.fixtures", "tests.support.object_server"]
