"""A mix that comes in several entries: whole or not, cut evenly, and begun anew."""

from __future__ import annotations

import pytest

from audit.protocol.refused import MixerFault
from audit.record.entries import MAX_ENTRY, parse_entry
from audit.record.mixes import BUDGET, MOST_ATTEMPTS
from tests.record.mixing_meeting import Body, fault, hand_in, honest, issued, refused
from tests.simulator.dice import Dice
from tests.simulator.meeting import Meeting
from tests.simulator.parties import Parties


@pytest.fixture
def meeting() -> Meeting:
    return issued()


@pytest.fixture
def chunked(meeting: Meeting, monkeypatch: pytest.MonkeyPatch) -> list[Body]:
    """The first mixer's mix of common, in four chunks of one row, as if so few were allowed."""
    monkeypatch.setattr("audit.record.mixes.LEAST_ROWS", 1)
    bodies = meeting.mix_chunks("common", "mixer-1")
    assert len(bodies) == 1
    part = bodies[0]["part"]
    return [
        {**bodies[0], "first": i, "part": {**part, "index": i, "of": 4}, "rows": [row]}
        for i, row in enumerate(bodies[0]["rows"])
    ]


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1)])
def test_chunks_come_in_any_order(meeting: Meeting, chunked: list[Body], order: tuple[int, ...]) -> None:
    for i in order:
        assert meeting.election.roll("common").mixers == ()
        hand_in(meeting, [chunked[i]], "mixer-1")
    assert meeting.election.roll("common").mixers == ("mixer-1",)


def test_a_mix_not_whole_is_none(meeting: Meeting, chunked: list[Body]) -> None:
    hand_in(meeting, chunked[:3], "mixer-1")
    fault("wrong-turn", "mixer-2", lambda: honest(meeting, "mixer-2", "common"))
    refused("not-complete", "mixer-1", meeting.open)


def test_a_chunk_of_another_mix(meeting: Meeting, chunked: list[Body]) -> None:
    hand_in(meeting, chunked[:1], "mixer-1")
    refused("not-complete", "", lambda: honest(meeting, "mixer-1", "common"))


def test_a_chunk_twice(meeting: Meeting, chunked: list[Body]) -> None:
    hand_in(meeting, chunked[:1], "mixer-1")
    again = {**chunked[0], "rows": chunked[1]["rows"]}
    assert refused("duplicate", "", lambda: hand_in(meeting, [again], "mixer-1")).field == "part.index"


def test_a_chunk_of_other_rows_than_the_whole_names(meeting: Meeting, chunked: list[Body]) -> None:
    hand_in(meeting, chunked[:3], "mixer-1")
    other = {**chunked[3], "rows": chunked[2]["rows"]}
    assert refused("not-complete", "", lambda: hand_in(meeting, [other], "mixer-1")).field == "part.hash"
    hand_in(meeting, chunked[3:], "mixer-1")


def test_rows_beyond_the_list(meeting: Meeting, chunked: list[Body]) -> None:
    """Nothing is kept of what cannot be part of a mix."""
    beyond = {**chunked[3], "first": 4}
    fault("wrong-length", "mixer-1", lambda: hand_in(meeting, [beyond], "mixer-1"))


def recut(bodies: list[Body], *counts: int) -> list[Body]:
    """The rows of a mix in chunks of so many; parts and first rows follow from that."""
    rows, part, made, first = [row for body in bodies for row in body["rows"]], bodies[0]["part"], [], 0
    for i, count in enumerate(counts):
        place = {**part, "index": i, "of": len(counts)}
        made.append({**bodies[0], "first": first, "part": place, "rows": rows[first : first + count]})
        first += count
    return made


@pytest.mark.parametrize(
    "counts", [(50, 31, 19), (31, 31, 31, 7), (1, 99), (40, 60), (50, 50, 50)], ids=str
)
def test_a_mix_cut_unevenly(hundred: Meeting, counts: tuple[int, ...]) -> None:
    """A client must know where a row stands, and nobody read more chunks than rows are worth: some chunk is refused."""
    bodies = recut(hundred.mix_chunks("common", "mixer-1"), *counts)
    taken = 0
    with pytest.raises(MixerFault) as caught:
        for body in bodies:
            hand_in(hundred, [body], "mixer-1")
            taken += len(body["rows"])
    assert (caught.value.mixer, caught.value.reason, caught.value.field) == ("mixer-1", "wrong-length", "rows")
    assert taken < 100 and hundred.election.roll("common").mixers == ()


@pytest.mark.parametrize("counts", [(100,), (50, 50), (32, 32, 32, 4), (99, 1)])
def test_a_mix_cut_evenly(hundred: Meeting, counts: tuple[int, ...]) -> None:
    hand_in(hundred, recut(hundred.mix_chunks("common", "mixer-1"), *counts), "mixer-1")
    assert hundred.election.roll("common").mixers == ("mixer-1",)


@pytest.mark.parametrize("attempt", [1, 2, 2**53 - 1])
def test_an_attempt_that_follows_none(meeting: Meeting, attempt: int) -> None:
    """None is skipped, so that there is room for another after every one."""
    bodies = meeting.mix_chunks("common", "mixer-1", attempt)
    assert fault("wrong-attempt", "mixer-1", lambda: hand_in(meeting, bodies, "mixer-1")).field == "attempt"


def test_attempts_come_to_an_end(meeting: Meeting, chunked: list[Body]) -> None:
    for attempt in range(MOST_ATTEMPTS):
        hand_in(meeting, [{**chunked[0], "attempt": attempt}], "mixer-1")
    again = [{**chunked[0], "attempt": MOST_ATTEMPTS}]
    fault("wrong-attempt", "mixer-1", lambda: hand_in(meeting, again, "mixer-1"))


def test_a_new_attempt_begins_anew(meeting: Meeting, chunked: list[Body]) -> None:
    """A mixer that has lost what it was handing in is not shut out, and neither is the election."""
    hand_in(meeting, chunked[:2], "mixer-1")
    again = meeting.mix_chunks("common", "mixer-1", attempt=1)
    parts = [{**again[0], "first": i, "part": {**again[0]["part"], "index": i, "of": 4}} for i in range(4)]
    rows = again[0]["rows"]
    hand_in(meeting, [{**parts[0], "rows": rows[:1]}], "mixer-1")
    fault("wrong-attempt", "mixer-1", lambda: hand_in(meeting, chunked[2:], "mixer-1"))
    hand_in(meeting, [{**part, "rows": [row]} for part, row in zip(parts[1:], rows[1:], strict=True)], "mixer-1")
    assert meeting.election.roll("common").mixers == ("mixer-1",)


def test_no_roll_is_issued_again_once_mixing_has_begun(meeting: Meeting, chunked: list[Body]) -> None:
    accounts = [a for a in meeting.accounts if a.share_class == "common"]
    again = {**meeting.roll_chunks("common", accounts, 0)[0], "revision": 1}
    hand_in(meeting, chunked[:1], "mixer-1")
    entry = parse_entry(meeting.signed("roll", again, meeting.parties.issuers[0]))
    refused("mixed", "mixer-1", lambda: meeting.election.admit(entry, meeting.seen))


def test_looking_ahead_does_not_forget_what_came_in_between(meeting: Meeting, chunked: list[Body]) -> None:
    """A door judges the last chunk before it has read the one before that."""
    signer = meeting.parties.mixers[0]
    entries = [parse_entry(meeting.signed("mix", body, signer)) for body in chunked]
    for entry in entries[:2]:
        meeting.add(entry.raw)
    meeting.election.admit_unproven(entries[3], meeting.seen)
    meeting.add(entries[2].raw)
    meeting.add(entries[3].raw)
    assert meeting.election.roll("common").mixers == ("mixer-1",)


@pytest.fixture
def hundred() -> Meeting:
    return Meeting({"common": [1] * 100}, parties=Parties.drawn(Dice(3), mixers=1)).found().ceremony().rolls()


def test_chunks_fit_into_entries(hundred: Meeting) -> None:
    meeting = hundred
    bodies = meeting.mix_chunks("common", "mixer-1")
    counts = [len(body["rows"]) for body in bodies]
    assert len(counts) == 3 and counts[0] == counts[1] >= counts[2] and sum(counts) == 100
    raws = [meeting.signed("mix", body, meeting.parties.mixers[0]) for body in bodies]
    assert BUDGET < max(map(len, raws)) < BUDGET + 1_000 < MAX_ENTRY
    hand_in(meeting, bodies, "mixer-1")
    assert len(meeting.election.roll("common").rows) == 100
