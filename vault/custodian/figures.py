"""What a custodian, or a follower, tells of itself to those who run it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from audit.protocol.refused import Refused
from infra.metrics import Metrics
from infra.private import Ready
from vault.custodian.alarms import CODES
from vault.custodian.custody import Custodian
from vault.custodian.following import Follower
from vault.custodian.storage import Damaged, Store
from vault.custodian.stored import readable_published

Append = Callable[[str, bytes], bytes]


def add_custody(metrics: Metrics, store: Store, origins: Iterable[str], folder: Path | None) -> None:
    """Declares how much is held of each log, and the room on the disk of `folder`."""
    held = metrics.level("log_size", "Entries that are held.", log=origins)
    published = metrics.level("published_size", "Entries under the checkpoint that is served.", log=origins)

    def look() -> None:
        for origin in origins:
            held.set(store.newest(origin).size, log=origin)
            published.set(readable_published(store, origin)[0], log=origin)

    metrics.look(look, held, published)
    if folder is not None:
        room = metrics.level("disk_free_bytes", "Room on the disk of the folder.")
        metrics.look(lambda: room.set(free(folder)), room)


def free(folder: Path) -> int:
    """Bytes that may still be written there by whoever is not root."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def timed(metrics: Metrics, append: Append, clock: Callable[[], float] = time.monotonic) -> Append:
    """The same `append`; how long it takes until what it stores is on disk and cosigned is noted."""
    seconds = metrics.spread("append_seconds", "Until an append was on disk and cosigned.")

    def timed_append(origin: str, body: bytes) -> bytes:
        began = clock()
        lines = append(origin, body)
        seconds.note(clock() - began)
        return lines

    return timed_append


def readiness(custodian: Custodian, origins: Iterable[str]) -> Ready:
    """Whether it can store an append and cosign it."""

    def ready() -> str:
        try:
            for origin in origins:
                custodian.kept.newest(origin)
            custodian.kept.time_to_sign()
        except Refused as refusal:
            return refusal.reason
        except Damaged:
            return "damaged"
        return ""

    return ready


def add_following(metrics: Metrics, follower: Follower) -> None:
    """Declares what a follower has found."""
    alarms = metrics.count("alarms", "Alarms, by kind: each counts in every round in which it is raised.", alarm=CODES)
    compared = metrics.count("compared_bundles", "Bundles of entries read again.")
    rounds = metrics.count("rounds", "Rounds in which all sources were asked, and nothing was wrong here.")

    def look() -> None:
        for kind in CODES:
            alarms.reach(follower.alarms.raised[kind], alarm=kind)
        compared.reach(follower.compared)
        rounds.reach(follower.rounds)

    metrics.look(look)


def follower_readiness(follower: Follower) -> Ready:
    """Whether it follows: it has asked its sources, could store what they gave, and no alarm tells that what it serves
    may be of no use.
    """

    def ready() -> str:
        worst = [kind for kind in ("fork", "rekey", "damaged") if follower.alarms.raised[kind]]
        return worst[0] if worst else "" if follower.whole else "not-ready"

    return ready
