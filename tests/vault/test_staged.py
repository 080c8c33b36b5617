"""Entries that are stored before their head, as by a rebuild: they were shown in a tree that W custodians have
cosigned, so what takes their places must be the same; and until it does, nothing counts of them.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from audit.log.keys import Signer
from audit.log.merkle import CompactRange, leaf_hash
from tests.databases import Database
from tests.simulator.rekeys import rekey
from tests.vault import uploading
from tests.vault.conftest import NOW, Growing, Served
from tests.vault.damage import Damage
from tests.vault.test_following_rekeys import NEW, Town
from tests.vault.test_rebuilding import Lost, lost
from tests.vault.uploading import seen, upload
from vault.custodian.cosign import Head
from vault.custodian.keys import stored_keys
from vault.custodian.mending import Scrub
from vault.custodian.storage import Damaged

__all__ = ["lost"]


def stage(served: Served, start: int, end: int) -> None:
    """Stores these entries of the log, as a rebuild does."""
    entries = served.log.entries[start:end]
    served.store().stage(served.log.origin, start, [leaf_hash(entry) for entry in entries], entries)
    served.restart()


def another(log: Growing, place: int, size: int) -> Growing:
    """A log of this name with another entry at one place."""
    made = Growing(log.origin, [*log.entries[:place], b"other", *log.entries[place + 1 : size]])
    made.grow(size - len(made.entries))
    return made


@pytest.mark.parametrize("place", [0, 99, 170])
def test_no_other_entry_is_signed_in_their_place(served: Served, place: int) -> None:
    served.log.grow(200)
    stage(served, 0, 100)
    stage(served, 100, 200)
    if place >= 150:
        # Of those that a head does not cover yet, too.
        served.cosigned(served.log.append(0, 150))
    held = served.stored().size
    assert served.refused("append", another(served.log, place, 250).append(held), 422) == "fork"
    # They themselves, and what follows them.
    served.log.grow(50)
    served.cosigned(served.log.append(held))
    assert served.store().entries(served.log.origin, 0, 250) == served.log.entries


@pytest.mark.parametrize("place", [0, 99])
def test_no_other_entry_is_signed_that_an_upload_brings_to_their_place(served: Served, place: int) -> None:
    served.log.grow(200)
    stage(served, 0, 100)
    true, served.log = served.log, another(served.log, place, 200)
    seen(served, 200)
    assert uploading.refused(served, upload(served, 0, 200), 422) == "fork"
    served.log = true
    served.cosigned(true.append(0))


def test_what_follows_them_may_begin_beyond_a_tile_that_becomes_full(served: Served) -> None:
    served.fill(100)
    served.log.grow(230)
    stage(served, 100, 270)
    served.cosigned(served.log.append(100))
    assert served.store().entries(served.log.origin, 0, 330) == served.log.entries
    assert served.store().hashes(served.log.origin, 1, 0, 1) == [served.log.source(8, 0)]


def test_one_whose_peers_went_back_meanwhile_signs_nothing_but_what_it_was_shown(lost: Lost) -> None:
    lost.log.grow(200)
    # By a version that did not remember what it was shown; the peer with the most is away when it ends.
    entries = lost.log.entries[:]
    lost.store.stage(lost.log.origin, 0, [leaf_hash(entry) for entry in entries], entries)
    del lost.log.entries[600:]
    head = lost.begin(at_once=True).step()
    assert head is not None
    assert (head.size, lost.store.staged(lost.log.origin)) == (600, 800)
    with pytest.raises(Exception, match="other entries at these places"):
        lost.custodian().append(lost.log.origin, another(lost.log, 650, 700).append(600))
    lost.log.entries[:] = entries
    assert lost.custodian().append(lost.log.origin, lost.log.append(600))


def test_a_rebuild_goes_on_when_what_changed_of_what_it_had_stored_is_mended(lost: Lost, database: Database) -> None:
    origin = lost.log.origin
    assert lost.begin().step() is None
    Damage(database, origin).flip("entry", "data", "index = 5")
    with pytest.raises(Damaged, match="entry 5 is not as it was stored"):
        lost.begin(at_once=True).step()
    scrub = Scrub(lost.store, lost.keys, lost.peers, lost.said.append, clock=lambda: lost.time)
    assert scrub.run() == 3, lost.said
    # By what it was shown it has signed nothing yet.
    assert lost.store.newest(origin).size == 0
    head = lost.begin(at_once=True).step()
    assert head is not None
    assert lost.store.entries(origin, 0, head.size) == lost.log.entries


def test_what_was_brought_begins_where_they_end(served: Served) -> None:
    served.log.grow(600)
    origin, store = served.log.origin, served.store()
    leaves = [leaf_hash(entry) for entry in served.log.entries]
    store.stage(origin, 0, leaves[:250], served.log.entries[:250])
    store.bring(origin, "line", 250, leaves[250:590], served.log.entries[250:590])
    grown = CompactRange()
    grown.extend(leaves)
    note = served.log.note(served.log.head()).raw
    new = Head(0, 600, grown.root(), grown.to_bytes(), note, NOW)
    store.append(origin, new, leaves[590:], served.log.entries[590:], "line")
    served.restart()
    assert served.store().entries(origin, 0, 600) == served.log.entries
    assert served.store().hashes(origin, 0, 0, 600) == leaves
    assert served.store().hashes(origin, 1, 0, 2) == [served.log.source(8, 0), served.log.source(8, 1)]


@pytest.mark.parametrize(("office", "name", "new"), NEW)
def test_a_rekey_among_them_counts_from_its_head_on(
    tmp_path: Path, office: str, name: str, new: tuple[Signer, ...]
) -> None:
    town = Town(tmp_path)
    before = town.held()
    rekey(town.meeting, office, name, new)
    entry = town.meeting.entries[before]
    town.store.stage(town.manifest.origin, before, [leaf_hash(entry)], [entry])
    assert town.store.rekeys(town.manifest.origin) == [before]
    assert list(stored_keys(town.store, town.manifest).places()) == []
    town.show(before)
    town.begin()
    assert town.held() == before + 1
    assert list(stored_keys(town.store, town.manifest).places()) == [before]
