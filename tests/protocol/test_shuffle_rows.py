"""What a mixer publishes is read strictly: exactly these fields, each in its one encoding."""

from __future__ import annotations

from typing import Any

import pytest

from audit.protocol.group import b64
from audit.protocol.shuffle_rows import MixedRow, ShuffleProof
from tests.protocol.plain_shuffle import PlainMixer, permutation_matrix, place, roll
from tests.protocol.sample import not_reduced, refused, replaced

MIXED = PlainMixer(permutation_matrix((1, 0))).mix(place(2), roll(2))
ROW = MIXED.rows[0].to_json()
HEAD = MIXED.proof.to_json()
ELEMENTS = ["K", "c", "c_hat"]


@pytest.mark.parametrize(
    ("value", "reason", "field"),
    [
        ([], "wrong-type", "rows[0]"),
        ({**ROW, "r": ROW["c"]}, "unknown-field", "rows[0].r"),
        *(({n: v for n, v in ROW.items() if n != name}, "missing-field", f"rows[0].{name}") for name in ROW),
        *(({**ROW, name: 1}, "wrong-type", f"rows[0].{name}") for name in ROW),
        *(({**ROW, name: ROW[name] + "="}, "bad-encoding", f"rows[0].{name}") for name in ROW if name != "E"),
        *(({**ROW, name: b64(bytes(31))}, "wrong-length", f"rows[0].{name}") for name in ROW if name != "E"),
        *(({**ROW, name: b64(b"\x01" * 32)}, "bad-element", f"rows[0].{name}") for name in ELEMENTS),
        *(({**ROW, name: not_reduced(ROW[name])}, "bad-scalar", f"rows[0].{name}") for name in ("s_hat", "s_prime")),
        ({**ROW, "K": b64(bytes(32))}, "identity", "rows[0].K"),
        ({**ROW, "E": [*ROW["E"], ROW["K"]]}, "wrong-length", "rows[0].E"),
        (replaced(ROW, ("E", 1), b64(b"\x01" * 32)), "bad-element", "rows[0].E[1]"),
    ],
)
def test_rows_are_read_strictly(value: Any, reason: str, field: str) -> None:
    with refused(reason, field):
        MixedRow.from_json(value, "rows[0]")


@pytest.mark.parametrize(
    ("value", "reason", "field"),
    [
        ("", "wrong-type", "proof"),
        ({**HEAD, "s6": HEAD["s1"]}, "unknown-field", "proof.s6"),
        *(({n: v for n, v in HEAD.items() if n != name}, "missing-field", f"proof.{name}") for name in HEAD),
        *(({**HEAD, name: not_reduced(HEAD[name])}, "bad-scalar", f"proof.{name}") for name in HEAD),
        ({**HEAD, "s1": 1}, "wrong-type", "proof.s1"),
    ],
)
def test_the_head_is_read_strictly(value: Any, reason: str, field: str) -> None:
    with refused(reason, field):
        ShuffleProof.from_json(value, "proof")


def test_rows_and_head_round_trip() -> None:
    assert ShuffleProof.from_json(MIXED.proof.to_json()) == MIXED.proof
    assert [MixedRow.from_json(row.to_json(), "rows") for row in MIXED.rows] == MIXED.rows
    assert all(len(row.raw) == 224 and len(row.row.raw) == 96 for row in MIXED.rows)
