"""A ballot is handed in, here or at another intake, until W custodians hold it or the log refuses it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from math import inf
from pathlib import Path

import pytest

from audit.protocol.control_number import format_control_number, parse_control_number
from audit.protocol.group import b64
from audit.protocol.refused import Refused
from audit.receipts import Promise, Recorded, open_kept
from audit.record.admission import signer_of
from audit.record.entries import make_text, parse_entry, seal
from infra.card import load_card
from infra.follow import Unreadable
from intake.voter.booth import open_booth
from intake.voter.casting import Ballot
from intake.voter.commands import cast
from intake.voter.keeping import Keepsake
from intake.voter.orders import Order
from tests.officials.clients import Clients
from tests.officials.hall import Hall
from tests.simulator.dice import Dice
from tests.simulator.parties import ORIGIN
from tests.voter.test_orders import printed
from tests.voter.votes import ballots, vote


@contextmanager
def another_door(hall: Hall, clients: Clients) -> Iterator[list[bytes]]:
    """The second intake of this election, honest, beside the first; the card names both. What it was handed."""
    handed: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            handed.append(self.rfile.read(int(self.headers["content-length"])))
            first, hall.intake, hall.hold, hall.script = (hall.intake, hall.hold, hall.script), 1, 0, []
            hall.refusing, hall.wait = False, 60
            hall.held.clear()
            status, body = hall.post(handed[-1])
            hall.intake, hall.hold, hall.script = first
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Tests say what went wrong themselves."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    kept, card = clients.card.read_text(), load_card(clients.card)
    urls = (*card.intakes, f"http://127.0.0.1:{server.server_address[1]}")
    clients.card.write_text(replace(card, intakes=urls).to_toml())
    try:
        yield handed
    finally:
        clients.card.write_text(kept)
        server.shutdown()
        server.server_close()
        thread.join()


def test_another_intake_takes_what_one_has_kept_to_itself(clients: Clients, tmp_path: Path) -> None:
    """The first promises, and passes nothing on. The receipt it broke stays as evidence."""
    hall, out = clients.hall, tmp_path / "out"
    hall.hold, hall.wait = inf, -1
    with another_door(hall, clients) as handed:
        said = clients.run(*vote(clients, out, "A1"))
    assert "1 ballots recorded" in said
    assert handed == [ballots(hall)[-1].text] and handed[0] in hall.posts
    first, second = (open_kept((out / f"A1.{name}").read_bytes(), hall.election.manifest) for name in RECEIPTS)
    assert isinstance(first, Promise) and isinstance(second, Promise)
    assert (first.intake, second.intake) == ("intake-1", "intake-2")
    shown = open_kept((out / "A1.tlog-proof").read_bytes(), hall.election.manifest)
    assert isinstance(shown, Recorded) and shown.entry.signatures[0].name == "intake-2"


RECEIPTS = ("receipt", "receipt-2")


def test_no_deadline_keeps_a_voter_from_another_intake(clients: Clients, tmp_path: Path) -> None:
    """The first promises for the day after the vote, and passes nothing on: it is believed for ten batch waits."""
    hall = clients.hall
    hall.hold, hall.wait = inf, 1 << 40
    with another_door(hall, clients):
        said = clients.run(*vote(clients, tmp_path / "out", "A1", wait="15"))
    assert "1 ballots recorded" in said and ballots(hall)[-1].signatures[0].name == "intake-2"


@pytest.mark.parametrize(("wait", "set_back"), [(None, 0), (None, 172_800), (10.0, 0), (10.0, 172_800)])
def test_a_voter_who_sets_no_bound_is_not_given_up_on_while_intakes_are_relied_on(
    clients: Clients, tmp_path: Path, wait: float | None, set_back: float
) -> None:
    """Two keep it to themselves, for six seconds each that pass by pauses alone; also if the clock is set back by two
    days in the first of them."""
    hall, begun, passed = clients.hall, time.time(), [0.0]

    def sleep(seconds: float) -> None:
        passed[0] += seconds
        assert passed[0] < 100

    def clock() -> float:
        return begun + passed[0] - (set_back if passed[0] > 1 else 0)

    hall.hold, hall.wait = 2, 1 << 40
    codes = [parse_control_number(number) for number in printed(clients, 3)]
    order = Order("A3", codes, None, {"nominee-1": (1, 0, 0)})
    with open_booth(load_card(clients.card), patience=wait) as booth:
        made = replace(booth, patience=10.0, clock=clock, monotonic=lambda: 1 + passed[0], sleep=sleep)
        tally = cast(made, [order], tmp_path, 1)
    assert ("A3" in tally.places) == (wait is None)
    assert [why.partition(" (")[0] for why in tally.failed.values()] == (
        [] if wait is None else ["not recorded, and nothing has moved for 10 s; run again to go on"]
    )


def test_run_again_another_intake_is_begun_with(clients: Clients, tmp_path: Path) -> None:
    """Long before the deadline: whoever gave a receipt in vain is not the first that is asked the next time."""
    hall, out = clients.hall, tmp_path / "out"
    hall.hold, hall.wait = inf, 3_600
    with another_door(hall, clients) as handed:
        clients.fails(*vote(clients, out, "A2", wait="0.5"))
        assert not handed
        said = clients.run(*vote(clients, out, "A2", wait="3"))
    assert "1 ballots recorded" in said and len(handed) == 1


def test_once_all_have_given_receipts_in_vain_any_is_begun_with(clients: Clients) -> None:
    with open_booth(replace(load_card(clients.card), intakes=("http://127.0.0.1:1", "http://127.0.0.1:2"))) as booth:
        assert [booth.first_turn(receipts) for receipts in (0, 1)] == [0, 1]
        assert {replace(booth, clock=lambda now=now: now).first_turn(2) % 2 for now in (8.0, 9.0)} == {0, 1}


def test_what_one_refuses_is_handed_in_again_while_another_is_silent(clients: Clients, tmp_path: Path) -> None:
    hall, card = clients.hall, clients.card.read_text()
    hall.script = [(422, CLOSED)] * 2
    clients.card.write_text(replace(load_card(clients.card), intakes=(hall.url, "http://127.0.0.1:1")).to_toml())
    try:
        assert "1 ballots recorded" in clients.run(*vote(clients, tmp_path / "out", "A1"))
        hall.script = [(422, CLOSED)] * 1000
        said = clients.fails(*vote(clients, tmp_path / "other", "A1", wait="0.5")).replace("\n", " ")
    finally:
        clients.card.write_text(card)
    assert "nothing has moved" in said and f"refused: it is refused (closed, {hall.url}/{ORIGIN}/entries)" in said


def test_a_refusal_without_a_sentence_is_named(clients: Clients, tmp_path: Path) -> None:
    clients.hall.script = [(422, CLOSED)] * 10
    said = clients.fails(*vote(clients, tmp_path / "out", "A1"))
    assert f"A1: it is refused (closed, {clients.hall.url}/{ORIGIN}/entries)" in said


CLOSED = json.dumps({"reason": "closed", "detail": "", "field": ""}).encode()


@pytest.mark.parametrize("answer", [(503, b""), (422, CLOSED)])
def test_another_intake_takes_what_one_does_not(clients: Clients, tmp_path: Path, answer: tuple[int, bytes]) -> None:
    """Nor does what one says keep the client from what another says: that a ballot of this account came first."""
    clients.run(*vote(clients, tmp_path / "before", "A2"))
    hall = clients.hall
    hall.script = [answer] * 10
    with another_door(hall, clients) as handed:
        clients.run(*vote(clients, tmp_path / "out", "A2"))
    assert ballots(hall)[-1].signatures[0].name == "intake-2" and ballots(hall)[-1].text in handed


@pytest.mark.parametrize("cards_order", [1, -1])
def test_one_lies_and_the_key_of_the_other_was_just_replaced(
    clients: Clients, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cards_order: int
) -> None:
    """The first says that voting is closed. The second takes the ballot under a key that the client does not know yet:
    whatever of it does not hold, it is not refused, and the log shows it.
    """
    hall, rekeyed = clients.hall, Dice(55 + cards_order).signers("intake-2")[0]
    post, parties = hall.post, hall.parties

    def post_to_the_rekeyed(raw: bytes) -> tuple[int, bytes]:
        if hall.parties.intakes[1] != rekeyed:
            keys = {"new": [rekeyed.vkey], "old": [parties.intakes[1].vkey]}
            body = {"kind": "intake", "manifest": b64(hall.election.manifest.hash), "name": rekeyed.name, **keys}
            hall.record(seal(make_text("rekey", ORIGIN, body), parties.officials[:2]))
            hall.parties = replace(parties, intakes=(parties.intakes[0], rekeyed))
        return post(raw)

    monkeypatch.setattr(hall, "post", post_to_the_rekeyed)
    try:
        with another_door(hall, clients):
            card = load_card(clients.card)
            clients.card.write_text(replace(card, intakes=card.intakes[::cards_order]).to_toml())
            hall.script = [(422, CLOSED)] * 100
            said = clients.run(*vote(clients, tmp_path / "out", "A1"))
    finally:
        hall.script = []
    assert "1 ballots recorded" in said and signer_of(ballots(hall)[-1]) == "intake-2"


def test_an_intake_that_spoils_its_line_costs_nothing(clients: Clients, tmp_path: Path) -> None:
    """It does not answer, and has the log refuse the ballot in its name; what another intake took is not refused."""
    hall = clients.hall
    hall.script = [(503, b"")] * 10
    with another_door(hall, clients) as handed:
        hall.hold = inf

        def spoiled(raw: bytes) -> tuple[int, bytes]:
            spoil(hall, raw)
            return 503, b""

        post, hall.post = hall.post, lambda raw: spoiled(raw) if not handed else post(raw)  # type: ignore[method-assign]
        try:
            said = clients.run(*vote(clients, tmp_path / "out", "A3"))
        finally:
            hall.post = post  # type: ignore[method-assign]
    assert "1 ballots recorded" in said


def test_a_refusal_counts_for_the_intake_in_whose_name_it_is(clients: Clients, tmp_path: Path) -> None:
    hall = clients.hall
    clients.run(*vote(clients, tmp_path / "out", "A4"))
    text = ballots(hall)[-1].text
    entries = [parse_entry(seal(text, [intake])) for intake in hall.parties.intakes]
    ballot = Ballot(Keepsake(tmp_path, "A"), b"", bytes, print, {entry.leaf: entry for entry in entries})
    first, second = [(ballot.identity, signer_of(entry), entry.leaf) for entry in entries]
    assert ballot.refused_by({first: "closed"}) == ""
    assert ballot.refused_by({first: "closed", second: "late"}) == "closed"
    # Of other bytes than the second has promised.
    assert ballot.refused_by({first: "closed", (*second[:2], bytes(32)): "bad-signature"}) == ""


def spoil(hall: Hall, raw: bytes) -> None:
    line = hall.parties.intakes[0]
    hall.refuse(parse_entry(seal(raw, [line])))


def test_a_refusal_ends_it(clients: Clients, tmp_path: Path) -> None:
    hall = clients.hall
    hall.refusing, hall.wait = True, -1
    count = len(ballots(hall))
    said = clients.fails(*vote(clients, tmp_path / "out", "A4"))
    assert "A4: the log refuses this ballot: came too late" in said and len(ballots(hall)) == count


# What a voter is told


def test_no_custodian_is_reached(clients: Clients, tmp_path: Path) -> None:
    card = clients.folder / "unreached.toml"
    dead = ("http://127.0.0.1:1", "http://127.0.0.1:2")
    card.write_text(replace(load_card(clients.card), custodians=dead).to_toml())
    args = [card if arg == clients.card else arg for arg in vote(clients, tmp_path / "out", "A1")]
    with pytest.raises(Unreadable) as caught:
        clients.run(*args)
    assert all(f"{url}/{ORIGIN}/checkpoint: cannot be reached: Connection refused" in str(caught.value) for url in dead)


def test_a_card_with_another_hash(clients: Clients, tmp_path: Path) -> None:
    card = clients.folder / "other.toml"
    card.write_text(replace(load_card(clients.card), manifest=bytes(32)).to_toml())
    args = [card if arg == clients.card else arg for arg in vote(clients, tmp_path / "out", "A1")]
    with pytest.raises(Unreadable, match="this manifest has the hash .*, not AAAAAAAA"):
        clients.run(*args)


def test_before_the_opening(tmp_path: Path) -> None:
    hall = Hall(tmp_path)
    clients = Clients(hall, {"A1": ("common", 5)})
    try:
        clients.founded()
        for issuer in hall.parties.issuers:
            clients.write_rows(clients.numbers(issuer), issuer.name, [NUMBERS])
        with pytest.raises(Refused, match="voting is not open yet") as caught:
            clients.run(*vote(clients, tmp_path / "out", "A1"))
    finally:
        hall.close()
    assert caught.value.reason == "not-open" and not (tmp_path / "out").exists()


CODE = format_control_number(Dice(1).code())
NUMBERS = {"account_id": "A1", "class": "common", "revision": "0", "control_number": CODE}


def test_after_the_close(tmp_path: Path) -> None:
    hall = Hall(tmp_path)
    try:
        clients = Clients(hall, {"A1": ("common", 5), "A2": ("common", 6)}).opened()
        clients.closed()
        said = clients.fails(*vote(clients, tmp_path / "out", "A1"))
    finally:
        hall.close()
    assert "A1: type: voting is closed: this ballot came too late" in said
