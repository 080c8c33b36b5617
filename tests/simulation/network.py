"""The network between zones: a request may be lost, carried out and its answer lost, carried out twice, or long after
nobody waits for it any more; and zones can be cut off from each other.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import TypeVar

from sqlalchemy.exc import OperationalError

from audit.log.sources import ReadError, parse_rekeys
from audit.log.tiles import WIDTH
from audit.protocol.refused import Refused
from infra.exchange import Answer
from infra.queue.frames import Row
from intake.door.mover import NotStored
from tally.sequencer.custodian import Unavailable
from tally.sequencer.egress import QueueUnavailable
from tests.simulation.kernel import Crash, Kernel, Process
from vault.custodian.cosign import WrongOldSize
from vault.custodian.custody import Custodian as Keeper
from vault.custodian.serve import STATUS
from vault.custodian.storage import Unsafe

T = TypeVar("T")
PATIENCE = 8.0
LATENCY = 0.02


class NoAnswer(Exception):
    """Nobody knows whether the request was carried out."""


class Network:
    """Carries requests from zone to zone."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self.trouble = 0.0  # the share of requests to which something happens
        self.cuts: set[frozenset[str]] = set()

    def call(self, source: str, target: Process, request: Callable[[], T]) -> T:
        """What `request` answers, carried out by `target`. NoAnswer."""
        kernel, dice = self._kernel, self._kernel.dice
        fate = dice.random() / self.trouble if self.trouble else 1.0
        if fate < 0.25 or frozenset((source, target.name)) in self.cuts:
            kernel.pause(PATIENCE)
            raise NoAnswer
        kernel.pause(dice.random() * LATENCY)
        if fate < 0.5:
            # It comes when nobody waits any more, and if it is a repetition, out of order.
            self._later(target, request)
            if fate < 0.35:
                kernel.pause(PATIENCE)
                raise NoAnswer
        if target.stopped and not kernel.pause(PATIENCE, lambda: not target.stopped):
            self._later(target, request)
            raise NoAnswer
        answer = self._carry_out(target, request)
        if 0.5 <= fate < 0.75 or frozenset((source, target.name)) in self.cuts:
            kernel.pause(PATIENCE)
            raise NoAnswer
        kernel.pause(dice.random() * (LATENCY if fate >= 1 else PATIENCE / 2))
        return answer

    def _carry_out(self, target: Process, request: Callable[[], T]) -> T:
        if not target.alive:
            raise NoAnswer
        task = self._kernel.current
        task.serving = target, target.lives
        try:
            return request()
        except Crash:
            raise NoAnswer from None
        finally:
            task.serving = None

    def _later(self, target: Process, request: Callable[[], object]) -> None:
        def late() -> None:
            self._kernel.pause(self._kernel.dice.random() * 4 * PATIENCE)
            if not target.stopped:
                # Whoever would have been told what came of it is gone.
                with suppress(Exception):
                    self._carry_out(target, request)

        self._kernel.spawn(Process("network"), "late request", late)


def answer_of(keeper: Keeper, origin: str, method: str, path: str, content: bytes | None) -> Answer:
    """A custodian's answer over HTTP, as `vault.custodian.serve` gives it. Unsafe."""
    try:
        return Answer(*_routed(keeper, origin, method, path, content or b""))
    except WrongOldSize as wrong:
        return Answer(409, "text/x.tlog.size", f"{wrong.size}\n".encode())
    except Refused as refusal:
        problem = json.dumps({"reason": refusal.reason}).encode()
        return Answer(STATUS.get(refusal.reason, 422), "application/problem+json", problem)
    except (OperationalError, OSError):
        return Answer(503, "application/problem+json", b"{}")


def _routed(keeper: Keeper, origin: str, method: str, path: str, content: bytes) -> tuple[int, str, bytes]:
    if path == "rekeys":
        return 200, "text/plain", keeper.rekeys(origin)
    if path == "append":
        return 200, "text/plain", keeper.append(origin, content)
    if path == "publish":
        keeper.publish(origin, content)
        return 204, "", b""
    if path == "held":
        body = keeper.held(origin)
        if body is None:
            return 204, "", b""
    elif path == "checkpoint":
        body = keeper.checkpoint(origin)
    else:
        _, start, end = path.split("/")
        body = keeper.held_entries(origin, int(start), int(end))
    return (404, "", b"") if body is None else (200, "text/plain", body)


class Exchange:
    """A custodian as the sequencer reaches it: `tally.sequencer.custodian.Exchange`."""

    def __init__(
        self, network: Network, source: str, target: Process, ask: Callable[[str, str, bytes | None], Answer]
    ) -> None:
        self._network, self._source, self._target, self._ask = network, source, target, ask

    def __call__(self, method: str, path: str, content: bytes | None, most: int) -> Answer:
        try:
            return self._network.call(self._source, self._target, lambda: self._ask(method, path, content))
        except NoAnswer:
            raise Unavailable("no answer") from None


class Reader:
    """A custodian as anybody reads it: `audit.log.reader.Reader`."""

    def __init__(
        self, network: Network, source: str, target: Process, keeper: Callable[[], Keeper], origin: str
    ) -> None:
        self._network, self._source, self._target = network, source, target
        self._keeper, self._origin = keeper, origin

    def __str__(self) -> str:
        return self._target.name

    def checkpoint(self) -> bytes | None:
        return self._get(lambda: self._keeper().checkpoint(self._origin))

    def rekeys(self) -> list[int]:
        return parse_rekeys(self._some(self._get(lambda: self._keeper().rekeys(self._origin))), str(self))

    def tile(self, level: int, index: int, width: int) -> bytes:
        return self._some(self._get(lambda: self._keeper().tile(self._origin, level, index, width)))

    def bundle(self, index: int, width: int) -> bytes:
        assert index * WIDTH + width <= WIDTH, "no simulated log is that long"
        return self._some(self._get(lambda: self._keeper().bundle(self._origin, index, width)))

    def _get(self, request: Callable[[], bytes | None]) -> bytes | None:
        try:
            return self._network.call(self._source, self._target, request)
        except (NoAnswer, OperationalError, OSError, Unsafe):
            raise ReadError("no answer", str(self), "unreachable") from None

    def _some(self, raw: bytes | None) -> bytes:
        if raw is None:
            raise ReadError("is missing", str(self), "not-found")
        return raw


class Ingress:
    """The queue as the mover reaches it."""

    def __init__(self, network: Network, source: str, target: Process, put: Callable[[Sequence[bytes]], None]) -> None:
        self._network, self._source, self._target, self._put = network, source, target, put

    def __call__(self, entries: Sequence[bytes]) -> None:
        try:
            self._network.call(self._source, self._target, lambda: self._put(entries))
        except (NoAnswer, OperationalError):
            raise NotStored("no-answer") from None


class Egress:
    """The queue as the sequencer reaches it."""

    def __init__(
        self,
        network: Network,
        source: str,
        target: Process,
        take: Callable[[int, bool], list[Row]],
        ack: Callable[[Sequence[bytes]], None],
    ) -> None:
        self._network, self._source, self._target = network, source, target
        self._take, self._ack = take, ack
        self._anew = True

    def begin(self) -> None:
        self._anew = True

    def take(self, most: int) -> list[Row]:
        anew, self._anew = self._anew, True
        rows = self._ask(lambda: self._take(most, anew))
        self._anew = False
        return rows

    def ack(self, keys: Iterable[bytes]) -> None:
        listed = list(keys)
        self._ask(lambda: self._ack(listed))

    def _ask(self, request: Callable[[], T]) -> T:
        try:
            return self._network.call(self._source, self._target, request)
        except (NoAnswer, OperationalError):
            raise QueueUnavailable("no-answer") from None
