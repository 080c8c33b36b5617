"""Entries that come before their head may change the keys by which that head is judged."""

from __future__ import annotations

import itertools
from collections.abc import Callable
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
from tests.databases import Database
from tests.simulator.meeting import Meeting
from tests.simulator.rekeys import rekey
from tests.vault.conftest import NOW
from tests.vault.folders import opened
from tests.vault.uploading import packages
from vault.custodian.cosign import Head, WrongOldSize
from vault.custodian.custody import Custodian
from vault.custodian.keys import stored_keys
from vault.custodian.mirror import Beginning, Mirror, Packages, Unfinished
from vault.custodian.sql_store import SqlStore
from vault.custodian.storage import Store
from vault.custodian.stored import line_of
from vault.custodian.witness import Witness

_numbers = itertools.count()
OpenStore = Callable[[str], Store]


@pytest.fixture(params=["in_database", "in_folder"])
def open_store(request: pytest.FixtureRequest, database: Database, tmp_path: Path) -> OpenStore:
    """Opens the store of a custodian that is empty, again with what is on disk."""
    tmp_path.chmod(0o700)
    if request.param == "in_folder":
        return lambda origin: opened(tmp_path, [origin])
    return lambda origin: SqlStore(database.engine)


class Kept:
    """A custodian of a meeting's log, which holds the beginning of it; then keys of `office` are replaced."""

    def __init__(self, open_store: OpenStore, office: str) -> None:
        self.meeting = Meeting(origin=f"vote.example/rekeyed-{next(_numbers)}").found()
        self.old_log, self.old_keys = self.meeting.parties.log, self.meeting.parties.custodians[0]
        self.origin, self.open_store, self.manifest = self.meeting.origin, open_store, self.meeting.manifest
        self.held, self.line = len(self.meeting.entries), line_of(self.manifest.log)
        name = "log" if office == "log" else self.old_keys[0].name
        old = self.old_log if office == "log" else self.old_keys
        self.new = tuple(Signer(key.name, key.verifier.type, bytes([90 + i] * 32)) for i, key in enumerate(old))
        self.begin()
        self.custodian.append(self.origin, self.append())
        rekey(self.meeting, office, name, self.new)
        self.entries, self.size = self.meeting.entries, len(self.meeting.entries)
        self.source = LeafHashes([leaf_hash(entry) for entry in self.entries])

    def begin(self) -> None:
        self.store = self.open_store(self.origin)
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

    def show(self, signers: tuple[Signer, ...], old: int | None = None) -> None:
        old = self.held if old is None else old
        head = self.head(self.size)
        note = Note(head.text, tuple(key.sign(head.text, NOW) for key in signers))
        proof = tuple(consistency_proof(self.source, old, self.size))
        self.witness.add_checkpoint((old, proof, note, head))

    def bring(self, start: int | None = None, most: int | None = None) -> bytes:
        start = self.held if start is None else start
        target = self.mirror.begin(Beginning(self.origin, start, self.size, 0))
        found = Packages(start, self.size)
        found.add(b"".join(packages(self, start, self.size)[:most]))
        for _ in range(-(-self.size // 256) if most is None else most):
            if found.whole:
                break
            package = found.next()
            assert package is not None
            self.mirror.take(self.origin, target, package)
        return self.mirror.finish(self.origin, target)


def test_a_custodian_signs_with_the_keys_that_the_entries_bring(open_store: OpenStore) -> None:
    kept = Kept(open_store, "custodian")
    kept.begin()
    kept.show(kept.old_log)
    lines = parse_signature_lines(kept.bring())
    text = parse_note(kept.store.newest(kept.origin).note).text
    assert [line.key_id for line in lines] == [key.verifier.key_id for key in kept.new]
    assert all(key.verifier.verify(text, line.sig) == NOW for key, line in zip(kept.new, lines, strict=True))
    assert list(kept.custodian.kept.keys(kept.origin).places()) == [kept.held]


def test_a_head_by_a_key_that_its_own_entries_end_is_refused_and_after_a_restart_too(open_store: OpenStore) -> None:
    kept = Kept(open_store, "log")
    kept.show(kept.old_log)
    for _ in range(2):
        with pytest.raises(Refused) as refused:
            kept.bring()
        assert refused.value.reason == "not-signed-by-log"
        assert kept.store.newest(kept.origin).size == kept.held
        assert kept.store.brought(kept.origin, kept.line) == kept.size
        assert kept.store.staged(kept.origin) == kept.held
        kept.begin()


def test_a_head_by_a_key_that_is_not_known_yet_is_forbidden(open_store: OpenStore) -> None:
    kept = Kept(open_store, "log")
    with pytest.raises(Refused) as refused:
        kept.show(kept.new)
    assert refused.value.reason == "not-signed-by-log"


@pytest.mark.parametrize("junk", [FIRST_LINE, FIRST_LINE + b"{}\n"])
def test_what_calls_itself_a_rekey_and_came_before_its_head_keeps_nobody_from_starting(
    open_store: OpenStore, junk: bytes
) -> None:
    kept = Kept(open_store, "log")
    kept.store.stage(kept.origin, kept.held, [leaf_hash(junk)], [junk])
    assert kept.store.rekeys(kept.origin) == [kept.held]
    kept.begin()
    assert list(kept.custodian.kept.keys(kept.origin).places()) == []
    assert kept.custodian.held(kept.origin)


class Stolen(Kept):
    """The log's old key is stolen: whoever has it shows a tree of its own, so many entries longer, before the rekey
    comes.
    """

    def __init__(self, open_store: OpenStore, entries: int) -> None:
        super().__init__(open_store, "log")
        false = [*self.meeting.entries[: self.held], *(b"made up %d" % i for i in range(entries))]
        source = LeafHashes([leaf_hash(entry) for entry in false])
        self.made_up = Checkpoint(self.origin, len(false), frontier(source, len(false)).root())
        self.proof = tuple(consistency_proof(source, self.held, len(false)))
        self.false = false, source

    def bring_false(self, most: int) -> None:
        """So many packages of the false tree."""
        true = self.entries, self.source, self.size
        (self.entries, self.source), self.size = self.false, len(self.false[0])
        with pytest.raises(Unfinished):
            self.bring(most=most)
        self.entries, self.source, self.size = true

    def lengthen(self, count: int) -> None:
        """The true log grows after the rekey."""
        self.meeting.entries += [b"what comes after it %d" % i for i in range(count)]
        self.entries, self.size = self.meeting.entries, len(self.meeting.entries)
        self.source = LeafHashes([leaf_hash(entry) for entry in self.entries])

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
def test_a_tree_by_the_stolen_key_locks_nobody_once_the_key_is_replaced(open_store: OpenStore, entries: int) -> None:
    kept = Stolen(open_store, entries)
    kept.steal()
    assert kept.grow(kept.size)
    kept.meeting.entries.append(b"what comes after it")
    kept.begin()
    assert kept.grow(kept.size + 1)
    assert kept.store.newest(kept.origin).size == kept.size + 1
    # As evidence both remain.
    assert kept.store.observed(kept.origin, kept.line).root == kept.made_up.root


@pytest.mark.parametrize("again", [False, True], ids=["appended", "brought"])
def test_what_was_brought_by_the_stolen_key_keeps_no_place(open_store: OpenStore, again: bool) -> None:
    kept = Stolen(open_store, 1_000)
    kept.steal()
    kept.bring_false(2)
    false = kept.store.brought(kept.origin, kept.line)
    assert false > kept.size
    assert kept.grow(kept.size)
    held = kept.size
    kept.begin()
    kept.lengthen(700)
    if again:
        kept.show(kept.new, held)
        with pytest.raises(Unfinished):
            kept.bring(held, most=1)
        kept.begin()
        lines = parse_signature_lines(kept.bring(held // 256 * 256 + 256))
        assert [line.key_id for line in lines] == [key.verifier.key_id for key in kept.old_keys]
    else:
        for size in (held + 250, held + 500, kept.size):
            assert kept.grow(size)
    kept.begin()
    assert kept.store.newest(kept.origin).root == kept.head(kept.size).root
    assert kept.store.entries(kept.origin, 0, kept.size + 1) == kept.entries
    # As evidence both remain.
    assert kept.store.brought(kept.origin, kept.line) == false
    seen = kept.store.observed(kept.origin, kept.line)
    assert seen.root == kept.made_up.root


def test_a_witness_signs_no_other_tree_than_its_own_also_by_keys_that_came_later(open_store: OpenStore) -> None:
    kept = Stolen(open_store, 1)
    key = Signer("witness", kept.old_keys[0].verifier.type, bytes([80] * 32))
    kept.witness = Witness(kept.custodian.kept, [key])
    kept.steal()
    assert kept.grow(kept.size)
    held = kept.size
    kept.lengthen(3)
    for _ in range(2):
        with pytest.raises(Refused) as refused:
            kept.show(kept.new, held)
        assert refused.value.reason == "fork"
        shown = kept.witness.checkpoint(kept.origin)
        assert shown is not None and parse_note(shown).text == kept.made_up.text
        kept.begin()
        kept.witness = Witness(kept.custodian.kept, [key])
    # Without a key it is the mirror's alone.
    kept.begin()
    kept.show(kept.new, held)
    assert kept.bring(held)


def test_who_was_overtaken_is_told_the_size_by_which_the_witness_goes(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one process decides, another stores two trees that it has seen: by the keys of now a smaller one."""
    kept = Stolen(open_store, 20)
    key = Signer("witness", kept.old_keys[0].verifier.type, bytes([80] * 32))
    kept.witness = Witness(kept.custodian.kept, [key])
    assert kept.grow(kept.size)
    held, other = kept.size, kept.open_store(kept.origin)
    kept.lengthen(3)
    real = kept.store.observe

    def observe(origin: str, line: str, new: Head) -> None:
        small, false = kept.head(held + 1), kept.made_up
        other.observe(origin, line, Head(held, small.size, small.root, b"", small.text + b"\n", NOW))
        other.observe(origin, kept.line, Head(0, false.size, false.root, b"", false.text + b"\n", NOW))
        real(origin, line, new)

    monkeypatch.setattr(kept.store, "observe", observe)
    with pytest.raises(WrongOldSize) as wrong:
        kept.show(kept.new, held)
    assert wrong.value.size == kept.made_up.size
