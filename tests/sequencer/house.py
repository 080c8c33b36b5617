"""A sequencer with all that surrounds it: a meeting that hands entries in, a queue, a ledger, and three real custodians
on loopback ports, each with a database of its own.
"""

from __future__ import annotations

import asyncio
import errno
import itertools
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI
from sqlalchemy import Engine

from audit.log.keys import Signer
from audit.log.merkle import CompactRange
from audit.log.reader import HttpReader, read_entries
from audit.protocol.elgamal import Ciphertext
from audit.protocol.refused import Refused
from audit.record.checker import BallotChecker
from audit.record.election import Election
from audit.record.entries import Entry, parse_entry, read_text
from audit.record.heads import open_head
from audit.record.restart import Restart
from audit.record.seen import MemorySeen
from infra.queue.frames import Row
from tally.sequencer.claim import Claim
from tally.sequencer.custodian import Custodian, Wire, label_of
from tally.sequencer.ledger import Ledger
from tally.sequencer.mark import Mark
from tally.sequencer.push import Push
from tally.sequencer.sequence import Sequencer
from tally.sequencer.survey import NOBODY
from tally.sequencer.term import Term
from tests.loopback import serving
from tests.simulator.meeting import Meeting
from vault.custodian.custody import Custodian as Keeper
from vault.custodian.keys import stored_keys
from vault.custodian.serve import custodian_app
from vault.custodian.sql_store import SqlStore

TOKEN = "token-of-the-tests-that-is-long-enough-for-one"
FOR, AGAINST = (1, 0, 0), (0, 1, 0)


@dataclass(frozen=True)
class Liar:
    """A service that answers what it likes wherever the address holds `where`, or `exactly` ends in it: the status,
    then the parts of the body, `pause` seconds before each. Elsewhere it is `honest`.
    """

    honest: FastAPI
    status: int
    parts: Iterable[bytes]
    where: str = ""
    pause: float = 0.0
    exactly: bool = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        path = scope.get("path", "")
        meant = path.endswith(self.where) if self.exactly else self.where in path
        if scope["type"] != "http" or not meant:
            await self.honest(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": self.status, "headers": []})
        for part in self.parts:
            await asyncio.sleep(self.pause)
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


@dataclass
class Queue:
    """Stands for egress: hands rows out until they are acknowledged, without leases, so that nothing is hidden."""

    rows: dict[bytes, bytes] = field(default_factory=dict)
    keys: Iterator[int] = field(default_factory=itertools.count)
    deaf: bool = False

    def put(self, *entries: bytes) -> None:
        for raw in entries:
            self.rows[next(self.keys).to_bytes(16, "big")] = raw

    def begin(self) -> None:
        """Without leases, there are none to end."""

    def take(self, most: int) -> list[Row]:
        return [Row(key, data) for key, data in itertools.islice(self.rows.items(), most)]

    def ack(self, keys: Iterable[bytes]) -> None:
        for key in keys:
            if not self.deaf:
                del self.rows[key]


class HostDisk:
    """Where a host's mark stands, outlasting its ledger. `full`: nothing can be written."""

    def __init__(self) -> None:
        self.text: bytes | None = None
        self.full = False

    def of(self, ledger: Ledger) -> Mark:
        return Mark(ledger, lambda: self.text, self._write)

    def _write(self, text: bytes) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, "no space left on device")
        self.text = text


class InlinePool:
    """Checks ballots where it is called, and counts them."""

    def __init__(self, checker: BallotChecker) -> None:
        self.checker = checker
        self.checked = 0

    def check_texts(self, pairs: Sequence[tuple[bytes, Ciphertext]]) -> list[Refused | None]:
        self.checked += len(pairs)
        return [self._verdict(*pair) for pair in pairs]

    def close(self) -> None:
        pass

    def _verdict(self, text: bytes, weight: Ciphertext) -> Refused | None:
        try:
            self.checker.check_ballot(read_text(text), weight)
        except Refused as refusal:
            return refusal
        return None


class Vault:
    """The three custodians. Each can be taken down and brought up again, at the same address, with what it stored."""

    def __init__(self, meeting: Meeting, engines: Sequence[Engine]) -> None:
        self.meeting, self.engines = meeting, engines
        self.clock = lambda: int(time.time())
        self.apps: list[Any] = [self.app(i) for i in range(len(engines))]
        self.urls: list[str] = []
        self.readers: dict[int, HttpReader] = {}

    def impostor(self, i: int) -> None:
        """Its database is kept by somebody with other keys."""
        self.apps[i] = self.app(i, Meeting(seed=77).parties.custodians[i])

    def lies(self, i: int, status: int, *parts: bytes, **how: Any) -> None:
        """Custodian i answers so; `how` as `Liar`."""
        self.apps[i] = Liar(self.app(i), status, parts, **how)

    def app(self, i: int, signers: Sequence[Signer] | None = None) -> FastAPI:
        policy = self.meeting_policy
        signers = self.meeting.parties.custodians[i] if signers is None else signers
        store = SqlStore(self.engines[i])
        keys = stored_keys(store, self.meeting.manifest.history[0])
        keeper = Keeper(store, {policy.origin: keys}, signers, self.clock)
        return custodian_app(keeper, [policy.origin], TOKEN)

    @property
    def meeting_policy(self):
        return self.meeting.manifest.log

    def down(self, i: int) -> None:
        self.apps[i] = None

    def up(self, i: int) -> None:
        self.apps[i] = self.app(i)

    @contextmanager
    def serving(self) -> Iterator[None]:
        with ExitStack() as stack:
            self.urls = [stack.enter_context(serving(self._switch(i))) for i in range(len(self.engines))]
            yield

    def reader(self, i: int) -> HttpReader:
        if i not in self.readers:
            self.readers[i] = HttpReader(f"{self.urls[i]}/{self.meeting.origin}")
        return self.readers[i]

    def size(self, i: int) -> int:
        """How many entries custodian i publishes, under W cosignatures."""
        found = open_head(self.reader(i), self.meeting.manifest)
        return found[0].size if found else 0

    def furthest(self) -> int:
        """The custodian that publishes most: where W do, one may be behind."""
        return max((i for i, app in enumerate(self.apps) if app is not None), key=self.size)

    def entries(self, i: int | None = None) -> list[Entry]:
        """The published log, verified from the tiles of custodian i alone, or of the one that has most."""
        reader = self.reader(self.furthest() if i is None else i)
        found = open_head(reader, self.meeting.manifest, exact=True)
        return [parse_entry(raw) for raw in read_entries(reader, CompactRange(), found[0])] if found else []

    def _switch(self, i: int):
        async def switch(scope, receive, send) -> None:
            app = self.apps[i]
            if app is not None or scope["type"] == "lifespan":
                await (app or self.app(i))(scope, receive, send)
                return
            await receive()
            await send({"type": "http.response.start", "status": 503, "headers": []})
            await send({"type": "http.response.body", "body": b""})

        return switch


@dataclass
class House:
    """`prepared` of the meeting has been done in memory: its entries are what a test hands in."""

    meeting: Meeting
    vault: Vault
    ledger: Ledger
    queue: Queue
    pools: list[InlinePool] = field(default_factory=list)
    mark: HostDisk = field(default_factory=HostDisk)
    log_keys: tuple[Signer, ...] = ()  # those that tally holds; the log's at first, if none are named

    def term(self, word: Restart = NOBODY) -> Term:
        """What a tally process sequences with, until it has to begin anew."""
        manifest, keys = self.meeting.manifest.history[0], self.log_keys or self.meeting.parties.log
        wires = [Wire(url, self.meeting.origin, TOKEN) for url in self.vault.urls]
        custodians = [Custodian(label_of(url), wire) for url, wire in zip(self.vault.urls, wires, strict=True)]
        push = Push(self.ledger, manifest, custodians)
        mark = self.mark.of(self.ledger)
        made = Sequencer(self.ledger, manifest, keys, push, self.queue, self.pool, lambda: int(time.time()), mark)
        return Term(self.ledger, manifest, custodians, lambda: word, push, made, mark, lambda _: None)

    @contextmanager
    def sequencer(
        self, behind: bool = False, word: Restart = NOBODY, claim: Claim | None = None
    ) -> Iterator[Sequencer]:
        """A sequencer that has not been opened yet, its couriers under way. Leaving the block is a crash to it."""
        term = self.term(word)
        try:
            term.begin(behind, self._no_pause, claim=claim)
            term.push.start()
            yield term.sequencer
        finally:
            term.push.close()
            self.hang_up(term)

    def hang_up(self, term: Term) -> None:
        """Closes its connections to custodians."""
        for custodian in term.custodians:
            custodian._exchange.close()

    @contextmanager
    def opened(self) -> Iterator[Sequencer]:
        with self.sequencer() as made:
            made.open()
            yield made

    def pool(self, checker: BallotChecker) -> InlinePool:
        self.pools.append(InlinePool(checker))
        return self.pools[-1]

    def record(self, *entries: bytes) -> list[Entry]:
        """Has a fresh sequencer record these entries and ends it; the log after that."""
        self.sequence(*entries)
        return self.vault.entries()

    def sequence(self, *entries: bytes) -> None:
        """As `record`, where not all custodians can be read."""
        self.queue.put(*entries)
        with self.opened() as sequencer:
            while sequencer.step():
                pass

    def ballot(self, account: int = 0, revision: int = 0, intake: int = 0, **changes: object) -> bytes:
        """A ballot with an intake's line, its body changed as said."""
        holder = self.meeting.accounts[account]
        choices = {contest.id: FOR for contest in self.meeting.manifest.contests}
        body = {**self.meeting.ballot(holder, choices, revision), **changes}
        return self.meeting.signed("ballot", body, self.meeting.parties.intakes[intake])

    def replay(self, i: int | None = None) -> Election:
        """The election as anyone computes it from what `entries` gives, everything checked."""
        election, seen = Election(self.meeting.manifest.hash), MemorySeen()
        for entry in self.vault.entries(i):
            election.take(entry, seen)
            seen.add(entry)
        return election

    def replay_size(self) -> int:
        """How many entries every custodian publishes; 0 while they differ."""
        sizes = {self.vault.size(i) for i in range(3)}
        return sizes.pop() if len(sizes) == 1 else 0

    def parsed(self, raw: bytes) -> Entry:
        return parse_entry(raw)

    def _no_pause(self) -> None:
        raise TimeoutError("a custodian does not answer")


def until_it_ends(sequencer: Sequencer) -> None:
    """Raises what a courier has found that ends the sequencer, once one has."""
    with sequencer._push._changed:
        sequencer._push._wait(lambda: False)
