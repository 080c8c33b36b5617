"""`counted`: whoever has voted with the same numbers elsewhere is found, before the close and after."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from audit.protocol.control_number import format_control_number
from audit.protocol.group import b64
from audit.record.entries import Entry
from infra.card import load_card
from intake.voter.booth import Booth
from tests.officials.clients import Clients
from tests.officials.hall import Hall
from tests.simulator.dice import Dice
from tests.simulator.meeting import Meeting
from tests.simulator.parties import Parties
from tests.voter.votes import ballots

ACCOUNTS = 6


@pytest.fixture(scope="module")
def open_meeting() -> Meeting:
    """Mixed twice, and open."""
    return Meeting({"common": tuple(range(5, 5 + ACCOUNTS))}, parties=Parties.drawn(Dice(2), mixers=2)).prepared()


@pytest.fixture
def clients(open_meeting: Meeting, tmp_path: Path) -> Iterator[Clients]:
    hall = Hall(tmp_path / "hall", open_meeting.parties)
    hall.folder.mkdir()
    yield Clients(hall, {}).seated(open_meeting)
    hall.close()


class Holder:
    """One who was sent the numbers of this account, and votes from a folder of its own."""

    def __init__(self, clients: Clients, meeting: Meeting, account: int, name: str) -> None:
        self.clients = clients
        self.folder = clients.folder / name
        self.folder.mkdir()
        self.out = self.folder / "out"
        self.numbers = self.folder / "numbers"
        self.numbers.touch(mode=0o600)
        self.numbers.write_text("".join(f"{format_control_number(c)}\n" for c in meeting.accounts[account].codes))

    def vote(self, word: str = "for", out: Path | None = None) -> str:
        choices = self.folder / f"{word}.toml"
        choices.write_text(f'[choices]\nnominee-1 = "{word}"\n')
        where = ("--election", self.clients.card, "--numbers", self.numbers, "--out", out or self.out)
        return self.clients.run("vote", *where, "--choices", choices, "--wait", "5")

    def args(self, *more: Path) -> list[str | Path]:
        args: list[str | Path] = ["counted", "--election", self.clients.card, "--numbers", self.numbers]
        for out in (*filter(Path.exists, [self.out]), *more):
            args += ["--out", out]
        return args


def named(hall: Hall, ballot: Entry) -> str:
    place, revision = hall.entries.index(ballot.raw), ballot.fields["revision"]
    return f"entry {place}, revision {revision}, tracker {b64(ballot.identity)}"


def test_what_was_cast_counts(clients: Clients, open_meeting: Meeting) -> None:
    holder = Holder(clients, open_meeting, 0, "holder")
    said = clients.run(*holder.args())
    assert "no ballot was cast here, and none counts (the vote is not closed yet)" in said
    holder.vote()
    mine = named(clients.hall, ballots(clients.hall)[-1])
    assert f"the ballot kept here counts: {mine} (the vote is not closed yet)" in clients.run(*holder.args())
    clients.closed()
    said = clients.run(*holder.args())
    assert f"the ballot kept here counts: {mine} (the vote is closed, and this is final)" in said
    assert "ALARM" not in said


def test_one_code_set_for_two_holders(clients: Clients, open_meeting: Meeting) -> None:
    """The issuers gave both the numbers of one account, which no proof shows: each sees the other's ballot."""
    one, two = (Holder(clients, open_meeting, 1, name) for name in ("one", "two"))
    one.vote("for")
    said = two.vote("against")
    assert "the log held other ballots of this account before" in said
    first, second = (named(clients.hall, ballot) for ballot in ballots(clients.hall)[-2:])
    for closed in (False, True):
        if closed:
            clients.closed()
        said = clients.fails(*one.args())
        assert f"the newest ballot kept here does NOT count; what counts is {second}" in said
        assert "ALARM" in said and f"{second}, which COUNTS" in said and f"{first}, which" not in said
        said = clients.fails(*two.args())
        assert f"the ballot kept here counts: {second}" in said
        assert "ALARM" in said and f"{first}, which does not count" in said


def test_a_ballot_where_none_was_cast(clients: Clients, open_meeting: Meeting) -> None:
    """Whoever has the numbers voted for a holder who did not."""
    holder, thief = (Holder(clients, open_meeting, 2, name) for name in ("holder", "thief"))
    thief.vote()
    clients.closed()
    said = clients.fails(*holder.args())
    theirs = named(clients.hall, ballots(clients.hall)[-1])
    assert f"no ballot was cast here; what counts is {theirs}" in said and "ALARM" in said


def test_a_ballot_that_is_not_in_the_log(clients: Clients, open_meeting: Meeting) -> None:
    holder = Holder(clients, open_meeting, 3, "holder")
    clients.hall.hold = float("inf")
    with pytest.raises(AssertionError, match="not recorded"):
        holder.vote()
    said = clients.fails(*holder.args())
    assert "NOT in the log" in said and "ALARM" not in said
    assert ballots(clients.hall) == []


def test_a_ballot_that_the_log_refuses(clients: Clients, open_meeting: Meeting) -> None:
    holder = Holder(clients, open_meeting, 3, "holder")
    clients.hall.refusing, clients.hall.wait = True, -1
    with pytest.raises(AssertionError, match="the log refuses this ballot"):
        holder.vote()
    assert "NOT in the log: it was refused: came too late" in clients.fails(*holder.args())


def test_ones_own_ballots_are_no_alarm(clients: Clients, open_meeting: Meeting) -> None:
    """Set aside, or kept in another folder that is named, too."""
    holder = Holder(clients, open_meeting, 4, "holder")
    clients.hall.hold = 1
    with pytest.raises(AssertionError, match="not recorded"):
        holder.vote("for")
    holder.vote("against")
    assert len(ballots(clients.hall)) == 2
    assert "the ballot kept here counts" in clients.run(*holder.args())
    other = holder.folder / "other"
    holder.vote("abstain", out=other)
    said = clients.fails(*holder.args())
    assert "ALARM" in said and "unless you cast it from another folder or device: give that with --out" in said
    assert "the ballot kept here counts" in clients.run(*holder.args(other))


def test_a_folder_that_is_not_there(clients: Clients, open_meeting: Meeting) -> None:
    """Who mistypes it is not told that somebody else has voted."""
    holder = Holder(clients, open_meeting, 4, "holder")
    holder.vote()
    with pytest.raises(FileNotFoundError, match="mistyped"):
        clients.run(*holder.args(), "--out", holder.folder / "mistyped")


def test_one_account_s_ballot_is_looked_for_under_every_name(clients: Clients, open_meeting: Meeting) -> None:
    """Cast for one account with --choices, checked among many with --batch, and the other way round."""
    account = open_meeting.accounts[4]
    holder = Holder(clients, open_meeting, 4, "holder")
    tables: list[str | Path] = []
    for issuer, code in zip(clients.hall.parties.issuers, account.codes, strict=True):
        row = {"account_id": "A4", "class": "common", "revision": "0", "control_number": format_control_number(code)}
        clients.write_rows(clients.numbers(issuer), issuer.name, [row])
        tables += ["--numbers", clients.numbers(issuer), "--unlock", clients.lock(issuer.name)]
    clients.hall.hold = 1
    with pytest.raises(AssertionError, match="not recorded"):
        holder.vote("for")
    holder.vote("against")
    batch = clients.batch({"A4": ["for"]})
    counted = ["counted", "--election", clients.card, "--batch", batch, *tables, "--out", holder.out]
    said = clients.run(*counted)
    assert "1 of 1: what was cast here is what counts" in said and "ALARM" not in said
    other = holder.folder / "other"
    clients.run(*clients.vote_args(batch, other))
    assert "the ballot kept here counts" in clients.run(*holder.args(other))


def test_what_has_been_read_is_said(clients: Clients, open_meeting: Meeting) -> None:
    """Its size and its age, and which custodians might know more."""
    holder = Holder(clients, open_meeting, 5, "holder")
    holder.vote()
    card = load_card(clients.card)
    dead = "http://127.0.0.1:1"
    clients.card.write_text(replace(card, custodians=(dead, *card.custodians)).to_toml())
    said = clients.run(*holder.args())
    size = len(clients.hall.entries)
    assert f"as of 2027-01-15 08:0{size // 60}:{size % 60:02} UTC, when the log had {size} entries" in said
    assert f"psephos: a custodian could not be asked: {dead}/" in said
    clients.card.write_text(card.to_toml())
    assert "could not be asked" not in clients.run(*holder.args())


def test_wrong_numbers_are_all_that_is_said(
    clients: Clients, open_meeting: Meeting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before what others have cast is read."""
    holder = Holder(clients, open_meeting, 0, "holder")
    holder.numbers.write_text(holder.numbers.read_text().partition("\n")[0])
    monkeypatch.setattr(Booth, "history", lambda *_: pytest.fail("the ballots are read"))
    said = clients.fails(*holder.args())
    assert said == "psephos: ballot: the 2 issuers sent a number each; 1 is given\n"


def test_numbers_that_are_on_no_roll(clients: Clients, open_meeting: Meeting) -> None:
    holder = Holder(clients, open_meeting, 0, "holder")
    dice = Dice(9)
    holder.numbers.write_text("".join(f"{format_control_number(dice.code())}\n" for _ in range(2)))
    assert "not on this roll" in clients.fails(*holder.args())


def test_a_file_that_is_no_ballot(clients: Clients, open_meeting: Meeting) -> None:
    holder = Holder(clients, open_meeting, 0, "holder")
    holder.vote()
    (holder.out / "ballot.ballot").write_bytes(b"x")
    with pytest.raises(Exception, match="ballot.ballot: "):
        clients.run(*holder.args())
