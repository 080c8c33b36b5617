"""What the tests of casting share: the accounts, the command that votes for some, and what the log holds then."""

from __future__ import annotations

from pathlib import Path

from audit.record.entries import Entry, parse_entry
from tests.officials.clients import Clients
from tests.officials.hall import Hall

HOLDINGS = {f"A{i}": ("common", 100 + i) for i in range(1, 6)}


def vote(clients: Clients, out: Path, *accounts: str, word: str = "for", wait: str = "5") -> list[str | Path]:
    batch = clients.batch({account: [word] for account in accounts})
    return [*clients.vote_args(batch, out), "--wait", wait]


def ballots(hall: Hall) -> list[Entry]:
    return [entry for entry in map(parse_entry, hall.entries) if entry.kind == "ballot"]
