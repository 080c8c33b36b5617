"""A log that is read from others' tiles and stored: what a follower does all the time, and a lost custodian once.

Entries are stored in steps, each one only after it was proven to be under a head with W cosignatures that continues
what is held; the head comes last, when all of its entries are on disk. A crash leaves entries without a head: the next
attempt hashes them again and goes on after them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from audit.log.checkpoint import LogPolicy
from audit.log.merkle import CompactRange
from audit.log.reader import Head as SignedHead
from audit.log.reader import Reader, ReadError, read_entries
from audit.log.tiles import WIDTH
from infra import failpoints
from vault.custodian.cosign import Head
from vault.custodian.keys import Keys
from vault.custodian.storage import Store
from vault.custodian.stored import by_log, hash_all, whole

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

    `keys` learns from the entries. ReadError as `read_entries`, `stale` if as many are held, `wrong-root` if what is
    staged here is not under the head, `wrong-keys` if by the entries it is not `policy` that counts over it; all that
    was stored by then stays. Damaged; Overtaken if another process stores the same log; SQLAlchemyError or OSError of
    the store.
    """
    origin = keys.origin
    held = store.newest(origin)
    if head.size <= held.size:
        raise ReadError(f"has {head.size} entries, no more than are held", str(reader), "stale")
    grown = CompactRange.from_bytes(held.frontier)
    for step in staged(store, origin, held.size, head.size):
        _learn(keys, grown.size, step)
        grown.extend(hash_all(step))
        progress(grown.size, head.size)
    for step in steps(read_entries(reader, grown, head)):
        leaves = hash_all(step)
        failpoints.at("pull.staging")
        store.stage(origin, grown.size, leaves, step)
        failpoints.at("pull.staged")
        _learn(keys, grown.size, step)
        grown.extend(leaves)
        progress(grown.size, head.size)
    if grown.root() != head.root:
        raise ReadError("the entries held do not lead to the root of its checkpoint", str(reader), "wrong-root")
    if keys.at(head.size) != policy:
        raise ReadError("its checkpoint is signed by keys that the entries under it replace", str(reader), "wrong-keys")
    return grown


def _learn(keys: Keys, start: int, entries: list[bytes]) -> None:
    for index, entry in enumerate(entries, start):
        keys.learn(index, entry)


def staged(store: Store, origin: str, start: int, end: int) -> Iterator[list[bytes]]:
    """The entries from `start` that are stored without a head, up to `end`, in steps. Damaged if one is missing."""
    end = min(end, store.staged(origin))
    for at in range(start, end, STEP):
        until = min(at + STEP, end)
        yield whole(store.entries(origin, at, until), until - at)


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
