"""What intake tells of itself to those who run it, and why it tells no more.

Who keeps figures may see less than intake does, and may also see the network, or the log. So nothing here tells more of
when an entry came, or which, than the batches tell in which entries leave: texts are as far apart as batches, what
voters do is counted in multiples of a batch, ages are whole waits, and no duration of a single request is told, since
it depends on the roll that the ballot is of.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from math import ceil

from sqlalchemy import Engine, case, func, select

from audit.record.admission import PHASES
from audit.record.manifest import Manifest
from infra.metrics import OTHER, SIZES, Metrics
from infra.private import Ready, reachable
from intake.door.key import DoorKey
from intake.door.mover import Mover
from intake.door.receipt import WAITS
from intake.door.schema import accepted, outbox
from intake.door.standing import Standing
from intake.door.watch import Watch

MOST_OLD = 256
"""Of those that wait, how many are looked at for the oldest."""
ALARMS = ("cannot-account", "custodians-silent", "full", "queue-silent", "refused-otherwise", "wrong-log")


def coarse(manifest: Manifest) -> Metrics:
    """Figures as coarse as this election's batches."""
    return Metrics(manifest.batch_wait, max(1, manifest.batch_min))


def add_figures(
    metrics: Metrics,
    manifest: Manifest,
    engine: Engine,
    standing: Standing,
    mover: Mover,
    watch: Watch,
    clock: Callable[[], float] = time.time,
) -> None:
    """Declares them, and has them counted; `clock` gives POSIX seconds."""
    size = metrics.level("log_size", "Entries of the log that have been read.")
    phase = metrics.level("log_phase", "1 for the phase of the election.", phase=PHASES)
    depth = metrics.level("outbox_depth", "Entries that wait to be recorded.", coarse=True, kind=("ballot",))
    oldest = metrics.level("outbox_oldest_seconds", "How long the oldest of them waits, in whole batch waits.")
    alarms = metrics.level("alarm", "1 while there is cause for it.", alarm=ALARMS)
    batches = metrics.spread("batch_entries", "Entries passed on at a time.", SIZES)

    def look() -> None:
        size.set(standing.election.size)
        phase.only({standing.election.phase: 1})
        alarms.only({
            "cannot-account": watch.cannot_account,
            "custodians-silent": watch.silent,
            "full": standing.full or standing.full_of_others,
            "queue-silent": mover.silent,
            "refused-otherwise": watch.refused_otherwise,
            "wrong-log": standing.broken,
        })

    def look_at_outbox() -> None:
        for kind, number in waiting(engine, manifest.origin).items():
            depth.set(number, kind=kind)
        deadline = first_deadline(engine, manifest.origin)
        wait = max(manifest.batch_wait, 1.0)
        age = 0.0 if deadline is None else max(0.0, clock() - deadline + WAITS * manifest.batch_wait)
        oldest.set(ceil(age / wait) * wait)

    mover.moved = batches.note
    metrics.look(look)
    metrics.look(look_at_outbox, depth, oldest)


def waiting(engine: Engine, origin: str) -> dict[str, int]:
    """How many ballots wait in the outbox, and how many other entries."""
    kind = case((outbox.c.kind == "ballot", "ballot"), else_=OTHER)
    query = select(kind, func.count()).where(outbox.c.origin == origin).group_by(kind)
    with engine.connect() as connection:
        return {"ballot": 0, OTHER: 0} | {row[0]: int(row[1]) for row in connection.execute(query)}


def first_deadline(engine: Engine, origin: str) -> int | None:
    """The first deadline (POSIX seconds) among those that were passed on most often, which are the oldest; None if
    nothing waits.
    """
    mine = select(outbox.c.identity).where(outbox.c.origin == origin)
    oldest = mine.order_by(outbox.c.puts.desc()).limit(MOST_OLD).subquery()
    query = select(func.min(accepted.c.deadline)).where(
        accepted.c.origin == origin, accepted.c.identity.in_(select(oldest.c.identity))
    )
    with engine.connect() as connection:
        found: int | None = connection.execute(query).scalar_one()
        return found


def readiness(standing: Standing, watch: Watch, key: DoorKey, engine: Engine) -> Ready:
    """Whether it can take a ballot and promise that it will be in the log."""

    def ready() -> str:
        if standing.ended:
            return "ended"
        if standing.broken:
            return "wrong-log"
        if not standing.ready:
            return "not-ready"
        if watch.silent:
            return "custodians-silent"
        if not key.counts:
            return "no-key"
        if standing.full:
            return "full"
        return reachable(engine)

    return ready
