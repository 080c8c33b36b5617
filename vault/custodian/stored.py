"""The log in a store, read as any other log is: what checks a stranger's tiles checks one's own."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from hashlib import sha256

from audit.log.checkpoint import LogPolicy, open_note
from audit.log.merkle import CompactRange, frontier, leaf_hash
from audit.log.notes import Note, Signature, parse_note, verified_lines
from audit.log.proving import TreeTiles
from audit.log.reader import Head as SignedHead
from audit.log.tiles import WIDTH, frame
from audit.log.treehead import Checkpoint, parse_checkpoint
from audit.protocol.refused import Refused
from vault.custodian.cosign import Head
from vault.custodian.nodes import check_held
from vault.custodian.storage import Damaged, DamagedCheckpoint, Store


class StoreReader:
    """An `audit.log.reader.Reader` of what a store holds of one log. Damaged if it is less than what is asked for."""

    def __init__(self, store: Store, origin: str) -> None:
        self._store, self._origin = store, origin

    def __str__(self) -> str:
        return f"this custodian/{self._origin}"

    def checkpoint(self) -> bytes | None:
        return self._store.published(self._origin)[1] or None

    def rekeys(self) -> None:
        """A store says it by its entries alone."""
        return

    def tile(self, level: int, index: int, width: int) -> bytes:
        start = index * WIDTH
        return b"".join(whole(self._store.hashes(self._origin, level, start, start + width), width))

    def bundle(self, index: int, width: int) -> bytes:
        start = index * WIDTH
        return frame(whole(self._store.entries(self._origin, start, start + width), width))


def whole(rows: list[bytes], width: int) -> list[bytes]:
    """The rows, if they are as many as were stored; Damaged otherwise."""
    if len(rows) != width:
        raise Damaged(f"{width - len(rows)} rows are missing")
    return rows


def staged_leaves(store: Store, origin: str, start: int, end: int) -> list[bytes]:
    """The leaf hashes of the entries [start, end), each computed from the entry as it is stored now: between the entry
    and its head the process may have ended. Damaged if an entry is missing, or not the one that was stored.
    """
    leaves: list[bytes] = []
    for at in range(start, end, WIDTH):
        until = min(at + WIDTH, end)
        leaves += right_leaves(at, until, store.entries(origin, at, until), store.hashes(origin, 0, at, until))
    return leaves


def right_leaves(start: int, end: int, entries: list[bytes], stored: list[bytes]) -> list[bytes]:
    """The leaf hashes of the entries [start, end), which must be all of them and lead to the stored hashes. Damaged."""
    computed = hash_all(whole(entries, end - start))
    for index, (leaf, other) in enumerate(zip(computed, whole(stored, end - start), strict=True), start):
        if leaf != other:
            raise Damaged(f"entry {index} is not as it was stored")
    return computed


def check_edge(store: Store, origin: str, held: Head) -> None:
    """The entries of the last bundle under a head, if it is not full, are as they were stored: what follows is put
    beside them, into one tile. Their stored hashes are checked where they are joined (`nodes`). Damaged.
    """
    start = held.size // WIDTH * WIDTH
    if start < held.size:
        entries = whole(store.entries(origin, start, held.size), held.size - start)
        check_held(CompactRange.from_bytes(held.frontier), 0, hash_all(entries))


def readable_published(store: Store, origin: str) -> tuple[int, bytes]:
    """Size and note of the newest published checkpoint that can be read, as `Store.published`: readers go on with an
    older one until the newest is mended.
    """
    below = None
    while True:
        try:
            return store.published(origin, below)
        except DamagedCheckpoint as damaged:
            below = damaged.size


def check_head(head: Head, policy: LogPolicy) -> None:
    """A stored head is the one that the log signed: its root that of its frontier and of its note.

    A custodian decides by it what continues the log. Damaged if a bit of it, or the row as a whole, is another than
    was stored.
    """
    if head.size == 0:
        return
    try:
        checkpoint = open_note(parse_note(head.note), policy, witnessed=False)
        grown = CompactRange.from_bytes(head.frontier)
    except Refused as refusal:
        raise Damaged(f"the head of {head.size} entries is damaged: {refusal.detail}") from None
    if not (checkpoint.size == grown.size == head.size and checkpoint.root == grown.root() == head.root):
        raise Damaged(f"the head of {head.size} entries is damaged: its note, root and frontier do not agree")


def check_seen(origin: str, head: Head, policies: Iterable[LogPolicy]) -> None:
    """A head that was seen is as it was stored, as far as anything is signed or built on it: its note says its size and
    root, and nothing else, and the log has signed it, by the keys of one of `policies`. Damaged.
    """
    if head.note.partition(b"\n\n")[0] + b"\n" != Checkpoint(origin, head.size, head.root).text:
        raise Damaged(f"the head of {head.size} entries that was seen is damaged: its note and root do not agree")
    for policy in policies:
        with suppress(Refused):
            by_log(policy, parse_note(head.note))
            return
    raise Damaged(f"the head of {head.size} entries that was seen is damaged: the log has not signed it")


def signed_head(head: Head) -> SignedHead:
    """The head as a reader knows it. Refused if its note is none."""
    note = parse_note(head.note)
    return SignedHead(parse_checkpoint(note.text), note)


def tree(store: Store, origin: str, head: Head) -> TreeTiles:
    """The tree under a stored head, a source of its hashes."""
    return TreeTiles(StoreReader(store, origin), signed_head(head))


def root_at(store: Store, origin: str, head: Head, size: int) -> bytes:
    """The root of the first `size` entries under a stored head, from the stored hashes."""
    return head.root if size == head.size else frontier(tree(store, origin, head), size).root()


def line_of(policy: LogPolicy) -> str:
    """The line of trees that these keys of the log have signed, under which is kept what was seen or brought ahead of
    its head: where a key was stolen and the officials have replaced it, another one begins.
    """
    return sha256("\n".join(key.vkey for key in policy.log).encode()).hexdigest()


def by_log(policy: LogPolicy, note: Note) -> Note:
    """The note with the log's lines alone, in the order of its keys: what anybody else has signed stays outside.

    Refused `not-signed-by-log` unless every key of the log has signed, and none of its lines is wrong.
    """
    try:
        signed = verified_lines(note, policy.log)
    except Refused as refusal:
        raise Refused("not-signed-by-log", refusal.detail) from None
    if any(key not in signed for key in policy.log):
        raise Refused("not-signed-by-log", "the log has not signed the checkpoint with all of its keys")
    lines: dict[tuple[str, bytes], Signature] = {}
    for line in note.signatures:
        lines.setdefault((line.name, line.key_id), line)
    return Note(note.text, tuple(lines[key.name, key.key_id] for key in policy.log))


def hash_all(entries: list[bytes]) -> list[bytes]:
    """The leaf hash of each entry, 32 bytes."""
    return [leaf_hash(entry) for entry in entries]
