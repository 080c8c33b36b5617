"""Several sources of one log: a rekey that any of them shows is not to be kept back by the one that is believed."""

from __future__ import annotations

from concurrent.futures import Executor
from pathlib import Path

import pytest

from audit import commands
from audit.dispute_sources import newest
from audit.log.reader import Reader, ReadError
from audit.log.sources import rekeys_text
from audit.protocol.group import b64
from audit.protocol.refused import Refused
from audit.record.entries import Entry
from audit.verify import NotVerified, verify_record
from audit.verify_report import trusted
from tests.simulator.dice import Dice
from tests.simulator.meeting import Meeting
from tests.simulator.record import MemoryReader, files_of, write
from tests.simulator.rekeys import rekey, rekeying, take_over
from tests.verify.disputing import AFTER, FOR, MISSING, RECORDED, Voter, offline, run


class Stolen:
    """A meeting whose log and one custodian got new keys. `thief` has those that were replaced, and enough of the
    custodians with it: it shows another log, in which that never happened, and which is longer.
    """

    def __init__(self) -> None:
        self.meeting = meeting = Meeting().prepared()
        self.before = before = meeting.parties
        common = list(meeting.entries)
        rekey(meeting, "log", "log", Dice(78).log_keys("log"))
        self.place = meeting.election.size - 1
        rekey(meeting, "custodian", "custodian-b", Dice(79).custodian_keys("custodian-e"))
        self.ballot: Entry = meeting.vote(meeting.accounts[0], FOR)
        body = {"manifest": meeting.hash, "subject": "incident"}
        notices = [meeting.signed("notice", {**body, "text": f"{n}"}, *before.officials[:2]) for n in range(4)]
        self.true = files_of(meeting.entries, meeting.parties, meeting.origin)
        self.false = files_of([*common, *notices], before, meeting.origin)
        self.pinned = meeting.manifest.hash

    def honest(self) -> MemoryReader:
        return MemoryReader(self.true | {"rekeys": rekeys_text([self.place, self.place + 1])})

    def thief(self) -> MemoryReader:
        return MemoryReader(self.false | {"rekeys": b""})


class Forked:
    """As `Stolen`, and an intake's key is replaced, too: not one that the thief needs."""

    def __init__(self, recorded: bool) -> None:
        self.meeting = meeting = Meeting().prepared()
        before, common = meeting.parties, list(meeting.entries)
        public = rekeying(meeting, "intake", "intake-1", Dice(80).signers("intake-1"))
        rekey(meeting, "log", "log", Dice(78).log_keys("log"))
        place = meeting.election.size - 1
        rekey(meeting, "custodian", "custodian-b", Dice(79).custodian_keys("custodian-e"))
        if recorded:
            meeting.add(public)
            take_over(meeting, "intake", "intake-1", Dice(80).signers("intake-1"))
        self.ballot: Entry = meeting.vote(meeting.accounts[0], FOR)
        places = [rekey.index for rekey in meeting.manifest.rekeys]
        assert len(common) == place
        true = files_of(meeting.entries, meeting.parties, meeting.origin)
        self.honest = MemoryReader(true | {"rekeys": rekeys_text(places)})
        false = files_of([*common[:-1], public], before, meeting.origin)
        self.thief = MemoryReader(false | {"rekeys": rekeys_text([place - 1])})


@pytest.fixture(scope="module")
def stolen() -> Stolen:
    return Stolen()


def test_a_longer_log_of_stolen_keys_is_passed_over(stolen: Stolen) -> None:
    thief, honest = stolen.thief(), stolen.honest()
    for readers in ([thief, honest], [honest, thief]):
        found, faults = newest(readers, stolen.pinned)
        assert [one.reader for one in found] == [honest]
        assert [fault.reason for fault in faults if isinstance(fault, Refused)] == ["fork"]
        assert f"keeps back the rekey of log that {honest} shows as entry {stolen.place}" in str(faults[0])
    # Alone it is believed: nothing that it shows is against the rules.
    assert [one.reader for one in newest([thief], stolen.pinned)[0]] == [thief]


def test_one_that_has_not_come_to_the_rekey_yet_keeps_nothing_back(stolen: Stolen) -> None:
    early = MemoryReader(files_of(stolen.meeting.entries[: stolen.place], stolen.before, stolen.meeting.origin))
    found, faults = newest([early, stolen.honest()], stolen.pinned)
    assert (len(found), faults) == (2, [])


class TestAForkFromBeforeTheRekey:
    """It is no longer than the first true rekey, and the thief puts another into it that the officials signed: one that
    everybody can read, of an intake, or one that was never recorded. The true log lacks it at that place.
    """

    @pytest.fixture(params=["recorded", "never recorded"])
    def forked(self, request: pytest.FixtureRequest) -> Forked:
        return Forked(request.param == "recorded")

    def test_does_not_drive_out_the_true_log(self, forked: Forked) -> None:
        for readers in ([forked.thief, forked.honest], [forked.honest, forked.thief]):
            with pytest.raises(Refused, match="there are two logs") as refused:
                newest(readers, forked.meeting.manifest.hash)
            assert refused.value.reason == "fork"

    def test_leaves_a_dispute_undecided(self, forked: Forked, tmp_path: Path) -> None:
        voter = Voter(tmp_path, forked.meeting)
        receipt = voter.receipt(forked.ballot, AFTER - 1)
        true, false = (write(one.files, tmp_path / name) for one, name in ((forked.honest, "t"), (forked.thief, "f")))
        assert offline(voter, receipt, "--election", true)[0] == RECORDED
        code, shown = offline(voter, receipt, "--election", true, "--election", false)
        assert (code, shown["reason"]) == (1, "fork")

    def test_is_not_verified_beside_the_true_log(self, forked: Forked, executor: Executor) -> None:
        for reader, other in ((forked.thief, forked.honest), (forked.honest, forked.thief)):
            with pytest.raises(NotVerified) as caught:
                verify_record(reader, forked.meeting.manifest.hash, executor, others=[other])
            assert caught.value.reason == "fork"


def test_two_logs_of_one_length(stolen: Stolen) -> None:
    meeting, notices = stolen.meeting, []
    for text in ("one", "other"):
        body = {"manifest": meeting.hash, "subject": "incident", "text": text}
        notices.append(meeting.signed("notice", body, *stolen.before.officials[:2]))
    common = meeting.entries[: stolen.place]
    readers = [MemoryReader(files_of([*common, raw], stolen.before, meeting.origin)) for raw in notices]
    with pytest.raises(Refused, match="does not begin"):
        newest(readers, stolen.pinned)


def test_a_longer_log_whose_tiles_are_wrong_is_no_fork(stolen: Stolen) -> None:
    common, origin = stolen.meeting.entries[: stolen.place], stolen.meeting.origin
    early, damaged = (MemoryReader(files_of(one, stolen.before, origin)) for one in (common[:-1], common))
    damaged.files |= {path: bytes(len(raw)) for path, raw in damaged.files.items() if path.startswith("tile/0")}
    damaged.files["rekeys"] = b""
    found, faults = newest([damaged, early], stolen.pinned)
    assert [one.reader for one in found] == [early]
    assert [fault.reason for fault in faults] == ["bad-proof"]


def test_nobody_is_left(stolen: Stolen) -> None:
    with pytest.raises(ReadError, match="published no log"):
        newest([MemoryReader({})], stolen.pinned)


def test_a_dispute_asks_all_that_are_named(stolen: Stolen, tmp_path: Path) -> None:
    voter = Voter(tmp_path, stolen.meeting)
    receipt = voter.receipt(stolen.ballot, AFTER - 1)
    true, false = (write(files, tmp_path / name) for files, name in ((stolen.true, "true"), (stolen.false, "false")))
    code, shown = offline(voter, receipt, "--election", false, "--election", true)
    assert (code, shown["source"], shown["compared"]) == (RECORDED, str(true), [])
    said = run(receipt, "--election", false, "--election", true)
    assert f"psephos: not counted: {false}: with " in said.stderr
    # With the thief's alone the receipt accuses an intake that has kept its word; and it says what was believed.
    assert offline(voter, receipt, "--election", false)[0] == MISSING
    assert f"that {false} keeps no rekey back had to be trusted" in run(receipt, "--election", false).stdout
    twice = run(receipt, "--election", true, "--election", true).stdout
    assert f"of {true}, {true} one at least had to keep no rekey back" in twice


def test_a_record_without_a_rekey_that_another_shows_is_not_verified(stolen: Stolen, executor: Executor) -> None:
    thief, honest = stolen.thief(), stolen.honest()

    def fault(reader: Reader, *others: Reader) -> str:
        with pytest.raises(NotVerified) as caught:
            verify_record(reader, stolen.pinned, executor, others=others)
        return caught.value.reason

    assert fault(thief, honest) == "fork"
    assert fault(honest, MemoryReader({})) == "not-found"
    assert "keeps no rekey back" in "".join(trusted(verify_record(thief, stolen.pinned, executor)))
    report = verify_record(honest, stolen.pinned, executor, others=[thief])
    assert report.to_json()["compared"] == [str(thief)]
    assert f"that of {honest}, {thief} one at least keeps no rekey back" in "".join(trusted(report))


def test_the_command_takes_other_sources(stolen: Stolen, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    true, false = (write(files, tmp_path / name) for files, name in ((stolen.true, "true"), (stolen.false, "false")))
    with pytest.raises(commands.typer.Exit):
        commands.verify(str(false), b64(stolen.pinned), [str(true)])
    assert f"NOT VERIFIED: {false}: with " in capsys.readouterr().err
