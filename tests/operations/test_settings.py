"""A private port is never the one where everybody is served, whichever service it is of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from infra.queue.face import EgressConfig
from intake.door.config import DoorConfig, QueueAddress
from vault.custodian.config import CustodianConfig, FollowConfig

LISTEN, DATABASE, FILE = "127.0.0.1:8001", "postgresql+psycopg://role@/name?host=/run", Path("file")
MADE: dict[str, Callable[[str | None], object]] = {
    "queue": lambda private: EgressConfig(listen=LISTEN, database=DATABASE, passfile=FILE, token=FILE, private=private),
    "intake": lambda private: DoorConfig(
        LISTEN, DATABASE, FILE, FILE, FILE, bytes(32), ("http://x",), QueueAddress("http://x", FILE), private=private
    ),
    "custodian": lambda private: CustodianConfig(LISTEN, FILE, (FILE,), (FILE,), folder=FILE, private=private),
    "follower": lambda private: FollowConfig(LISTEN, bytes(32), FILE, folder=FILE, private=private),
}


@pytest.mark.parametrize("service", MADE)
def test_it_has_a_port_of_its_own_or_there_is_none(service: str) -> None:
    MADE[service](None)
    MADE[service]("127.0.0.1:9001")
    for private in (LISTEN, "0.0.0.0:8001", "[::]:8001"):
        with pytest.raises(ValueError, match="`private` must have another port than `listen`"):
            MADE[service](private)
