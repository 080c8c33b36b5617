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
    """POSIX seconds, ten batch waits (seconds) after `now`, rounded up to a whole wait, and a whole second: so that a
    receipt, or a copy of what was promised, tells no more of when an entry came than the log does.
    """
    step = max(1, ceil(batch_wait))
    return ceil((now + WAITS * batch_wait) / step) * step


def make_receipt(signer: Signer, origin: str, manifest: bytes, kind: str, accepted: Accepted) -> bytes:
    """The note `psephos/v1 receipt` for an entry of this kind; always the same bytes for the same acceptance (Ed25519
    draws no randomness).
    """
    body = {
        "deadline": accepted.deadline,
        "identity": b64(accepted.identity),
        "kind": kind,
        "leaf": b64(accepted.leaf),
        "manifest": b64(manifest),
    }
    return seal(make_text("receipt", origin, body), [signer])
