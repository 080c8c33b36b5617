"""An outbox is copied while it works, and restored: nothing promised is forgotten, nothing is said twice, and a copy
tells nothing that the log does not.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text

from audit.protocol.group import b64
from audit.record.entries import Entry, parse_entry
from audit.record.voting import reconcile_root
from infra.backup import BackupError
from infra.keys import KeyFileError
from intake.door import watch
from intake.door.copies import back_up, restore
from intake.door.receipt import deadline
from intake.door.schema import metadata
from tests.door.conftest import Client, Place, signed
from tests.door.test_closing import reconciliations, tally
from tests.door.test_rekeying import replace_key, waiting_keys
from tests.loopback import wait_until
from tests.simulator.dice import Dice
from tests.simulator.meeting import Meeting

BETWEEN, PRESENT = Dice(81).signers("intake-1"), Dice(82).signers("intake-1")


def copy(place: Place, path: Path) -> Path:
    back_up(place.engine, place.meeting.manifest, place.intake, path)
    return path


def put_back(place: Place, path: Path) -> int:
    return restore(place.engine, place.meeting.manifest, place.intake, path)


def lose(place: Place) -> None:
    """The database is gone, and another one, empty, in its place."""
    from infra import seen

    with place.owner.begin() as connection:
        for table in (*metadata.sorted_tables, *seen.metadata.sorted_tables):
            connection.execute(text(f"TRUNCATE {table.name}"))


def told(place: Place, path: Path) -> list[dict[str, object]]:
    """The rows of a copy."""
    return [json.loads(line) for line in path.read_bytes().splitlines()[1:-1]]


def handed_in(place: Place, client: Client, *accounts: int) -> list[tuple[bytes, dict[str, str]]]:
    return [(raw, client.accepted(raw)) for raw in map(place.text, accounts)]


def test_what_was_copied_is_promised_as_before_and_recorded_once(place: Place, tmp_path: Path) -> None:
    with place.running() as client:
        settled = handed_in(place, client, 0)
        wait_until(lambda: place.tally() != [])
        wait_until(lambda: place.waiting == 0)
        waiting = handed_in(place, client, 1, 2)
        path = copy(place, tmp_path / "outbox")
    lose(place)
    assert put_back(place, path) == 3
    place.queue.batches.clear()
    with place.running() as client:
        wait_until(lambda: client.ready)
        assert [client.post(raw).json() for raw, _ in settled + waiting] == [answer for _, answer in settled + waiting]
        # Those that wait are passed on at once; the settled one never again.
        wait_until(lambda: len(place.queue.entries) >= 2)
        assert set(place.queue.entries) == {signed(raw, answer["line"]).raw for raw, answer in waiting}
        place.tally()
        wait_until(lambda: place.waiting == 0)
    recorded = [parse_entry(raw).identity for raw in place.meeting.entries if raw.startswith(b"psephos/v1 ballot")]
    assert len(recorded) == len(set(recorded)) == 3


def test_a_copy_of_more_than_one_page(place: Place, tmp_path: Path) -> None:
    many = "INSERT INTO accepted SELECT :origin, sha256(n::text::bytea), 'ballot', sha256(n::text::bytea), n"
    with place.owner.begin() as connection:
        connection.execute(text(f"{many} FROM generate_series(1, 600) n"), {"origin": place.meeting.origin})
    path = copy(place, tmp_path / "outbox")
    lose(place)
    assert (put_back(place, path), put_back(place, path)) == (600, 0)
    before = path.read_bytes().splitlines()
    assert copy(place, tmp_path / "again").read_bytes().splitlines()[:-1] == before[:-1]


def test_what_was_promised_after_the_copy_is_learned_from_the_log(place: Place, tmp_path: Path) -> None:
    with place.running() as client:
        path = copy(place, tmp_path / "outbox")
        ((raw, first),) = handed_in(place, client, 0)
        wait_until(lambda: place.tally() != [])
    lose(place)
    put_back(place, path)
    with place.running() as client:
        wait_until(lambda: client.ready)
        answer = client.post(raw)
        # A refusal would say that somebody else's ballot stands there.
        assert answer.status_code == 200
        assert answer.json()["line"] == first["line"]
        assert parse_entry(answer.json()["receipt"].encode()).fields["leaf"] == signed(raw, first["line"]).leaf
        assert client.refused(place.text(0, (0, 1, 0)))["reason"] == "revision-repeated"


def test_an_old_copy_is_passed_on_again_and_settled_by_what_stands_in_the_log(place: Place, tmp_path: Path) -> None:
    with place.running() as client:
        handed_in(place, client, 0, 1)
        path = copy(place, tmp_path / "outbox")
        wait_until(lambda: len(place.tally()) > 0 and len(place.queue.entries) == 2)
        place.tally()
    lose(place)
    put_back(place, path)
    assert place.waiting == 2
    with place.running() as client:
        wait_until(lambda: client.ready and place.waiting == 0)


def test_a_restored_outbox_gives_no_second_account(place: Place, tmp_path: Path) -> None:
    """The first is in the log. Nor does it take a ballot after it, whatever a custodian shows."""
    with place.running() as client:
        path = copy(place, tmp_path / "outbox")
        handed_in(place, client, 0)
        wait_until(lambda: place.tally() != [])
        client.read_closing()
        wait_until(lambda: reconciliations(place) != [])
    first = reconciliations(place)[0]
    place.board.record(first.raw)
    lose(place)
    put_back(place, path)
    place.queue.batches.clear()
    with place.running() as client:
        wait_until(lambda: client.ready)
    assert reconciliations(place) == []
    # Before its loss, it could as well have been shown this.
    opened = next(i for i, raw in enumerate(place.meeting.entries) if raw.startswith(b"psephos/v1 open\n"))
    place.board.publish(opened + 1)
    with place.running() as client:
        assert client.refused(place.text(1))["reason"] == "closed"


def accounted(place: Place, client: Client) -> list[Entry]:
    wait_until(lambda: client.ready)
    wait_until(lambda: reconciliations(place) != [])
    return reconciliations(place)


@pytest.fixture
def no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "WAITS", 0)


@pytest.mark.usefixtures("no_wait")
def test_an_account_that_is_still_on_its_way_is_given_again_in_the_same_bytes(place: Place, tmp_path: Path) -> None:
    with place.running() as client:
        path = copy(place, tmp_path / "outbox")
        handed_in(place, client, 0)
        wait_until(lambda: place.tally() != [])
        client.read_closing()
        (first,) = accounted(place, client)
    lose(place)
    put_back(place, path)
    with place.running() as client:
        assert {entry.raw for entry in accounted(place, client)} == {first.raw}


@pytest.mark.usefixtures("no_wait")
def test_a_restored_outbox_that_knows_less_than_the_log_gives_no_account(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refusal bears no line of this intake: nothing shows that the refused ballot came from here."""
    said = list[str]()
    monkeypatch.setattr(watch.log, "error", said.append)
    with place.running() as client:
        path = copy(place, tmp_path / "outbox")
        handed_in(place, client, 0)
        wait_until(lambda: place.tally() != [])
        body = {"detail": "", "intake": "intake-1", "kind": "ballot", "manifest": place.meeting.hash}
        other = parse_entry(place.meeting.signed("ballot", place.body(1), place.intake))
        refusal = {**body, "identity": b64(other.identity), "leaf": b64(other.leaf), "reason": "bad-proof"}
        place.board.record(place.meeting.signed("refusal", refusal, place.meeting.parties.log[0]))
        client.read_closing()
    lose(place)
    put_back(place, path)
    place.queue.batches.clear()
    with place.running() as client:
        wait_until(lambda: client.ready)
        wait_until(lambda: said == ["cannot-account"])
        assert reconciliations(place) == []
    # One that was never restored accounts for what it knows, and so shows that tally has made this up.
    with place.owner.begin() as connection:
        connection.execute(text("DELETE FROM restored"))
    with place.running() as client:
        (account,) = accounted(place, client)
        (ballot,) = (parse_entry(raw) for raw in place.meeting.entries if raw.startswith(b"psephos/v1 ballot"))
        assert (account.fields["count"], account.fields["root"]) == reconcile_root([ballot.identity])


def test_a_restored_outbox_waits_for_what_may_still_be_on_its_way(place: Place, tmp_path: Path) -> None:
    """A ballot is in the queue, forgotten by its intake: an account without it would be false."""
    place.queue.silent = True
    with place.running() as client:
        path = copy(place, tmp_path / "outbox")
        ((raw, answer),) = handed_in(place, client, 0)
        client.read_closing()
    entry = signed(raw, answer["line"])
    lose(place)
    put_back(place, path)
    place.queue.silent = False
    with place.running() as client:
        wait_until(lambda: client.ready)
        tally(place, entry.raw)
        (account,) = accounted(place, client)
    assert (account.fields["count"], account.fields["root"]) == reconcile_root([entry.identity])


def test_a_ballot_that_the_log_refused_before_it_was_forgotten_does_not_keep_the_vote_open(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "WAITS", 0)
    with place.running() as client:
        ((raw, answer),) = handed_in(place, client, 0)
        entry = signed(raw, answer["line"])
        fields = {"detail": "", "identity": b64(entry.identity), "intake": "intake-1", "kind": "ballot"}
        body = {**fields, "leaf": b64(entry.leaf), "manifest": place.meeting.hash, "reason": "bad-proof"}
        place.board.record(place.meeting.signed("refusal", body, place.meeting.parties.log[0]))
        wait_until(lambda: place.waiting == 0)
    lose(place)
    with place.running() as client:
        client.accepted(raw)
        client.read_closing()
        (account,) = accounted(place, client)
    assert account.fields["count"] == 1


# The file.


def test_a_copy_tells_nothing_of_order_and_of_time_no_more_than_the_log(place: Place, tmp_path: Path) -> None:
    with place.running() as client:
        handed_in(place, client, 2, 0, 1)
        wait_until(lambda: len(place.queue.entries) == 3)
        path = copy(place, tmp_path / "outbox")
    rows = told(place, path)
    assert {tuple(sorted(row)) for row in rows} == {("deadline", "drained", "entry", "identity", "kind", "leaf")}
    with place.engine.connect() as connection:
        stored = connection.scalars(text("SELECT identity FROM accepted ORDER BY identity")).all()
    assert [row["identity"] for row in rows] == [b64(bytes(identity)) for identity in stored]
    assert path.stat().st_mode & 0o777 == 0o600


def test_deadlines_are_whole_batch_waits() -> None:
    assert {deadline(1000.0 + step / 10, 60.0) for step in range(200)} == {1620}
    assert deadline(1020.0, 60.0) == 1620
    assert deadline(1020.1, 60.0) == 1680
    assert 0 <= deadline(time.time(), 0.5) - time.time() - 5 <= 1


Damage = Callable[[bytes], bytes]
DAMAGES: dict[str, tuple[Damage, str]] = {
    "empty": (lambda raw: b"", "is damaged: it ends too early"),
    "another file": (lambda raw: b"[]\n" + raw, "is no copy: its first line does not say"),
    "cut within a line": (lambda raw: raw[:-10], "is damaged: it ends within line 4"),
    "cut after a row": (lambda raw: lines(raw, 0, 1, 2), "is damaged: line 3 is not as it was written"),
    "a row left out": (lambda raw: lines(raw, 0, 1, 3), "is damaged: its 1 rows are not the 2"),
    "a row twice": (lambda raw: lines(raw, 0, 1, 1, 2, 3), "is damaged: its 3 rows are not the 2"),
    "rows exchanged": (lambda raw: lines(raw, 0, 2, 1, 3), "is damaged: its 2 rows are not the 2"),
    "a changed deadline": (lambda raw: raw.replace(b'{"deadline":1', b'{"deadline":2', 1), "is damaged: its 2 rows"),
    "another intake's": (lambda raw: raw.replace(b'"intake-1"', b'"intake-2"', 1), "`intake` is 'intake-2', not"),
    "another log's": (lambda raw: raw.replace(b'"origin":"', b'"origin":"x', 1), "`origin` is 'xvote"),
    "a queue's": (lambda raw: b'{"format":"psephos/v1 backup","of":"queue"}\n' + raw, "`intake` is '', not 'intake-1'"),
    "a key left out": (lambda raw: raw.replace(b'"kind":"ballot",', b"", 1), "is damaged: line 2"),
}


def lines(raw: bytes, *places: int) -> bytes:
    """These lines of a copy."""
    all_lines = raw.splitlines(keepends=True)
    return b"".join(all_lines[place] for place in places)


@pytest.mark.parametrize("case", DAMAGES)
def test_a_damaged_or_foreign_copy_is_refused_by_name_and_changes_nothing(
    place: Place, tmp_path: Path, case: str
) -> None:
    damage, said = DAMAGES[case]
    ballots = [place.meeting.signed("ballot", place.body(account), place.intake) for account in (0, 1)]
    place.outbox.accept([(parse_entry(raw), 1_700_000_000) for raw in ballots])
    path = copy(place, tmp_path / "outbox")
    lose(place)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(BackupError) as error:
        put_back(place, path)
    assert str(error.value).startswith(f"{path}: ") and said in str(error.value)
    assert place.waiting == 0 and not place.outbox.restored()


@pytest.mark.parametrize("change", ["identity = sha256('x')", "kind = 'notice'", "leaf = sha256('x')"])
def test_a_promise_of_another_entry_than_the_one_that_waits(place: Place, tmp_path: Path, change: str) -> None:
    """Whoever had a key of this intake once could sign that: the log would settle the entry, and never the promise."""
    raw = place.meeting.signed("ballot", place.body(0), place.intake)
    place.outbox.accept([(parse_entry(raw), 1_700_000_000)])
    with place.owner.begin() as connection:
        for table in ("accepted",) if change.startswith("leaf") else ("accepted", "outbox"):
            connection.execute(text(f"UPDATE {table} SET {change}"))
    path = copy(place, tmp_path / "outbox")
    lose(place)
    with pytest.raises(BackupError, match="is damaged: it holds another entry than the one promised as"):
        put_back(place, path)
    assert place.waiting == 0


def test_a_copy_that_another_key_has_signed(place: Place, tmp_path: Path) -> None:
    """Whoever keeps the copies cannot make the intake account for what it never promised."""
    other = place.meeting.parties.intakes[1]
    path = tmp_path / "outbox"
    forger = type(other)(place.intake.name, other.verifier.type, bytes(32))
    back_up(place.engine, place.meeting.manifest, forger, path)
    with pytest.raises(BackupError, match="is not signed as such a copy is: the line by intake-1 is of key"):
        restore(place.engine, place.meeting.manifest, place.intake, path, [place.board])


@pytest.fixture
def replaced_twice(place: Place, tmp_path: Path) -> Path:
    """A copy signed with the key between the first and the present one, and with a ballot that waits with its line."""
    place.queue.silent = True
    place.keys = (place.intake, *BETWEEN)
    with place.running() as client:
        replace_key(place, BETWEEN)
        wait_until(lambda: client.post(place.text(1)).is_success)
        wait_until(lambda: waiting_keys(place) == {BETWEEN[0].verifier.key_id})
    path = tmp_path / "outbox"
    back_up(place.engine, place.meeting.manifest.history[0], BETWEEN[0], path)
    replace_key(place, PRESENT)
    place.keys, place.queue.silent = PRESENT, False
    lose(place)
    return path


def test_a_copy_signed_with_a_key_between_the_first_and_the_present_one(place: Place, replaced_twice: Path) -> None:
    first = place.meeting.manifest.history[0]
    assert restore(place.engine, first, PRESENT[0], replaced_twice, [place.board], replaced=True) == 1
    with place.running():
        # What the queue was given before the log was read, with the line of before, tally passes over.
        wait_until(lambda: any(signed_by(raw) == PRESENT[0].verifier.key_id for raw in place.queue.entries))
        place.board.record(next(raw for raw in place.queue.entries if signed_by(raw) == PRESENT[0].verifier.key_id))
        wait_until(lambda: place.waiting == 0)
    assert place.meeting.election.ballots == 1


def test_a_copy_signed_with_a_key_of_before_is_taken_only_if_somebody_says_it_is_no_thiefs(
    place: Place, tmp_path: Path, replaced_twice: Path
) -> None:
    first = place.meeting.manifest.history[0]
    back_up(place.engine, first, Meeting().parties.intakes[0], by_the_first := tmp_path / "first")
    for path in (replaced_twice, by_the_first):
        with pytest.raises(BackupError, match="with another key of intake-1 than `key` is.* --replaced-key"):
            restore(place.engine, first, PRESENT[0], path, [place.board])
    assert place.waiting == 0 and not place.outbox.restored()


def signed_by(raw: bytes) -> bytes:
    return parse_entry(raw).signatures[0].key_id


def test_while_no_custodian_shows_the_log_such_a_copy_is_not_taken(place: Place, replaced_twice: Path) -> None:
    place.board.down = True
    with pytest.raises(BackupError, match="no custodian shows the log, which says whether it had that one between"):
        restore(place.engine, place.meeting.manifest.history[0], PRESENT[0], replaced_twice, [place.board])
    assert place.waiting == 0


def test_a_key_that_the_log_does_not_name_signs_no_copy(place: Place, replaced_twice: Path) -> None:
    """As it stood before the rekeys, the key was nobody's yet."""
    place.board.publish(1)
    with pytest.raises(BackupError, match="is not signed as such a copy is: the line by intake-1 is of key"):
        restore(place.engine, place.meeting.manifest.history[0], PRESENT[0], replaced_twice, [place.board])
    assert place.waiting == 0


def test_a_copy_is_not_written_over_anything_and_a_crash_leaves_none(place: Place, tmp_path: Path) -> None:
    path = copy(place, tmp_path / "outbox")
    before = path.read_bytes()
    with pytest.raises(KeyFileError, match="exists already"):
        copy(place, path)
    assert path.read_bytes() == before
    with pytest.raises(UnicodeDecodeError):
        entry = {"identity": bytes(32), "entry": b"\xff"}
        with place.owner.begin() as connection:
            columns = "(origin, identity, kind"
            row = {"origin": place.meeting.origin, **entry}
            connection.execute(
                text(
                    f"INSERT INTO accepted {columns}, leaf, deadline) VALUES "
                    "(:origin, :identity, 'ballot', :identity, 0)"
                ),
                row,
            )
            connection.execute(
                text(
                    f"INSERT INTO outbox {columns}, entry, due, puts) VALUES "
                    "(:origin, :identity, 'ballot', :entry, 0, 0)"
                ),
                row,
            )
        copy(place, tmp_path / "second")
    assert list(tmp_path.iterdir()) == [path]
