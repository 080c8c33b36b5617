"""The queue's way out as the sequencer sees it: rows to decide on, deleted only when custodians hold what became of
them.
"""

from __future__ import annotations

from collections.abc import Iterable

import httpx

from audit.log.tiles import MAX_DATA
from audit.protocol.refused import Refused
from infra.exchange import Unusable, ask, client
from infra.queue.frames import Row, read_rows
from infra.queue.schema import KEY_BYTES

TIMEOUT = httpx.Timeout(30.0, connect=5.0)
SECONDS = 60.0
MAX_ROW = KEY_BYTES + 4 + MAX_DATA


class QueueUnavailable(Exception):
    """The queue cannot be asked now. What it holds stays there."""


class Egress:
    """The two calls, each QueueUnavailable if it fails."""

    def __init__(self, url: str, token: str) -> None:
        self._client = client(TIMEOUT, base_url=url.rstrip("/"), headers={"Authorization": f"Bearer {token}"})

    def take(self, most: int) -> list[Row]:
        """Up to `most` rows, which nobody else is handed for 30 seconds."""
        try:
            return list(read_rows(self._post(f"/take?most={most}", b"", most * MAX_ROW)))
        except Refused as refusal:
            raise QueueUnavailable(refusal.reason) from None

    def ack(self, keys: Iterable[bytes]) -> None:
        """Deletes these rows. If it fails they come again, and are recognised."""
        self._post("/ack", b"".join(keys), MAX_ROW)

    def _post(self, path: str, content: bytes, most: int) -> bytes:
        try:
            answer = ask(self._client, "POST", path, content, most=most, seconds=SECONDS)
        except (httpx.HTTPError, Unusable) as error:
            raise QueueUnavailable(type(error).__name__) from None
        if not 200 <= answer.status < 300:
            raise QueueUnavailable(f"status {answer.status}")
        return answer.body
