"""Issuing and signing the roll: numbers are drawn once, and whoever signs has recomputed every weight."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from audit.log.keys import Signer
from audit.protocol.control_number import parse_control_number
from audit.protocol.refused import Refused
from audit.record.entries import parse_entry
from infra.keys import KeyFileError
from infra.table import TableError
from intake.register.issuing import unframe_entries
from tests.officials.clients import Clients
from tests.officials.hall import Hall

HOLDINGS = {f"A{i}": ("common", 100 + i) for i in range(1, 9)}


@pytest.fixture
def clients(hall: Hall) -> Clients:
    keyed = Clients(hall, HOLDINGS).founded().keyed()
    keyed.write_register()
    return keyed


def rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def write_rows(path: Path, found: list[dict[str, str]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(found[0]))
        writer.writeheader()
        writer.writerows(found)


def entries(clients: Clients, issuer: Signer) -> Path:
    path = clients.numbers(issuer)
    return path.with_name(f"{path.name}.entries")


def test_every_account_has_a_number_from_every_issuer(clients: Clients, hall: Hall) -> None:
    clients.enrolled()
    one, two = map(clients.number_rows, hall.parties.issuers)
    assert [row["account_id"] for row in one] == [row["account_id"] for row in two] == list(HOLDINGS)
    numbers = [parse_control_number(row["control_number"]) for row in one + two]
    assert len(set(numbers)) == 2 * len(HOLDINGS)
    assert len(hall.election.roll("common").rows) == len(HOLDINGS)
    for issuer in hall.parties.issuers:
        path = clients.numbers(issuer)
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.read_bytes().startswith(b"psephos/v1 sealed\n") and b",common," not in path.read_bytes()


def test_issued_again_the_same_is_handed_in(clients: Clients, hall: Hall) -> None:
    first = hall.parties.issuers[0]
    hall.script = [(422, b'{"reason":"bad-proof","detail":"x","field":""}')]
    with pytest.raises(Refused, match="x"):
        clients.issue(first)
    numbers, kept = clients.numbers(first).read_bytes(), entries(clients, first).read_bytes()
    clients.issue(first)
    assert (clients.numbers(first).read_bytes(), entries(clients, first).read_bytes()) == (numbers, kept)
    assert list(unframe_entries(kept)) == hall.entries[-1:]
    posts = len(hall.posts)
    clients.issue(first)
    assert len(hall.posts) == posts


@pytest.mark.parametrize("lost", ["numbers", "numbers and entries"])
def test_what_was_made_from_numbers_that_are_lost_is_not_handed_in(clients: Clients, hall: Hall, lost: str) -> None:
    first = hall.parties.issuers[0]
    hall.script = [(422, b"{}")]
    with pytest.raises(Refused):
        clients.issue(first)
    clients.numbers(first).unlink()
    if lost == "numbers and entries":
        entries(clients, first).unlink()
    posts = len(hall.posts)
    with pytest.raises(Refused, match="was made from another control number than the one kept"):
        clients.issue(first)
    assert len(hall.posts) == posts


def test_the_order_of_rows_is_not_that_of_the_register(clients: Clients, hall: Hall) -> None:
    orders = []
    for attempt in range(3):
        clients.openings = clients.folder / f"openings-{attempt}"
        hall.script = [(422, b"{}")]
        with pytest.raises(Refused):
            clients.issue(hall.parties.issuers[0])
        placed = sorted(clients.read_rows(clients.openings, "openings"), key=lambda row: int(row["row"]))
        orders.append(tuple(row["account_id"] for row in placed))
        entries(clients, hall.parties.issuers[0]).unlink()
    # By chance alone all three are alike once in 8! squared runs.
    assert len(set(orders)) > 1


def test_the_second_issuer_needs_the_openings(clients: Clients, hall: Hall) -> None:
    with pytest.raises(KeyFileError, match="openings: No such file"):
        clients.issue(hall.parties.issuers[1])


def test_who_is_no_issuer_issues_nothing(clients: Clients, hall: Hall) -> None:
    with pytest.raises(Refused, match="inspector, with this key, is no issuer"):
        clients.issue(hall.parties.inspectors[0])
    with pytest.raises(Refused, match="issuer-1, with this key, is neither a further issuer nor an inspector"):
        clients.sign_roll(hall.parties.issuers[0])


def test_numbers_of_another_register_are_not_used(clients: Clients, hall: Hall) -> None:
    first = hall.parties.issuers[0]
    clients.issue(first)
    found = clients.number_rows(first)
    clients.write_rows(clients.numbers(first), first.name, found[1:])
    with pytest.raises(Refused, match="holds the numbers of other accounts"):
        clients.issue(first)


def test_a_mistyped_number_is_named_and_not_repeated(clients: Clients, hall: Hall) -> None:
    first = hall.parties.issuers[0]
    clients.issue(first)
    found = clients.number_rows(first)
    secret = found[2]["control_number"]
    found[2]["control_number"] = secret[:-1] + ("0" if secret[-1] != "0" else "1")
    found[3]["control_number"] = found[4]["control_number"]
    clients.write_rows(clients.numbers(first), first.name, found)
    with pytest.raises(TableError) as caught:
        clients.issue(first)
    assert caught.value.faults[0].startswith("line 4, column 4 (control_number): the check symbol")
    assert caught.value.faults[1] == "line 6, column 4 (control_number): stands in line 5 already"
    assert all(row["control_number"][:11] not in str(caught.value) for row in found)


class TestTheSecondIssuer:
    """It signs only what its own register says."""

    @pytest.fixture
    def issued(self, clients: Clients, hall: Hall) -> Clients:
        for issuer in hall.parties.issuers:
            clients.issue(issuer)
        return clients

    def own_register(self, clients: Clients, account: str, **changes: str) -> Path:
        own = clients.folder / "own.csv"
        found = rows(clients.register)
        write_rows(own, [{**row, **changes} if row["account_id"] == account else row for row in found])
        return own

    def test_another_weight_is_named(self, issued: Clients, hall: Hall) -> None:
        own = issued.folder / "own.csv"
        swapped = {"A1": "102", "A2": "101"}
        found = rows(issued.register)
        write_rows(own, [{**row, "shares": swapped.get(row["account_id"], row["shares"])} for row in found])
        with pytest.raises(TableError) as caught:
            issued.sign_roll(hall.parties.issuers[1], own)
        faults = sorted(fault.partition("(")[2] for fault in caught.value.faults)
        assert faults == [
            "weight) = '101': issuer-1 says so; by this register it is 102",
            "weight) = '102': issuer-1 says so; by this register it is 101",
        ]

    def test_another_total_is_named(self, issued: Clients, hall: Hall) -> None:
        with pytest.raises(Refused, match="has 837 votes, the manifest says 836"):
            issued.sign_roll(hall.parties.issuers[1], self.own_register(issued, "A1", shares="102"))

    def test_another_account_is_named(self, issued: Clients, hall: Hall) -> None:
        with pytest.raises(TableError, match=r"\(account_id\) = 'A1': issuer-1 lets it vote; by this register no"):
            issued.sign_roll(hall.parties.issuers[1], self.own_register(issued, "A1", account_id="A9"))

    def test_a_row_that_weighs_something_else_is_named(self, issued: Clients, hall: Hall) -> None:
        """The first issuer gives two accounts each other's row: the total is right, and what the roll holds is not."""
        found = issued.read_rows(issued.openings, "openings")
        for name in ("row", "randomness"):
            found[0][name], found[1][name] = found[1][name], found[0][name]
        issued.write_rows(issued.openings, "openings", found)
        told = r"row 0 of the roll of common, by issuer-1, does not hold the \d+ votes of A"
        with pytest.raises(Refused, match=told) as caught:
            issued.sign_roll(hall.parties.issuers[1])
        assert caught.value.reason == "wrong-weight"

    def test_rows_that_are_not_all_there(self, issued: Clients, hall: Hall) -> None:
        found = issued.read_rows(issued.openings, "openings")
        issued.write_rows(issued.openings, "openings", found[1:])
        missing = found[0]["account_id"]
        told = f"opens 7 rows, the register has 8 accounts that vote; not opened: {missing}"
        with pytest.raises(Refused, match=told):
            issued.sign_roll(hall.parties.issuers[1])
        found[0]["row"] = found[1]["row"]
        issued.write_rows(issued.openings, "openings", found)
        with pytest.raises(Refused, match="the rows of common are not 0 to 7, each once"):
            issued.sign_roll(hall.parties.issuers[1])

    def test_signed_twice_is_signed_once(self, issued: Clients, hall: Hall) -> None:
        issued.sign_roll(hall.parties.issuers[1])
        size = len(hall.entries)
        issued.sign_roll(hall.parties.issuers[1])
        assert len(hall.entries) == size
        issued.sign_roll(hall.parties.inspectors[0])
        assert [parse_entry(raw).kind for raw in hall.entries[-2:]] == ["roll-signed", "roll-signed"]


def test_secrets_are_not_shown(clients: Clients, hall: Hall) -> None:
    said = clients.issue(hall.parties.issuers[0])
    for row in clients.number_rows(hall.parties.issuers[0]):
        assert row["control_number"] not in said
