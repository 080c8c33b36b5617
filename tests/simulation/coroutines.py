"""Runs a coroutine as a task of a kernel: what it gives to other threads is done at once, in its own turn."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, TypeVar

from tests.simulation.kernel import Kernel

T = TypeVar("T")


class Loop(asyncio.AbstractEventLoop):
    """As much of an event loop as futures and `asyncio.to_thread` ask for."""

    def get_debug(self) -> bool:
        return False

    def is_closed(self) -> bool:
        return False

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def call_soon(self, callback: Callable[..., object], *arguments: Any, context: Context | None = None) -> Any:
        callback(*arguments)

    call_soon_threadsafe = call_soon

    def call_later(
        self, delay: float, callback: Callable[..., object], *arguments: Any, context: Context | None = None
    ) -> Any:
        """It is not called: of what is waited for with a limit here, nothing takes so long."""
        return asyncio.Handle(callback, arguments, self)

    def run_in_executor(self, executor: Any, call: Callable[..., Any], *arguments: Any) -> asyncio.Future[Any]:
        future = self.create_future()
        try:
            future.set_result(call(*arguments))
        except Exception as error:
            future.set_exception(error)
        return future

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """That nobody has asked what became of something is of no interest."""


LOOP = Loop()


def finish(kernel: Kernel, coroutine: Coroutine[Any, Any, T]) -> T:
    """What it returns; while it waits for a future, others have their turn."""
    asyncio._set_running_loop(LOOP)
    try:
        while True:
            kernel.pause(None, coroutine.send(None).done)
    except StopIteration as end:
        return end.value
    finally:
        asyncio._set_running_loop(None)
        coroutine.close()
