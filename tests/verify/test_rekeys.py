"""Readers of a log in which keys were replaced: what they believe, what nobody can make them believe, and what a
voter's files show.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from audit.log.keys import Signer
from audit.log.merkle import leaf_hash
from audit.log.notes import Note, parse_note
from audit.log.proof import Proof, open_proof, parse_proof
from audit.log.proving import TreeTiles
from audit.log.reader import FolderReader, Head, ReadError
from audit.log.sources import rekeys_text
from audit.log.tiles import WIDTH, frame
from audit.log.treehead import Checkpoint, parse_checkpoint
from audit.protocol.refused import Refused
from audit.receipts import Promise, Recorded, open_kept, open_promise, with_kept_rekeys
from audit.record import heads
from audit.record.entries import make_text, seal
from audit.record.heads import open_head
from audit.record.manifest import Manifest
from audit.verify import NotVerified, verify_record
from audit.verify_report import checked
from infra.desk import Desk
from infra.follow import Follower, Unreadable, WrongLog
from intake.voter.opening import open_log
from tally.officials.verified import verified
from tests.simulator.dice import Dice
from tests.simulator.meeting import Meeting
from tests.simulator.parties import Parties
from tests.simulator.record import MemoryReader, files_of, write
from tests.simulator.rekeys import rekey, rekeying, take_over

FOR = {"nominee-1": (1, 0, 0)}
NEW_LOG = Dice(61).log_keys("log")
NEW_INTAKE = Dice(62).signers("intake-1")
NEW_CUSTODIAN = Dice(63).custodian_keys("custodian-d")


class Changed:
    """A meeting in which the log's key, an intake's and a custodian were replaced, with a ballot between any two;
    `before` is who acted at first.
    """

    def __init__(self) -> None:
        self.meeting = Meeting().prepared()
        self.before = self.meeting.parties
        self.manifest = self.meeting.manifest
        self.places = []
        for account, (office, name, new) in enumerate(
            [("intake", "intake-1", NEW_INTAKE), ("log", "log", NEW_LOG), ("custodian", "custodian-b", NEW_CUSTODIAN)]
        ):
            self.meeting.vote(self.meeting.accounts[account], FOR)
            rekey(self.meeting, office, name, new)
            self.places.append(self.meeting.election.size - 1)

    def reader(self, parties: Parties | None = None, hint: bool = True, size: int | None = None) -> MemoryReader:
        """Signed and cosigned by these; the custodian says where keys changed, or does not."""
        entries = self.meeting.entries[:size]
        files = files_of(entries, parties or self.meeting.parties, self.meeting.origin)
        return MemoryReader(files | ({"rekeys": rekeys_text(self.places)} if hint else {}))


@pytest.fixture(scope="module")
def changed() -> Changed:
    return Changed()


def unread(reader: MemoryReader, manifest: Manifest, **how: Any) -> str:
    with pytest.raises(ReadError) as error:
        open_head(reader, manifest, **how)
    return error.value.reason


def test_who_knows_the_manifest_alone_finds_the_keys(changed: Changed) -> None:
    for reader, how in ((changed.reader(), {}), (changed.reader(hint=False), {"whole": True})):
        found = open_head(reader, changed.manifest, exact=True, **how)
        assert found is not None
        head, manifest = found
        assert head.size == changed.meeting.election.size and manifest == changed.meeting.manifest
        assert [one.index for one in manifest.rekeys] == changed.places


def test_a_record_in_a_folder_is_read_however_long_that_takes(
    changed: Changed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heads, "SECONDS", -1.0)
    reader = FolderReader(write(changed.reader(hint=False).files, tmp_path))
    shown = heads.open_log(reader, changed.manifest.hash)
    assert shown.manifest == changed.meeting.manifest and shown.head.size == changed.meeting.election.size


def test_any_number_of_keys_may_be_replaced(changed: Changed) -> None:
    manifest = changed.manifest
    for _ in range(2000):
        manifest = replace(manifest, before=manifest)
    assert len(manifest.history) == 2001 and manifest.history[0] is changed.manifest


def test_who_is_not_told_where_they_are_does_not_believe(changed: Changed) -> None:
    assert unread(changed.reader(hint=False), changed.manifest) == "wrong-signers"


def test_a_checkpoint_from_before_is_judged_by_the_keys_of_then(changed: Changed) -> None:
    reader = changed.reader(changed.before, size=changed.places[0])
    found = open_head(reader, changed.meeting.manifest)
    assert found is not None and found[0].size == changed.places[0]
    after = changed.reader(size=changed.places[0])
    assert unread(after, changed.meeting.manifest) == "wrong-signers"


class TestNotFooled:
    def test_by_a_rekey_that_is_not_in_the_tree(self, changed: Changed) -> None:
        """It is signed by the officials, and the head by the keys it names; but the log holds another entry there."""
        place = changed.places[0] - 1
        meeting = Meeting().prepared()
        forged = rekeying(meeting, "log", "log", NEW_LOG)
        parties = replace(changed.before, log=NEW_LOG)
        reader = changed.reader(parties, size=changed.places[0])
        entries = [*changed.meeting.entries[:place], forged]
        bundle = next(path for path in reader.files if path.startswith("tile/entries"))
        reader.files[bundle] = frame(entries)
        reader.files["rekeys"] = rekeys_text([place])
        assert unread(reader, changed.manifest) == "bad-proof"

    @pytest.mark.parametrize(("officials", "reason"), [(slice(0, 1), "wrong-signers"), (slice(0, 0), "wrong-signers")])
    def test_by_one_without_the_quorum(self, officials: slice, reason: str) -> None:
        meeting = Meeting().prepared()
        said = parse_note(rekeying(meeting, "log", "log", NEW_LOG)).text
        signers = meeting.parties.officials[officials] or meeting.parties.log[:1]
        assert self.with_last(meeting, seal(said, signers), NEW_LOG) == reason

    def test_by_one_of_another_election(self) -> None:
        meeting = Meeting().prepared()
        other = Meeting(seed=8, parties=meeting.parties).found()
        raw = rekeying(other, "log", "log", NEW_LOG)
        assert self.with_last(meeting, raw, NEW_LOG) == "another-election"

    def test_by_one_that_is_replayed(self) -> None:
        meeting = Meeting().prepared()
        first = rekeying(meeting, "log", "log", NEW_LOG)
        meeting.add(first)
        take_over(meeting, "log", "log", NEW_LOG)
        rekey(meeting, "log", "log", Dice(64).log_keys("log"))
        place = meeting.election.size - 1
        files = files_of([*meeting.entries, first], replace(meeting.parties, log=NEW_LOG), meeting.origin)
        hints = {"rekeys": rekeys_text([place - 1, place, place + 1])}
        assert unread(MemoryReader(files | hints), meeting.manifest.history[0]) == "wrong-key"

    def test_by_a_place_that_is_none(self, changed: Changed) -> None:
        reader = changed.reader()
        reader.files["rekeys"] = rekeys_text([changed.places[0] - 1])
        assert unread(reader, changed.manifest) == "unknown-kind"

    @pytest.mark.parametrize(("rekeys", "reason"), [(False, "syntax"), (True, "wrong-signers")])
    def test_into_reading_all_that_a_made_up_tree_is_said_to_hold(self, rekeys: bool, reason: str) -> None:
        """A place in each bundle, which holds no rekey, or one that no quorum has signed."""
        meeting = Meeting().prepared()
        said = parse_note(rekeying(meeting, "log", "log", NEW_LOG)).text
        made_up = [seal(said, meeting.parties.log[:1]) if rekeys else b"x"] * (3 * WIDTH)
        files = files_of([meeting.entries[0], *made_up], replace(meeting.parties, log=NEW_LOG), meeting.origin)
        liar, asked = MemoryReader(files | {"rekeys": rekeys_text([1, 1 + WIDTH, 1 + 2 * WIDTH])}), list[int]()
        bundle = liar.bundle
        liar.bundle = lambda index, width: asked.append(index) or bundle(index, width)  # type: ignore[func-returns-value]
        assert unread(liar, meeting.manifest) == reason
        assert asked == [0]

    def test_into_waiting_for_what_takes_for_ever(self, changed: Changed, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(heads, "SECONDS", -1.0)
        assert unread(changed.reader(), changed.manifest) == "too-slow"

    def test_into_waiting_for_every_tile_of_a_tree_as_high_as_can_be(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is of no entries at all, and names one rekey near its end; each file comes in the last second it may."""
        meeting, now, asked = Meeting().prepared(), [0.0], list[str]()
        size = 2**62 + 2**61 - 1
        text = Checkpoint(meeting.origin, size, bytes(32)).text
        note = Note(text, tuple(key.sign(text, 1) for key in NEW_LOG)).raw
        liar = MemoryReader({"checkpoint": note, "rekeys": rekeys_text([size - 2])})

        def slowly(file: str, raw: bytes) -> bytes:
            now[0] += 59.0
            asked.append(file)
            return raw

        liar.bundle = lambda index, width: slowly("bundle", frame([heads.FIRST_LINE] * width))  # type: ignore[method-assign]
        liar.tile = lambda level, index, width: slowly("tile", bytes(32 * width))  # type: ignore[method-assign]
        monkeypatch.setattr(heads, "monotonic", lambda: now[0])
        assert unread(liar, meeting.manifest) == "too-slow"
        assert now[0] <= heads.SECONDS + 59.0 and asked[0] == "bundle"

    def test_by_the_old_key_over_a_longer_log(self, changed: Changed) -> None:
        """Both the log's old keys and the custodians' old ones are in strange hands, and sign what came after."""
        reader = changed.reader(changed.before)
        assert unread(reader, changed.manifest, every=True) == "wrong-signers"
        assert unread(reader, changed.meeting.manifest) == "wrong-signers"
        follower = Follower([reader], changed.manifest.hash)
        with pytest.raises(WrongLog, match="is refused by the rules: the log has not signed"):
            for _ in follower.catch_up():
                pass
        with pytest.raises(NotVerified) as refused, ThreadPoolExecutor(2) as workers:
            verify_record(reader, changed.manifest.hash, workers)
        assert (refused.value.number, refused.value.kind) == (changed.places[2], "rekey")

    def test_by_the_logs_new_key_with_an_old_custodian(self, changed: Changed) -> None:
        """Of custodians a, d (for b) and c, two are demanded: a, and b that is over, do not make it."""
        parties = replace(changed.meeting.parties, custodians=changed.before.custodians)
        assert unread(changed.reader(parties), changed.manifest) == "not-witnessed"

    def test_by_both_keys_of_one_place(self, changed: Changed) -> None:
        old, new = changed.before.custodians[1], changed.meeting.parties.custodians[1]
        parties = replace(changed.meeting.parties, custodians=((*old, *new), ()))
        assert unread(changed.reader(parties), changed.manifest) == "not-witnessed"

    def with_last(self, meeting: Meeting, raw: bytes, log: tuple[Signer, ...]) -> str:
        """Why a log that ends in this entry, and is signed with this key, is not believed."""
        files = files_of([*meeting.entries, raw], replace(meeting.parties, log=log), meeting.origin)
        reader = MemoryReader(files | {"rekeys": rekeys_text([len(meeting.entries)])})
        return unread(reader, meeting.manifest)


def test_a_follower_goes_along(changed: Changed) -> None:
    follower = Follower([changed.reader(changed.before, size=changed.places[0])], changed.manifest.hash)
    assert sum(map(len, follower.catch_up())) == changed.places[0]
    follower._readers = [changed.reader()]
    assert sum(map(len, follower.catch_up())) == changed.meeting.election.size - changed.places[0]
    assert follower.election.manifest == changed.meeting.manifest


class Replaced:
    """A meeting in which custodian-b was replaced. `liar` is it: it shows the log as it is, signed by another and by
    its own old keys, and no rekey; `honest` is any other.
    """

    def __init__(self) -> None:
        self.meeting = Meeting().prepared()
        self.manifest = self.meeting.manifest
        before = self.meeting.parties
        rekey(self.meeting, "custodian", "custodian-b", NEW_CUSTODIAN)
        self.place = self.meeting.election.size - 1
        self.meeting.vote(self.meeting.accounts[0], FOR)
        files = [files_of(self.meeting.entries, who, self.meeting.origin) for who in (before, self.meeting.parties)]
        self.liar = MemoryReader(files[0] | {"rekeys": b""})
        self.honest = MemoryReader(files[1] | {"rekeys": rekeys_text([self.place])})
        late = files_of(self.meeting.entries[: self.place], before, self.meeting.origin)
        self.late = MemoryReader(late | {"rekeys": b""})


@pytest.fixture(scope="module")
def replaced() -> Replaced:
    return Replaced()


class TestACustodianThatIsOver:
    def test_does_not_stop_a_follower(self, replaced: Replaced) -> None:
        follower = Follower([replaced.liar, replaced.honest], replaced.manifest.hash)
        read = [entry.raw for entries in follower.catch_up() for entry in entries]
        assert read == replaced.meeting.entries
        assert follower.head is not None and follower.head.note.raw == replaced.honest.files["checkpoint"]

    def test_gives_a_follower_nothing_beyond_the_rekey(self, replaced: Replaced) -> None:
        """The other has not published as much yet: that is waited for, and the log is not blamed."""
        follower = Follower([replaced.liar, replaced.late], replaced.manifest.hash)
        with pytest.raises(Unreadable, match="were read before"):
            list(follower.catch_up())
        assert follower.election.size == replaced.place + 1 and not follower.caught_up
        follower._readers[1] = MemoryReader({})
        with pytest.raises(Unreadable, match="shows nothing"):
            follower.poll()
        follower._readers[1] = replaced.honest
        list(follower.catch_up())
        assert follower.election.size == replaced.meeting.election.size and follower.caught_up

    def test_is_not_believed_if_another_says_what_it_hides(self, replaced: Replaced) -> None:
        def shown(*others: MemoryReader) -> str:
            return unread(replaced.liar, replaced.manifest, every=True, others=others)

        false = MemoryReader({"rekeys": rekeys_text(range(1, replaced.place))})
        assert shown(replaced.honest) == shown(false, replaced.honest) == "not-witnessed"
        # And no false number makes one that is honest a liar.
        found = open_head(replaced.honest, replaced.manifest, every=True, others=[false, replaced.liar])
        assert found is not None and [one.index for one in found[1].rekeys] == [replaced.place]

    def test_costs_who_asks_it_one_bundle_and_no_more_whatever_it_names(self, replaced: Replaced) -> None:
        asked = []

        class Counting(MemoryReader):
            def bundle(self, index: int, width: int) -> bytes:
                asked.append(index)
                return super().bundle(index, width)

        false = MemoryReader({"rekeys": rekeys_text(range(1, replaced.meeting.election.size))})
        found = open_head(Counting(replaced.honest.files), replaced.manifest, every=True, others=[false])
        assert found is not None and [one.index for one in found[1].rekeys] == [replaced.place]
        # The other is that of the true rekey.
        assert len(asked) == 2

    def test_gives_a_voters_client_no_head(self, replaced: Replaced) -> None:
        for readers in ([replaced.liar, replaced.honest], [replaced.honest, replaced.liar]):
            log, _ = open_log(readers, replaced.manifest.hash)
            assert log.head.note.raw == replaced.honest.files["checkpoint"]
            assert [one.index for one in log.manifest.rekeys] == [replaced.place]

    def test_is_passed_over_by_who_verifies_first(self, replaced: Replaced) -> None:
        with ThreadPoolExecutor(2) as workers:
            desk = SimpleNamespace(
                readers=[replaced.liar, replaced.honest],
                card=SimpleNamespace(manifest=replaced.manifest.hash),
                monotonic=lambda: 0.0,
                patience=0.0,
            )
            report = verified(cast(Desk, desk), lambda report: True, workers)
            assert report.custodians == ("custodian-a", "custodian-d")
            desk.readers.pop()
            with pytest.raises(NotVerified, match="replaces keys"):
                verified(cast(Desk, desk), lambda report: True, workers)

    def test_alone_is_not_followed(self, replaced: Replaced) -> None:
        follower = Follower([replaced.liar], replaced.manifest.hash)
        with pytest.raises(WrongLog, match="cosigned by 1 of 2"):
            list(follower.catch_up())
        assert follower.election.size == replaced.place + 1


@pytest.mark.parametrize("folder", [True, False])
def test_the_whole_record_is_verified(changed: Changed, tmp_path: Path, folder: bool) -> None:
    reader = FolderReader(write(changed.reader(hint=False).files, tmp_path)) if folder else changed.reader()
    with ThreadPoolExecutor(2) as workers:
        report = verify_record(reader, changed.manifest.hash, workers)
    assert report.custodians == ("custodian-a", "custodian-d")
    assert [(one["entry"], one["office"], one["to"]) for one in report.to_json()["rekeys"]] == [
        (changed.places[0], "intake", "intake-1"),
        (changed.places[1], "log", "log"),
        (changed.places[2], "custodian", "custodian-d"),
    ]
    said = "\n".join(checked(report))
    assert f"entry {changed.places[2]} is the officials' word that the keys of custodian custodian-b" in said


class TestKept:
    """What voters keep, checked offline."""

    @pytest.fixture
    def tiles(self, changed: Changed) -> TreeTiles:
        reader = changed.reader()
        note = parse_note(reader.files["checkpoint"])
        return TreeTiles(reader, Head(parse_checkpoint(note.text), note))

    def proof(self, changed: Changed, tiles: TreeTiles, index: int) -> Proof:
        raw = changed.meeting.entries[index]
        return Proof(index, tuple(tiles.inclusion(index, leaf_hash(raw))), tiles.head.note, raw)

    def rekeys(self, changed: Changed, tiles: TreeTiles) -> list[Proof]:
        return [self.proof(changed, tiles, index) for index in changed.places]

    def test_from_before_the_manifest_is_enough(self, changed: Changed) -> None:
        reader = changed.reader(changed.before, size=changed.places[0])
        note = parse_note(reader.files["checkpoint"])
        tiles = TreeTiles(reader, Head(parse_checkpoint(note.text), note))
        kept = self.proof(changed, tiles, changed.places[0] - 1).raw
        for manifest in (changed.manifest, changed.meeting.manifest):
            shown = open_kept(kept, manifest)
            assert isinstance(shown, Recorded) and shown.size == changed.places[0]

    def test_from_after_with_the_rekeys_beside_it(self, changed: Changed, tiles: TreeTiles) -> None:
        kept = self.proof(changed, tiles, changed.places[2] - 1)
        with pytest.raises(Refused) as refused:
            open_kept(kept.raw, changed.manifest)
        assert refused.value.reason == "unknown-key"
        manifest = with_kept_rekeys(changed.manifest, reversed(self.rekeys(changed, tiles)))
        shown = open_kept(parse_proof(kept.raw).raw, manifest)
        assert isinstance(shown, Recorded) and shown.custodians == ("custodian-a", "custodian-d")

    @pytest.mark.parametrize(("left_out", "reason"), [(0, "wrong-signers"), (1, "wrong-signers"), (2, "not-witnessed")])
    def test_one_left_out(self, changed: Changed, tiles: TreeTiles, left_out: int, reason: str) -> None:
        kept = self.rekeys(changed, tiles)
        del kept[left_out]
        if left_out == 0:
            # An intake's: the checkpoint does not need it, the ballot's line does.
            manifest = with_kept_rekeys(changed.manifest, kept)
            with pytest.raises(Refused) as refused:
                open_kept(self.proof(changed, tiles, changed.places[1] - 1).raw, manifest)
            assert refused.value.reason == "unknown-key"
            return
        with pytest.raises(Refused) as refused:
            with_kept_rekeys(changed.manifest, kept)
        assert refused.value.reason == reason

    def test_one_that_is_not_recorded(self, changed: Changed, tiles: TreeTiles) -> None:
        """The officials have signed it, but it is not in the log: its proof is another entry's."""
        meeting = Meeting().prepared()
        real = self.proof(changed, tiles, changed.places[1])
        forged = replace(real, extra=rekeying(meeting, "log", "log", NEW_LOG))
        kept = self.rekeys(changed, tiles)
        kept[1] = replace(forged, index=changed.places[1] - 1)
        with pytest.raises(Refused) as refused:
            with_kept_rekeys(changed.manifest, kept)
        assert refused.value.reason == "bad-proof"

    def test_a_receipt_says_whether_its_key_was_replaced(self, changed: Changed) -> None:
        body = {"deadline": 1, "identity": "A" * 43, "kind": "ballot", "leaf": "A" * 43}
        body |= {"manifest": changed.meeting.hash}
        text = make_text("receipt", changed.meeting.origin, body)
        old, new = (seal(text, [key]) for key in (changed.before.intakes[0], changed.meeting.parties.intakes[0]))
        assert open_promise(old, changed.manifest) == Promise("intake-1", "ballot", bytes(32), bytes(32), 1)
        shown = open_promise(old, changed.meeting.manifest)
        assert shown.replaced == changed.places[0] and f"entry {changed.places[0]} replaced" in str(shown)
        assert open_promise(new, changed.meeting.manifest).replaced is None
        with pytest.raises(Refused):
            open_promise(new, changed.manifest)

    def test_any_tlog_proof_tool_checks_them(self, changed: Changed, tiles: TreeTiles) -> None:
        proof = self.proof(changed, tiles, changed.places[2])
        assert open_proof(proof, leaf_hash(proof.extra), changed.meeting.manifest.log).size == tiles.head.size
