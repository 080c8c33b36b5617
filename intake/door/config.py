"""What one intake service is given: where it listens, what it keeps, whom it reads and to whom it passes on."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from infra.database import check_url
from infra.exchange import check_address
from infra.http import parse_listen
from infra.private import check_private
from intake.door.standing import MOST_BALLOTS


@dataclass(frozen=True)
class QueueAddress:
    """The queue's ingress and the file with its bearer token."""

    url: str
    token: Path

    def __post_init__(self) -> None:
        check_address(self.url)


@dataclass(frozen=True)
class DoorConfig:
    """The settings of `psephos serve intake`. `custodians` are base addresses, to which the origin is added;
    `most_waiting` is how many ballots may wait to be recorded; `next_key` is the key that will replace `key`, if the
    officials say so; `private` is ADDRESS:PORT of its health and figures.
    """

    listen: str
    database: str
    passfile: Path
    key: Path
    manifest: Path
    manifest_hash: bytes
    custodians: tuple[str, ...]
    queue: QueueAddress
    workers: int = os.cpu_count() or 1
    poll_ms: int = 200
    most_waiting: int = MOST_BALLOTS
    next_key: Path | None = None
    private: str | None = None

    def __post_init__(self) -> None:
        parse_listen(self.listen)
        check_private(self.private, self.listen)
        check_url(self.database)
        if len(self.manifest_hash) != 32:
            raise ValueError("`manifest_hash` is 32 bytes")
        if not self.custodians:
            raise ValueError("`custodians` names at least one")
        if self.workers < 1 or self.poll_ms < 1 or self.most_waiting < 1:
            raise ValueError("`workers`, `poll_ms` and `most_waiting` are at least 1")
