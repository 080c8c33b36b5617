"""Mixers that cheat: an honest mix retold with one lie in it, hash and chunks as they should be."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate, repeat
from typing import Any

from audit.protocol.elgamal import Ciphertext, encrypt
from audit.protocol.group import Element, G, b64, element_from
from audit.record.bodies import mixed_rows
from audit.record.mixes import MixedRows, mix_chunks

Body = dict[str, Any]
Rows = list[Body]


def told(bodies: list[Body], change: Callable[[Rows], Rows] = list, /, **head: Any) -> list[Body]:
    """The mix with other rows or another head, its hash and chunks as they should be."""
    rows = change([row for body in bodies for row in body["rows"]])
    raw = mixed_rows(rows, "rows")
    common = {name: value for name, value in bodies[0].items() if name not in ("first", "part", "rows")}
    return list(mix_chunks({**common, **head}, MixedRows([raw])))


def dropped(rows: Rows) -> Rows:
    return rows[1:]


def doubled(rows: Rows) -> Rows:
    return [rows[0], *rows[:-1]]


def swapped(rows: Rows) -> Rows:
    return [rows[1], rows[0], *rows[2:]]


def surplus(rows: Rows) -> Rows:
    stranger = {**rows[-1], "E": encrypt(1, G, 1).to_json()}
    return [*rows, {**stranger, "K": later(rows[-1], multiples_of(G))}]


def multiples_of(K: Element) -> Iterator[Element]:
    """2K, 3K, and so on."""
    return accumulate(repeat(K), initial=K + K)


def later(row: Body, keys: Iterable[Element]) -> str:
    """The first of these keys that may stand after this row: each lie keeps to the order."""
    K = element_from(row["K"]).raw
    return b64(next(key.raw for key in keys if key.raw > K))


def replaced(rows: Rows) -> Rows:
    K = later(rows[-2], multiples_of(G))
    return [*rows[:-1], {**rows[-1], "E": encrypt(9, G, 1).to_json(), "K": K}]


def altered_weight(rows: Rows) -> Rows:
    E = Ciphertext.from_json(rows[0]["E"]) + encrypt(1, G, 0)
    return [{**rows[0], "E": E.to_json()}, *rows[1:]]


def altered_key(rows: Rows) -> Rows:
    own = element_from(rows[-1]["K"])
    return [*rows[:-1], {**rows[-1], "K": later(rows[-2], (own + more for more in multiples_of(G)))}]


def another_exponent(rows: Rows) -> Rows:
    return [*rows[:-1], {**rows[-1], "K": later(rows[-2], multiples_of(element_from(rows[-1]["K"])))}]


def exchanged(rows: Rows) -> Rows:
    """A weight goes to another's key."""
    return [{**rows[0], "E": rows[1]["E"]}, {**rows[1], "E": rows[0]["E"]}, *rows[2:]]


def another_link(rows: Rows) -> Rows:
    return [{**rows[0], "c_hat": rows[1]["c_hat"]}, *rows[1:]]


CHEATS = {
    "drops a row": (dropped, "wrong-length", "rows"),
    "gives a row twice": (doubled, "duplicate", "rows[1].K"),
    "gives rows in an order of its own": (swapped, "not-sorted", "rows[1].K"),
    "adds a surplus row": (surplus, "wrong-length", "rows"),
    "replaces a row": (replaced, "bad-proof", "proof"),
    "alters a weight": (altered_weight, "bad-proof", "proof"),
    "alters a key": (altered_key, "bad-proof", "proof"),
    "takes another exponent for one row": (another_exponent, "bad-proof", "proof"),
    "moves a weight to another key": (exchanged, "bad-proof", "proof"),
    "alters a link of the chain": (another_link, "bad-proof", "proof"),
}
