"""A follower is shown two trees that the log has signed: that ends it, with evidence that shows it to anybody."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest

from audit.log.encoding import decode_base64
from audit.log.merkle import verify_consistency
from audit.log.notes import parse_note
from audit.log.treehead import parse_checkpoint
from tests.databases import Database
from tests.storage.small_disk import small_disk
from tests.vault.conftest import LOG
from tests.vault.followed import Watch, forked
from tests.vault.sources import Shown
from vault.custodian.alarms import write_whole
from vault.custodian.following import Fork
from vault.custodian.sql_store import SqlStore


def check_proof_of_fork(watch: Watch) -> None:
    """What is kept shows the contradiction to anybody who has the log's keys."""
    kept = watch.evidence("fork")
    notes = {name: parse_note(kept[name].encode()) for name in ("held", "other")}
    heads = {name: parse_checkpoint(note.text) for name, note in notes.items()}
    for note in notes.values():
        for key, line in zip(LOG, note.signatures, strict=False):
            key.verifier.verify(note.text, line.sig)
    larger = heads.pop(kept["larger"])
    (smaller,) = heads.values()
    root = decode_base64(kept["root"], "root")
    verify_consistency(smaller.size, root, larger.size, larger.root, [decode_base64(h, "h") for h in kept["proof"]])
    assert root != smaller.root


@pytest.mark.parametrize("size", [3, 9, 10, 11, 300, 700])
def test_a_fork_ends_it_with_both_notes_as_evidence(watch: Watch, size: int) -> None:
    watch.fill(10)
    other = Shown(forked(watch.log, 2, size)).show()
    watch.sources[0].log, watch.sources[0].note = other.log, other.note
    with pytest.raises(Fork, match="FORK"):
        watch.follower.round()
    assert watch.alarms.code == 3
    assert watch.held() == watch.log.entries
    check_proof_of_fork(watch)


def test_a_fork_is_an_alarm_also_while_its_evidence_cannot_be_kept(watch: Watch) -> None:
    watch.fill(10)
    other = Shown(forked(watch.log, 2, 20)).show()
    watch.sources[0].log, watch.sources[0].note = other.log, other.note
    in_its_place = watch.folder / "evidence"
    in_its_place.write_bytes(b"")
    with pytest.raises(OSError, match="evidence"):
        watch.follower.round()
    assert watch.alarms.code == 3
    in_its_place.unlink()
    with pytest.raises(Fork, match="FORK"):
        watch.follower.round()
    check_proof_of_fork(watch)


@pytest.mark.parametrize("size", [8, 20, 300])
def test_a_fork_that_the_log_alone_has_signed_is_one(watch: Watch, size: int) -> None:
    watch.fill(10)
    other = Shown(forked(watch.log, 2, size)).show(custodians=0)
    watch.sources[0].log, watch.sources[0].note = other.log, other.note
    with pytest.raises(Fork):
        watch.follower.round()
    check_proof_of_fork(watch)


def test_a_fork_between_two_sources_is_found(database: Database, tmp_path: Path) -> None:
    watch = Watch(SqlStore(database.engine), tmp_path, sources=2)
    watch.fill(5)
    other = Shown(forked(watch.log, 5, 9)).show()
    watch.log.grow(7)
    watch.sources[0].show()
    watch.sources[1].log, watch.sources[1].note = other.log, other.note
    with pytest.raises(Fork):
        watch.follower.round()


def test_a_head_over_tiles_that_are_not_its_own_is_no_fork(watch: Watch) -> None:
    # Whoever serves tiles can make any up; only what they prove is held against the log.
    watch.fill(10)
    other = forked(watch.log, 2, 20)
    watch.sources[0].note = Shown(other).show().note
    watch.log.grow(10)
    assert watch.raised() == {"changed": 1}
    assert len(watch.held()) == 10


def test_a_full_disk_does_not_get_a_part_of_a_file_each_round() -> None:
    with small_disk(16) as disk:
        file = disk.folder / "shown.json"
        write_whole(file, b"{}")
        disk.fill()
        for _ in range(2):
            with pytest.raises(OSError) as full:
                write_whole(file, bytes(1 << 16))
            assert full.value.errno == errno.ENOSPC
        assert {path.name for path in disk.folder.iterdir()} == {"shown.json", "ballast", "lost+found"}
        assert file.read_bytes() == b"{}"


def test_evidence_does_not_grow_for_ever(watch: Watch) -> None:
    for number in range(150):
        assert (watch.alarms.keep("changed", "one", {"number": number}) is not None) == (number < 100)
    # Nor does one source keep out what is found against another, or of another kind.
    assert watch.alarms.keep("changed", "other", {"number": 0})
    assert watch.alarms.keep("fork", "one", {"number": 0})
    assert len(list(watch.folder.glob("evidence/changed-*.json"))) == 101
    first = watch.alarms.keep("changed", "one", {"number": 0})
    assert first is not None and json.loads(first.read_bytes())["number"] == 0
