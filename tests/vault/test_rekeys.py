"""A custodian goes by the rekeys that it holds: the old key of the log is over for it, and so is its own."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from audit.log.checkpoint import Checkpoint
from audit.log.encoding import encode_base64
from audit.log.keys import Signer
from audit.log.merkle import CompactRange, LeafHashes, consistency_proof, leaf_hash
from audit.log.notes import Note, parse_signature_lines
from audit.log.tiles import frame
from audit.record.heads import FIRST_LINE
from audit.record.manifest import Manifest
from infra.config import ConfigError
from tests.loopback import PATIENCE
from tests.simulator.dice import Dice
from tests.simulator.meeting import Meeting
from tests.simulator.rekeys import rekey, rekeying
from tests.vault.conftest import TOKEN, Served
from tests.vault.folders import opened
from vault.custodian import kept as custodian_kept
from vault.custodian import keys as custodian_keys
from vault.custodian.config import announced, check_office
from vault.custodian.custody import Custodian
from vault.custodian.folder_store import FolderStore
from vault.custodian.keys import stored_keys
from vault.custodian.serve import custodian_app

NEW_LOG = Dice(31).log_keys("log")
NEW_OWN = Dice(32).custodian_keys("custodian-a")
NEWCOMER = Dice(33).custodian_keys("custodian-d")
TIME = 1_790_000_000


class Kept:
    """Custodian-a, with a folder, of a meeting; `keys` are those it holds."""

    def __init__(self, folder: Path, keys: tuple[Signer, ...] = ()) -> None:
        self.meeting = Meeting().prepared()
        self.folder = folder
        self.first = self.meeting.manifest
        self.old_log = self.meeting.parties.log
        self.begin(keys or self.meeting.parties.custodians[0])

    def begin(self, keys: tuple[Signer, ...]) -> None:
        """The process, begun anew on what is stored."""
        store = opened(self.folder, [self.meeting.origin])
        logs = {self.meeting.origin: stored_keys(store, self.first)}
        self.custodian = Custodian(store, logs, keys, lambda: TIME)
        app = custodian_app(self.custodian, [self.meeting.origin], TOKEN)
        self.client = TestClient(app, headers={"Authorization": f"Bearer {TOKEN}"})

    def note(self, size: int, signers: tuple[Signer, ...]) -> Note:
        tree = CompactRange()
        tree.extend(leaf_hash(raw) for raw in self.meeting.entries[:size])
        text = Checkpoint(self.meeting.origin, size, tree.root()).text
        return Note(text, tuple(key.sign(text, TIME) for key in signers))

    def append(self, old: int, size: int, log: tuple[Signer, ...]):
        """Hands it the entries up to this size, signed with these keys of the log."""
        source = LeafHashes([leaf_hash(raw) for raw in self.meeting.entries])
        lines = "".join(f"{encode_base64(h)}\n" for h in (consistency_proof(source, old, size) if old else ()))
        header = f"old {old}\n{lines}\n".encode() + self.note(size, log).raw
        body = len(header).to_bytes(4, "big") + header + frame(self.meeting.entries[old:size])
        return self.client.post(f"/{self.meeting.origin}/append", content=body)

    def publish(self, size: int, log: tuple[Signer, ...], *custodians: tuple[Signer, ...]):
        signers = (*log, *(key for keys in custodians for key in keys))
        return self.client.post(f"/{self.meeting.origin}/publish", content=self.note(size, signers).raw)

    @property
    def size(self) -> int:
        return self.meeting.election.size


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path)


def signed_by(answer) -> set[bytes]:
    assert answer.status_code == 200, answer.text
    return {line.key_id for line in parse_signature_lines(answer.content)}


def ids(keys: tuple[Signer, ...]) -> set[bytes]:
    return {key.verifier.key_id for key in keys}


def test_the_old_key_of_the_log_is_over_also_after_a_restart(kept: Kept) -> None:
    before = kept.size
    assert kept.append(0, before, kept.old_log).status_code == 200
    rekey(kept.meeting, "log", "log", NEW_LOG)
    refused = kept.append(before, before + 1, kept.old_log)
    assert (refused.status_code, refused.json()["reason"]) == (403, "not-signed-by-log")
    assert kept.append(before, before + 1, NEW_LOG).status_code == 200
    kept.meeting.vote(kept.meeting.accounts[0], {})
    for _ in range(2):
        refused = kept.append(before + 1, before + 2, kept.old_log)
        assert (refused.status_code, refused.json()["reason"]) == (403, "not-signed-by-log")
        kept.begin(kept.meeting.parties.custodians[0])
    assert kept.append(before + 1, before + 2, NEW_LOG).status_code == 200
    # What it stored before is asked for again, and answered again.
    assert kept.append(0, before, kept.old_log).status_code == 200


def test_a_rekey_that_is_stored_and_reported_lost_counts(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    kept.begin((*kept.meeting.parties.custodians[0], *NEW_OWN))
    before = kept.size
    kept.append(0, before, kept.old_log)
    rekey(kept.meeting, "custodian", "custodian-a", NEW_OWN)
    rekey(kept.meeting, "log", "log", NEW_LOG)
    append = FolderStore.append

    def reported_lost(*arguments: Any) -> None:
        append(*arguments)
        raise OSError

    with monkeypatch.context() as patched, pytest.raises(OSError):
        patched.setattr(FolderStore, "append", reported_lost)
        kept.append(before, kept.size, NEW_LOG)
    assert signed_by(kept.append(before, kept.size, NEW_LOG)) == ids(NEW_OWN)


def test_a_rekey_counts_that_is_stored_only_after_it_was_reported_lost_and_looked_for(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database goes on with a commit whose connection has broken."""
    before, store, late = kept.size, FolderStore.append, list[Any]()
    kept.append(0, before, kept.old_log)
    rekey(kept.meeting, "log", "log", NEW_LOG)

    def lost(*arguments: Any) -> None:
        late[:] = arguments
        raise OSError

    with monkeypatch.context() as patched, pytest.raises(OSError):
        patched.setattr(FolderStore, "append", lost)
        kept.append(before, kept.size, NEW_LOG)
    assert kept.client.get(f"/{kept.meeting.origin}/rekeys").status_code == 200
    store(*late)
    kept.meeting.vote(kept.meeting.accounts[0], {})
    assert kept.append(before + 1, before + 2, NEW_LOG).status_code == 200
    # Then nobody needs to look any more.
    assert kept.client.get(f"/{kept.meeting.origin}/rekeys").status_code == 200
    assert not kept.custodian.kept._in_doubt


def test_a_doubt_that_comes_while_another_looks_is_not_forgotten(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    before, origin, store = kept.size, kept.meeting.origin, FolderStore.append
    kept.append(0, before, kept.old_log)
    rekey(kept.meeting, "log", "log", NEW_LOG)
    own = kept.custodian.kept
    slow, looked, go_on = threading.Thread(target=own.keys, args=[origin]), *events(2)
    real = custodian_kept.learn_stored

    def learn_stored(*arguments: Any) -> None:
        real(*arguments)
        if threading.current_thread() is slow:
            looked.set()
            assert go_on.wait(PATIENCE)

    def reported_lost(*arguments: Any) -> None:
        own._in_doubt[origin] = 0
        slow.start()
        assert looked.wait(PATIENCE)
        store(*arguments)
        raise OSError

    monkeypatch.setattr(custodian_kept, "learn_stored", learn_stored)
    with ThreadPoolExecutor(1) as other, monkeypatch.context() as patched:
        patched.setattr(FolderStore, "append", reported_lost)
        appended = other.submit(kept.append, before, kept.size, NEW_LOG)
        wait([appended], timeout=0.5)
        go_on.set()
        with pytest.raises(OSError):
            appended.result(PATIENCE)
    slow.join(PATIENCE)
    assert kept.append(before, kept.size, NEW_LOG).status_code == 200


def test_who_learns_from_the_disk_forgets_nothing_that_an_append_teaches_meanwhile(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = kept.size
    kept.append(0, before, kept.old_log)
    rekey(kept.meeting, "log", "log", NEW_LOG)
    kept.append(before, before + 1, NEW_LOG)
    rekey(kept.meeting, "custodian", "custodian-b", NEWCOMER)
    # As after an append of which it is not known whether it was stored, read by a thread that is slow.
    kept.begin(kept.meeting.parties.custodians[0])
    keys = kept.custodian.kept.keys(kept.meeting.origin)
    keys.manifest = kept.first
    kept.custodian.kept._in_doubt[kept.meeting.origin] = 0
    slow, reading, go_on = threading.Thread(target=kept.custodian.kept.keys, args=[kept.meeting.origin]), *events(2)
    real = custodian_keys.succeed

    def succeed(*arguments: Any) -> Manifest:
        after = real(*arguments)
        if threading.current_thread() is slow:
            reading.set()
            assert go_on.wait(PATIENCE)
        return after

    monkeypatch.setattr(custodian_keys, "succeed", succeed)
    slow.start()
    assert reading.wait(PATIENCE)
    with ThreadPoolExecutor(1) as other:
        appended = other.submit(kept.append, before + 1, before + 2, NEW_LOG)
        wait([appended], timeout=0.5)
        go_on.set()
        assert appended.result(PATIENCE).status_code == 200
    slow.join(PATIENCE)
    assert list(keys.places()) == [before, before + 1]


def events(count: int) -> list[threading.Event]:
    return [threading.Event() for _ in range(count)]


def test_it_publishes_by_the_keys_over_that_size(kept: Kept) -> None:
    a, b, _ = kept.meeting.parties.custodians
    before = kept.size
    kept.append(0, before, kept.old_log)
    rekey(kept.meeting, "log", "log", NEW_LOG)
    kept.append(before, before + 1, NEW_LOG)
    assert kept.publish(before, kept.old_log, a, b).status_code == 204
    assert kept.client.get(f"/{kept.meeting.origin}/rekeys").content == b""
    assert kept.publish(before + 1, kept.old_log, a, b).json()["reason"] == "wrong-signers"
    assert kept.publish(before + 1, NEW_LOG, a, b).status_code == 204
    assert kept.client.get(f"/{kept.meeting.origin}/rekeys").content == f"{before}\n".encode()


def test_it_signs_with_its_own_key_that_counts(kept: Kept) -> None:
    old = kept.meeting.parties.custodians[0]
    kept.begin((*old, *NEW_OWN))
    before = kept.size
    assert signed_by(kept.append(0, before, kept.old_log)) == ids(old)
    rekey(kept.meeting, "custodian", "custodian-a", NEW_OWN)
    assert signed_by(kept.append(before, before + 1, kept.old_log)) == ids(NEW_OWN)
    assert signed_by(kept.append(0, before, kept.old_log)) == ids(old)


def test_a_rekey_that_the_officials_have_not_signed_is_not_stored(kept: Kept) -> None:
    before = kept.size
    kept.append(0, before, kept.old_log)
    said = rekeying(kept.meeting, "log", "log", NEW_LOG)
    forged = kept.meeting.signed("rekey", json.loads(said.split(b"\n")[2]), kept.old_log[0])
    kept.meeting.entries.append(forged)
    for log in (kept.old_log, NEW_LOG):
        refused = kept.append(before, before + 1, log)
        assert (refused.status_code, refused.json()["reason"]) == (422, "wrong-signers")
    kept.meeting.entries.pop()
    kept.meeting.vote(kept.meeting.accounts[0], {})
    assert kept.append(before, before + 1, kept.old_log).status_code == 200


def test_whose_keys_they_are(kept: Kept, tmp_path: Path) -> None:
    meeting, path = kept.meeting, Path("custodian.toml")
    old = meeting.parties.custodians[0]
    (tmp_path / "note").write_bytes(rekeying(meeting, "custodian", "custodian-b", NEWCOMER))
    with pytest.raises(ConfigError, match="key `keys`"):
        check_office(path, [kept.first], NEWCOMER)
    check_office(path, [announced(kept.first, [tmp_path / "note"])], NEWCOMER)
    with pytest.raises(ConfigError, match="key `keys`"):
        check_office(path, [announced(kept.first, [tmp_path / "note"])], (*old, *NEWCOMER))
    rekey(meeting, "custodian", "custodian-a", NEW_OWN)
    for mine in (old, NEW_OWN, (*old, *NEW_OWN)):
        check_office(path, [meeting.manifest], mine)
    with pytest.raises(ConfigError, match="key `keys`"):
        check_office(path, [meeting.manifest], (*old, NEW_OWN[0]))


def test_every_store_says_where_rekeys_stand(served: Served) -> None:
    """Appended with their head, and staged before it."""
    start = len(served.log.entries)
    served.log.grow(2)
    served.log.entries[-1] = FIRST_LINE + b"not looked into here"
    served.cosigned(served.log.append(start))
    staged = [b"another", FIRST_LINE + b"staged"]
    place = start + 2
    served.store().stage(served.log.origin, place, [leaf_hash(entry) for entry in staged], staged)
    assert served.store().rekeys(served.log.origin) == [place - 1, place + 1]
