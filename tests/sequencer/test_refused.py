"""What the log refuses is kept, whole, as far as there is room for the intake that it came through."""

from __future__ import annotations

from pathlib import Path

import pytest

from audit.log.keys import Signer
from audit.log.merkle import leaf_hash
from audit.protocol.group import b64
from audit.record.entries import parse_entry, seal
from tally.sequencer import refused
from tally.sequencer.refused import file_name, kept, write_all
from tests.sequencer.house import House
from tests.sequencer.test_sequencing import fates, officials
from tests.simulator.dice import Dice


def spoiled(house: House, account: int, revision: int = 0, intake: int = 0) -> bytes:
    """A ballot whose voter has not signed it so."""
    return spoil(house, house.ballot(account, revision, intake), house.meeting.parties.intakes[intake])


def spoil(house: House, raw: bytes, intake: Signer, z: int = 1) -> bytes:
    """This ballot with another signature, under the intake's line."""
    body = parse_entry(raw).body
    signature = {**body["signature"], "z": b64(bytes([z]) + bytes(31))}
    return house.meeting.signed("ballot", {**body, "signature": signature}, intake)


def held(house: House) -> set[bytes]:
    return set(kept(house.ledger.engine, house.meeting.origin))


def test_a_refused_entry_is_kept_as_it_was_handed_in(open_house: House, tmp_path: Path) -> None:
    ballot = spoiled(open_house, 0)
    early = officials(open_house, "close", overruled=[])
    assert [kind for kind, _ in fates(open_house, ballot, early)] == ["refusal", "refusal"]
    assert held(open_house) == {ballot, early}
    assert write_all(open_house.ledger.engine, open_house.meeting.origin, tmp_path / "refused") == 2
    refusals = open_house.vault.entries()[-2:]
    assert {refusal.fields["leaf"] for refusal in refusals} == {leaf_hash(ballot), leaf_hash(early)}
    # By what the refusal names: the receipt states the same leaf.
    for raw, intake in ((ballot, ".intake-1"), (early, "")):
        entry = parse_entry(raw)
        name = f"{b64(entry.identity)}{intake}.{b64(entry.leaf)}.entry"
        assert (tmp_path / "refused" / name).read_bytes() == raw
    with pytest.raises(FileExistsError, match="refused: exists already and is not overwritten"):
        write_all(open_house.ledger.engine, open_house.meeting.origin, tmp_path / "refused")


@pytest.mark.parametrize("name", ["../../intake", "vote.example/intake-1", "x" * 200])
def test_no_intakes_name_leads_out_of_the_folder(open_house: House, tmp_path: Path, name: str) -> None:
    entry = parse_entry(seal(parse_entry(open_house.ballot(0)).text, Dice(5).signers(name)))
    path = tmp_path / file_name(entry)
    path.write_bytes(entry.raw)
    assert path.resolve().parent == tmp_path.resolve()


def test_what_is_recorded_or_nobodys_is_not_kept(open_house: House) -> None:
    body, meeting = parse_entry(open_house.ballot(1)).body, open_house.meeting
    stranger = meeting.signed("ballot", body, meeting.parties.log[0])
    assert [kind for kind, _ in fates(open_house, open_house.ballot(0), stranger)] == ["ballot"]
    assert held(open_house) == set()


def test_refused_again_it_is_kept_once(open_house: House) -> None:
    ballot = spoiled(open_house, 0)
    fates(open_house, ballot)
    assert fates(open_house, ballot, ballot) == []
    assert held(open_house) == {ballot}


def test_a_spoiled_copy_keeps_nothing_out_and_each_is_kept(open_house: House) -> None:
    """Who has an intake's key, and sees what it passes on, can have no more than the spoiled copies refused."""
    ballot = open_house.ballot(0)
    copies = [spoil(open_house, ballot, open_house.meeting.intake, z) for z in (1, 2)]
    assert len({parse_entry(raw).identity for raw in (ballot, *copies)}) == 1
    assert [kind for kind, _ in fates(open_house, *copies)] == ["refusal", "refusal"]
    assert fates(open_house, copies[0], ballot, copies[1]) == [("ballot", "")]
    assert held(open_house) == set(copies)


def test_an_intake_fills_its_own_share_only(open_house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refused, "MOST_KEPT", 3)
    many = [spoiled(open_house, 0, revision) for revision in range(5)]
    assert len(fates(open_house, *many[:2])) == 2
    assert len(fates(open_house, *many[2:])) == 3
    other = spoiled(open_house, 1, 0, 1)
    assert len(fates(open_house, other)) == 1
    found = held(open_house)
    assert len(found & set(many)) == 3 and other in found
