"""Drafts: signed in turn, by officials only, and submitted when enough have."""

from __future__ import annotations

from pathlib import Path

import pytest

from audit.protocol.refused import Refused
from audit.record.manifest import load_manifest
from infra.keys import KeyFileError
from tests.officials.clients import Clients
from tests.officials.hall import Hall
from tests.simulator.dice import Dice

HOLDINGS = {"A1": ("common", 5), "A2": ("common", 30)}


@pytest.fixture
def clients(hall: Hall) -> Clients:
    return Clients(hall, HOLDINGS).created()


def sign(clients: Clients, *places: int) -> str:
    said = ""
    for place in places:
        official = clients.hall.parties.officials[place]
        said = clients.run("election", "sign", clients.draft, *clients.keys([official]))
    return said


def test_a_draft_that_enough_have_signed_is_the_entry(clients: Clients, hall: Hall) -> None:
    assert "signed by chair, secretary" in sign(clients, 1, 0)
    clients.run("election", "submit", clients.draft, "--election", clients.card)
    assert hall.entries == [clients.draft.read_bytes()]
    load_manifest(clients.draft, hall.election.manifest.hash)


def test_who_signs_is_shown_what_is_signed(clients: Clients) -> None:
    said = clients.run("election", "show", clients.draft)
    assert "Annual meeting 2026" in said and "nominee-1: Nominee-1" in said and "signed by nobody" in said


def test_nobody_signs_twice(clients: Clients) -> None:
    sign(clients, 0)
    before = clients.draft.read_bytes()
    with pytest.raises(Refused, match="chair has signed this draft already"):
        sign(clients, 0)
    assert clients.draft.read_bytes() == before


def test_nobody_else_signs(clients: Clients, hall: Hall) -> None:
    with pytest.raises(Refused, match="issuer-1, with this key, is no official"):
        clients.run("election", "sign", clients.draft, *clients.keys(hall.parties.issuers[:1]))


def test_nobody_signs_under_an_officials_name(clients: Clients, hall: Hall) -> None:
    stranger = Dice(99).signer("chair")
    with pytest.raises(Refused, match="chair, with this key, is no official"):
        clients.run("election", "sign", clients.draft, *clients.keys([stranger]))


def test_too_few_have_signed(clients: Clients, hall: Hall) -> None:
    with pytest.raises(Refused, match="nobody has signed"):
        clients.run("election", "submit", clients.draft, "--election", clients.card)
    sign(clients, 2)
    with pytest.raises(Refused, match="2 of the 3 officials"):
        clients.run("election", "submit", clients.draft, "--election", clients.card)
    assert hall.posts == []


def test_a_changed_draft_is_another_election(clients: Clients, hall: Hall) -> None:
    raw = clients.draft.read_bytes()
    clients.draft.write_bytes(raw.replace(b"Annual meeting 2026", b"Annual meeting 2027"))
    sign(clients, 0, 1)
    with pytest.raises(Refused, match="this manifest has the hash") as caught:
        clients.run("election", "submit", clients.draft, "--election", clients.card)
    assert caught.value.reason == "another-election" and hall.posts == []


def test_a_draft_is_not_overwritten(clients: Clients) -> None:
    with pytest.raises(FileExistsError):
        clients.run("election", "create", clients.folder / "agenda.toml", "--out", clients.draft)


def test_a_file_that_is_no_draft(clients: Clients, tmp_path: Path) -> None:
    (tmp_path / "other").write_text("hello\n")
    with pytest.raises(Refused, match="other: an entry's text is three lines"):
        clients.run("election", "show", tmp_path / "other")


def test_a_key_that_others_may_read_is_not_used(clients: Clients, hall: Hall) -> None:
    hall.key(hall.parties.officials[0]).chmod(0o644)
    with pytest.raises(KeyFileError, match="lets others read it"):
        sign(clients, 0)
