"""A process that pushes round after round until it is killed: ``python -m tests.support.pusher JSON``.

What a machine holds after round r, and the refs it has then, follow from its name and r. So whoever looks at the
remote can tell whether it is exactly the state after one of the rounds, and not something in between.
"""

from __future__ import annotations

import json
import random
import sys
from dataclasses import dataclass
from pathlib import Path

from dxforge.config.secrets import Secret
from dxforge.events import EventBus
from dxforge.remote.credentials import Credentials
from dxforge.remote.location import Location
from dxforge.remote.model import Item, RemoteOptions
from dxforge.remote.policy import RetryPolicy
from dxforge.remote.sync import Remote
from tests.support.remotes import action, blob, git_object

OPTIONS = RemoteOptions(
    retry=RetryPolicy(attempts=30, base_s=0.02, longest_s=0.5, throttled_s=0.02),
    workers=3,
    pack_bytes=8_000,
    largest_pack_bytes=30_000,
    small_pack_bytes=8_000,
    merge_at=3,
    collect_every=3,
    keep_manifests=2,
    grace_s=20,
)
"""Small packs, often merged, and garbage collected as soon as it can be."""


@dataclass(frozen=True, kw_only=True)
class Orders:
    """Who pushes where: ``folder``, or ``endpoint`` with bucket, prefix and key."""

    name: str
    state_dir: str
    first_round: int
    rounds: int = 1 << 30
    folder: str = ""
    endpoint: str = ""
    bucket: str = ""
    prefix: str = ""
    key: tuple[str, str] = ("", "")

    def remote(self) -> Remote:
        """As ordered."""
        location = (
            Location(kind="file", folder=Path(self.folder), relative=True)
            if self.folder
            else Location(kind="s3", bucket=self.bucket, prefix=self.prefix, endpoint=self.endpoint, region="us-east-1")
        )
        credentials = Credentials(id=Secret(self.key[0]), secret=Secret(self.key[1]))
        return Remote(
            location, credentials, events=EventBus(), state_dir=Path(self.state_dir), options=OPTIONS, label=self.name
        )


def items_of(name: str, number: int) -> list[Item]:
    """All that the machine ``name`` holds after round ``number``: some old, some new, some that all have."""
    found: list[Item] = []
    for step in range(number, number + 6):
        chance = random.Random(f"{name} {step}")
        pieces = [blob(chance.randbytes(chance.randrange(50, 6000))) for _ in range(3)]
        found += [
            *pieces,
            action(f"{name} {step}", *pieces[:2]),
            git_object(f"{step:08}{name}", pieces[0].sha256.encode()),
        ]
    common = random.Random(number // 5)
    return [*found, *(blob(common.randbytes(400)) for _ in range(3))]


def main() -> None:
    """Push, round after round; print each that is done."""
    data = json.loads(sys.argv[1])
    orders = Orders(**{**data, "key": tuple(data["key"])})
    remote = orders.remote()
    for number in range(orders.first_round, orders.first_round + orders.rounds):
        report = remote.push(items_of(orders.name, number), {"round": number}, whole=True)
        if not report.ok:
            raise SystemExit(f"left out: {report.left_out}")
        print(number, flush=True)


if __name__ == "__main__":
    main()
