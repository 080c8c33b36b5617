"""A custodian that lost everything: whole again from others' tiles, and silent until it can contradict nothing that it
may have signed.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from audit.log.keys import COSIGNATURE, ML_DSA_44
from audit.log.notes import parse_signature_lines
from audit.log.tiles import bundle_path, frame, tile_path
from audit.protocol.refused import Refused
from tests.databases import Database
from tests.vault.conftest import CUSTODIANS, LOG, NOW, Growing, signers
from tests.vault.fixed_keys import FixedKeys
from tests.vault.sources import Shown
from vault.custodian.custody import Custodian
from vault.custodian.rebuilding import SKEW, Rebuild, Unfinished, check_finished
from vault.custodian.sql_store import SqlStore
from vault.custodian.storage import REBUILDING
from vault.custodian.stored import check_head

_numbers = itertools.count()
NAME = CUSTODIANS[0][0].name
SUCCESSOR = signers("custodian-d.example", COSIGNATURE, ML_DSA_44)


class Lost:
    """The first of three custodians, which holds nothing, and the two others."""

    def __init__(self, database: Database) -> None:
        self.store = SqlStore(database.engine)
        self.log = Growing(f"vote.example/lost-{next(_numbers)}")
        self.store.keep(self.log.origin, REBUILDING + NAME)
        self.keys = FixedKeys(self.log.policy)
        # The store's clock is of all its logs.
        self.began = self.time = max(NOW, self.store.last_time())
        self.peers = [Shown(self.log, f"http://peer-{name}.example/x") for name in "bc"]
        self.said: list[str] = []
        self.log.grow(600)
        self.publish(self.began - 100)

    def publish(self, time: int, *others: int, own: int | None = None) -> None:
        """All show the log as it is now, cosigned by these (both others, if none is said) at that time."""
        head = self.log.head()
        lines = [key.sign(head.text, time) for key in LOG]
        lines += [key.sign(head.text, own) for key in CUSTODIANS[0] if own]
        lines += [key.sign(head.text, time) for other in others or (1, 2) for key in (*CUSTODIANS, SUCCESSOR)[other]]
        note = self.log.note(head)
        for peer in self.peers:
            peer.note = type(note)(note.text, tuple(lines)).raw

    def begin(self, **options: bool) -> Rebuild:
        now = lambda: self.time  # noqa: E731
        return Rebuild(self.store, self.keys, self.peers, [NAME], now, self.said.append, **options)

    def grow(self, count: int, **signed: int) -> None:
        self.log.grow(count)
        self.time += 2 * SKEW
        self.publish(self.time, **signed)

    def custodian(self) -> Custodian:
        return Custodian(self.store, {self.log.origin: self.keys}, CUSTODIANS[0], lambda: self.time)


@pytest.fixture
def lost(database: Database) -> Lost:
    return Lost(database)


def test_it_is_whole_once_the_others_have_cosigned_since_and_is_pushed_to_again(lost: Lost) -> None:
    work = lost.begin()
    assert work.step() is None
    assert "600 entries stored; waiting until 2 other custodians" in lost.said[-1]
    assert lost.store.newest(lost.log.origin).size == 0
    lost.grow(200)
    head = work.step()
    assert head is not None
    assert (head.size, head.time) == (800, lost.time)
    check_head(lost.store.newest(lost.log.origin), lost.log.policy)
    assert lost.store.entries(lost.log.origin, 0, 800) == lost.log.entries
    custodian = lost.custodian()
    assert custodian.checkpoint(lost.log.origin) == lost.peers[0].note
    old = lost.log.grow(100)
    lines = parse_signature_lines(custodian.append(lost.log.origin, lost.log.append(old)))
    assert [line.name for line in lines] == [NAME, NAME]


def test_cosignatures_from_before_or_of_too_few_are_not_enough(lost: Lost) -> None:
    work = lost.begin()
    lost.time += 10 * SKEW
    # As new as the clocks of others may be ahead, and not newer.
    lost.log.grow(1)
    lost.publish(lost.began + SKEW)
    assert work.step() is None
    # The own line says nothing, and one other is too few: it may be the one that signed nothing with it.
    lost.log.grow(1)
    lost.publish(lost.time, 1, own=lost.began - 50)
    assert work.step() is None
    assert work.vouching == [CUSTODIANS[1][0].name]
    # The second may come later: what both cosigned is held.
    lost.log.grow(1)
    lost.publish(lost.time, 2, own=lost.began - 50)
    head = work.step()
    assert head is not None
    assert head.size == 603


def test_of_those_whose_clocks_are_ahead_only_a_line_later_than_the_first_counts(lost: Lost) -> None:
    lost.publish(lost.began + 5 * SKEW)
    work = lost.begin()
    for _ in range(2):
        assert work.step() is None
        assert work.vouching == []
    lost.log.grow(1)
    lost.publish(lost.began + 5 * SKEW + 1)
    head = work.step()
    assert head is not None
    assert head.size == 601


def test_it_says_for_what_and_from_when_on_it_waits(lost: Lost) -> None:
    lost.time = 1_790_000_000
    work = lost.begin()
    assert work.step() is None
    waiting = "waiting until 2 other custodians have cosigned one more tree each after 2026-09-21 14:14:20+00:00"
    last = "where nothing more is recorded: --at-once"
    assert lost.said == [f"{lost.log.origin}: 600 entries stored; {waiting} (by now: none); {last}"]


def test_run_again_it_remembers_the_largest_checkpoint_that_was_shown(lost: Lost) -> None:
    small = lost.peers[0].note
    lost.log.grow(100)
    lost.publish(lost.began - 50)
    lost.peers[0].note = small
    lost.peers[1].gone.add(bundle_path(2, 700 - 512))
    # As long as it is killed before a head is stored.
    for down in (False, True, True):
        lost.peers[1].down = down
        assert lost.begin(at_once=True).step() is None
        assert "600 entries stored; waiting for the others of 700" in lost.said[-1]
    lost.peers[1].down = False
    lost.peers[1].gone.clear()
    head = lost.begin(at_once=True).step()
    assert head is not None
    assert head.size == 700


def test_interrupted_it_goes_on_and_waits_for_new_cosignatures(lost: Lost) -> None:
    assert lost.begin().step() is None
    for peer in lost.peers:
        peer.asked.clear()
    lost.grow(50)
    again = lost.begin()
    assert again.step() is None
    # The first two bundles were stored before.
    assert bundle_path(0) not in {path for peer in lost.peers for path in peer.asked}
    lost.grow(50)
    head = again.step()
    assert head is not None
    assert head.size == 700


def test_one_that_is_not_empty_is_refused(lost: Lost) -> None:
    old = lost.log.grow(1)
    lost.log.entries[:] = lost.log.entries[:1]
    lost.custodian().append(lost.log.origin, lost.log.append(0))
    assert old == 600
    with pytest.raises(Refused) as refused:
        lost.begin()
    assert refused.value.reason == "not-empty"


def test_a_peer_that_lies_is_no_help_and_does_no_harm(lost: Lost) -> None:
    lost.peers[:] = lost.peers[:1]
    lost.peers[0].instead[bundle_path(1)] = frame([*lost.log.entries[256:300], b"lie", *lost.log.entries[301:512]])
    with pytest.raises(Exception, match="entry 300 is not the one"):
        lost.begin(at_once=True).step()
    lost.peers[0].instead.clear()
    head = lost.begin(at_once=True).step()
    assert head is not None
    assert lost.store.entries(lost.log.origin, 0, 600) == lost.log.entries


def test_peers_that_contradict_each_other_rebuild_nothing(lost: Lost) -> None:
    other = Growing(lost.log.origin, [*lost.log.entries[:500], b"other"])
    lost.peers[1] = Shown(other, "http://liar.example/x").show()
    with pytest.raises(Refused) as refused:
        lost.begin(at_once=True).step()
    assert refused.value.reason == "fork"
    assert lost.store.newest(lost.log.origin).size == 0


@pytest.mark.parametrize("byte", [0, -1], ids=["of the smaller tree", "beyond it"])
def test_a_false_tile_of_the_largest_peer_is_no_fork_and_the_others_are_enough(lost: Lost, byte: int) -> None:
    small = lost.peers[0].note
    lost.log.grow(100)
    lost.publish(lost.began - 50)
    lost.peers[0].note = small
    raw = bytearray(lost.peers[1].tile(0, 2, 700 - 512))
    raw[byte] ^= 1
    lost.peers[1].instead[tile_path(0, 2, 700 - 512)] = bytes(raw)
    work = lost.begin(at_once=True)
    # Of the 700 that somebody has shown it may have signed a tree, and of 600 it could be led to sign another.
    assert work.step() is None
    assert any(line.startswith("http://peer-c.example/x: ") for line in lost.said)
    assert "600 entries stored; waiting for the others of 700" in lost.said[-1]
    lost.peers[1].down = True
    assert work.step() is None
    lost.publish(lost.began - 50)
    head = work.step()
    assert head is not None
    assert head.size == 700


def test_a_peer_that_lacks_a_bundle_is_passed_over_and_told_once(lost: Lost) -> None:
    lost.peers[0].gone.add(bundle_path(1))
    work = lost.begin()
    for _ in range(3):
        assert work.step() is None
    assert len(lost.said) == 2
    assert f"peer-b.example/x/{bundle_path(1)}: is missing" in lost.said[0]
    assert "600 entries stored" in lost.said[1]


def test_a_custodian_that_was_replaced_and_its_successor_are_one(lost: Lost) -> None:
    work = lost.begin()
    assert work.step() is None
    lost.time += 2 * SKEW
    lost.log.grow(1)
    lost.publish(lost.time, 1, own=lost.began - 50)
    assert work.step() is None
    assert work.vouching == [CUSTODIANS[1][0].name]
    first, _, third = lost.keys.policy.custodians
    office = SUCCESSOR[0].name, tuple(key.verifier for key in SUCCESSOR)
    lost.keys.policy = replace(lost.keys.policy, custodians=(first, office, third))
    lost.log.grow(1)
    lost.publish(lost.time, 3, own=lost.began - 50)
    assert work.step() is None
    # The first that is seen of it may be from before.
    assert work.vouching == []
    lost.log.grow(1)
    lost.publish(lost.time + 1, 3, own=lost.began - 50)
    assert work.step() is None
    assert work.vouching == [SUCCESSOR[0].name]
    lost.log.grow(1)
    lost.publish(lost.time, 2, own=lost.began - 50)
    assert work.step() is not None


def test_a_clock_behind_its_own_last_cosignature_signs_nothing(lost: Lost) -> None:
    lost.publish(lost.began, 1, own=lost.began + 500)
    with pytest.raises(Refused) as refused:
        lost.begin(at_once=True).step()
    assert refused.value.reason == "clock-backwards"
    lost.time += 500
    assert lost.begin(at_once=True).step() is not None


def test_a_tree_that_was_published_with_its_cosignature_is_never_contradicted(lost: Lost) -> None:
    # It had cosigned 650 entries with another; the log now wants another tree of 650 from it.
    signed = Growing(lost.log.origin, [*lost.log.entries])
    signed.grow(50)
    fork = Growing(lost.log.origin, [*lost.log.entries, b"other"])
    fork.grow(49)
    work = lost.begin()
    assert work.step() is None
    # Honest, the other custodian with that tree cosigns nothing but what continues it: so does the one rebuilt.
    lost.log.entries[:] = signed.entries
    for peer in lost.peers:
        peer.log = lost.log
    lost.grow(10)
    assert work.step() is not None
    with pytest.raises(Refused):
        lost.custodian().append(fork.origin, fork.append(600))


def test_an_unfinished_rebuild_is_not_started(lost: Lost) -> None:
    check_finished(lost.store, lost.log.origin)
    work = lost.begin()
    assert work.step() is None
    with pytest.raises(Unfinished, match="custodian rebuild"):
        check_finished(lost.store, lost.log.origin)
    lost.grow(1)
    assert work.step() is not None
    check_finished(lost.store, lost.log.origin)
