"""The elections that schedules run, made once: a manifest of three custodians, or of five, and what is handed in.

Mostly that is notices by the officials, the cheapest entries that the rules admit: for most faults, what an entry says
is nothing. One schedule in some runs the whole vote instead. Its ceremony, roll, mix and opening stand in the queue
when it begins; its ballots, its closing, and the rekeys by which some of its keys change, are signed before.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from audit.log.keys import Signer
from audit.protocol.group import b64
from audit.record.entries import make_text, seal
from audit.record.manifest import Manifest
from tests.simulation.keys import cheap_signatures
from tests.simulator.dice import Dice
from tests.simulator.meeting import Meeting
from tests.simulator.parties import Parties
from tests.simulator.rekeys import rekeying

NOTICES = 24
VOTERS = 6
REVISIONS = 3
CHOICES = ((1, 0, 0), (0, 1, 0), (0, 0, 1))


@dataclass(frozen=True)
class Rehearsal:
    """`entries`: those that wait in the queue, in order, when a schedule begins. `ballots`: of every voter the texts,
    by revision. `rekeys`: by whose name, and `new` the keys that these entries put in the place of the old ones;
    `replacement`: the entry that puts `successor`, and its keys, in the place of the first custodian.
    """

    manifest: Manifest
    parties: Parties
    entries: tuple[bytes, ...]
    notices: tuple[bytes, ...] = ()
    ballots: tuple[tuple[bytes, ...], ...] = ()
    closing: bytes = b""
    rekeys: Mapping[str, bytes] = field(default_factory=dict)
    new: Mapping[str, tuple[Signer, ...]] = field(default_factory=dict)
    replacement: bytes = b""
    successor: tuple[Signer, ...] = ()

    def keys(self, signers: Sequence[Signer]) -> tuple[Signer, ...]:
        """All the keys that whoever has these holds in time."""
        return (*signers, *self.new.get(signers[0].name, ()))

    def close(self, size: int, overruled: Sequence[str]) -> bytes:
        """The officials' close, drawn up over so many entries."""
        body = {"manifest": b64(self.manifest.hash), "overruled": sorted(overruled), "size": size}
        return seal(make_text("close", self.manifest.origin, body), self.parties.officials[:2])


@cache
def notices(custodians: int, W: int) -> Rehearsal:
    """An election with so many custodians, of which W must cosign, in which nothing happens but notices."""
    with cheap_signatures():
        meeting = _founded(custodians, W)
        texts = (f"Notice number {number}." for number in itertools.count())
        notices = [meeting.resolution("notice", subject="incident", text=next(texts)) for _ in range(NOTICES)]
        return Rehearsal(meeting.manifest, meeting.parties, tuple(meeting.entries), tuple(notices))


@cache
def vote(custodians: int, W: int) -> Rehearsal:
    """An election that is voted in, with two intakes."""
    with cheap_signatures():
        meeting = _founded(custodians, W).ceremony().rolls().mix().open()
        ballots = []
        for voter, account in enumerate(meeting.accounts):
            chosen = [{"nominee-1": CHOICES[(voter + n) % 3]} for n in range(REVISIONS)]
            bodies = [meeting.ballot(account, choice, n) for n, choice in enumerate(chosen)]
            ballots.append(tuple(make_text("ballot", meeting.origin, body) for body in bodies))
        rekeys, new = _rekeys(meeting)
        successor = meeting.dice.custodian_keys("custodian-z")
        return Rehearsal(
            meeting.manifest,
            meeting.parties,
            tuple(meeting.entries),
            ballots=tuple(ballots),
            closing=meeting.resolution("closing"),
            rekeys=rekeys,
            new=new,
            replacement=rekeying(meeting, "custodian", meeting.parties.custodians[0][0].name, successor),
            successor=successor,
        )


def _founded(custodians: int, W: int) -> Meeting:
    dice = Dice(custodians)
    parties = Parties.drawn(dice, mixers=1)
    names = [f"custodian-{letter}" for letter in "abcdefg"[:custodians]]
    object.__setattr__(parties, "custodians", tuple(dice.custodian_keys(name) for name in names))
    meeting = Meeting({"common": range(10, 10 + VOTERS)}, parties=parties)
    meeting.body["custodians"]["threshold"] = W
    return meeting.found()


def _rekeys(meeting: Meeting) -> tuple[dict[str, bytes], dict[str, tuple[Signer, ...]]]:
    """One of each office: the log, the first intake and the first custodian."""
    dice, parties = meeting.dice, meeting.parties
    log, intake, custodian = parties.log[0].name, parties.intakes[0].name, parties.custodians[0][0].name
    new = {log: dice.log_keys(log), intake: dice.signers(intake), custodian: dice.custodian_keys(custodian)}
    offices = {log: "log", intake: "intake", custodian: "custodian"}
    return {name: rekeying(meeting, offices[name], name, keys) for name, keys in new.items()}, new
