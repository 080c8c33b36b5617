"""A custodian looks again and again whether the place where it stores is still safe. An insider who gives its role a
right, takes a table's guard away or has damaged pages read over does so while it runs.

It says so, and signs nothing until that is undone: it goes by the rule that it begins by. What somebody did in between
two looks, and undid, shows nowhere here; what it did to the rows, an examination finds.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from audit.protocol.refused import Refused
from infra import lasting, log
from infra.database import UNAVAILABLE, tell
from infra.metrics import Metrics
from vault.custodian.storage import Unsafe

SECONDS = 30.0
"""Between two looks: one short transaction that reads the database's own tables."""
SAID_AGAIN_SECONDS = 600

_log = log.Log("vault.watch", unsafe=("what",), safe_again=())


class Watch:
    """Looks by `check_safe`, a store's; `check` says whether what is stored may be vouched for, by the last look."""

    def __init__(self, check_safe: Callable[[], None]) -> None:
        self._check_safe = check_safe
        self._unsafe = ""
        self._seldom = log.Seldom(SAID_AGAIN_SECONDS)

    def start(self, ended: Callable[[], None]) -> None:
        """Looks from now on, in a thread of its own; `ended` is called should that end."""
        lasting.start("watch", self._run, ended)

    def look(self) -> None:
        """Looks once. While the database is away it stays at what was seen last: nothing can be stored then."""
        try:
            self._check_safe()
        except Unsafe as error:
            self._unsafe = str(error)
            if self._seldom.due(error.what):
                _log.error("unsafe", what=error.what)
        except UNAVAILABLE as error:
            tell(error)
        except Exception as error:
            log.failure(error)
        else:
            if self._unsafe:
                _log.info("safe-again")
            self._unsafe, self._seldom = "", log.Seldom(SAID_AGAIN_SECONDS)

    def check(self) -> None:
        """Refused `unsafe`."""
        if self._unsafe:
            raise Refused("unsafe", f"{self._unsafe}; this custodian signs nothing until that is undone")

    def add_figure(self, metrics: Metrics) -> None:
        """Declares whether the last look found the place unsafe."""
        unsafe = metrics.level("unsafe", "1 while what is stored could be changed without notice: it signs nothing.")
        metrics.look(lambda: unsafe.set(bool(self._unsafe)), unsafe)

    def _run(self) -> None:
        while True:
            self.look()
            threading.Event().wait(SECONDS)
