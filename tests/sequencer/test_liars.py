"""Custodians that answer what they like: none of them, alone, can stop the log, fork it, or get anything into the note
that is published.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from audit.log.checkpoint import LogPolicy, open_note
from audit.log.keys import Signature
from audit.log.notes import Note, parse_note
from audit.log.tiles import frame
from audit.protocol.refused import Refused
from infra.log import WORD
from tally.sequencer import custodian as client
from tally.sequencer.courier import FIRST_PAUSE
from tally.sequencer.custodian import Custodian, Rejected, Unavailable, Wire, label_of
from tally.sequencer.joining import custodian_of, join
from tally.sequencer.ledger import Ledger
from tests.loopback import PATIENCE, wait_until
from tests.sequencer.house import TOKEN, House
from tests.simulator.meeting import Meeting

DEEP = b"[" * 200_000
TIME = 1_800_000_000


def places(note: bytes | Note) -> list[tuple[str, bytes]]:
    parsed = note if isinstance(note, Note) else parse_note(note)
    return [(line.name, line.key_id) for line in parsed.signatures]


def published(house: House, custodian: int = 1) -> bytes:
    raw = house.vault.reader(custodian).checkpoint()
    assert raw is not None
    return raw


@pytest.fixture
def one(house: House) -> Iterator[Custodian]:
    wire = Wire(house.vault.urls[0], house.meeting.origin, TOKEN)
    yield Custodian("custodian-0", wire)
    wire.close()


def test_a_hundred_true_lines_of_one_custodian_neither_count_nor_get_into_the_note(open_house: House) -> None:
    vault, before = open_house.vault, len(open_house.vault.entries())
    signers = open_house.meeting.parties.custodians[0]
    open_house.queue.put(open_house.ballot())
    with open_house.opened() as sequencer:
        vault.apps[0] = vault.app(0, list(signers) * (100 // len(signers)))
        vault.down(2)
        round = threading.Thread(target=sequencer.step, daemon=True)
        round.start()
        wait_until(lambda: sequencer._push.sizes()[sequencer._push._couriers[1].label] == before + 1)
        round.join(5 * FIRST_PAUSE)
        assert open_house.ledger.witnessed(before + 1) is None
        vault.up(2)
        round.join(PATIENCE)
    assert vault.size(1) == before + 1
    assert len(places(published(open_house))) == len(set(places(published(open_house))))


def test_one_that_holds_everything_and_may_not_sign_yet_is_asked_until_it_does(open_house: House) -> None:
    # As one that was restarted after it had stored what was sent, while it reads everything again.
    vault = open_house.vault
    open_house.queue.put(open_house.ballot())
    vault.apps[0] = vault.app(0, [])
    vault.down(2)
    with open_house.opened() as sequencer:
        round = threading.Thread(target=sequencer.step, daemon=True)
        round.start()
        round.join(5 * FIRST_PAUSE)
        assert round.is_alive()
        vault.apps[0] = vault.app(0)
        round.join(PATIENCE)
        assert not round.is_alive()


def test_the_liar_removed_the_log_goes_on_with_all(open_house: House) -> None:
    vault, before = open_house.vault, len(open_house.vault.entries())
    signers = open_house.meeting.parties.custodians[0]
    vault.apps[0] = vault.app(0, list(signers) * (100 // len(signers)))
    open_house.record(open_house.ballot(0))
    vault.up(0)
    open_house.queue.put(open_house.ballot(1))
    with open_house.opened() as sequencer:
        sequencer.step()
        wait_until(lambda: open_house.replay_size() == before + 2)


def test_lines_stand_in_the_manifests_order_whoever_answers_first_and_however(open_house: House) -> None:
    vault, policy = open_house.vault, open_house.vault.meeting_policy
    for i, signers in enumerate(open_house.meeting.parties.custodians):
        vault.apps[i] = vault.app(i, signers[::-1])
    for revision, away in enumerate((0, 1, 2)):
        vault.down(away)
        open_house.record(open_house.ballot(revision=revision))
        note = published(open_house, 1 if away == 2 else 2)
        order = [(key.name, key.key_id) for key in policy.verifiers]
        assert places(note) == [place for place in order if place in places(note)]
        assert open_note(parse_note(note), policy, exact=True)
        vault.apps[away] = vault.app(away, open_house.meeting.parties.custodians[away][::-1])


@pytest.mark.parametrize("status", [200, 400, 404, 409, 422])
def test_json_nested_beyond_reading_stops_nobody(open_house: House, status: int) -> None:
    before = len(open_house.vault.entries())
    open_house.vault.lies(0, status, DEEP)
    open_house.sequence(open_house.ballot())
    assert open_house.vault.size(1) == before + 1


def test_an_answer_nobody_foresaw_stops_nobody(open_house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def stumbles(*_: object) -> None:
        raise ZeroDivisionError

    before = len(open_house.vault.entries())
    with open_house.opened() as sequencer:
        monkeypatch.setattr(sequencer._push._couriers[0], "_report", stumbles)
        open_house.queue.put(open_house.ballot())
        sequencer.step()
    assert open_house.vault.size(1) == before + 1


def test_an_answer_that_drips_is_given_up(one: Custodian, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "SECONDS", 0.3)
    house.vault.lies(0, 200, *[b"x"] * 40, pause=0.05)
    with pytest.raises(Unavailable):
        one.held()


def test_an_answer_that_does_not_end_is_given_up(one: Custodian, house: House) -> None:
    house.vault.lies(0, 200, *[bytes(1 << 20)] * 64, where="/held")
    with pytest.raises(Unavailable):
        one.held()
    with pytest.raises(Unavailable):
        next(one.entries(1 << 20))


def test_an_answer_that_unpacks_to_more_is_not_unpacked(one: Custodian, house: House) -> None:
    house.vault.lies(0, 200, b"\x1f\x8b")
    with pytest.raises(Rejected):
        one.held()


@pytest.mark.parametrize("count", [1, 3])
def test_entries_in_another_number_than_asked_for(one: Custodian, house: House, count: int) -> None:
    house.vault.lies(0, 200, frame([b"x"] * count), where="/held/")
    with pytest.raises(Rejected):
        list(one.entries(2))


GARBAGE = {
    "other entries": lambda raws: frame(raws[::-1]),
    "no entries": lambda raws: frame([b"x" * 100] * len(raws)),
    "no frames": lambda raws: b"\xff" * 999,
    "nothing": lambda raws: b"",
    "too few": lambda raws: frame(raws[:-1]),
    "too many": lambda raws: frame([*raws, raws[-1]]),
    "nested beyond reading": lambda raws: frame([b"psephos/v1 open\nx\n" + DEEP[:60_000] + b"\n"] * len(raws)),
}


@pytest.mark.parametrize("garbage", GARBAGE)
def test_a_lost_ledger_is_read_back_though_one_custodian_gives_others_entries(
    open_house: House, other_ledger: Ledger, garbage: str
) -> None:
    before = [entry.raw for entry in open_house.vault.entries()]
    open_house.vault.lies(0, 200, GARBAGE[garbage](before), where="/held/")
    after = replace(open_house, ledger=other_ledger)
    ballot = open_house.ballot()
    after.record(ballot)
    assert list(other_ledger.all_entries()) == [*before, ballot]


def test_a_custodian_that_shows_its_head_and_then_is_silent_is_passed_over(
    open_house: House, other_ledger: Ledger
) -> None:
    size = len(open_house.vault.entries())
    open_house.vault.lies(0, 503, where="/held/")
    replace(open_house, ledger=other_ledger).record()
    assert other_ledger.newest().size == size


def test_while_all_give_others_entries_the_ledger_stays_empty(open_house: House, other_ledger: Ledger) -> None:
    for i in range(3):
        open_house.vault.lies(i, 200, frame([b"x"]), where="/held/")
    with pytest.raises(TimeoutError), replace(open_house, ledger=other_ledger).sequencer():
        pass
    assert other_ledger.newest().size == 0


def test_the_logs_lines_doubled_by_a_custodian_are_not_adopted(open_house: House, other_ledger: Ledger) -> None:
    size = len(open_house.vault.entries())
    note = parse_note(open_house.ledger.signed(size) or b"")
    doubled = Note(note.text, note.signatures[::-1] * 40).raw
    open_house.vault.lies(0, 200, doubled, where="/held", exactly=True)
    with replace(open_house, ledger=other_ledger).sequencer():
        assert other_ledger.signed(size) == note.raw


@pytest.fixture(scope="module")
def meeting() -> Meeting:
    return Meeting().found()


@pytest.fixture(scope="module")
def policy(meeting: Meeting) -> LogPolicy:
    return meeting.manifest.log


@pytest.fixture(scope="module")
def text(policy: LogPolicy) -> bytes:
    return f"{policy.origin}\n1\n{'A' * 43}=\n".encode()


@pytest.fixture(scope="module")
def lines(meeting: Meeting, text: bytes) -> list[list[Signature]]:
    return [[key.sign(text, TIME) for key in keys] for keys in meeting.parties.custodians]


def test_each_key_once_in_any_order(text: bytes, lines: list[list[Signature]], policy: LogPolicy) -> None:
    name, mine = custodian_of(text, lines[1][::-1], policy)
    assert (name, list(mine)) == (policy.custodians[1][0], lines[1])


def test_a_line_too_many_or_too_few(
    meeting: Meeting, text: bytes, lines: list[list[Signature]], policy: LogPolicy
) -> None:
    again = meeting.parties.custodians[1][0].sign(text, TIME + 1)
    stranger = Meeting(seed=77).parties.custodians[1][0].sign(text, TIME)
    wrong = ([], lines[1][:-1], [*lines[1], again], [*lines[1], stranger], [*lines[1], *lines[2]], [*lines[1] * 2])
    for answer in (*wrong, [meeting.parties.log[0].sign(text), *lines[1]]):
        with pytest.raises(Refused) as refused:
            custodian_of(text, answer, policy)
        assert refused.value.reason == "wrong-signers"


def test_a_line_over_another_tree(text: bytes, lines: list[list[Signature]], policy: LogPolicy) -> None:
    with pytest.raises(Refused) as refused:
        custodian_of(text.replace(b"\n1\n", b"\n2\n"), lines[0], policy)
    assert refused.value.reason == "bad-signature"


def test_joined_they_are_a_note_that_everybody_believes(
    meeting: Meeting, text: bytes, lines: list[list[Signature]], policy: LogPolicy
) -> None:
    own = Note(text, tuple(key.sign(text, TIME) for key in meeting.parties.log))
    names = [name for name, _ in policy.custodians]
    joined = join(own, {names[2]: tuple(lines[2]), names[0]: tuple(lines[0])}, policy)
    assert list(joined.signatures) == [*own.signatures, *lines[0], *lines[2]]
    with pytest.raises(Refused) as refused:
        join(own, {names[2]: tuple(lines[2])}, policy)
    assert refused.value.reason == "not-witnessed"


@pytest.mark.parametrize(
    "url",
    [
        "http://custodian_1:9000",
        "http://[::1]:9000",
        "http://name:secret@custodian-1:9000",
        "http://\u00fcmlaut.example:9000",
        "http://a.very.long.name.of.a.host.that.keeps.copies.of.logs.example:9000",
        "http://",
    ],
)
def test_every_address_has_a_label_that_may_be_logged(url: str) -> None:
    label = label_of(url)
    assert WORD.fullmatch(label)
    assert "secret" not in label


def test_two_addresses_of_one_custodian_are_told_with_the_first_entry(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    house.vault.urls[2] = house.vault.urls[0]
    house.record(house.meeting.entries[0])
    said = f'"event": "one-custodian-twice", "custodian": "{label_of(house.vault.urls[0])}"'
    with house.opened():
        wait_until(lambda: said in capsys.readouterr().err)
