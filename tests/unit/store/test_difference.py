"""Unified diffs of contents of any kind."""

from __future__ import annotations

import os

from dxforge.store.difference import unified
from dxforge.store.model import FileChange
from dxforge.store.objects import object_oid
from dxforge.store.tree import FILE, SYMLINK, Entry


def shown(before: bytes | None, after: bytes | None, path: str = "f", modes: tuple[int, int] = (FILE, FILE)) -> str:
    contents: dict[str, bytes] = {}

    def entry(content: bytes | None, mode: int) -> Entry | None:
        if content is None:
            return None
        oid = object_oid("blob", content)
        contents[oid] = content
        return Entry(mode, oid, len(content))

    change = FileChange(path=path, before=entry(before, modes[0]), after=entry(after, modes[1]))
    return unified(change, lambda item: contents[item.oid], lambda item: contents[item.oid])


def test_text() -> None:
    assert shown(b"a\n", b"b\n") == "diff --git a/f b/f\n--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n+b\n"
    assert shown(b"a", b"a\n").endswith("-a\n\\ No newline at end of file\n+a\n")
    assert shown(b"a\r\n", b"a\n").endswith("-a\r\n+a\n")
    assert shown(b"\xff\n", b"\xfe\n").endswith("-\ufffd\n+\ufffd\n")
    assert "\n@@ looks like a header\n" in shown(
        b"@@ looks like a header\nx\n", b"@@ looks like a header\ny\n"
    ).replace("\n @@", "\n@@")


def test_files_that_come_and_go() -> None:
    assert shown(None, b"") == "diff --git a/f b/f\nnew file mode 100644\n"
    assert shown(None, b"a\n").endswith("--- /dev/null\n+++ b/f\n@@ -0,0 +1 @@\n+a\n")
    assert shown(b"a\n", None).endswith("--- a/f\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n")


def test_what_is_no_text() -> None:
    assert shown(b"\0", b"\0\0").endswith("Binary files a/f and b/f differ\n")
    assert "old mode 100644\nnew mode 120000\n" in shown(b"x", b"y", modes=(FILE, SYMLINK))


def test_names_that_are_no_text() -> None:
    assert shown(b"a\n", b"b\n", os.fsdecode(b"\xff")).startswith("diff --git a/\ufffd b/\ufffd\n")
