"""Voters with their ballots made beforehand, so that what is measured is the path and not the client."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx

from audit.log.keys import Signature
from audit.log.notes import parse_signature_lines
from audit.log.reader import HttpReader
from audit.protocol.elgamal import Ciphertext
from audit.protocol.group import wide_scalar
from audit.record.election import Election
from audit.record.entries import Entry, read_text
from infra.card import Card, load_card
from infra.control_numbers import read_number_table
from infra.demo.holdings import Account
from infra.demo.meeting import numbers_file, numbers_lock
from infra.demo.register import account_id
from infra.demo.stage import Stage
from infra.desk import open_desk
from infra.sealed import read_lock
from intake.voter.casting import ballot_text
from intake.voter.holder import find_holder
from intake.voter.opening import read_opening
from intake.voter.sightings import Sightings

THREADS = 16
RECORDED_SECONDS = 600


@dataclass(frozen=True)
class Ready:
    """A ballot's text, and the encrypted weight of its row."""

    text: bytes
    weight: Ciphertext


class Electorate:
    """All voters of a running election whose vote is open."""

    def __init__(self, stage: Stage) -> None:
        self.card: Card = load_card(stage.card)
        with open_desk(self.card) as desk:
            desk.begin()
            desk.read()
            self.election: Election = desk.election
        readers = [HttpReader(url) for url in self.card.logs]
        self.opening = read_opening(readers, self.card.manifest)
        self._codes = [codes_in(numbers_file(stage, issuer), numbers_lock(stage, issuer)) for issuer in (1, 2)]
        self._local = threading.local()

    def ready(self, accounts: Sequence[Account]) -> list[Ready]:
        """A ballot of each account, made on all cores."""
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            return list(pool.map(self.make, accounts))

    def make(self, account: Account) -> Ready:
        contests = self.election.manifest.contests
        holder = find_holder(self.opening, [codes[account_id(account)] for codes in self._codes])
        chosen = account.choices or ("",) * len(contests)
        selections = {
            contest.id: tuple(int(choice == word) for choice in contest.choices)
            for contest, word in zip(contests, chosen, strict=False)
        }
        return Ready(ballot_text(self.opening, holder, selections, 1, lambda: wide_scalar(os.urandom(64))), holder.E)

    def cast(self, ballots: Sequence[Ready]) -> list[Entry]:
        """Hands all of them in, many at once; as they will stand in the log."""
        with ThreadPoolExecutor(THREADS) as pool:
            return list(pool.map(self.hand_in, ballots))

    def hand_in(self, ballot: Ready) -> Entry:
        if not hasattr(self._local, "client"):
            self._local.client = httpx.Client(timeout=60, trust_env=False)
        answer = self._local.client.post(self.card.doors[0], content=ballot.text)
        answer.raise_for_status()
        lines: tuple[Signature, ...] = parse_signature_lines(answer.json()["line"].encode())
        return read_text(ballot.text, lines)

    def wait_recorded(self, entries: Sequence[Entry], pause: float) -> None:
        """Returns once each has an inclusion proof under a head with W cosignatures."""
        left = {entry.identity: entry for entry in entries}
        readers = [HttpReader(url) for url in self.card.logs]
        sightings = Sightings(readers, self.election.manifest, self.election.size)
        deadline = time.monotonic() + RECORDED_SECONDS
        while left:
            for identity in sightings.look(list(left.values())):
                del left[identity]
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(left)} ballots are not recorded after {RECORDED_SECONDS} s")
            if left:
                time.sleep(pause)


def codes_in(file: Path, lock: Path) -> dict[str, str]:
    """Every account's control number by one issuer, as its 25 symbols."""
    return {row["account_id"]: row["control_number"] for row in read_number_table(file, read_lock(lock)).rows}
