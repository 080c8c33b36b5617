"""The state of an election as a pure function of its log.

Checking an entry has two halves. `check` looks at the entry alone: origin, manifest, signature lines, proofs; it may run anywhere,
in parallel. `admit` asks whether the entry may follow what the log holds: the phase, what its kind requires, duplicates and
revisions. Both raise `Refused`. `apply` then takes the entry in. Tally, intake, trustees and auditors all run this same code; the
log holds only entries that passed it.
"""

from __future__ import annotations

from collections.abc import Callable

from audit.log.merkle import CompactRange
from audit.protocol.ballot import BallotContext
from audit.protocol.elgamal import Ciphertext
from audit.protocol.group import Element, b64, unb64
from audit.protocol.refused import Refused
from audit.protocol.threshold import Ceremony
from audit.protocol.transcript import Context
from audit.record import outcome, setup, voting
from audit.record.admission import check_signatures, rule_for
from audit.record.checker import BallotChecker
from audit.record.entries import Entry
from audit.record.manifest import Manifest, parse_manifest
from audit.record.rolls import Roll, RollAssembly
from audit.record.seen import Seen
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
    "open": (setup.admit_open, no_change),
    "ballot": (voting.admit_ballot, voting.apply_ballot),
    "refusal": (voting.admit_refusal, voting.apply_refusal),
    "closing": (nothing_more, no_change),
    "reconcile": (voting.admit_reconcile, voting.apply_reconcile),
    "close": (voting.admit_close, voting.apply_close),
    "decrypt": (outcome.admit_decrypt, outcome.apply_decrypt),
    "certify": (outcome.admit_certify, outcome.apply_certify),
}


class Election:
    """The state after `size` entries. With `manifest_hash` (32 bytes) given, no other manifest is admitted."""

    def __init__(self, manifest_hash: bytes | None = None) -> None:
        self.pinned = manifest_hash
        self.phase = "none"
        self.head = CompactRange()
        self._manifest: Manifest | None = None
        self._ceremony: Ceremony | None = None
        self.assemblies: dict[str, RollAssembly] = {}
        self.ahead: tuple[bytes, RollAssembly, Roll | None] | None = None
        self.rolls: dict[str, Roll] = {}
        self.roll_signatures: set[tuple[str, str]] = set()
        self.ballots = 0
        self.refusals = 0
        self.reconciled: dict[str, tuple[int, bytes]] = {}
        self.overruled: tuple[str, ...] = ()
        self.closing_root: bytes | None = None
        self.sums: Sums | None = None
        self.shares: dict[str, outcome.Shares] = {}
        self.result: dict[str, object] | None = None

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
            raise Refused("not-complete", f"the trustees' key ceremony is not complete: {self.ceremony.waiting_for()}")
        return self.ceremony.Y

    @property
    def context(self) -> Context:
        """What every transcript begins with, as far as it exists."""
        return Context(self.manifest.hash, self.Y)

    def ballot_context(self, share_class: str) -> BallotContext:
        """What a ballot of this class is bound to; refuses before its roll is complete."""
        roll = self.roll(share_class)
        forms = tuple(contest.form for contest in self.manifest.contests_of(share_class))
        return BallotContext(
            self.manifest.hash, self.manifest.origin, self.Y, share_class, roll.hash, roll.generator, forms
        )

    def roll(self, share_class: str) -> Roll:
        if share_class not in self.rolls:
            known = any(c.id == share_class for c in self.manifest.classes)
            reason = ("not-complete", "is not complete") if known else ("unknown-roll", "is not in the manifest")
            raise Refused(reason[0], f"the roll {share_class[:60]} {reason[1]}", "roll")
        return self.rolls[share_class]

    def weight(self, share_class: str, pseudonym: bytes) -> Ciphertext:
        """The encrypted weight of a row; refuses a pseudonym (32 bytes) that is not on the roll."""
        return self.roll(share_class).weight(pseudonym)

    def checker(self) -> BallotChecker:
        """The stateless half for ballots, to be sent to worker processes."""
        contexts = {share_class: self.ballot_context(share_class) for share_class in self.rolls}
        return BallotChecker(self.manifest.origin, self.manifest.hash, self.manifest.intakes, contexts)

    def check(self, entry: Entry) -> None:
        """The stateless half: this entry is of this election, bears the signatures its rule demands, and its proofs hold."""
        if entry.kind == "manifest":
            check_signatures(parse_manifest(entry), entry)
            return
        check_binding(self.manifest.origin, self.manifest.hash, entry)
        if entry.kind == "ballot":
            self.checker().check(entry, self.weight(entry.fields["roll"], entry.fields["pseudonym"]))
            return
        check_signatures(self.manifest, entry)
        if entry.kind == "roll":
            setup.check_rows(self.manifest, self.Y, entry)

    def admit(self, entry: Entry, seen: Seen) -> None:
        """The stateful half: this entry, already checked, may be the next in the log."""
        rule_for(self.phase, entry.kind)
        if entry.kind == "manifest":
            self.admit_manifest(entry)
            return
        if seen.recorded(entry.identity) is not None:
            raise Refused("duplicate", "this entry is in the log already")
        KINDS[entry.kind][0](self, entry, seen)

    def admit_manifest(self, entry: Entry) -> None:
        manifest = parse_manifest(entry)
        if self.pinned is not None and manifest.hash != self.pinned:
            raise Refused("another-election", f"this manifest has the hash {b64(manifest.hash)}, not {b64(self.pinned)}")

    def apply(self, entry: Entry) -> None:
        """Takes in an entry that was checked and admitted."""
        then = rule_for(self.phase, entry.kind).then
        self.head.append(entry.leaf)
        KINDS[entry.kind][1](self, entry)
        self.phase = then or self.phase


def check_binding(origin: str, manifest_hash: bytes, entry: Entry) -> None:
    """Refuses an entry of another election, or of a rehearsal with the same origin."""
    if entry.origin != origin:
        raise Refused("another-election", f"this entry is for {entry.origin[:120]}, this election is {origin}", "origin")
    if entry.kind != "manifest" and unb64(entry.body["manifest"], 32) != manifest_hash:
        raise Refused("another-election", f"this entry names another manifest; this election's is {b64(manifest_hash)}", "manifest")
