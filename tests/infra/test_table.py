"""Files that rooms share: the election card, tables, and control numbers come back as they were written."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.protocol.control_number import new_control_number, parse_control_number
from audit.protocol.refused import Refused
from infra.card import Card, load_card
from infra.control_numbers import COLUMNS, read_number_lines, read_number_table, to_csv
from infra.keys import KeyFileError, write_secret
from infra.sealed import Lock, write_sealed
from infra.table import MOST_SHOWN, TableError, read_table, text, whole_number

PLAIN = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40)
ADDRESSES = st.lists(PLAIN.map("https://".__add__), min_size=1, max_size=3).map(tuple)
CARDS = st.builds(Card, PLAIN, st.binary(min_size=32, max_size=32), ADDRESSES, ADDRESSES)
CELLS = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]) | st.just("\n"), max_size=20)

LOCK = Lock("hkdf-sha256", bytes(range(32)))


@given(CARDS)
def test_a_card_comes_back(tmp_path_factory: pytest.TempPathFactory, card: Card) -> None:
    path = tmp_path_factory.mktemp("card") / "card.toml"
    path.write_text(card.to_toml())
    assert load_card(path) == card


@given(st.lists(st.tuples(CELLS, CELLS), max_size=5))
def test_a_table_comes_back(rows: list[tuple[str, str]]) -> None:
    raw = to_csv(("a", "b"), rows)
    columns = {"b": lambda value: value, "a": lambda value: value}
    table = read_table(Path("t.csv"), raw, columns)
    table.check()
    assert [(row["a"], row["b"]) for row in table.rows] == rows
    assert [row.line for row in table.rows[:1]] == [2][: len(rows)]


@given(st.binary(max_size=200))
def test_any_bytes_are_a_table_or_refused(raw: bytes) -> None:
    try:
        read_table(Path("t.csv"), raw, {"a": whole_number(0, 9)}).check()
    except TableError as error:
        assert error.faults and str(error).startswith("t.csv: line ")


def faults(raw: bytes) -> list[str]:
    with pytest.raises(TableError) as caught:
        read_table(Path("t.csv"), raw, {"n": whole_number(0, 9), "name": text(20)}, secret={"name"}).check()
    return caught.value.faults


def test_everything_that_is_wrong_is_told_at_once() -> None:
    lines = [b"n,name", b"10,a", b'1,"b"c', b"2,\xff", b"x\xfe,d", b"1,2,3", b'4,"e', b"55,f", b"6,g"]
    assert faults(b"\r\n".join(lines)) == [
        "line 2, column 1 (n) = '10': expected a whole number from 0 to 9, in digits alone",
        "line 3: not CSV (',' expected after '\"')",
        "line 4, column 2 (name): not UTF-8",
        "line 5, column 1 (n) = 'x\\udcfe': not UTF-8",
        "line 6: has 3 values, not 2",
        "line 7: not CSV (unexpected end of data)",
        "line 8, column 1 (n) = '55': expected a whole number from 0 to 9, in digits alone",
    ]


def test_rows_are_read_under_a_wrong_first_line() -> None:
    assert faults(b"n,m,n\n10,a,1\n1,2\n") == [
        "line 1: the column name is missing",
        "line 1, column 2 = 'm': no such column is expected",
        "line 1, column 3 = 'n': the column stands there twice",
        "line 2, column 1 (n) = '10': expected a whole number from 0 to 9, in digits alone",
        "line 3: has 2 values, not 3",
    ]


@pytest.mark.parametrize("raw", [b'"n,name\n1,a\n', b"n,\xff\n1,a\n"])
def test_a_first_line_that_cannot_be_read_ends_it(raw: bytes) -> None:
    assert [fault.split(" (")[0] for fault in faults(raw)] in (["line 1: not CSV"], ["line 1: not UTF-8"])


def test_a_file_of_nothing_but_quotes_is_given_up() -> None:
    found = faults(b"n,name\n" + b'1,"a"b\n' * 5_000)
    assert len(found) == MOST_SHOWN + 1 and found[-1] == f"line {MOST_SHOWN + 2}: not read from here on"


@given(st.text(max_size=8))
def test_a_whole_number_is_written_one_way(value: str) -> None:
    try:
        number = whole_number(1, 999)(value)
    except ValueError:
        return
    assert str(number) == value and 1 <= number <= 999


def test_text_holds_no_control_characters() -> None:
    assert text(9)("a b\n") == "a b\n"
    for value in ("\x1b[31m", "\x00", "a" * 10):
        with pytest.raises(ValueError, match="control character|0 to 9"):
            text(9)(value)


@given(st.lists(st.binary(min_size=16, max_size=16), unique=True, max_size=5))
def test_control_numbers_come_back(tmp_path_factory: pytest.TempPathFactory, entropy: list[bytes]) -> None:
    folder = tmp_path_factory.mktemp("numbers")
    numbers = list(dict.fromkeys(map(new_control_number, entropy)))
    rows = [(f"A{i}", "common", i % 3, n) for i, n in enumerate(numbers)]
    write_sealed(folder / "table", to_csv(tuple(COLUMNS), rows), LOCK)
    write_secret(folder / "lines", "\n".join(["", *numbers, ""]))
    symbols = list(map(parse_control_number, numbers))
    found = read_number_table(folder / "table", LOCK).rows
    assert [(row["control_number"], row["revision"]) for row in found] == [(s, i % 3) for i, s in enumerate(symbols)]
    assert read_number_lines(folder / "lines") == symbols


def test_a_wrong_number_is_named_and_not_repeated(tmp_path: Path) -> None:
    number = new_control_number(bytes(range(16)))
    write_secret(tmp_path / "lines", f"\n{number[:-3]}\n")
    with pytest.raises(Refused, match="line 2: a control number has 25 letters") as caught:
        read_number_lines(tmp_path / "lines")
    assert number[:5] not in str(caught.value)


def test_numbers_that_others_may_read_are_not_used(tmp_path: Path) -> None:
    (tmp_path / "lines").write_text("x")
    (tmp_path / "lines").chmod(0o640)
    for read in (read_number_lines, lambda path: read_number_table(path, LOCK)):
        with pytest.raises(KeyFileError, match="lets others read it"):
            read(tmp_path / "lines")
