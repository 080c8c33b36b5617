"""Control numbers: what a holder types in to vote.

A control number is 125 random bits, printed as 25 symbols of Crockford's base32 and one check symbol, in groups:
`AAAAA-BBBBB-CCCCC-DDDDD-EEEEE-*`. Who types it from a letter may use lower case, leave hyphens out, put spaces in, and
write I or L for 1 and O for 0. The check symbol, the number modulo 37, catches every single wrong symbol and every swap
of neighbours; it is no secret and no part of what is hashed. Whoever knows a number can vote with it, so no error ever
repeats one.
"""

from __future__ import annotations

from audit.protocol.refused import Refused

SYMBOLS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
CHECK_SYMBOLS = SYMBOLS + "*~$=U"
LENGTH = 25
GROUP = 5

# Explicit tables, not str.upper(): that would turn letters of other alphabets into ours.
_READ_AS = {"i": "1", "I": "1", "l": "1", "L": "1", "o": "0", "O": "0"}
_READ_AS |= {written: symbol for symbol in CHECK_SYMBOLS for written in (symbol, symbol.lower())}
_BETWEEN = frozenset(" \t\r\n\u00a0\u2007\u202f-\u00ad\u2010\u2011\u2012\u2013\u2014\u2212")


def new_control_number(entropy: bytes) -> str:
    """The control number made of the first 125 bits of 16 random bytes, as it is printed: 31 characters.

    The bytes must come fresh from the system's generator. ValueError if there are not 16 of them.
    """
    if len(entropy) != 16:
        raise ValueError("a control number is made of 16 random bytes")
    number = int.from_bytes(entropy, "big") >> 3
    return format_control_number("".join(SYMBOLS[number >> 5 * i & 31] for i in reversed(range(LENGTH))))


def format_control_number(symbols: str) -> str:
    """The 25 symbols in groups of five with hyphens and the check symbol, as printed in a letter."""
    groups = [symbols[i : i + GROUP] for i in range(0, LENGTH, GROUP)]
    return "-".join([*groups, check_symbol(symbols)])


def check_symbol(symbols: str) -> str:
    """The number that 25 symbols stand for, modulo 37, as one symbol (Crockford, "Base 32", Check Symbol)."""
    return CHECK_SYMBOLS[_number(symbols) % 37]


def parse_control_number(text: str) -> str:
    """The 25 upper-case symbols of a control number as somebody typed it; this is what is hashed.

    Refused: `wrong-length`, `syntax` for a sign that is no symbol, `check-symbol` for a mistyped number.
    """
    written = [sign for sign in text if sign not in _BETWEEN]
    if len(written) != LENGTH + 1:
        raise Refused(
            "wrong-length",
            f"a control number has {LENGTH} letters and digits and one check symbol at its end, {LENGTH + 1} in all; "
            f"this one has {len(written)}",
        )
    read = "".join(_read(sign, place) for place, sign in enumerate(written, 1))
    if check_symbol(read[:LENGTH]) != read[LENGTH]:
        raise Refused(
            "check-symbol",
            "the check symbol at the end does not fit: at least one symbol was mistyped, or two were swapped; "
            "please compare with the letter group by group",
        )
    return read[:LENGTH]


def expect_symbols(symbols: str) -> str:
    """The same 25 symbols. Refused `syntax` for anything else: as printed it would hash to a useless credential."""
    if len(symbols) != LENGTH or not set(symbols) <= set(SYMBOLS):
        raise Refused("syntax", f"a control number must be parsed to its {LENGTH} symbols before it is hashed")
    return symbols


def _read(sign: str, place: int) -> str:
    symbol = _READ_AS.get(sign)
    if symbol is None or (symbol not in SYMBOLS and place <= LENGTH):
        raise Refused("syntax", f"the sign at place {place}, not counting hyphens and spaces, never stands there")
    return symbol


def _number(symbols: str) -> int:
    number = 0
    for symbol in symbols:
        number = number << 5 | SYMBOLS.index(symbol)
    return number
