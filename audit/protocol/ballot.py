"""A ballot: for every contest of its roll the encrypted choices and their proofs; a revision; the pseudonym's
signature.

The voter's secret is s; its pseudonym P = s Ghat stands on the anonymous roll beside the encrypted weight E, which is
no part of the ballot. Every proof is bound to manifest, roll, contest, P, E, Ghat and revision. The signature covers
the text of the entry without itself, kind and origin included; its hash is the ballot's tracker. Checking goes from
cheap to dear: `parse_ballot`, `verify_signature`, `verify_proofs`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from audit.protocol.canonical import canonical
from audit.protocol.contest import ContestForm, ContestVote, Draw, expect_shape, prove_contest, verify_contest
from audit.protocol.elgamal import Ciphertext
from audit.protocol.group import ORDER, Element, b64, element_from, unb64
from audit.protocol.refused import Refused
from audit.protocol.sigma import Schnorr, prove_schnorr, verify_schnorr
from audit.protocol.transcript import Context, Transcript

__all__ = [
    "MAX_REVISION",
    "Ballot",
    "BallotContext",
    "ContestForm",
    "make_ballot",
    "parse_ballot",
    "unsigned_text",
    "verify_proofs",
    "verify_signature",
]

MAX_REVISION = 99
"""A holder may change its mind so many times, and no more: else one alone could fill log, intakes and verification."""

FIELDS = ("contests", "manifest", "pseudonym", "revision", "roll", "signature")


@dataclass(frozen=True)
class BallotContext:
    """What every ballot of one roll is bound to. manifest and roll_hash: 32 bytes; roll: the id of its class;
    generator: Ghat; forms: the contests of this roll, in agenda order."""

    manifest: bytes
    origin: str
    Y: Element
    roll: str
    roll_hash: bytes
    generator: Element
    forms: tuple[ContestForm, ...]


@dataclass(frozen=True)
class Ballot:
    """A well-formed ballot. `votes` has one for each of the context's forms, in their order. Neither the signature nor
    the proofs have been verified."""

    pseudonym: Element
    revision: int
    votes: tuple[ContestVote, ...]
    signature: Schnorr


def parse_ballot(context: BallotContext, body: Any) -> Ballot:
    """The ballot in this JSON. All lists must have the lengths that the context's forms dictate, before anything is
    decoded.

    Refused with the path of the field: `wrong-type`, `unknown-field`, `missing-field`, `another-election`,
    `unknown-roll`, `missing-contest`, `unknown-contest`, `wrong-length`, `out-of-range`, `bad-encoding`, `bad-element`,
    `bad-scalar`, `identity`.
    """
    _expect_fields(body)
    _expect_bound(context, body)
    contests = body["contests"]
    _expect_contests(context, contests)
    for form in context.forms:
        expect_shape(form, contests[form.id], f"contests.{form.id}")
    return Ballot(
        _pseudonym(body["pseudonym"]),
        _revision(body["revision"]),
        tuple(ContestVote.from_json(contests[form.id], f"contests.{form.id}") for form in context.forms),
        Schnorr.from_json(body["signature"], "signature"),
    )


def verify_signature(context: BallotContext, ballot: Ballot, body: Mapping[str, Any]) -> None:
    """Refused `bad-signature` unless who knows s behind the pseudonym signed this very body."""
    transcript = _signature_transcript(context, body)
    try:
        verify_schnorr(transcript, context.generator, ballot.pseudonym, ballot.signature)
    except Refused as refusal:
        raise Refused("bad-signature", f"not signed by this pseudonym: {refusal.detail}", "signature") from None


def verify_proofs(context: BallotContext, ballot: Ballot, weight: Ciphertext) -> None:
    """Refused `bad-proof`, naming the contest, unless each contest holds something allowed of `weight`, the E of P's
    row."""
    for form, vote in zip(context.forms, ballot.votes, strict=True):
        transcript = _contest_transcript(context, ballot.pseudonym, weight, ballot.revision)
        try:
            verify_contest(transcript, form, context.Y, weight, vote)
        except Refused as refusal:
            raise refusal.at(f"contests.{form.id}") from None


def make_ballot(
    context: BallotContext,
    s: int,
    weight: Ciphertext,
    selections: Mapping[str, tuple[int, ...]],
    revision: int,
    draw: Draw,
) -> dict[str, Any]:
    """The body of a ballot. selections: a_1..a_k for each contest's id, all 0 for no vote on it; draw: gives a fresh
    uniform scalar at each call, no two alike. How often it is called does not depend on the selections.

    Refused `missing-contest`, `unknown-contest`, `wrong-length`, `not-allowed` for the selections, `out-of-range` for
    the revision, `identity` if s is 0.
    """
    P = s % ORDER * context.generator
    if P.is_identity:
        raise Refused("identity", "the pseudonym of this secret is the identity", "pseudonym")
    _expect_contests(context, selections)
    contests = {}
    for form in context.forms:
        transcript = _contest_transcript(context, P, weight, _revision(revision))
        try:
            vote = prove_contest(transcript, form, context.Y, weight, selections[form.id], draw)
        except Refused as refusal:
            raise refusal.at(f"contests.{form.id}") from None
        contests[form.id] = vote.to_json()
    body = {
        "contests": contests,
        "manifest": b64(context.manifest),
        "pseudonym": b64(P.raw),
        "revision": revision,
        "roll": context.roll,
    }
    signature = prove_schnorr(_signature_transcript(context, body), context.generator, s, draw())
    return {**body, "signature": signature.to_json()}


def unsigned_text(origin: str, body: Mapping[str, Any]) -> bytes:
    """The text of the ballot's entry without its signature; SHA-256 of it is the tracker."""
    unsigned = {name: value for name, value in body.items() if name != "signature"}
    return f"psephos/v1 ballot\n{origin}\n".encode() + canonical(unsigned) + b"\n"


def _contest_transcript(context: BallotContext, P: Element, E: Ciphertext, revision: int) -> Transcript:
    transcript = Transcript("ballot", Context(context.manifest, context.Y, context.roll_hash))
    transcript.absorb("class", context.roll)
    transcript.absorb("generator", context.generator)
    transcript.absorb("pseudonym", P)
    transcript.absorb("weight", E.raw)
    transcript.absorb("revision", revision)
    return transcript


def _signature_transcript(context: BallotContext, body: Mapping[str, Any]) -> Transcript:
    transcript = Transcript("ballot-signature", Context(context.manifest, context.Y, context.roll_hash))
    transcript.absorb("text", unsigned_text(context.origin, body))
    return transcript


def _expect_fields(body: Any) -> None:
    if type(body) is not dict:
        raise Refused("wrong-type", "expected an object")
    for name in sorted(body):
        if name not in FIELDS:
            raise Refused("unknown-field", "no such field is expected here", name[:60])
    for name in FIELDS:
        if name not in body:
            raise Refused("missing-field", "this field is required", name)
    for name in ("manifest", "pseudonym", "roll"):
        if type(body[name]) is not str:
            raise Refused("wrong-type", "expected a string", name)
    if type(body["contests"]) is not dict:
        raise Refused("wrong-type", "expected an object", "contests")


def _expect_bound(context: BallotContext, body: Mapping[str, Any]) -> None:
    try:
        manifest = unb64(body["manifest"], 32)
    except Refused as refusal:
        raise refusal.at("manifest") from None
    if manifest != context.manifest:
        raise Refused("another-election", "this ballot names another manifest", "manifest")
    if body["roll"] != context.roll:
        raise Refused("unknown-roll", f"this ballot is of another roll, not of {context.roll}", "roll")


def _expect_contests(context: BallotContext, contests: Mapping[str, Any]) -> None:
    """All contests of the roll, always, so that nobody learns which items a voter passed over."""
    ids = {form.id for form in context.forms}
    for name in sorted(contests):
        if name not in ids:
            raise Refused("unknown-contest", "this roll votes on no such contest", f"contests.{name[:60]}")
    for form in context.forms:
        if form.id not in contests:
            raise Refused("missing-contest", "a ballot holds every contest of its roll", f"contests.{form.id}")


def _pseudonym(text: str) -> Element:
    try:
        return element_from(text, identity_ok=False)
    except Refused as refusal:
        raise refusal.at("pseudonym") from None


def _revision(value: Any) -> int:
    if type(value) is not int:
        raise Refused("wrong-type", "expected an integer", "revision")
    if not 0 <= value <= MAX_REVISION:
        raise Refused("out-of-range", f"must be from 0 to {MAX_REVISION}", "revision")
    return value
