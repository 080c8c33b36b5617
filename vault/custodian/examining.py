"""A custodian re-reads all it holds, before it signs anything and then again and again: what changed on its disk is
found, whether it was running or not.

The first time it reads as fast as it can, for until then it signs nothing. Later it goes on beside the service, at a
small part of the time, over a log that grows meanwhile. Readers are served all along. Once something is damaged it
signs nothing until it has been scrubbed and started again, and goes on serving and reading: readers verify, and whoever
runs it sees what a scrub has left.

What the kernel or PostgreSQL has in memory is read from there, so a change on the disk below shows once that was given
up.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Collection, Mapping

from audit.protocol.refused import Refused
from infra import lasting, log
from infra.database import RETRY_SECONDS, UNAVAILABLE, tell
from infra.metrics import Metrics
from vault.custodian.keys import Keys
from vault.custodian.pages import readable
from vault.custodian.scrubbing import Examination, Fault
from vault.custodian.storage import Damaged, Mendable

BETWEEN_SECONDS = 60.0
"""From the end of one examination to the beginning of the next."""
PART = 0.02
"""Of the time that an examination beside the service takes."""
PIECE_SECONDS = 0.02
"""How long it works, as a rule, before it rests."""
LONGEST_REST_SECONDS = 60.0
"""Also where the whole process was stopped in between."""

_log = log.Log("vault.examine", examined=("entries",), damaged=("what", "number", "faults"))

Clock = Callable[[], float]
Sleep = Callable[[float], None]


class Examiner:
    """Examines the logs of `logs` in `store`; `check` says whether they may be signed over. `clock` gives seconds, of
    which only differences count.
    """

    def __init__(
        self,
        store: Mendable,
        logs: Mapping[str, Keys],
        clock: Clock = time.monotonic,
        sleep: Sleep = time.sleep,
    ) -> None:
        self._store, self._logs, self._clock, self._sleep = store, logs, clock, sleep
        self._begun = threading.Event()
        self._damage = ""
        self._told: dict[str, str] = {}
        self._ended: dict[str, float] = {}
        self._faults: dict[str, int] = {}

    def start(self, ended: Callable[[], None]) -> None:
        """Examines from now on, in a thread of its own; `ended` is called should that end."""
        lasting.start("examine", self._go_on, ended)

    def run(self) -> None:
        """Examines everything; while the database is away, it waits."""
        for keys in self._logs.values():
            while not self._examine(keys, lambda: None):
                self._sleep(RETRY_SECONDS)
        self._begun.set()

    def patrol(self) -> None:
        """Examines everything once more, at its part of the time. A log of which not all can be read now comes to it
        in the next round.
        """
        for keys in self._logs.values():
            self._examine(keys, Sparing(self._clock, self._sleep))

    def check(self) -> None:
        """Refused `examining` until all was examined once, `damaged` as soon as something is found to be."""
        if not self._begun.is_set():
            raise Refused("examining", "this custodian re-reads what it holds; it signs nothing before it has")
        if self._damage:
            raise Refused("damaged", f"{self._damage}: this custodian signs nothing until it is scrubbed")

    def add_figures(self, metrics: Metrics) -> None:
        """Declares how long ago each log was examined to its end, and what was found."""
        origins = list(self._logs)
        age = metrics.level("examined_age_seconds", "Since all that is held was last read to its end.", log=origins)
        faults = metrics.level("faults", "Things that were damaged when all was last read.", log=origins)

        def look() -> None:
            for origin in origins:
                # Before the first time it is not known.
                age.set(self._clock() - self._ended.get(origin, math.nan), log=origin)
                faults.set(self._faults.get(origin, math.nan), log=origin)

        metrics.look(look, age, faults)

    def _go_on(self) -> None:
        self.run()
        while True:
            self._sleep(BETWEEN_SECONDS)
            self.patrol()

    def _examine(self, keys: Keys, rest: Callable[[], None], again: bool = False) -> bool:
        """Whether one log could be examined; `rest` is called again and again meanwhile. `again`: for the second time,
        since the first was broken off by damage that is of nothing in particular.
        """
        origin = keys.origin

        def step(done: int, total: int) -> None:
            # Nothing more is signed from the first fault on, however much there is still to read.
            if work.faults and not self._damage:
                self._take(origin, work.faults[:1])
            rest()

        work = Examination(self._store, keys, step)
        try:
            with readable():
                found = work.run()
        except UNAVAILABLE as error:
            tell(error)
            return False
        except Damaged as error:
            if not again and not work.faults:
                # Of some troubles of a moment a database says what it says of a damaged page.
                self._sleep(RETRY_SECONDS)
                return self._examine(keys, rest, again=True)
            self._found(origin, str(error), "head", 0, 1)
            return True
        except Exception as error:
            # Of a disk, or one that nobody foresaw: what was not examined is not signed over when it begins.
            log.failure(error)
            return False
        if found.faults:
            self._take(origin, found.faults)
        elif origin not in self._ended:
            _log.info("examined", entries=found.head.size)
        self._ended[origin], self._faults[origin] = self._clock(), len(found.faults)
        return True

    def _take(self, origin: str, faults: Collection[Fault]) -> None:
        first, *others = sorted(faults)
        said = f"{first}" + (f", and {len(others)} more" if others else "")
        self._found(origin, said, first.kind, first.number, len(faults))

    def _found(self, origin: str, damage: str, kind: str, number: int, faults: int) -> None:
        self._damage, self._faults[origin] = damage, faults
        # Each round finds it again.
        if self._told.get(origin) != damage:
            self._told[origin] = damage
            _log.error("damaged", what=kind, number=number, faults=faults)


class Sparing:
    """Leaves the others most of the time: who calls it between two pieces of work is held up by a multiple of what the
    last one took.
    """

    def __init__(self, clock: Clock, sleep: Sleep) -> None:
        self._clock, self._sleep = clock, sleep
        self._since = clock()

    def __call__(self) -> None:
        worked = self._clock() - self._since
        if worked >= PIECE_SECONDS:
            self._sleep(min(worked * (1 / PART - 1), LONGEST_REST_SECONDS))
            self._since = self._clock()
