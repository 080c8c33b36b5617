"""A lost control number: all issuers replace it before the mixing, the roll stays complete, and no other changes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from audit.log.keys import Signer
from audit.protocol.refused import Refused
from audit.record.entries import parse_entry
from infra.desk import GaveUp
from infra.sealed import read_lock
from infra.table import TableError
from intake.register.holdings import Account
from intake.register.numbers import numbers_of, read_lost
from tests.officials.clients import Clients
from tests.officials.hall import Hall
from tests.simulator.dice import Dice
from tests.simulator.parties import Parties, contest

HOLDINGS = {
    "A1": ("common", 5),
    "A2": ("common", 30),
    "A3": ("common", 700),
    "P1": ("preferred", 8),
    "P2": ("preferred", 9),
}
ACCOUNTS = [Account(id, share_class, weight) for id, (share_class, weight) in HOLDINGS.items()]
FIRST = {"common": 0, "preferred": 0}
CONTESTS = [contest("nominee-1", classes=["common", "preferred"])]


@pytest.fixture
def clients(hall: Hall) -> Clients:
    return Clients(hall, HOLDINGS, CONTESTS).founded().keyed().enrolled()


class Reissue:
    """One reissue: its files, and the commands of it."""

    def __init__(self, clients: Clients, number: int, *lost: str) -> None:
        self.clients, self.number, self.lost = clients, number, lost
        self.openings = clients.folder / f"openings-{number}"

    def numbers(self, issuer: Signer, number: int | None = None) -> Path:
        path = self.clients.numbers(issuer)
        number = self.number if number is None else number
        return path.with_name(f"{path.name}-{number}") if number else path

    def lost_list(self, *lost: str) -> Path:
        path = self.clients.folder / "lost.txt"
        path.write_text("\n".join([*lost, ""]))
        return path

    def issue(self, issuer: Signer, *lost: str) -> str:
        files: list[str | Path] = ["--numbers", self.numbers(issuer, self.number - 1)]
        files += ["--new-numbers", self.numbers(issuer)]
        files += ["--lost", self.lost_list(*(lost or self.lost)), "--unlock", self.clients.lock(issuer.name)]
        return self.clients.run("register", "reissue", *self.kept(issuer), *files)

    def sign(self, witness: Signer) -> str:
        own = self.clients.own(witness, self.numbers(witness))
        return self.clients.run("register", "sign", *self.kept(witness), *own)

    def kept(self, signer: Signer) -> list[str | Path]:
        return [self.openings if arg == self.clients.openings else arg for arg in self.clients.kept(signer)]

    def done(self) -> Reissue:
        for issuer in self.clients.hall.parties.issuers:
            self.issue(issuer)
        for witness in self.clients.hall.parties.issuers[1:] + self.clients.hall.parties.inspectors:
            self.sign(witness)
        return self


def vote(clients: Clients, reissue: Reissue | None, account: str, out: Path) -> list[str | Path]:
    """With the numbers as they were, or as they are after this reissue."""
    args = clients.vote_args(clients.batch({account: ["for"]}), out)
    if reissue is None:
        return args
    new = {clients.numbers(issuer): reissue.numbers(issuer) for issuer in clients.hall.parties.issuers}
    return [new.get(arg, arg) if isinstance(arg, Path) else arg for arg in args]


def test_a_lost_number_is_replaced_and_all_others_stay(clients: Clients, hall: Hall, tmp_path: Path) -> None:
    former = hall.election.roll("preferred")
    reissue = Reissue(clients, 1, "A2").done()
    assert hall.election.roll("common").revision == 1 and hall.election.roll("preferred") is former
    for issuer in hall.parties.issuers:
        before, after = clients.number_rows(issuer), clients.read_rows(reissue.numbers(issuer), issuer.name)
        changed = [(old["account_id"], new["revision"]) for old, new in zip(before, after, strict=True) if old != new]
        assert changed == [("A2", "1")]
    clients.act("open")
    assert "these control numbers are not on this roll" in clients.fails(*vote(clients, None, "A2", tmp_path / "old"))
    for account, with_these in (("A2", reissue), ("A1", None), ("P1", None)):
        assert "1 ballots recorded" in clients.run(*vote(clients, with_these, account, tmp_path / account))


def test_what_was_begun_is_finished(clients: Clients, hall: Hall) -> None:
    first, second = hall.parties.issuers
    reissue = Reissue(clients, 1, "A2", "P1")
    hall.script = [(422, b'{"reason":"bad-proof","detail":"x","field":""}')]
    with pytest.raises(Refused, match="x"):
        reissue.issue(first)
    kept = reissue.numbers(first).read_bytes()
    reissue.issue(first)
    assert reissue.numbers(first).read_bytes() == kept
    reissue.issue(second)
    posts = len(hall.posts)
    for issuer in (first, second):
        reissue.issue(issuer)
    assert len(hall.posts) == posts
    assert {name: roll.revision for name, roll in hall.election.rolls.items()} == {"common": 1, "preferred": 1}


def test_another_number_is_lost_later(clients: Clients, hall: Hall, tmp_path: Path) -> None:
    Reissue(clients, 1, "A2").done()
    reissue = Reissue(clients, 2, "A3").done()
    assert hall.election.roll("common").revision == 2
    found = clients.read_rows(reissue.numbers(hall.parties.issuers[0]), "issuer-1")
    assert [row["revision"] for row in found] == ["0", "1", "2", "0", "0"]
    clients.act("open")
    for account in ("A1", "A2", "A3"):
        assert "1 ballots recorded" in clients.run(*vote(clients, reissue, account, tmp_path / account))


def test_issuers_replace_the_numbers_of_the_same_accounts(clients: Clients, hall: Hall) -> None:
    first, second = hall.parties.issuers
    reissue = Reissue(clients, 1, "A2")
    reissue.issue(first)
    posts = len(hall.posts)
    told = "renewed by the first issuer only: A2; lost by this list only: A1, A3"
    with pytest.raises(Refused, match=told):
        reissue.issue(second, "A1", "A3")
    assert len(hall.posts) == posts


def test_the_first_issuer_moves_weight_in_a_reissue(clients: Clients, hall: Hall) -> None:
    """It hands in a roll on which two accounts have each other's weight; what it opens to the others is right."""
    first, second = hall.parties.issuers
    reissue = Reissue(clients, 1, "A2")
    reissue.issue(first)
    reissue.issue(second)
    found = clients.read_rows(reissue.openings, "openings")
    for name in ("row", "randomness"):
        found[0][name], found[1][name] = found[1][name], found[0][name]
    clients.write_rows(reissue.openings, "openings", found)
    for witness in (second, *hall.parties.inspectors):
        with pytest.raises(Refused, match=r"by issuer-1, does not hold the \d+ votes of A") as caught:
            reissue.sign(witness)
        assert caught.value.reason == "wrong-weight"
    with pytest.raises(GaveUp, match="issuer-2 has not signed the roll of common"):
        clients.act("open")


def test_openings_of_before_sign_nothing_new(clients: Clients, hall: Hall) -> None:
    reissue = Reissue(clients, 1, "A2")
    for issuer in hall.parties.issuers:
        reissue.issue(issuer)
    told = "opens the roll of common with revision 0; it is published with revision 1"
    with pytest.raises(Refused, match=told):
        clients.sign_roll(hall.parties.inspectors[0])
    reissue.sign(hall.parties.inspectors[0])


def test_a_wrong_list_is_mended_by_the_next_revision(clients: Clients, hall: Hall, tmp_path: Path) -> None:
    first, second = hall.parties.issuers
    Reissue(clients, 1, "A1").issue(first)
    mended = Reissue(clients, 2, "A1", "A2")
    mended.issue(first)
    files: list[str | Path] = ["--numbers", clients.numbers(second), "--new-numbers", mended.numbers(second)]
    own = [*files, "--lost", mended.lost_list("A1", "A2"), "--unlock", clients.lock(second.name)]
    clients.run("register", "reissue", *mended.kept(second), *own)
    assert hall.election.roll("common").revision == 2
    for witness in (second, *hall.parties.inspectors):
        mended.sign(witness)
    clients.act("open")
    for account in ("A1", "A2", "A3"):
        assert "1 ballots recorded" in clients.run(*vote(clients, mended, account, tmp_path / account))


def test_nothing_is_reissued_before_there_is_a_roll(hall: Hall) -> None:
    clients = Clients(hall, HOLDINGS, CONTESTS).founded().keyed()
    clients.write_register()
    for issuer in hall.parties.issuers:
        numbers_of(clients.numbers(issuer), read_lock(clients.lock(issuer.name)), ACCOUNTS, FIRST, os.urandom)
        with pytest.raises(Refused, match="the roll of common is not published yet: there is nothing to reissue"):
            Reissue(clients, 1, "A2").issue(issuer)


def test_after_the_opening_the_same_number_is_sent_again(clients: Clients, hall: Hall) -> None:
    clients.act("open")
    reissue = Reissue(clients, 1, "A2")
    with pytest.raises(Refused, match="it is open now; a number that is lost now is sent again as it is") as caught:
        reissue.issue(hall.parties.issuers[0])
    assert caught.value.reason == "wrong-phase" and not reissue.numbers(hall.parties.issuers[0]).exists()


def test_after_a_mix_the_same_number_is_sent_again(tmp_path: Path) -> None:
    hall = Hall(tmp_path, Parties.drawn(Dice(7), mixers=2))
    try:
        clients = Clients(hall, HOLDINGS, CONTESTS).founded().keyed().enrolled()
        clients.mix(hall.parties.mixers[0])
        reissue = Reissue(clients, 1, "A2")
        with pytest.raises(Refused, match="mixer-1 has begun to mix .* is sent again as it is") as caught:
            reissue.issue(hall.parties.issuers[0])
        assert caught.value.reason == "mixed" and not reissue.numbers(hall.parties.issuers[0]).exists()
        assert {parse_entry(raw).kind for raw in hall.entries[-2:]} == {"mix"}
    finally:
        hall.close()


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("A1\n\n A2 \n", []),
        ("", ["names no account"]),
        ("A1\nA9\nA1\n../x\n", ["line 2 = 'A9': no such", "line 3 = 'A1': stands", "line 4 = '../x': an account"]),
    ],
)
def test_a_list_of_lost_numbers(tmp_path: Path, text: str, faults: list[str]) -> None:
    accounts = [Account(id, "common", 1) for id in ("A1", "A2")]
    path = tmp_path / "lost.txt"
    path.write_text(text)
    if not faults:
        assert read_lost(path, accounts) == ["A1", "A2"]
        return
    with pytest.raises(TableError) as caught:
        read_lost(path, accounts)
    assert len(caught.value.faults) == len(faults)
    assert all(found.startswith(fault) for found, fault in zip(caught.value.faults, faults, strict=True))
