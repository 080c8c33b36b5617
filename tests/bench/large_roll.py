"""The log of an election with 100,000 accounts, opened: rows of two issuers with their proofs, a mix, and ballots.

Only one mixer is named, since a client reads the last mix alone; two more would lengthen the log by two lists of the
same size. Ballots are one real ballot in many revisions, which stand for what follows an opening and are good for
nothing else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import Executor
from typing import Any

from audit.commands import executor
from audit.protocol.control_number import new_control_number, parse_control_number
from audit.protocol.elgamal import encrypt
from audit.protocol.group import ORDER, b64, scalar_bytes
from audit.protocol.roll import credential, make_half, weight_randomness
from audit.protocol.shuffle import mix
from audit.protocol.shuffle_secret import new_secret
from audit.protocol.shuffle_statement import in_order
from audit.protocol.transcript import Context, labelled_scalar
from audit.record.chunks import split
from audit.record.entries import parse_entry
from audit.record.mixes import RollRows, mix_chunks, mix_head
from audit.record.mixing import place_of
from tests.bench.mix import draw
from tests.simulator.dice import Dice
from tests.simulator.meeting import Account, Meeting
from tests.simulator.parties import Parties, contest

CLASS = "common"
ISSUERS = 2
PART = 500
"""Rows that a worker makes at once."""
NINE = [contest(f"nominee-{n}") for n in range(1, 10)]
Rows = list[dict[str, Any]]


def weight(row: int) -> int:
    return 1 + row % 1000


def code(row: int, k: int) -> str:
    """The control number that issuer k gave to this account; drawn by nobody, so that any worker has it."""
    return parse_control_number(new_control_number(hashlib.sha256(f"{row} {k}".encode()).digest()[:16]))


def rows_from(context: Context, first: int, count: int) -> tuple[list[Rows], int]:
    """So many rows of the roll, of every issuer, and the sum of the randomness of their weights."""
    assert context.Y is not None
    halves: list[Rows] = [[] for _ in range(ISSUERS)]
    R = 0
    for row in range(first, first + count):
        for k, rows in enumerate(halves):
            s = credential(context.manifest, CLASS, 0, code(row, k))
            w = labelled_scalar("bench", context.manifest, row, k)
            rows.append(make_half(context, CLASS, 0, row, k, s, w).to_json())
        r = weight_randomness(context.manifest, CLASS, 0, code(row, 0))
        halves[0][-1]["E"] = encrypt(weight(row), context.Y, r).to_json()
        R = (R + r) % ORDER
    return halves, R


class LargeLog:
    """The log of `rows` accounts and `ballots` ballots, its entries in `meeting.entries`."""

    def __init__(self, rows: int, ballots: int) -> None:
        self.rows = rows
        parties = Parties.drawn(Dice(1), issuers=ISSUERS, mixers=1)
        self.meeting = Meeting({CLASS: [weight(row) for row in range(rows)]}, NINE, parties=parties).found().ceremony()
        with executor() as workers:
            self._issue(workers)
            self._mix(workers)
        self.meeting.open()
        for raw in self._ballots(ballots):
            self.meeting.entries.append(raw)

    def size_of(self, kind: str) -> int:
        """Bytes of all entries of a kind."""
        return sum(len(raw) for raw in self.meeting.entries if raw.startswith(f"psephos/v1 {kind}\n".encode()))

    def codes(self, row: int) -> list[str]:
        """The control numbers of this account."""
        return [code(row, k) for k in range(ISSUERS)]

    def _issue(self, workers: Executor) -> None:
        meeting, halves, R = self.meeting, [Rows() for _ in range(ISSUERS)], 0
        parts = range(0, self.rows, PART)
        tasks = ((rows_from, (meeting.election.context, first, min(PART, self.rows - first))) for first in parts)
        for made, r in in_order(workers, tasks):
            R += r
            for rows, more in zip(halves, made, strict=True):
                rows.extend(more)
        for k, issuer in enumerate(meeting.parties.issuers):
            total = {} if k else {"total": b64(scalar_bytes(R % ORDER))}
            head = {"class": CLASS, "manifest": meeting.hash, "revision": 0, **total}
            for body in split(head, halves[k]):
                self._record(meeting.signed("roll", body, issuer))
            halves[k].clear()
        for witness in meeting.parties.issuers[1:] + meeting.parties.inspectors:
            meeting.countersign(CLASS, witness)

    def _mix(self, workers: Executor) -> None:
        meeting, (mixer,) = self.meeting, self.meeting.parties.mixers
        roll = meeting.election.roll(CLASS)
        before = RollRows.of(roll)
        place = place_of(meeting.election, roll, mixer.name)
        made = mix(place, before, new_secret(before, draw, workers), workers)
        head = mix_head(meeting.manifest.hash, roll, mixer.name, 0, made.generator, made.proof)
        for body in mix_chunks(head, made.rows()):
            self._record(meeting.signed("mix", body, mixer))

    def _record(self, raw: bytes) -> None:
        """Takes in an entry whose proofs were made here: checking them again is measured elsewhere."""
        entry = parse_entry(raw)
        self.meeting.election.apply_recorded(entry)
        self.meeting.seen.add(entry)
        self.meeting.entries.append(raw)

    def _ballots(self, count: int) -> Iterator[bytes]:
        meeting, codes = self.meeting, self.codes(0)
        s = sum(credential(meeting.manifest.hash, CLASS, 0, one) for one in codes) % ORDER
        E = encrypt(weight(0), meeting.election.Y, weight_randomness(meeting.manifest.hash, CLASS, 0, codes[0]))
        account = Account(CLASS, 0, weight(0), tuple(codes), s, E)
        body = meeting.ballot(account, {one["id"]: (1, 0, 0) for one in NINE})
        for revision in range(count):
            yield meeting.signed("ballot", {**body, "revision": revision}, meeting.intake)
