"""A log that has signed two trees: what a witness and a custodian sign then, and what they keep as evidence."""

from __future__ import annotations

import json
from dataclasses import replace
from unittest.mock import ANY

import pytest

from audit.log.keys import Signer
from audit.log.merkle import HASH_SIZE
from audit.log.notes import parse_note, verify_note
from audit.log.treehead import Checkpoint
from tests.vault.conftest import LOG, WITNESS, Growing, Served
from tests.vault.witnessing import add, cosigned, monitored, refused, submission, told_size
from vault.custodian.cosign import Head
from vault.custodian.stored import line_of


def test_another_tree_of_the_same_size_is_evidence_that_is_kept_and_told_once(
    served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    served.log.grow(3)
    cosigned(served, submission(served, 0))
    seen = served.store().observed(served.log.origin)
    for number in range(3):
        served.log.entries[number] = b"rewritten"
        assert refused(served, submission(served, 3), 422) == "wrong-root"
        if not number:
            other = served.log.head()
        served.restart()
        assert kept_against(served) == (3, other.root)
        assert served.store().observed(served.log.origin, most=3) == seen
    # Nor is one of another size: it shows no more of whose keys they are.
    truth = Growing(served.log.origin)
    truth.grow(5)
    served.log.entries[:] = truth.entries
    cosigned(served, submission(served, 3))
    served.log.entries[0] = b"rewritten"
    assert refused(served, submission(served, 5), 422) == "wrong-root"
    assert kept_against(served) == (3, other.root)
    assert told(capsys) == [3]
    # Both are signed by the log: they are all that anybody needs to see it.
    assert other.root != seen.root
    for note in (seen.note, served.store().contradicted(served.log.origin, line_of(served.log.policy)).note):
        assert verify_note(parse_note(note), [key.verifier for key in LOG]) == ["log.example"]


@pytest.mark.parametrize("call", ["append", "publish", "add-checkpoint"])
def test_another_tree_of_the_size_of_one_that_is_held_is_evidence_too(
    served: Served, capsys: pytest.CaptureFixture[str], call: str
) -> None:
    served.fill(3)
    served.fill(4)
    truth = list(served.log.entries)
    served.log.entries[1] = b"rewritten"
    show_another(served, call)
    assert kept_against(served) == (3, served.log.head(3).root)
    assert told(capsys) == [3]
    # It was signed by nobody here: the witness goes on with what is held.
    served.log.entries[:] = truth
    assert cosigned(served, submission(served, 7, 7)) == served.time


def show_another(served: Served, call: str) -> None:
    """Shows the log's tree of 3 entries to a custodian that holds 7 of another."""
    if call == "publish":
        assert served.refused(call, served.log.witnessed(3), 422) == "wrong-root"
    elif call == "append":
        answer = served.post(call, served.log.append(0, 3))
        assert (answer.status_code, answer.content) == (409, b"7\n")
    else:
        assert told_size(served, submission(served, 0, 3)) == b"7\n"


@pytest.mark.parametrize("call", ["append", "publish", "add-checkpoint"])
def test_of_what_changed_on_its_own_disk_a_custodian_does_not_accuse_the_log(
    served: Served, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    served.fill(3)
    served.fill(4)
    store = type(served.store())
    at, hashes = store.head_at, store.hashes
    if call == "add-checkpoint":
        monkeypatch.setattr(store, "hashes", lambda *a: [bytes(HASH_SIZE), *hashes(*a)[1:]])
    else:
        monkeypatch.setattr(store, "head_at", lambda *a: replace(at(*a), root=bytes(HASH_SIZE)))
    show_another(served, call)
    monkeypatch.undo()
    assert served.store().contradicted(served.log.origin, line_of(served.log.policy)) is None
    assert told(capsys) == []


def test_of_a_tree_that_was_seen_and_changed_on_disk_it_does_not_accuse_the_log_either(
    served: Served, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    served.log.grow(3)
    cosigned(served, submission(served, 0))
    store = type(served.store())
    observed = store.observed
    monkeypatch.setattr(store, "observed", lambda *a, **k: replace(observed(*a, **k), root=bytes(HASH_SIZE)))
    assert refused(served, submission(served, 3, 3), 422) == "wrong-root"
    # Nor where the append passes it.
    served.log.grow(2)
    served.cosigned(served.log.append(0))
    assert told(capsys) == []


@pytest.mark.parametrize("changed", ["size", "origin"])
def test_a_row_whose_note_is_of_another_size_or_log_is_no_evidence_and_keeps_no_place_from_it(
    served: Served, capsys: pytest.CaptureFixture[str], changed: str
) -> None:
    served.fill(3)
    served.log.grow(2)
    head = served.log.head()
    if changed == "origin":
        head = replace(head, origin="vote.example/another-log-with-the-same-keys", root=bytes(HASH_SIZE))
    line, size = line_of(served.log.policy), 6 if changed == "size" else 5
    row = Head(3, size, head.root, b"", served.log.note(head).raw, served.time)
    served.store().observe(served.log.origin, line, row)
    served.log.grow(2)
    served.cosigned(served.log.append(3))
    assert served.store().contradicted(served.log.origin, line) is None
    assert told(capsys) == []
    # What the log does sign later is kept and told.
    served.log.entries[1] = b"rewritten"
    add(served, submission(served, 0, 3))
    assert kept_against(served) == (3, served.log.head(3).root)


def test_what_the_log_has_not_signed_is_no_evidence_against_it(
    served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    served.log.grow(3)
    cosigned(served, submission(served, 0))
    served.log.entries[0] = b"rewritten"
    stranger = Signer("log.example", LOG[0].verifier.type, bytes(32))
    note = served.log.note(served.log.head(), [stranger, LOG[1]])
    assert refused(served, submission(served, 3, note=note), 403) == "not-signed-by-log"
    served.custodian.kept.contradicted(Checkpoint(served.log.origin, 3, bytes(32)), note.raw)
    assert served.store().contradicted(served.log.origin, line_of(served.log.policy)) is None
    assert told(capsys) == []


def kept_against(served: Served) -> tuple[int, bytes]:
    """Size and root of the tree by which the log is shown to have signed two."""
    kept = served.store().contradicted(served.log.origin, line_of(served.log.policy))
    assert kept is not None
    return kept.size, kept.root


def told(capsys: pytest.CaptureFixture[str]) -> list[int]:
    """The sizes of other trees that are told in the log."""
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    return [line["size"] for line in lines if line["event"] == "another-tree-seen"]


def forked(served: Served) -> Checkpoint:
    """The custodian holds another tree of 6 entries than the one of 4 that was seen, which is given back."""
    served.log.grow(6)
    add(served, submission(served, 0, 4))
    seen = served.log.head(4)
    served.log.entries[1] = b"rewritten"
    served.cosigned(served.log.append(0, 3))
    served.cosigned(served.log.append(3))
    served.log.grow(2)
    return seen


def test_a_tree_that_was_only_seen_keeps_no_other_from_being_held_and_is_told_once(
    served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    served.restart(witness=())
    seen = forked(served)
    assert [json.loads(line) for line in capsys.readouterr().err.splitlines()] == [
        {"level": "error", "source": "vault.custody", "event": "another-tree-seen", "size": 4, "time": ANY}
    ]
    assert add(served, submission(served, 6, 7)).status_code == 200
    served.cosigned(served.log.append(6))
    assert capsys.readouterr().err == ""
    # As evidence both remain.
    assert served.store().observed(served.log.origin, most=6).root == seen.root


def test_what_was_seen_within_an_append_is_told_though_a_larger_tree_was_seen(
    served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    served.log.grow(500)
    cosigned(served, submission(served, 0, 4))
    cosigned(served, submission(served, 4))
    served.log.entries[1] = b"rewritten"
    served.cosigned(served.log.append(0, 100))
    assert '"event": "another-tree-seen", "size": 4' in capsys.readouterr().err


@pytest.mark.parametrize("sizes", [(5, 8), (8, 5), (6, 6)], ids=["smaller", "larger", "as large"])
def test_of_trees_that_two_sets_of_keys_have_signed_the_false_one_is_told(
    served: Served, capsys: pytest.CaptureFixture[str], sizes: tuple[int, int]
) -> None:
    served.fill(3)
    served.log.grow(7)
    truth = list(served.log.entries)
    for line, size, others in (("stolen", sizes[0], [b"made up"] * 7), ("true", sizes[1], truth[3:])):
        served.log.entries[3:] = others
        head = served.log.head(size)
        served.store().observe(
            served.log.origin, line, Head(3, size, head.root, b"", served.log.note(head).raw, served.time)
        )
    served.cosigned(served.log.append(3))
    assert told(capsys) == [sizes[0]]


def test_a_witness_signs_nothing_more_once_what_is_held_contradicts_what_it_signed(served: Served) -> None:
    seen = forked(served)
    for _ in range(2):
        for body in (submission(served, 6), submission(served, 6, 6), submission(served, 4, 8)):
            assert refused(served, body, 422) == "fork"
        shown = parse_note(served.client.get(monitored(served)).content)
        assert (shown.text, shown.signatures[-1].name) == (seen.text, WITNESS.name)
        served.restart()
