"""Entries that come before their head may change the keys by which that head is judged."""

from __future__ import annotations

from pathlib import Path

import pytest

from audit.log.encoding import encode_base64
from audit.log.keys import Signer
from audit.log.merkle import LeafHashes, consistency_proof, frontier, leaf_hash
from audit.log.notes import Note, parse_note, parse_signature_lines
from audit.log.tiles import frame
from audit.log.treehead import Checkpoint
from audit.protocol.refused import Refused
from audit.record.heads import FIRST_LINE
from tests.simulator.meeting import Meeting
from tests.simulator.rekeys import rekey
from tests.vault.conftest import NOW
from tests.vault.test_mirror import packages
from vault.custodian.custody import Custodian
from vault.custodian.folder_store import FolderStore
from vault.custodian.keys import stored_keys
from vault.custodian.mirror import Beginning, Mirror, Packages
from vault.custodian.witness import Witness


class Kept:
    """A custodian of a meeting's log, which holds the beginning of it; then keys of `office` are replaced."""

    def __init__(self, folder: Path, office: str) -> None:
        folder.chmod(0o700)
        self.meeting = Meeting().found()
        self.old_log, self.old_keys = self.meeting.parties.log, self.meeting.parties.custodians[0]
        self.origin, self.folder, self.manifest = self.meeting.origin, folder, self.meeting.manifest
        self.held = len(self.meeting.entries)
        name = "log" if office == "log" else self.old_keys[0].name
        old = self.old_log if office == "log" else self.old_keys
        self.new = tuple(Signer(key.name, key.verifier.type, bytes([90 + i] * 32)) for i, key in enumerate(old))
        self.begin()
        self.custodian.append(self.origin, self.append())
        rekey(self.meeting, office, name, self.new)
        self.entries, self.size = self.meeting.entries, len(self.meeting.entries)
        self.source = LeafHashes([leaf_hash(entry) for entry in self.entries])

    def begin(self) -> None:
        self.store = FolderStore(str(self.folder), [self.origin])
        logs = {self.origin: stored_keys(self.store, self.manifest)}
        self.custodian = Custodian(self.store, logs, (*self.old_keys, *getattr(self, "new", ())), lambda: NOW)
        self.witness, self.mirror = Witness(self.custodian.kept), Mirror(self.custodian.kept)

    def head(self, size: int) -> Checkpoint:
        source = LeafHashes([leaf_hash(entry) for entry in self.meeting.entries])
        return Checkpoint(self.origin, size, frontier(source, size).root())

    def append(self) -> bytes:
        text = self.head(self.held).text
        header = b"old 0\n\n" + Note(text, tuple(key.sign(text, NOW) for key in self.old_log)).raw
        return len(header).to_bytes(4, "big") + header + frame(self.meeting.entries)

    def show(self, signers: tuple[Signer, ...]) -> None:
        head = self.head(self.size)
        note = Note(head.text, tuple(key.sign(head.text, NOW) for key in signers))
        proof = tuple(consistency_proof(self.source, self.held, self.size))
        self.witness.add_checkpoint((self.held, proof, note, head))

    def bring(self) -> bytes:
        target = self.mirror.begin(Beginning(self.origin, self.held, self.size, 0))
        found = Packages(self.held, self.size)
        found.add(b"".join(packages(self, self.held, self.size)))
        while not found.whole:
            package = found.next()
            assert package is not None
            self.mirror.take(self.origin, target, package)
        return self.mirror.finish(self.origin, target)


def test_a_custodian_signs_with_the_keys_that_the_entries_bring(tmp_path: Path) -> None:
    kept = Kept(tmp_path, "custodian")
    kept.begin()
    kept.show(kept.old_log)
    lines = parse_signature_lines(kept.bring())
    text = parse_note(kept.store.newest(kept.origin).note).text
    assert [line.key_id for line in lines] == [key.verifier.key_id for key in kept.new]
    assert all(key.verifier.verify(text, line.sig) == NOW for key, line in zip(kept.new, lines, strict=True))
    assert list(kept.custodian.kept.keys(kept.origin).places()) == [kept.held]


def test_a_head_by_a_key_that_its_own_entries_end_is_refused_and_after_a_restart_too(tmp_path: Path) -> None:
    kept = Kept(tmp_path, "log")
    kept.show(kept.old_log)
    for _ in range(2):
        with pytest.raises(Refused) as refused:
            kept.bring()
        assert refused.value.reason == "not-signed-by-log"
        assert kept.store.newest(kept.origin).size == kept.held
        assert kept.store.staged(kept.origin) == kept.size
        kept.begin()


def test_a_head_by_a_key_that_is_not_known_yet_is_forbidden(tmp_path: Path) -> None:
    kept = Kept(tmp_path, "log")
    with pytest.raises(Refused) as refused:
        kept.show(kept.new)
    assert refused.value.reason == "not-signed-by-log"


@pytest.mark.parametrize("junk", [FIRST_LINE, FIRST_LINE + b"{}\n"])
def test_what_calls_itself_a_rekey_and_came_before_its_head_keeps_nobody_from_starting(
    tmp_path: Path, junk: bytes
) -> None:
    kept = Kept(tmp_path, "log")
    kept.store.stage(kept.origin, kept.held, [leaf_hash(junk)], [junk])
    assert kept.store.rekeys(kept.origin) == [kept.held]
    kept.begin()
    assert list(kept.custodian.kept.keys(kept.origin).places()) == []
    assert kept.custodian.held(kept.origin)


class Stolen(Kept):
    """The log's old key is stolen: whoever has it shows a tree of its own, so many entries longer, before the rekey
    comes.
    """

    def __init__(self, folder: Path, entries: int) -> None:
        super().__init__(folder, "log")
        false = [*self.meeting.entries[: self.held], *(b"made up %d" % i for i in range(entries))]
        source = LeafHashes([leaf_hash(entry) for entry in false])
        self.made_up = Checkpoint(self.origin, len(false), frontier(source, len(false)).root())
        self.proof = tuple(consistency_proof(source, self.held, len(false)))

    def steal(self) -> None:
        text = self.made_up.text
        note = Note(text, tuple(key.sign(text, NOW) for key in self.old_log))
        self.witness.add_checkpoint((self.held, self.proof, note, self.made_up))

    def grow(self, size: int) -> bytes:
        """What the custodian answers to the true log, with the rekey, from what it holds up to this size."""
        held = self.store.newest(self.origin).size
        source = LeafHashes([leaf_hash(entry) for entry in self.meeting.entries])
        head = self.head(size)
        proof = "".join(f"{encode_base64(one)}\n" for one in consistency_proof(source, held, size))
        note = Note(head.text, tuple(key.sign(head.text, NOW) for key in self.new)).raw
        header = f"old {held}\n{proof}\n".encode() + note
        body = len(header).to_bytes(4, "big") + header + frame(self.meeting.entries[held:size])
        return self.custodian.append(self.origin, body)


@pytest.mark.parametrize("entries", [1, 2])
def test_a_tree_by_the_stolen_key_locks_nobody_once_the_key_is_replaced(tmp_path: Path, entries: int) -> None:
    kept = Stolen(tmp_path, entries)
    kept.steal()
    assert kept.grow(kept.size)
    kept.meeting.entries.append(b"what comes after it")
    kept.begin()
    assert kept.grow(kept.size + 1)
    assert kept.store.newest(kept.origin).size == kept.size + 1
    # As evidence both remain.
    seen = kept.store.observed_at(kept.origin, kept.held + entries)
    assert seen is not None and seen.root == kept.made_up.root


def test_a_tree_that_a_witness_has_signed_is_never_contradicted(tmp_path: Path) -> None:
    kept = Stolen(tmp_path, 1)
    key = Signer("witness", kept.old_keys[0].verifier.type, bytes([80] * 32))
    kept.witness = Witness(kept.custodian.kept, [key])
    kept.steal()
    with pytest.raises(Refused) as refused:
        kept.grow(kept.size)
    assert refused.value.reason == "fork"
    kept.begin()
    assert kept.grow(kept.size)
