"""The demo's agenda: nine directors to elect, each by a majority of the votes cast."""

from __future__ import annotations

from infra.demo.offices import CUSTODIANS_SIGN, OFFICIALS_SIGN, ORIGIN, TRUSTEES_DECRYPT, Offices
from infra.demo.published import CHOICES, Nominee, Published
from infra.demo.register import CLASS
from infra.demo.toml import Value

BATCH_MIN, BATCH_WAIT_MS = 8, 500
MINIMUM = 10
"""Of pseudonyms behind a total before it is decrypted, and of rows on a roll before it hides anybody."""


def agenda(figures: Published, offices: Offices) -> dict[str, Value]:
    """The agenda as `election create` reads it."""
    return {
        "origin": ORIGIN,
        "meeting": {"issuer": "CoreCivic, Inc.", "kind": "annual", "title": "Annual meeting 2019, voted again"},
        "times": {"record_date": "2019-03-18", "open": "2019-05-16", "close": "2019-05-16"},
        "batch": {"min": BATCH_MIN, "wait_ms": BATCH_WAIT_MS},
        "minimum": {"pseudonyms": MINIMUM, "roll": MINIMUM},
        "officials": {"keys": [key.vkey for key in offices.officials], "threshold": OFFICIALS_SIGN},
        "trustees": {"keys": [key.vkey for key in offices.trustees], "threshold": TRUSTEES_DECRYPT},
        "issuers": [key.vkey for key in offices.issuers],
        "inspectors": [],
        "mixers": [key.vkey for key in offices.mixers],
        "intakes": [offices.intake.vkey],
        "log": [key.vkey for key in offices.log],
        "custodians": {"keys": [[key.vkey] for key in offices.custodians], "threshold": CUSTODIANS_SIGN},
        "classes": [{"id": CLASS, "votes": figures.outstanding, "votes_per_share": 1}],
        "contests": [contest(nominee) for nominee in figures.nominees],
    }


def contest(nominee: Nominee) -> dict[str, Value]:
    return {
        "id": nominee.id,
        "title": f"Election of {nominee.name} as a director",
        "text": f"To elect {nominee.name} as a director until the next annual meeting.",
        "kind": "director",
        "form": "choose-one",
        "choices": list(CHOICES),
        "limit": 1,
        "classes": [CLASS],
        "rule": {"name": "majority", "basis": "cast", "abstain": "ignored", "comparator": ">", "threshold": [1, 2]},
    }
