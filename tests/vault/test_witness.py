"""C2SP tlog-witness `add-checkpoint`: every status it has, and that it says nothing about what is held."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.log.keys import Signer
from audit.log.merkle import HASH_SIZE
from audit.log.notes import Note, parse_note, verify_note
from audit.log.treehead import Checkpoint
from audit.protocol.refused import Refused
from tests.vault.conftest import CUSTODIANS, LOG, WITNESS, Served
from tests.vault.witnessing import add, cosigned, monitored, refused, submission, told_size
from vault.custodian.cosign import Head
from vault.custodian.stored import line_of
from vault.custodian.witness import parse_submission


def test_a_checkpoint_is_cosigned_by_the_witness_alone_and_nothing_is_held(served: Served) -> None:
    served.log.grow(300)
    assert cosigned(served, submission(served, 0)) == served.time
    served.log.grow(7)
    served.time += 3
    assert cosigned(served, submission(served, 300)) == served.time
    assert served.stored().size == 0
    assert served.get("held").status_code == 204


def test_a_custodians_line_is_never_in_the_answer(served: Served) -> None:
    served.fill(5)
    served.log.grow(5)
    for body in (submission(served, 5, 5), submission(served, 5, 10)):
        answer = add(served, body).content.decode()
        assert answer.count("\n") == answer.count(WITNESS.name) == 1
        assert not any(key.name in answer for keys in CUSTODIANS for key in keys)


def test_without_a_key_it_notes_what_it_saw_and_says_nothing(served: Served) -> None:
    served.restart(witness=())
    served.log.grow(3)
    answer = add(served, submission(served, 0))
    assert (answer.status_code, answer.content) == (200, b"")
    assert served.store().observed(served.log.origin).size == 3
    assert served.client.get(monitored(served)).status_code == 404


def test_asked_again_it_states_the_same_time(served: Served) -> None:
    served.log.grow(3)
    first = cosigned(served, submission(served, 0))
    served.time += 60
    served.restart()
    assert cosigned(served, submission(served, 3)) == first
    assert told_size(served, submission(served, 0)) == b"3\n"


def test_the_old_size_must_be_that_of_the_largest_tree_it_knows(served: Served) -> None:
    served.log.grow(9)
    assert told_size(served, submission(served, 1)) == b"0\n"
    cosigned(served, submission(served, 0, 4))
    assert told_size(served, submission(served, 0)) == told_size(served, submission(served, 5)) == b"4\n"


def test_what_was_appended_is_known_to_the_witness_too(served: Served) -> None:
    served.fill(5)
    served.log.grow(3)
    assert told_size(served, submission(served, 0)) == b"5\n"
    assert cosigned(served, submission(served, 5)) == served.time
    # And the append may come after it.
    served.cosigned(served.log.append(5))


def test_of_a_tree_that_is_appended_later_it_states_when_it_saw_it_first(served: Served) -> None:
    served.log.grow(3)
    first = cosigned(served, submission(served, 0))
    served.time += 60
    served.cosigned(served.log.append(0))
    assert served.stored().time == first + 60
    assert cosigned(served, submission(served, 3)) == first


def test_an_unknown_origin_is_not_found(served: Served) -> None:
    other = Checkpoint("vote.example/another", 1, served.log.origin and sha256(b"").digest())
    assert refused(served, submission(served, 0, 0, note=served.log.note(other), proof=[]), 404) == "unknown-log"


def test_both_of_the_logs_keys_must_have_signed(served: Served) -> None:
    served.log.grow(1)
    head = served.log.head()
    stranger = Signer("log.example", LOG[0].verifier.type, bytes(32))
    for keys in (LOG[:1], LOG[1:], (stranger, LOG[1]), CUSTODIANS[0]):
        body = submission(served, 0, note=served.log.note(head, keys))
        assert refused(served, body, 403) == "not-signed-by-log"


@pytest.mark.parametrize("key", [0, 1])
def test_a_wrong_signature_of_the_log_is_forbidden(served: Served, key: int) -> None:
    served.log.grow(1)
    note = served.log.note(served.log.head())
    lines = list(note.signatures)
    sig = lines[key].sig
    lines[key] = type(lines[key])(lines[key].name, lines[key].key_id, sig[:-1] + bytes([sig[-1] ^ 1]))
    assert refused(served, submission(served, 0, note=Note(note.text, tuple(lines))), 403) == "not-signed-by-log"


def test_lines_of_unknown_keys_are_passed_over_and_not_kept(served: Served) -> None:
    served.log.grow(1)
    stranger = Signer("stranger.example", LOG[0].verifier.type, bytes(32))
    note = served.log.note(served.log.head(), [stranger, *CUSTODIANS[1], *LOG])
    broken = note.raw.replace(b"stranger.example ", b"custodian-c.example ")
    assert cosigned(served, b"old 0\n\n" + broken) == served.time
    kept = parse_note(served.store().observed(served.log.origin).note)
    assert [line.name for line in kept.signatures] == [key.name for key in LOG]
    assert verify_note(kept, [key.verifier for key in LOG]) == ["log.example"]


def test_an_old_size_above_the_checkpoints_is_a_bad_request(served: Served) -> None:
    served.log.grow(2)
    assert refused(served, submission(served, 3, 2), 400) == "old-size-above"


def test_a_proof_that_does_not_verify_is_refused(served: Served) -> None:
    served.log.grow(5)
    cosigned(served, submission(served, 0, 3))
    good = served.log.consistency(3, 5)
    other = bytes(HASH_SIZE)
    for proof in ([], good[:-1], [*good, other], good[::-1], [other, *good[1:]]):
        assert refused(served, submission(served, 3, proof=proof), 422) == "wrong-proof"


def test_from_nothing_the_proof_must_be_empty(served: Served) -> None:
    served.log.grow(5)
    assert refused(served, submission(served, 0, proof=[bytes(HASH_SIZE)]), 422) == "wrong-proof"


def test_another_tree_of_the_same_size_is_refused(served: Served) -> None:
    served.log.grow(3)
    cosigned(served, submission(served, 0))
    served.log.entries[0] = b"rewritten"
    assert refused(served, submission(served, 3), 422) == "wrong-root"
    served.log.grow(2)
    assert refused(served, submission(served, 3), 422) == "wrong-proof"


def test_the_empty_tree_is_cosigned_once_and_has_one_root(served: Served) -> None:
    empty = submission(served, 0, 0)
    first = cosigned(served, empty)
    assert first == served.time > 0
    served.time += 9
    assert cosigned(served, empty) == first
    text = Checkpoint(served.log.origin, 0, bytes(HASH_SIZE)).text
    wrong = Note(text, (LOG[0].sign(text),))
    assert refused(served, submission(served, 0, 0, note=wrong), 422) == "wrong-root"
    served.log.grow(1)
    assert cosigned(served, submission(served, 0)) == served.time


def test_a_clock_that_went_backwards_signs_nothing(served: Served) -> None:
    served.log.grow(2)
    cosigned(served, submission(served, 0, 1))
    served.time -= 1
    assert refused(served, submission(served, 1), 503) == "clock-backwards"
    # Neither does the custodian, whose clock it is.
    assert served.refused("append", served.log.append(0), 503) == "clock-backwards"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"old 0",
        b"old 0\n",
        b"old 0\n\n",
        b"old 00\n\n",
        b"old -1\n\n",
        b"old +1\n\n",
        b"old\n\n",
        b"new 0\n\n",
        b"old 0\r\n\r\n",
        b"old 9223372036854775808\n\n",
        b"old 0\nAAAA\n\n",
        b"old 0\n" + b"=" * 44 + b"\n\n",
        b"\xff\xfe\n\n",
    ],
)
def test_what_is_no_request_is_a_bad_one(served: Served, body: bytes) -> None:
    served.log.grow(1)
    note = served.log.note(served.log.head()).raw if body.endswith(b"\n\n") else b""
    good = body == b"old 0\n\n"
    if good:
        note = note[:-5]
    refused(served, body + note, 400)


def test_sixty_three_hashes_are_the_most(served: Served) -> None:
    served.log.grow(1)
    hashes = [bytes(HASH_SIZE)] * 64
    assert refused(served, submission(served, 0, proof=hashes[:63]), 422) == "wrong-proof"
    assert refused(served, submission(served, 0, proof=hashes), 400) == "too-long"


def test_a_body_without_end_is_cut_off(served: Served) -> None:
    assert refused(served, b"old 0\n" * 20_000, 413) == "too-long"


def test_a_tree_that_the_log_has_not_signed_is_not_signed_whoever_stored_it(served: Served) -> None:
    served.log.grow(2)
    head = Checkpoint(served.log.origin, 9, bytes(HASH_SIZE))
    note = served.log.note(head, [LOG[0], Signer("log.example", LOG[1].verifier.type, bytes(32))])
    stored = Head(0, 9, head.root, b"", note.raw, served.time)
    served.store().observe(served.log.origin, line_of(served.log.policy), stored)
    for answer in (add(served, submission(served, 9, 9, note=note)), served.client.get(monitored(served))):
        assert answer.status_code in (403, 500) and WITNESS.name.encode() not in answer.content


def test_a_head_that_changed_on_disk_is_not_signed(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    served.log.grow(5)
    first = submission(served, 0, 3)
    cosigned(served, first)
    real = type(served.store()).observed
    for change in (
        lambda head: replace(head, note=head.note.replace(b"\n3\n", b"\n7\n", 1)),
        lambda head: replace(head, root=bytes(32)),
    ):
        served.restart()
        with monkeypatch.context() as patch:
            patch.setattr(type(served.store()), "observed", lambda *a, change=change: change(real(*a)))
            again = add(served, submission(served, 3, 3))
            assert again.status_code in (422, 500) and WITNESS.name.encode() not in again.content
            shown = served.client.get(monitored(served))
            assert shown.status_code == 500 and WITNESS.name.encode() not in shown.content


def test_monitors_are_shown_the_newest_head_with_the_logs_lines_and_its_own(served: Served) -> None:
    assert served.client.get(monitored(served)).status_code == 404
    served.log.grow(5)
    cosigned(served, submission(served, 0, 2))
    cosigned(served, submission(served, 2))
    served.time += 5
    shown = served.client.get(monitored(served))
    assert (shown.status_code, shown.headers["cache-control"]) == (200, "no-cache")
    note = parse_note(shown.content)
    assert note.text == served.log.head().text
    assert [line.name for line in note.signatures] == [LOG[0].name, LOG[1].name, WITNESS.name]
    assert WITNESS.verifier.verify(note.text, note.signatures[-1].sig) == served.time - 5
    assert served.client.head(monitored(served)).headers["etag"] == shown.headers["etag"]


@given(st.binary(max_size=300))
def test_no_bytes_do_more_than_be_refused(raw: bytes) -> None:
    for body in (raw, b"old 3\n" + raw, b"old 0\n\nvote.example/x\n1\n" + raw):
        with suppress(Refused):
            parse_submission(body)


@given(st.integers(0, 400), st.integers(0, 255))
def test_a_changed_byte_of_a_request_is_never_taken_for_another_claim(place: int, value: int) -> None:
    good = GOOD.raw
    body = b"old 0\n\n" + good
    place %= len(body)
    changed = body[:place] + bytes([value]) + body[place + 1 :]
    try:
        old, proof, note, head = parse_submission(changed)
    except Refused:
        return
    assert (old, proof) != (0, ()) or note.text + b"\n" == changed[7 : 8 + len(note.text)]
    assert head.text == note.text


HEAD = Checkpoint("vote.example/fuzzed", 7, sha256(b"root").digest())
GOOD = Note(HEAD.text, tuple(key.sign(HEAD.text) for key in LOG[:1]))
