"""A mix as the log holds it: chunks of the new list with the proof that it is the former one, mixed.

Every chunk says alike who mixes which list, the how manieth attempt it is, the new generator and the head of the proof;
its rows carry their own part of the proof. Rows are kept as bytes, 224 each while a mix is collected and 96 each once
it is complete, so that a roll of a hundred thousand rows fits everywhere the rules run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, overload

from audit.protocol.canonical import canonical
from audit.protocol.elgamal import Ciphertext
from audit.protocol.group import ELEMENT_SIZE, SCALAR_SIZE, Element, b64
from audit.protocol.refused import MixerFault, Refused
from audit.protocol.shuffle_rows import MIXED_ROW_SIZE, ROW_SIZE, MixedRow, Row, ShuffleProof, cut
from audit.record.chunks import Assembly, lines_hash
from audit.record.rolls import Roll, weight_in

BUDGET = 16_000
"""Bytes of canonical rows in one chunk: a client that looks for one row reads whole bundles of 256 entries."""

LEAST_ROWS = 32
"""Rows in every chunk but the last, at least: of smaller ones there would be more, for everybody to read."""

MOST_ATTEMPTS = 16
"""What a mixer may hand in of one mix, begun and given up, is in the log for ever."""


class RollRows(Sequence[Row]):
    """A list of rows held as 96 bytes each, in the order of the roll; every element was decoded before."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    @classmethod
    def of(cls, roll: Roll) -> RollRows:
        return cls(b"".join(key + weight for key, weight in roll.rows.items()))

    def __len__(self) -> int:
        return len(self._raw) // ROW_SIZE

    @overload
    def __getitem__(self, i: int) -> Row: ...
    @overload
    def __getitem__(self, i: slice) -> Sequence[Row]: ...
    def __getitem__(self, i: int | slice) -> Row | Sequence[Row]:
        if isinstance(i, slice):
            return [self[j] for j in range(*i.indices(len(self)))]
        if not 0 <= i < len(self):
            raise IndexError(i)
        return row_in(self._raw[i * ROW_SIZE : (i + 1) * ROW_SIZE])

    def __iter__(self) -> Iterator[Row]:
        return map(row_in, cut(self._raw, ROW_SIZE))


def row_in(raw: bytes) -> Row:
    """The row in its 96 bytes."""
    return Row(Element(raw[:ELEMENT_SIZE]), weight_in(raw[ELEMENT_SIZE:]))


class MixedRows(Iterable[MixedRow]):
    """The rows of a mix in their chunks of bytes, 224 a row; they may be read any number of times."""

    def __init__(self, parts: Sequence[bytes]) -> None:
        self.parts = parts

    def __iter__(self) -> Iterator[MixedRow]:
        return map(mixed_row_in, self.lines())

    def lines(self) -> Iterator[bytes]:
        """The bytes of each row."""
        return (row for part in self.parts for row in cut(part, MIXED_ROW_SIZE))


def mixed_row_in(raw: bytes) -> MixedRow:
    """The row in its 224 bytes, checked when its entry was parsed."""
    K, a, b, c, c_hat = (Element(part) for part in cut(raw[: 5 * ELEMENT_SIZE], ELEMENT_SIZE))
    s_hat, s_prime = (int.from_bytes(part, "little") for part in cut(raw[5 * ELEMENT_SIZE :], SCALAR_SIZE))
    return MixedRow(K, Ciphertext(a, b), c, c_hat, s_hat, s_prime)


class MixAssembly(Assembly):
    """Collects the chunks of one mix; kept of their rows are the bytes."""

    @property
    def mixer(self) -> str:
        assert self.head is not None
        return str(self.head["signer"])

    @property
    def attempt(self) -> int:
        assert self.head is not None
        return int(self.head["attempt"])

    @property
    def before(self) -> str:
        """The hash of the list that is mixed, as it stands in JSON."""
        assert self.head is not None
        return str(self.head["before"])

    def mixed(self, N: int) -> MixedRows:
        """The rows of the whole. MixerFault unless there are N of them, their keys in strictly ascending order."""
        rows = MixedRows(list(self.in_order(rows_in)))
        self.expect_hash(rows.lines())
        last, found = b"", 0
        for row in rows.lines():
            key = row[:ELEMENT_SIZE]
            if key == last:
                text = f"{self.mixer} gives two rows the same key"
                raise MixerFault(self.mixer, "duplicate", text, f"rows[{found}].K")
            if key < last:
                text = f"{self.mixer} gives rows that are not in the order of their keys"
                raise MixerFault(self.mixer, "not-sorted", text, f"rows[{found}].K")
            last, found = key, found + 1
        if found != N:
            raise MixerFault(self.mixer, "wrong-length", f"{self.mixer} publishes {found} rows for {N}", "rows")
        return rows


def expect_even(N: int, first: int, index: int, of: int, rows: int) -> None:
    """Refused `wrong-length` unless this many rows, the row they begin with, and their place are those of one chunk of
    N rows that are cut evenly: all chunks but the last have as many rows, 32 or more."""
    last = index == of - 1
    most = first // index if last and index else rows
    even = first == index * most and (of - 1) * most < N <= of * most and (not last or first + rows == N)
    if not even or (of > 1 and most < LEAST_ROWS):
        text = f"this is part {index} of {of}, {rows} rows from row {first} on, and no part of {N} rows cut evenly"
        raise Refused("wrong-length", f"{text} into {LEAST_ROWS} or more; only the last part may have fewer", "rows")


def rows_in(part: bytes) -> int:
    """How many mixed rows these bytes are."""
    return len(part) // MIXED_ROW_SIZE


def mix_head(
    manifest: bytes, roll: Roll, mixer: str, attempt: int, generator: Element, proof: ShuffleProof
) -> dict[str, Any]:
    """What all chunks of a mix of this list say alike."""
    return {
        "attempt": attempt,
        "before": b64(roll.hash),
        "class": roll.share_class,
        "generator": b64(generator.raw),
        "manifest": b64(manifest),
        "proof": proof.to_json(),
        "signer": mixer,
    }


def mix_chunks(head: dict[str, Any], rows: Iterable[MixedRow]) -> Iterator[dict[str, Any]]:
    """The bodies of the chunks of a mix, at least one, in order. All rows have one length in JSON, so all chunks but
    the last have as many."""
    raw = b"".join(row.raw for row in rows)
    one = len(canonical(mixed_row_in(raw[:MIXED_ROW_SIZE]).to_json())) + 1
    most = BUDGET // one
    whole = b64(lines_hash(head, cut(raw, MIXED_ROW_SIZE)))
    parts = list(cut(raw, most * MIXED_ROW_SIZE))
    for index, part in enumerate(parts):
        shown = [row.to_json() for row in MixedRows([part])]
        place = {"hash": whole, "index": index, "of": len(parts)}
        yield {**head, "first": index * most, "part": place, "rows": shown}
