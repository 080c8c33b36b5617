"""The queue's way out as the sequencer sees it: rows to decide on, deleted only when custodians hold what became of
them.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

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
    """The two calls, each QueueUnavailable if it fails. One taker at a time, from one `begin` to the next."""

    def __init__(self, url: str, token: str) -> None:
        self._client = client(TIMEOUT, base_url=url.rstrip("/"), headers={"Authorization": f"Bearer {token}"})
        self._anew = True

    def begin(self) -> None:
        """What was handed out before, to this process or to one that has died, is the next take's to have."""
        self._anew = True

    def take(self, most: int) -> list[Row]:
        """Up to `most` rows, which are not handed out again for 30 seconds, or until somebody begins. Whatever more the
        queue hands out stays there.
        """
        anew, self._anew = self._anew, True
        try:
            answer = self._post(f"/take?most={most}{'&anew=true' if anew else ''}", b"", most * MAX_ROW)
            rows = list(islice(read_rows(answer), most))
        except Refused as refusal:
            raise QueueUnavailable(refusal.reason) from None
        # Not sooner: what a lost answer held would otherwise wait for nobody.
        self._anew = False
        return rows

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
