"""What a custodian stores and cosigns, and everything it does not."""

from __future__ import annotations

import pytest

from audit.log.keys import Signer
from audit.log.merkle import EMPTY_ROOT
from audit.log.notes import Note
from audit.log.treehead import Checkpoint
from tests.vault.conftest import CUSTODIANS, LOG, Served


def test_an_append_is_cosigned_with_both_keys_and_the_time(served: Served) -> None:
    served.log.grow(3)
    assert served.cosigned(served.log.append(0)) == [served.time] * 2
    old = served.log.grow(300)
    assert old == 3
    served.time += 5
    assert served.cosigned(served.log.append(3, 259)) == [served.time] * 2
    assert served.cosigned(served.log.append(259)) == [served.time] * 2


def test_the_same_append_again_is_answered_with_the_same_statement(served: Served) -> None:
    served.log.grow(2)
    body = served.log.append(0)
    first = served.cosigned(body)
    served.time += 60
    served.restart()
    assert served.cosigned(body) == first
    # Also once larger trees were cosigned.
    served.log.grow(300)
    for size in (200, 302):
        served.cosigned(served.log.append(served.stored().size, size))
    assert served.cosigned(body) == first
    assert served.cosigned(served.log.append(2, 200)) == [served.time] * 2


@pytest.mark.parametrize("held", [0, 1, 5])
@pytest.mark.parametrize("old", [0, 1, 4, 6])
def test_an_append_from_another_size_is_told_the_size(served: Served, held: int, old: int) -> None:
    if held:
        served.log.grow(held)
        served.cosigned(served.log.append(0))
    served.log.grow(8 - held)
    if old == held:
        served.cosigned(served.log.append(old))
        return
    answer = served.post("append", served.log.append(old))
    assert (answer.status_code, answer.headers["content-type"]) == (409, "text/x.tlog.size")
    assert answer.content == f"{held}\n".encode()


def test_without_the_token_nothing_is_taken(served: Served) -> None:
    served.log.grow(1)
    served.client.headers["Authorization"] = "Bearer another-token-of-the-same-length-or-thereabouts"
    for call in ("append", "publish"):
        assert served.refused(call, served.log.append(0), 401) == "no-token"
    assert served.get("held").status_code == served.get("held/0/1").status_code == 401


def test_a_log_that_is_not_kept_is_not_found(served: Served) -> None:
    served.log.grow(1)
    assert served.client.post("/vote.example/another/append", content=served.log.append(0)).status_code == 404
    other = Checkpoint("vote.example/another", 1, served.log.head().root)
    assert served.refused("append", served.log.append(0, note=served.log.note(other)), 404) == "unknown-log"


def test_both_of_the_logs_keys_must_have_signed(served: Served) -> None:
    served.log.grow(1)
    head = served.log.head()
    stranger = Signer("log.example", LOG[0].verifier.type, bytes(32))
    for keys in (LOG[:1], LOG[1:], (stranger, LOG[1]), CUSTODIANS[0]):
        body = served.log.append(0, note=served.log.note(head, keys))
        assert served.refused("append", body, 403) == "not-signed-by-log"


@pytest.mark.parametrize("key", [0, 1])
def test_a_flipped_bit_in_a_signature_is_refused(served: Served, key: int) -> None:
    served.log.grow(1)
    note = served.log.note(served.log.head())
    lines = list(note.signatures)
    wrong = lines[key].sig[:-1] + bytes([lines[key].sig[-1] ^ 1])
    lines[key] = type(lines[key])(lines[key].name, lines[key].key_id, wrong)
    body = served.log.append(0, note=Note(note.text, tuple(lines)))
    assert served.refused("append", body, 403) == "not-signed-by-log"


def test_entries_that_are_not_those_of_the_head_are_refused(served: Served) -> None:
    served.fill(3)
    served.log.grow(2)
    good = served.log.entries[3:]
    flipped = [good[0][:-1] + bytes([good[0][-1] ^ 1]), good[1]]
    for entries in (flipped, good[::-1], good[:1], [*good, b"one more"], []):
        assert served.refused("append", served.log.append(3, entries=entries), 422) == "wrong-root"


def test_a_proof_that_does_not_lead_from_what_is_held_is_refused(served: Served) -> None:
    served.fill(3)
    served.log.grow(2)
    good = list(served.log.append_proof(3))
    for proof in (good[:-1], [*good, bytes(32)], good[::-1], [bytes(32), *good[1:]]):
        assert served.refused("append", served.log.append(3, proof=proof), 422) == "wrong-proof"


def test_a_fork_is_refused(served: Served) -> None:
    served.fill(3)
    served.log.entries[1] = b"rewritten"
    served.log.grow(1)
    assert served.refused("append", served.log.append(3), 422) == "wrong-proof"


def test_an_old_size_above_the_checkpoints_is_refused(served: Served) -> None:
    served.fill(2)
    assert served.refused("append", served.log.append(3, 2), 400) == "old-size-above"


def test_a_checkpoint_without_anything_new_is_refused(served: Served) -> None:
    served.fill(1, 2)
    assert served.refused("append", served.log.append(3), 422) == "nothing-new"
    empty = served.log.note(Checkpoint(served.log.origin, 0, EMPTY_ROOT))
    assert served.post("append", served.log.append(0, 0, note=empty)).status_code == 409


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (b"", 400, "syntax"),
        (b"\0\0\0\x09old 0", 400, "syntax"),
        (b"\0\0\0\x08old 0\n\n\n", 400, "syntax"),
        (b"\0\0\0\x08new 0\n\n\n", 400, "syntax"),
        (b"\xff" * 70_000, 400, "syntax"),
        (b"\0\1\1\1" + b"x" * 70_000, 413, "too-long"),
    ],
)
def test_a_body_that_is_no_append_is_refused(served: Served, body: bytes, status: int, reason: str) -> None:
    assert served.refused("append", body, status) == reason


def test_more_than_256_entries_are_refused(served: Served) -> None:
    served.log.grow(257)
    assert served.refused("append", served.log.append(0), 413) == "too-long"


def test_a_body_that_ends_within_an_entry_is_refused(served: Served) -> None:
    served.log.grow(1)
    for cut in (1, 5, len(served.log.entries[0]) + 1):
        assert served.refused("append", served.log.append(0)[:-cut], 400) == "syntax"


def test_a_clock_that_went_backwards_signs_nothing(served: Served) -> None:
    served.fill(1)
    served.time -= 1
    served.log.grow(1)
    assert served.refused("append", served.log.append(1), 503) == "clock-backwards"
    served.time += 1
    assert served.cosigned(served.log.append(1)) == [served.time] * 2


def test_what_is_held_is_shown_to_the_log_before_it_is_published(served: Served) -> None:
    assert served.get("held").status_code == 204
    served.log.grow(3)
    served.cosigned(served.log.append(0))
    held = served.get("held").content
    assert held.startswith(served.log.head().text + b"\n")
    assert held.count(b"log.example") == 2
    assert held.count(b"custodian-a.example") == 2
    assert served.get("held/1/3").content.endswith(served.log.entries[2])
    for path in ("held/0/4", "held/2/2", "held/2/1", "held/0/300"):
        assert served.get(path).status_code == 404
    assert served.get("checkpoint").status_code == 404


def test_no_more_than_256_held_entries_are_given_at_once(served: Served) -> None:
    served.log.grow(257)
    served.cosigned(served.log.append(0, 256))
    served.cosigned(served.log.append(256))
    assert [served.get(f"held/{path}").status_code for path in ("0/256", "1/257", "0/257")] == [200, 200, 404]
