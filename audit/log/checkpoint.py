"""A checkpoint that may be believed: a note signed by every key of the log and, once witnessed, by W custodians.

Which keys those are the manifest says; audit/record turns it into a `LogPolicy`. W counts custodians, not lines: one
with several keys counts once, and only if all of them signed, so that neither an old kind of key nor a new one decides
alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from audit.log.keys import COSIGNATURE, ED25519, ML_DSA_44, Verifier
from audit.log.notes import MAX_SIGNATURES, Note, parse_note, verified_lines
from audit.log.treehead import Checkpoint, parse_checkpoint
from audit.protocol.refused import Refused

__all__ = ["Checkpoint", "LogPolicy", "cosigned_by", "open_checkpoint", "open_note", "parse_checkpoint"]

_LOG_TYPES = (ED25519, ML_DSA_44)
_CUSTODIAN_TYPES = (COSIGNATURE, ML_DSA_44)


@dataclass(frozen=True, slots=True)
class LogPolicy:
    """Whose signatures make a checkpoint of the log `origin`: all keys of `log`, and all keys of at least W custodians.

    Refused `unknown-key` for a key of a type that does not sign this, `duplicate` for a name or key that stands twice,
    `wrong-signers` for no log key, a custodian without key, or a W that is no majority of them, `too-long` for more
    keys than a note has lines.
    """

    origin: str
    log: tuple[Verifier, ...]
    custodians: tuple[tuple[str, tuple[Verifier, ...]], ...]
    W: int

    def __post_init__(self) -> None:
        if not self.log or not all(keys for _, keys in self.custodians):
            raise Refused("wrong-signers", "the log and each custodian need a key")
        if not 0 < self.W <= len(self.custodians):
            raise Refused("wrong-signers", f"{self.W} of {len(self.custodians)} custodians cannot be demanded")
        if len(self.verifiers) > MAX_SIGNATURES:
            # Else the log could no longer be published once every custodian has cosigned.
            text = f"log and custodians have {len(self.verifiers)} keys; a note holds {MAX_SIGNATURES} signature lines"
            raise Refused("too-long", text)
        if len(self.custodians) >= 2 * self.W:
            text = f"{self.W} of {len(self.custodians)} custodians are no majority: two sets could witness two logs"
            raise Refused("wrong-signers", text)
        for key in self.verifiers:
            if key.type not in (_LOG_TYPES if key in self.log else _CUSTODIAN_TYPES):
                raise Refused("unknown-key", f"a key of type 0x{key.type:02x} ({key.name}) signs no checkpoints here")
        # The same key under two names would let one custodian count twice (one key per cosigner and purpose).
        publics = [key.public for key in self.verifiers]
        names = [name for name, _ in self.custodians]
        # A line names its key by four bytes of a hash: a custodian's second key may be made to fit those of its first.
        ids = {(key.name, key.key_id) for key in self.verifiers}
        if len(ids) != len(publics) or len(set(publics)) != len(publics) or len(set(names)) != len(names):
            raise Refused("duplicate", "a custodian or a key stands twice among the keys of log and custodians")

    @property
    def verifiers(self) -> tuple[Verifier, ...]:
        """Every key, the log's first."""
        return self.log + tuple(key for _, keys in self.custodians for key in keys)


def open_checkpoint(raw: bytes, policy: LogPolicy, witnessed: bool = True, exact: bool = False) -> Checkpoint:
    """The checkpoint in a note that satisfies the policy; the log's signatures alone if not `witnessed`.

    See `open_note`.
    """
    return open_note(parse_note(raw), policy, witnessed, exact)


def open_note(note: Note, policy: LogPolicy, witnessed: bool = True, exact: bool = False) -> Checkpoint:
    """The checkpoint of a parsed note that satisfies the policy.

    Refused `another-origin`; `bad-signature` for any wrong line of a known key; `wrong-signers` if the log has not
    signed with all keys; `not-witnessed` naming who is missing; with `exact`, `unknown-key` for a line by a key that is
    not the policy's, and `not-canonical` unless the lines stand in the order of the policy's keys, the log's first, one
    of each at most.
    """
    checkpoint = parse_checkpoint(note.text)
    if checkpoint.origin != policy.origin:
        raise Refused("another-origin", f"the checkpoint is of {checkpoint.origin!r}, not of {policy.origin!r}")
    times = verified_lines(note, policy.verifiers)
    missing = [key for key in policy.log if key not in times]
    if missing:
        raise Refused("wrong-signers", f"the log has not signed with {_named(missing)}")
    if exact:
        _check_exact(note, policy)
    if witnessed:
        _check_witnessed(policy, times)
    return checkpoint


def cosigned_by(note: Note, policy: LogPolicy) -> list[str]:
    """The custodians that have cosigned with all their keys, in the policy's order. Refused as `verified_lines`."""
    times = verified_lines(note, policy.verifiers)
    return [name for name, keys in policy.custodians if not _unsigned(keys, times)]


def _check_witnessed(policy: LogPolicy, times: Mapping[Verifier, int]) -> None:
    wanting = [(name, _unsigned(keys, times)) for name, keys in policy.custodians if _unsigned(keys, times)]
    present = len(policy.custodians) - len(wanting)
    if present < policy.W:
        missing = ", ".join(f"{name} with {_named(keys)}" for name, keys in wanting)
        raise Refused("not-witnessed", f"cosigned by {present} of {policy.W} custodians demanded; missing: {missing}")


def _unsigned(keys: tuple[Verifier, ...], times: Mapping[Verifier, int]) -> list[Verifier]:
    # Time 0 is a signature that does not claim to be of the largest tree seen (C2SP tlog-cosignature): a custodian's
    # must.
    return [key for key in keys if not times.get(key)]


def _check_exact(note: Note, policy: LogPolicy) -> None:
    # One checkpoint with the same signatures has the same bytes: no line moves, none stands twice, none is added.
    places = [(key.name, key.key_id) for key in policy.verifiers]
    found = [(line.name, line.key_id) for line in note.signatures]
    for name, key_id in found:
        if (name, key_id) not in places:
            raise Refused("unknown-key", f"the line by {name} (key {key_id.hex()}) is of no key of the manifest")
    if found != [place for place in places if place in found]:
        raise Refused("not-canonical", "signature lines stand in the order of the manifest's keys, one of each at most")


def _named(keys: list[Verifier]) -> str:
    return " and ".join(f"key {key.key_id.hex()} (type 0x{key.type:02x})" for key in keys)
