"""What a custodian may sign, decided without reading a clock, a disk or the network.

An append says: your tree has `old_size` leaves, here are the next entries, the log's signed checkpoint of the tree with
them, and the proof that it continues yours. The decision is the head to be stored, or a refusal. The proof alone would
satisfy a witness; a custodian also recomputes the root from its own frontier and the entries, since it vouches for
having them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from audit.log.checkpoint import Checkpoint, LogPolicy, open_note
from audit.log.encoding import decode_base64, parse_decimal
from audit.log.keys import Signer
from audit.log.merkle import EMPTY_ROOT, HASH_SIZE, MAX_PROOF, CompactRange, leaf_hash, verify_consistency
from audit.log.notes import Note, parse_note
from audit.log.tiles import MAX_DATA, WIDTH, unframe
from audit.log.treehead import parse_checkpoint
from audit.protocol.refused import Refused

MAX_ENTRIES = WIDTH
MAX_HEADER = 1 << 16
MAX_APPEND = 4 + MAX_HEADER + MAX_ENTRIES * (2 + MAX_DATA)
"""Bytes of the longest append."""


class WrongOldSize(Refused):
    """The append does not start where this custodian stands, which is at `size`."""

    def __init__(self, size: int) -> None:
        super().__init__("wrong-old-size", f"this custodian holds {size} entries", "old")
        self.size = size


@dataclass(frozen=True, slots=True)
class Head:
    """A tree head this custodian holds: sizes, root (32 bytes), frontier at `size`, the log's note, and when it was
    first cosigned.
    """

    old_size: int
    size: int
    root: bytes
    frontier: bytes
    note: bytes
    time: int  # POSIX seconds


EMPTY = Head(0, 0, EMPTY_ROOT, CompactRange().to_bytes(), b"", 0)


@dataclass(frozen=True, slots=True)
class Append:
    """A parsed append, nothing in it verified yet."""

    old_size: int
    proof: tuple[bytes, ...]
    note: Note
    checkpoint: Checkpoint
    entries: tuple[bytes, ...]


def parse_append(raw: bytes) -> Append:
    """The append in a request's body: u32 header length, header as in C2SP tlog-witness, then u16-framed entries.

    Refused `syntax`, `bad-encoding`, `wrong-length` or `too-long`.
    """
    length = int.from_bytes(raw[:4], "big")
    if len(raw) < 4 or length > len(raw) - 4:
        raise Refused("syntax", "the body ends within the header")
    if length > MAX_HEADER:
        raise Refused("too-long", f"the header is longer than {MAX_HEADER} bytes")
    old_size, proof, note = parse_header(raw[4 : 4 + length])
    return Append(old_size, proof, note, parse_checkpoint(note.text), tuple(unframe(raw[4 + length :], MAX_ENTRIES)))


def parse_header(raw: bytes) -> tuple[int, tuple[bytes, ...], Note]:
    """Old size, consistency proof and checkpoint note of an `add-checkpoint` body (C2SP tlog-witness)."""
    first, separator, note = raw.partition(b"\n\n")
    try:
        lines = first.decode("ascii").split("\n")
    except UnicodeDecodeError:
        raise Refused("syntax", "the header is not ASCII before the checkpoint") from None
    if not separator or not lines[0].startswith("old "):
        raise Refused("syntax", "the header is `old N`, the lines of the proof, an empty line and the checkpoint")
    if len(lines) - 1 > MAX_PROOF:
        raise Refused("too-long", f"a consistency proof has at most {MAX_PROOF} hashes")
    proof = tuple(decode_base64(line, "a hash of the proof", HASH_SIZE) for line in lines[1:])
    return parse_decimal(lines[0][4:], "the old size"), proof, parse_note(note)


def check_log_signed(policy: LogPolicy, append: Append) -> None:
    """The checkpoint bears true signatures by every key of the log. Refused `not-signed-by-log`."""
    try:
        open_note(append.note, policy, witnessed=False)
    except Refused as refusal:
        raise Refused("not-signed-by-log", refusal.detail) from None


def next_head(held: Head, append: Append, time: Callable[[], int]) -> tuple[Head, Sequence[bytes]]:
    """The head that follows `held`, to be cosigned at the time that is asked for last, and the leaf hashes of its new
    entries.

    Refused `old-size-above`, WrongOldSize, `wrong-proof`, `wrong-root`, `nothing-new`, or as `time` refuses.
    """
    old_size, head = append.old_size, append.checkpoint
    if old_size > head.size:
        raise Refused("old-size-above", f"the old size {old_size} is above the checkpoint's {head.size}", "old")
    if old_size != held.size:
        raise WrongOldSize(held.size)
    try:
        verify_consistency(old_size, held.root, head.size, head.root, append.proof)
    except Refused as refusal:
        raise Refused("wrong-proof", refusal.detail) from None
    if old_size == head.size:
        raise Refused("nothing-new", "the checkpoint has the size that is held")
    leaves = [leaf_hash(entry) for entry in append.entries]
    grown = CompactRange.from_bytes(held.frontier)
    grown.extend(leaves)
    if (grown.size, grown.root()) != (head.size, head.root):
        raise Refused("wrong-root", f"the entries make a tree of {grown.size} leaves, not the one of the checkpoint")
    return Head(old_size, head.size, head.root, grown.to_bytes(), append.note.raw, time()), leaves


def check_clock(last: int, now: int) -> None:
    """A cosignature says which tree was the largest at a time: no time may be stated twice with different trees in
    between.
    """
    if now < last:
        detail = f"this custodian's clock is {last - now} s behind its last cosignature; it signs nothing"
        raise Refused("clock-backwards", detail)


def cosignatures(signers: Iterable[Signer], head: Head) -> bytes:
    """The signature lines over a stored head. Signing again states the same time, so it states nothing new."""
    text = parse_note(head.note).text
    return "".join(signer.sign(text, head.time).line for signer in signers).encode()
