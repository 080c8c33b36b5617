"""Acts of the officials' quorum: each waits for what must come first, or says why it never can be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from audit.protocol.group import b64
from audit.protocol.refused import Refused
from infra.card import load_card
from infra.config import ConfigError
from infra.desk import GaveUp, open_desk
from tally.officials.acts import act_text, perform, write_result
from tests.officials.clients import Clients
from tests.officials.hall import Hall

HOLDINGS = {"A1": ("common", 5), "A2": ("common", 30)}


@pytest.fixture
def clients(hall: Hall) -> Clients:
    return Clients(hall, HOLDINGS).founded()


def act(clients: Clients, kind: str, *more: str | Path, wait: str = "0") -> str:
    keys = clients.keys(clients.hall.parties.officials[:2])
    return clients.run("election", kind, "--election", clients.card, *keys, "--wait", wait, *more)


def test_the_vote_does_not_open_without_a_key(clients: Clients) -> None:
    with pytest.raises(GaveUp, match="the time to draw this up: the trustees' key ceremony is not complete"):
        act(clients, "open")
    assert len(clients.hall.posts) == 1


def test_the_vote_does_not_open_without_a_roll(clients: Clients) -> None:
    clients.keyed()
    with pytest.raises(GaveUp, match="the roll common is not complete"):
        act(clients, "open")


def test_two_officials_must_sign(clients: Clients, hall: Hall) -> None:
    with pytest.raises(Refused, match="2 of the 3 officials"):
        clients.run("election", "open", "--election", clients.card, *clients.keys(hall.parties.officials[:1]))


def test_a_trustee_does_not_act_as_an_official(clients: Clients, hall: Hall) -> None:
    keys = clients.keys([hall.parties.officials[0], hall.parties.trustees[0]])
    with pytest.raises(Refused, match="trustee-1 does not act as an official"):
        clients.run("election", "open", "--election", clients.card, *keys)


def test_either_a_draft_or_keys(clients: Clients) -> None:
    with pytest.raises(AssertionError, match="give either --draft"):
        clients.run("election", "open", "--election", clients.card)


def test_a_key_given_twice(clients: Clients, hall: Hall) -> None:
    chair = hall.parties.officials[0]
    with pytest.raises(Refused, match="chair signs once; this key is given twice"):
        clients.run("election", "open", "--election", clients.card, *clients.keys([chair, chair]))


def test_who_is_waited_for_is_said_in_words(clients: Clients, hall: Hall) -> None:
    with pytest.raises(Refused, match="not complete: waiting for trustee-1 to commit [^;]*; trustee-2 to commit"):
        _ = hall.election.Y


def test_a_result_is_not_overwritten(clients: Clients) -> None:
    """Refused before anything is certified."""
    result = clients.folder / "result.json"
    result.write_text("mine")
    posts = len(clients.hall.posts)
    with pytest.raises(FileExistsError, match="result.json: exists already and is not overwritten"):
        act(clients, "certify", "--result", result)
    with pytest.raises(FileExistsError, match="result.json: exists already and is not overwritten"):
        write_result(result, {})
    assert result.read_text() == "mine" and len(clients.hall.posts) == posts
    for _ in range(2):
        write_result(clients.folder / "another.json", {"present": 1})


def test_an_act_as_a_draft(clients: Clients, hall: Hall) -> None:
    clients.keyed().enrolled()
    draft = clients.folder / "opening"
    with pytest.raises(GaveUp, match="the time to draw this up: type: closing is admitted while the election is open"):
        clients.run("election", "closing", "--election", clients.card, "--draft", draft, "--wait", "0")
    clients.run("election", "open", "--election", clients.card, "--draft", draft)
    size = hall.election.size
    shown = clients.run("election", "show", draft)
    roll = hall.election.roll("common")
    assert f"drawn up when the log had {size} entries" in shown and f"key {b64(hall.election.Y.raw)}" in shown
    assert f"roll of common: 2 rows, not mixed, hash {b64(roll.hash)}" in shown
    for official in hall.parties.officials[1:]:
        clients.run("election", "sign", draft, *clients.keys([official]))
    clients.run("election", "submit", draft, "--election", clients.card)
    assert hall.election.phase == "open"
    assert act(clients, "open") == "open is recorded already\n"


def test_an_act_is_drawn_up_anew_when_others_act_meanwhile(clients: Clients, hall: Hall) -> None:
    """The trustees' last word is recorded after the officials have read the log, before theirs reaches it."""
    clients.keyed().enrolled()
    with open_desk(load_card(clients.card), patience=5) as desk:
        desk.begin()
        sizes: list[int] = []

        def draw_up() -> bytes:
            sizes.append(desk.election.size)
            return act_text(desk, "open", size=1) if len(sizes) == 1 else act_text(desk, "open")

        perform(desk, draw_up, hall.parties.officials[:2])
    assert hall.election.phase == "open" and len(sizes) == 2


def test_the_close_waits_for_the_intakes_unless_they_are_overruled(clients: Clients, hall: Hall) -> None:
    clients.keyed().enrolled()
    act(clients, "open", wait="5")
    act(clients, "closing", wait="5")
    with pytest.raises(GaveUp, match="intake-1 has not reconciled yet"):
        act(clients, "close")
    with pytest.raises(Refused, match="intake-9 is not an intake"):
        act(clients, "close", "--overrule", "intake-9")
    act(clients, "close", "--overrule", "intake-2", "--overrule", "intake-1", wait="5")
    assert hall.election.overruled == ("intake-1", "intake-2")
    with pytest.raises(GaveUp, match="2 trustees to decrypt; 0 have"):
        act(clients, "certify")


def test_status_says_whose_turn_it_is(clients: Clients, hall: Hall) -> None:
    found = json.loads(clients.run("election", "status", "--election", clients.card, "--json"))
    assert found["phase"] == "noticed" and found["entries"] == 1
    assert found["waiting_for"][0] == "trustee-1 to commit (attempt 1)"
    assert found["waiting_for"][-1] == "the issuers to publish the roll of common"
    clients.keyed().enrolled()
    said = clients.run("election", "status", "--election", clients.card)
    assert said.splitlines()[-1] == "waiting for the officials to open"


def test_a_card_of_another_election_finds_nothing(clients: Clients) -> None:
    card = clients.folder / "other.toml"
    text = clients.card.read_text()
    line = next(line for line in text.splitlines() if line.startswith("manifest"))
    card.write_text(text.replace(line, f'manifest = "{"A" * 43}"'))
    with pytest.raises(GaveUp, match="waited 0 s for the manifest to be recorded .*this manifest has the hash"):
        clients.run("election", "status", "--election", card, "--wait", "0")


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (("origin", "origins"), "unknown key `origins`"),
        (('manifest = "', 'manifest = "AAAA'), "the hash of the manifest, 32 bytes"),
        (("http://", "ftp://"), "is not http:// or https://"),
        (("vote.example", "vote example"), "ASCII without spaces"),
    ],
)
def test_a_card_that_is_none(clients: Clients, change: tuple[str, str], what: str) -> None:
    clients.card.write_text(clients.card.read_text().replace(*change))
    with pytest.raises(ConfigError, match=what):
        load_card(clients.card)
