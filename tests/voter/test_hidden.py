"""What a custodian keeps to itself, a key that was replaced, or what came after, the others show."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import pytest

from audit.log.checkpoint import open_note
from audit.log.keys import Signer
from audit.log.notes import Note, parse_note
from audit.log.sources import rekeys_text
from audit.protocol.group import b64
from audit.protocol.refused import Refused
from audit.record.entries import make_text, parse_entry, seal
from audit.record.heads import is_rekey
from infra.follow import Unreadable, WrongLog
from infra.hand_in import open_receipt
from intake.voter.opening import Opening, read_opening
from intake.voter.sightings import Sightings
from intake.voter.witnessed import WitnessedLog
from tests.simulator.dice import Dice
from tests.simulator.meeting import Meeting
from tests.simulator.parties import Parties
from tests.simulator.record import TIME, MemoryReader, files_of
from tests.simulator.rekeys import rekey

ONE, TWO = (Dice(seed).signers("intake-1") for seed in (55, 56))


class Said(MemoryReader):
    """A custodian that names only some of the rekeys."""

    def __init__(self, meeting: Meeting, *left_out: int, size: int | None = None, false: Sequence[int] = ()) -> None:
        entries = meeting.entries[:size]
        super().__init__(files_of(entries, meeting.parties, meeting.origin))
        places = sorted({*rekeys_in(meeting), *false} - set(left_out))
        self.files["rekeys"] = rekeys_text(place for place in places if place < len(entries) or place in false)

    def __str__(self) -> str:
        return "liar"


def rekeys_in(meeting: Meeting) -> list[int]:
    return [i for i, raw in enumerate(meeting.entries) if is_rekey(raw)]


def prepared(changes: int) -> Meeting:
    """An open vote, mixed; the first intake's key replaced as often, and a ballot after."""
    meeting = Meeting({"common": (5, 30)}, parties=Parties.drawn(Dice(2), mixers=1)).prepared()
    for new in (ONE, TWO)[:changes]:
        rekey(meeting, "intake", "intake-1", new)
    meeting.vote(meeting.accounts[0], {"nominee-1": (1, 0, 0)})
    return meeting


@pytest.fixture(scope="module")
def meeting() -> Meeting:
    return prepared(2)


def opened(meeting: Meeting, *readers: MemoryReader) -> Opening:
    return read_opening(readers, meeting.manifest.hash)


def receipt_by(meeting: Meeting, intake: Signer) -> bytes:
    """An intake's answer to the last ballot."""
    entry = parse_entry(seal(parse_entry(meeting.entries[-1]).text, [intake]))
    body = {"deadline": TIME, "identity": b64(entry.identity), "kind": "ballot", "leaf": b64(entry.leaf)}
    body |= {"manifest": meeting.hash}
    note = seal(make_text("receipt", meeting.origin, body), [intake])
    return json.dumps({"line": intake.sign(entry.text).line, "receipt": note.decode()}).encode()


@pytest.mark.parametrize("left_out", [(0, 1), (0,), (1,)])
@pytest.mark.parametrize("first", ["liar", "honest", "behind"])
def test_a_key_that_one_custodian_leaves_out(meeting: Meeting, left_out: tuple[int, ...], first: str) -> None:
    places = rekeys_in(meeting)
    liar, honest = Said(meeting, *(places[i] for i in left_out)), Said(meeting)
    readers = {
        "liar": (liar, honest),
        "honest": (honest, liar),
        "behind": (Said(meeting, size=places[0]), liar, honest),
    }[first]
    opening = opened(meeting, *readers)
    assert opening.manifest.intakes == meeting.manifest.intakes
    assert [one.index for one in opening.manifest.rekeys] == places
    ballot = parse_entry(meeting.entries[-1])
    assert open_receipt(opening.manifest, ballot.text, receipt_by(meeting, TWO[0])).intake == "intake-1"
    for old in (Parties.drawn(Dice(2), mixers=1).intakes[0], ONE[0]):
        with pytest.raises(Refused, match="the line by intake-1 is of key") as caught:
            open_receipt(opening.manifest, ballot.text, receipt_by(meeting, old))
        assert caught.value.reason == "bad-receipt"


def test_a_key_replaced_while_the_client_runs(meeting: Meeting) -> None:
    """Custodians that have the same head as before name it, or do not."""
    opening = opened(meeting, Said(meeting, *rekeys_in(meeting)))
    assert opening.manifest.rekeys == ()
    opening.log.readers.append(Said(meeting))
    opening.log.refresh()
    assert opening.manifest.intakes == meeting.manifest.intakes


def test_all_leave_out_the_first_of_two(meeting: Meeting) -> None:
    with pytest.raises(Unreadable, match="a rekey before entry .* is shown by nobody: old: these are not the keys"):
        opened(meeting, Said(meeting, rekeys_in(meeting)[0]))


@pytest.mark.parametrize("false", [[3], [2, 3, 4]])
def test_a_number_that_is_no_rekey_s(meeting: Meeting, false: list[int]) -> None:
    """Its word is worth nothing, and the others' as much as before."""
    liar = Said(meeting, false=false)
    opening = opened(meeting, liar, Said(meeting))
    assert opening.manifest.intakes == meeting.manifest.intakes
    assert opening.log.faults == [f"liar: says that entry {false[0]} is a rekey, which it is not"]
    assert opened(meeting, Said(meeting, false=[10**6])).manifest.intakes == meeting.manifest.intakes


def test_a_head_by_keys_that_do_not_count_any_more() -> None:
    """Whoever has the log's old key, and W custodians with it, go on as if it had not been replaced: another head is
    taken, and where there is none but such, the log is wrong."""
    meeting = Meeting({"common": (5, 30)}, parties=Parties.drawn(Dice(2), mixers=1)).prepared()
    old = meeting.parties
    rekey(meeting, "log", "log", Dice(57).log_keys("log"))
    meeting.parties, new = old, meeting.parties
    (place,) = rekeys_in(meeting)
    hiding, telling = Said(meeting, place), Said(meeting)
    meeting.parties = new
    log = opened(meeting, hiding, Said(meeting)).log
    assert log.manifest.log == meeting.manifest.log
    assert open_note(log.head.note, meeting.manifest.log).size == len(meeting.entries)
    with pytest.raises(WrongLog, match="rekey") as caught:
        opened(meeting, hiding, telling)
    assert caught.value.number == place


def test_what_is_kept_has_every_key(meeting: Meeting) -> None:
    """Also where the custodian that shows the leaf leaves out a key."""
    liar = Said(meeting, *rekeys_in(meeting))
    ballot = parse_entry(meeting.entries[-1])
    sightings = Sightings([liar], meeting.manifest.history[0], 0)
    sightings.learn(opened(meeting, Said(meeting)).manifest)
    sightings.look([ballot])
    assert sorted(sightings.rekeys) == rekeys_in(meeting)


# What is newest


@pytest.fixture
def log(meeting: Meeting) -> Iterator[WitnessedLog]:
    yield opened(meeting, Said(meeting)).log


def test_who_cannot_be_asked_is_named(meeting: Meeting, log: WitnessedLog) -> None:
    assert log.faults == []
    empty, broken = MemoryReader({}), MemoryReader({"checkpoint": b"x"})
    log.readers += [empty, broken]
    log.refresh()
    assert len(log.faults) == 2
    assert log.faults[0] == f"memory/checkpoint: shows no checkpoint, and others one over {log.size} entries"
    log.readers = [empty]
    with pytest.raises(Unreadable, match="shows no checkpoint"):
        log.refresh()


def test_the_time_is_that_by_which_w_custodians_have_signed(meeting: Meeting) -> None:
    reader = Said(meeting)
    text = parse_note(reader.files["checkpoint"]).text
    lines = [key.sign(text, TIME) for key in meeting.parties.log]
    for custodian, time in zip(meeting.parties.custodians, (TIME + 5, TIME + 9, TIME + 2), strict=True):
        lines += [key.sign(text, time) for key in custodian]
    reader.files["checkpoint"] = Note(text, tuple(lines)).raw
    assert opened(meeting, reader).log.cosigned == TIME + 5
