"""An issuer that gives somebody votes which the register does not: the other issuer finds it, and the inspector finds
both.

The total is always right here, for a wrong one is refused by the log itself. The cheat issues from a register of its
own making; everybody else has the company's.
"""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from audit.protocol.refused import Refused
from infra.desk import GaveUp
from infra.table import TableError
from tests.officials.clients import Clients
from tests.officials.hall import Hall

HOLDINGS = {f"A{i}": ("common", 100 + i) for i in range(1, 5)}

Cheat = dict[str, int]

ADDS_AN_ACCOUNT: Cheat = {"A1": 51, "A2": 102, "A3": 103, "A4": 104, "X1": 50}
MOVES_WEIGHT: Cheat = {"A1": 1, "A2": 202, "A3": 103, "A4": 104}
LEAVES_ONE_OUT: Cheat = {"A1": 101, "A2": 102, "A3": 207}

SAID = {
    "adds an account": (
        ADDS_AN_ACCOUNT,
        ["(account_id) = 'X1': issuer-1 lets it vote", "(weight) = '51': issuer-1 says so; by this register it is 101"],
    ),
    "moves weight": (
        MOVES_WEIGHT,
        ["(weight) = '1': issuer-1 says so; by this register", "(weight) = '202': issuer-1 says so; by this register"],
    ),
    "leaves an account out": (LEAVES_ONE_OUT, ["(weight) = '207': issuer-1 says so; by this register it is 103"]),
}


@pytest.fixture
def clients(hall: Hall) -> Clients:
    keyed = Clients(hall, HOLDINGS).founded().keyed()
    keyed.write_register()
    return keyed


def cheating(clients: Clients, holdings: Cheat) -> Path:
    """A register that the cheat made up, frozen and all."""
    path = clients.folder / "cheat.csv"
    with clients.register.open() as file:
        columns = list(csv.DictReader(file).fieldnames or ())
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        for account, shares in holdings.items():
            writer.writerow({"account_id": account, "holder_id": "H", "class": "common", "shares": shares, "name": "N"})
    return path


def faults(caught: pytest.ExceptionInfo[TableError]) -> list[str]:
    return sorted(fault.partition("(")[1] + fault.partition("(")[2] for fault in caught.value.faults)


@pytest.mark.parametrize("what", SAID)
def test_the_second_issuer_publishes_nothing_for_a_cheating_first(clients: Clients, hall: Hall, what: str) -> None:
    first, second = hall.parties.issuers
    holdings, said = SAID[what]
    clients.issue(first, cheating(clients, holdings))
    posts = len(hall.posts)
    with pytest.raises(TableError) as caught:
        clients.issue(second)
    assert all(fault.startswith(begin) for fault, begin in zip(faults(caught), said, strict=True))
    assert str(clients.openings) in str(caught.value) and len(hall.posts) == posts


@pytest.mark.parametrize("what", SAID)
def test_the_inspector_finds_what_both_issuers_cheat(clients: Clients, hall: Hall, what: str) -> None:
    holdings, said = SAID[what]
    register = cheating(clients, holdings)
    for issuer in hall.parties.issuers:
        clients.issue(issuer, register)
    clients.sign_roll(hall.parties.issuers[1], register)
    with pytest.raises(TableError) as caught:
        clients.sign_roll(hall.parties.inspectors[0])
    assert all(fault.startswith(begin) for fault, begin in zip(faults(caught), said, strict=True))
    with pytest.raises(GaveUp, match="inspector has not signed the roll of common"):
        clients.act("open")


def test_openings_that_please_the_inspector_open_no_cheating_roll(clients: Clients, hall: Hall) -> None:
    """The issuers hand the inspector openings of what its register says. They do not open what was published."""
    register = cheating(clients, ADDS_AN_ACCOUNT)
    for issuer in hall.parties.issuers:
        clients.issue(issuer, register)
    found = clients.read_rows(clients.openings, "openings")
    honest = [{**row, "weight": str(HOLDINGS[row["account_id"]][1])} for row in found if row["account_id"] != "X1"]
    pleasing = [{**row, "row": str(place)} for place, row in enumerate(honest)]
    clients.write_rows(clients.openings, "openings", pleasing)
    with pytest.raises(Refused, match="issuer-1 has published 5 rows for common, for 4 accounts") as caught:
        clients.sign_roll(hall.parties.inspectors[0])
    assert caught.value.reason == "wrong-length"


def test_a_weight_opened_otherwise_than_published(clients: Clients, hall: Hall) -> None:
    register = cheating(clients, MOVES_WEIGHT)
    for issuer in hall.parties.issuers:
        clients.issue(issuer, register)
    found = clients.read_rows(clients.openings, "openings")
    pleasing = [{**row, "weight": str(HOLDINGS[row["account_id"]][1])} for row in found]
    clients.write_rows(clients.openings, "openings", pleasing)
    told = r"row \d of the roll of common, by issuer-1, does not hold the 10[12] votes of A[12]"
    with pytest.raises(Refused, match=told) as caught:
        clients.sign_roll(hall.parties.inspectors[0])
    assert caught.value.reason == "wrong-weight"


def test_two_weights_under_one_randomness_are_noticed(clients: Clients, hall: Hall) -> None:
    first, second = hall.parties.issuers
    clients.issue(first)
    found = clients.read_rows(clients.openings, "openings")
    found[1]["randomness"] = found[0]["randomness"]
    clients.write_rows(clients.openings, "openings", found)
    with pytest.raises(TableError, match=r"line 3, column 6 \(randomness\): stands in line 2 already") as caught:
        clients.issue(second)
    assert found[0]["randomness"] not in str(caught.value)


def test_no_issuer_learns_the_numbers_of_the_other(clients: Clients, hall: Hall) -> None:
    """What the first tells the second, and what both publish, holds none of their codes."""
    for issuer in hall.parties.issuers:
        clients.issue(issuer)
    told = clients.read_rows(clients.openings, "openings")
    assert set(told[0]) == {"account_id", "class", "revision", "row", "weight", "randomness"}
    for issuer in hall.parties.issuers:
        for row in clients.number_rows(issuer):
            plain = row["control_number"].replace("-", "")[:25]
            assert all(plain.encode() not in raw for raw in hall.entries) and plain not in str(told)


def test_nothing_is_issued_from_a_register_that_was_not_frozen(clients: Clients, hall: Hall) -> None:
    first, second = hall.parties.issuers
    snapshot = clients.snapshot(first)
    clients.register.write_bytes(cheating(clients, MOVES_WEIGHT).read_bytes())
    with pytest.raises(Refused, match="is not the register that issuer-1 froze in .*: .*held otherwise") as caught:
        clients.issue(first)
    assert caught.value.reason == "another-register" and not clients.numbers(first).exists()
    own = ["--numbers", clients.numbers(second), "--unlock", clients.lock(second.name)]
    kept = [snapshot if arg == clients.snapshot(second) else arg for arg in clients.kept(second)]
    with pytest.raises(Refused, match="issuer-1 does not sign snapshot") as caught:
        clients.run("register", "issue", *kept, *own)
    assert caught.value.reason == "wrong-signers"
