"""The demo's PostgreSQL clusters, one for each zone and one for each custodian, all started side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager

from infra.postgres import Cluster, temporary_cluster


@contextmanager
def running_clusters(names: Sequence[str]) -> Iterator[dict[str, Cluster]]:
    """A running cluster by each name, all stopped and removed at the end. Raises as `temporary_cluster`."""
    contexts = {name: temporary_cluster(f"{name}-db") for name in names}
    with ExitStack() as stack, ThreadPoolExecutor(len(names)) as pool:
        entered = {name: pool.submit(context.__enter__) for name, context in contexts.items()}
        # Those that did start are to be stopped even if another did not.
        faults = [error for future in entered.values() if (error := future.exception()) is not None]
        running = [contexts[name] for name, future in entered.items() if future.exception() is None]
        stack.callback(leave, running)
        if faults:
            raise faults[0]
        yield {name: future.result() for name, future in entered.items()}


def leave(contexts: Sequence[AbstractContextManager[Cluster]]) -> None:
    """Leaves them all side by side; the first fault is raised when all are left."""
    with ThreadPoolExecutor(max(1, len(contexts))) as pool:
        for done in [pool.submit(context.__exit__, None, None, None) for context in contexts]:
            done.result()
