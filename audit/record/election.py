"""The state of an election as a pure function of its log.

Checking an entry has two halves. `check` looks at the entry alone: origin, manifest, signature lines, proofs; it may
run anywhere, in parallel. `admit` asks whether the entry may follow what the log holds: the phase, what its kind
requires, duplicates and revisions. Both raise `Refused`. `apply` then takes the entry in. Tally, intake, trustees and
auditors all run this same code; the log holds only entries that passed it.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

from audit.log.merkle import CompactRange
from audit.protocol.ballot import BallotContext
from audit.protocol.elgamal import Ciphertext
from audit.protocol.group import Element, b64, unb64
from audit.protocol.refused import Refused
from audit.protocol.threshold import Ceremony
from audit.protocol.transcript import Context
from audit.record import mixing, notices, outcome, rekeying, setup, voting
from audit.record.admission import check_signatures, rule_for
from audit.record.checker import BallotChecker
from audit.record.entries import Entry
from audit.record.manifest import Manifest, check_pinned, parse_manifest
from audit.record.mixes import MixAssembly
from audit.record.opening import Span
from audit.record.rolls import Roll, RollAssembly
from audit.record.seen import MemorySeen, Seen
from audit.record.totals import Sums

Admit = Callable[["Election", Entry, Seen], None]
Apply = Callable[["Election", Entry], None]


def nothing_more(election: Election, entry: Entry, seen: Seen) -> None:
    """For kinds of which the table says all."""


def no_change(election: Election, entry: Entry) -> None:
    """For kinds that change nothing but the phase."""


CEREMONY = (setup.admit_ceremony, setup.apply_ceremony)
KINDS: dict[str, tuple[Admit, Apply]] = {
    "manifest": (nothing_more, setup.apply_manifest),
    "trustee-commit": CEREMONY,
    "trustee-deal": CEREMONY,
    "trustee-confirm": CEREMONY,
    "trustee-complaint": CEREMONY,
    "trustee-answer": CEREMONY,
    "roll": (setup.admit_roll, setup.apply_roll),
    "roll-signed": (setup.admit_roll_signed, setup.apply_roll_signed),
    "mix": (mixing.admit_mix, mixing.apply_mix),
    "open": (setup.admit_open, no_change),
    "ballot": (voting.admit_ballot, voting.apply_ballot),
    "refusal": (voting.admit_refusal, voting.apply_refusal),
    "closing": (voting.admit_closing, no_change),
    "reconcile": (voting.admit_reconcile, voting.apply_reconcile),
    "close": (voting.admit_close, voting.apply_close),
    "decrypt": (outcome.admit_decrypt, outcome.apply_decrypt),
    "certify": (outcome.admit_certify, outcome.apply_certify),
    "notice": (notices.admit_notice, notices.apply_notice),
    "rekey": (rekeying.admit_rekey, rekeying.apply_rekey),
}


NEED_THE_WHOLE_LOG = frozenset({"ballot", "refusal", "close", "decrypt", "certify"})
"""Kinds whose admission asks the index over the log; of all others, a repetition shows in the state itself."""


SAY_WHOSE_SIGNATURE = frozenset({"manifest", "rekey"})
"""Kinds that name keys of the log."""


class Election:
    """The state after `size` entries. With `manifest_hash` (32 bytes) given, no other manifest is admitted. `executor`
    checks the proofs of mixes; without one, they are checked on one core.
    """

    def __init__(self, manifest_hash: bytes | None = None, executor: Executor | None = None) -> None:
        self.pinned = manifest_hash
        self.executor = executor
        self.phase = "none"
        self.head = CompactRange()
        self.settled = 0  # the size of the log with the last entry that officials must have seen before they act
        self._manifest: Manifest | None = None
        self._ceremony: Ceremony | None = None
        self._checker: BallotChecker | None = None
        self.assemblies: dict[str, RollAssembly] = {}
        self.ahead: tuple[bytes, RollAssembly, Roll | None] | None = None
        self.rolls: dict[str, Roll] = {}
        self.roll_signatures: set[tuple[str, str]] = set()
        self.mixings: dict[str, MixAssembly] = {}
        self.mixed: mixing.Mixed | None = None
        self.spans: dict[str, Span] = {}  # of the last mix of each class, whole or begun
        self.ballots = 0
        self.refusals = 0
        self.reconciled: dict[str, tuple[int, bytes]] = {}
        self.overruled: tuple[str, ...] = ()
        self.closing_root: bytes | None = None
        self.sums: Sums | None = None
        self.shares: dict[str, outcome.Shares] = {}
        self.totals: tuple[frozenset[str], dict[outcome.Slot, int]] | None = None
        self.result: dict[str, Any] | None = None
        self.notices: list[notices.Notice] = []

    @property
    def size(self) -> int:
        return self.head.size

    @property
    def manifest(self) -> Manifest:
        if self._manifest is None:
            raise Refused("wrong-phase", "the log has no manifest yet")
        return self._manifest

    @property
    def ceremony(self) -> Ceremony:
        if self._ceremony is None:
            raise Refused("wrong-phase", "the log has no manifest yet")
        return self._ceremony

    @property
    def Y(self) -> Element:
        """The trustees' joint key; refuses before their ceremony is complete."""
        if not self.ceremony.complete:
            waiting = "; ".join(self.ceremony.waiting_for())
            raise Refused("not-complete", f"the trustees' key ceremony is not complete: waiting for {waiting}")
        return self.ceremony.Y

    @property
    def context(self) -> Context:
        """What every transcript begins with, as far as it exists."""
        return Context(self.manifest.hash, self.Y)

    def ballot_context(self, share_class: str) -> BallotContext:
        """What a ballot of this class is bound to; refuses before its roll is anonymous."""
        roll = self.anonymous_roll(share_class)
        forms = tuple(contest.form for contest in self.manifest.contests_of(share_class))
        return BallotContext(
            self.manifest.hash, self.manifest.origin, self.Y, share_class, roll.hash, roll.generator, forms
        )

    def roll(self, share_class: str) -> Roll:
        """The roll as it is now: complete, and mixed by those that have. Refused `not-complete`, `unknown-roll`."""
        if share_class not in self.rolls:
            known = any(c.id == share_class for c in self.manifest.classes)
            reason = ("not-complete", "is not complete") if known else ("unknown-roll", "is not in the manifest")
            raise Refused(reason[0], f"the roll {share_class[:60]} {reason[1]}", "roll")
        return self.rolls[share_class]

    def anonymous_roll(self, share_class: str) -> Roll:
        """The roll that is voted by: every mixer of the manifest has mixed it. Refused as `roll`, or `not-complete`."""
        roll = self.roll(share_class)
        due = mixing.next_mixer(self.manifest, roll)
        if due is not None:
            raise Refused("not-complete", f"{due} has not mixed the roll of {share_class}", "roll")
        return roll

    def weight(self, share_class: str, pseudonym: bytes) -> Ciphertext:
        """The encrypted weight of a row; refuses a pseudonym (32 bytes) that is not on the anonymous roll."""
        return self.anonymous_roll(share_class).weight(pseudonym)

    def checker(self) -> BallotChecker:
        """The stateless half for ballots, to be sent to worker processes. Refused `not-complete` before every roll is
        anonymous.
        """
        if self._checker is None:
            contexts = {c.id: self.ballot_context(c.id) for c in self.manifest.classes}
            self._checker = BallotChecker(self.manifest.origin, self.manifest.hash, self.manifest.intakes, contexts)
        return self._checker

    def rekey(self, manifest: Manifest) -> None:
        """The same manifest with the keys that count from now on."""
        self._manifest, self._checker = manifest, None

    def check(self, entry: Entry) -> None:
        """The stateless half: this entry is of this election, bears the lines its rule demands, and its proofs hold."""
        self.check_signed(entry)
        self.check_proofs(entry)

    def check_proofs(self, entry: Entry) -> None:
        """What `check` looks at beyond `check_signed`."""
        if entry.kind == "ballot":
            self.checker().check_ballot(entry, self.weight(entry.fields["roll"], entry.fields["pseudonym"]))
        if entry.kind == "roll":
            setup.check_rows(self.manifest, self.Y, entry)

    def check_signed(self, entry: Entry) -> None:
        """The part of `check` without proofs: the entry is of this election and bears the lines its rule demands, and a
        refusal is of what such an intake could have passed on.
        """
        if entry.kind == "manifest":
            check_signatures(parse_manifest(entry), entry)
            return
        check_binding(self.manifest.origin, self.manifest.hash, entry)
        check_signatures(self.manifest, entry)
        if entry.kind == "refusal":
            voting.check_refusal(self.manifest, entry)

    def admit(self, entry: Entry, seen: Seen) -> None:
        """The stateful half: this entry, already checked, may be the next in the log, and if a mix is complete with it,
        its proof holds."""
        self.admit_unproven(entry, seen)
        if entry.kind == "mix":
            mixing.check_mix(self, entry)

    def admit_unproven(self, entry: Entry, seen: Seen) -> None:
        """`admit` but for the proof of a whole mix, which takes minutes for a large roll: for who only spares others
        what they would refuse. Tally, which records, uses `admit`.
        """
        rule_for(self.phase, entry.kind)
        if entry.kind == "manifest":
            self.admit_manifest(entry)
            return
        if seen.recorded(entry.identity) is not None:
            raise Refused("duplicate", "this entry is in the log already")
        KINDS[entry.kind][0](self, entry, seen)

    def admit_manifest(self, entry: Entry) -> None:
        check_pinned(parse_manifest(entry), self.pinned)

    def apply(self, entry: Entry, leaf: bytes | None = None) -> None:
        """Takes in an entry that was checked and admitted; `leaf`, its 32-byte leaf hash, if the caller has it."""
        then = rule_for(self.phase, entry.kind).then
        self.head.append(leaf or entry.leaf)
        KINDS[entry.kind][1](self, entry)
        if entry.kind not in voting.PASSING:
            self.settled = self.size
        self.phase = then or self.phase

    def take(self, entry: Entry, seen: Seen) -> None:
        """Checks everything, admits and applies: for who believes nobody. `seen` is the caller's to fill afterwards."""
        self.check(entry)
        self.admit(entry, seen)
        self.apply(entry)

    def apply_recorded(self, entry: Entry, own: bool = False) -> None:
        """Takes in the next entry of a witnessed log: for readers that believe whoever runs the log in what it has
        checked and anybody can check after it. Custodians apply none of these rules.

        The manifest, the ceremony with its proofs, phases and every signature line but a ballot's are checked as
        always, so that nobody can be shown another election or key. Believed are the proofs of rolls, mixes and
        ballots, that nothing stands there twice, the reconciliation, the shares and the result; who acts on those
        (mixers, trustees, officials, auditors) uses `take`.

        `own`: for the log itself, that holds its own signature over a tree with this entry, and checks it afterwards.
        What it signed it had checked, so lines are believed, too, but for those that say whose signature that is."""
        if entry.kind == "ballot" or (own and entry.kind not in SAY_WHOSE_SIGNATURE):
            check_binding(self.manifest.origin, self.manifest.hash, entry)
        else:
            self.check_signed(entry)
        rule_for(self.phase, entry.kind)
        if entry.kind == "manifest":
            self.admit_manifest(entry)
        elif entry.kind not in NEED_THE_WHOLE_LOG:
            KINDS[entry.kind][0](self, entry, MemorySeen())
        self.apply(entry)


def check_binding(origin: str, manifest_hash: bytes, entry: Entry) -> None:
    """Refuses an entry of another election, or of a rehearsal with the same origin."""
    if entry.origin != origin:
        text = f"this entry is for {entry.origin[:120]}, this election is {origin}"
        raise Refused("another-election", text, "origin")
    if entry.kind != "manifest" and unb64(entry.body["manifest"], 32) != manifest_hash:
        text = f"this entry names another manifest; this election's is {b64(manifest_hash)}"
        raise Refused("another-election", text, "manifest")
