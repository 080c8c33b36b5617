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
from infra.table import TableError, read_table, text, whole_number

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
