"""What a voter kept, checked offline by `psephos verify-receipt`: the proof holds the ballot, the receipt a promise."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from audit import receipts
from audit.log.notes import Note, parse_note
from audit.log.proof import Proof
from audit.log.proving import TreeTiles
from audit.log.reader import open_head
from audit.log.treehead import Checkpoint
from audit.protocol.group import b64
from audit.protocol.refused import Refused
from audit.receipts import Promise, Recorded, open_kept, open_promise, open_recorded, prove_recorded
from audit.record.entries import make_text, parse_entry, seal
from tests.log.sample import TIME, MemoryReader, root_of
from tests.log.test_encoders import changed
from tests.simulator.meeting import Meeting

DEADLINE = 1_800_000_000


def tiles_of(meeting: Meeting) -> TreeTiles:
    text = Checkpoint(meeting.origin, len(meeting.entries), root_of(meeting.entries)).text
    parties = meeting.parties
    signers = [*parties.log, *(key for keys in parties.custodians[:2] for key in keys)]
    note = Note(text, tuple(key.sign(text, TIME) for key in signers))
    reader = MemoryReader(meeting.entries, note.raw)
    head = open_head(reader, meeting.manifest.log)
    assert head is not None
    return TreeTiles(reader, head)


@pytest.fixture(scope="module")
def meeting() -> Meeting:
    held = Meeting().prepared()
    held.vote(held.accounts[0], {"nominee-1": (1, 0, 0)})
    return held


@pytest.fixture(scope="module")
def proof(meeting: Meeting) -> Proof:
    return prove_recorded(tiles_of(meeting), len(meeting.entries) - 1, meeting.entries[-1])


@pytest.fixture(scope="module")
def receipt(meeting: Meeting) -> bytes:
    ballot = parse_entry(meeting.entries[-1])
    body = {"deadline": DEADLINE, "identity": b64(ballot.identity), "kind": "ballot", "leaf": b64(ballot.leaf)}
    body |= {"manifest": meeting.hash}
    return seal(make_text("receipt", meeting.origin, body), meeting.parties.intakes[:1])


def refused(meeting: Meeting, proof: Proof) -> str:
    with pytest.raises(Refused) as error:
        open_recorded(proof, meeting.manifest)
    return error.value.reason


def test_a_recorded_ballot(meeting: Meeting, proof: Proof) -> None:
    ballot = parse_entry(meeting.entries[-1])
    shown = open_kept(proof.raw, meeting.manifest)
    custodians = ("custodian-a", "custodian-b")
    assert shown == Recorded(ballot, len(meeting.entries) - 1, len(meeting.entries), custodians)


def test_every_kind_of_entry_can_be_shown(meeting: Meeting) -> None:
    tiles = tiles_of(meeting)
    for index, raw in enumerate(meeting.entries):
        shown = open_recorded(prove_recorded(tiles, index, raw), meeting.manifest)
        assert shown.entry.raw == raw


def test_a_promise(meeting: Meeting, receipt: bytes) -> None:
    ballot = parse_entry(meeting.entries[-1])
    assert open_kept(receipt, meeting.manifest) == Promise("intake-1", "ballot", ballot.identity, ballot.leaf, DEADLINE)


def test_a_proof_without_its_entry(meeting: Meeting, proof: Proof) -> None:
    assert refused(meeting, dataclasses.replace(proof, extra=b"")) == "missing-entry"


def test_another_entry_than_the_one_proved(meeting: Meeting, proof: Proof) -> None:
    assert refused(meeting, dataclasses.replace(proof, extra=meeting.entries[-2])) == "bad-proof"


def test_a_ballot_without_the_intakes_line(meeting: Meeting, proof: Proof) -> None:
    """The same text with a line by another intake is another leaf."""
    other = seal(parse_note(proof.extra).text, meeting.parties.intakes[1:2])
    assert refused(meeting, dataclasses.replace(proof, extra=other)) == "bad-proof"
    stranger = seal(parse_note(proof.extra).text, meeting.parties.trustees[:1])
    assert refused(meeting, dataclasses.replace(proof, extra=stranger)) == "wrong-signers"


def test_too_few_custodians(meeting: Meeting, proof: Proof) -> None:
    note = Note(proof.note.text, proof.note.signatures[:4])
    assert refused(meeting, dataclasses.replace(proof, note=note)) == "not-witnessed"


def test_a_rehearsal_of_the_same_origin(meeting: Meeting, proof: Proof, receipt: bytes) -> None:
    rehearsal = Meeting(seed=2, parties=meeting.parties).found()
    assert rehearsal.manifest.hash != meeting.manifest.hash
    assert refused(rehearsal, proof) == "another-election"
    with pytest.raises(Refused) as error:
        open_promise(receipt, rehearsal.manifest)
    assert error.value.reason == "another-election"
    manifest = prove_recorded(tiles_of(rehearsal), 0, rehearsal.entries[0])
    assert refused(meeting, manifest) == "another-election"


@pytest.mark.parametrize("office", ["log", "trustees", "officials"])
def test_a_receipt_by_no_intake(meeting: Meeting, receipt: bytes, office: str) -> None:
    forged = seal(parse_note(receipt).text, getattr(meeting.parties, office)[:1])
    with pytest.raises(Refused) as error:
        open_promise(forged, meeting.manifest)
    assert error.value.reason == "wrong-signers"


def test_a_receipt_with_another_deadline(meeting: Meeting, receipt: bytes) -> None:
    with pytest.raises(Refused) as error:
        open_promise(receipt.replace(b"1800000000", b"1900000000"), meeting.manifest)
    assert error.value.reason == "bad-signature"


def test_a_ballot_is_no_receipt(meeting: Meeting) -> None:
    with pytest.raises(Refused) as error:
        open_kept(meeting.entries[-1], meeting.manifest)
    assert error.value.reason == "unknown-kind"


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_change_of_a_kept_file_is_refused(
    meeting: Meeting, proof: Proof, receipt: bytes, data: st.DataObject
) -> None:
    raw = data.draw(st.sampled_from([proof.raw, receipt]))
    changed_raw = changed(raw, data.draw)
    if changed_raw != raw:
        with pytest.raises(Refused) as error:
            open_kept(changed_raw, meeting.manifest)
        assert error.value.reason


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**53 - 1), st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32), st.booleans()
)
def test_every_promise_that_is_written_is_read_again(
    meeting: Meeting, deadline: int, identity: bytes, leaf: bytes, second: bool
) -> None:
    signer = meeting.parties.intakes[second]
    body = {"deadline": deadline, "identity": b64(identity), "kind": "ballot", "leaf": b64(leaf)}
    body |= {"manifest": meeting.hash}
    raw = seal(make_text("receipt", meeting.origin, body), [signer])
    shown = open_promise(raw, meeting.manifest)
    assert shown == Promise(signer.name, "ballot", identity, leaf, deadline)
    assert str(shown).startswith(f"{signer.name} promised")
    assert parse_entry(raw).raw == raw


@pytest.fixture
def kept(meeting: Meeting, proof: Proof, receipt: bytes, tmp_path: Path) -> Path:
    (tmp_path / "manifest").write_bytes(meeting.entries[0])
    (tmp_path / "ballot.tlog-proof").write_bytes(proof.raw)
    (tmp_path / "ballot.receipt").write_bytes(receipt)
    return tmp_path


def run(*arguments: str) -> tuple[int, str, str]:
    app = typer.Typer()
    app.callback()(lambda: None)
    receipts.register(app)
    result = CliRunner().invoke(app, ["verify-receipt", *arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def test_the_command(meeting: Meeting, kept: Path) -> None:
    files = [str(kept / "ballot.tlog-proof"), str(kept / "ballot.receipt")]
    status, out, err = run(*files)
    tracker = b64(parse_entry(meeting.entries[-1]).identity)
    assert (status, err) == (0, "")
    assert f"ballot {tracker} is entry {len(meeting.entries) - 1} of the log" in out
    assert "custodian-a, custodian-b" in out
    assert f"intake-1 promised to have ballot {tracker} in the log by 2027-01-15 08:00:00+00:00" in out
    assert f"manifest {meeting.hash}, unchecked" in out
    assert "unchecked" not in run(*files, "--manifest", meeting.hash)[1]


def test_the_command_in_json(meeting: Meeting, kept: Path) -> None:
    (kept / "broken").write_bytes(b"c2sp.org/tlog-proof@v1\n")
    status, out, _ = run("--json", *(str(kept / name) for name in ("ballot.tlog-proof", "ballot.receipt", "broken")))
    recorded, promised, broken = (json.loads(line) for line in out.splitlines())
    assert status == 1
    assert (recorded["shows"], promised["shows"], broken["shows"]) == ("recorded", "promised", "nothing")
    assert recorded["identity"] == promised["identity"]
    assert recorded["leaf"] == promised["leaf"]
    assert (broken["file"], broken["reason"]) == (str(kept / "broken"), "syntax")


@pytest.mark.parametrize("pin", [False, True])
def test_the_command_in_json_says_whether_the_manifest_is_pinned(meeting: Meeting, kept: Path, pin: bool) -> None:
    files = [str(kept / name) for name in ("ballot.tlog-proof", "ballot.receipt")]
    status, out, _ = run("--json", *files, *(["--manifest", meeting.hash] if pin else []))
    assert status == 0
    for line in out.splitlines():
        shown = json.loads(line)
        assert (shown["manifest"], shown["pinned"]) == (meeting.hash, pin)


def test_the_command_in_json_says_of_every_file_that_the_hash_is_none(kept: Path, capsys: Any) -> None:
    files = [str(kept / name) for name in ("ballot.tlog-proof", "ballot.receipt")]
    with pytest.raises(Refused, match="--manifest nonsense"):
        receipts.verify_receipt([Path(file) for file in files], "nonsense", None, True)
    shown = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(one["file"], one["shows"], one["reason"]) for one in shown] == [
        (file, "nothing", "wrong-length") for file in files
    ]


def test_the_command_names_what_is_wrong(meeting: Meeting, kept: Path) -> None:
    raw = (kept / "ballot.tlog-proof").read_bytes()
    (kept / "ballot.tlog-proof").write_bytes(raw.replace(b"index ", b"index 1"))
    status, out, err = run(str(kept / "ballot.tlog-proof"))
    assert status == 1
    assert "is entry" not in out
    assert err.startswith(f"psephos: {kept}/ballot.tlog-proof: ")


def test_the_command_names_a_file_that_is_not_there_once(kept: Path) -> None:
    assert run(str(kept / "none"))[2] == f"psephos: {kept}/none: No such file or directory\n"


def test_the_command_remarks_a_receipt_of_what_no_proof_shows(meeting: Meeting, kept: Path) -> None:
    other = prove_recorded(tiles_of(meeting), 0, meeting.entries[0])
    (kept / "other.tlog-proof").write_bytes(other.raw)
    remark = f"{kept}/ballot.receipt: this receipt is for another entry than any of these proofs"
    files = [str(kept / name) for name in ("ballot.receipt", "other.tlog-proof", "ballot.tlog-proof")]
    status, out, err = run(*files[:2])
    assert (status, err) == (0, "")
    assert remark in out
    assert remark not in run(*files)[1]
    assert remark not in run(files[0])[1]


def test_the_command_pins_the_manifest(meeting: Meeting, kept: Path) -> None:
    status, _, err = run(str(kept / "ballot.receipt"), "--manifest", b64(bytes(32)))
    assert status == 1
    assert "this manifest has the hash" in err
    with pytest.raises(Refused, match="--manifest nonsense"):
        run(str(kept / "ballot.receipt"), "--manifest", "nonsense")


def test_the_command_finds_the_manifest(kept: Path) -> None:
    (kept / "manifest").rename(kept / "elsewhere")
    status, _, err = run(str(kept / "ballot.receipt"))
    assert status == 1
    assert f"{kept}/manifest: No such file" in err
    assert run(str(kept / "ballot.receipt"), "--manifest-note", str(kept / "elsewhere"))[0] == 0
