"""What one service writes and another reads: the two were written apart, and must agree to the byte."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.log.notes import Note
from audit.protocol.refused import Refused
from infra.queue.frames import Row, read_keys, read_rows, write_rows
from tally.sequencer.append import Append
from tests.log.test_encoders import changed, checkpoints, hashes, lines, numbers
from vault.custodian.cosign import parse_append

notes = st.builds(lambda head, line: Note(head.text, (line,)), checkpoints, lines)
appends = st.builds(
    lambda old, proof, note, entries: Append(old, proof, note.raw, entries),
    numbers,
    st.lists(hashes, max_size=6),
    notes,
    st.lists(st.binary(max_size=30), max_size=6),
)
keys = st.binary(min_size=16, max_size=16)
rows = st.lists(st.builds(Row, keys, st.binary(max_size=40)), max_size=5)


def sent(body: bytes) -> Append:
    """What the custodian has read, as tally would send it."""
    read = parse_append(body)
    return Append(read.old_size, list(read.proof), read.note.raw, list(read.entries))


@settings(max_examples=80, deadline=None)
@given(appends)
def test_a_custodian_reads_what_tally_sends(append: Append) -> None:
    assert sent(append.body) == append


@settings(max_examples=120, deadline=None)
@given(appends, st.data())
def test_a_custodian_reads_nothing_that_tally_would_not_send(append: Append, data: st.DataObject) -> None:
    body = changed(append.body, data.draw)
    try:
        read = sent(body)
    except Refused as refusal:
        assert refusal.reason and refusal.detail
    else:
        assert read.body == body


@settings(max_examples=60, deadline=None)
@given(rows)
def test_tally_reads_what_the_queue_hands_out(found: list[Row]) -> None:
    assert list(read_rows(write_rows(found))) == found
    assert read_keys(b"".join(row.key for row in found)) == [row.key for row in found]


@settings(max_examples=80, deadline=None)
@given(rows, st.data())
def test_tally_reads_nothing_that_the_queue_would_not_write(found: list[Row], data: st.DataObject) -> None:
    raw = changed(write_rows(found), data.draw)
    try:
        read = list(read_rows(raw))
    except Refused as refusal:
        assert refusal.reason == "syntax"
    else:
        assert write_rows(read) == raw


@pytest.mark.parametrize("length", [1, 15, 17, 31])
def test_half_a_key_is_not_acknowledged(length: int) -> None:
    with pytest.raises(Refused) as caught:
        read_keys(bytes(length))
    assert caught.value.reason == "syntax"
