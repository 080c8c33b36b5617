"""A copy that is damaged, of something else, or signed by a key that does not speak for this intake is not taken in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text

from audit.record.entries import parse_entry
from infra.backup import BackupError
from intake.door.copies import back_up, restore
from tests.door.conftest import Place
from tests.door.copied import copy, lose, put_back
from tests.door.test_rekeying import replace_key, waiting_keys
from tests.loopback import wait_until
from tests.simulator.dice import Dice
from tests.simulator.meeting import Meeting

BETWEEN, PRESENT = Dice(81).signers("intake-1"), Dice(82).signers("intake-1")

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
