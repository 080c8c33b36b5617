"""A custodian that begins re-reads all it holds before it signs anything: what changed on its disk while it was not
running is found first.

Readers are served meanwhile. If something is damaged it goes on serving, since readers verify, and signs nothing until
it has been scrubbed and started again.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping

from audit.protocol.refused import Refused
from infra import log
from infra.database import RETRY_SECONDS, UNAVAILABLE, tell
from vault.custodian.keys import Keys
from vault.custodian.scrubbing import Examination, Fault
from vault.custodian.storage import Damaged, Mendable

_log = log.Log("vault.examine", examined=("entries",), damaged=("what", "number", "faults"))


class Examiner:
    """Examines the logs of `logs` in `store`, once; `check` says whether they may be signed over."""

    def __init__(self, store: Mendable, logs: Mapping[str, Keys]) -> None:
        self._store, self._logs = store, logs
        self._done = threading.Event()
        self._damage = ""

    def start(self) -> None:
        """Begins, in a thread of its own."""
        threading.Thread(target=self.run, name="examine", daemon=True).start()

    def run(self) -> None:
        """Examines everything; while the database is away, it waits."""
        for keys in self._logs.values():
            while not self._examine(keys):
                threading.Event().wait(RETRY_SECONDS)
        self._done.set()

    def check(self) -> None:
        """Refused `examining` until all is examined, `damaged` if something is."""
        if not self._done.is_set():
            raise Refused("examining", "this custodian re-reads what it holds; it signs nothing before it has")
        if self._damage:
            raise Refused("damaged", f"{self._damage}: this custodian signs nothing until it is scrubbed")

    def _examine(self, keys: Keys) -> bool:
        try:
            found = Examination(self._store, keys).run()
        except UNAVAILABLE as error:
            tell(error)
            return False
        except Damaged as error:
            self._damage = str(error)
            _log.error("damaged", what="head", number=0, faults=1)
            return True
        except Exception as error:
            # Of a disk, or one that nobody foresaw: what was not examined is not signed over.
            log.failure(error)
            return False
        if found.faults:
            self._take(found.faults)
        else:
            _log.info("examined", entries=found.head.size)
        return True

    def _take(self, faults: Iterable[Fault]) -> None:
        first, *others = sorted(faults)
        self._damage = f"{first}" + (f", and {len(others)} more" if others else "")
        _log.error("damaged", what=first.kind, number=first.number, faults=1 + len(others))
