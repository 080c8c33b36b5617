"""Control numbers: read as people type them, never misread, and never repeated in an error."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.protocol.control_number import (
    CHECK_SYMBOLS,
    LENGTH,
    SYMBOLS,
    check_symbol,
    expect_symbols,
    format_control_number,
    new_control_number,
    parse_control_number,
)
from audit.protocol.refused import Refused
from tests.protocol.sample import refused

entropies = st.binary(min_size=16, max_size=16)
EXAMPLE = new_control_number(bytes(range(16)))


@given(entropies)
def test_printed_numbers_are_read_back(entropy: bytes) -> None:
    printed = new_control_number(entropy)
    symbols = parse_control_number(printed)
    assert len(printed) == 31
    assert format_control_number(symbols) == printed
    assert expect_symbols(symbols) == symbols


@given(entropies, entropies)
def test_the_first_125_bits_make_the_number(one: bytes, other: bytes) -> None:
    same = int.from_bytes(one, "big") >> 3 == int.from_bytes(other, "big") >> 3
    assert (new_control_number(one) == new_control_number(other)) == same


@given(entropies)
def test_as_people_type_it(entropy: bytes) -> None:
    printed = new_control_number(entropy)
    symbols = parse_control_number(printed)
    for typed in (
        printed.lower(),
        printed.replace("-", ""),
        printed.replace("-", " \u2013 "),
        f"  {printed}\r\n",
        printed.replace("1", "l").replace("0", "O"),
        printed.replace("1", "I").replace("0", "o"),
    ):
        assert parse_control_number(typed) == symbols


@given(entropies, st.integers(0, LENGTH), st.sampled_from(CHECK_SYMBOLS))
def test_one_wrong_symbol_is_seen(entropy: bytes, place: int, wrong: str) -> None:
    printed = new_control_number(entropy).replace("-", "")
    typed = printed[:place] + wrong + printed[place + 1 :]
    if typed != printed:
        with pytest.raises(Refused) as caught:
            parse_control_number(typed)
        assert caught.value.reason == ("check-symbol" if wrong in SYMBOLS or place == LENGTH else "syntax")


@given(entropies, st.integers(0, LENGTH - 2))
def test_swapped_neighbours_are_seen(entropy: bytes, place: int) -> None:
    symbols = parse_control_number(new_control_number(entropy))
    swapped = symbols[:place] + symbols[place + 1] + symbols[place] + symbols[place + 2 :]
    if swapped != symbols:
        with refused("check-symbol"):
            parse_control_number(swapped + check_symbol(symbols))


@pytest.mark.parametrize(
    ("typed", "reason"),
    [
        ("", "wrong-length"),
        (EXAMPLE[:-1], "wrong-length"),
        (EXAMPLE + "0", "wrong-length"),
        ("#" + EXAMPLE[1:], "syntax"),
        ("U" + EXAMPLE[1:], "syntax"),
        ("\u0661" + EXAMPLE[1:], "syntax"),
        ("\u017f" + EXAMPLE[1:], "syntax"),
    ],
)
def test_what_is_no_number(typed: str, reason: str) -> None:
    with refused(reason):
        parse_control_number(typed)


@given(entropies, st.integers(0, 30))
def test_no_error_repeats_a_number(entropy: bytes, cut: int) -> None:
    printed = new_control_number(entropy)
    for typed in (printed[:cut], printed[:-1] + "#", printed + printed):
        with pytest.raises(Refused) as caught:
            parse_control_number(typed)
        assert not any(group in str(caught.value) for group in printed.split("-") if len(group) == 5)


@pytest.mark.parametrize("length", [0, 15, 17])
def test_a_number_is_made_of_16_bytes(length: int) -> None:
    with pytest.raises(ValueError, match="16 random bytes"):
        new_control_number(bytes(length))
