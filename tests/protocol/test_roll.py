"""The roll: halves proved, weights hidden, their total open, every row bound."""

from __future__ import annotations

import pytest

from audit.protocol.control_number import new_control_number, parse_control_number
from audit.protocol.elgamal import encrypt
from audit.protocol.group import ORDER, G, b64
from audit.protocol.roll import (
    Half,
    anonymous_roll_hash,
    check_total,
    credential,
    make_half,
    verify_half,
    weight_randomness,
)
from audit.protocol.transcript import Context
from tests.protocol.sample import MANIFEST, REHEARSAL, Y, element, opened, plus_one, refused

CODE = parse_control_number(new_control_number(bytes(range(16))))
OTHER = parse_control_number(new_control_number(bytes(range(1, 17))))
HERE = Context(MANIFEST, Y)
HALF = make_half(HERE, "common", 2, 3, 1, 0x5EC, 0x4E04)


def test_secrets_of_a_number_depend_on_all_they_are_for() -> None:
    drawn = [
        f(manifest, roll, revision, code)
        for f in (credential, weight_randomness)
        for manifest in (MANIFEST, REHEARSAL)
        for roll in ("common", "preferred")
        for revision in (0, 1)
        for code in (CODE, OTHER)
    ]
    assert len(set(drawn)) == len(drawn)
    assert all(0 < scalar < ORDER for scalar in drawn)


@pytest.mark.parametrize("code", [new_control_number(bytes(16)), CODE.lower(), CODE[:-1], "I" * 25, ""])
def test_only_parsed_numbers_are_hashed(code: str) -> None:
    for f in (credential, weight_randomness):
        with refused("syntax"):
            f(MANIFEST, "common", 0, code)


def test_a_half_is_proved_and_round_trips() -> None:
    verify_half(HERE, "common", 2, 3, 1, HALF)
    assert Half.from_json(HALF.to_json()) == HALF
    assert Half.from_json({**HALF.to_json(), "E": ["", ""]}) == HALF


@pytest.mark.parametrize(
    ("context", "roll", "revision", "row", "k"),
    [
        (Context(REHEARSAL, Y), "common", 2, 3, 1),
        (Context(MANIFEST, Y + G), "common", 2, 3, 1),
        (HERE, "preferred", 2, 3, 1),
        (HERE, "common", 1, 3, 1),
        (HERE, "common", 3, 3, 1),
        (HERE, "common", 2, 4, 1),
        (HERE, "common", 2, 3, 0),
    ],
)
def test_a_half_holds_in_its_place_only(context: Context, roll: str, revision: int, row: int, k: int) -> None:
    with refused("bad-proof", "proof"):
        verify_half(context, roll, revision, row, k, HALF)


def test_each_field_of_a_half_counts() -> None:
    row = HALF.to_json()
    changed = [
        {**row, "K": b64((HALF.K + G).raw)},
        {**row, "proof": {**row["proof"], "c": plus_one(row["proof"]["c"])}},
        {**row, "proof": {**row["proof"], "z": plus_one(row["proof"]["z"])}},
    ]
    for other in changed:
        with refused("bad-proof", "proof"):
            verify_half(HERE, "common", 2, 3, 1, Half.from_json(other))


@pytest.mark.parametrize(
    ("change", "reason", "field"),
    [
        ({"K": b64(bytes(32))}, "identity", "rows[7].K"),
        ({"K": b64(b"\xff" * 32)}, "bad-element", "rows[7].K"),
        ({"K": 1}, "wrong-type", "rows[7].K"),
        ({"K": b64(bytes(33))}, "wrong-length", "rows[7].K"),
        ({"proof": "x"}, "wrong-type", "rows[7].proof"),
        ({"proof": {"c": "", "z": ""}}, "wrong-length", "rows[7].proof.c"),
        ({"proof": {"c": b64(bytes(32))}}, "missing-field", "rows[7].proof.z"),
    ],
)
def test_rows_are_read_strictly(change: dict[str, object], reason: str, field: str) -> None:
    with refused(reason, field):
        Half.from_json({**HALF.to_json(), **change}, "rows[7]")


def test_missing_fields_are_named() -> None:
    for name in ("K", "proof"):
        with refused("missing-field", f"rows[0].{name}"):
            Half.from_json({key: value for key, value in HALF.to_json().items() if key != name}, "rows[0]")


WEIGHTS = [17, 1, 2**39, 4]
RANDOMNESS = [weight_randomness(MANIFEST, "common", revision, CODE) for revision in range(4)]
ENCRYPTED = [encrypt(w, Y, r) for w, r in zip(WEIGHTS, RANDOMNESS, strict=True)]


def test_the_total_of_the_weights_is_open() -> None:
    check_total(ENCRYPTED, sum(WEIGHTS), sum(RANDOMNESS) % ORDER, Y)
    assert [opened(E) for E in ENCRYPTED] == [w * G for w in WEIGHTS]


@pytest.mark.parametrize(("votes", "R", "key"), [(1, 0, Y), (-1, 0, Y), (0, 1, Y), (0, 0, Y + G)])
def test_a_wrong_total_is_refused(votes: int, R: int, key: object) -> None:
    with refused("wrong-total", "total"):
        check_total(ENCRYPTED, sum(WEIGHTS) + votes, sum(RANDOMNESS) + R, key)  # type: ignore[arg-type]


def test_a_weight_changed_left_out_or_added_is_refused() -> None:
    for weights in (ENCRYPTED[1:], [*ENCRYPTED, encrypt(1, Y, 1)], [ENCRYPTED[0] + encrypt(1, Y, 0), *ENCRYPTED[1:]]):
        with refused("wrong-total", "total"):
            check_total(weights, sum(WEIGHTS), sum(RANDOMNESS) % ORDER, Y)


def test_the_hash_of_the_anonymous_roll_binds_generator_rows_and_order() -> None:
    rows = [(element(f"P{i}"), E) for i, E in enumerate(ENCRYPTED)]
    crossed = [(rows[0][0], rows[1][1]), (rows[1][0], rows[0][1]), *rows[2:]]
    hashes = {
        anonymous_roll_hash(generator, some)
        for generator in (G, element("Ghat"))
        for some in (rows, rows[::-1], rows[:-1], crossed, [])
    }
    assert len(hashes) == 10
    assert all(len(digest) == 32 for digest in hashes)
    assert anonymous_roll_hash(G, iter(rows)) == anonymous_roll_hash(G, rows)
