"""Whatever is wrong in a share register is told at once, each fault by its line and column, and nothing that is right
is blamed.
"""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.protocol.refused import Refused
from audit.record.manifest import Manifest
from infra.table import TableError
from intake.register.holdings import COLUMNS, read_register
from tests.simulator.meeting import Meeting
from tests.simulator.parties import contest

NAMES = list(COLUMNS)
ROWS = 8
WRONG = {
    "account_id": ["../A", "", "A B", "-A", "Ä"],
    "holder_id": ["", "H" * 121],
    "group_id": ["Treasury", " treasury", "TREASURY"],
    "nominee_parent": ["../A", "A B"],
    "class": ["golden", "", "Common"],
    "shares": ["0", "-1", "1.5", "007", "1e3", "", " 1", "1,000", str(1 << 40), "٣"],
    "name": ["", "N" * 301],
    "email": ["nobody", "a b@c", "a@b@c", "@"],
    "language": ["English", "e", "en_GB"],
}


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    holdings = {"common": (10,) * ROWS, "preferred": (7,)}
    return Meeting(holdings, [contest("nominee-1", classes=["common", "preferred"])]).found().manifest


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("register") / "register.csv"


def written(path: Path, columns: list[str], changes: dict[tuple[int, str], str]) -> None:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    for number in range(ROWS):
        row = {"account_id": f"A{number}", "holder_id": "H", "group_id": "", "nominee_parent": "", "class": "common"}
        row |= {"shares": "10", "name": "Ann", "email": "", "postal_address": "", "language": "en"}
        row |= {name: value for (at, name), value in changes.items() if at == number}
        writer.writerow([row[name] for name in columns])
    path.write_text(text.getvalue(), newline="")


wrong = st.sampled_from([(name, value) for name, values in WRONG.items() for value in values])


def eight_of(numbers: st.SearchStrategy[int]) -> st.SearchStrategy[list[int]]:
    return st.lists(numbers, min_size=ROWS, max_size=ROWS)


cells = st.dictionaries(st.tuples(st.integers(0, ROWS - 1), wrong), st.none(), min_size=1, max_size=12)


@settings(max_examples=150, deadline=None)
@given(cells, st.permutations(NAMES))
def test_every_fault_is_told_by_line_and_column(
    manifest: Manifest, path: Path, cells: dict[tuple[int, tuple[str, str]], None], columns: list[str]
) -> None:
    changes = {(at, name): value for at, (name, value) in cells}
    written(path, columns, changes)
    with pytest.raises(TableError) as caught:
        read_register(path, manifest)
    told = [re.match(r"line (\d+), column (\d+) \((\w+)\) = ", fault) for fault in caught.value.faults]
    assert all(told), caught.value.faults
    found = sorted((int(m[1]) - 2, m[3], int(m[2])) for m in told if m)
    assert found == sorted((at, name, columns.index(name) + 1) for at, name in changes)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(1, ROWS - 1), st.integers(0, ROWS - 2)), min_size=1, max_size=4))
def test_accounts_that_stand_there_twice(manifest: Manifest, path: Path, copies: list[tuple[int, int]]) -> None:
    """An id is blamed wherever it stands again, with the line where it stood first."""
    changes = {(at, "account_id"): f"A{other}" for at, other in copies}
    written(path, NAMES, changes)
    ids = [changes.get((number, "account_id"), f"A{number}") for number in range(ROWS)]
    again = [n for n, id in enumerate(ids) if id in ids[:n]]
    if not again:
        return
    with pytest.raises(TableError) as caught:
        read_register(path, manifest)
    expected = [
        f"line {n + 2}, column 1 (account_id) = '{ids[n]}': stands in line {ids.index(ids[n]) + 2} already"
        for n in again
    ]
    assert caught.value.faults == expected


def test_an_id_that_stands_there_twice_in_a_row_with_another_fault(manifest: Manifest, path: Path) -> None:
    written(path, NAMES, {(4, "account_id"): "A1", (4, "shares"): "-1"})
    with pytest.raises(TableError) as caught:
        read_register(path, manifest)
    assert len(caught.value.faults) == 2
    assert "column 1 (account_id) = 'A1': stands in line 3 already" in caught.value.faults[0]


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300) | st.text(max_size=200).map(lambda text: (",".join(NAMES) + "\n" + text).encode()))
def test_any_bytes_are_a_register_or_refused(manifest: Manifest, path: Path, raw: bytes) -> None:
    path.write_bytes(raw)
    with pytest.raises((TableError, Refused)) as caught:
        read_register(path, manifest)
    if isinstance(caught.value, TableError):
        assert caught.value.faults and all(fault.startswith("line ") for fault in caught.value.faults)


@settings(max_examples=150, deadline=None)
@given(eight_of(st.integers(0, ROWS)), eight_of(st.integers(1, 20)))
def test_parts_never_weigh_more_than_their_nominee(
    manifest: Manifest, path: Path, parents: list[int], shares: list[int]
) -> None:
    """Trees of nominees and parts, and rings: refused at a nominee's or a part's line, or all shares vote once."""
    changes = {(n, "nominee_parent"): f"A{p}" for n, p in enumerate(parents) if p < ROWS and p != n}
    written(path, NAMES, changes | {(n, "shares"): str(number) for n, number in enumerate(shares)})
    tops = sum(number for n, number in enumerate(shares) if (n, "nominee_parent") not in changes)
    try:
        accounts = read_register(path, manifest)
    except TableError as error:
        assert all(re.match(r"line [2-9], column \d+ \(\w+\) = ", fault) for fault in error.faults)
        return
    except Refused as refusal:
        assert "votes" in refusal.detail
        return
    assert sum(account.weight for account in accounts) == tops == 10 * ROWS
