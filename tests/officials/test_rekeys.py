"""`psephos election rekey`: signed at one desk, or from official to official, and refused before anybody signs."""

from __future__ import annotations

from pathlib import Path

import pytest

from audit.protocol.refused import Refused
from tests.officials.clients import Clients
from tests.officials.hall import Hall
from tests.simulator.dice import Dice

HOLDINGS = {"A1": ("common", 5), "A2": ("common", 30), "A3": ("common", 700)}
NEW_INTAKE = Dice(40).signers("intake-1")[0]
NEW_CUSTODIAN = Dice(41).custodian_keys("custodian-d")


@pytest.fixture
def clients(hall: Hall) -> Clients:
    return Clients(hall, HOLDINGS).founded()


def rekey(clients: Clients, office: str, name: str, *vkeys: str) -> list[str | Path]:
    new = [word for vkey in vkeys for word in ("--new", vkey)]
    where: list[str | Path] = ["--election", clients.card, "--wait", "5"]
    return ["election", "rekey", *where, "--office", office, "--name", name, *new]


def test_at_one_desk_and_again(clients: Clients, hall: Hall) -> None:
    command = [*rekey(clients, "intake", "intake-1", NEW_INTAKE.vkey), *clients.keys(hall.parties.officials[:2])]
    assert "rekey is recorded" in clients.run(*command)
    assert hall.election.manifest.intakes[0] == NEW_INTAKE.verifier
    entries = len(hall.entries)
    assert "rekey is recorded already" in clients.run(*command)
    assert len(hall.entries) == entries


def test_the_key_that_counts_now_is_no_new_one(clients: Clients, hall: Hall) -> None:
    # Who pastes the stolen key must not read that it is replaced.
    entries = len(hall.entries)
    present = hall.election.manifest.intakes[0].vkey
    with pytest.raises(Refused, match="intake-1 has, or had, this key"):
        clients.run(*rekey(clients, "intake", "intake-1", present), *clients.keys(hall.parties.officials[:2]))
    with pytest.raises(Refused, match="the new keys carry the name intake-2"):
        clients.run(*rekey(clients, "intake", "intake-2", present), *clients.keys(hall.parties.officials[:2]))
    assert len(hall.entries) == entries


def test_a_key_that_has_been_replaced_again_does_not_count_as_recorded(clients: Clients, hall: Hall) -> None:
    officials = clients.keys(hall.parties.officials[:2])
    for signer in (NEW_INTAKE, Dice(42).signers("intake-1")[0]):
        clients.run(*rekey(clients, "intake", "intake-1", signer.vkey), *officials)
    with pytest.raises(Refused, match="intake-1 has, or had, this key"):
        clients.run(*rekey(clients, "intake", "intake-1", NEW_INTAKE.vkey), *officials)


def test_a_custodian_replaced_and_again(clients: Clients, hall: Hall) -> None:
    vkeys = [key.vkey for key in NEW_CUSTODIAN]
    command = [*rekey(clients, "custodian", "custodian-c", *vkeys), "--to", "custodian-d"]
    command += clients.keys(hall.parties.officials[:2])
    assert "rekey is recorded" in clients.run(*command)
    assert "rekey is recorded already" in clients.run(*command)


def test_from_official_to_official(clients: Clients, hall: Hall, tmp_path: Path) -> None:
    draft = tmp_path / "rekey"
    new = [key.vkey for key in NEW_CUSTODIAN]
    clients.run(*rekey(clients, "custodian", "custodian-c", *new), "--to", "custodian-d", "--draft", draft)
    for official in hall.parties.officials[:2]:
        said = clients.run("election", "sign", draft, "--election", clients.card, *clients.keys([official]))
        assert "custodian custodian-c is replaced by custodian-d" in said
        assert all(f"new key {vkey}" in said.replace("\n", "") for vkey in new)
    clients.run("election", "submit", draft, "--election", clients.card)
    assert [name for name, _ in hall.election.manifest.log.custodians][2] == "custodian-d"


@pytest.mark.parametrize(
    ("office", "name", "vkey", "reason", "field"),
    [
        ("intake", "intake-9", NEW_INTAKE.vkey, "unknown-key", "--name"),
        ("trustee", "trustee-1", NEW_INTAKE.vkey, "unknown-key", "--office"),
        ("log", "log", NEW_INTAKE.vkey, "unknown-key", "new"),
        ("intake", "intake-1", "intake-1+0000", "syntax", "new[0]"),
    ],
)
def test_what_is_wrong_is_said_before_anybody_signs(
    clients: Clients, hall: Hall, office: str, name: str, vkey: str, reason: str, field: str
) -> None:
    entries = len(hall.entries)
    with pytest.raises(Refused) as refused:
        clients.run(*rekey(clients, office, name, vkey), *clients.keys(hall.parties.officials[:2]))
    assert (refused.value.reason, refused.value.field) == (reason, field)
    assert len(hall.entries) == entries


def test_one_official_alone_replaces_nothing(clients: Clients, hall: Hall) -> None:
    with pytest.raises(Refused) as refused:
        clients.run(*rekey(clients, "intake", "intake-1", NEW_INTAKE.vkey), *clients.keys(hall.parties.officials[:1]))
    assert refused.value.reason == "wrong-signers"
