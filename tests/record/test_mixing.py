"""Mixing as the log demands it, and mixers that do it otherwise: each refusal names the mixer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from audit.protocol.group import ORDER, G, b64
from audit.protocol.shuffle import mix
from audit.protocol.shuffle_secret import MixSecret, order_of_keys
from audit.record.election import Election
from audit.record.entries import parse_entry
from audit.record.mixes import RollRows, mix_chunks, mix_head
from audit.record.mixing import place_of
from tests.record.mixing_meeting import HOLDINGS, Body, fault, hand_in, honest, issued, refused
from tests.simulator.meeting import Meeting
from tests.simulator.mixers import CHEATS, altered_weight, told


@pytest.fixture
def meeting() -> Meeting:
    return issued()


# As it should be


def test_every_mixer_mixes_every_roll(meeting: Meeting) -> None:
    former = {c: meeting.election.roll(c) for c in HOLDINGS}
    meeting.mix()
    for share_class, roll in meeting.election.rolls.items():
        assert roll.mixers == ("mixer-1", "mixer-2", "mixer-3")
        assert roll.issued == former[share_class].issued
        assert roll.generator != G and roll.hash != former[share_class].hash
        assert len(roll.rows) == len(HOLDINGS[share_class])
        own = [account for account in meeting.accounts if account.share_class == share_class]
        assert {(account.s * roll.generator).raw for account in own} == set(roll.rows)
    assert not meeting.election.mixings
    assert meeting.open().election.phase == "open"


def test_weights_stay_with_their_keys(meeting: Meeting) -> None:
    """Everybody votes for; the total is that of the weights."""
    meeting.mix().open()
    for account in meeting.accounts[:3]:
        meeting.vote(account, {"nominee-1": (1, 0, 0)})
    result = meeting.counted().election.result
    assert result is not None and result["contests"]["nominee-1"]["for"] == sum(HOLDINGS["common"][:3])


def test_who_follows_a_witnessed_log_comes_to_the_same_rolls(meeting: Meeting) -> None:
    meeting.mix().open()
    reader = Election(meeting.manifest.hash)
    for raw in meeting.entries:
        reader.apply_recorded(parse_entry(raw))
    assert (reader.rolls, reader.checker()) == (meeting.election.rolls, meeting.election.checker())


def test_who_follows_believes_the_proof_and_who_checks_does_not(meeting: Meeting) -> None:
    """What following a witnessed log believes, said by a test."""
    bodies = told(meeting.mix_chunks("common", "mixer-1"), altered_weight)
    reader = Election(meeting.manifest.hash)
    for raw in meeting.entries:
        reader.apply_recorded(parse_entry(raw))
    (raw,) = (meeting.signed("mix", body, meeting.parties.mixers[0]) for body in bodies)
    reader.apply_recorded(parse_entry(raw))
    assert reader.roll("common").mixers == ("mixer-1",)
    meeting.election.admit_unproven(parse_entry(raw), meeting.seen)
    fault("bad-proof", "mixer-1", lambda: meeting.add(raw))


def test_classes_are_mixed_each_at_its_own_pace(meeting: Meeting) -> None:
    honest(meeting, "mixer-1", "preferred")
    honest(meeting, "mixer-2", "preferred")
    honest(meeting, "mixer-1", "common")
    assert meeting.election.roll("preferred").mixers == ("mixer-1", "mixer-2")


# The order of things


def test_a_mixer_that_skips_its_turn(meeting: Meeting) -> None:
    refusal = fault("wrong-turn", "mixer-2", lambda: honest(meeting, "mixer-2"))
    assert "mixer-1" in refusal.detail


def test_a_mixer_that_mixes_twice(meeting: Meeting) -> None:
    honest(meeting, "mixer-1")
    fault("duplicate", "mixer-1", lambda: honest(meeting, "mixer-1"))
    honest(meeting, "mixer-2")
    honest(meeting, "mixer-3")
    fault("duplicate", "mixer-3", lambda: honest(meeting, "mixer-3"))


@pytest.mark.parametrize("done", [0, 1, 2])
def test_no_opening_before_every_mixer_has_mixed(meeting: Meeting, done: int) -> None:
    for mixer in ("mixer-1", "mixer-2", "mixer-3")[:done]:
        honest(meeting, mixer)
    refused("not-complete", f"mixer-{done + 1}", meeting.open)


def test_no_opening_while_one_class_is_not_mixed(meeting: Meeting) -> None:
    for mixer in ("mixer-1", "mixer-2", "mixer-3"):
        honest(meeting, mixer, "common")
    refusal = refused("not-complete", "mixer-1", meeting.open)
    assert "preferred" in refusal.detail


def test_nobody_mixes_a_roll_that_is_not_signed() -> None:
    signed, meeting = issued(), issued(signed=False)
    for raw in signed.entries[len(meeting.entries) :]:
        if parse_entry(raw).kind == "roll":
            meeting.add(raw)
    refused("not-complete", "issuer-2 has not signed", lambda: honest(meeting, "mixer-1"))
    sign = {"class": "common", "hash": b64(meeting.election.roll("common").issued)}
    meeting.act("roll-signed", sign, meeting.parties.issuers[1])
    refused("not-complete", "inspector has not signed", lambda: honest(meeting, "mixer-1", "common"))
    meeting.act("roll-signed", sign, meeting.parties.inspectors[0])
    honest(meeting, "mixer-1", "common")


def test_no_roll_is_issued_again_once_it_is_mixed(meeting: Meeting) -> None:
    accounts = [a for a in meeting.accounts if a.share_class == "common"]
    chunk = meeting.roll_chunks("common", accounts, 0)[0]
    honest(meeting, "mixer-1")
    again = meeting.signed("roll", {**chunk, "revision": 1}, meeting.parties.issuers[0])
    entry = parse_entry(again)
    refused("mixed", "mixer-1", lambda: meeting.election.admit(entry, meeting.seen))


def test_a_ballot_before_mixing_has_no_roll(meeting: Meeting) -> None:
    refused("not-complete", "mixer-1", lambda: meeting.election.ballot_context("common"))
    refused("not-complete", "mixer-1", lambda: meeting.election.weight("common", meeting.accounts[0].pseudonym.raw))
    refused("not-complete", "mixer-1", meeting.election.checker)


def test_a_manifest_without_mixers_has_none() -> None:
    meeting, other = issued(mixers=0), issued()
    bodies = meeting.mix_chunks("common", "mixer-1")
    raw = meeting.signed("mix", bodies[0], other.parties.mixers[0])
    refused("wrong-signers", "mixer-1", lambda: meeting.add(raw))
    assert meeting.open().election.phase == "open"


# What is in the list


@pytest.mark.parametrize("mixer", ["mixer-1", "mixer-2"])
@pytest.mark.parametrize("cheat", sorted(CHEATS))
def test_a_mixer_that(meeting: Meeting, cheat: str, mixer: str) -> None:
    if mixer == "mixer-2":
        honest(meeting, "mixer-1")
    change, reason, field = CHEATS[cheat]
    bodies = told(meeting.mix_chunks("common", mixer), change)
    assert fault(reason, mixer, lambda: hand_in(meeting, bodies, mixer)).field == field
    # Nothing of it is left: the same mixer may do better.
    hand_in(meeting, meeting.mix_chunks("common", mixer), mixer)


WITHOUT_PROOF = ["drops a row", "gives a row twice", "gives rows in an order of its own", "adds a surplus row"]


@pytest.mark.parametrize("cheat", WITHOUT_PROOF)
def test_rows_are_counted_and_compared_without_the_proof(meeting: Meeting, cheat: str) -> None:
    """By a door, and by who follows a witnessed log."""
    change, reason, _ = CHEATS[cheat]
    (body,) = told(meeting.mix_chunks("common", "mixer-1"), change)
    entry = parse_entry(meeting.signed("mix", body, meeting.parties.mixers[0]))
    fault(reason, "mixer-1", lambda: meeting.election.admit_unproven(entry, meeting.seen))


def test_the_exponent_0(meeting: Meeting) -> None:
    bodies = told(meeting.mix_chunks("common", "mixer-1"), generator=b64(bytes(32)))
    assert fault("identity", "mixer-1", lambda: hand_in(meeting, bodies, "mixer-1")).field == "generator"
    rows = [{**row, "K": b64(bytes(32))} for row in bodies[0]["rows"]]
    refusal = refused("identity", "", lambda: hand_in(meeting, [{**bodies[0], "rows": rows}], "mixer-1"))
    assert refusal.field == "rows[0].K"


def test_the_exponent_1(meeting: Meeting) -> None:
    bodies = told(meeting.mix_chunks("common", "mixer-1"), generator=b64(G.raw))
    assert fault("not-mixed", "mixer-1", lambda: hand_in(meeting, bodies, "mixer-1")).field == "generator"


def test_another_mixers_proof(meeting: Meeting) -> None:
    """The second mixer hands in the first one's mix of the issuers' list, as it stands and as one of the last list."""
    bodies = meeting.mix_chunks("common", "mixer-1")
    hand_in(meeting, bodies, "mixer-1")
    fault("another-list", "mixer-2", lambda: hand_in(meeting, bodies, "mixer-2"))
    last = b64(meeting.election.roll("common").hash)
    claimed = told(bodies, before=last, signer="mixer-2")
    fault("not-mixed", "mixer-2", lambda: hand_in(meeting, claimed, "mixer-2"))
    claimed = told(bodies, before=last, signer="mixer-2", generator=b64((5 * G).raw))
    fault("bad-proof", "mixer-2", lambda: hand_in(meeting, claimed, "mixer-2"))


def test_the_issuers_list_mixed_again_instead_of_the_last(meeting: Meeting) -> None:
    roll = meeting.election.roll("common")
    honest(meeting, "mixer-1", "common")
    last = meeting.election.roll("common")
    meeting.election.rolls["common"] = roll
    bodies = meeting.mix_chunks("common", "mixer-2")
    meeting.election.rolls["common"] = last
    fault("another-list", "mixer-2", lambda: hand_in(meeting, bodies, "mixer-2"))
    fault("bad-proof", "mixer-2", lambda: hand_in(meeting, told(bodies, before=b64(last.hash)), "mixer-2"))


def test_another_classes_list(meeting: Meeting) -> None:
    bodies = meeting.mix_chunks("preferred", "mixer-1")
    fault("another-list", "mixer-1", lambda: hand_in(meeting, told(bodies, list, **{"class": "common"}), "mixer-1"))


def test_the_list_of_a_rehearsal(meeting: Meeting) -> None:
    bodies = issued(seed=2).mix_chunks("common", "mixer-1")
    refused("another-election", "", lambda: hand_in(meeting, bodies, "mixer-1"))
    here = {"before": b64(meeting.election.roll("common").hash), "manifest": meeting.hash}
    fault("bad-proof", "mixer-1", lambda: hand_in(meeting, told(bodies, list, **here), "mixer-1"))


def test_each_number_of_the_head_counts(meeting: Meeting) -> None:
    bodies = meeting.mix_chunks("preferred", "mixer-1")
    for name, value in bodies[0]["proof"].items():
        proof = {**bodies[0]["proof"], name: bodies[0]["proof"]["s1" if name != "s1" else "s2"]}
        assert proof[name] != value
        act = partial(hand_in, meeting, told(bodies, proof=proof), "mixer-1")
        assert fault("bad-proof", "mixer-1", act).field == "proof"


def mixed_with(
    meeting: Meeting, share_class: str, x: int, order: Callable[[Sequence[int]], Sequence[int]]
) -> list[Body]:
    """A mix by mixer-1 with this exponent, its permutation made by `order` of the right one; the proof is true."""
    roll = meeting.election.roll(share_class)
    rows = RollRows.of(roll)
    with ThreadPoolExecutor(1) as executor:
        secret = MixSecret(order(order_of_keys(rows, x, executor)), x, bytes(32))
        mixed = mix(place_of(meeting.election, roll, "mixer-1"), rows, secret, executor)
    head = mix_head(meeting.manifest.hash, roll, "mixer-1", 0, mixed.generator, mixed.proof)
    return list(mix_chunks(head, mixed.rows()))


def test_a_true_mix_in_an_order_that_says_something(meeting: Meeting) -> None:
    """The proof holds for any permutation; the rows may stand in one order only."""
    bodies = mixed_with(meeting, "common", 12345, lambda pi: pi[::-1])
    assert fault("not-sorted", "mixer-1", lambda: hand_in(meeting, bodies, "mixer-1")).field == "rows[1].K"
    hand_in(meeting, mixed_with(meeting, "common", 12345, lambda pi: pi), "mixer-1")


def test_a_key_that_stands_on_two_rolls(meeting: Meeting) -> None:
    """A mixer that knows two secrets can bring their keys to one: c' = c s / s'."""
    common = meeting.accounts[0]
    preferred = next(a for a in meeting.accounts if a.share_class == "preferred")
    x = 12345
    exponents = {"common": x, "preferred": x * common.s * pow(preferred.s, -1, ORDER) % ORDER}
    made = {c: mixed_with(meeting, c, exponent, lambda pi: pi) for c, exponent in exponents.items()}
    hand_in(meeting, made["common"], "mixer-1")
    refusal = fault("duplicate", "mixer-1", lambda: hand_in(meeting, made["preferred"], "mixer-1"))
    assert "common" in refusal.detail
