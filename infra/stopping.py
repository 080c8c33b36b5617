"""How a service ends: the first SIGTERM or SIGINT asks it to, a second ends it at once, and so does the time it may
take.

Ending at once loses nothing that was accepted, for that is on disk before it is said. It only leaves to the next start
what was under way.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType

from infra import log

STOP_SECONDS = 20.0
"""From the first signal to the end, whatever is under way."""
SAYING_SECONDS = 1.0
"""In which a service says that it has not ended by itself."""
SIGNALS = (signal.SIGTERM, signal.SIGINT)

_log = log.Log("infra.stopping", overdue=("seconds",))


def on_signal(stop: Callable[[], None]) -> None:
    """From now on the first signal has `stop` called, by another thread, and unless the process has ended after
    STOP_SECONDS it ends with code 1; a second signal ends it by that signal. For the main thread.
    """
    told, tell = os.pipe()
    came = False

    def heed(number: int, _: FrameType | None) -> None:
        nonlocal came
        if came:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        came = True
        # A handler runs in the middle of anything: what it called might want a lock that is held there.
        os.write(tell, b"\n")

    def wait() -> None:
        os.read(told, 1)
        stop()
        time.sleep(STOP_SECONDS)
        # Whatever does not end may hold up who logs, too.
        saying = threading.Thread(target=_log.error, args=("overdue",), kwargs={"seconds": STOP_SECONDS}, daemon=True)
        try:
            saying.start()
            saying.join(SAYING_SECONDS)
        finally:
            # Also where there is no thread to be had. Not sys.exit, which would wait for what does not end.
            os._exit(1)

    threading.Thread(target=wait, name="stopping", daemon=True).start()
    for name in SIGNALS:
        signal.signal(name, heed)
