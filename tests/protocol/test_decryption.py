"""Decryption: t true shares give the total; a wrong one is seen, and its trustee named."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from typing import Any

import pytest

from audit.protocol.decryption import PRESENT, DecryptionShare, combine, decryption_share, verify_decryption_share
from audit.protocol.discrete_log import DiscreteLog
from audit.protocol.elgamal import ZERO, Ciphertext, encrypt
from audit.protocol.group import Element, G, b64
from audit.protocol.refused import TrusteeFault
from audit.protocol.transcript import Context
from audit.protocol.trustee import KeyShare, finish
from tests.protocol.sample import MANIFEST, REHEARSAL, TRUSTEES, Trustees, plus_one, refused, scalars

CEREMONY = Trustees(t=2).until("complete")
KEYS: list[KeyShare] = [finish(CEREMONY.state, CEREMONY.secrets[name]) for name in TRUSTEES]
JOINT = CEREMONY.state.Y
HERE = Context(MANIFEST, JOINT)
CLOSING = bytes(range(32))
TOTAL = 102_468
C = encrypt(TOTAL - 5, JOINT, 0xAB) + encrypt(5, JOINT, 0xCD)


def share(key: KeyShare, of: Ciphertext = C, contest: str = "director-1", choice: str = "for") -> DecryptionShare:
    return decryption_share(HERE, key.x_j, contest, choice, CLOSING, of, key.j, scalars(f"nonce {key.j}")())


def verify(key: KeyShare, answer: DecryptionShare, **changed: Any) -> None:
    said: dict[str, Any] = {"contest": "director-1", "choice": "for", "closing": CLOSING, "C": C, "j": key.j}
    said |= {"ctx": HERE, "trustee": key.trustee, "Y_j": CEREMONY.state.Y_j[key.trustee], "share": answer} | changed
    verify_decryption_share(**said)


@pytest.mark.parametrize("who", [*permutations(range(3), 2), (0, 1, 2)])
def test_any_t_trustees_find_the_total(who: tuple[int, ...]) -> None:
    shares: dict[int, Element] = {}
    for i in who:
        answer = DecryptionShare.from_json(share(KEYS[i]).to_json())
        verify(KEYS[i], answer)
        shares[KEYS[i].j] = answer.D
    assert DiscreteLog(2**20).find(combine(shares, C, 2)) == TOTAL


def test_fewer_than_t_find_nothing() -> None:
    with refused("not-complete"):
        combine({1: share(KEYS[0]).D}, C, 2)
    with refused("wrong-total"):
        DiscreteLog(2**20).find(C.b - share(KEYS[0]).D)


def test_the_sum_over_no_ballots() -> None:
    answers = [share(key, ZERO) for key in KEYS]
    for key, answer in zip(KEYS, answers, strict=True):
        assert answer.D.is_identity
        verify(key, answer, C=ZERO)
    assert combine({key.j: answer.D for key, answer in zip(KEYS, answers, strict=True)}, ZERO, 2).is_identity


def test_a_wrong_share_is_seen_and_its_trustee_named() -> None:
    true = share(KEYS[1])
    wrong = [
        replace(true, D=true.D + G),
        replace(true, D=true.D + true.D),
        share(KEYS[0]),
        share(replace(KEYS[1], x_j=KEYS[1].x_j + 1)),
        replace(true, proof=share(KEYS[1], ZERO).proof),
    ]
    for answer in wrong:
        with pytest.raises(TrusteeFault, match="trustee-2") as caught:
            verify(KEYS[1], answer)
        assert (caught.value.trustee, caught.value.reason) == ("trustee-2", "bad-proof")


@pytest.mark.parametrize(
    "changed",
    [
        {"contest": "director-2"},
        {"contest": PRESENT},
        {"choice": "against"},
        {"closing": bytes(32)},
        {"C": C + encrypt(0, JOINT, 1)},
        {"C": Ciphertext(C.a, C.b + G)},
        {"j": 3},
        {"Y_j": CEREMONY.state.Y_j["trustee-1"]},
        {"ctx": Context(REHEARSAL, JOINT)},
        {"ctx": Context(MANIFEST, JOINT + G)},
    ],
    ids=lambda changed: " ".join(changed),
)
def test_a_share_serves_its_own_sum_only(changed: dict[str, Any]) -> None:
    with refused("bad-proof"):
        verify(KEYS[1], share(KEYS[1]), **changed)


GOOD = share(KEYS[0]).to_json()


@pytest.mark.parametrize(
    ("value", "reason", "field"),
    [
        ([], "wrong-type", "s"),
        ({**GOOD, "j": 1}, "unknown-field", "s.j"),
        ({"D": GOOD["D"], "c": GOOD["c"]}, "missing-field", "s.z"),
        ({**GOOD, "D": b64(b"\xff" * 32)}, "bad-element", "s.D"),
        ({**GOOD, "D": 1}, "wrong-type", "s.D"),
        ({**GOOD, "c": b64(b"\xff" * 32)}, "bad-scalar", "s.c"),
        ({**GOOD, "z": ""}, "wrong-length", "s.z"),
    ],
)
def test_shares_are_read_strictly(value: Any, reason: str, field: str) -> None:
    with refused(reason, field):
        DecryptionShare.from_json(value, "s")


@pytest.mark.parametrize("name", ["c", "z"])
def test_each_scalar_of_a_share_counts(name: str) -> None:
    with refused("bad-proof"):
        verify(KEYS[0], DecryptionShare.from_json({**GOOD, name: plus_one(GOOD[name])}))
