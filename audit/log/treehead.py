"""The text of a checkpoint: which log, how many leaves, which root. Signatures over it are checked in checkpoint.py.

Three lines by C2SP tlog-checkpoint. The extension lines which that page allows but advises against are refused here,
because the ML-DSA-44 signature of the log does not cover them.
"""

from __future__ import annotations

from dataclasses import dataclass

from audit.log.encoding import decode_base64, encode_base64, parse_decimal
from audit.log.merkle import EMPTY_ROOT, HASH_SIZE
from audit.protocol.refused import Refused

MAX_ORIGIN = 255
"""Bytes of an origin: the length prefix in the ML-DSA-44 message is one byte (C2SP tlog-cosignature)."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The head of a log: origin, number of leaves, and the RFC 6962 root (32 bytes)."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> bytes:
        """The note text: origin, decimal size and base64 root, each on its line."""
        return f"{self.origin}\n{self.size}\n{encode_base64(self.root)}\n".encode()


def parse_checkpoint(text: bytes) -> Checkpoint:
    """The checkpoint of an (unverified) note text.

    Refused `syntax` for other than three non-empty lines, `bad-encoding` or `wrong-length` for size and root,
    `wrong-root` for an empty tree with another root than SHA-256 of nothing (C2SP tlog-witness).
    """
    try:
        lines = text.decode("utf-8").split("\n")
    except UnicodeDecodeError:
        raise Refused("syntax", "the checkpoint is not UTF-8") from None
    if len(lines) != 4 or lines[3] or not lines[0]:
        raise Refused("syntax", "a checkpoint is three lines: origin, size and root")
    origin, size_line, root_line, _ = lines
    if len(origin.encode()) > MAX_ORIGIN:
        raise Refused("wrong-length", f"the origin is longer than {MAX_ORIGIN} bytes")
    size = parse_decimal(size_line, "the tree size")
    root = decode_base64(root_line, "the root hash", HASH_SIZE)
    if size == 0 and root != EMPTY_ROOT:
        raise Refused("wrong-root", "the root of size 0 is not that of the empty tree")
    return Checkpoint(origin, size, root)
