"""Who takes part in a simulated election, with all their keys, and the manifest that names them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from audit.log.keys import Signer
from audit.protocol.group import b64
from tests.simulator.dice import Dice

ORIGIN = "vote.example/annual-2026"


@dataclass(frozen=True)
class Parties:
    """The signers of every office; of the officials two sign, of the trustees two decrypt, of the custodians two
    witness.
    """

    officials: tuple[Signer, ...]
    trustees: tuple[Signer, ...]
    issuers: tuple[Signer, ...]
    inspectors: tuple[Signer, ...]
    intakes: tuple[Signer, ...]
    log: tuple[Signer, ...]
    custodians: tuple[tuple[Signer, ...], ...]
    mixers: tuple[Signer, ...] = ()

    @classmethod
    def drawn(cls, dice: Dice, issuers: int = 2, trustees: int = 3, mixers: int = 0) -> Parties:
        return cls(
            officials=dice.signers("chair", "secretary", "counsel"),
            trustees=dice.signers(*(f"trustee-{j}" for j in range(1, trustees + 1))),
            issuers=dice.signers(*(f"issuer-{k}" for k in range(1, issuers + 1))),
            inspectors=dice.signers("inspector"),
            intakes=dice.signers("intake-1", "intake-2"),
            log=dice.log_keys("log"),
            custodians=tuple(dice.custodian_keys(name) for name in ("custodian-a", "custodian-b", "custodian-c")),
            mixers=dice.signers(*(f"mixer-{k}" for k in range(1, mixers + 1))),
        )


def vkeys(signers: tuple[Signer, ...]) -> list[str]:
    return [signer.vkey for signer in signers]


def majority(**changes: Any) -> dict[str, Any]:
    half = {"comparator": ">", "threshold": [1, 2]}
    return {"abstain": "ignored", "basis": "cast", "name": "majority", **half, **changes}


def contest(id: str, **changes: Any) -> dict[str, Any]:
    """A director's seat, for, against or abstain, unless changed."""
    return {
        "choices": ["for", "against", "abstain"],
        "classes": ["common"],
        "form": "choose-one",
        "id": id,
        "kind": "director",
        "limit": 1,
        "rule": majority(),
        "text": "",
        "title": id.capitalize(),
        **changes,
    }


def plural(id: str, form: str, limit: int, **changes: Any) -> dict[str, Any]:
    """Two seats, three candidates."""
    rule = {"name": "plurality", "seats": 2}
    return contest(id, choices=["ann", "ben", "cem"], form=form, limit=limit, rule=rule, kind="director", **changes)


ONE_ITEM = [contest("nominee-1")]
ALL_FORMS = [contest("nominee-1"), plural("committee", "choose-up-to", 2), plural("board", "cumulative", 2)]


def manifest_body(
    parties: Parties,
    dice: Dice,
    votes: dict[str, int],
    contests: list[dict[str, Any]],
    minimum: int = 2,
) -> dict[str, Any]:
    """The body of the manifest; votes: of each class."""
    return {
        "batch": {"min": 8, "wait_ms": 500},
        "classes": [{"id": id, "votes": total, "votes_per_share": 1} for id, total in votes.items()],
        "contests": contests,
        "custodians": {"keys": [vkeys(keys) for keys in parties.custodians], "threshold": 2},
        "election": b64(dice.octets(16)),
        "inspectors": vkeys(parties.inspectors),
        "intakes": vkeys(parties.intakes),
        "issuers": vkeys(parties.issuers),
        "log": vkeys(parties.log),
        "meeting": {"issuer": "Example plc", "kind": "annual", "title": "Annual meeting 2026"},
        "minimum": {"pseudonyms": minimum, "roll": 10},
        "mixers": vkeys(parties.mixers),
        "officials": {"keys": vkeys(parties.officials), "threshold": 2},
        "times": {"close": "2026-06-02T12:00Z", "open": "2026-06-01T09:00Z", "record_date": "2026-04-01"},
        "trustees": {"keys": vkeys(parties.trustees), "threshold": 2},
    }
