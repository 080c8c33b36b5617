"""The QR code of a link, as rectangles that both paper and page draw."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

import segno

QUIET = 4
"""Modules of white on every side, without which a code may not be found (ISO/IEC 18004)."""


@dataclass(frozen=True)
class Code:
    """`size` modules a side, the white margin included; `rows` says of each module whether it is dark."""

    rows: tuple[tuple[bool, ...], ...]

    @classmethod
    def of(cls, link: str) -> Code:
        """The code of a link. A letter may be creased or stained: at least 15 % of the code can be lost (level M)."""
        code = segno.make_qr(link, error="m", boost_error=True)
        return cls(tuple(tuple(map(bool, row)) for row in code.matrix_iter(border=QUIET)))

    @property
    def size(self) -> int:
        return len(self.rows)

    def bars(self) -> Iterator[tuple[int, int, int]]:
        """The dark modules, those side by side as one: column and row of the first, counted from the top left, and
        how many.
        """
        for y, row in enumerate(self.rows):
            x = 0
            for dark, run in groupby(row):
                length = len(list(run))
                if dark:
                    yield x, y, length
                x += length
