"""A trustee's own side of the key ceremony: from its secrets and what the log shows, the bodies of its next entries.

Pure functions. `CeremonySecret` (a polynomial and an X25519 key, for one attempt) is stored before the commit is handed
in; every body but the proof and the sealing is a function of it and of the log, so a trustee that crashes runs the same
step again. When the ceremony is complete, `finish` turns it into a `KeyShare`, which is all that decryption needs; the
polynomial and the ceremony key are then deleted. A trustee answers a complaint about itself only when it stands in the
log, and complains itself when a share does not open or does not match: it cannot show others what it received, so the
dealer has to publish it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from audit.protocol.ceremony import Ceremony, commitment_hash, deal_transcript
from audit.protocol.group import ORDER, Element, G, b64, element_from, parse_scalar, scalar_bytes, scalar_from, unb64
from audit.protocol.polynomial import commit, evaluate, evaluate_committed
from audit.protocol.refused import Refused
from audit.protocol.sigma import prove_schnorr, scalar_at
from audit.protocol.transcript import labelled_hash
from audit.protocol.trustee_messages import Answer, Commit, Complaint, Confirm, Deal, bound, expect_fields, typed

# RFC 9180, base mode: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20Poly1305.
SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)


@dataclass(frozen=True)
class CeremonySecret:
    """What a trustee keeps during one attempt: t coefficients of its polynomial and 32 bytes of X25519 private key."""

    manifest: bytes
    trustee: str
    attempt: int
    coefficients: tuple[int, ...] = field(repr=False)
    key: bytes = field(repr=False)

    def to_json(self) -> dict[str, Any]:
        """For a file that only the trustee can read."""
        return {
            "attempt": self.attempt,
            "coefficients": [b64(scalar_bytes(a)) for a in self.coefficients],
            "key": b64(self.key),
            "manifest": b64(self.manifest),
            "trustee": self.trustee,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> CeremonySecret:
        expect_fields(value, {"attempt", "coefficients", "key", "manifest", "trustee"})
        return cls(
            unb64(typed(value, "manifest", str), 32),
            typed(value, "trustee", str),
            typed(value, "attempt", int),
            tuple(
                scalar_at(text, f"coefficients[{k}]") for k, text in enumerate(typed(value, "coefficients", list))
            ),
            unb64(typed(value, "key", str), 32),
        )


@dataclass(frozen=True)
class KeyShare:
    """What a trustee keeps after the ceremony: x_j, its index j, and the joint key that it belongs to."""

    manifest: bytes
    trustee: str
    j: int
    Y: Element
    x_j: int = field(repr=False)

    def to_json(self) -> dict[str, Any]:
        """For a file that only the trustee can read."""
        return {
            "j": self.j,
            "key": b64(self.Y.raw),
            "manifest": b64(self.manifest),
            "share": b64(scalar_bytes(self.x_j)),
            "trustee": self.trustee,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> KeyShare:
        expect_fields(value, {"j", "key", "manifest", "share", "trustee"})
        return cls(
            unb64(typed(value, "manifest", str), 32),
            typed(value, "trustee", str),
            typed(value, "j", int),
            element_from(typed(value, "key", str), identity_ok=False),
            scalar_from(typed(value, "share", str)),
        )


def new_secret(ceremony: Ceremony, trustee: str, coefficients: Sequence[int], key: bytes) -> CeremonySecret:
    """The secret for the present attempt, from t scalars and 32 bytes drawn for it alone.

    Refused `wrong-signers` for who takes no part, `wrong-length` for another number of scalars, `identity` if the first
    is 0.
    """
    if trustee not in ceremony.participants:
        raise Refused("wrong-signers", f"{trustee} takes no part in attempt {ceremony.attempt}")
    if len(coefficients) != ceremony.t or len(key) != 32:
        raise Refused("wrong-length", f"a dealer draws {ceremony.t} scalars and 32 bytes of key")
    if coefficients[0] % ORDER == 0:
        raise Refused("identity", "the constant term of a polynomial must not be 0")
    return CeremonySecret(ceremony.manifest, trustee, ceremony.attempt, tuple(a % ORDER for a in coefficients), key)


def make_commit(secret: CeremonySecret) -> dict[str, Any]:
    """The body of trustee-commit: always the same for the same secret."""
    return bound(secret.manifest, secret.attempt, secret.trustee, _commit(secret))


def make_deal(ceremony: Ceremony, secret: CeremonySecret, w: int) -> dict[str, Any]:
    """The body of trustee-deal; w is a fresh scalar for the proof of a_0. Needs everybody's commit (`not-complete`).

    `cryptography` draws the ephemeral key of each sealed share itself: the one randomness here that is no argument.
    """
    _expect_own(ceremony, secret)
    if ceremony.phase == "committing":
        raise Refused("not-complete", "; ".join(ceremony.waiting_for()))
    commitments = commit(secret.coefficients)
    transcript = deal_transcript(secret.manifest, secret.attempt, secret.trustee, commitments)
    proof = prove_schnorr(transcript, G, secret.coefficients[0], w)
    shares = {name: _seal(ceremony, secret, name) for name in ceremony.participants if name != secret.trustee}
    return bound(secret.manifest, secret.attempt, secret.trustee, Deal(commitments, proof, shares))


def check_deals(ceremony: Ceremony, secret: CeremonySecret) -> list[str]:
    """The dealers to complain about: their share for this trustee does not open, is no scalar, or is not f_i(j) of
    their commitments.

    That shows them wrong to this trustee alone. A share published in answer to its complaint takes the sealed one's
    place.
    """
    _expect_own(ceremony, secret)
    _expect_dealt(ceremony)
    return [dealer for dealer in ceremony.participants if _received(ceremony, secret, dealer) is None]


def make_confirm(ceremony: Ceremony, secret: CeremonySecret) -> dict[str, Any]:
    """The body of trustee-confirm. Refused `trustee-fault` while `check_deals` names a dealer: then complain."""
    wrong = check_deals(ceremony, secret)
    if wrong:
        raise Refused("trustee-fault", f"the share from {', '.join(wrong)} is wrong: complain instead of confirming")
    return bound(secret.manifest, secret.attempt, secret.trustee, Confirm(ceremony.joint_key))


def make_complaint(ceremony: Ceremony, secret: CeremonySecret, dealer: str) -> dict[str, Any]:
    """The body of trustee-complaint. Refused `wrong-dealer` if this dealer's share is right: complaining would publish
    it."""
    if dealer not in check_deals(ceremony, secret):
        raise Refused("wrong-dealer", f"the share from {dealer} is right")
    return bound(secret.manifest, secret.attempt, secret.trustee, Complaint(dealer))


def make_answer(ceremony: Ceremony, secret: CeremonySecret, receiver: str) -> dict[str, Any]:
    """The body of trustee-answer: the share f_i(j) of a receiver whose complaint is in the log (`no-complaint`
    otherwise)."""
    _expect_own(ceremony, secret)
    if (receiver, secret.trustee) not in ceremony.complaints:
        raise Refused(
            "no-complaint", f"{receiver} has no open complaint about {secret.trustee}: its share stays secret"
        )
    share = evaluate(secret.coefficients, ceremony.index(receiver))
    return bound(secret.manifest, secret.attempt, secret.trustee, Answer(receiver, share))


def next_messages(ceremony: Ceremony, secret: CeremonySecret, w: int) -> list[tuple[str, dict[str, Any]]]:
    """(kind, body) of all that this trustee has to hand in now; empty while it waits, or when all is done."""
    me = secret.trustee
    _expect_own(ceremony, secret)
    if ceremony.phase == "committing":
        return [] if me in ceremony.commits else [("trustee-commit", make_commit(secret))]
    if ceremony.phase == "dealing":
        return [] if me in ceremony.deals else [("trustee-deal", make_deal(ceremony, secret, w))]
    answers = [
        ("trustee-answer", make_answer(ceremony, secret, receiver))
        for receiver, dealer in ceremony.complaints
        if dealer == me
    ]
    return answers if me in ceremony.confirmed else answers + _judge(ceremony, secret)


def finish(ceremony: Ceremony, secret: CeremonySecret) -> KeyShare:
    """x_j = sum of all f_i(j), once every participant has confirmed (`not-complete` before). The secret is to be
    deleted then.

    Refused `trustee-fault` if x_j G is not the Y_j that the log shows; that does not show whose secret or log is wrong.
    """
    _expect_own(ceremony, secret)
    Y, Y_j = ceremony.Y, ceremony.Y_j[secret.trustee]
    received = [_received(ceremony, secret, dealer) for dealer in ceremony.participants]
    x_j = sum(share for share in received if share is not None) % ORDER
    if x_j * G != Y_j:
        raise Refused("trustee-fault", "the shares received do not add up to this trustee's key in the log")
    return KeyShare(secret.manifest, secret.trustee, ceremony.index(secret.trustee), Y, x_j)


def sealing_info(manifest: bytes, attempt: int, dealer: str, receiver: str) -> bytes:
    """HPKE's `info` (32 bytes): a sealed share opens only in its own election and attempt, from its dealer, at its
    receiver."""
    return labelled_hash("trustee-share", manifest, attempt, dealer, receiver)


def _commit(secret: CeremonySecret) -> Commit:
    public = X25519PrivateKey.from_private_bytes(secret.key).public_key().public_bytes_raw()
    commitments = commit(secret.coefficients)
    return Commit(commitment_hash(secret.manifest, secret.attempt, secret.trustee, commitments), public)


def _judge(ceremony: Ceremony, secret: CeremonySecret) -> list[tuple[str, dict[str, Any]]]:
    """Complaints not yet made; none while an answer is due; a confirmation if there is nothing to complain about."""
    open_about = {dealer for receiver, dealer in ceremony.complaints if receiver == secret.trustee}
    wrong = check_deals(ceremony, secret)
    if not wrong:
        return [("trustee-confirm", make_confirm(ceremony, secret))]
    return [("trustee-complaint", make_complaint(ceremony, secret, name)) for name in wrong if name not in open_about]


def _seal(ceremony: Ceremony, secret: CeremonySecret, receiver: str) -> bytes:
    share = scalar_bytes(evaluate(secret.coefficients, ceremony.index(receiver)))
    key = X25519PublicKey.from_public_bytes(ceremony.commits[receiver].key)
    return SUITE.encrypt(share, key, sealing_info(secret.manifest, secret.attempt, secret.trustee, receiver))


def _received(ceremony: Ceremony, secret: CeremonySecret, dealer: str) -> int | None:
    """f_i(j) from this dealer, None if what it sealed is not that."""
    j = ceremony.index(secret.trustee)
    if dealer == secret.trustee:
        return evaluate(secret.coefficients, j)
    published = ceremony.published(dealer, secret.trustee)
    if published is not None:
        return published
    share = _opened(ceremony, secret, dealer)
    matches = share is not None and share * G == evaluate_committed(ceremony.deals[dealer].commitments, j)
    return share if matches else None


def _opened(ceremony: Ceremony, secret: CeremonySecret, dealer: str) -> int | None:
    info = sealing_info(secret.manifest, secret.attempt, dealer, secret.trustee)
    sealed = ceremony.deals[dealer].shares[secret.trustee]
    try:
        return parse_scalar(SUITE.decrypt(sealed, X25519PrivateKey.from_private_bytes(secret.key), info))
    except (InvalidTag, Refused):
        return None


def _expect_own(ceremony: Ceremony, secret: CeremonySecret) -> None:
    """Refuses secrets of another ceremony or attempt, and those that are not behind the commit in the log under this
    name."""
    if secret.manifest != ceremony.manifest:
        raise Refused("another-election", "these secrets were made for another manifest")
    if secret.attempt != ceremony.attempt or secret.trustee not in ceremony.participants:
        raise Refused(
            "wrong-attempt",
            f"these secrets were made for attempt {secret.attempt}, the ceremony is in attempt {ceremony.attempt}",
        )
    logged = ceremony.commits.get(secret.trustee)
    if logged is not None and logged != _commit(secret):
        raise Refused("wrong-secret", f"the commit of {secret.trustee} in the log was not made from these secrets")


def _expect_dealt(ceremony: Ceremony) -> None:
    if ceremony.phase not in ("checking", "complete"):
        raise Refused("not-complete", "; ".join(ceremony.waiting_for()))
