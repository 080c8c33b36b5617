"""t of n: the trustees make a joint key that none of them has, and decrypt totals that no t - 1 of them could.

The parts, each a page of its own: polynomial.py (sharing a secret), trustee_messages.py (what trustees write into the
log), ceremony.py (how the joint key comes about, in everybody's eyes), trustee.py (what a trustee computes from its
secrets), decryption.py (shares of a total, and combining them), discrete_log.py (from nG to n). What other rooms use is
named here.
"""

from __future__ import annotations

from audit.protocol.ceremony import Ceremony, Verdict
from audit.protocol.decryption import PRESENT, DecryptionShare, combine, decryption_share, verify_decryption_share
from audit.protocol.discrete_log import DiscreteLog
from audit.protocol.trustee import (
    CeremonySecret,
    KeyShare,
    check_deals,
    finish,
    make_answer,
    make_commit,
    make_complaint,
    make_confirm,
    make_deal,
    new_secret,
    next_messages,
)

__all__ = [
    "PRESENT",
    "Ceremony",
    "CeremonySecret",
    "DecryptionShare",
    "DiscreteLog",
    "KeyShare",
    "Verdict",
    "check_deals",
    "combine",
    "decryption_share",
    "finish",
    "make_answer",
    "make_commit",
    "make_complaint",
    "make_confirm",
    "make_deal",
    "new_secret",
    "next_messages",
    "verify_decryption_share",
]
