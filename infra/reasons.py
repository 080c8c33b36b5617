"""Every reason for which a service refuses something, as a closed set: what is counted by reason has so many series and
no more, whoever sends what. A reason that is not among them is counted as another."""

from __future__ import annotations

REASONS = frozenset({
    "another-election", "another-entry", "another-list", "another-origin", "another-roll", "bad-commitment",
    "bad-element", "bad-encoding", "bad-name", "bad-proof", "bad-receipt", "bad-scalar", "bad-signature", "busy",
    "check-symbol", "clock-backwards", "clock-leapt", "closed", "damaged", "does-not-foot", "duplicate", "elsewhere",
    "ended", "examining", "foreign", "fork", "full", "identity", "internal", "method-not-allowed", "missing-contest",
    "missing-entry", "missing-field", "mixed", "no-complaint", "no-such-range", "no-token", "not-allowed",
    "not-canonical", "not-complete", "not-empty", "not-found", "not-mixed", "not-open", "not-ready",
    "not-signed-by-log", "not-sorted", "not-stored", "not-supported", "not-witnessed", "nothing-new", "nothing-seen",
    "old-size-above", "open-complaint", "out-of-date", "out-of-range", "refused", "refused-before", "revision-lower",
    "revision-repeated", "stale", "syntax", "too-far-ahead", "too-long", "too-slow", "trustee-fault", "unknown-contest",
    "unknown-field", "unknown-key", "unknown-kind", "unknown-log", "unknown-pseudonym", "unknown-roll", "unsafe",
    "wrong-attempt", "wrong-dealer", "wrong-key", "wrong-key-id", "wrong-length", "wrong-log", "wrong-opening",
    "wrong-phase", "wrong-proof", "wrong-result", "wrong-root", "wrong-secret", "wrong-signers", "wrong-total",
    "wrong-turn", "wrong-type", "wrong-weight",
})  # fmt: skip
