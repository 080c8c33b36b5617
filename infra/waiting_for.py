"""A question that may never be answered: of a database that is stopped, which does not even refuse."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from infra.log import failure


class WaitingFor:
    """Has `ask` called by a thread of its own, once at a time, and waits `seconds` for it; then it goes on, but those
    who come while it does wait no longer. `ask` raises nothing. Threads may share it.
    """

    def __init__(self, ask: Callable[[], None], seconds: float) -> None:
        self._ask, self._seconds = ask, seconds
        self._lock = threading.Lock()
        self._asking: threading.Thread | None = None
        self._begun = 0.0

    def __call__(self) -> bool:
        """Whether it is back in time; also no, if there is not even a thread to spare."""
        try:
            asking, begun = self._begin()
        except RuntimeError as error:
            failure(error)
            return False
        asking.join(max(0.0, begun + self._seconds - time.monotonic()))
        return not asking.is_alive()

    def _begin(self) -> tuple[threading.Thread, float]:
        """Who asks, and since when. RuntimeError."""
        with self._lock:
            if self._asking is None or not self._asking.is_alive():
                asking = threading.Thread(target=self._ask, name="asking", daemon=True)
                asking.start()
                # Not before: one that never began cannot be waited for.
                self._asking, self._begun = asking, time.monotonic()
            return self._asking, self._begun
