"""What an examination asks of the tables besides entries and hashes: which heads there are, what came before them."""

from __future__ import annotations

import pytest

from tests.databases import Database
from tests.vault.test_scrubbing import Kept
from vault.custodian.cosign import Head
from vault.custodian.storage import Damaged


@pytest.fixture
def kept(database: Database) -> Kept:
    return Kept(database)


def test_heads_are_given_in_order_page_by_page_those_that_were_mended_among_them(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin, sizes = kept.log.origin, list(kept.store.heads(kept.log.origin))
    for size in (sizes[0], sizes[0], 5, 6, 7, 650, 9000):
        kept.store.mend_head(origin, Head(0, size, bytes(32), b"", b"", 0), lambda start, end: [])
    for page in (1, 2, 3, 100):
        monkeypatch.setattr("vault.custodian.sql_store.PAGE", page)
        assert list(kept.store.heads(origin)) == sorted({*sizes, 5, 6, 7, 650, 9000})


def test_damage_to_what_is_staged_beyond_the_head_is_found(kept: Kept) -> None:
    origin = kept.log.origin
    kept.log.grow(10)
    kept.store.stage(origin, 700, [kept.log.source(0, i) for i in range(700, 710)], kept.log.entries[700:])
    assert kept.scrub() == 0
    kept.damage.flip("entry", "data", "index = 705")
    with pytest.raises(Damaged):
        kept.custodian.append(origin, kept.log.append(700))
    assert kept.scrub(kept.peer) == 4
    assert (
        f"{origin}: entries from 700 on that were staged before their head: cannot be read: not repaired" in kept.said
    )
