"""The trustees' key ceremony, as everybody sees it in the log.

n trustees make a joint key Y of which any t of them hold enough to decrypt, and fewer hold nothing (Pedersen's
distributed key generation with Feldman's commitments). Each is a dealer of a polynomial f_i of its own; trustee j's
share x_j is the sum of all f_i(j), and x = sum f_i(0) is never anywhere. Three rounds, each message an entry in the
log: commit (the hash of the commitments, so that nobody chooses after seeing the others), deal (the commitments, and
one sealed share for each other participant), confirm (the trustee's shares are right and Y is this). Instead of
confirming, a trustee complains about a dealer; the dealer answers by publishing the disputed share, and either that
matches its commitments and the dealer is cleared, or the dealer is out and the others start again with new polynomials.
`Ceremony` is a value: `step` returns the next one or refuses. Secrets never come here; what a trustee itself computes
stands in trustee.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from audit.protocol.group import Element, G, sum_elements
from audit.protocol.polynomial import evaluate_committed
from audit.protocol.refused import Refused, TrusteeFault
from audit.protocol.sigma import verify_schnorr
from audit.protocol.transcript import Context, Transcript, labelled_hash
from audit.protocol.trustee_messages import FIELDS, Answer, Body, Commit, Complaint, Confirm, Deal, binding


@dataclass(frozen=True)
class Verdict:
    """What a published share showed. It clears the dealer or puts it out; it never shows that the complaint was made in
    bad faith."""

    attempt: int
    dealer: str
    receiver: str
    share: int
    cleared: bool

    def __str__(self) -> str:
        if self.cleared:
            return (
                f"{self.dealer} is cleared: the share it published for {self.receiver} matches its commitments; "
                f"this does not show what it had sealed before, nor that {self.receiver} complained in bad faith"
            )
        return (
            f"{self.dealer} is out: the share it published for {self.receiver} in attempt {self.attempt} does not "
            "match its own commitments; this does not show whether it meant harm or lost its secrets"
        )


@dataclass(frozen=True)
class Ceremony:
    """The state of the ceremony after some entries. A value: cheap to copy, compare and send to another process."""

    manifest: bytes
    trustees: tuple[str, ...]
    t: int
    attempt: int = 1
    commits: Mapping[str, Commit] = field(default_factory=dict)
    deals: Mapping[str, Deal] = field(default_factory=dict)
    complaints: tuple[tuple[str, str], ...] = ()
    confirmed: frozenset[str] = frozenset()
    verdicts: tuple[Verdict, ...] = ()
    spent: frozenset[bytes] = frozenset()
    shared: tuple[Element, ...] = ()

    @classmethod
    def start(cls, manifest: bytes, trustees: tuple[str, ...], t: int) -> Ceremony:
        """The ceremony before its first message: the manifest's hash (32 bytes), its trustees in its order, its
        threshold t.

        Refused `wrong-length`, `duplicate` for a trustee named twice, `out-of-range` unless 1 <= t <= n.
        """
        if len(manifest) != 32:
            raise Refused("wrong-length", "a ceremony is bound to the 32 bytes of its manifest's hash")
        if len(set(trustees)) != len(trustees):
            raise Refused("duplicate", "a trustee is named twice", "trustees")
        if not 1 <= t <= len(trustees):
            raise Refused(
                "out-of-range", f"the threshold must be from 1 to the number of trustees, {len(trustees)}", "t"
            )
        return cls(manifest, trustees, t)

    def step(self, kind: str, trustee: str, body: Body) -> Ceremony:
        """The ceremony after this message, whose signature by `trustee` the caller has checked; this one is left as it
        was.

        kind: trustee-commit, -deal, -confirm, -complaint or -answer; body: its parsed JSON. A message that does not
        belong here is Refused with the trustee's name in the detail; one whose contents are wrong is a TrusteeFault, a
        Refused that names the trustee.
        """
        if kind not in FIELDS:
            raise Refused("unknown-kind", "no message of the ceremony has this kind")
        self._expect_participant(trustee)
        with blaming(trustee):
            manifest, attempt, signer = binding(kind, body)
            if signer != trustee:
                raise Refused("wrong-signers", "the message names another trustee as the one who signs it", "signer")
        self._expect_present(trustee, manifest, attempt)
        if trustee in self._senders(kind):
            raise Refused("duplicate", f"{trustee} has sent its {kind} of attempt {self.attempt} already")
        rule = RULES.get((self.phase, kind))
        if rule is None:
            raise Refused("wrong-phase", f"{trustee}: no {kind} is admitted while {self._now()}")
        with blaming(trustee):
            return rule(self, trustee, body)

    @property
    def faulty(self) -> tuple[str, ...]:
        """The dealers that are out, in the order in which it showed."""
        return tuple(verdict.dealer for verdict in self.verdicts if not verdict.cleared)

    @property
    def participants(self) -> tuple[str, ...]:
        """The trustees that take part in the present attempt, in the manifest's order."""
        return tuple(name for name in self.trustees if name not in self.faulty)

    @property
    def phase(self) -> str:
        """committing, dealing, checking, complete; or failed, when too few trustees are left."""
        n = len(self.participants)
        if n < self.t:
            return "failed"
        if len(self.commits) < n:
            return "committing"
        if len(self.deals) < n:
            return "dealing"
        return "checking" if len(self.confirmed) < n else "complete"

    @property
    def complete(self) -> bool:
        """Whether every participant has confirmed Y. Nobody's complaint is open then: who complains confirms after the
        answer."""
        return self.phase == "complete"

    @property
    def Y(self) -> Element:
        """The joint key, x G. Refused `not-complete` before every participant has confirmed it."""
        self._expect_complete()
        return self.joint_key

    @property
    def Y_j(self) -> Mapping[str, Element]:
        """The public key x_j G of each participant's share, by name. Refused `not-complete` as for Y."""
        self._expect_complete()
        return {name: self.share_key(name) for name in self.participants}

    @property
    def joint_key(self) -> Element:
        """sum A_{i,0}, as soon as all have dealt and before anybody has confirmed it; only for confirming it."""
        if not self.shared:
            raise Refused("not-complete", f"there is no joint key while {self._now()}")
        return self.shared[0]

    def share_key(self, name: str) -> Element:
        """Y_j = x_j G = sum_k j^k (sum_i A_{i,k}) for the trustee of this name, once all have dealt."""
        return evaluate_committed(self.shared, self.index(name))

    def index(self, name: str) -> int:
        """j, the trustee's place in the manifest counted from 1: the same in every attempt."""
        return self.trustees.index(name) + 1

    def published(self, dealer: str, receiver: str) -> int | None:
        """The share f_i(j) that the dealer published in this attempt in answer to the receiver's complaint, None if
        none."""
        for verdict in self.verdicts:
            if (verdict.attempt, verdict.dealer, verdict.receiver) == (self.attempt, dealer, receiver):
                return verdict.share
        return None

    def waiting_for(self) -> list[str]:
        """Who has to do what before the ceremony goes on, one sentence each; empty once it is complete."""
        if self.phase == "failed":
            return [
                f"nobody: {self._now()}, so this election cannot have a key; a new manifest must name other trustees"
            ]
        if self.phase == "committing":
            return [
                f"{name} to commit (attempt {self.attempt})" for name in self.participants if name not in self.commits
            ]
        if self.phase == "dealing":
            return [f"{name} to deal (attempt {self.attempt})" for name in self.participants if name not in self.deals]
        accusing = {receiver for receiver, _ in self.complaints}
        answers = [f"{dealer} to answer the complaint of {receiver}" for receiver, dealer in self.complaints]
        unsure = [name for name in self.participants if name not in self.confirmed | accusing]
        return answers + [f"{name} to confirm the key, or to complain (attempt {self.attempt})" for name in unsure]

    def _now(self) -> str:
        remain = f"only {len(self.participants)} of the {self.t} trustees needed are left"
        return {"failed": remain, "complete": "the ceremony is complete"}.get(
            self.phase, f"the ceremony is {self.phase} (attempt {self.attempt})"
        )

    def _senders(self, kind: str) -> frozenset[str]:
        sent = {"trustee-commit": self.commits, "trustee-deal": self.deals, "trustee-confirm": self.confirmed}
        return frozenset(sent.get(kind, ()))

    def _expect_participant(self, trustee: str) -> None:
        if trustee not in self.trustees:
            raise Refused("wrong-signers", f"{trustee} is not a trustee of this election")
        if trustee in self.faulty:
            raise Refused("wrong-signers", f"{trustee} was put out of the ceremony by its answer to a complaint")

    def _expect_present(self, trustee: str, manifest: bytes, attempt: int) -> None:
        if manifest != self.manifest:
            raise Refused("another-election", f"{trustee}: this message belongs to another manifest", "manifest")
        if attempt != self.attempt:
            raise Refused(
                "wrong-attempt",
                f"{trustee}: this message belongs to attempt {attempt}, the ceremony is in attempt {self.attempt}; "
                "this does not show that the trustee sent it late, anybody can replay it",
                "attempt",
            )

    def _expect_complete(self) -> None:
        if not self.complete:
            raise Refused("not-complete", f"there is no joint key while {self._now()}")


def commitment_hash(manifest: bytes, attempt: int, dealer: str, commitments: tuple[Element, ...]) -> bytes:
    """The 32 bytes that a dealer logs in round 1 and opens in round 2."""
    return labelled_hash("trustee-commit", manifest, attempt, dealer, *(A.raw for A in commitments))


def deal_transcript(manifest: bytes, attempt: int, dealer: str, commitments: tuple[Element, ...]) -> Transcript:
    """What a dealer's Schnorr proof for A_0 is bound to: no other election, attempt, dealer or polynomial."""
    transcript = Transcript("trustee-deal", Context(manifest))
    transcript.absorb("attempt", attempt)
    transcript.absorb("dealer", dealer)
    for A in commitments:
        transcript.absorb("commitment", A)
    return transcript


@contextmanager
def blaming(trustee: str) -> Iterator[None]:
    """Whatever is refused inside becomes the fault of this trustee."""
    try:
        yield
    except TrusteeFault:
        raise
    except Refused as refusal:
        raise TrusteeFault(trustee, refusal.reason, f"{trustee}: {refusal.detail}", refusal.field) from None


def _commit(ceremony: Ceremony, trustee: str, body: Body) -> Ceremony:
    commit = Commit.from_json(body)
    if commit.key in ceremony.spent or commit.key in {other.key for other in ceremony.commits.values()}:
        raise Refused(
            "duplicate",
            "this key was in the log before; each attempt needs a key of the trustee's own, made for it",
            "key",
        )
    return replace(ceremony, commits={**ceremony.commits, trustee: commit})


def _deal(ceremony: Ceremony, trustee: str, body: Body) -> Ceremony:
    deal = Deal.from_json(body, ceremony.t, [name for name in ceremony.participants if name != trustee])
    _expect_opening(ceremony, trustee, deal)
    try:
        transcript = deal_transcript(ceremony.manifest, ceremony.attempt, trustee, deal.commitments)
        verify_schnorr(transcript, G, deal.commitments[0], deal.proof)
    except Refused as refusal:
        raise refusal.at("proof") from None
    dealt = replace(ceremony, deals={**ceremony.deals, trustee: deal})
    return dealt if dealt.phase == "dealing" else _with_keys(dealt)


def _confirm(ceremony: Ceremony, trustee: str, body: Body) -> Ceremony:
    if any(receiver == trustee for receiver, _ in ceremony.complaints):
        raise Refused("open-complaint", "who has complained can confirm only after the answer")
    confirmed = Confirm.from_json(body).Y
    if confirmed != ceremony.joint_key:
        raise Refused(
            "wrong-key",
            "the key confirmed is not the sum of the dealers' A_0 in the log; "
            "this does not show whether the trustee's software or its view of the log is wrong",
            "key",
        )
    return replace(ceremony, confirmed=ceremony.confirmed | {trustee})


def _complain(ceremony: Ceremony, trustee: str, body: Body) -> Ceremony:
    dealer = Complaint.from_json(body).dealer
    if dealer == trustee or dealer not in ceremony.participants:
        raise Refused("wrong-dealer", "a complaint names another participant of this attempt", "dealer")
    if trustee in ceremony.confirmed:
        raise Refused("wrong-phase", "who has confirmed the key has found all shares right")
    if (trustee, dealer) in ceremony.complaints or ceremony.published(dealer, trustee) is not None:
        raise Refused("duplicate", f"it has complained about {dealer} in this attempt already", "dealer")
    return replace(ceremony, complaints=(*ceremony.complaints, (trustee, dealer)))


def _answer(ceremony: Ceremony, trustee: str, body: Body) -> Ceremony:
    """Publishing f_i(j) is safe: if the dealer is honest, then who complained about it is not, and knew it."""
    answer = Answer.from_json(body)
    complaint = (answer.receiver, trustee)
    if complaint not in ceremony.complaints:
        raise Refused("no-complaint", "there is no open complaint by this receiver about this dealer", "receiver")
    cleared = answer.share * G == evaluate_committed(
        ceremony.deals[trustee].commitments, ceremony.index(answer.receiver)
    )
    judged = replace(
        ceremony,
        complaints=tuple(other for other in ceremony.complaints if other != complaint),
        verdicts=(*ceremony.verdicts, Verdict(ceremony.attempt, trustee, answer.receiver, answer.share, cleared)),
    )
    return judged if cleared else _restart(judged)


def _restart(ceremony: Ceremony) -> Ceremony:
    """The next attempt, without the dealer just put out; no key and no polynomial of this one may come again."""
    keys = {commit.key for commit in ceremony.commits.values()}
    constants = {deal.commitments[0].raw for deal in ceremony.deals.values()}
    return replace(
        Ceremony(ceremony.manifest, ceremony.trustees, ceremony.t, ceremony.attempt + 1),
        verdicts=ceremony.verdicts,
        spent=ceremony.spent | keys | constants,
    )


def _expect_opening(ceremony: Ceremony, trustee: str, deal: Deal) -> None:
    opened = commitment_hash(ceremony.manifest, ceremony.attempt, trustee, deal.commitments)
    if opened != ceremony.commits[trustee].hash:
        raise Refused(
            "bad-commitment",
            "these commitments do not open the hash it logged before; "
            "this does not show bad faith, a lost secret looks the same",
            "commitments",
        )
    if deal.commitments[0].raw in ceremony.spent:
        raise Refused(
            "duplicate", "A_0 was dealt in an earlier attempt; a restart needs a new polynomial", "commitments[0]"
        )


def _with_keys(ceremony: Ceremony) -> Ceremony:
    """Adds sum_i A_{i,k} for each k, from which Y and every Y_j follow; none of these may be the identity.

    One honest dealer, whose commitments nobody knew when committing, makes that impossible but for chance.
    """
    columns = zip(*(ceremony.deals[name].commitments for name in ceremony.participants), strict=True)
    keyed = replace(ceremony, shared=tuple(sum_elements(column) for column in columns))
    for name, key in (
        ("the joint key", keyed.joint_key),
        *((f"the key of {j}", keyed.share_key(j)) for j in keyed.participants),
    ):
        if key.is_identity:
            raise Refused(
                "identity",
                f"with this deal {name} is the identity; only all dealers together can bring that about",
                "commitments",
            )
    return keyed


RULES: dict[tuple[str, str], Callable[[Ceremony, str, Body], Ceremony]] = {
    ("committing", "trustee-commit"): _commit,
    ("dealing", "trustee-deal"): _deal,
    ("checking", "trustee-confirm"): _confirm,
    ("checking", "trustee-complaint"): _complain,
    ("checking", "trustee-answer"): _answer,
}
