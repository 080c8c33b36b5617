"""An intake's and the log's key replaced while a voter's client runs: it goes along, and keeps what shows why."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from audit.log.keys import Signer
from audit.protocol.group import b64
from audit.protocol.refused import Refused
from audit.receipts import Recorded, load_kept, open_kept
from audit.record.entries import make_text, seal
from tests.officials.clients import Clients
from tests.officials.hall import Hall
from tests.simulator.dice import Dice
from tests.voter.votes import HOLDINGS, ballots, vote


@pytest.fixture
def clients(hall: Hall) -> Iterator[Clients]:
    """A vote of its own, for keys do not come back."""
    yield Clients(hall, HOLDINGS).opened()


def rekey(hall: Hall, office: str, new: tuple[Signer, ...]) -> bytes:
    """The entry by which the officials replace the first intake's key, or the log's."""
    old = hall.parties.log if office == "log" else hall.parties.intakes[:1]
    body = {
        "kind": office,
        "manifest": b64(hall.election.manifest.hash),
        "name": new[0].name,
        "new": [key.vkey for key in new],
        "old": [key.vkey for key in old],
    }
    return seal(make_text("rekey", hall.election.manifest.origin, body), hall.parties.officials[:2])


def test_a_receipt_by_a_key_that_is_new_to_it(
    clients: Clients, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hall, new = clients.hall, Dice(55).signers("intake-1")
    post: Any = hall.post

    def first_replaces(raw: bytes) -> Any:
        if hall.parties.intakes[0] != new[0]:
            hall.record(rekey(hall, "intake", new))
            hall.parties = replace(hall.parties, intakes=(*new, *hall.parties.intakes[1:]))
        return post(raw)

    monkeypatch.setattr(hall, "post", first_replaces)
    before = len(ballots(hall))
    clients.run(*vote(clients, tmp_path / "out", "A1", "A2", wait="20"))
    assert len(ballots(hall)) == before + 2
    assert {ballot.signatures[0].key_id for ballot in ballots(hall)[before:]} == {new[0].verifier.key_id}


def test_what_is_kept_is_enough_offline(clients: Clients, tmp_path: Path) -> None:
    hall, out = clients.hall, tmp_path / "out"
    clients.run(*vote(clients, out, "A1"))
    new = Dice(56).log_keys("log")
    raw = rekey(hall, "log", new)
    old, hall.parties = hall.parties, replace(hall.parties, log=new)
    hall.record(raw)
    assert old.log != hall.parties.log
    clients.run(*vote(clients, out, "A2"))
    (kept,) = out.glob("rekey-*.tlog-proof")
    assert kept.name == f"rekey-{hall.entries.index(raw)}.tlog-proof"
    manifest = load_kept(out / "manifest", hall.election.manifest.hash)
    for account in ("A1", "A2"):
        assert isinstance(open_kept((out / f"{account}.tlog-proof").read_bytes(), manifest), Recorded)
    kept.unlink()
    alone = load_kept(out / "manifest", hall.election.manifest.hash)
    assert isinstance(open_kept((out / "A1.tlog-proof").read_bytes(), alone), Recorded)
    with pytest.raises(Refused, match="the log has not signed"):
        open_kept((out / "A2.tlog-proof").read_bytes(), alone)
