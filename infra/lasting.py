"""Threads that a service cannot do without. Each waits out whatever fails in one of its rounds; what ends one all the
same is a fault that nobody foresaw, and then the service must not promise or sign as if it still went on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from infra.log import failure


def start(name: str, work: Callable[[], None], ended: Callable[[], None]) -> threading.Thread:
    """Has `work` go on in a thread of its own, no longer than the process. If anything but its own return ends it,
    `ended` is called, in that thread, and what it was is reported.
    """

    def run() -> None:
        try:
            work()
        except BaseException as error:
            # First of all, whatever may fail after it.
            ended()
            failure(error)

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    return thread
