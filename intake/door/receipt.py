"""The receipt: intake's signed promise that an entry will be in the log, as entry or as refusal, by a deadline.

A note like every entry, but never one: no rule admits a receipt to the log. A deadline that has passed in vain is
evidence.
"""

from __future__ import annotations

from math import ceil

from audit.log.keys import Signer
from audit.protocol.group import b64
from audit.record.entries import make_text, seal
from intake.door.outbox import Accepted

WAITS = 10
"""Batch waits between acceptance and deadline."""


def deadline(now: float, batch_wait: float) -> int:
    """POSIX seconds, rounded up, ten batch waits (seconds) after `now`."""
    return ceil(now + WAITS * batch_wait)


def make_receipt(signer: Signer, origin: str, manifest: bytes, accepted: Accepted) -> bytes:
    """The note `psephos/v1 receipt`; always the same bytes for the same acceptance (Ed25519 draws no randomness)."""
    body = {
        "deadline": accepted.deadline,
        "identity": b64(accepted.identity),
        "leaf": b64(accepted.leaf),
        "manifest": b64(manifest),
    }
    return seal(make_text("receipt", origin, body), [signer])
