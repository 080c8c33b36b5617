"""A rekey that is damaged on a custodian's disk: it still starts, signs nothing, and is mended from a peer."""

from __future__ import annotations

from pathlib import Path

import pytest

from audit.log.keys import Signer
from audit.protocol.refused import Refused
from tests.simulator.record import MemoryReader
from tests.simulator.rekeys import rekey
from tests.vault.conftest import NOW
from tests.vault.test_following_rekeys import NEW, Town
from vault.custodian.examining import Examiner
from vault.custodian.keys import proven_keys, stored_keys
from vault.custodian.mending import Scrub


@pytest.mark.parametrize(("office", "name", "new"), NEW)
def test_a_damaged_rekey_is_found_and_mended(tmp_path: Path, office: str, name: str, new: tuple[Signer, ...]) -> None:
    town = Town(tmp_path)
    before = town.held()
    rekey(town.meeting, office, name, new)
    town.show(before)
    assert town.held() == before + 1
    digits = f"{before:012d}"
    (file,) = tmp_path.glob(f"kept/logs/*/staged/{digits[:3]}/{digits[3:6]}/{digits[6:9]}/{digits[9:]}")
    raw = bytearray(file.read_bytes())
    # Within the entry: the last 32 bytes are its leaf hash.
    raw[-40] ^= 1
    file.write_bytes(raw)
    keys = stored_keys(town.store, town.manifest)
    assert list(keys.places()) == []
    examiner = Examiner(town.store, {town.manifest.origin: keys})
    examiner.run()
    with pytest.raises(Refused) as refusal:
        examiner.check()
    assert refusal.value.reason == "damaged"
    said: list[str] = []
    keys = proven_keys(town.store, town.manifest, [town.reader])
    assert list(keys.places()) == [before]
    assert Scrub(town.store, keys, [town.reader], said.append, clock=lambda: NOW).run() == 3, said
    assert any(f"entry {before}: mended from" in line for line in said)
    assert list(stored_keys(town.store, town.manifest).places()) == [before]


@pytest.mark.parametrize("last", [0, 1], ids=["the stale one first", "the stale one last"])
def test_a_peer_that_shows_an_old_checkpoint_takes_no_rekey_away(tmp_path: Path, last: int) -> None:
    town = Town(tmp_path)
    before = town.held()
    stale = MemoryReader(town.reader.files)
    rekey(town.meeting, *NEW[0])
    town.show(before)
    assert town.held() == before + 1
    file = max(path for path in tmp_path.glob("kept/logs/*/heads/**/*") if path.is_file())
    raw = bytearray(file.read_bytes())
    raw[45] ^= 1
    file.write_bytes(raw)
    peers = [town.reader]
    peers.insert(last, stale)
    keys = proven_keys(town.store, town.manifest, peers)
    assert list(keys.places()) == [before]
    assert Scrub(town.store, keys, peers, lambda line: None, clock=lambda: NOW).run() == 3
