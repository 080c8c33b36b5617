"""A whole election in memory: every office acts for itself on the log that grows, and no process, disk or clock is
involved.

A test runs a meeting up to the moment it is interested in, changes one thing, and names the one refusal it expects.
Everything that is handed in passes the same checks as in the services: `Meeting.add` is what tally does with an entry.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from audit.log.keys import Signer
from audit.protocol.ballot import make_ballot
from audit.protocol.elgamal import Ciphertext, encrypt
from audit.protocol.group import ORDER, Element, G, b64, scalar_bytes
from audit.protocol.refused import Refused
from audit.protocol.roll import credential, make_half, weight_randomness
from audit.protocol.shuffle import mix
from audit.protocol.shuffle_secret import new_secret as new_mix_secret
from audit.protocol.threshold import (
    PRESENT,
    CeremonySecret,
    KeyShare,
    decryption_share,
    finish,
    new_secret,
    next_messages,
)
from audit.record.chunks import split
from audit.record.election import Election
from audit.record.entries import Entry, make_text, parse_entry, seal
from audit.record.manifest import Manifest
from audit.record.mixes import RollRows, mix_chunks, mix_head
from audit.record.mixing import place_of
from audit.record.opening import opening
from audit.record.outcome import result_of, slots, sums_of
from audit.record.seen import MemorySeen
from audit.record.voting import reconcile_root
from tests.simulator.dice import Dice
from tests.simulator.parties import ONE_ITEM, ORIGIN, Parties, manifest_body

Selections = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Account:
    """A holder: the control numbers of one account, and what follows from them."""

    share_class: str
    row: int
    weight: int
    codes: tuple[str, ...]
    s: int
    E: Ciphertext

    @property
    def pseudonym(self) -> Element:
        return self.s * G


class Meeting:
    """An election of `holdings` (class -> weights) over `contests`. `entries` is the log so far, `election` its
    state.
    """

    def __init__(
        self,
        holdings: Mapping[str, Sequence[int]] | None = None,
        contests: list[dict[str, Any]] | None = None,
        seed: int = 1,
        origin: str = ORIGIN,
        parties: Parties | None = None,
        minimum: int = 2,
        intake: int = 0,
    ) -> None:
        self.dice = Dice(seed)
        self.origin = origin
        self.holdings = holdings or {"common": (5, 30, 700)}
        self.parties = parties or Parties.drawn(self.dice)
        votes = {share_class: sum(weights) for share_class, weights in self.holdings.items()}
        self.body = manifest_body(self.parties, self.dice, votes, contests or ONE_ITEM, minimum)
        self.intake = self.parties.intakes[intake]
        self.entries: list[bytes] = []
        self.election = Election()
        self.seen = MemorySeen()
        self.secrets: dict[str, CeremonySecret] = {}
        self.keys: dict[str, KeyShare] = {}
        self.accounts: list[Account] = []

    @property
    def manifest(self) -> Manifest:
        return self.election.manifest

    @property
    def hash(self) -> str:
        """The manifest's hash as it stands in bodies."""
        return b64(self.manifest.hash)

    def add(self, raw: bytes) -> Entry:
        """Checks, admits and records an entry, or raises what the rules say."""
        entry = parse_entry(raw)
        self.election.take(entry, self.seen)
        self.seen.add(entry)
        self.entries.append(raw)
        return entry

    def signed(self, kind: str, body: Mapping[str, Any], *signers: Signer) -> bytes:
        return seal(make_text(kind, self.origin, dict(body)), signers)

    def act(self, kind: str, body: Mapping[str, Any], *signers: Signer) -> Entry:
        """Adds an entry bound to this election, which names its signer where its kind demands that."""
        said_by = {"signer": signers[0].name} if kind in ("roll-signed", "reconcile") else {}
        return self.add(self.signed(kind, {"manifest": self.hash, **said_by, **body}, *signers))

    def resolve(self, kind: str, **body: Any) -> Entry:
        """An act of the officials' quorum, who have read the log to its end."""
        return self.add(self.resolution(kind, **body))

    def resolution(self, kind: str, **body: Any) -> bytes:
        """The act, signed, drawn up over the log as it is now unless `size` says otherwise."""
        size = {"size": self.election.size} if kind in ("open", "closing", "close") else {}
        said = self.opening() if kind == "open" else {}
        return self.signed(kind, {"manifest": self.hash, **said, **size, **body}, *self.parties.officials[:2])

    def opening(self) -> dict[str, Any]:
        """What the opening says of key and rolls; before there are any, of no roll and some key."""
        try:
            return opening(self.election)
        except Refused:
            return {"key": b64(G.raw), "rolls": {}}

    def found(self) -> Meeting:
        """Entry 0."""
        self.add(self.signed("manifest", self.body, *self.parties.officials[:2]))
        return self

    def ceremony(self) -> Meeting:
        """The trustees' key, until nobody has anything more to say."""
        while self.step_ceremony():
            pass
        for name in self.election.ceremony.participants:
            self.keys[name] = finish(self.election.ceremony, self.secrets[name])
        return self

    def step_ceremony(self) -> bool:
        """Every trustee hands in what it has to; False if nobody had."""
        said = False
        for signer in self.parties.trustees:
            for kind, body in self.messages_of(signer):
                self.add(self.signed(kind, body, signer))
                said = True
        return said

    def messages_of(self, signer: Signer) -> list[tuple[str, dict[str, Any]]]:
        ceremony = self.election.ceremony
        if ceremony.complete or signer.name not in ceremony.participants:
            return []
        secret = self.secrets.get(signer.name)
        if secret is None or secret.attempt != ceremony.attempt:
            drawn = [self.dice.scalar() for _ in range(ceremony.t)]
            secret = self.secrets[signer.name] = new_secret(ceremony, signer.name, drawn, self.dice.octets(32))
        return next_messages(ceremony, secret, self.dice.scalar())

    def rolls(self) -> Meeting:
        """Every class's roll, published by all issuers and countersigned."""
        for share_class, weights in self.holdings.items():
            accounts = [self.register(share_class, row, weight) for row, weight in enumerate(weights)]
            self.accounts += accounts
            for k, issuer in enumerate(self.parties.issuers):
                for body in self.roll_chunks(share_class, accounts, k):
                    self.add(self.signed("roll", body, issuer))
            for witness in self.parties.issuers[1:] + self.parties.inspectors:
                self.countersign(share_class, witness)
        return self

    def countersign(self, share_class: str, witness: Signer) -> None:
        self.act("roll-signed", {"class": share_class, "hash": b64(self.election.roll(share_class).issued)}, witness)

    def register(
        self, share_class: str, row: int, weight: int, codes: tuple[str, ...] = (), revision: int = 0
    ) -> Account:
        """An account with these codes, or with new ones."""
        codes = codes or tuple(self.dice.code() for _ in self.parties.issuers)
        bound = (self.manifest.hash, share_class, revision)
        s = sum(credential(*bound, code) for code in codes) % ORDER
        E = encrypt(weight, self.election.Y, weight_randomness(*bound, codes[0]))
        return Account(share_class, row, weight, codes, s, E)

    def roll_chunks(
        self, share_class: str, accounts: Sequence[Account], k: int, revision: int = 0
    ) -> list[dict[str, Any]]:
        """The bodies in which issuer k publishes its half of a roll."""
        context, bound = self.election.context, (self.manifest.hash, share_class, revision)
        rows = []
        for account in accounts:
            s = credential(*bound, account.codes[k])
            row = make_half(context, share_class, revision, account.row, k, s, self.dice.scalar()).to_json()
            rows.append({**row, "E": account.E.to_json()} if k == 0 else row)
        head: dict[str, Any] = {"class": share_class, "manifest": self.hash, "revision": revision}
        if k == 0:
            R = sum(weight_randomness(*bound, account.codes[0]) for account in accounts)
            head["total"] = b64(scalar_bytes(R))
        return list(split(head, rows))

    def mix(self) -> Meeting:
        """Every mixer mixes every roll."""
        for mixer in self.parties.mixers:
            for share_class in self.holdings:
                for body in self.mix_chunks(share_class, mixer.name):
                    self.add(self.signed("mix", body, mixer))
        return self

    def mix_chunks(self, share_class: str, mixer: str, attempt: int = 0) -> list[dict[str, Any]]:
        """The bodies in which this mixer publishes a mix of the roll as it is now."""
        roll = self.election.roll(share_class)
        rows = RollRows.of(roll)
        with ThreadPoolExecutor(1) as executor:
            secret = new_mix_secret(rows, self.dice.scalar, executor)
            made = mix(place_of(self.election, roll, mixer), rows, secret, executor)
        head = mix_head(self.manifest.hash, roll, mixer, attempt, made.generator, made.proof)
        return list(mix_chunks(head, made.rows()))

    def open(self) -> Meeting:
        self.resolve("open")
        return self

    def ballot(self, account: Account, selections: Selections, revision: int = 0) -> dict[str, Any]:
        """The body of a ballot; a contest left out of `selections` gets no vote."""
        context = self.election.ballot_context(account.share_class)
        chosen = {form.id: selections.get(form.id, (0,) * form.choices) for form in context.forms}
        E = account.E if not self.parties.mixers else self.mixed_weight(account)
        return make_ballot(context, account.s, E, chosen, revision, self.dice.scalar)

    def mixed_weight(self, account: Account) -> Ciphertext:
        """The account's weight as the anonymous roll has it."""
        roll = self.election.anonymous_roll(account.share_class)
        return roll.weight((account.s * roll.generator).raw)

    def vote(self, account: Account, selections: Selections, revision: int = 0, intake: Signer | None = None) -> Entry:
        return self.add(self.signed("ballot", self.ballot(account, selections, revision), intake or self.intake))

    def closing(self) -> Meeting:
        self.resolve("closing")
        return self

    def reconcile(self) -> Meeting:
        """Every intake says what it passed on, and that is what the log holds."""
        for intake in self.parties.intakes:
            count, root = reconcile_root(self.seen.passed(intake.name))
            self.act("reconcile", {"count": count, "root": b64(root)}, intake)
        return self

    def close(self, *overruled: str) -> Meeting:
        self.resolve("close", overruled=list(overruled))
        return self

    def decrypt(self, trustees: int = 2) -> Meeting:
        """The first trustees answer."""
        for name in self.election.ceremony.participants[:trustees]:
            self.add(self.signed("decrypt", self.shares(name), self.signer(name)))
        return self

    def shares(self, name: str) -> dict[str, Any]:
        """The body of this trustee's answer."""
        election, key = self.election, self.keys[name]
        closing = election.closing_root
        assert closing is not None
        contests: dict[str, dict[str, Any]] = {}
        present: dict[str, Any] = {}
        for (contest, choice), C in slots(election, sums_of(election, self.seen)):
            w = self.dice.scalar()
            share = decryption_share(election.context, key.x_j, contest, choice, closing, C, key.j, w).to_json()
            if contest == PRESENT:
                present[choice] = share
            else:
                contests.setdefault(contest, {})[choice] = share
        bound = {"closing": b64(closing), "manifest": self.hash, "signer": name}
        return {**bound, "contests": contests, "present": present}

    def signer(self, name: str) -> Signer:
        return next(signer for signer in self.parties.trustees if signer.name == name)

    def certify(self) -> Meeting:
        self.resolve("certify", result=result_of(self.election, self.seen))
        return self

    def prepared(self) -> Meeting:
        """Up to the opening of the vote."""
        return self.found().ceremony().rolls().mix().open()

    def counted(self) -> Meeting:
        """From the end of the vote to the certified result."""
        return self.closing().reconcile().close().decrypt().certify()
