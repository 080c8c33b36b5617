"""Keys that sign notes: Ed25519 (type 0x01), Ed25519 cosignature (0x04) and ML-DSA-44 (0x06), and their text forms.

A verifier key prints as `name+keyid+base64`, a private key as `PRIVATE+KEY+name+keyid+base64`, as in Go's note package.
Types 0x04 and 0x06 sign a checkpoint together with a time, and 0x06 also covers the signer's name; the exact messages
are those of C2SP signed-note and tlog-cosignature. No type can be taken for another: the key id binds type, name and
public key.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey

from audit.log.encoding import MAX_NUMBER, decode_base64, encode_base64
from audit.log.treehead import parse_checkpoint
from audit.protocol.refused import Refused

ED25519: Final = 0x01
COSIGNATURE: Final = 0x04
ML_DSA_44: Final = 0x06

PUBLIC_SIZES: Final = {ED25519: 32, COSIGNATURE: 32, ML_DSA_44: 1312}
SIGNATURE_SIZES: Final = {ED25519: 64, COSIGNATURE: 8 + 64, ML_DSA_44: 8 + 2420}
SEED_SIZE: Final = 32
MAX_COSIGNER_NAME: Final = 255
"""Bytes of a name that signs with ML-DSA-44: its length prefix in the message is one byte."""

_PRIVATE = "PRIVATE+KEY+"
_UNFIT = re.compile("[\\s+\x00-\x1f\ud800-\udfff]")


def check_name(name: str) -> str:
    """The name itself.

    Refused `bad-name` if empty or holding a space, a plus sign or a control character (C2SP signed-note), or half a
    character.
    """
    if not name or _UNFIT.search(name):
        raise Refused("bad-name", "a key name is not empty and holds no space, no + and no control character")
    return name


@lru_cache(maxsize=256)
def key_id(name: str, type: int, public: bytes) -> bytes:
    """SHA-256(name || 0x0A || type || public key)[:4] (C2SP signed-note, "Signatures")."""
    return sha256(name.encode() + b"\n" + bytes([type]) + public).digest()[:4]


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line: who, with which key (4 bytes), and the signature as that key's type writes it, time included.
    """

    name: str
    key_id: bytes
    sig: bytes

    @property
    def line(self) -> str:
        """The line in a note, newline included."""
        return f"\u2014 {self.name} {encode_base64(self.key_id + self.sig)}\n"


@dataclass(frozen=True, slots=True)
class Verifier:
    """A public key, ready to verify. Two are equal if name, type and key are."""

    name: str
    type: int
    public: bytes

    def __post_init__(self) -> None:
        check_name(self.name)
        if self.type not in PUBLIC_SIZES:
            raise Refused("unknown-key", f"the key of {self.name} is of the unknown type 0x{self.type:02x}")
        if len(self.public) != PUBLIC_SIZES[self.type]:
            wanted = PUBLIC_SIZES[self.type]
            raise Refused("wrong-length", f"the key of {self.name} has {len(self.public)} bytes, not {wanted}")
        if self.type == ML_DSA_44 and len(self.name.encode()) > MAX_COSIGNER_NAME:
            raise Refused("bad-name", f"the name of an ML-DSA-44 key is longer than {MAX_COSIGNER_NAME} bytes")

    @property
    def key_id(self) -> bytes:
        """The 4 bytes by which signature lines name this key."""
        return key_id(self.name, self.type, self.public)

    @property
    def vkey(self) -> str:
        """The text form `name+hex(key id)+base64(type || public key)`."""
        return f"{self.name}+{self.key_id.hex()}+{encode_base64(bytes([self.type]) + self.public)}"

    def verify(self, text: bytes, sig: bytes) -> int:
        """The time, in POSIX seconds, at which `text` was cosigned; 0 for type 0x01, which carries none.

        Refused `bad-signature`; for type 0x06 also as `parse_checkpoint`, since it signs a checkpoint's fields.
        """
        if len(sig) != (wanted := SIGNATURE_SIZES[self.type]):
            raise Refused("bad-signature", f"the signature by {self.name} has {len(sig)} bytes, not {wanted}")
        time = 0
        if self.type != ED25519:
            time, sig = int.from_bytes(sig[:8], "big"), sig[8:]
        if time > MAX_NUMBER:
            raise Refused("bad-signature", f"the signature by {self.name} carries a time beyond 2^63 - 1")
        message = signed_message(self.name, self.type, text, time)
        try:
            _public_key(self.type, self.public).verify(sig, message)
        except InvalidSignature:
            raise Refused("bad-signature", f"the signature by {self.name} (key {self.key_id.hex()}) is wrong") from None
        return time


class Signer:
    """A private key. Its seed is never shown."""

    __slots__ = ("_key", "_seed", "verifier")

    def __init__(self, name: str, type: int, seed: bytes) -> None:
        """`seed` is 32 random bytes, the private key of RFC 8032 or the xi of FIPS 204.

        Refused as `Verifier`, and `wrong-length`.
        """
        if type not in PUBLIC_SIZES:
            raise Refused("unknown-key", f"the key of {name} is of the unknown type 0x{type:02x}")
        if len(seed) != SEED_SIZE:
            raise Refused("wrong-length", f"the private key of {name} has not {SEED_SIZE} bytes")
        self._seed = seed
        self._key = _private_key(type, seed)
        self.verifier = Verifier(name, type, self._key.public_key().public_bytes_raw())

    def __repr__(self) -> str:
        return f"Signer({self.verifier.name!r}, type=0x{self.verifier.type:02x}, key_id={self.verifier.key_id.hex()})"

    @property
    def name(self) -> str:
        return self.verifier.name

    @property
    def vkey(self) -> str:
        """The text form of the public key."""
        return self.verifier.vkey

    @property
    def private(self) -> str:
        """The text form of the private key, a secret: `PRIVATE+KEY+name+hex(key id)+base64(type || seed)`."""
        verifier = self.verifier
        return f"{_PRIVATE}{verifier.name}+{verifier.key_id.hex()}+{encode_base64(bytes([verifier.type]) + self._seed)}"

    def sign(self, text: bytes, time: int = 0) -> Signature:
        """The signature over a note text. Types 0x04 and 0x06 need `time`, POSIX seconds from 1 to 2^63 - 1
        (ValueError); 0x01 ignores it.
        """
        verifier = self.verifier
        if verifier.type == ED25519:
            return Signature(verifier.name, verifier.key_id, self._key.sign(text))
        if not 0 < time <= MAX_NUMBER:
            raise ValueError("a cosignature needs the time at which it is made")
        sig = self._key.sign(signed_message(verifier.name, verifier.type, text, time))
        return Signature(verifier.name, verifier.key_id, time.to_bytes(8, "big") + sig)


def signed_message(name: str, type: int, text: bytes, time: int) -> bytes:
    """The bytes that a key of this type signs for a note text (C2SP signed-note and tlog-cosignature)."""
    if type == ED25519:
        return text
    if type == COSIGNATURE:
        return f"cosignature/v1\ntime {time}\n".encode() + text
    head = parse_checkpoint(text)
    return b"".join([
        b"subtree/v1\n\0",
        _short(name),
        time.to_bytes(8, "big"),
        _short(head.origin),
        (0).to_bytes(8, "big"),
        head.size.to_bytes(8, "big"),
        head.root,
    ])


def _short(text: str) -> bytes:
    raw = text.encode()
    return bytes([len(raw)]) + raw


def _private_key(type: int, seed: bytes) -> Ed25519PrivateKey | MLDSA44PrivateKey:
    if type == ML_DSA_44:
        return MLDSA44PrivateKey.from_seed_bytes(seed)
    return Ed25519PrivateKey.from_private_bytes(seed)


@lru_cache(maxsize=256)
def _public_key(type: int, public: bytes) -> Ed25519PublicKey | MLDSA44PublicKey:
    if type == ML_DSA_44:
        return MLDSA44PublicKey.from_public_bytes(public)
    return Ed25519PublicKey.from_public_bytes(public)


def parse_vkey(text: str) -> Verifier:
    """The verifier of `name+keyid+base64`; base64 may itself hold +, so the first two split.

    Refused `syntax`, `bad-name`, `bad-encoding`, `unknown-key` (type), `wrong-length`, or `wrong-key-id` if the id is
    not the key's.
    """
    name, id_text, type, public = _split_key(text)
    verifier = Verifier(name, type, public)
    if verifier.key_id.hex() != id_text:
        raise Refused("wrong-key-id", f"the key id {id_text[:8]} is not that of the key of {name}")
    return verifier


def parse_private_key(text: str) -> Signer:
    """The signer of `PRIVATE+KEY+name+keyid+base64`. Refused as `parse_vkey`; no refusal repeats any of the secret."""
    if not text.startswith(_PRIVATE):
        raise Refused("syntax", "a private key begins with PRIVATE+KEY+")
    name, id_text, type, seed = _split_key(text.removeprefix(_PRIVATE))
    signer = Signer(name, type, seed)
    if signer.verifier.key_id.hex() != id_text:
        raise Refused("wrong-key-id", f"the key id is not that of the private key of {name}")
    return signer


def _split_key(text: str) -> tuple[str, str, int, bytes]:
    parts = text.split("+", 2)
    if len(parts) != 3:
        raise Refused("syntax", "a key is name+keyid+base64")
    raw = decode_base64(parts[2], "the key")
    if not raw:
        raise Refused("wrong-length", "the key is empty")
    return check_name(parts[0]), parts[1], raw[0], raw[1:]


def signer_from_file(path: Path) -> Signer:
    """The signer whose private key is the one line of a file.

    OSError; Refused as `parse_private_key`, with the path in front.
    """
    try:
        return parse_private_key(path.read_text(encoding="utf-8").removesuffix("\n"))
    except UnicodeDecodeError:
        raise Refused("syntax", f"{path} holds no private key") from None
    except Refused as refusal:
        raise Refused(refusal.reason, f"{path}: {refusal.detail}") from None


def new_private_key(name: str, type: int, seed: bytes) -> str:
    """The text form of a private key made of 32 random bytes. Refused as `Signer`."""
    return Signer(name, type, seed).private


def vkey(private: str) -> str:
    """The verifier key that belongs to a private key. Refused as `parse_private_key`."""
    return parse_private_key(private).vkey
