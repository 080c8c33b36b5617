"""One custodian as the sequencer sees it: what it holds, and the calls that give it more."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from urllib.parse import urlsplit

import httpx

from audit.log.encoding import parse_decimal
from audit.log.keys import Signature
from audit.log.notes import MAX_NOTE, Note, parse_note, parse_signature_lines
from audit.log.sources import MAX_REKEYS, REKEYS, ReadError, parse_rekeys
from audit.log.tiles import MAX_BUNDLE, WIDTH, unframe
from audit.protocol.refused import Refused
from infra import log
from infra.exchange import Answer, Unusable, ask, client, read_json
from tally.sequencer.append import Append

TIMEOUT = httpx.Timeout(30.0, connect=5.0)
SECONDS = 60.0
"""In which an answer must be whole: an append of 16 MiB and what it takes to store it, over a slow line."""
MAX_PROBLEM = 1 << 16
NOTHING_HELD = 204


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


Exchange = Callable[[str, str, bytes | None, int], Answer]
"""A method, a path below the log's address, what is sent, and how long the answer may be; raises Unavailable."""


class Wire:
    """A custodian's address over HTTP, as an Exchange. The connection is kept open."""

    def __init__(self, url: str, origin: str, token: str) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        self._client = client(TIMEOUT, base_url=f"{url.rstrip('/')}/{origin}/", headers=headers)

    def __call__(self, method: str, path: str, content: bytes | None, most: int) -> Answer:
        try:
            return ask(self._client, method, path, content, most=most, seconds=SECONDS)
        except (httpx.HTTPError, RuntimeError) as error:
            # RuntimeError: the client has been closed meanwhile.
            raise Unavailable(type(error).__name__) from None
        except Unusable:
            raise Unavailable("unusable answer") from None

    def close(self) -> None:
        """A call that is running ends with Unavailable."""
        self._client.close()


class Custodian:
    """One custodian's calls for one log, made by `exchange`. Every method raises Unavailable or Rejected; `label` is
    what log lines name it by.
    """

    def __init__(self, label: str, exchange: Exchange) -> None:
        self.label = label
        self._exchange = exchange

    def held(self) -> Note | None:
        """The log's note and this custodian's own lines over the largest tree it stores, published or not. Without
        its lines as long as it may sign nothing: while it reads again all it holds, or over damage. None if it
        says that it stores nothing of this log, which whoever does not know the log cannot say.
        """
        answer = self._call("GET", "held", most=MAX_NOTE)
        try:
            return None if answer.status == NOTHING_HELD else parse_note(answer.body)
        except Refused as refusal:
            raise Rejected(200, refusal.reason) from None

    def entries(self, size: int, first: int = 0) -> Iterator[bytes]:
        """The entries [first, size) that it stores, published or not, as many as were asked for; nothing else about
        them is verified.
        """
        for start in range(first, size, WIDTH):
            end = min(start + WIDTH, size)
            answer = self._call("GET", f"held/{start}/{end}", most=MAX_BUNDLE)
            try:
                entries = list(unframe(answer.body, end - start))
            except Refused as refusal:
                raise Rejected(200, refusal.reason) from None
            if len(entries) != end - start:
                raise Rejected(200, "wrong-length")
            yield from entries

    def published(self) -> Note:
        """The note that it publishes; nothing about it is verified."""
        try:
            return parse_note(self._call("GET", "checkpoint", most=MAX_NOTE).body)
        except Refused as refusal:
            raise Rejected(200, refusal.reason) from None

    def rekeys(self) -> Sequence[int]:
        """The numbers of the entries by which keys were changed in what it has published; nothing about them is
        verified.
        """
        answer = self._call("GET", REKEYS, most=MAX_REKEYS)
        try:
            return parse_rekeys(answer.body, REKEYS)
        except ReadError as error:
            raise Rejected(200, error.reason) from None

    def append(self, append: Append) -> tuple[Signature, ...]:
        """Its cosignature lines over the tree that the append leads to. Elsewhere if it does not stand where that
        starts.
        """
        answer = self._call("POST", "append", append.body, most=MAX_NOTE)
        try:
            return parse_signature_lines(answer.body)
        except Refused as refusal:
            raise Rejected(200, refusal.reason) from None

    def publish(self, note: bytes) -> None:
        """Has it serve this witnessed note and the tiles under it. Elsewhere if it does not hold them."""
        self._call("POST", "publish", note)

    def _call(self, method: str, path: str, content: bytes | None = None, most: int = MAX_PROBLEM) -> Answer:
        answer = self._exchange(method, path, content, max(most, MAX_PROBLEM))
        if answer.status >= 500:
            raise Unavailable(f"status {answer.status}")
        if method == "POST" and answer.media_type.startswith("text/x.tlog.size"):
            raise Elsewhere(_size(answer))
        if not 200 <= answer.status < 300:
            raise Rejected(answer.status, _reason(answer))
        return answer


def label_of(url: str) -> str:
    """What log lines name the service at this address by: host and port."""
    return log.word(urlsplit(url).netloc.rpartition("@")[2])


def _size(answer: Answer) -> int:
    try:
        return parse_decimal(answer.body.decode("ascii", "replace").removesuffix("\n"), "the size")
    except Refused as refusal:
        raise Rejected(answer.status, refusal.reason) from None


def _reason(answer: Answer) -> str:
    try:
        return str(read_json(answer.body)["reason"])[:60]
    except (ValueError, KeyError, TypeError):
        return "unknown"
