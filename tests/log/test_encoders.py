"""Every text and byte format of the log: what is written is read again, and nothing is read that would be written
otherwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.log.encoding import MAX_NUMBER, decode_base64, encode_base64, parse_decimal
from audit.log.keys import (
    COSIGNATURE,
    ED25519,
    ML_DSA_44,
    PUBLIC_SIZES,
    Signature,
    Verifier,
    new_private_key,
    parse_private_key,
    parse_vkey,
)
from audit.log.merkle import EMPTY_ROOT, CompactRange
from audit.log.notes import Note, parse_note, parse_signature_lines
from audit.log.proof import Proof, parse_proof
from audit.log.tiles import MAX_LEVEL, WIDTH, Tile, frame, parse_path, unframe
from audit.log.treehead import Checkpoint, parse_checkpoint
from audit.protocol.refused import Refused

names = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"], exclude_characters="+"), min_size=1)
key_names = names.filter(lambda name: not any(c.isspace() for c in name) and len(name.encode()) <= 255)
hashes = st.binary(min_size=32, max_size=32)
numbers = st.integers(0, MAX_NUMBER)
lines = st.builds(Signature, key_names, st.binary(min_size=4, max_size=4), st.binary(min_size=1, max_size=90))
paragraphs = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)
note_texts = st.lists(paragraphs, min_size=1, max_size=5).map(lambda found: "".join(f"{p}\n" for p in found).encode())
notes = st.builds(Note, note_texts, st.lists(lines, min_size=1, max_size=4).map(tuple))
verifiers = st.sampled_from([ED25519, COSIGNATURE, ML_DSA_44]).flatmap(
    lambda kind: st.builds(
        Verifier, key_names, st.just(kind), st.binary(min_size=PUBLIC_SIZES[kind], max_size=PUBLIC_SIZES[kind])
    )
)
privates = st.builds(new_private_key, key_names, st.sampled_from([ED25519, COSIGNATURE, ML_DSA_44]), hashes)
checkpoints = st.builds(Checkpoint, paragraphs.filter(bool), st.integers(1, MAX_NUMBER), hashes) | st.builds(
    Checkpoint, paragraphs.filter(bool), st.just(0), st.just(EMPTY_ROOT)
)
tiles = st.builds(
    Tile, st.none() | st.integers(0, MAX_LEVEL), numbers | st.integers(0, 2000), st.integers(1, WIDTH)
)
entries = st.lists(st.binary(max_size=40), max_size=8)
frontiers = st.integers(0, 2**64 - 1).flatmap(
    lambda size: st.lists(hashes, min_size=size.bit_count(), max_size=size.bit_count()).map(
        lambda found: CompactRange(size, found)
    )
)
proofs = st.builds(
    Proof,
    numbers,
    st.lists(hashes, max_size=5).map(tuple),
    st.builds(lambda head, signed: Note(head.text, (signed,)), checkpoints, lines),
    st.binary(max_size=30),
)


def joined(signatures: tuple[Signature, ...]) -> bytes:
    return "".join(signature.line for signature in signatures).encode()


FORMATS: dict[str, tuple[st.SearchStrategy[Any], Callable[[Any], bytes], Callable[[bytes], Any]]] = {
    "notes": (notes, lambda note: note.raw, parse_note),
    "signature lines": (st.lists(lines, min_size=1, max_size=4).map(tuple), joined, parse_signature_lines),
    "verifier keys": (verifiers, lambda key: key.vkey.encode(), lambda raw: parse_vkey(text_of(raw))),
    "private keys": (privates, str.encode, lambda raw: parse_private_key(text_of(raw)).private),
    "base64": (
        st.binary(max_size=50),
        lambda data: encode_base64(data).encode(),
        lambda raw: decode_base64(text_of(raw), "it"),
    ),
    "decimal numbers": (numbers, lambda n: str(n).encode(), lambda raw: parse_decimal(text_of(raw), "it")),
    "checkpoints": (checkpoints, lambda head: head.text, parse_checkpoint),
    "tile paths": (tiles, lambda tile: tile.path.encode(), lambda raw: parse_path(text_of(raw))),
    "bundles": (entries, frame, lambda raw: list(unframe(raw))),
    "frontiers": (
        frontiers.map(lambda tree: (tree.size, tree.hashes)),
        lambda tree: CompactRange(*tree).to_bytes(),
        lambda raw: (CompactRange.from_bytes(raw).size, CompactRange.from_bytes(raw).hashes),
    ),
    "proofs": (proofs, lambda proof: proof.raw, parse_proof),
}


def text_of(raw: bytes) -> str:
    """What a reader of text makes of the bytes: any characters at all."""
    return raw.decode("utf-8", "surrogateescape")


@pytest.mark.parametrize("kind", FORMATS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_what_is_written_is_read_again(kind: str, data: st.DataObject) -> None:
    made, write, read = FORMATS[kind]
    value = data.draw(made)
    assert read(write(value)) == value


@pytest.mark.parametrize("kind", FORMATS)
@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_nothing_else_is_read(kind: str, data: st.DataObject) -> None:
    """Bytes changed, left out, doubled or put in: refused, or the one way to write another value. Never a crash."""
    made, write, read = FORMATS[kind]
    raw = changed(write(data.draw(made)), data.draw)
    try:
        value = read(raw)
    except Refused as refusal:
        assert refusal.reason and refusal.detail
    else:
        assert write(value) == raw


@pytest.mark.parametrize("kind", FORMATS)
@settings(max_examples=40, deadline=None)
@given(raw=st.binary(max_size=60) | st.text("0123456789+=\n \u2014aAx/.", max_size=20).map(str.encode))
def test_noise_is_refused_or_canonical(kind: str, raw: bytes) -> None:
    _, write, read = FORMATS[kind]
    try:
        value = read(raw)
    except Refused:
        return
    assert write(value) == raw


def changed(raw: bytes, draw: Callable[[st.SearchStrategy[Any]], Any]) -> bytes:
    """One to three small changes, most of them with bytes that mean something in these formats."""
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(raw)))
        end = min(len(raw), start + draw(st.sampled_from([0, 0, 1, 1, 1, 2, 20])))
        meaning = st.sampled_from([b"", b"\n", b"\n\n", b" ", b"+", b"=", b"==", b"0", b"A", b"\r", b"\0", b"x", b"/"])
        new = draw(meaning | st.binary(min_size=1, max_size=2) | st.just(raw[start:end] * 2))
        raw = raw[:start] + new + raw[end:]
    return raw
