"""The two text encodings that every C2SP format shares: standard base64 and decimal numbers.

Both are read strictly, so that one value has one text: what a signature, a hash or a proof covers cannot be written in
a second way that also parses.
"""

from __future__ import annotations

import binascii

from audit.protocol.refused import Refused

MAX_NUMBER = 2**63 - 1


def encode_base64(data: bytes) -> str:
    """Standard padded base64 without line breaks (RFC 4648, section 4)."""
    return binascii.b2a_base64(data, newline=False).decode("ascii")


def decode_base64(text: str, what: str, length: int | None = None) -> bytes:
    """The bytes of a canonical standard base64 text; `what` names it in a refusal.

    Refused `bad-encoding` for another alphabet, missing or surplus padding or set trailing bits; `wrong-length` if
    `length` differs.
    """
    try:
        data = binascii.a2b_base64(text.encode("ascii"), strict_mode=True)
    except (UnicodeEncodeError, binascii.Error):
        raise Refused("bad-encoding", f"{what} is not standard base64") from None
    if encode_base64(data) != text:
        raise Refused("bad-encoding", f"{what} is not canonical base64")
    if length is not None and len(data) != length:
        raise Refused("wrong-length", f"{what} has {len(data)} bytes, not {length}")
    return data


def parse_decimal(text: str, what: str, largest: int = MAX_NUMBER) -> int:
    """The number of an ASCII decimal without leading zeroes, 0 up to `largest`. Refused `bad-encoding`."""
    digits = 0 < len(text) <= 19 and text.isascii() and text.isdigit()
    if not digits or (text[0] == "0" and text != "0") or int(text) > largest:
        raise Refused("bad-encoding", f"{what} is not a decimal number from 0 to {largest} without leading zeroes")
    return int(text)
