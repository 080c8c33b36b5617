"""One custodian as the sequencer sees it: what it holds, and the calls that give it more."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx

from audit.log.encoding import parse_decimal
from audit.log.keys import Signature
from audit.log.notes import Note, parse_note, parse_signature_lines
from audit.log.tiles import WIDTH, unframe
from audit.protocol.refused import Refused
from tally.sequencer.append import Append

SECONDS = httpx.Timeout(30.0, connect=5.0)


class Unavailable(Exception):
    """The custodian did not answer, or says that it cannot now: the same call may work later."""


class Rejected(Exception):
    """The custodian answers and does not take what it was sent; `reason` is its own word for why."""

    def __init__(self, status: int, reason: str) -> None:
        self.status, self.reason = status, reason
        super().__init__(f"answers {status} ({reason})")


class Elsewhere(Exception):
    """The custodian holds `size` entries, not as many as the append continues."""

    def __init__(self, size: int) -> None:
        self.size = size
        super().__init__(f"holds {size} entries")


class Custodian:
    """One custodian's calls for one log. `url` is its base address; every method raises Unavailable or Rejected."""

    def __init__(self, url: str, origin: str, token: str) -> None:
        self.label = urlsplit(url).netloc.lower()[:40] or "custodian"
        self._client = httpx.Client(
            base_url=f"{url.rstrip('/')}/{origin}/", headers={"Authorization": f"Bearer {token}"}, timeout=SECONDS
        )

    def held(self) -> Note | None:
        """The log's note and this custodian's own lines over the largest tree it stores, published or not."""
        answer = self._call("GET", "held")
        try:
            return None if answer is None else parse_note(answer)
        except Refused as refusal:
            raise Rejected(200, refusal.reason) from None

    def entries(self, size: int) -> Iterator[bytes]:
        """The first `size` entries it stores, published or not; nothing about them is verified."""
        for start in range(0, size, WIDTH):
            end = min(start + WIDTH, size)
            answer = self._call("GET", f"held/{start}/{end}")
            if answer is None:
                raise Rejected(404, "not-found")
            yield from unframe(answer)

    def append(self, append: Append) -> tuple[Signature, ...]:
        """Its cosignature lines over the tree that the append leads to. Elsewhere if it does not stand where that
        starts.
        """
        answer = self._call("POST", "append", append.body)
        try:
            return parse_signature_lines(answer or b"")
        except Refused as refusal:
            raise Rejected(200, refusal.reason) from None

    def publish(self, note: bytes) -> None:
        """Has it serve this witnessed note and the tiles under it. Elsewhere if it does not hold them."""
        self._call("POST", "publish", note)

    def close(self) -> None:
        """Closes the connection; a call that is running ends with Unavailable."""
        self._client.close()

    def _call(self, method: str, path: str, content: bytes | None = None) -> bytes | None:
        """The body of an answer, None if a GET finds nothing."""
        try:
            answer = self._client.request(method, path, content=content)
        except (httpx.HTTPError, RuntimeError) as error:
            # RuntimeError: the client has been closed meanwhile.
            raise Unavailable(type(error).__name__) from None
        if answer.status_code >= 500:
            raise Unavailable(f"status {answer.status_code}")
        if answer.headers.get("content-type", "").startswith("text/x.tlog.size"):
            raise Elsewhere(_size(answer))
        if answer.status_code == 404 and method == "GET":
            return None
        if not answer.is_success:
            raise Rejected(answer.status_code, _reason(answer))
        return answer.content


def _size(answer: httpx.Response) -> int:
    try:
        return parse_decimal(answer.text.removesuffix("\n"), "the size")
    except Refused as refusal:
        raise Rejected(answer.status_code, refusal.reason) from None


def _reason(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["reason"])[:60]
    except (ValueError, KeyError, TypeError):
        return "unknown"
