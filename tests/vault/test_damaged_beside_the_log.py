"""A page that cannot be read and holds nothing of the log, but what was repaired of it, or what each start and each
append asks for: it is told before it matters, and readers are served.
"""

from __future__ import annotations

import pytest
from sqlalchemy import text

from audit.log.tiles import WIDTH
from audit.protocol.refused import Refused
from infra.postgres import Cluster
from tests.vault.conftest import CUSTODIANS, NOW
from tests.vault.fixed_keys import FixedKeys
from tests.vault.test_damaged_pages import damaged, kept, own, page_of
from tests.vault.test_scrubbing import Kept
from vault.custodian.config import check_keeper, is_kept
from vault.custodian.cosign import Head
from vault.custodian.custody import Custodian
from vault.custodian.examining import Examiner
from vault.custodian.storage import Damaged

__all__ = ["kept", "own"]


def test_where_repairs_cannot_be_read_what_was_right_before_is_served(own: Cluster, kept: Kept) -> None:
    origin = kept.log.origin
    kept.damage.flip("entry", "data", "index = 300")
    assert kept.scrub(kept.peer) == 3
    damaged(own, kept, "mended", 0)
    kept.start()
    assert kept.custodian.checkpoint(origin) == kept.peer.note
    for level, index in ((0, 0), (0, 1), (1, 0)):
        assert kept.custodian.tile(origin, level, index, WIDTH if level == 0 else 2) is not None
    assert kept.store.entries(origin, 301, 700) == kept.log.entries[301:]
    assert kept.store.entries(origin, 300, 301) != kept.log.entries[300:301]
    assert kept.scrub(kept.peer) == 4
    assert f"{origin}: a page of the database cannot be read" in kept.said
    assert kept.said[-1] == f"{origin}: entry 300: is not as it was stored: not repaired"


def test_of_repairs_only_those_on_the_page_are_lost(own: Cluster, kept: Kept) -> None:
    origin = kept.log.origin
    for index in range(300, 400):
        kept.store.mend_entry(origin, index, lambda start, end: kept.log.entries[start:end])
    first, last = (page_of(kept, "mended", f"number = {number}") for number in (300, 399))
    assert first < last
    for index in (300, 399):
        kept.damage.flip("entry", "data", f"index = {index}")
    damaged(own, kept, "mended", first)
    assert kept.store.entries(origin, 399, 400) == kept.log.entries[399:400]
    found = kept.found()
    assert "entry 300: is not as it was stored" in found
    assert "entry 399: is not as it was stored" not in found


def test_a_scrub_ends_where_all_attempts_to_mend_a_place_are_used_up(kept: Kept) -> None:
    kept.damage.flip("entry", "data", "index = 300")
    last = "INSERT INTO public.mended VALUES (:o, 'entry', 0, 300, 32767, 'junk')"
    with kept.database.engine.begin() as connection:
        connection.execute(text(last), {"o": kept.log.origin})
    assert kept.scrub(kept.peer) == 4
    assert any("entry 300 was mended too often, and not by a scrub" in line for line in kept.said)


def test_who_keeps_the_log_is_asked_for_before_the_next_start(own: Cluster, kept: Kept) -> None:
    origin = kept.log.origin
    kept.store.keep(origin, CUSTODIANS[0][0].name)
    examiner = Examiner(kept.store, {origin: FixedKeys(kept.log.policy)})
    examiner.run()
    examiner.check()
    damaged(own, kept, "keeps", 0)
    examiner.patrol()
    with pytest.raises(Refused, match="name of who keeps the log: cannot be read"):
        examiner.check()
    for asked in (lambda: is_kept(kept.store, origin), lambda: check_keeper(kept.store, [origin], ["x"])):
        with pytest.raises(Damaged, match="the table keeps, which says who keeps .*: rebuild this custodian"):
            asked()
    assert kept.scrub(kept.peer) == 4


@pytest.mark.parametrize(
    ("index", "said"),
    [
        ("head_time", "latest time that was cosigned: cannot be read"),
        ("head_origin_old_size_key", "place of the head that follows 700 entries: cannot be read"),
    ],
)
def test_an_index_by_which_each_append_asks_is_read_with_all_else(
    own: Cluster, kept: Kept, index: str, said: str
) -> None:
    origin = kept.log.origin
    kept.store.observe(origin, "line", Head(0, 9, bytes(32), b"", b"note", NOW))
    examiner = Examiner(kept.store, keys := {origin: FixedKeys(kept.log.policy)})
    examiner.run()
    damaged(own, kept, index, 1)
    kept.custodian = Custodian(kept.store, keys, CUSTODIANS[0], lambda: kept.time, examiner.check)
    examiner.patrol()
    with pytest.raises(Refused, match=said):
        examiner.check()
    assert kept.custodian.checkpoint(origin) == kept.peer.note
