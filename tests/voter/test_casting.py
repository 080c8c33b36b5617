"""Casting: the same text until it is recorded, one account's fault is no other's, and nobody is told which leaf is
sought.
"""

from __future__ import annotations

import json
from dataclasses import replace
from math import inf
from pathlib import Path

import pytest

from audit.log.reader import ReadError
from audit.protocol.refused import Refused
from audit.receipts import Promise, Recorded, open_kept
from audit.record.entries import parse_entry, read_text
from infra.card import load_card
from infra.keys import KeyFileError
from infra.sealed import SealedError
from infra.table import TableError
from intake.voter.keeping import Keepsake, keep_manifest
from intake.voter.sightings import Sightings
from tests.officials.clients import Clients
from tests.officials.hall import Hall
from tests.simulator.record import MemoryReader
from tests.voter.votes import ballots, vote


def test_what_is_kept_can_be_shown(clients: Clients, tmp_path: Path) -> None:
    clients.run(*vote(clients, tmp_path / "out", "A1"))
    hall = clients.hall
    shown = open_kept((tmp_path / "out" / "A1.tlog-proof").read_bytes(), hall.election.manifest)
    assert isinstance(shown, Recorded) and shown.entry.raw == hall.entries[shown.index]
    promised = open_kept((tmp_path / "out" / "A1.receipt").read_bytes(), hall.election.manifest)
    assert isinstance(promised, Promise) and promised.leaf == shown.entry.leaf
    assert (tmp_path / "out" / "manifest").read_bytes() == hall.entries[0]
    assert shown.entry.text == (tmp_path / "out" / "A1.ballot").read_bytes()


def test_one_voter_with_a_file_of_numbers(clients: Clients, tmp_path: Path) -> None:
    numbers = tmp_path / "numbers"
    numbers.touch(mode=0o600)
    lines = [clients.number_rows(issuer)[1]["control_number"] for issuer in clients.hall.parties.issuers]
    numbers.write_text("\n\n".join(reversed(lines)).lower() + "\n")
    (tmp_path / "choices.toml").write_text('[choices]\nnominee-1 = "abstain"\n')
    files = ["--numbers", numbers, "--choices", tmp_path / "choices.toml", "--out", tmp_path / "out"]
    said = clients.run("vote", "--election", clients.card, *files)
    proof, place = tmp_path / "out" / "ballot.tlog-proof", len(clients.hall.entries) - 1
    assert f"recorded as entry {place} of the log; {proof} proves it" in said.replace("\n", " ") and proof.exists()
    assert "issuer-1 and issuer-2 can tell who votes" in said and "p50" not in said
    numbers.write_text(lines[0])
    said = clients.fails("vote", "--election", clients.card, *files[:-1], tmp_path / "other")
    assert "the 2 issuers sent a number each; 1 is given" in said
    numbers.write_text(f"{lines[0]}\n{lines[1][:-3]}\n")
    with pytest.raises(Refused, match="numbers, line 2: ") as caught:
        clients.run("vote", "--election", clients.card, *files)
    assert lines[1][:5] not in str(caught.value)
    numbers.chmod(0o640)
    with pytest.raises(KeyFileError, match="lets others read it"):
        clients.run("vote", "--election", clients.card, *files)


def test_run_again_nothing_is_cast_twice(clients: Clients, tmp_path: Path) -> None:
    clients.run(*vote(clients, tmp_path / "out", "A1", "A2"))
    count = len(ballots(clients.hall))
    said = clients.run(*vote(clients, tmp_path / "out", "A1", "A2"))
    assert "2 of 2 are recorded already; to vote again, give another --out" in said
    assert "ballots recorded" not in said
    assert len(ballots(clients.hall)) == count


def test_a_later_vote_has_a_higher_revision(clients: Clients, tmp_path: Path) -> None:
    for place in range(3):
        clients.run(*vote(clients, tmp_path / f"out-{place}", "A3"))
    last = ballots(clients.hall)[-3:]
    assert len({entry.fields["pseudonym"] for entry in last}) == 1
    revisions = [entry.fields["revision"] for entry in last]
    assert revisions == [revisions[0], revisions[0] + 1, revisions[0] + 2]


def test_a_ballot_overtaken_by_another_makes_way(clients: Clients, tmp_path: Path) -> None:
    """Two devices vote at once: the one that comes second is refused, sees why in the log, and casts anew."""
    hall, out = clients.hall, tmp_path / "out"
    hall.script = [(503, b"")] * 1000
    clients.fails(*vote(clients, out, "A2", wait="0.5"))
    hall.script = []
    clients.run(*vote(clients, tmp_path / "other", "A2", word="against"))
    said = clients.run(*vote(clients, out, "A2"))
    first, second = ballots(hall)[-2:]
    assert second.fields["revision"] == first.fields["revision"] + 1
    assert "A2: the log held other ballots of this account before: " in said
    assert f"entry {len(hall.entries) - 2} (revision {first.fields['revision']})" in said


@pytest.mark.parametrize("reason", ["revision-lower", "revision-repeated"])
def test_an_intake_is_not_believed_that_another_ballot_came_first(
    clients: Clients, tmp_path: Path, reason: str
) -> None:
    """No revision is raised on its word; what it refuses in vain is handed in again."""
    hall = clients.hall
    clients.run(*vote(clients, tmp_path / "before", "A1"))
    revision = ballots(hall)[-1].fields["revision"]
    lie = json.dumps({"reason": reason, "detail": "no", "field": "revision"}).encode()
    hall.script = [(422, lie)] * 2
    clients.run(*vote(clients, tmp_path / "out", "A1"))
    assert ballots(hall)[-1].fields["revision"] == revision + 1
    hall.script = [(422, lie)] * 1000
    said = clients.fails(*vote(clients, tmp_path / "again", "A1", wait="1"))
    assert f"an intake says: revision: no ({reason}, {hall.url}/" in said and "); the log does not show it" in said


def test_an_intake_that_breaks_its_word_gets_the_same_text_again(clients: Clients, tmp_path: Path) -> None:
    hall = clients.hall
    clients.run(*vote(clients, tmp_path / "before", "A1"))
    hall.posts.clear()
    hall.hold, hall.wait = 2, -1
    clients.run(*vote(clients, tmp_path / "out", "A1"))
    # One of a revision that the log holds already, and then the one that is held back.
    assert len(hall.posts) == 4 and len(set(hall.posts[1:])) == 1


def test_recorded_under_a_line_that_no_receipt_showed(clients: Clients, tmp_path: Path) -> None:
    """The first intake takes the ballot and its answer is lost; the second takes it too; what the first passed on
    counts.
    """
    hall = clients.hall
    hall.lose, hall.wait = True, 1
    said = clients.run(*vote(clients, tmp_path / "out", "A3", wait="8"))
    assert "1 ballots recorded" in said
    promised = open_kept((tmp_path / "out" / "A3.receipt").read_bytes(), hall.election.manifest)
    shown = open_kept((tmp_path / "out" / "A3.tlog-proof").read_bytes(), hall.election.manifest)
    assert isinstance(promised, Promise) and isinstance(shown, Recorded)
    assert (promised.intake, shown.entry.signatures[0].name) == ("intake-2", "intake-1")


def test_every_receipt_is_kept(clients: Clients, tmp_path: Path) -> None:
    hall = clients.hall
    hall.hold, hall.wait = inf, -1
    said = clients.fails(*vote(clients, tmp_path / "out", "A2", wait="2.5"))
    assert "A2: not recorded, and nothing has moved" in said
    assert "(intake-1 took it: its receipt, kept, is evidence of that)" in said
    assert {"A2.receipt", "A2.receipt-2", "A2.receipt-3"} <= {path.name for path in (tmp_path / "out").iterdir()}


def test_a_crash_after_posting_is_made_good(clients: Clients, tmp_path: Path) -> None:
    """The ballot was recorded, and the client stopped before it saw that: run again, it finds it and posts nothing."""
    hall, out = clients.hall, tmp_path / "out"
    hall.hold = inf
    said = clients.fails(*vote(clients, out, "A4", wait="0.5"))
    assert "A4: not recorded, and nothing has moved for 0 s; run again to go on" in said
    hall.release()
    posts = len(hall.posts)
    clients.run(*vote(clients, out, "A4"))
    assert len(hall.posts) == posts and (out / "A4.tlog-proof").exists()


def test_a_crash_before_posting_hands_in_the_text_kept(clients: Clients, tmp_path: Path) -> None:
    hall, out = clients.hall, tmp_path / "out"
    hall.script = [(503, b"")] * 1000
    clients.fails(*vote(clients, out, "A5", wait="0.5"))
    kept = (out / "A5.ballot").read_bytes()
    hall.script = []
    clients.run(*vote(clients, out, "A5"))
    assert set(hall.posts) == {kept} and ballots(hall)[-1].text == kept


def test_one_refused_does_not_stop_the_others(clients: Clients, tmp_path: Path) -> None:
    clients.hall.script = [(422, json.dumps({"reason": "bad-proof", "detail": "no", "field": "contests"}).encode())]
    said = clients.fails(*vote(clients, tmp_path / "out", "A1", "A2", "A3"))
    assert "2 ballots recorded" in said and ": contests: no" in said
    assert len(list((tmp_path / "out").glob("*.tlog-proof"))) == 2


def test_a_ballot_that_the_log_refuses_has_failed(clients: Clients, tmp_path: Path) -> None:
    hall = clients.hall
    hall.refusing, hall.wait = True, -1
    said = clients.fails(*vote(clients, tmp_path / "out", "A1"))
    assert "A1: the log refuses this ballot: came too late" in said


def test_an_intake_that_does_not_answer_is_named(clients: Clients, tmp_path: Path) -> None:
    clients.hall.script = [(503, b"")] * 1000
    said = clients.fails(*vote(clients, tmp_path / "out", "A4", wait="0.5"))
    assert f"(no intake answered ({clients.hall.url}/" in said and ": status 503))" in said
    assert "ballots recorded" not in said


def test_files_are_missed_before_anything_is_waited_for(clients: Clients, tmp_path: Path) -> None:
    """Under this card nothing is ever recorded."""
    card = load_card(clients.card)
    other = tmp_path / "card.toml"
    other.write_text(replace(card, intakes=("http://127.0.0.1:1",), custodians=("http://127.0.0.1:1",)).to_toml())
    args = ["vote", "--election", other, "--out", tmp_path / "out", "--wait", "0"]
    numbers = tmp_path / "numbers"
    with pytest.raises(KeyFileError, match="numbers: No such file"):
        clients.run(*args, "--numbers", numbers, "--choices", other)
    numbers.touch(mode=0o600)
    for option in ("--choices", "--batch"):
        with pytest.raises(FileNotFoundError, match="nothing.here"):
            clients.run(*args, "--numbers", numbers, option, tmp_path / "nothing.here")


def test_accounts_without_numbers_are_all_named(clients: Clients, tmp_path: Path) -> None:
    with pytest.raises(TableError) as caught:
        clients.run(*vote(clients, tmp_path / "out", "A1", "B1", "B2"))
    assert caught.value.faults == [
        f"line {line}, column 1 (account_id) = '{account}': has 0 control numbers of 2"
        for line, account in ((3, "B1"), (4, "B2"))
    ]


def test_numbers_of_two_accounts_are_on_no_roll(clients: Clients, tmp_path: Path) -> None:
    second = clients.hall.parties.issuers[1]
    found = clients.number_rows(second)
    found[0]["account_id"], found[1]["account_id"] = found[1]["account_id"], found[0]["account_id"]
    mixed = tmp_path / "mixed"
    clients.write_rows(mixed, second.name, found)
    args = vote(clients, tmp_path / "out", "A1")
    said = clients.fails(*(mixed if arg == clients.numbers(second) else arg for arg in args))
    assert "A1: these control numbers are not on this roll" in said


def test_tables_are_opened_by_their_own_locks(clients: Clients, tmp_path: Path) -> None:
    first, second = (clients.lock(issuer.name) for issuer in clients.hall.parties.issuers)
    args = vote(clients, tmp_path / "out", "A1")
    swapped = {first: second, second: first}
    with pytest.raises(SealedError, match="issuer-1.sealed: the key is another one, or the file has been changed"):
        clients.run(*(swapped.get(arg, arg) for arg in args))
    # One for all, and another one of three: neither is taken for what was meant.
    with pytest.raises(SealedError, match="issuer-2.sealed"):
        clients.run(*(arg for i, arg in enumerate(args) if arg != second and args[i + 1 : i + 2] != [second]))
    assert not (tmp_path / "out").exists()


def test_nobody_is_told_which_leaf_is_sought(clients: Clients, tmp_path: Path) -> None:
    """What is asked of a custodian is a function of the sizes of the log: whole tiles of the whole tree."""
    hall = clients.hall
    clients.run(*vote(clients, tmp_path / "out", "A1"))
    size = len(hall.entries)
    hashes = {path for path in hall.asked if path.startswith("tile/0/")}
    assert hashes and all(int(path.rpartition(".p/")[2]) <= size for path in hashes)


def test_a_folder_keeps_one_election(clients: Clients, tmp_path: Path) -> None:
    manifest = parse_entry(clients.hall.entries[0])
    keep_manifest(tmp_path / "out", manifest)
    keep_manifest(tmp_path / "out", manifest)
    other = read_text(manifest.text.replace(b"Annual meeting 2026", b"Annual meeting 2027"))
    with pytest.raises(FileExistsError, match="is the manifest of another election"):
        keep_manifest(tmp_path / "out", other)
    assert not Keepsake(tmp_path, "A1").any


class TestSightings:
    """A custodian that lies or stands still."""

    def test_a_lie_about_a_place_is_found_out(self, clients: Clients, tmp_path: Path) -> None:
        hall = clients.hall
        clients.run(*vote(clients, tmp_path / "out", "A1"))
        honest, liar, wanted = FromHall(hall), FromHall(hall), ballots(hall)[-1]
        liar.swapped = True
        sightings = Sightings([liar, honest], hall.election.manifest, 0)
        assert list(sightings.look([wanted])) == [wanted.identity]
        with pytest.raises(ReadError, match="bad-proof|does not lead"):
            Sightings([liar], hall.election.manifest, 0).look([wanted])

    def test_one_that_shows_nothing_is_passed_over(self, clients: Clients, tmp_path: Path) -> None:
        hall, empty = clients.hall, MemoryReader({})
        clients.run(*vote(clients, tmp_path / "out", "A1"))
        wanted = ballots(hall)[-1]
        assert list(Sightings([empty, FromHall(hall)], hall.election.manifest, 0).look([wanted])) == [wanted.identity]
        with pytest.raises(ReadError, match="shows no checkpoint"):
            Sightings([empty], hall.election.manifest, 0).look([wanted])

    def test_nothing_is_found_before_it_is_there(self, clients: Clients) -> None:
        hall = clients.hall
        wanted = ballots(hall)[-1]
        assert Sightings([FromHall(hall)], hall.election.manifest, len(hall.entries)).look([wanted]) == {}


class FromHall:
    """Reads a hall's log without a network; `swapped` tells two neighbours' leaves for each other."""

    def __init__(self, hall: Hall) -> None:
        self.hall = hall
        self.swapped = False

    def checkpoint(self) -> bytes | None:
        return self.hall.get("checkpoint")[1]

    def rekeys(self) -> None:
        return None

    def tile(self, level: int, index: int, width: int) -> bytes:
        raw = self.hall.get(f"tile/{level}/{index:03d}" + (f".p/{width}" if width < 256 else ""))[1]
        return raw[-64:-32].join([raw[:-64] + raw[-32:], b""]) if self.swapped and level == 0 else raw

    def bundle(self, index: int, width: int) -> bytes:
        return self.hall.get(f"tile/entries/{index:03d}" + (f".p/{width}" if width < 256 else ""))[1]
