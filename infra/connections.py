"""What one connection to a service may cost it. A client that sends its request byte by byte, never finishes it, or
does not read the answer is cut off; when there are as many connections as there may be, the one that has kept the
service waiting longest makes room for the next: first of those that were answered and have asked for nothing since.
Whoever has just come is the last to go, so that nobody who fills the places keeps others out for longer than it takes
them to ask; but whose body an application has said that it expects, goes after all others.

Whoever keeps the service waiting cannot be told from whoever is slow, so the times are generous and the number is not.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import MutableMapping
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_CONNECTIONS = 400
"""A process may have 1,024 files open unless its host says otherwise."""
MAX_HEAD = 1 << 15
"""Bytes of a request's first line and header fields, and what one read may bring beyond. As many may stand beside its
body, between chunks and after the last, where fields may follow that nobody asks for."""
BODY_PER_BYTE_BESIDE = 16
"""Bytes of body for each of which there may be one more beside it: who sends by the kilobyte needs less."""
HEAD_SECONDS = 10.0
BODY_SECONDS = 120.0
"""From the end of the head to the end of the body."""
READ_SECONDS = 60.0
"""How long an answer may wait for its reader to take the next bytes of it."""

EXPECTED = "psephos.expected"

_numbers = itertools.count()


def expect_body(scope: MutableMapping[str, Any]) -> None:
    """Says of a request that its head has shown who sends it, and that its body is waited for. The application bounds
    how many these are: those beyond the places that there are could not be told apart.
    """
    scope[EXPECTED] = True


class BoundedProtocol(HttpToolsProtocol):
    """HTTP/1.1 as uvicorn speaks it, within these bounds."""

    most: int | None = None
    """How many connections there may be, if not MAX_CONNECTIONS."""
    _number = 0
    """The higher, the later it was made, or brought or was given something whole."""
    _read = 0
    """Bytes since the end of the last request."""
    _body = 0
    """Those of them that are body."""
    _in_body = False
    _to_send: asyncio.TimerHandle | None = None
    _to_read: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        others = [other for other in self.connections if isinstance(other, BoundedProtocol)]
        super().connection_made(transport)
        self._number = next(_numbers)
        self._expect(HEAD_SECONDS)
        if len(others) >= (self.most or MAX_CONNECTIONS):
            waiting = (other for other in others if other.keeps_waiting)
            # If all of them are being answered, it is the new one that must come again.
            min(waiting, key=lambda other: (other._rank, other._number), default=self).transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._expect(None)
        self._stop_reading_clock()
        super().connection_lost(exc)

    @property
    def keeps_waiting(self) -> bool:
        """Whether it is the client's turn: to send a request, or the rest of one, or to read on."""
        reads = self._to_read is not None
        return reads or self.cycle is None or self.cycle.response_complete or self.cycle.more_body

    @property
    def _rank(self) -> int:
        """Who goes first: the lowest. 0 if it was answered, and has asked for nothing since."""
        if self.cycle is not None and self.cycle.response_complete and not self._read:
            return 0
        return 2 if self._in_body and EXPECTED in self.scope else 1

    def data_received(self, data: bytes) -> None:
        self._read += len(data)
        if not self._in_body and self._to_send is None:
            self._expect(HEAD_SECONDS)
        super().data_received(data)
        if self._read - self._body > MAX_HEAD + self._body // BODY_PER_BYTE_BESIDE:
            self.transport.abort()

    def on_body(self, body: bytes) -> None:
        self._body += len(body)
        super().on_body(body)

    def on_headers_complete(self) -> None:
        self._in_body = True
        self._expect(BODY_SECONDS)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_body, self._read, self._body = False, 0, 0
        self._number = next(_numbers)
        self._expect(None)
        super().on_message_complete()

    def on_response_complete(self) -> None:
        self._number = next(_numbers)
        super().on_response_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stop_reading_clock()
        self._to_read = self.loop.call_later(READ_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        self._stop_reading_clock()
        super().resume_writing()

    def _expect(self, seconds: float | None) -> None:
        """The client has so long for what it is to send next; None if it is not its turn."""
        if self._to_send is not None:
            self._to_send.cancel()
        self._to_send = None if seconds is None else self.loop.call_later(seconds, self.transport.abort)

    def _stop_reading_clock(self) -> None:
        if self._to_read is not None:
            self._to_read.cancel()
            self._to_read = None
