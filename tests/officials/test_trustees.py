"""Trustees: nothing is handed in before it is stored, nothing secret outlives the ceremony, and each answers once."""

from __future__ import annotations

import json
import shutil
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import tally.officials.trustee
from audit.log.keys import Signer
from audit.protocol.group import b64, unb64
from audit.protocol.refused import Refused
from audit.protocol.threshold import KeyShare
from audit.record.entries import parse_entry
from audit.verify import NotVerified
from infra.card import load_card
from infra.desk import Desk, GaveUp, open_desk
from tally.officials.trustee import Trustee
from tests.officials.clients import Clients
from tests.officials.hall import Hall
from tests.simulator.dice import Dice

HOLDINGS = {"A1": ("common", 5), "A2": ("common", 30)}


@pytest.fixture
def clients(hall: Hall) -> Clients:
    return Clients(hall, HOLDINGS).founded()


@pytest.fixture
def desk(clients: Clients) -> Iterator[Desk]:
    with open_desk(load_card(clients.card), patience=0) as desk:
        desk.begin()
        yield desk


def trustee(desk: Desk, clients: Clients, place: int = 0) -> Trustee:
    signer = clients.hall.parties.trustees[place]
    return Trustee(desk, signer, clients.folder / signer.name)


def kinds(hall: Hall) -> list[str]:
    return [parse_entry(raw).kind for raw in hall.entries]


def test_a_trustee_that_stops_goes_on_with_the_same_secret(clients: Clients, hall: Hall) -> None:
    first = hall.parties.trustees[0]
    with pytest.raises(GaveUp, match="trustee-2 to commit"):
        clients.run(*join(clients, first, wait="0.5"))
    secret = (clients.folder / "trustee-1" / "ceremony-1").read_bytes()
    with pytest.raises(GaveUp, match="trustee-2 to commit"):
        clients.run(*join(clients, first, wait="0.5"))
    assert (clients.folder / "trustee-1" / "ceremony-1").read_bytes() == secret
    assert kinds(hall).count("trustee-commit") == 1
    clients.keyed()
    assert hall.election.ceremony.complete and hall.election.ceremony.attempt == 1


def join(clients: Clients, trustee: Signer, wait: str = "5") -> list[str | Path]:
    where: list[str | Path] = ["--election", clients.card, "--state", clients.folder / trustee.name, "--wait", wait]
    return ["trustee", "join", *where, *clients.keys([trustee])]


def test_a_crash_before_handing_in_hands_in_the_same_entry(desk: Desk, clients: Clients, hall: Hall) -> None:
    hall.script = [(503, b"")]
    one = trustee(desk, clients)
    one.expect_office()
    ((kind, body),) = one.due()
    with pytest.raises(GaveUp, match="no intake answered"):
        one.hand_in(kind, body)
    kept = (clients.folder / "trustee-1" / "trustee-commit-1").read_bytes()
    one.hand_in(kind, body)
    assert hall.posts[-2:] == [kept, kept] and hall.entries[-1] == kept


def test_after_the_ceremony_only_the_share_is_left(clients: Clients, hall: Hall) -> None:
    clients.keyed()
    for signer in hall.parties.trustees:
        folder = clients.folder / signer.name
        assert not list(folder.glob("ceremony-*"))
        share = KeyShare.from_json(json.loads((folder / "share").read_bytes()))
        assert share.Y == hall.election.Y
        assert stat.S_IMODE((folder / "share").stat().st_mode) == 0o600
    assert clients.join(hall.parties.trustees[0]) is None


def test_a_share_that_opens_wrongly_is_complained_about_and_published(
    clients: Clients, hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = tally.officials.trustee.next_messages

    def cheating(ceremony: Any, secret: Any, w: int) -> list[tuple[str, dict[str, Any]]]:
        messages = real(ceremony, secret, w)
        for kind, body in messages:
            if kind == "trustee-deal" and secret.trustee == "trustee-2":
                sealed = bytearray(unb64(body["shares"]["trustee-3"]))
                sealed[-1] ^= 1
                body["shares"]["trustee-3"] = b64(bytes(sealed))
        return messages

    monkeypatch.setattr(tally.officials.trustee, "next_messages", cheating)
    clients.keyed()
    (verdict,) = hall.election.ceremony.verdicts
    assert (verdict.dealer, verdict.receiver, verdict.cleared) == ("trustee-2", "trustee-3", True)
    assert kinds(hall).count("trustee-complaint") == kinds(hall).count("trustee-answer") == 1


def test_only_trustees_join(desk: Desk, clients: Clients, hall: Hall) -> None:
    with pytest.raises(Refused, match="issuer-1, with this key, is no trustee"):
        Trustee(desk, hall.parties.issuers[0], clients.folder / "x").expect_office()
    with pytest.raises(Refused, match="trustee-1, with this key, is no trustee"):
        Trustee(desk, Dice(5).signer("trustee-1"), clients.folder / "x").expect_office()


def test_a_folder_of_another_election_is_not_used(desk: Desk, clients: Clients) -> None:
    one = trustee(desk, clients)
    one.folder.mkdir()
    (one.folder / "manifest").touch(mode=0o600)
    (one.folder / "manifest").write_text("another")
    with pytest.raises(Refused, match="holds what was made for another election"):
        one.expect_office()


def test_no_share_no_answer(desk: Desk, clients: Clients) -> None:
    with pytest.raises(Refused, match="holds no share of the key: join the ceremony first"):
        trustee(desk, clients).decrypt()


def test_a_folder_that_is_lost_before_the_key_is_made(clients: Clients, hall: Hall) -> None:
    first = hall.parties.trustees[0]
    with pytest.raises(GaveUp):
        clients.run(*join(clients, first, wait="0.5"))
    shutil.rmtree(clients.folder / "trustee-1")
    posts = len(hall.posts)
    told = "trustee-1 does not hold the secrets by which trustee-1 took part .* begin with a new manifest"
    with pytest.raises(Refused, match=told) as caught:
        clients.run(*join(clients, first, wait="0.5"))
    assert caught.value.reason == "wrong-secret" and len(hall.posts) == posts
    assert not (clients.folder / "trustee-1" / "ceremony-1").exists()


def test_a_folder_that_is_lost_after_the_key_is_made(clients: Clients, hall: Hall) -> None:
    first = hall.parties.trustees[0]
    clients.keyed()
    shutil.rmtree(clients.folder / "trustee-1")
    for command in (lambda: clients.run(*join(clients, first)), lambda: clients.trustee("decrypt", first)):
        with pytest.raises(Refused, match="if it is lost, 2 of the other trustees can decrypt without it") as caught:
            command()
        assert caught.value.reason == "wrong-secret"


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clients]:
    """An election after its close."""
    hall = Hall(tmp_path_factory.mktemp("closed"))
    clients = Clients(hall, HOLDINGS).opened()
    clients.run(*clients.vote_args(clients.batch({"A1": ["for"], "A2": ["against"]}), clients.folder / "out"))
    yield clients.closed()
    hall.close()


class TestAnswering:
    """After the close; each test has a trustee of its own."""

    def test_each_answers_once(self, closed: Clients) -> None:
        one = closed.hall.parties.trustees[0]
        assert closed.trustee("decrypt", one) == "decrypt is recorded\n"
        assert closed.trustee("decrypt", one) == "decrypt is recorded already\n"
        assert kinds(closed.hall).count("decrypt") == 1

    def test_a_log_that_ends_otherwise_gets_no_second_answer(self, closed: Clients) -> None:
        signer = closed.hall.parties.trustees[1]
        closing = {"closing": b64(bytes(32)), "contests": {}, "manifest": b64(closed.hall.election.manifest.hash)}
        with open_desk(load_card(closed.card), patience=0) as desk:
            desk.begin()
            one = Trustee(desk, signer, closed.folder / signer.name)
            kept = one.folder / "decrypt"
            kept.touch(mode=0o600)
            kept.write_bytes(one.sealed("decrypt", {**closing, "present": {}, "signer": signer.name}))
            with pytest.raises(Refused, match="answers once, and has for another closing head"):
                one.decrypt()

    def test_a_share_that_is_not_in_the_log(self, closed: Clients) -> None:
        signer = closed.hall.parties.trustees[2]
        share = json.loads((closed.folder / "trustee-1" / "share").read_bytes())
        (closed.folder / signer.name / "share").write_text(json.dumps({**share, "trustee": signer.name}))
        with pytest.raises(Refused, match="is not this trustee's share of the key in the log"):
            closed.trustee("decrypt", signer)

    def test_a_log_that_breaks_the_rules_gets_no_answer(self, closed: Clients) -> None:
        """Tally and two custodians together record a ballot with a false proof: a trustee finds it and stays silent."""
        hall, signer = closed.hall, closed.hall.parties.trustees[2]
        place = kinds(hall).index("ballot")
        right = hall.entries[place]
        hall.forge(place)
        with pytest.raises(NotVerified, match=rf"entry {place} \(ballot\)"):
            closed.trustee("decrypt", signer)
        hall.replace(place, right)
        assert not (closed.folder / signer.name / "decrypt").exists()


def test_all_trustees_at_once(clients: Clients, hall: Hall) -> None:
    with ThreadPoolExecutor() as pool:
        list(pool.map(clients.join, reversed(hall.parties.trustees)))
    assert hall.election.ceremony.confirmed == set(hall.election.ceremony.trustees)
