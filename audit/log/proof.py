"""The proof that a voter keeps (C2SP tlog-proof): one text file showing that an entry is in a log that was witnessed.

It holds a leaf's number, the inclusion proof and the cosigned checkpoint, so it can be verified offline, years later,
by anybody who knows the keys and the entry. Its `extra` bytes are covered by no signature: nothing may rest on them but
what is verified through the leaf hash, as the entry itself is (`audit.receipts`).
"""

from __future__ import annotations

from dataclasses import dataclass

from audit.log.checkpoint import Checkpoint, LogPolicy, open_note
from audit.log.encoding import decode_base64, encode_base64, parse_decimal
from audit.log.merkle import HASH_SIZE, MAX_PROOF, verify_inclusion
from audit.log.notes import MAX_NOTE, Note, parse_note
from audit.log.treehead import parse_checkpoint
from audit.protocol.refused import Refused

HEADER = "c2sp.org/tlog-proof@v1"
EXTENSION = ".tlog-proof"
MAX_EXTRA = 65_535
"""Bytes of extra data: enough for any entry."""
MAX_FILE = MAX_NOTE + 2 * MAX_EXTRA + 64 * (MAX_PROOF + 3)


@dataclass(frozen=True, slots=True)
class Proof:
    """Leaf `index` is in the tree of the checkpoint in `note`, by `hashes` from its sibling up.

    `extra` is not authenticated.
    """

    index: int
    hashes: tuple[bytes, ...]
    note: Note
    extra: bytes = b""

    @property
    def raw(self) -> bytes:
        """The file; `parse_proof` gives this proof back."""
        extra = [f"extra {encode_base64(self.extra)}"] if self.extra else []
        lines = [HEADER, *extra, f"index {self.index}", *map(encode_base64, self.hashes)]
        return "\n".join(lines).encode() + b"\n\n" + self.note.raw


def parse_proof(raw: bytes) -> Proof:
    """The proof in a file, nothing in it verified.

    Refused `too-long`, `syntax`, `bad-encoding`, `wrong-length`, or as `parse_note` and `parse_checkpoint`.
    """
    if len(raw) > MAX_FILE:
        raise Refused("too-long", f"a proof holds at most {MAX_FILE} bytes, this one {len(raw)}")
    first, separator, checkpoint = raw.partition(b"\n\n")
    try:
        lines = first.decode("ascii").split("\n")
    except UnicodeDecodeError:
        raise Refused("syntax", "the proof is not ASCII before the checkpoint") from None
    if lines.pop(0) != HEADER:
        raise Refused("syntax", f"the first line of a proof is {HEADER}")
    if not separator:
        raise Refused("syntax", "no empty line separates the proof from the checkpoint")
    extra = b""
    if lines and lines[0].startswith("extra "):
        extra = decode_base64(lines.pop(0).removeprefix("extra "), "the extra data")
        if not 0 < len(extra) <= MAX_EXTRA:
            raise Refused("wrong-length", f"the extra data has {len(extra)} bytes, not 1 to {MAX_EXTRA}")
    if not lines or not lines[0].startswith("index "):
        raise Refused("syntax", "the line after the header and the extra data, if any, is `index N`")
    index = parse_decimal(lines.pop(0).removeprefix("index "), "the index")
    if len(lines) > MAX_PROOF:
        raise Refused("too-long", f"an inclusion proof has at most {MAX_PROOF} hashes")
    hashes = tuple(decode_base64(line, "a hash of the proof", HASH_SIZE) for line in lines)
    note = parse_note(checkpoint)
    parse_checkpoint(note.text)
    return Proof(index, hashes, note, extra)


def open_proof(proof: Proof, leaf: bytes, policy: LogPolicy) -> Checkpoint:
    """The checkpoint, signed by the log and W custodians, in whose tree leaf hash `leaf` is number `proof.index`.

    `leaf` is what the verifier computes of the entry (C2SP tlog-proof, "Verifying", step 1). Refused as `open_note`;
    `bad-proof`.
    """
    checkpoint = open_note(proof.note, policy)
    verify_inclusion(leaf, proof.index, checkpoint.size, proof.hashes, checkpoint.root)
    return checkpoint
