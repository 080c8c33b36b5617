"""Drafts: signed in turn, by officials only, and submitted when enough have."""

from __future__ import annotations

from pathlib import Path

import pytest

from audit.protocol.group import b64
from audit.protocol.refused import Refused
from audit.record.entries import make_text
from audit.record.manifest import load_manifest
from infra.keys import KeyFileError
from tally.officials.draft import new_draft, printable, read_draft, sign_draft, with_lines
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


def altered(clients: Clients) -> bytes:
    """Puts a manifest with another title under the signatures that are there; the draft as it is then."""
    raw = clients.draft.read_bytes().replace(b"Annual meeting 2026", b"Annual meeting 2027")
    clients.draft.write_bytes(raw)
    return raw


def test_a_draft_altered_after_it_was_signed(clients: Clients, hall: Hall) -> None:
    sign(clients, 0, 1)
    raw = altered(clients)
    where = ("--intake", hall.url, "--custodian", hall.url)
    with pytest.raises(Refused, match="manifest: .*chair") as caught:
        clients.run("election", "show", clients.draft)
    assert caught.value.reason == "bad-signature"
    with pytest.raises(Refused, match="manifest: .*chair"):
        sign(clients, 2)
    with pytest.raises(Refused, match="manifest: .*chair"):
        clients.run("election", "card", clients.draft, *where, "--out", clients.folder / "altered.toml")
    assert clients.draft.read_bytes() == raw and not (clients.folder / "altered.toml").exists()


def test_a_draft_that_a_stranger_signed(clients: Clients) -> None:
    entry = read_draft(clients.draft)
    clients.draft.write_bytes(with_lines(entry, [Dice(99).signer("stranger")]))
    with pytest.raises(Refused, match="manifest: .*stranger does not sign manifest"):
        clients.run("election", "show", clients.draft)


def test_the_hash_is_shown_as_the_card_has_it(clients: Clients) -> None:
    shown = b64(read_draft(clients.draft).identity)
    assert f"SHA-256 of the text: {shown}" in clients.run("election", "show", clients.draft)
    assert f"SHA-256 of the text: {shown}" in sign(clients, 0) and shown in clients.card.read_text()


def test_an_act_is_checked_with_the_card(clients: Clients, hall: Hall) -> None:
    sign(clients, 0, 1)
    clients.run("election", "submit", clients.draft, "--election", clients.card)
    draft = clients.folder / "closing"
    stranger, where = Dice(99).signer("chair"), ["--election", clients.card, "--wait", "5"]
    body = {"manifest": b64(hall.election.manifest.hash), "size": 1}
    new_draft(draft, make_text("closing", hall.election.manifest.origin, body))
    draft.write_bytes(with_lines(read_draft(draft), [stranger]))
    assert "signed by chair (not checked: give --election)" in clients.run("election", "show", draft)
    with pytest.raises(Refused, match="closing: .*chair"):
        clients.run("election", "show", draft, *where)
    draft.unlink()
    new_draft(draft, make_text("closing", hall.election.manifest.origin, body))
    with pytest.raises(Refused, match="chair, with this key, is no official"):
        sign_draft(draft, [stranger], hall.election.manifest)
    said = clients.run("election", "sign", draft, *clients.keys(hall.parties.officials[:1]), *where)
    assert said.endswith("signed by chair\n")


def test_what_a_terminal_would_obey_is_written_out() -> None:
    assert printable("a\x1b[2J\x9b\u202e\u00e9") == "a\\u001b[2J\\u009b\\u202e\u00e9"


def test_a_draft_is_not_overwritten(clients: Clients) -> None:
    with pytest.raises(FileExistsError, match="manifest: exists already and is not overwritten"):
        clients.run("election", "create", clients.folder / "agenda.toml", "--out", clients.draft)


def test_a_file_that_is_no_draft(clients: Clients, tmp_path: Path) -> None:
    (tmp_path / "other").write_text("hello\n")
    with pytest.raises(Refused, match="other: an entry's text is three lines"):
        clients.run("election", "show", tmp_path / "other")


def test_a_key_that_others_may_read_is_not_used(clients: Clients, hall: Hall) -> None:
    hall.key(hall.parties.officials[0]).chmod(0o644)
    with pytest.raises(KeyFileError, match="lets others read it"):
        sign(clients, 0)
