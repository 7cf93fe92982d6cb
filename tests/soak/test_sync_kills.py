"""SIGKILL at random moments of a push: the remote is always exactly what some finished push left, and never less."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from dxforge.remote.folder import FolderObjects
from dxforge.remote.model import Key
from dxforge.remote.objects import S3Objects
from dxforge.remote.session import Objects
from tests.support.object_server import BUCKET, ObjectServer, new_prefix
from tests.support.pusher import Orders, items_of
from tests.support.remotes import Audit, audit, content_of, sha256

ROOT = Path(__file__).parents[2]
NAMES = ("a", "b")


@contextmanager
def pushing(orders: Orders) -> Iterator[subprocess.Popen[str]]:
    """A running pusher; killed in the end."""
    command = [sys.executable, "-m", "tests.support.pusher", json.dumps(asdict(orders))]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def look(objects: Objects, owners: dict[str, str]) -> dict[str, int]:
    """The round that each machine is at; everything it held after that round is there, and nothing else."""
    found: Audit = audit(objects)
    rounds: dict[str, int] = {}
    for name, owner in owners.items():
        if owner not in found.contents:
            rounds[name] = -1
            continue
        number = found.refs[owner]["round"]
        assert isinstance(number, int)
        expected = {
            Key(item.kind, item.name, sha256(content_of(item))): content_of(item) for item in items_of(name, number)
        }
        assert found.contents[owner] == expected
        rounds[name] = number
    return rounds


def kills(base: Path, orders: Orders, objects: Objects, *, count: int, seed: int) -> int:
    """Kill one of two pushers again and again; how many rounds they got through."""
    chance = random.Random(seed)
    of = {name: replace(orders, name=name, state_dir=str(base / name)) for name in NAMES}
    owners = {name: order.remote().owner for name, order in of.items()}
    at = dict.fromkeys(NAMES, -1)
    for _ in range(count):
        victim = chance.choice(NAMES)
        with (
            pushing(replace(of["a"], first_round=at["a"] + 1)) as first,
            pushing(replace(of["b"], first_round=at["b"] + 1)) as second,
        ):
            both = {"a": first, "b": second}
            # Where in its work it dies is up to chance, after it has begun.
            assert both[victim].stdout is not None
            if not both[victim].stdout.readline():
                raise AssertionError(both[victim].stderr.read() if both[victim].stderr else "")
            time.sleep(chance.uniform(0, 0.25))
            both[victim].kill()
            both[victim].wait()
            before = at
            at = look(objects, owners)  # while the other one goes on
            assert all(at[name] >= before[name] for name in NAMES), "something that was published is gone"
    for name in NAMES:
        with pushing(replace(of[name], first_round=at[name] + 1, rounds=2)) as last:
            assert last.wait(60) == 0, last.stderr.read() if last.stderr else ""
    done = look(objects, owners)
    assert done == {name: at[name] + 2 for name in NAMES}
    return sum(done.values())


@pytest.mark.parametrize("count", [4, pytest.param(100, marks=pytest.mark.soak)])
def test_pushers_to_a_folder_are_killed(tmp_path: Path, count: int) -> None:
    orders = Orders(name="", state_dir="", first_round=0, folder=str(tmp_path / "remote"))
    objects = FolderObjects(tmp_path / "remote", make_parents=True)
    assert kills(tmp_path, orders, objects, count=count, seed=count) > 0


@pytest.mark.parametrize("count", [4, pytest.param(100, marks=pytest.mark.soak)])
def test_pushers_to_a_server_are_killed(tmp_path: Path, object_server: ObjectServer, count: int) -> None:
    prefix = new_prefix()
    orders = Orders(
        name="",
        state_dir="",
        first_round=0,
        endpoint=object_server.endpoint,
        bucket=BUCKET,
        prefix=prefix,
        key=object_server.key,
    )
    objects = S3Objects(
        object_server.location(prefix), object_server.credentials(), largest_put_bytes=1 << 20, part_bytes=1 << 20
    )
    assert kills(tmp_path, orders, objects, count=count, seed=count + 1) > 0
