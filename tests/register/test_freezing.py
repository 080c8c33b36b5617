"""A register is frozen for the record date: whoever keeps it signs what it holds, and no other is used afterwards."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from audit.log.keys import Signer
from audit.protocol.refused import Refused
from audit.record.entries import parse_entry, seal
from intake.register.freezing import expect_frozen, lines, snapshot
from intake.register.holdings import COLUMNS, open_register
from tests.simulator.meeting import Meeting
from tests.simulator.parties import contest

ROWS = {
    "A1": {"class": "common", "shares": "60"},
    "A2": {"class": "common", "shares": "45"},
    "A3": {"class": "common", "shares": "5", "nominee_parent": "A2"},
    "A4": {"class": "common", "shares": "9", "group_id": "treasury"},
    "A5": {"class": "preferred", "shares": "7"},
}
Rows = dict[str, dict[str, str]]


@pytest.fixture(scope="module")
def meeting() -> Meeting:
    holdings = {"common": (105,), "preferred": (7,)}
    return Meeting(holdings, [contest("nominee-1", classes=["common", "preferred"])]).found()


@pytest.fixture
def issuer(meeting: Meeting) -> Signer:
    return meeting.parties.issuers[1]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write(tmp_path / "register.csv", ROWS)


def write(path: Path, rows: Rows) -> Path:
    given = {"holder_id": "H", "name": "Ann", "email": "ann@example.com", "language": "en"}
    table = [",".join(COLUMNS)]
    for account, row in rows.items():
        table.append(",".join({**dict.fromkeys(COLUMNS, ""), **given, "account_id": account, **row}.values()))
    path.write_text("\n".join(table) + "\n")
    return path


def changed(account: str, **values: str) -> Rows:
    return {**ROWS, account: {**ROWS[account], **values}}


def freeze(meeting: Meeting, path: Path, signer: Signer) -> Path:
    out = path.with_name("snapshot")
    out.write_bytes(snapshot(meeting.manifest, open_register(path, meeting.manifest), signer))
    return out


def expect(reason: str, act: Callable[[], object]) -> Refused:
    with pytest.raises(Refused) as caught:
        act()
    assert caught.value.reason == reason
    return caught.value


def test_a_frozen_register_is_known_again(meeting: Meeting, issuer: Signer, path: Path) -> None:
    frozen = freeze(meeting, path, issuer)
    kept = open_register(path, meeting.manifest)
    entry = expect_frozen(frozen, meeting.manifest, kept, issuer)
    assert (entry.kind, entry.fields["record_date"]) == ("snapshot", "2026-04-01")
    assert lines(meeting.manifest, kept) == [
        "common: 4 accounts hold 114 shares, 9 of them the company's own; 3 vote, with 105 votes",
        "preferred: 1 accounts hold 7 shares; 1 vote, with 7 votes",
    ]


def test_rows_in_another_order_are_the_same_register(meeting: Meeting, issuer: Signer, path: Path) -> None:
    frozen = freeze(meeting, path, issuer)
    write(path, dict(reversed(ROWS.items())))
    expect_frozen(frozen, meeting.manifest, open_register(path, meeting.manifest), issuer)


def test_a_name_or_an_address_may_be_mended(meeting: Meeting, issuer: Signer, path: Path) -> None:
    frozen = freeze(meeting, path, issuer)
    write(path, changed("A1", name="Anne", email="", postal_address="1 High Street", language="fr"))
    expect_frozen(frozen, meeting.manifest, open_register(path, meeting.manifest), issuer)


@pytest.mark.parametrize(
    ("rows", "what"),
    [
        (changed("A1", holder_id="H2"), "as many accounts and shares in all, held otherwise"),
        (changed("A1", group_id="G"), "as many accounts and shares in all, held otherwise"),
        (changed("A3", nominee_parent="A1"), "as many accounts and shares in all, held otherwise"),
        (changed("A4", shares="10"), "common had 114 shares, now 115; common had 9 treasury, now 10"),
        ({**changed("A1", shares="61"), "A2": {**ROWS["A2"], "shares": "44"}}, "held otherwise"),
        ({**changed("A1", shares="59"), "A6": {"class": "common", "shares": "1"}}, "common had 4 accounts, now 5"),
    ],
)
def test_another_register_is_not_used(meeting: Meeting, issuer: Signer, path: Path, rows: Rows, what: str) -> None:
    frozen = freeze(meeting, path, issuer)
    other = open_register(write(path, rows), meeting.manifest)
    refusal = expect("another-register", lambda: expect_frozen(frozen, meeting.manifest, other, issuer))
    assert what in refusal.detail and "issuer-2 froze" in refusal.detail


def test_nobody_uses_what_another_froze(meeting: Meeting, issuer: Signer, path: Path) -> None:
    frozen = freeze(meeting, path, meeting.parties.issuers[0])
    kept = open_register(path, meeting.manifest)
    expect("wrong-signers", lambda: expect_frozen(frozen, meeting.manifest, kept, issuer))
    expect("wrong-signers", lambda: snapshot(meeting.manifest, kept, meeting.parties.officials[0]))


def test_a_snapshot_of_another_election(meeting: Meeting, issuer: Signer, path: Path) -> None:
    frozen = freeze(meeting, path, issuer)
    other = Meeting(meeting.holdings, list(meeting.body["contests"]), seed=2, parties=meeting.parties).found()
    kept = open_register(path, other.manifest)
    expect("another-election", lambda: expect_frozen(frozen, other.manifest, kept, issuer))


def test_a_note_that_is_no_snapshot(meeting: Meeting, issuer: Signer, path: Path) -> None:
    frozen = path.with_name("snapshot")
    fields = {"class": "common", "hash": "A" * 43, "manifest": meeting.hash, "signer": issuer.name}
    frozen.write_bytes(meeting.signed("roll-signed", fields, issuer))
    kept = open_register(path, meeting.manifest)
    expect("unknown-kind", lambda: expect_frozen(frozen, meeting.manifest, kept, issuer))


def test_a_snapshot_is_as_it_was_signed(meeting: Meeting, issuer: Signer, path: Path) -> None:
    frozen = freeze(meeting, path, issuer)
    raw, kept = frozen.read_bytes(), open_register(path, meeting.manifest)
    for i in range(0, len(raw), 7):
        frozen.write_bytes(raw[:i] + bytes([raw[i] ^ 1]) + raw[i + 1 :])
        with pytest.raises(Refused):
            expect_frozen(frozen, meeting.manifest, kept, issuer)
    text = parse_entry(raw).text
    frozen.write_bytes(seal(text, [issuer, meeting.parties.issuers[0]]))
    expect("wrong-signers", lambda: expect_frozen(frozen, meeting.manifest, kept, issuer))


def test_a_manifest_without_a_record_date(path: Path) -> None:
    meeting = Meeting({"common": (105,), "preferred": (7,)}, [contest("n", classes=["common", "preferred"])])
    meeting.body["times"]["record_date"] = ""
    manifest = meeting.found().manifest
    kept = open_register(path, manifest)
    assert expect("missing-field", lambda: snapshot(manifest, kept, meeting.parties.issuers[0])).field
