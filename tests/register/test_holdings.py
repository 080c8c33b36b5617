"""The share register: every wrong row is named at once, and no share votes twice."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.protocol.refused import Refused
from audit.record.manifest import Manifest
from infra.table import TableError
from intake.register.holdings import Account, ClassTotal, in_shares, open_register, read_register, shares
from tests.simulator.meeting import Meeting
from tests.simulator.parties import contest

HEADER = "account_id,holder_id,group_id,nominee_parent,class,shares,name,email,postal_address,language\n"


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    holdings = {"common": (60, 40), "preferred": (7,)}
    contests = [contest("nominee-1", classes=["common", "preferred"])]
    return Meeting(holdings, contests).found().manifest


def row(account: str = "A1", parent: str = "", share_class: str = "common", shares: str = "60", **other: str) -> str:
    values = [account, "H1", other.get("group", ""), parent, share_class, shares, other.get("name", "Ann")]
    values += [other.get("email", "ann@example.com"), "1 High Street", other.get("language", "en")]
    return ",".join(values) + "\n"


GOOD = (row(), row("A2", shares="40"), row("A3", share_class="preferred", shares="7"))


def register(tmp_path: Path, *rows: str, header: str = HEADER) -> Path:
    path = tmp_path / "register.csv"
    path.write_text(header + "".join(rows))
    return path


def faults(path: Path, manifest: Manifest) -> list[str]:
    with pytest.raises(TableError) as caught:
        read_register(path, manifest)
    assert str(caught.value).startswith(f"{path}: line ")
    return caught.value.faults


def test_a_register_gives_weights(tmp_path: Path, manifest: Manifest) -> None:
    accounts = read_register(register(tmp_path, *GOOD), manifest)
    assert accounts == [Account("A1", "common", 60), Account("A2", "common", 40), Account("A3", "preferred", 7)]


def test_columns_come_in_any_order_and_names_may_hold_commas(tmp_path: Path, manifest: Manifest) -> None:
    names = HEADER.strip().split(",")
    path = register(tmp_path, header=",".join(reversed(names)) + "\r\n")
    lines = [",".join(reversed(good.strip().split(","))) for good in GOOD]
    path.write_text(path.read_text() + "\r\n".join(line.replace("Ann", '"Ann, \n& Co"') for line in lines))
    assert [account.weight for account in read_register(path, manifest)] == [60, 40, 7]


def test_every_wrong_row_is_named_at_once(tmp_path: Path, manifest: Manifest) -> None:
    rows = [
        row("../A1"),
        row("A2", shares="040"),
        row("A3", shares="0", email="nobody"),
        row("A4", share_class="golden"),
        row("A5").replace(",en", ""),
        row("A8", language="English"),
        row("A9", name=""),
        row("A6", shares="1e3"),
        row("A7", shares="\u0663"),
    ]
    assert faults(register(tmp_path, *rows), manifest) == [
        "line 2, column 1 (account_id) = '../A1': an account is 1 to 60 letters, digits, and . _ - within",
        "line 3, column 6 (shares) = '040': expected a whole number from 1 to 1099511627775, in digits alone",
        "line 4, column 6 (shares) = '0': expected a whole number from 1 to 1099511627775, in digits alone",
        "line 4, column 8 (email) = 'nobody': not an e-mail address",
        "line 5, column 5 (class) = 'golden': the manifest has the classes common, preferred",
        "line 6: has 9 values, not 10",
        "line 7, column 10 (language) = 'English': not a language tag such as en or pt-BR",
        "line 8, column 7 (name) = '': expected 1 to 300 characters",
        "line 9, column 6 (shares) = '1e3': expected a whole number from 1 to 1099511627775, in digits alone",
        "line 10, column 6 (shares) = '\u0663': expected a whole number from 1 to 1099511627775, in digits alone",
    ]


def test_an_account_stands_once(tmp_path: Path, manifest: Manifest) -> None:
    found = faults(register(tmp_path, *GOOD, row("A2", shares="1")), manifest)
    assert found == ["line 5, column 1 (account_id) = 'A2': stands in line 3 already"]


@pytest.mark.parametrize(
    ("header", "what"),
    [
        (HEADER.replace(",email", ""), ["line 1: the column email is missing"]),
        (HEADER.replace("email", "mail"), ["line 1: the column email is missing", "line 1, column 8 = 'mail'"]),
        (HEADER.replace("holder_id", "account_id"), ["holder_id is missing", "the column stands there twice"]),
        ("", ["the column account_id is missing"]),
    ],
)
def test_columns_are_those_expected(tmp_path: Path, manifest: Manifest, header: str, what: list[str]) -> None:
    found = faults(register(tmp_path, header=header), manifest)
    assert all(any(part in fault for fault in found) for part in what)


def test_a_file_that_is_no_text(tmp_path: Path, manifest: Manifest) -> None:
    path = register(tmp_path, *GOOD)
    path.write_bytes(path.read_bytes() + b"\xff\n")
    assert faults(path, manifest) == ["line 5: not UTF-8"]


def test_a_quote_that_does_not_end(tmp_path: Path, manifest: Manifest) -> None:
    assert faults(register(tmp_path, *GOOD, '"A4'), manifest)[0].startswith("line 5: not CSV")


def test_the_parts_of_a_nominee_vote_for_themselves(tmp_path: Path, manifest: Manifest) -> None:
    rows = [row(shares="100"), row("A2", parent="A1", shares="40"), row("A3", share_class="preferred", shares="7")]
    accounts = read_register(register(tmp_path, *rows), manifest)
    assert [account.weight for account in accounts] == [60, 40, 7]


def test_a_nominee_that_holds_all_for_others_does_not_vote(tmp_path: Path, manifest: Manifest) -> None:
    rows = [row(shares="100"), row("A2", "A1", shares="60"), row("A4", "A1", shares="40")]
    accounts = read_register(register(tmp_path, *rows, row("A3", share_class="preferred", shares="7")), manifest)
    assert [account.id for account in accounts] == ["A2", "A4", "A3"]


@pytest.mark.parametrize(
    ("parent", "shares", "what"),
    [
        ("A9", "40", "line 3, column 4 (nominee_parent) = 'A9': no other account has this name"),
        ("A2", "40", "line 3, column 4 (nominee_parent) = 'A2': no other account has this name"),
        ("A3", "5", "line 3, column 4 (nominee_parent) = 'A3': the nominee holds preferred, this account common"),
        ("A1", "61", "line 2, column 6 (shares) = '60': the accounts it holds for have 1 more"),
    ],
)
def test_parts_that_are_none(tmp_path: Path, manifest: Manifest, parent: str, shares: str, what: str) -> None:
    assert faults(register(tmp_path, GOOD[0], row("A2", parent, shares=shares), GOOD[2]), manifest)[0] == what


def test_a_part_of_a_row_that_is_wrong_itself_is_not_blamed(tmp_path: Path, manifest: Manifest) -> None:
    rows = [row(shares="-60"), row("A2", "A1", shares="40"), GOOD[2]]
    (found,) = faults(register(tmp_path, *rows), manifest)
    assert found.startswith("line 2, column 6 (shares) = '-60': expected a whole number from 1")


def test_nominees_do_not_hold_for_themselves(tmp_path: Path, manifest: Manifest) -> None:
    """Each of two accounts is said to be held by the other: nothing would be left that votes."""
    rows = [row("A1", "A2"), row("A2", "A1"), row("A4", "A1", shares="0"), *GOOD[2:]]
    found = faults(register(tmp_path, *rows), manifest)
    assert found[:2] == [
        "line 2, column 4 (nominee_parent) = 'A2': the nominee holds, through others, for itself",
        "line 3, column 4 (nominee_parent) = 'A1': the nominee holds, through others, for itself",
    ]
    assert len(found) == 3


def test_parts_of_parts_vote_for_themselves(tmp_path: Path, manifest: Manifest) -> None:
    rows = [row(shares="100"), row("A2", "A1", shares="40"), row("A4", "A2", shares="10"), GOOD[2]]
    accounts = read_register(register(tmp_path, *rows), manifest)
    assert [account.weight for account in accounts] == [60, 30, 10, 7]


def test_shares_of_the_company_in_itself_do_not_vote(tmp_path: Path, manifest: Manifest) -> None:
    own = [row("T1", group="treasury", shares="1000"), row("T2", "A1", group="treasury", shares="5")]
    found = open_register(register(tmp_path, row(shares="65"), *GOOD[1:], *own), manifest)
    assert [(account.id, account.weight) for account in found.accounts] == [("A1", 60), ("A2", 40), ("A3", 7)]
    assert found.totals[0] == ClassTotal("common", accounts=4, voting=2, shares=1105, treasury=1005, votes=100)


@pytest.mark.parametrize("group", ["Treasury", "TREASURY", "treasury "])
def test_treasury_is_written_so(tmp_path: Path, manifest: Manifest, group: str) -> None:
    found = faults(register(tmp_path, *GOOD, row("T1", group=group)), manifest)
    assert "line 5, column 3 (group_id)" in found[0] and "of the group treasury, written so" in found[0]


def counted_to(decimals: int, votes: int, votes_per_share: int = 1) -> Manifest:
    meeting = Meeting({"common": (votes,)})
    meeting.body["classes"][0] |= {"decimals": decimals, "votes_per_share": votes_per_share}
    return meeting.found().manifest


def test_shares_of_fractions_are_counted_in_units(tmp_path: Path) -> None:
    rows = [row(shares="0.001"), row("A2", shares="12.5"), row("A3", shares="7"), row("A4", shares="0.30")]
    accounts = read_register(register(tmp_path, *rows), counted_to(3, 39_602, votes_per_share=2))
    assert [account.weight for account in accounts] == [2, 25_000, 14_000, 600]


@given(st.integers(1, (1 << 40) - 1), st.integers(1, 6))
def test_units_are_exact(units: int, decimals: int) -> None:
    assert shares(decimals)(in_shares(units, decimals)) == units


NO_UNITS = ["0.0001", "0", "0.000", "01.5", ".5", "5.", "1,5", "-1.5", "1e3", "+1", " 1", "\u0661.5"]


@pytest.mark.parametrize("wrong", NO_UNITS)
def test_fractions_beyond_the_unit(tmp_path: Path, wrong: str) -> None:
    path = register(tmp_path, row(shares=f'"{wrong}"'), row("A2", shares="1.0004"))
    found = faults(path, counted_to(3, 1000))
    assert [fault.partition(": ")[2] for fault in found] == [
        "expected a number from 0.001 to 1099511627.775 with at most 3 decimal places"
    ] * 2


@pytest.mark.parametrize("rows", [GOOD[:2] + (row("A3", share_class="preferred", shares="8"),), GOOD[:2]])
def test_votes_are_those_of_the_manifest(tmp_path: Path, manifest: Manifest, rows: tuple[str, ...]) -> None:
    with pytest.raises(Refused, match="class preferred has [08] votes, the manifest says 7") as caught:
        read_register(register(tmp_path, *rows), manifest)
    assert caught.value.reason == "wrong-total"
