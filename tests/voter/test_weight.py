"""What one's row weighs: opened from the issued roll, which is read whole, before and after it is mixed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import typer

from audit.protocol.control_number import format_control_number
from audit.protocol.elgamal import encrypt
from audit.protocol.refused import Refused
from audit.record.entries import parse_entry
from intake.voter.holder import find_row
from intake.voter.weight import Issued, Weighed, as_issued, weigh
from tests.officials.clients import Clients
from tests.officials.hall import Hall
from tests.simulator.dice import Dice
from tests.simulator.meeting import Account, Meeting
from tests.simulator.parties import Parties, contest

HOLDINGS = {"common": (5, 30, 119_067_887), "preferred": (9, 4)}
ITEMS = [contest("nominee-1", classes=["common", "preferred"])]


@pytest.fixture(scope="module")
def mixed() -> Meeting:
    return Meeting(HOLDINGS, ITEMS, parties=Parties.drawn(Dice(2), mixers=2)).prepared()


@pytest.fixture(scope="module")
def issued(mixed: Meeting) -> Issued:
    return as_issued(mixed.entries, mixed.manifest.hash)


def test_every_row_is_weighed(mixed: Meeting, issued: Issued) -> None:
    for account in mixed.accounts:
        rows = len(HOLDINGS[account.share_class])
        assert weigh(issued, account.codes) == Weighed(account.share_class, account.row, rows, account.weight)


def test_numbers_come_in_any_order(mixed: Meeting, issued: Issued) -> None:
    account = mixed.accounts[2]
    assert weigh(issued, account.codes[::-1]).votes == account.weight
    assert find_row(mixed.election, account.codes[::-1], mixed.election.anonymous_roll).roll.share_class == "common"


def test_what_is_read_ends_once_every_class_is_mixed(mixed: Meeting) -> None:
    def read() -> Iterator[bytes]:
        begun = set()
        for raw in mixed.entries:
            yield raw
            entry = parse_entry(raw)
            begun |= {entry.fields["class"]} if entry.kind == "mix" else set()
            assert begun != {"common", "preferred"}

    issued = as_issued(read(), mixed.manifest.hash)
    assert all(issued.roll(share_class).mixers == () for share_class in HOLDINGS)


def test_a_class_is_issued_again_while_another_is_mixed() -> None:
    """All its holders have new numbers, and those of the class that is mixed the ones they had."""
    meeting = Meeting(HOLDINGS, ITEMS, parties=Parties.drawn(Dice(2), mixers=2)).found().ceremony().rolls()
    publish_mix(meeting, "common", "mixer-1")
    again = reissued(meeting, "preferred")
    early = as_issued(meeting.entries, meeting.manifest.hash)
    for mixer, share_class in (("mixer-1", "preferred"), ("mixer-2", "common"), ("mixer-2", "preferred")):
        publish_mix(meeting, share_class, mixer)
    meeting.open()
    for issued in (early, as_issued(meeting.entries, meeting.manifest.hash)):
        for account in (*meeting.accounts[:3], *again):
            assert weigh(issued, account.codes).votes == account.weight
        with pytest.raises(Refused, match="not on this roll"):
            weigh(issued, meeting.accounts[3].codes)


def publish_mix(meeting: Meeting, share_class: str, name: str) -> None:
    mixer = next(key for key in meeting.parties.mixers if key.name == name)
    for body in meeting.mix_chunks(share_class, name):
        meeting.add(meeting.signed("mix", body, mixer))


def reissued(meeting: Meeting, share_class: str) -> list[Account]:
    """The accounts of a class with new numbers, published and signed."""
    accounts = [
        meeting.register(share_class, old.row, old.weight, (), 1)
        for old in meeting.accounts
        if old.share_class == share_class
    ]
    for k, issuer in enumerate(meeting.parties.issuers):
        for body in meeting.roll_chunks(share_class, accounts, k, 1):
            meeting.add(meeting.signed("roll", body, issuer))
    for witness in meeting.parties.issuers[1:] + meeting.parties.inspectors:
        meeting.countersign(share_class, witness)
    return accounts


def test_a_mixed_roll_is_not_weighed(mixed: Meeting) -> None:
    with pytest.raises(Refused) as caught:
        weigh(Issued(mixed.election, {}), mixed.accounts[0].codes)
    assert caught.value.reason == "wrong-weight"


@pytest.mark.parametrize("which", ["another account's", "one twice", "a stranger's"])
def test_wrong_but_well_formed_numbers(mixed: Meeting, issued: Issued, which: str) -> None:
    one, other = mixed.accounts[:2]
    codes = {
        "another account's": (one.codes[0], other.codes[1]),
        "one twice": (one.codes[0], one.codes[0]),
        "a stranger's": (one.codes[0], Dice(99).code()),
    }[which]
    with pytest.raises(Refused, match="not on this roll") as caught:
        weigh(issued, codes)
    assert caught.value.reason == "unknown-pseudonym"


def test_too_few_numbers(mixed: Meeting, issued: Issued) -> None:
    with pytest.raises(Refused) as caught:
        weigh(issued, mixed.accounts[0].codes[:1])
    assert caught.value.reason == "wrong-length"


def test_a_weight_under_another_randomness(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first issuer's own trick would show when the roll is checked; the holder finds it too."""
    register = Meeting.register

    def cheating(meeting: Meeting, share_class: str, row: int, weight: int) -> Account:
        account = register(meeting, share_class, row, weight)
        return replace(account, E=encrypt(weight, meeting.election.Y, 12345)) if row == 0 else account

    meeting = Meeting({"common": (5, 30)}).found().ceremony()
    accounts = [cheating(meeting, "common", row, weight) for row, weight in enumerate((5, 30))]
    rows = {account.pseudonym.raw: account.E.raw for account in accounts}
    honest = Meeting({"common": (5, 30)}).found().ceremony().rolls()
    honest.election.rolls["common"] = replace(honest.election.roll("common"), rows=rows)
    with pytest.raises(Refused, match="issuer-1") as caught:
        weigh(Issued(honest.election, {}), accounts[0].codes)
    assert caught.value.reason == "wrong-weight"


# The command


@pytest.fixture(scope="module")
def clients(mixed: Meeting, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clients]:
    hall = Hall(tmp_path_factory.mktemp("weight"), mixed.parties)
    yield Clients(hall, {}).seated(mixed)
    hall.close()


def asked(clients: Clients, account: Account) -> tuple[str, list[str]]:
    """What the command says, and what the server has been asked."""
    numbers = clients.folder / "numbers.txt"
    numbers.unlink(missing_ok=True)
    numbers.touch(mode=0o600)
    numbers.write_text("\n".join(format_control_number(code) for code in account.codes))
    clients.hall.asked.clear()
    said = clients.run("vote", "--check-weight", "--election", clients.card, "--numbers", numbers, "--wait", "5")
    return said, list(clients.hall.asked)


def test_the_command_says_how_many_votes(mixed: Meeting, clients: Clients) -> None:
    said, _ = asked(clients, mixed.accounts[2])
    assert said == "119,067,887 votes on the roll of common: row 3 of the 3 that were issued\n"


def test_the_server_is_asked_the_same_whoever_asks(mixed: Meeting, clients: Clients) -> None:
    questions = [asked(clients, account)[1] for account in (mixed.accounts[0], mixed.accounts[4])]
    assert questions[0] == questions[1]
    assert all(path.startswith(("checkpoint", "rekeys", "tile/")) for path in questions[0])


def test_it_casts_nothing(mixed: Meeting, clients: Clients, tmp_path: Path) -> None:
    with pytest.raises((typer.BadParameter, AssertionError)):
        clients.run("vote", "--check-weight", "--election", clients.card, "--numbers", "n", "--out", tmp_path)
    assert not clients.hall.posts
