"""The chunks of the mix that is opened, and none beside them: who names its hash elsewhere, or is another, is passed
over; and what does not hold is one's own row's fault alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from audit.protocol.group import b64
from infra.follow import WrongLog
from intake.voter.accounts import find_holders
from intake.voter.holder import find_holder
from intake.voter.opening import OpenRoll, read_opening
from intake.voter.orders import Order
from tests.voter.crowd import GHAT, MIXES, Crowd, filler, strangers


@pytest.fixture(scope="module")
def crowd() -> Crowd:
    return Crowd(60)


def opened(crowd: Crowd, mixes: list[bytes], before: list[bytes] = (), after: list[bytes] = ()) -> OpenRoll:  # type: ignore[assignment]
    """The roll of common in a log in which the opening names the places of `mixes`."""
    first = len(crowd.setup) + len(before)
    opening = crowd.opening(first, first + len(mixes) - 1)
    entries = [*crowd.setup, *before, *mixes, *after, opening, *(filler("ballot", i) for i in range(3))]
    return read_opening([crowd.reader(entries)], crowd.meeting.manifest.hash).rolls["common"]


def another(crowd: Crowd, by: int = 1, **head: Any) -> list[bytes]:
    """Chunks that name the very hash of the mix, with rows of somebody else's making."""
    bodies = crowd.mix(sorted(strangers(60, 2_000_003), key=lambda K: K.raw), "common")
    changed = [{**body, "part": {**body["part"], "hash": MIXES["common"]}, **head} for body in bodies]
    return [crowd.sealed("mix", body, crowd.meeting.parties.mixers[by]) for body in changed]


def mixed_up(chunks: list[bytes], others: list[bytes]) -> list[bytes]:
    """Between them, the first and the last staying where they are."""
    return [chunks[0], *others, *chunks[1:]]


PASSED: dict[str, Callable[[Crowd], dict[str, list[bytes]]]] = {
    "an attempt given up before": lambda crowd: {"mixes": crowd.chunks(attempt=1), "before": another(crowd)},
    "one that comes after": lambda crowd: {"mixes": crowd.chunks(), "after": another(crowd)},
    "of another class": lambda crowd: {"mixes": mixed_up(crowd.chunks(), another(crowd, **{"class": "preferred"}))},
    "another mixer's": lambda crowd: {"mixes": mixed_up(crowd.chunks(), another(crowd, 0, signer="mixer-1"))},
    "no chunk": lambda crowd: {"mixes": mixed_up(crowd.chunks(), nonsense())},
}


def nonsense() -> list[bytes]:
    mix = MIXES["common"].encode()
    return [b"psephos/v1 mix\nx\n%s\n" % body for body in (mix, b'"%s"' % mix, b'{"part":"%s"}' % mix)]


@pytest.mark.parametrize("kind", PASSED)
def test_who_names_the_same_hash_is_passed_over(crowd: Crowd, kind: str) -> None:
    rows = opened(crowd, **PASSED[kind](crowd)).rows
    for codes in crowd.voters:
        assert rows.find(crowd.key(codes).raw) is not None
    assert rows.find(strangers(1, 2_000_003)[0].raw) is None


def in_one(crowd: Crowd) -> list[bytes]:
    """A chunk of eight rows, two of them in the wrong places."""
    bodies = crowd.mix(crowd.keys[:8], "common")
    rows = [row for i in (0, 1, 2, 5, 4, 3, 6, 7) for row in bodies[i]["rows"]]
    body = {**bodies[0], "part": {**bodies[0]["part"], "of": 1}, "rows": rows}
    return [crowd.sealed("mix", body, crowd.meeting.parties.mixers[1])]


CHUNKS: dict[str, tuple[Callable[[Crowd], list[bytes]], str, str]] = {
    "another's line": (
        lambda crowd: [
            crowd.sealed("mix", body, crowd.meeting.parties.mixers[0]) for body in crowd.mix(crowd.keys, "common")
        ],
        "wrong-signers",
        "signatures",
    ),
    "another generator": (
        lambda crowd: crowd.chunks(generator=b64((2 * GHAT).raw)), "another-list", "generator"
    ),
    "another election": (lambda crowd: crowd.chunks(manifest=b64(bytes(32))), "another-list", "manifest"),
    "not in order": (in_one, "not-sorted", "rows"),
    "not all": (lambda crowd: crowd.chunks()[:30] + crowd.chunks()[40:], "not-complete", ""),
    "none": (lambda crowd: crowd.chunks(**{"class": "preferred"}), "not-complete", ""),
    "two attempts": (lambda crowd: mixed_up(crowd.chunks(), another(crowd, attempt=1)), "wrong-attempt", "attempt"),
    "two numbers of chunks": (
        lambda crowd: mixed_up(crowd.chunks(), another(crowd, part={"hash": MIXES["common"], "index": 3, "of": 61})),
        "wrong-attempt",
        "attempt",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", CHUNKS)
def test_chunks_that_do_not_hold(crowd: Crowd, kind: str) -> None:
    make, reason, field = CHUNKS[kind]
    rows = opened(crowd, make(crowd)).rows
    with pytest.raises(WrongLog) as caught:
        rows.find(crowd.keys[35 if reason == "not-complete" else 4].raw)
    refusal = caught.value.refusal
    assert (caught.value.kind, refusal.reason, refusal.field) == ("mix", reason, field)


def test_one_row_that_does_not_hold_is_no_others_fault(crowd: Crowd) -> None:
    """Of many accounts, those whose rows are as they must be vote."""
    chunks = crowd.chunks()
    spoiled = crowd.key(crowd.voters[2])
    place = crowd.keys.index(spoiled)
    body = crowd.mix(crowd.keys, "common")[place]
    chunks[place] = crowd.sealed("mix", body, crowd.meeting.parties.mixers[0])
    first = len(crowd.setup)
    log = [*crowd.setup, *chunks, crowd.opening(first, first + len(chunks) - 1)]
    opening = read_opening([crowd.reader(log)], crowd.meeting.manifest.hash)
    orders = [Order(f"A{i}", codes, "common", {}) for i, codes in enumerate(crowd.voters)]
    holders, failed = find_holders(opening, orders)
    assert sorted(holders) == ["A0", "A1", "A3", "A4"] and list(failed) == ["A2"]
    assert f"entry {first + place} of the log (mix) is refused by the rules" in failed["A2"]


def test_a_bundle_that_nobody_gives_is_no_others_fault(crowd: Crowd) -> None:
    crowd = Crowd(700)
    reader = crowd.reader(crowd.log())
    opening = read_opening([reader], crowd.meeting.manifest.hash)
    orders = [Order(f"A{i}", codes, "common", {}) for i, codes in enumerate(crowd.voters)]
    del reader.files["tile/entries/000"], reader.files["tile/0/000"]
    holders, failed = find_holders(opening, orders)
    assert holders and failed and {*holders, *failed} == {order.name for order in orders}
    assert all("is missing" in why for why in failed.values())


def test_one_roll_that_does_not_hold_is_no_other_rolls_fault() -> None:
    """Of whom nobody says the class: it is looked for on every roll."""
    crowd = Crowd(60)
    crowd.others = [crowd.key(crowd.voters[0], "preferred")]
    spoiled = [crowd.sealed("mix", body, crowd.meeting.parties.mixers[0]) for body in crowd.mix(crowd.keys, "common")]
    opening = read_opening([crowd.reader(crowd.log(spoiled))], crowd.meeting.manifest.hash)
    assert find_holder(opening, crowd.voters[0]).share_class == "preferred"
    with pytest.raises(WrongLog):
        find_holder(opening, crowd.voters[1])
