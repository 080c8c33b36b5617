"""A log that is read from others' tiles and stored: what a follower does all the time, and a lost custodian once.

Entries are stored in steps, each one only after it was proven to be under a head with W cosignatures that continues
what is held; the head comes last, when all of its entries are on disk. A crash leaves entries without a head: the next
attempt hashes them again and goes on after them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from audit.log.checkpoint import LogPolicy
from audit.log.merkle import CompactRange, frontier
from audit.log.proving import TreeTiles
from audit.log.reader import Head as SignedHead
from audit.log.reader import Reader, ReadError, read_entries
from audit.log.tiles import WIDTH
from infra import failpoints
from vault.custodian.cosign import Head
from vault.custodian.keys import Keys
from vault.custodian.storage import Damaged, Store
from vault.custodian.stored import by_log, hash_all, right_leaves

STEP = 4 * WIDTH
"""Entries stored at a time: 64 MiB at most, about 300 KiB as a rule."""

Progress = Callable[[int, int], None]


def pull(
    store: Store,
    keys: Keys,
    reader: Reader,
    head: SignedHead,
    policy: LogPolicy,
    time: int,
    progress: Progress = lambda done, total: None,
) -> Head:
    """Stores the log up to `head`, which satisfied `policy`, and returns the head as it is stored, with `time`, or
    that of the one before it, if that is later.

    Raises as `fill`; Overtaken if another process stores the same log.
    """
    grown = fill(store, keys, reader, head, policy, progress)
    held = store.newest(keys.origin)
    # No head has an earlier time than a smaller one; here nothing is signed, and the clock may leap.
    later = max(time, held.time)
    new = Head(held.size, head.size, head.root, grown.to_bytes(), by_log(policy, head.note).raw, later)
    failpoints.at("pull.storing")
    store.append(keys.origin, new, [], [])
    failpoints.at("pull.stored")
    return new


def fill(
    store: Store,
    keys: Keys,
    reader: Reader,
    head: SignedHead,
    policy: LogPolicy,
    progress: Progress = lambda done, total: None,
) -> CompactRange:
    """Stores the entries up to `head`, which satisfied `policy`, without it; returns the frontier there.

    `keys` learns from the entries. ReadError as `read_entries`, `stale` if as many are held, `wrong-keys` if by the
    entries it is not `policy` that counts over it; all that was stored by then stays. Damaged, also if what is staged
    here is not under the head; Overtaken if another process stores the same log; SQLAlchemyError or OSError of the
    store.
    """
    origin = keys.origin
    held = store.newest(origin)
    if head.size <= held.size:
        raise ReadError(f"has {head.size} entries, no more than are held", str(reader), "stale")
    grown = CompactRange.from_bytes(held.frontier)
    for leaves, step in staged(store, origin, held.size, head.size):
        _learn(keys, grown.size, step)
        grown.extend(leaves)
        progress(grown.size, head.size)
    for step in steps(_read(reader, head, held, grown)):
        leaves = hash_all(step)
        failpoints.at("pull.staging")
        store.stage(origin, grown.size, leaves, step)
        failpoints.at("pull.staged")
        _learn(keys, grown.size, step)
        grown.extend(leaves)
        progress(grown.size, head.size)
    if keys.at(head.size) != policy:
        raise ReadError("its checkpoint is signed by keys that the entries under it replace", str(reader), "wrong-keys")
    return grown


def _read(reader: Reader, head: SignedHead, held: Head, grown: CompactRange) -> Iterator[bytes]:
    """As `read_entries` from `grown` on, up to which entries are staged. Damaged if the source proves that others are
    under its head, which continues what is held: it is not accused of what has changed here.
    """
    try:
        yield from read_entries(reader, grown, head)
    except ReadError as error:
        if error.reason != "wrong-root" or grown.size == held.size:
            raise
        tiles = TreeTiles(reader, head)
        root = head.root if grown.size == head.size else frontier(tiles, grown.size).root()
        try:
            tiles.consistency(grown.size, root)
            tiles.consistency(held.size, held.root)
        except ReadError as other:
            # One that has become silent meanwhile is not accused either.
            raise error if other.reason == "bad-proof" else other from None
        if root == grown.root():
            raise
        text = f"what is staged from entry {held.size} on is not what the log and W custodians have signed"
        raise Damaged(f"{text}: scrub it, or, if nothing is found, rebuild in an empty place") from None


def _learn(keys: Keys, start: int, entries: list[bytes]) -> None:
    for index, entry in enumerate(entries, start):
        keys.learn(index, entry)


def staged(store: Store, origin: str, start: int, end: int) -> Iterator[tuple[list[bytes], list[bytes]]]:
    """The entries from `start` that are stored without a head, up to `end`, in steps, each after their leaf hashes.
    Damaged if one is missing, or not the one that was stored.
    """
    end = min(end, store.staged(origin))
    for at in range(start, end, STEP):
        until = min(at + STEP, end)
        entries = store.entries(origin, at, until)
        yield right_leaves(at, until, entries, store.hashes(origin, 0, at, until)), entries


def steps(entries: Iterator[bytes]) -> Iterator[list[bytes]]:
    """The entries in lists of STEP; the last may be shorter, also where the reading ends with ReadError: what came
    before that is proven.
    """
    step: list[bytes] = []
    try:
        for entry in entries:
            step.append(entry)
            if len(step) == STEP:
                yield step
                step = []
    except ReadError:
        if step:
            yield step
        raise
    if step:
        yield step
