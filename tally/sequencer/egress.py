"""The queue's way out as the sequencer sees it: rows to decide on, deleted only when custodians hold what became of
them.
"""

from __future__ import annotations

from collections.abc import Iterable

import httpx

from audit.protocol.refused import Refused
from infra.queue.frames import Row, read_rows

SECONDS = httpx.Timeout(30.0, connect=5.0)


class QueueUnavailable(Exception):
    """The queue cannot be asked now. What it holds stays there."""


class Egress:
    """The two calls, each QueueUnavailable if it fails."""

    def __init__(self, url: str, token: str) -> None:
        self._client = httpx.Client(
            base_url=url.rstrip("/"), headers={"Authorization": f"Bearer {token}"}, timeout=SECONDS
        )

    def take(self, most: int) -> list[Row]:
        """Up to `most` rows, which nobody else is handed for 30 seconds."""
        try:
            return list(read_rows(self._post(f"/take?most={most}", b"")))
        except Refused as refusal:
            raise QueueUnavailable(refusal.reason) from None

    def ack(self, keys: Iterable[bytes]) -> None:
        """Deletes these rows. If it fails they come again, and are recognised."""
        self._post("/ack", b"".join(keys))

    def _post(self, path: str, content: bytes) -> bytes:
        try:
            answer = self._client.post(path, content=content)
        except httpx.HTTPError as error:
            raise QueueUnavailable(type(error).__name__) from None
        if not answer.is_success:
            raise QueueUnavailable(f"status {answer.status_code}")
        return answer.content
