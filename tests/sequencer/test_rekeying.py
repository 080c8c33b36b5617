"""The log's own key rotated and a custodian replaced, as tally and custodians live through it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from audit.log.checkpoint import cosigned_by, open_note
from audit.log.encoding import encode_base64
from audit.log.keys import Signer
from audit.log.merkle import CompactRange, LeafHashes, consistency_proof, frontier, leaf_hash
from audit.log.notes import Note, parse_note
from audit.log.tiles import frame
from audit.log.treehead import Checkpoint
from audit.protocol.refused import Refused
from audit.record.heads import open_head
from audit.record.restart import Restart
from tally.sequencer.courier import LedgerBehind
from tally.sequencer.custodian import Rejected
from tally.sequencer.ledger import Ledger
from tally.sequencer.log_keys import MissingKey
from tests.loopback import wait_until
from tests.sequencer.house import TOKEN, House
from tests.sequencer.test_recovery import signed_and_sent_to_one
from tests.sequencer.test_sequencing import officials, reconcile
from tests.simulator.dice import Dice
from tests.simulator.rekeys import rekeying, take_over
from tests.vault.folders import opened
from tests.vault.uploading import beginning
from vault.custodian.custody import Custodian as Keeper
from vault.custodian.keys import stored_keys
from vault.custodian.serve import custodian_app

NEW_LOG = Dice(70).log_keys("log")
NEWCOMER = Dice(71).custodian_keys("custodian-d")


def record_rekey(house: House, office: str, name: str, new: tuple[Signer, ...]) -> None:
    """The officials hand it in, and it is recorded; from then on the meeting goes by it, too."""
    meeting = house.meeting
    raw = rekeying(meeting, office, name, new)
    house.queue.put(raw)
    with house.opened() as sequencer:
        while sequencer.step():
            pass
        meeting.election.rekey(sequencer.election.manifest)
    take_over(meeting, office, name, new)


@pytest.fixture
def rotated(open_house: House) -> House:
    """Both keys of the log lie ready, a ballot is recorded, the key rotated, and another ballot recorded."""
    open_house.log_keys = (*open_house.meeting.parties.log, *NEW_LOG)
    open_house.record(open_house.ballot(0))
    record_rekey(open_house, "log", "log", NEW_LOG)
    open_house.record(open_house.ballot(1))
    return open_house


def read(house: House, i: int = 0) -> tuple[int, list[int]]:
    """What one who knows only the manifest reads at a custodian: the size, and where keys were changed."""
    found = open_head(house.vault.reader(i), house.meeting.manifest.history[0])
    assert found is not None
    head, manifest = found
    return head.size, [rekey.index for rekey in manifest.rekeys]


def test_what_the_old_key_signed_is_nobodys_in_the_very_batch_of_the_rekey(open_house: House) -> None:
    """Its line was true when the batch was looked at, before the rekey in it was."""
    open_house.record(officials(open_house, "closing"))
    meeting, new = open_house.meeting, Dice(72).signers("intake-1")
    before, word = open_house.vault.entries(), rekeying(meeting, "intake", "intake-1", new)
    open_house.queue.put(word, reconcile(open_house, 0), reconcile(open_house, 1))
    with open_house.opened() as sequencer:
        while sequencer.step():
            pass
        assert sequencer.figures.foreign == 1
    take_over(meeting, "intake", "intake-1", new)
    accounts = [reconcile(open_house, 1), reconcile(open_house, 0)]
    entries = open_house.record(accounts[1])
    assert [entry.raw for entry in entries[len(before) :]] == [word, *accounts]


def test_the_log_goes_on_with_its_new_key(rotated: House) -> None:
    size, furthest = len(rotated.vault.entries()), rotated.vault.furthest()
    assert read(rotated, furthest) == (size, [size - 2])
    replayed = rotated.replay()
    assert (replayed.ballots, replayed.manifest.log.log) == (2, tuple(key.verifier for key in NEW_LOG))
    old = rotated.meeting.manifest.history[0].log
    raw = rotated.vault.reader(furthest).checkpoint()
    assert raw is not None
    with pytest.raises(Refused) as refused:
        open_note(parse_note(raw), old)
    assert refused.value.reason == "wrong-signers"


def test_the_tree_that_holds_the_rekey_is_signed_with_the_new_key(open_house: House) -> None:
    open_house.log_keys = (*open_house.meeting.parties.log, *NEW_LOG)
    record_rekey(open_house, "log", "log", NEW_LOG)
    size = len(open_house.vault.entries())
    note = parse_note(open_house.ledger.signed(size) or b"")
    assert [line.key_id for line in note.signatures] == [key.verifier.key_id for key in NEW_LOG]
    before = parse_note(open_house.ledger.signed(size - 1) or b"")
    assert [line.key_id for line in before.signatures] == [k.verifier.key_id for k in open_house.log_keys[:2]]


def test_without_the_new_key_nothing_is_staged_and_with_it_it_goes_on(open_house: House) -> None:
    raw = rekeying(open_house.meeting, "log", "log", NEW_LOG)
    size = open_house.ledger.newest().size
    open_house.queue.put(raw, open_house.ballot(0))
    with pytest.raises(MissingKey, match=NEW_LOG[0].verifier.key_id.hex()), open_house.opened() as sequencer:
        sequencer.step()
    assert open_house.ledger.newest().size == size and len(open_house.queue.rows) == 2
    open_house.log_keys = (*open_house.meeting.parties.log, *NEW_LOG)
    with open_house.opened() as sequencer:
        while sequencer.step():
            pass
        assert (sequencer.election.ballots, len(sequencer.election.manifest.rekeys)) == (1, 1)
    assert not open_house.queue.rows


def test_a_lost_key_is_replaced_by_who_holds_only_the_new_one(open_house: House) -> None:
    open_house.log_keys = NEW_LOG
    open_house.queue.put(open_house.ballot(0))
    with pytest.raises(MissingKey), open_house.opened() as sequencer:
        sequencer.step()
    record_rekey(open_house, "log", "log", NEW_LOG)
    assert open_house.replay().ballots == 1


def test_a_custodian_that_was_away_is_sent_both_what_the_old_and_what_the_new_key_signed(open_house: House) -> None:
    open_house.vault.down(2)
    open_house.log_keys = (*open_house.meeting.parties.log, *NEW_LOG)
    open_house.sequence(open_house.ballot(0))
    record_rekey(open_house, "log", "log", NEW_LOG)
    open_house.vault.up(2)
    open_house.sequence(open_house.ballot(1))
    with open_house.opened() as sequencer:
        last = sequencer._push._couriers[2]
        wait_until(lambda: last.published == sequencer.election.size)
    assert read(open_house, 2) == (open_house.ledger.newest().size, [open_house.ledger.newest().size - 2])


def test_a_custodian_that_begins_again_still_goes_by_the_rekey(rotated: House) -> None:
    for i in range(3):
        rotated.vault.up(i)
    rotated.record(rotated.ballot(2))
    assert rotated.replay().ballots == 3


def test_an_old_ledger_does_not_know_the_key_and_is_recognised_all_the_same(
    open_house: House, other_ledger: Ledger
) -> None:
    copy = replace(open_house, ledger=other_ledger, log_keys=(*open_house.meeting.parties.log, *NEW_LOG))
    copy.record()
    open_house.log_keys = copy.log_keys
    record_rekey(open_house, "log", "log", NEW_LOG)
    with pytest.raises(LedgerBehind), copy.opened() as sequencer:
        copy.queue.put(open_house.ballot(1))
        sequencer.step()
    with copy.sequencer(behind=True) as sequencer:
        sequencer.open()
        assert other_ledger.newest() == open_house.ledger.newest()


@pytest.mark.parametrize("old_key", [True, False], ids=["with the old key", "without the old key"])
def test_a_lost_ledger_is_read_back(rotated: House, other_ledger: Ledger, old_key: bool) -> None:
    size = rotated.ledger.newest().size
    after = replace(rotated, ledger=other_ledger)
    if not old_key:
        after.log_keys = NEW_LOG
    with after.opened() as sequencer:
        assert (sequencer.election.size, sequencer.election.ballots) == (size, 2)
        after.queue.put(rotated.ballot(2))
        sequencer.step()
    assert after.replay().ballots == 3


def made_up(house: House, folder: Path, entries: list[bytes], log: tuple[Signer, ...], i: int = 2) -> None:
    """Custodian i holds these entries, and a tree of them that is signed with these keys of the log."""
    origin, own = house.meeting.origin, house.meeting.parties.custodians[i]
    tree = CompactRange()
    tree.extend(map(leaf_hash, entries))
    text = Checkpoint(origin, tree.size, tree.root()).text
    header = b"old 0\n\n" + Note(text, tuple(key.sign(text, 1_800_000_000) for key in log)).raw
    store = opened(folder, [origin])
    keys = stored_keys(store, house.meeting.manifest.history[0])
    keeper = Keeper(store, {origin: keys}, own, house.vault.clock)
    keeper.append(origin, len(header).to_bytes(4, "big") + header + frame(entries))
    house.vault.apps[i] = custodian_app(keeper, [origin], TOKEN)


def test_a_longer_tree_by_the_stolen_old_key_is_not_adopted(
    rotated: House, other_ledger: Ledger, tmp_path: Path
) -> None:
    true = [entry.raw for entry in rotated.vault.entries()]
    old = rotated.log_keys[:2]
    made_up(rotated, tmp_path, [*true[:-2], *(rotated.ballot(2, revision) for revision in range(3))], old)
    with replace(rotated, ledger=other_ledger).sequencer():
        assert list(other_ledger.all_entries()) == true


def test_a_size_that_is_only_claimed_is_not_read_through(rotated: House, other_ledger: Ledger) -> None:
    text = Checkpoint(rotated.meeting.origin, 1 << 62, bytes(32)).text
    note = Note(text, tuple(key.sign(text, 1_800_000_000) for key in Dice(72).log_keys("log"))).raw
    honest, asked = rotated.vault.apps[2], []

    async def endless(scope: Any, receive: Any, send: Any) -> None:
        path = scope.get("path", "")
        if scope["type"] != "http" or "/held" not in path:
            await honest(scope, receive, send)
            return
        asked.append(path)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        body = note if path.endswith("held") else frame([b"x"] * 256)
        await send({"type": "http.response.body", "body": body})

    rotated.vault.apps[2] = endless
    with pytest.raises(TimeoutError), replace(rotated, ledger=other_ledger).sequencer():
        pass
    assert len(asked) < 20
    assert other_ledger.newest().size == 0


def test_another_tree_by_the_stolen_old_key_stops_nobody(rotated: House, tmp_path: Path) -> None:
    true = [entry.raw for entry in rotated.vault.entries()]
    made_up(rotated, tmp_path, [*true[:-3], rotated.ballot(2)], rotated.log_keys[:2])
    with rotated.opened() as sequencer:
        rotated.queue.put(rotated.ballot(2))
        while sequencer.step():
            pass
        with pytest.raises(Rejected, match="another-tree"):
            sequencer._push._couriers[2]._find(0)
    assert rotated.replay(0).ballots == 3


def test_a_tree_by_stolen_keys_that_is_only_shown_stops_neither_ballots_nor_the_rekey(open_house: House) -> None:
    """Whoever has the log's two keys, and nothing else, tells every custodian of a tree that is one entry larger."""
    origin = open_house.meeting.origin
    entries = [*(entry.raw for entry in open_house.vault.entries()), b"nobody's"]
    source, size = LeafHashes([leaf_hash(entry) for entry in entries]), len(entries)
    text = Checkpoint(origin, size, frontier(source, size).root()).text
    note = Note(text, tuple(key.sign(text, 1_800_000_000) for key in open_house.meeting.parties.log)).raw
    proof = "".join(f"{encode_base64(one)}\n" for one in consistency_proof(source, size - 1, size))
    shown = f"old {size - 1}\n{proof}\n".encode() + note
    brought = beginning(origin, size - 1, size) + frame(entries[-1:]) + b"\0"
    for url in open_house.vault.urls:
        assert httpx.post(f"{url}/add-checkpoint", content=shown, trust_env=False).status_code == 200
        assert httpx.post(f"{url}/add-entries", content=brought, trust_env=False).status_code == 401
    open_house.record(open_house.ballot(0))
    open_house.log_keys = (*open_house.meeting.parties.log, *NEW_LOG)
    record_rekey(open_house, "log", "log", NEW_LOG)
    open_house.record(open_house.ballot(1))
    assert open_house.replay().ballots == 2


@pytest.fixture
def newcomer(open_house: House, tmp_path: Path) -> Iterator[House]:
    """A custodian of another name, which holds nothing, at the address of the third."""
    vault = open_house.vault
    record_rekey(open_house, "custodian", "custodian-c", NEWCOMER)
    store = opened(tmp_path, [open_house.meeting.origin])
    keys = stored_keys(store, open_house.meeting.manifest.history[0])
    keeper = Keeper(store, {open_house.meeting.origin: keys}, NEWCOMER, vault.clock)
    vault.apps[2] = custodian_app(keeper, [open_house.meeting.origin], TOKEN)
    return open_house


def test_a_new_custodian_catches_up_from_nothing_and_counts(newcomer: House) -> None:
    newcomer.vault.down(0)
    newcomer.sequence(newcomer.ballot(0))
    raw = newcomer.vault.reader(2).checkpoint()
    assert raw is not None
    manifest = newcomer.meeting.manifest
    assert cosigned_by(parse_note(raw), manifest.log) == ["custodian-b", "custodian-d"]
    assert newcomer.replay(2).ballots == 1
    size = newcomer.ledger.newest().size
    assert read(newcomer, 2) == (size, [size - 2])


def test_the_officials_word_names_who_took_the_place_too(newcomer: House, other_ledger: Ledger) -> None:
    """They leave out custodian-c; custodian-d, in its place, holds more than the others."""
    vault, lost, ballot = newcomer.vault, newcomer.ballot(0), newcomer.ballot(1)
    before = newcomer.ledger.newest().size
    with newcomer.opened() as sequencer:
        wait_until(lambda: sequencer._push._couriers[2].size == before)
    signed_and_sent_to_one(newcomer, lost)
    newcomer.queue.rows.clear()
    away, vault.apps[2] = vault.apps[2], None
    after = replace(newcomer, ledger=other_ledger)
    with after.sequencer(word=Restart(frozenset({"custodian-c"}), before, 0)) as sequencer:
        sequencer.open()
        vault.apps[2] = away
        after.queue.put(ballot)
        while sequencer.step():
            pass
        wait_until(lambda: vault.size(0) == vault.size(1) == before + 1)
        after.queue.put(lost)
        while sequencer.step():
            pass
    assert [entry.raw for entry in vault.entries(0)][-2:] == [ballot, lost]


def test_a_replaced_custodian_does_not_count_any_more(open_house: House) -> None:
    """It is still there, at an address that tally is given, and signs."""
    vault, old = open_house.vault, open_house.meeting.parties.custodians[2]
    record_rekey(open_house, "custodian", "custodian-c", NEWCOMER)
    vault.apps[2] = vault.app(2, old)
    open_house.queue.put(open_house.ballot(0))
    with open_house.opened() as sequencer:
        vault.down(0)
        staged = sequencer.stage(open_house.queue.take(256)).entries
        stage, manifest = open_house.ledger.newest(), sequencer.election.manifest
        push, text = sequencer._push, stage.checkpoint(open_house.meeting.origin).text
        push.send(stage, open_house.ledger.sign(stage.size, sequencer.signed_note(stage, manifest), staged), manifest)
        wait_until(lambda: push._couriers[1].size == stage.size)
        with pytest.raises(Rejected) as rejected:
            push._couriers[2]._report(stage.size, text, [key.sign(text, 1_800_000_000) for key in old])
        assert rejected.value.reason == "wrong-signers"
        assert list(push._cosigned()) == ["custodian-b"]


def test_a_crash_after_the_rekey_is_staged_goes_on_with_the_new_key(open_house: House) -> None:
    """And what was staged, and not signed, before it is signed with the old one."""
    old = open_house.meeting.parties.log
    open_house.log_keys = (*old, *NEW_LOG)
    open_house.queue.put(open_house.ballot(0))
    with open_house.opened() as sequencer:
        sequencer.stage(open_house.queue.take(256))
    size = open_house.ledger.newest().size
    assert open_house.ledger.signed(size) is None
    raw = rekeying(open_house.meeting, "log", "log", NEW_LOG)
    open_house.queue.put(raw)
    with open_house.opened() as sequencer:
        assert keys_of(open_house.ledger.signed(size)) == [key.verifier.key_id for key in old]
        sequencer.stage(open_house.queue.take(256))
    assert open_house.ledger.signed(size + 1) is None
    with open_house.opened() as sequencer:
        assert keys_of(open_house.ledger.signed(size + 1)) == [key.verifier.key_id for key in NEW_LOG]
        assert sequencer.election.manifest.log_key == NEW_LOG[0].verifier


def keys_of(note: bytes | None) -> list[bytes]:
    """The keys by which a note of the log's own is signed."""
    assert note is not None
    return [line.key_id for line in parse_note(note).signatures]
