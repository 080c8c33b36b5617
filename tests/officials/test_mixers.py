"""Mixers: each at its turn, for a log that was verified, with secrets that nothing keeps and entries that are kept."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from audit.protocol.group import b64, scalar_bytes
from audit.protocol.refused import Refused
from audit.record.entries import make_text, parse_entry, seal
from audit.record.mixes import mix_chunks
from audit.verify import NotVerified
from infra.card import load_card
from infra.desk import Desk, GaveUp, open_desk
from tally.officials.mixer import Mixer
from tally.officials.trustee import fresh_scalar
from tests.officials.clients import Clients
from tests.officials.hall import Hall
from tests.simulator.dice import Dice
from tests.simulator.meeting import Meeting
from tests.simulator.mixers import altered_weight, told
from tests.simulator.parties import ORIGIN, Parties, contest

HOLDINGS = {"A1": ("common", 5), "A2": ("common", 30), "A3": ("common", 700), "B1": ("preferred", 9)}
ITEMS = [contest("nominee-1", classes=["common", "preferred"])]


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers as threads: the processes that commands start take longer than all that is done here."""

    @contextmanager
    def executor() -> Iterator[Executor]:
        with ThreadPoolExecutor(1) as workers:
            yield workers

    monkeypatch.setattr("tally.officials.mixer.executor", executor)
    monkeypatch.setattr("tally.officials.verified.executor", executor)


@pytest.fixture
def hall(tmp_path: Path) -> Iterator[Hall]:
    made = Hall(tmp_path, Parties.drawn(Dice(7), mixers=2))
    yield made
    made.close()


@pytest.fixture
def clients(hall: Hall) -> Clients:
    """At an election whose rolls are issued and signed."""
    return Clients(hall, HOLDINGS, ITEMS).seated(meeting(hall).rolls())


def meeting(hall: Hall) -> Meeting:
    return Meeting({"common": (5, 30, 700), "preferred": (9,)}, ITEMS, parties=hall.parties).found().ceremony()


@pytest.fixture
def desk(clients: Clients) -> Iterator[Desk]:
    with open_desk(load_card(clients.card), patience=5) as opened:
        opened.begin()
        yield opened


def kinds(hall: Hall) -> list[str]:
    return [parse_entry(raw).kind for raw in hall.entries]


def test_a_mixed_election(hall: Hall, tmp_path: Path) -> None:
    clients = Clients(hall, HOLDINGS, ITEMS).founded().keyed().enrolled()
    one, two = hall.parties.mixers
    said = clients.mix(one)
    assert "mixer-1's mix of the roll of common is recorded: 3 rows, 1 entries" in said
    assert "roll of preferred has 1 rows, and is not anonymous" in said
    clients.mix(two)
    assert hall.election.roll("common").mixers == hall.election.roll("preferred").mixers == ("mixer-1", "mixer-2")
    clients.act("open")
    batch = clients.batch({"A1": ["for"], "A3": ["against"], "B1": ["for"]})
    said = clients.run(*clients.vote_args(batch, tmp_path / "receipts"))
    assert "3 ballots recorded" in said and "not mixed" not in said
    clients.closed()
    for trustee in hall.parties.trustees[:2]:
        clients.trustee("decrypt", trustee)
    clients.act("certify")
    assert hall.election.result is not None
    assert hall.election.result["contests"] == {"nominee-1": {"for": 14, "against": 700, "abstain": 0}}


def test_a_mixer_waits_for_its_turn(clients: Clients, hall: Hall) -> None:
    two = hall.parties.mixers[1]
    with pytest.raises(GaveUp, match="mixer-1 to mix the roll of common; mixer-1 to mix the roll of preferred"):
        clients.run(*clients.mix_args(two, wait=0.5))
    assert "mix" not in kinds(hall)


def test_a_mixer_waits_for_the_rolls_to_be_signed(hall: Hall) -> None:
    held = meeting(hall)
    clients = Clients(hall, HOLDINGS, ITEMS).seated(held)
    with pytest.raises(GaveUp, match="the issuers to publish the roll of common"):
        clients.run(*clients.mix_args(hall.parties.mixers[0], wait=0.5))
    clients.seated(unsigned(held.rolls()))
    with pytest.raises(GaveUp, match="issuer-2 to sign the roll of common; inspector to sign the roll of common"):
        clients.run(*clients.mix_args(hall.parties.mixers[0], wait=0.5))


def unsigned(held: Meeting) -> Meeting:
    held.entries = [raw for raw in held.entries if parse_entry(raw).kind != "roll-signed"]
    return held


def test_the_status_says_whose_turn_it_is(clients: Clients, hall: Hall) -> None:
    status = ("election", "status", "--election", clients.card)
    assert "waiting for mixer-1 to mix the roll of common" in clients.run(*status)
    clients.mixed()
    said = clients.run(*status)
    assert "mixer" not in said and "waiting for the officials to open" in said


def test_mixing_again_changes_nothing(clients: Clients, hall: Hall) -> None:
    clients.mix(hall.parties.mixers[0])
    size = len(hall.entries)
    assert "mixer-1 has mixed every roll already" in clients.mix(hall.parties.mixers[0])
    assert len(hall.entries) == size


def test_a_strangers_key_mixes_nothing(clients: Clients, hall: Hall) -> None:
    with pytest.raises(Refused, match="is no mixer of this election"):
        clients.mix(hall.parties.issuers[0])


def test_entries_are_kept_before_they_are_handed_in_and_secrets_never(
    clients: Clients, hall: Hall, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[int] = []

    def draw() -> int:
        drawn.append(fresh_scalar())
        return drawn[-1]

    kept: list[set[bytes]] = []

    def post(raw: bytes) -> Any:
        files = [path for path in folder.iterdir() if path.suffix != ".part"]
        assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in files)
        kept.append({path.read_bytes() for path in files})
        assert any(raw in content for content in kept[-1])
        return original(raw)

    folder, original = clients.folder / "mixer-1", hall.post
    monkeypatch.setattr(hall, "post", post)
    Mixer(desk, hall.parties.mixers[0], folder, draw).mix(lambda said: None)
    # A seed and an exponent for each roll; of them, and of the order of the new keys, follows all else.
    assert len(kept) == 2 and len(drawn) == 2 * 2
    everything = b"".join(path.read_bytes() for path in clients.folder.rglob("*") if path.is_file())
    for scalar in drawn:
        assert b64(scalar_bytes(scalar)).encode() not in everything and scalar_bytes(scalar) not in everything


def test_a_mix_is_handed_in_again_after_a_crash(clients: Clients, hall: Hall) -> None:
    """The door falls silent once it has the first roll's mix; the second run hands in the very same entries."""
    hall.script = [None, *[(503, b"")] * 1000]
    with pytest.raises(GaveUp):
        clients.run(*clients.mix_args(hall.parties.mixers[0], wait=1))
    hall.script = []
    (before,) = {raw for raw in hall.posts if b'"class":"preferred"' in raw and raw.startswith(b"psephos/v1 mix")}
    clients.mix(hall.parties.mixers[0])
    assert hall.entries[-1] == before
    assert hall.election.roll("preferred").mixers == ("mixer-1",)


def test_a_mixer_that_lost_its_folder_begins_anew(
    clients: Clients, hall: Hall, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One of two chunks is recorded, the other is lost with the disk."""
    chunk_by_row(monkeypatch)
    hall.script = [None, *[(503, b"")] * 1000]
    with pytest.raises(GaveUp):
        clients.run(*clients.mix_args(hall.parties.mixers[0], wait=1))
    hall.script = []
    assert hall.election.mixings["common"].attempt == 0
    for path in (tmp_path / "mixer-1").iterdir():
        path.unlink()
    clients.mixed()
    attempts = [parse_entry(raw).body["attempt"] for raw in hall.entries if parse_entry(raw).kind == "mix"]
    assert attempts == [0, 1, 1, 1, 0, 0, 0, 0, 0]
    assert hall.election.roll("common").mixers == ("mixer-1", "mixer-2")


def chunk_by_row(monkeypatch: pytest.MonkeyPatch) -> None:
    def chunks(head: Any, rows: Any) -> Iterator[Any]:
        for body in mix_chunks(head, rows):
            of = len(body["rows"])
            for i, row in enumerate(body["rows"]):
                yield {**body, "first": i, "part": {**body["part"], "index": i, "of": of}, "rows": [row]}

    monkeypatch.setattr("tally.officials.mixer.mix_chunks", chunks)
    monkeypatch.setattr("audit.record.mixes.LEAST_ROWS", 1)


def test_a_mixer_verifies_what_was_mixed_before(clients: Clients, hall: Hall) -> None:
    """Log and custodians have taken a mix whose proof does not hold; the next mixer does not work for it."""
    clients.mix(hall.parties.mixers[0])
    at = kinds(hall).index("mix")
    (body,) = told([parse_entry(hall.entries[at]).body], altered_weight)
    hall.replace(at, seal(make_text("mix", ORIGIN, body), [hall.parties.mixers[0]]))
    size = len(hall.entries)
    with pytest.raises(NotVerified, match=r"entry \d+ \(mix\): proof: mixer-1 does not prove"):
        clients.mix(hall.parties.mixers[1])
    assert len(hall.entries) == size


def test_a_mix_that_tally_refuses_is_reported(clients: Clients, hall: Hall) -> None:
    hall.refusing = True
    with pytest.raises(Refused, match="the log holds a refusal of this mix"):
        clients.mix(hall.parties.mixers[0])


def test_no_opening_before_all_have_mixed(clients: Clients, hall: Hall) -> None:
    clients.mix(hall.parties.mixers[0])
    with pytest.raises(GaveUp, match="mixer-2 has not mixed the roll of common"):
        keys = clients.keys(hall.parties.officials[:2])
        clients.run("election", "open", "--election", clients.card, *keys, "--wait", "0.5")
