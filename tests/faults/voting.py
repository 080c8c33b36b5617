"""A vote under faults: ballots handed in at every intake, and its end, with an account of them by each intake."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from sqlalchemy import select

from audit.log.keys import Signer
from audit.protocol.group import b64
from audit.record.election import Election
from audit.record.entries import make_text, parse_entry, seal
from audit.record.seen import MemorySeen
from audit.record.voting import reconcile_root
from infra.queue.schema import queued
from tests.faults.client import Client

FOR = (1, 0, 0)


class Voting:
    """What the holders and the officials of the client's election do. `passed`: by intake, the identities of the
    ballots that it has promised.
    """

    def __init__(self, client: Client) -> None:
        self.client, self.meeting = client, client.zones.meeting
        self.passed: dict[str, set[bytes]] = {name: set() for name in client.zones.intakes}
        self._accounts = itertools.count()

    def begin(self) -> None:
        """The log from entry 0 to the opening of the vote, entry after entry: each needs the one before it."""
        meeting = self.meeting.ceremony().rolls().mix().open()
        self.client.found()
        for size, raw in enumerate(meeting.entries[1:], start=2):
            assert self.client.put([raw])
            self.client.wait(lambda size=size: self.client.size("custodian-0") >= size)
        for name in self.client.zones.intakes:
            self.sees(name, "open")

    def sees(self, intake: str, phase: str) -> None:
        """Returns once this intake has read that the election is in this phase."""
        read = self.client.zones.said
        self.client.wait(lambda: any(line["phase"] == phase for line in read(intake, "log-read")))

    def accounts(self, count: int) -> list[int]:
        """So many accounts that have not voted."""
        return list(itertools.islice(self._accounts, count))

    def vote(self, account: int, at: str, revision: int = 0) -> None:
        """A ballot, until this intake has promised it."""
        text = self.ballot(account, revision)
        entry = parse_entry(seal(text, [self.key(at)]))
        assert self.client.hand_in(text, at=at, recorded=entry.raw), f"{at} never answers"
        self.passed[at].add(entry.identity)

    def ballot(self, account: int, revision: int = 0) -> bytes:
        """Its text, as a voter hands it in."""
        body = self.meeting.ballot(self.meeting.accounts[account], {"nominee-1": FOR}, revision)
        return make_text("ballot", self.meeting.origin, body)

    def spoiled(self, account: int, intake: str) -> bytes:
        """A ballot that an intake has signed, but not its voter."""
        body = self.meeting.ballot(self.meeting.accounts[account], {"nominee-1": FOR}, 0)
        signature = {**body["signature"], "z": b64(bytes([1]) + bytes(31))}
        return self.meeting.signed("ballot", {**body, "signature": signature}, self.key(intake))

    def key(self, intake: str) -> Signer:
        """By which this intake signs."""
        return self.meeting.parties.intakes[self.client.zones.intakes.index(intake)]

    def act(self, kind: str, size: int, **body: object) -> bytes:
        """An act of the officials, drawn up over so many entries."""
        return self.meeting.resolution(kind, size=size, **body)

    def account(self, intake: str) -> bytes:
        """What this intake must say of its ballots, once, when voting is over."""
        count, root = reconcile_root(sorted(self.passed[intake]))
        signer = self.key(intake)
        body = {"count": count, "manifest": self.meeting.hash, "root": b64(root), "signer": signer.name}
        return self.meeting.signed("reconcile", body, signer)

    def waiting(self, kind: str) -> int:
        """How many different entries of this kind are in the queue."""
        with self.client.zones.databases["queue"].engine.connect() as connection:
            return len(of_kind(kind, set(map(bytes, connection.scalars(select(queued.c.data))))))

    def recorded(self, kind: str) -> list[bytes]:
        """The entries of this kind that a custodian has published."""
        return of_kind(kind, self.client.log("custodian-0"))

    def expect(self, *entries: bytes) -> None:
        """From now on, these must be in the log, once, as all that was acknowledged."""
        self.client.acknowledged.update(entries)
        self.client.offered.update(entries)

    def replayed(self) -> Election:
        """The election as anyone computes it from a custodian's tiles, every rule checked."""
        election, seen = Election(self.meeting.manifest.hash), MemorySeen()
        for entry in map(parse_entry, self.client.log("custodian-0")):
            election.take(entry, seen)
            seen.add(entry)
        return election


def of_kind(kind: str, entries: Iterable[bytes]) -> list[bytes]:
    return [raw for raw in entries if raw.startswith(f"psephos/v1 {kind}\n".encode())]
