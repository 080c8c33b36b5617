"""The newest head of a custodian's database, and the checkpoint that was published: whatever somebody, or the disk,
does to them, nothing is signed that is not true, and the newest head is mended only by what was published of it.
"""

from __future__ import annotations

from typing import Any

import pytest

from audit.log.keys import ED25519
from audit.log.merkle import CompactRange
from audit.protocol.refused import Refused
from tests.databases import Database
from tests.vault.conftest import CUSTODIANS, LOG, NOW, Growing, Served, signers
from tests.vault.sources import Shown
from tests.vault.test_scrubbing import Kept
from vault.custodian import kept as module
from vault.custodian.cosign import Head, WrongOldSize
from vault.custodian.storage import Damaged
from vault.custodian.stored import line_of


@pytest.fixture
def kept(database: Database) -> Kept:
    return Kept(database)


@pytest.mark.parametrize("column", ["root", "frontier", "note"])
def test_over_a_damaged_newest_head_nothing_is_signed(kept: Kept, column: str) -> None:
    kept.damage.flip("head", column, "size = 700", 40 if column == "note" else 12)
    before = kept.store.heads(kept.log.origin)
    for _ in range(2):
        with pytest.raises(Damaged, match="head of 700"):
            kept.append(1)
        kept.log.entries.pop()
        # After a restart, too.
        kept.start()
    assert list(before) == list(kept.store.heads(kept.log.origin))
    # What was published says which head it was, and when it was cosigned.
    kept.time += 500
    assert kept.scrub() == 3, kept.said
    assert kept.store.newest(kept.log.origin).time == kept.log.time
    kept.start()
    kept.append(1)
    kept.check_whole()


@pytest.mark.parametrize("column", ["root", "frontier", "note"])
def test_a_newest_head_that_was_not_published_is_not_made_up(kept: Kept, column: str) -> None:
    kept.append(1)
    kept.damage.flip("head", column, "size = 701", 40 if column == "note" else 12)
    assert kept.scrub(kept.peer.show()) == 4
    assert "rebuild this custodian" in kept.said[-1]


def test_a_mended_newest_head_without_an_own_line_is_dated_anew(kept: Kept) -> None:
    kept.append(1)
    # By the two others.
    head, lines = kept.log.head(), [*LOG, *(key for keys in CUSTODIANS[1:] for key in keys)]
    kept.custodian.publish(kept.log.origin, kept.log.note(head, lines).raw)
    kept.damage.flip("head", "root", "size = 701")
    kept.time += 500
    assert kept.scrub() == 3, kept.said
    assert kept.store.newest(kept.log.origin).time == kept.time
    kept.start()
    kept.time = NOW + 499
    with pytest.raises(Refused) as refusal:
        kept.append(1)
    assert refusal.value.reason == "clock-backwards"


def test_a_newest_head_is_not_dated_anew_by_a_clock_that_was_set_back(kept: Kept) -> None:
    kept.append(1)
    head, lines = kept.log.head(), [*LOG, *(key for keys in CUSTODIANS[1:] for key in keys)]
    kept.custodian.publish(kept.log.origin, kept.log.note(head, lines).raw)
    kept.damage.flip("head", "root", "size = 701")
    kept.time = kept.log.time - 86400
    assert kept.scrub() == 4
    assert f"{kept.log.origin}: this custodian's clock is 86400 s behind" in kept.said[1]
    # Nor before the time at which a tree was seen.
    seen = Head(0, 1, kept.log.head(1).root, b"", b"note", kept.log.time + 700)
    kept.store.observe(kept.log.origin, line_of(kept.log.policy), seen)
    kept.time = kept.log.time + 500
    assert kept.scrub() == 4
    kept.time = kept.log.time + 700
    assert kept.scrub() == 3, kept.said
    assert kept.store.newest(kept.log.origin).time == kept.log.time + 700


def test_a_published_checkpoint_that_fewer_than_w_have_cosigned_stands_for_no_head(kept: Kept) -> None:
    kept.damage.flip("head", "root", "size = 700")
    kept.damage.do("published", "UPDATE published SET note = :n WHERE origin = :o", n=kept.log.witnessed(custodians=1))
    assert kept.scrub(kept.peer) == 4
    assert "rebuild this custodian" in kept.said[-1]


def test_a_checkpoint_published_under_a_size_that_is_not_its_own_stands_for_no_head(kept: Kept) -> None:
    kept.damage.do("published", "UPDATE published SET size = 800 WHERE origin = :o AND size = 700")
    assert kept.found() == ["published checkpoint of 800 entries: is not as it was stored"]
    assert kept.scrub(kept.peer) == 4
    assert kept.store.newest(kept.log.origin).size == 700


def test_a_newest_head_that_is_gone_is_never_signed_over(kept: Kept) -> None:
    # The one who removes it wants another tree of 700 entries to be cosigned, as if this one had never been.
    kept.damage.remove("head", "size = 700")
    kept.damage.remove("entry", "index >= 600")
    fork = Growing(kept.log.origin, kept.log.entries[:600])
    old = fork.grow(50)
    with pytest.raises(Damaged, match="missing"):
        kept.custodian.append(fork.origin, fork.append(old))
    kept.start()
    with pytest.raises(Damaged, match="missing"):
        kept.custodian.append(fork.origin, fork.append(old))
    assert kept.scrub() == 4
    assert kept.scrub(kept.peer) == 3, kept.said
    with pytest.raises(WrongOldSize):
        kept.custodian.append(fork.origin, fork.append(old))
    kept.start()
    kept.append(1)
    kept.check_whole()


def test_a_newest_head_is_not_mended_with_a_fork(kept: Kept) -> None:
    kept.damage.remove("head", "size = 700")
    kept.damage.remove("entry", "index >= 600")
    other = Growing(kept.log.origin, [*kept.log.entries[:650], b"other", *kept.log.entries[651:]])
    other.grow(9)
    assert kept.scrub(Shown(other).show()) == 4
    assert kept.store.newest(kept.log.origin).size == 600


@pytest.mark.parametrize("call", ["append", "held", "mirrored"])
def test_a_text_that_somebody_wrote_for_a_note_is_never_signed(kept: Kept, call: str) -> None:
    # By who owns the database; another tree that the log has not signed, at the place of one that it has.
    origin, again = kept.log.origin, kept.log.append(600, 700)
    kept.start()
    other = Growing(origin, [*kept.log.entries[:699], b"other"])
    note = other.note(other.head(), [signers("log.example", ED25519)[0]]).raw
    kept.damage.do("head", "UPDATE head SET note = :n WHERE origin = :o AND size = 700", n=note)
    ask = {
        "append": lambda: kept.custodian.append(origin, again),
        "held": lambda: kept.custodian.held(origin),
        "mirrored": lambda: kept.custodian.mirrored(origin),
    }
    with pytest.raises(Damaged, match="head of 700"):
        ask[call]()


def test_another_tree_that_takes_the_place_of_one_that_was_seen_is_not_signed_over(kept: Kept) -> None:
    # The log has signed both, and who owns the database helps it.
    origin, before = kept.log.origin, list(kept.log.entries)
    kept.append(1)
    other = Growing(origin, [*before, b"other"])
    grown = CompactRange()
    grown.extend(other.source(0, index) for index in range(701))
    change = "UPDATE head SET note = :n, root = :r, frontier = :f WHERE origin = :o AND size = 701"
    kept.damage.do("head", change, n=other.note(other.head()).raw, r=grown.root(), f=grown.to_bytes())
    other.grow(1)
    with pytest.raises(Damaged, match="head of 701 entries is another"):
        kept.custodian.append(origin, other.append(701))


def test_what_is_held_must_be_the_tree_that_was_published(kept: Kept) -> None:
    other = Growing(kept.log.origin, [*kept.log.entries[:650], b"other", *kept.log.entries[651:]])
    kept.damage.do("published", "UPDATE published SET note = :n WHERE origin = :o", n=other.witnessed())
    said = "published checkpoint of 700 entries: is of another tree than the one that is held; keep both as they are"
    assert kept.found() == [said]
    assert kept.scrub(kept.peer) == 4
    assert kept.found() == [said]


def test_who_was_slow_to_look_makes_no_custodian_forget_what_was_cosigned_meanwhile(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    served.fill(8)
    served.restart()
    served.log.grow(2)
    kept, origin, store = served.custodian.kept, served.log.origin, type(served.store())
    check, before = module.check_head, served.stored()

    def slow(*arguments: Any) -> None:
        """Between looking and remembering, another caller appends."""
        monkeypatch.setattr(module, "check_head", check)
        served.cosigned(served.log.append(8))
        check(*arguments)

    monkeypatch.setattr(module, "check_head", slow)
    assert kept.newest(origin).size == 8
    monkeypatch.setattr(store, "newest", lambda *_: before)
    with pytest.raises(Damaged, match="heads are missing: 8 entries are held, of 10 that were"):
        kept.newest(origin)


def test_what_is_stored_and_published_between_two_looks_is_not_taken_for_missing(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    served.fill(3)
    kept, origin, store = served.custodian.kept, served.log.origin, type(served.store())
    served.restart()
    served.fill(5)
    published = store.published

    def slow(*arguments: Any) -> tuple[int, bytes]:
        """Between the newest head and what is published, another caller appends and publishes."""
        monkeypatch.setattr(store, "published", published)
        served.fill(2)
        return published(*arguments)

    monkeypatch.setattr(store, "published", slow)
    assert kept.newest(origin).size == 10
