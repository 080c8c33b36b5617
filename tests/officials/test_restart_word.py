"""The officials' word that a log may go on without some custodians: who signs it, and what it may say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from time import time

import pytest

from audit.log.checkpoint import LogPolicy
from audit.protocol.group import b64
from audit.protocol.refused import Refused
from audit.record.manifest import Manifest, load_manifest
from audit.record.restart import Restart, check_restart, open_restart, restart_text
from tests.officials.clients import Clients
from tests.officials.hall import Hall
from tests.simulator.meeting import Meeting

UNTIL, DAY = 1_800_000_000, 86_400
HOLDINGS = {"A1": ("common", 5), "A2": ("common", 30)}


@pytest.fixture(scope="module")
def meeting() -> Meeting:
    return Meeting().found()


@pytest.fixture
def clients(hall: Hall) -> Clients:
    made = Clients(hall, HOLDINGS).created()
    made.run("election", "sign", made.draft, *made.keys(hall.parties.officials[:2]))
    return made


def signed(meeting: Meeting, officials: int = 2, **changes: object) -> bytes:
    body = {"least": 0, "manifest": meeting.hash, "until": UNTIL, "without": ["custodian-c"], **changes}
    return meeting.signed("restart", body, *meeting.parties.officials[:officials])


def refusal(meeting: Meeting, raw: bytes) -> str:
    with pytest.raises(Refused) as refused:
        open_restart(raw, meeting.manifest)
    return refused.value.reason


def test_officials_sign_it_in_turn_and_it_says_what_they_sign(clients: Clients, hall: Hall, tmp_path: Path) -> None:
    word, officials, before = tmp_path / "word", hall.parties.officials, int(time())
    said = clients.run(
        "election", "restart-word", clients.draft, "--without", "custodian-c", "--least", "7", "--days", "2",
        "--out", word, *clients.keys(officials[:1]),
    )  # fmt: skip
    assert "the log goes on without: custodian-c" in said and "it had at least 7 entries" in said
    assert "this counts until 20" in said
    manifest, _ = load_manifest(clients.draft)
    with pytest.raises(Refused, match="signed by 2 of the 3 officials"):
        open_restart(word.read_bytes(), manifest)
    clients.run("election", "sign", word, *clients.keys(officials[1:2]))
    opened = open_restart(word.read_bytes(), manifest)
    assert opened == Restart(frozenset({"custodian-c"}), 7, opened.until)
    assert 2 * DAY - 60 < opened.until - before <= 2 * DAY + 60


def test_a_quorum_of_officials_and_nobody_else(meeting: Meeting) -> None:
    assert open_restart(signed(meeting), meeting.manifest).without == {"custodian-c"}
    assert refusal(meeting, signed(meeting, officials=1)) == "wrong-signers"
    body = {"least": 0, "manifest": meeting.hash, "until": UNTIL, "without": ["custodian-c"]}
    forged = meeting.signed("restart", body, *meeting.parties.trustees[:2])
    assert refusal(meeting, forged) == "wrong-signers"


def test_of_this_election_and_of_this_type(meeting: Meeting) -> None:
    assert refusal(meeting, signed(meeting, manifest=b64(bytes(32)))) == "another-election"
    notice = meeting.resolution("notice", subject="incident", text="The lights went out.")
    assert refusal(meeting, notice) == "wrong-phase"


@pytest.mark.parametrize(
    ("without", "least", "reason"),
    [
        (["custodian-d"], 0, "unknown-key"),
        (["custodian-a", "custodian-b", "custodian-c"], 9, "not-complete"),
        (["custodian-a", "custodian-b"], 0, "not-complete"),
    ],
)
def test_what_it_may_not_say(meeting: Meeting, without: list[str], least: int, reason: str) -> None:
    assert refusal(meeting, signed(meeting, without=without, least=least)) == reason
    with pytest.raises(Refused) as refused:
        restart_text(meeting.manifest, without, least, UNTIL)
    assert refused.value.reason == reason


def test_so_many_left_out_that_published_entries_may_be_lost_need_a_least_size(meeting: Meeting) -> None:
    word = signed(meeting, without=["custodian-a", "custodian-b"], least=12)
    assert open_restart(word, meeting.manifest).least == 12
    manifest: Manifest = meeting.manifest
    policy = LogPolicy(manifest.log.origin, manifest.log.log, manifest.log.custodians, 3)
    check_restart(Restart(frozenset({"custodian-a", "custodian-b"}), 0, UNTIL), replace(manifest, log=policy))


def test_it_names_a_time_that_signers_can_be_shown(meeting: Meeting) -> None:
    assert refusal(meeting, signed(meeting, until=253_402_300_800)) == "out-of-range"
    assert open_restart(signed(meeting, until=253_402_300_799), meeting.manifest).until == 253_402_300_799


def test_it_is_never_admitted_to_the_log(meeting: Meeting) -> None:
    with pytest.raises(Refused) as refused:
        meeting.add(signed(meeting))
    assert refused.value.reason == "wrong-phase"
