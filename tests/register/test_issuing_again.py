"""What an issuer may still do once something of the roll is in the log: go on, or begin the next revision; never make a
half for rows that are not those, nor numbers that are on no roll.
"""

from __future__ import annotations

from pathlib import Path

import pytest

import intake.register.commands
from audit.log.keys import Signer
from audit.protocol.refused import Refused
from infra.desk import GaveUp
from tests.officials.clients import Clients
from tests.officials.hall import Hall

HOLDINGS = {f"A{i}": ("common", 100 + i) for i in range(1, 5)}


@pytest.fixture
def clients(hall: Hall) -> Clients:
    keyed = Clients(hall, HOLDINGS).founded().keyed()
    keyed.write_register()
    return keyed


def issue(clients: Clients, issuer: Signer, numbers: Path, *more: str) -> str:
    return clients.run("register", "issue", *clients.kept(issuer), *clients.own(issuer, numbers), *more)


def stale(clients: Clients) -> list[dict[str, str]]:
    """Puts openings of an order of rows that was never published in place; those that were there."""
    found = clients.read_rows(clients.openings, "openings")
    rows = [row["row"] for row in found]
    turned = [{**row, "row": place} for row, place in zip(found, rows[1:] + rows[:1], strict=True)]
    clients.write_rows(clients.openings, "openings", turned)
    return found


def test_openings_that_do_not_open_the_first_half_make_no_second(clients: Clients, hall: Hall) -> None:
    first, second = hall.parties.issuers
    clients.issue(first)
    stale(clients)
    posts = len(hall.posts)
    with pytest.raises(Refused, match=r"row 0 of the roll of common, by issuer-1, does not hold the 10\d") as caught:
        clients.issue(second)
    assert caught.value.reason == "wrong-weight"
    assert len(hall.posts) == posts and not clients.numbers(second).exists()


def test_the_second_issuer_waits_for_the_first_half(clients: Clients, hall: Hall) -> None:
    first, second = hall.parties.issuers
    hall.script = [(422, b"{}")]
    with pytest.raises(Refused):
        clients.issue(first)
    with pytest.raises(GaveUp, match="for issuer-1 to publish its half of the roll of common"):
        issue(clients, second, clients.numbers(second), "--wait", "0")
    assert not clients.numbers(second).exists()


def test_who_made_its_half_for_other_rows_does_not_sign(
    clients: Clients, hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody else can see it, and all those accounts could not vote."""
    first, second = hall.parties.issuers
    clients.issue(first)
    right = stale(clients)
    monkeypatch.setattr(intake.register.commands, "check_first_half", lambda *_: None)
    clients.issue(second)
    clients.write_rows(clients.openings, "openings", right)
    clients.sign_roll(hall.parties.inspectors[0])
    with pytest.raises(Refused, match="issuer-2's own half, is for another control number than the one kept for A"):
        clients.sign_roll(second)
    assert hall.election.roll_signatures == {("common", "inspector")}


def test_an_issuer_signs_with_its_numbers_at_hand(clients: Clients, hall: Hall) -> None:
    first, second = hall.parties.issuers
    clients.issue(first)
    clients.issue(second)
    with pytest.raises(Refused, match="an issuer gives --numbers"):
        clients.run("register", "sign", *clients.kept(second))
    inspector = hall.parties.inspectors[0]
    with pytest.raises(Refused, match="an inspector has none"):
        clients.run("register", "sign", *clients.kept(inspector), *clients.own(second))


@pytest.mark.parametrize("place", [0, 1])
def test_of_a_half_in_the_log_nothing_is_drawn_again(clients: Clients, hall: Hall, place: int) -> None:
    for issuer in hall.parties.issuers[: place + 1]:
        clients.issue(issuer)
    posts = len(hall.posts)
    issuer, other = hall.parties.issuers[place], clients.folder / "other"
    if not place:
        clients.openings = clients.folder / "openings-other"
    with pytest.raises(Refused, match=f"the log holds {issuer.name}'s half of the roll of common") as caught:
        issue(clients, issuer, other)
    assert caught.value.reason == "duplicate" and len(hall.posts) == posts
    assert not other.exists() and (place or not clients.openings.exists())


def test_numbers_whose_entries_are_lost(clients: Clients, hall: Hall) -> None:
    first = hall.parties.issuers[0]
    clients.issue(first)
    path = clients.numbers(first)
    path.with_name(f"{path.name}.entries").unlink()
    with pytest.raises(Refused, match="the log holds issuer-1's half"):
        clients.issue(first)


def test_the_numbers_of_another_issuer(clients: Clients, hall: Hall) -> None:
    first, second = hall.parties.issuers
    clients.issue(first)
    posts = len(hall.posts)
    theirs = ["--numbers", clients.numbers(first), "--unlock", clients.lock(first.name)]
    with pytest.raises(Refused, match="not issuer-2's: what was made from them is by issuer-1") as caught:
        clients.run("register", "issue", *clients.kept(second), *theirs)
    assert caught.value.reason == "wrong-signers" and len(hall.posts) == posts


@pytest.mark.parametrize("halves", [1, 2])
def test_the_next_revision_after_all_files_are_lost(clients: Clients, hall: Hall, halves: int, tmp_path: Path) -> None:
    """Of a roll that is not complete, or is: everybody draws all numbers once more."""
    first, second = hall.parties.issuers
    for issuer in hall.parties.issuers[:halves]:
        clients.issue(issuer)
    for path in (clients.openings, *(clients.numbers(issuer) for issuer in hall.parties.issuers[:halves])):
        path.rename(path.with_name(f"{path.name}.lost"))
        entries = path.with_name(f"{path.name}.entries")
        entries.unlink(missing_ok=True)
    issue(clients, first, clients.numbers(first), "--anew")
    issue(clients, first, clients.numbers(first))
    with pytest.raises(Refused, match="it is the first issuer, issuer-1, who begins the next revision"):
        issue(clients, second, clients.numbers(second), "--anew")
    clients.issue(second)
    assert hall.election.roll("common").revision == 1
    for witness in (second, *hall.parties.inspectors):
        clients.sign_roll(witness)
    clients.act("open")
    assert "1 ballots recorded" in clients.run(*clients.vote_args(clients.batch({"A1": ["for"]}), tmp_path / "out"))


def test_the_next_revision_is_opened_in_another_file(clients: Clients, hall: Hall) -> None:
    first = hall.parties.issuers[0]
    clients.issue(first)
    with pytest.raises(Refused, match="opens the revision before: with --anew, name another file"):
        issue(clients, first, clients.folder / "other", "--anew")
    assert not (clients.folder / "other").exists()
