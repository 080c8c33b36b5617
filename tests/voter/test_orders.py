"""What was cast is what was ordered: whatever an earlier run left in the folder, no voter is told otherwise."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import intake.voter.orders
from audit.protocol.control_number import parse_control_number
from audit.protocol.refused import Refused
from audit.record.entries import read_text
from infra.card import load_card
from intake.voter.booth import Booth, History, open_booth
from intake.voter.casting import Ballot, ballot_text
from intake.voter.choices import Selections
from intake.voter.keeping import Keepsake
from intake.voter.orders import Order, Paper, take_up
from tests.officials.clients import Clients
from tests.voter.votes import ballots, vote

WORDS = {"for": (1, 0, 0), "against": (0, 1, 0), "abstain": (0, 0, 1)}


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> dict[bytes, Selections]:
    """The choices of every ballot made, by its text."""
    found: dict[bytes, Selections] = {}

    def noted(election: Any, holder: Any, selections: Selections, *rest: Any) -> bytes:
        text = ballot_text(election, holder, selections, *rest)
        found[text] = selections
        return text

    monkeypatch.setattr(intake.voter.orders, "ballot_text", noted)
    return found


def single(clients: Clients, folder: Path, account: int, word: str, out: Path, wait: str = "5") -> list[str | Path]:
    """The command for one voter, counted from 1."""
    numbers, choices = folder / f"numbers-{account}", folder / f"{word}.toml"
    numbers.touch(mode=0o600)
    numbers.write_text("".join(f"{number}\n" for number in printed(clients, account)))
    choices.write_text(f'[choices]\nnominee-1 = "{word}"\n')
    files = ["--numbers", numbers, "--choices", choices, "--out", out, "--wait", wait]
    return ["vote", "--election", clients.card, *files]


def printed(clients: Clients, account: int) -> list[str]:
    return [clients.number_rows(issuer)[account - 1]["control_number"] for issuer in clients.hall.parties.issuers]


def unanswered(clients: Clients, *args: str | Path) -> None:
    """Runs a vote that no intake answers."""
    clients.hall.script = [(503, b"")] * 1000
    clients.fails(*args)
    clients.hall.script = []
    clients.hall.posts.clear()


@pytest.mark.parametrize("batch", [False, True])
def test_a_mind_changed_while_intake_was_away(
    clients: Clients, tmp_path: Path, made: dict[bytes, Selections], batch: bool
) -> None:
    def args(word: str, wait: str) -> list[str | Path]:
        if batch:
            return vote(clients, tmp_path / "out", "A1", word=word, wait=wait)
        return single(clients, tmp_path, 1, word, tmp_path / "out", wait)

    unanswered(clients, *args("for", "0.5"))
    kept = next((tmp_path / "out").glob("*.ballot")).read_bytes()
    clients.run(*args("against", "5"))
    assert kept not in clients.hall.posts
    assert made[ballots(clients.hall)[-1].text]["nominee-1"] == WORDS["against"]


def test_a_mind_changed_after_intake_took_the_ballot(
    clients: Clients, tmp_path: Path, made: dict[bytes, Selections]
) -> None:
    """Whichever comes first, the later order has the higher revision and counts."""
    hall, out = clients.hall, tmp_path / "out"
    hall.hold = 1
    clients.fails(*vote(clients, out, "A2", wait="0.5"))
    clients.run(*vote(clients, out, "A2", word="against"))
    before, last = ballots(hall)[-2:]
    assert made[before.text]["nominee-1"] == WORDS["for"] and made[last.text]["nominee-1"] == WORDS["against"]
    assert last.fields["revision"] == before.fields["revision"] + 1


@pytest.mark.parametrize("batch", [False, True])
def test_other_choices_than_those_recorded_are_not_called_cast(clients: Clients, tmp_path: Path, batch: bool) -> None:
    def args(word: str) -> list[str | Path]:
        out = tmp_path / "out"
        return vote(clients, out, "A1", word=word) if batch else single(clients, tmp_path, 1, word, out)

    clients.run(*args("for"))
    count = len(clients.hall.posts)
    said = clients.fails(*args("against"))
    assert "NOT cast: the ballot that" in said and "to vote again, give another --out" in said
    assert "recorded already" not in said and len(clients.hall.posts) == count
    assert "1 of 1 are recorded already" in clients.run(*args("for"))


def test_one_order_that_cannot_be_cast_does_not_stop_the_others(clients: Clients, tmp_path: Path) -> None:
    clients.run(*vote(clients, tmp_path / "out", "A1"))
    said = clients.fails(*vote(clients, tmp_path / "out", "A1", "A2", word="against"))
    assert "A1: NOT cast" in said and "1 ballots recorded" in said
    assert (tmp_path / "out" / "A2.tlog-proof").exists()


@pytest.mark.parametrize("recorded", [False, True])
def test_the_folder_of_another_account(clients: Clients, tmp_path: Path, recorded: bool) -> None:
    out = tmp_path / "out"
    if recorded:
        clients.run(*single(clients, tmp_path, 3, "for", out))
    else:
        unanswered(clients, *single(clients, tmp_path, 3, "for", out, wait="0.5"))
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    count = len(clients.hall.posts)
    said = clients.fails(*single(clients, tmp_path, 4, "for", out))
    name = "ballot.tlog-proof" if recorded else "ballot.ballot"
    assert f"NOT cast: {name} belongs to other control numbers than these; give another --out" in said
    assert len(clients.hall.posts) == count
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


@pytest.mark.parametrize("kind", ["empty", "receipt", "cut off", "another's"])
def test_a_proof_that_proves_nothing(clients: Clients, tmp_path: Path, kind: str) -> None:
    clients.run(*vote(clients, tmp_path / "from", "A1", "A2"))
    proof = (tmp_path / "from" / "A1.tlog-proof").read_bytes()
    false = {
        "empty": b"",
        "receipt": (tmp_path / "from" / "A1.receipt").read_bytes(),
        "cut off": proof[:-100],
        "another's": (tmp_path / "from" / "A2.tlog-proof").read_bytes(),
    }
    out, count = tmp_path / "out", len(clients.hall.posts)
    shutil.copytree(tmp_path / "from", out)
    (out / "A1.tlog-proof").write_bytes(false[kind])
    said = clients.fails(*vote(clients, out, "A1"))
    assert "A1: NOT cast: A1.tlog-proof " in said and "recorded already" not in said
    assert len(clients.hall.posts) == count


def test_without_its_mark_a_ballot_is_of_unknown_choices(clients: Clients, tmp_path: Path) -> None:
    out = tmp_path / "out"
    clients.run(*vote(clients, out, "A1"))
    mark = out / "A1.mark"
    assert mark.stat().st_mode & 0o777 == 0o600
    mark.unlink()
    assert "not known to be of these choices" in clients.fails(*vote(clients, out, "A1"))


def test_a_later_ballot_counts(clients: Clients, tmp_path: Path) -> None:
    """Another folder has a later one of other choices: that this one is recorded is no longer the whole truth."""
    clients.run(*vote(clients, tmp_path / "one", "A4"))
    clients.run(*vote(clients, tmp_path / "two", "A4", word="against"))
    said = clients.fails(*vote(clients, tmp_path / "one", "A4"))
    assert "A4: NOT cast: " in said and "a later one of this account counts" in said
    (tmp_path / "one" / "A4.tlog-proof").unlink()
    assert "a later one of this account counts" in clients.fails(*vote(clients, tmp_path / "one", "A4"))


# Without the command


@pytest.fixture
def booth(clients: Clients) -> Iterator[Booth]:
    with open_booth(load_card(clients.card), patience=5) as opened:
        yield opened


def order(clients: Clients, word: str, account: int = 1) -> Order:
    codes = [parse_control_number(number) for number in printed(clients, account)]
    return Order("A", codes, None, {"nominee-1": WORDS[word]})


def paper(booth: Booth, order: Order, kept: Keepsake) -> Paper:
    return Paper(booth, order, order.holder(booth.opening), kept)


def taken_up(booth: Booth, order: Order, kept: Keepsake) -> Ballot:
    ballot = take_up(booth, order, order.holder(booth.opening), kept, History())
    assert ballot is not None
    return ballot


def test_two_processes_in_one_folder(clients: Clients, booth: Booth, tmp_path: Path) -> None:
    """Both found nothing there; the second comes upon the ballot of the first, and does not hand it in as its own."""
    kept = Keepsake(tmp_path, "A")
    one, two = (taken_up(booth, order(clients, word), kept) for word in ("for", "against"))
    text = one.text()
    with pytest.raises(Refused) as caught:
        two.text()
    assert caught.value.reason == "other-choices"
    assert one.text() == text


def test_a_crash_between_mark_and_ballot(
    clients: Clients, booth: Booth, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Keepsake(tmp_path, "A")
    with monkeypatch.context() as patch:
        patch.setattr("intake.voter.keeping.stored", lambda path, make: crash(make()))
        with pytest.raises(InterruptedError):
            paper(booth, order(clients, "for"), kept).text()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("A")] == ["A.mark"]
    ballot = taken_up(booth, order(clients, "against"), kept)
    assert ballot.text() == ballot.text() == kept.ballot.read_bytes()


def crash(text: bytes) -> bytes:
    raise InterruptedError


def test_a_crash_after_a_ballot_was_set_aside(clients: Clients, booth: Booth, tmp_path: Path) -> None:
    """Whatever becomes of those set aside, what is made next has a higher revision than all of them."""
    kept = Keepsake(tmp_path, "A")
    for word in ("for", "against", "for"):
        taken_up(booth, order(clients, word), kept).text()
    kept.set_aside()
    assert read_text(taken_up(booth, order(clients, "for"), kept).text()).fields["revision"] == 3
    assert [ballot.fields["revision"] for ballot in kept.set_asides()] == [0, 1, 2]


def test_a_mark_is_of_its_ballot_its_choices_and_its_holder(clients: Clients, booth: Booth, tmp_path: Path) -> None:
    texts = [paper(booth, order(clients, "for"), Keepsake(tmp_path, name)).text() for name in ("one", "two")]
    entries = [read_text(text) for text in texts]
    one, other = order(clients, "for"), order(clients, "for", account=2)
    marks = {
        one.mark(booth.manifest, one.holder(booth.opening), entries[0]),
        one.mark(booth.manifest, one.holder(booth.opening), entries[1]),
        one.mark(booth.manifest, other.holder(booth.opening), entries[0]),
        order(clients, "against").mark(booth.manifest, one.holder(booth.opening), entries[0]),
    }
    assert len(marks) == 4
    assert one.mark(booth.manifest, one.holder(booth.opening), entries[0]) in marks


def test_no_secret_is_shown(clients: Clients) -> None:
    shown = repr(order(clients, "for"))
    assert "codes" not in shown and "selections" not in shown
