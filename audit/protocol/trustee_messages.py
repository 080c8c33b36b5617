"""The five messages of the trustees' key ceremony: what each holds, how it is written and how strictly it is read.

Every body holds `manifest` (the hash it is bound to), `attempt` and `signer` beside the fields of its kind, nothing
else. Reading checks shapes, lengths and encodings only; ceremony.py judges what a message means. Lengths come first: no
element is decoded before its list is known to have the length that manifest and threshold dictate.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from audit.protocol.group import Element, b64, element_from, scalar_bytes, scalar_from, unb64
from audit.protocol.refused import Refused
from audit.protocol.sigma import Schnorr

SEALED_SHARE = 80  # HPKE: 32 bytes of encapsulated key, 32 of the scalar, 16 of the tag

FIELDS: dict[str, frozenset[str]] = {
    "trustee-commit": frozenset({"commitment", "key"}),
    "trustee-deal": frozenset({"commitments", "proof", "shares"}),
    "trustee-confirm": frozenset({"key"}),
    "trustee-complaint": frozenset({"dealer"}),
    "trustee-answer": frozenset({"receiver", "share"}),
}

Body = Mapping[str, Any]


@dataclass(frozen=True)
class Commit:
    """Round 1: the hash that the dealer's commitments will have (32 bytes), and the X25519 key to seal its shares to
    (32 bytes)."""

    hash: bytes
    key: bytes

    def to_json(self) -> dict[str, Any]:
        return {"commitment": b64(self.hash), "key": b64(self.key)}

    @classmethod
    def from_json(cls, body: Body) -> Commit:
        return cls(_octets(body, "commitment", 32), _sealing_key(_octets(body, "key", 32)))


@dataclass(frozen=True)
class Deal:
    """Round 2: A_0..A_{t-1}, the proof that the dealer knows a_0, and the sealed share (80 bytes) of each other
    participant."""

    commitments: tuple[Element, ...]
    proof: Schnorr
    shares: Mapping[str, bytes]

    def to_json(self) -> dict[str, Any]:
        return {
            "commitments": [b64(A.raw) for A in self.commitments],
            "proof": self.proof.to_json(),
            "shares": {name: b64(share) for name, share in sorted(self.shares.items())},
        }

    @classmethod
    def from_json(cls, body: Body, t: int, receivers: Collection[str]) -> Deal:
        texts, shares = typed(body, "commitments", list), typed(body, "shares", dict)
        if len(texts) != t:
            raise Refused("wrong-length", f"exactly {t} commitments are dealt, found {len(texts)}", "commitments")
        expect_fields(shares, receivers, "shares.")
        return cls(
            tuple(_commitment(text, k) for k, text in enumerate(texts)),
            Schnorr.from_json(body["proof"], "proof"),
            {name: _octets(shares, name, SEALED_SHARE, "shares.") for name in sorted(receivers)},
        )


@dataclass(frozen=True)
class Confirm:
    """Round 3: the joint key Y as this trustee computed it, its shares being right."""

    Y: Element

    def to_json(self) -> dict[str, Any]:
        return {"key": b64(self.Y.raw)}

    @classmethod
    def from_json(cls, body: Body) -> Confirm:
        return cls(_element(typed(body, "key", str), "key", identity_ok=False))


@dataclass(frozen=True)
class Complaint:
    """Instead of confirming: the share that this dealer sealed for the sender does not match its commitments."""

    dealer: str

    def to_json(self) -> dict[str, Any]:
        return {"dealer": self.dealer}

    @classmethod
    def from_json(cls, body: Body) -> Complaint:
        return cls(typed(body, "dealer", str))


@dataclass(frozen=True)
class Answer:
    """The accused dealer's f_i(j) for the receiver j that complained, in the open."""

    receiver: str
    share: int

    def to_json(self) -> dict[str, Any]:
        return {"receiver": self.receiver, "share": b64(scalar_bytes(self.share))}

    @classmethod
    def from_json(cls, body: Body) -> Answer:
        try:
            return cls(typed(body, "receiver", str), scalar_from(typed(body, "share", str)))
        except Refused as refusal:
            raise refusal if refusal.field else refusal.at("share") from None


Message = Commit | Deal | Confirm | Complaint | Answer


def bound(manifest: bytes, attempt: int, signer: str, message: Message) -> dict[str, Any]:
    """The body of an entry: the message bound to manifest, attempt and the trustee that signs it.

    The last because all confirm alike: an entry is known by its text, so two trustees' must differ.
    """
    return {"attempt": attempt, "manifest": b64(manifest), "signer": signer, **message.to_json()}


def binding(kind: str, body: Body) -> tuple[bytes, int, str]:
    """(manifest, attempt, signer) that a body is bound to, once its fields are exactly those of its kind."""
    expect_fields(body, FIELDS[kind] | {"manifest", "attempt", "signer"})
    return _octets(body, "manifest", 32), int(typed(body, "attempt", int)), str(typed(body, "signer", str))


def expect_fields(body: Any, names: Collection[str], path: str = "") -> None:
    """Refuses an object without exactly these fields: `wrong-type`, `unknown-field` or `missing-field`."""
    if type(body) is not dict:
        raise Refused("wrong-type", "expected an object", path.rstrip("."))
    for name in sorted(body):
        if name not in names:
            raise Refused("unknown-field", "no such field is expected here", path + name)
    for name in sorted(names):
        if name not in body:
            raise Refused("missing-field", "this field is required", path + name)


def typed(body: Body, name: str, kind: type) -> Any:
    """The field's value. Refused `wrong-type` unless it is of exactly this type."""
    if type(body[name]) is not kind:
        raise Refused("wrong-type", f"expected {_KINDS[kind]}", name)
    return body[name]


def _octets(body: Body, name: str, length: int, path: str = "") -> bytes:
    try:
        return unb64(typed(body, name, str), length)
    except Refused as refusal:
        raise Refused(refusal.reason, refusal.detail, path + name) from None


def _element(text: str, path: str, *, identity_ok: bool) -> Element:
    try:
        return element_from(text, identity_ok=identity_ok)
    except Refused as refusal:
        raise refusal.at(path) from None


def _commitment(text: Any, k: int) -> Element:
    """A_k; A_0 is a key of its own and must not be the identity."""
    path = f"commitments[{k}]"
    if type(text) is not str:
        raise Refused("wrong-type", "expected a string", path)
    return _element(text, path, identity_ok=k > 0)


def _sealing_key(key: bytes) -> bytes:
    """Refuses a key to which nobody can seal, lest one trustee keep all others from dealing (RFC 7748, sections 5 and
    6.1)."""
    if int.from_bytes(key, "little") >= 2**255 - 19:
        raise Refused("bad-encoding", "the X25519 key is not reduced", "key")
    try:
        # A clamped scalar is a multiple of 8, so exactly the points of small order give the all-zero secret that is
        # refused.
        X25519PrivateKey.from_private_bytes(bytes(32)).exchange(X25519PublicKey.from_public_bytes(key))
    except ValueError:
        raise Refused("identity", "the X25519 key is a point of small order", "key") from None
    return key


_KINDS: dict[type, str] = {str: "a string", int: "an integer", list: "an array", dict: "an object"}
