"""A custodian that claims, by the log's stolen keys, that the ledger is an old copy, and then says nothing, or never
comes to an end: who has a mark goes on without it, and what it showed is judged all the same.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from audit.log.notes import Note
from audit.log.treehead import Checkpoint
from audit.record.restart import Restart
from tally.sequencer import courier, reading, survey, term
from tally.sequencer.claim import Claim
from tally.sequencer.courier import LedgerBehind
from tally.sequencer.custodian import Custodian, Rejected, Unavailable, Wire
from tally.sequencer.push import Stopped
from tests.sequencer.house import TOKEN, HostDisk, House, Liar, until_it_ends
from tests.sequencer.test_rekeying import made_up

TIME = 1_800_000_000
ENDLESS = 1 << 40
NO_WORD = Restart(frozenset(), 0, 0)


def claimed(house: House, folder: Path, *beyond: bytes) -> Claim:
    """Custodian 2 shows these entries beyond the log; a term begins, is told of them, and ends; custodian 2 is away."""
    with house.opened():
        pass
    made_up(house, folder, [*house.ledger.all_entries(), *beyond], house.meeting.parties.log)
    with pytest.raises(LedgerBehind) as behind, house.opened() as sequencer:
        until_it_ends(sequencer)
    house.vault.down(2)
    assert behind.value.claim is not None
    return behind.value.claim


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(survey, "SILENT_SECONDS", -1.0)


@pytest.mark.usefixtures("impatient")
def test_one_that_claims_and_falls_silent_does_not_stop_the_vote(
    open_house: House, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    claim = claimed(open_house, tmp_path, b"junk", b"junk2")
    open_house.queue.put(open_house.ballot(0))
    with open_house.sequencer(behind=True, claim=claim) as sequencer:
        assert sequencer._push.settled
        sequencer.open()
        assert sequencer.step()
    assert open_house.replay(0).ballots == 1
    said = capsys.readouterr().err
    for event in ("not-waited-for", "inadmissible", "fork"):
        assert f'"event": "{event}", "custodian": "{claim.label}"' in said


@pytest.mark.usefixtures("impatient")
def test_what_it_claimed_is_recorded_if_the_rules_take_it_though_it_is_silent(
    open_house: House, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It may be honest: then the log has signed this, and signs no other tree of its size."""
    before, ballot = list(open_house.ledger.all_entries()), open_house.ballot(0)
    claim = claimed(open_house, tmp_path, ballot)
    with open_house.sequencer(behind=True, claim=claim):
        assert list(open_house.ledger.all_entries()) == [*before, ballot]
    # And it is accused of nothing.
    assert '"event": "fork"' not in capsys.readouterr().err


def test_what_it_gave_with_its_claim_it_cannot_keep_back(open_house: House, tmp_path: Path) -> None:
    before, ballot = list(open_house.ledger.all_entries()), open_house.ballot(0)
    claim = claimed(open_house, tmp_path, ballot)
    shown = Liar(open_house.vault.app(2), 200, [claim.note.raw], where="/held", exactly=True)
    open_house.vault.apps[2] = Liar(shown, 503, [], where="/held/")
    with open_house.sequencer(behind=True, claim=claim):
        assert list(open_house.ledger.all_entries()) == [*before, ballot]


@pytest.mark.usefixtures("impatient")
def test_fewer_than_w_that_answer_are_not_enough(open_house: House, tmp_path: Path) -> None:
    claim = claimed(open_house, tmp_path, b"junk")
    open_house.vault.down(1)
    with pytest.raises(TimeoutError), open_house.sequencer(behind=True, claim=claim):
        pass


@pytest.mark.usefixtures("impatient")
def test_one_that_the_officials_leave_out_does_not_count_to_the_w_that_answer(
    open_house: House, tmp_path: Path
) -> None:
    claim, word = claimed(open_house, tmp_path, b"junk"), Restart(frozenset({"custodian-b"}), 0, ENDLESS)
    with pytest.raises(TimeoutError), open_house.sequencer(behind=True, claim=claim, word=word):
        pass


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("lost", ["the mark", "the claim"])
def test_all_are_waited_for_where_more_than_a_claim_says_so(open_house: House, tmp_path: Path, lost: str) -> None:
    """No mark says that the ledger is no old copy; or W custodians, or the mark, say that it is one."""
    claim = claimed(open_house, tmp_path, b"junk")
    if lost == "the mark":
        open_house.mark = HostDisk()
    with (
        pytest.raises(TimeoutError),
        open_house.sequencer(behind=True, claim=None if lost == "the claim" else claim),
    ):
        pass


def test_of_a_claim_that_is_too_much_to_keep_nothing_is_kept(
    open_house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is left of it would lead to another tree, as if it were inadmissible."""
    monkeypatch.setattr(courier, "MOST_KEPT", 9)
    claim = claimed(open_house, tmp_path, b"0123", b"4567", b"8901", b"2345")
    assert list(claim.entries(claim.size, claim.size - 4)) == []


@pytest.mark.parametrize(
    ("label", "size", "kept", "leads"),
    [
        ("custodian-2", 5, [b"d", b"e"], True),
        ("custodian-1", 5, [b"d", b"e"], False),
        ("custodian-2", 6, [b"d", b"e"], False),
        ("custodian-2", 5, [], False),
    ],
    ids=["its own", "another custodian's", "another tree's", "none"],
)
def test_only_what_was_kept_of_the_same_tree_stands_for_what_is_shown(
    label: str, size: int, kept: list[bytes], leads: bool
) -> None:
    claim = Claim("custodian-2", Note(Checkpoint("log", 5, b"r" * 32).text, ()), 5, 3, kept)
    shown = Note(Checkpoint("log", size, b"r" * 32).text, ())
    assert claim.leads_to(Custodian(label, lambda *_: pytest.fail("is asked")), shown) == leads


def test_what_was_too_much_to_keep_is_not_adopted(open_house: House) -> None:
    origin, first = open_house.meeting.origin, 3
    note = Note(Checkpoint(origin, 5, b"r" * 32).text, ())
    claim = Claim("custodian-2", note, 5, first, [b"d", b"e"])
    assert list(claim.entries(5, 4)) == [b"e"]
    with pytest.raises(Rejected, match="not-kept"):
        claim.entries(5, 2)
    with pytest.raises(Unavailable):
        claim.published()


def endless(house: House, given: list[bytes], at: Callable[[int], None]) -> Custodian:
    """One that shows a tree without end, and gives junk for it; `at` is told how many it has given."""
    parties = house.meeting.parties
    text = Checkpoint(house.meeting.origin, ENDLESS, b"r" * 32).text
    note = Note(text, tuple(key.sign(text, TIME) for key in (*parties.log, *parties.custodians[2])))

    class Endless(Custodian):
        def held(self) -> Note:
            return note

        def published(self) -> Note:
            raise Rejected(404, "unknown")

        def entries(self, size: int, first: int = 0) -> Iterator[bytes]:
            for _ in range(100_000):
                given.append(b"junk")
                at(len(given))
                yield b"junk"

    return Endless("custodian-2", Wire(house.vault.urls[2], house.meeting.origin, TOKEN))


@pytest.mark.parametrize("left_out", [False, True])
def test_a_stop_is_seen_while_the_rest_of_a_claim_is_read(open_house: House, left_out: bool) -> None:
    with open_house.opened():
        pass
    name, given = open_house.meeting.manifest.log.custodians[2][0], list[bytes]()
    made = open_house.term(Restart(frozenset({name}), 0, ENDLESS) if left_out else NO_WORD)
    made.custodians[2] = endless(open_house, given, lambda count: None)  # type: ignore[index]

    def check() -> None:
        if len(given) > 300:
            raise Stopped

    with pytest.raises(Stopped):
        made.begin(True, lambda: None, check)
    open_house.hang_up(made)
    assert 300 < len(given) < 400


def test_a_claim_without_end_that_is_given_in_time_is_left_after_a_minute(
    open_house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, given = [0.0], list[bytes]()
    in_time = reading.in_time
    monkeypatch.setattr("tally.sequencer.adopt.in_time", lambda *these: in_time(*these, clock=lambda: now[0]))

    def passes(count: int) -> None:
        # A page each nine seconds.
        now[0] += 9.0 / 256

    with open_house.opened():
        pass
    made = open_house.term()
    made.custodians[2] = endless(open_house, given, passes)  # type: ignore[index]
    before = open_house.ledger.newest()
    made.begin(True, lambda: None)
    open_house.hang_up(made)
    assert made.push.settled and open_house.ledger.newest() == before
    assert len(given) < 8 * 256


def test_what_w_have_cosigned_has_time_for_every_page_and_what_is_beyond_has_a_minute() -> None:
    now = [0.0]

    def drips(count: int) -> Iterator[bytes]:
        for _ in range(count):
            now[0] += 9.0 / 256
            yield b"entry"

    assert len(list(reading.in_time(drips(100 * 256), 100 * 256, clock=lambda: now[0]))) == 100 * 256
    with pytest.raises(Unavailable):
        list(reading.in_time(drips(100 * 256), 256, clock=lambda: now[0]))


def test_checking_counts_once_more_was_given_than_a_sequencer_stages() -> None:
    now, taken = [0.0], 0
    with pytest.raises(Unavailable):
        for _ in reading.in_time(iter([b"entry"] * 1000), 0, clock=lambda: now[0]):
            now[0], taken = now[0] + 1.0, taken + 1
    assert taken == 256 + 60


class Turns:
    """Whether this process has the turn, as often as it looks."""

    def __init__(self, *turns: bool) -> None:
        self._turns = iter(turns)

    def seize(self) -> bool:
        return next(self._turns)

    def leave(self) -> None:
        pass


@pytest.mark.parametrize(("grows", "again"), [(True, False), (False, True)])
def test_who_found_the_ledger_behind_forgets_it_once_another_has_gone_on(
    monkeypatch: pytest.MonkeyPatch, grows: bool, again: bool
) -> None:
    monkeypatch.setattr(term, "turn", lambda *_: nullcontext(threading.Event()))
    monkeypatch.setattr(term, "STANDBY_SECONDS", 0)
    stop, asked, size = threading.Event(), list[bool](), [7]

    def serve(over: object, behind: bool, claim: Claim | None) -> None:
        asked.append(behind)
        if len(asked) == 1:
            raise LedgerBehind("a copy from before")
        stop.set()

    def follow() -> None:
        # Another leads.
        size[0] += grows

    newest = SimpleNamespace(newest=lambda: SimpleNamespace(size=size[0]))
    push = SimpleNamespace(settled=True)
    made: Any = SimpleNamespace(serve=serve, push=push, sequencer=SimpleNamespace(follow=follow), ledger=newest)
    leading: Any = Turns(True, False, False, False, True)
    term.stand_by(lambda: made, leading, stop)
    assert asked == [False, again]


@pytest.mark.parametrize("settled", [True, False])
def test_what_was_found_is_forgotten_with_a_lost_turn_only_if_all_were_asked_in_it(
    monkeypatch: pytest.MonkeyPatch, settled: bool
) -> None:
    """Who showed that the ledger is an old copy may be away by the next."""
    monkeypatch.setattr(term, "turn", lambda *_: nullcontext(threading.Event()))
    stop, asked = threading.Event(), list[bool]()

    def serve(over: object, behind: bool, claim: Claim | None) -> None:
        asked.append(behind)
        if len(asked) == 1:
            raise LedgerBehind("a copy from before")
        if len(asked) == 3:
            stop.set()

    ledger = SimpleNamespace(newest=lambda: SimpleNamespace(size=7))
    made: Any = SimpleNamespace(serve=serve, push=SimpleNamespace(settled=settled), ledger=ledger)
    leading: Any = Turns(True, True, True)
    term.stand_by(lambda: made, leading, stop)
    assert asked == [False, True, not settled]
