"""Services of the project on loopback ports, in threads of the test's own process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from infra.http import silent

PATIENCE = 30.0


@contextmanager
def serving(app: Any, port: int = 0) -> Iterator[str]:
    """The base URL at which `app` is served until the end of the block."""
    # As a service runs it: an error that has been answered ends the request, not the connection.
    config = uvicorn.Config(silent(app), port=port, log_config=None, lifespan="on", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        wait_until(lambda: server.started)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(PATIENCE)


def wait_until(done: Callable[[], bool], patience: float = PATIENCE) -> None:
    """Returns once `done`; fails the test if that takes too long."""
    end = time.monotonic() + patience
    while not done():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)
