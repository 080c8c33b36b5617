"""What an examination asks of the tables besides entries and hashes: which heads there are, what came before them."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from tests.databases import Database
from tests.vault.conftest import Growing
from tests.vault.sources import Shown
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
    # One that was mended as often as a page has room hides none that follows.
    for size in (sizes[0], sizes[0], 5, 5, 5, 6, 7, 650, 9000):
        kept.store.mend_head(origin, Head(0, size, bytes(32), b"", b"", 0), lambda start, end: [])
    for page in (1, 2, 3, 100):
        monkeypatch.setattr("vault.custodian.sql_store.PAGE", page)
        assert list(kept.store.heads(origin)) == sorted({*sizes, 5, 6, 7, 650, 9000})


@pytest.fixture
def staged(kept: Kept) -> Kept:
    """With 310 entries more that are staged beyond the head of 700."""
    kept.log.grow(310)
    leaves = [kept.log.source(0, index) for index in range(700, 1010)]
    kept.store.stage(kept.log.origin, 700, leaves, kept.log.entries[700:])
    assert kept.scrub() == 0
    return kept


def test_what_came_under_a_head_since_an_examination_began_is_not_read_as_staged(kept: Kept) -> None:
    kept.append(256)
    kept.log.grow(10)
    leaves = [kept.log.source(0, index) for index in range(956, 966)]
    kept.store.stage(kept.log.origin, 956, leaves, kept.log.entries[956:])
    staged = [start for kind, start, _ in kept.store.ahead(kept.log.origin, 700) if kind == "staged"]
    assert staged == [956]


@pytest.mark.parametrize("what", ["data", "leaf", "row"])
@pytest.mark.parametrize("places", [(700,), (955, 1008)])
def test_damage_to_what_is_staged_beyond_the_head_is_found_and_mended(
    staged: Kept, places: tuple[int, ...], what: str
) -> None:
    origin, log = staged.log.origin, staged.log
    for place in places:
        if what == "row":
            staged.damage.remove("entry", f"index = {place}")
        else:
            staged.damage.flip("entry", what, f"index = {place}")
    with pytest.raises(Damaged):
        staged.custodian.append(origin, log.append(700, 956))
    # Of what is held the peer proves all, and of what is staged nothing.
    assert staged.scrub(staged.peer) == 4
    for start in {956 if place > 955 else 700 for place in places}:
        said = f"entries from {start} on that were staged before their head: cannot be read: not repaired"
        assert f"{origin}: {said}" in staged.said
    assert any("no peer proves the entries from" in line for line in staged.said)
    assert staged.scrub(staged.peer.show()) == 3, staged.said
    assert (staged.store.staged(origin), staged.store.entries(origin, 700, 1010)) == (1010, log.entries[700:])
    staged.start()
    staged.custodian.append(origin, log.append(700, 956))
    log.grow(1)
    staged.custodian.append(origin, log.append(956))
    staged.check_whole()


@pytest.mark.parametrize("another", ["entry 750", "what is held"])
def test_what_is_staged_is_not_mended_from_another_tree(staged: Kept, another: str) -> None:
    staged.damage.flip("entry", "data", "index = 760")
    other = Growing(staged.log.origin, list(staged.log.entries))
    other.entries[750 if another == "entry 750" else 300] = b"another"
    assert staged.scrub(Shown(other).show()) == 4
    said = "entry 750, which was staged, is another" if another == "entry 750" else "no peer proves the entries"
    assert any(said in line for line in staged.said)
    assert repaired(staged) == 0
    # One that does not continue what is held is passed over.
    assert staged.scrub(Shown(other).show(), staged.peer.show()) == (3 if another == "what is held" else 4)


def repaired(kept: Kept) -> int:
    query = text("SELECT count(*) FROM mended WHERE origin = :o")
    with kept.database.owner.connect() as connection:
        return int(connection.scalar(query, {"o": kept.log.origin}) or 0)
