"""What is staged and not signed when a sequencer begins: whoever can write to the ledger may have put it there, so it
is judged as if it had just come from the queue.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from audit.log.keys import Signer
from audit.log.merkle import CompactRange, leaf_hash
from audit.protocol.group import b64
from audit.record.entries import make_text, parse_entry, seal
from tally.sequencer.ledger import PAGE, Damaged, Ledger, Overtaken, Stage
from tally.sequencer.replay import Replay
from tests.sequencer.house import House
from tests.simulator.dice import Dice

INTAKE = Dice(99).signers("intake-1")[0]
"""A stranger with an intake's name."""


def stage_by_hand(ledger: Ledger, entries: Sequence[bytes], **false: bytes) -> Stage:
    """Stages entries as who may write to the ledger can, and no sequencer would, with what of the stage is false."""
    newest = ledger.newest()
    frontier = CompactRange.from_bytes(newest.frontier)
    frontier.extend(map(leaf_hash, entries))
    stage = replace(Stage(newest.size, frontier.size, frontier.root(), frontier.to_bytes()), **false)
    with ledger.begin() as transaction:
        transaction.append(stage, entries)
    return stage


def without_proofs(house: House) -> bytes:
    """A ballot that no voter has signed, with the line of an intake."""
    body = {**parse_entry(house.ballot(0)).body, "signature": b64(bytes(64))}
    return seal(make_text("ballot", house.meeting.origin, body), [house.meeting.parties.intakes[0]])


def by_a_stranger(house: House) -> bytes:
    """A ballot that a voter has signed, with the line of nobody's intake."""
    return seal(parse_entry(house.ballot(0)).text, [INTAKE])


def notice(house: House, *signers: Signer) -> bytes:
    """By two officials, if nobody else is named."""
    body = {"manifest": house.meeting.hash, "subject": "incident", "text": "There was one."}
    return house.meeting.signed("notice", body, *(signers or house.meeting.parties.officials[:2]))


def by_no_official(house: House) -> bytes:
    """A notice with lines that no official has made."""
    officials = house.meeting.parties.officials[:2]
    return notice(house, *(Signer(one.name, one.verifier.type, b"s" * 32) for one in officials))


def repeated(house: House) -> bytes:
    """What stands in the log already, every line of it true."""
    return house.record(notice(house))[-1].raw


def too_old(house: House) -> bytes:
    """A ballot of a lower revision than one that is recorded."""
    house.record(house.ballot(0, revision=2))
    return house.ballot(0, revision=1)


FORGED: dict[Callable[[House], bytes], str] = {
    without_proofs: "signature",
    by_a_stranger: "signature|intake",
    by_no_official: "the line by chair",
    repeated: "in the log already",
    too_old: "revision 2 is recorded",
}


@pytest.mark.parametrize("made", FORGED, ids=[made.__name__ for made in FORGED])
def test_what_the_rules_refuse_is_not_signed(open_house: House, made: Callable[[House], bytes]) -> None:
    raw = made(open_house)
    stage = stage_by_hand(open_house.ledger, [raw])
    said = f"entry {stage.old_size} is staged, not signed, and may not be recorded: .*({FORGED[made]})"
    with open_house.sequencer() as sequencer, pytest.raises(Damaged, match=said):
        sequencer.open()
    assert open_house.ledger.signed(stage.size) is None
    assert max(open_house.vault.size(i) for i in range(3)) == stage.old_size


def another_frontier(size: int) -> bytes:
    tree = CompactRange()
    tree.extend(leaf_hash(b"another") for _ in range(size))
    return tree.to_bytes()


def test_a_false_root_is_not_signed(open_house: House) -> None:
    stage = stage_by_hand(open_house.ledger, [notice(open_house)], root=b"r" * 32)
    with open_house.sequencer() as sequencer, pytest.raises(Damaged, match=f"{stage.size} entries .* the root that"):
        sequencer.open()
    assert open_house.ledger.signed(stage.size) is None


@pytest.mark.parametrize("followed", [False, True])
def test_a_false_frontier_is_not_signed_and_accuses_nobody(open_house: House, followed: bool) -> None:
    """By it a custodian that holds the very tree would be said to hold another. `followed`: by a true stage."""
    size = open_house.ledger.newest().size + 1
    stage_by_hand(open_house.ledger, [notice(open_house)], frontier=another_frontier(size))
    if followed:
        tree = CompactRange()
        tree.extend(map(leaf_hash, [*open_house.ledger.all_entries(), raw := open_house.ballot(0)]))
        stage_by_hand(open_house.ledger, [raw], root=tree.root(), frontier=tree.to_bytes())
    said = f"{size} entries do not have the frontier"
    with open_house.sequencer() as sequencer, pytest.raises(Damaged, match=said):
        sequencer.open()
    assert open_house.ledger.newest_signed().size == size - 1


def test_a_false_frontier_under_what_is_signed_is_found_by_whoever_reads(open_house: House) -> None:
    """As a restore may leave one, or a version that did not look."""
    ledger, raw = open_house.ledger, notice(open_house)
    stage = stage_by_hand(ledger, [raw], frontier=another_frontier(ledger.newest().size + 1))
    sequencer = open_house.term().sequencer
    ledger.sign(stage.size, sequencer.signed_note(stage, open_house.meeting.manifest), [parse_entry(raw)])
    with pytest.raises(Damaged, match=f"{stage.size} entries do not have the frontier"):
        sequencer.follow()


def test_who_stands_by_does_not_read_what_is_not_signed(open_house: House) -> None:
    size = open_house.ledger.newest().size
    stage_by_hand(open_house.ledger, [without_proofs(open_house)])
    sequencer = open_house.term().sequencer
    while sequencer.follow() is not None:
        pass
    assert sequencer._replay is not None and sequencer._replay.stage.size == size


def test_no_more_is_judged_than_one_stage_holds(open_house: House) -> None:
    for _ in range(2):
        stage_by_hand(open_house.ledger, [b"nobody's"] * (PAGE // 2 + 1))
    with open_house.sequencer() as sequencer, pytest.raises(Damaged, match="not those of one stage"):
        sequencer.open()


def test_what_a_sequencer_has_staged_is_signed_by_the_next(open_house: House) -> None:
    """Ballots, one of which takes the place of another, a refusal, and a notice: all that was recorded before is known
    to be as it was before them.
    """
    open_house.record(open_house.ballot(0), open_house.ballot(1, revision=1))
    before = open_house.ledger.newest().size
    ballots = [open_house.ballot(0, revision=1), open_house.ballot(2), open_house.ballot(1, revision=0)]
    open_house.queue.put(*ballots, notice(open_house))
    with open_house.opened() as sequencer:
        sequencer.stage(open_house.queue.take(PAGE))
    assert open_house.ledger.newest_signed().size == before
    open_house.record()
    assert [entry.kind for entry in open_house.vault.entries()[before:]] == ["ballot", "ballot", "refusal", "notice"]
    assert (open_house.replay().ballots, not open_house.queue.rows) == (4, True)


def test_what_another_signs_meanwhile_is_no_damage(open_house: House) -> None:
    replay = Replay(open_house.ledger, open_house.meeting.manifest.hash)
    replay.complete()
    open_house.record(open_house.ballot())
    with pytest.raises(Overtaken):
        replay.admit(lambda pairs: [None] * len(pairs))


def test_who_signs_a_stage_late_does_not_set_the_index_back(open_house: House) -> None:
    first, size = open_house.record(open_house.ballot(0))[-1], open_house.ledger.newest().size
    open_house.record(open_house.ballot(0, revision=1))
    open_house.ledger.sign(size, b"late", [first])
    with open_house.ledger.seen() as seen:
        assert seen.revision(first.fields["pseudonym"]) == 1


def test_what_is_tried_on_the_index_leaves_nothing_there(open_house: House) -> None:
    ballot = parse_entry(open_house.ballot())
    with open_house.ledger.seen() as seen:
        seen.add(ballot)
        assert list(seen.passed(ballot.signatures[0].name)) == [ballot.identity]
    with open_house.ledger.seen() as seen:
        assert seen.recorded(ballot.identity) is None
