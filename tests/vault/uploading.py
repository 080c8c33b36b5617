"""What a log sends to `add-entries` (C2SP tlog-mirror), and what it is answered."""

from __future__ import annotations

from audit.log.notes import parse_signature_lines
from audit.log.subtree import subtree_proof
from audit.log.tiles import frame
from tests.vault.conftest import CUSTODIANS, TOKEN, Growing, Served
from tests.vault.witnessing import add as show
from tests.vault.witnessing import submission
from vault.custodian.stored import line_of

OCTETS = {"Content-Type": "application/octet-stream", "Authorization": f"Bearer {TOKEN}"}


def beginning(origin: str, start: int, end: int, ticket: bytes = b"") -> bytes:
    name = origin.encode()
    sizes = start.to_bytes(8, "big") + end.to_bytes(8, "big")
    return len(name).to_bytes(2, "big") + name + sizes + len(ticket).to_bytes(2, "big") + ticket


def packages(log: Growing, start: int, end: int) -> list[bytes]:
    """The canonical sequence, as the specification has it."""
    source, made = log.source, []
    for first in range(start // 256 * 256, end, 256):
        last = min(first + 256, end)
        proof = subtree_proof(source, first, last, end)
        entries = frame(log.entries[max(start, first) : last])
        made.append(entries + len(proof).to_bytes(1, "big") + b"".join(proof))
    return made


def upload(served: Served, start: int, end: int, most: int | None = None, **kwargs: bytes) -> bytes:
    return beginning(served.log.origin, start, end, **kwargs) + b"".join(packages(served.log, start, end)[:most])


def add(served: Served, body: bytes, **headers: str):
    return served.client.post("/add-entries", content=body, headers={**OCTETS, **headers})


def cosigned(served: Served, body: bytes, **headers: str) -> list[int]:
    """The times in the custodian's lines over the tree that the upload leads to."""
    answer = add(served, body, **headers)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/plain; charset=utf-8"), answer.text
    assert answer.headers["accept-encoding"] == "gzip"
    lines = parse_signature_lines(answer.content)
    text = served.log.head(served.stored().size).text
    return [key.verifier.verify(text, line.sig) for key, line in zip(CUSTODIANS[0], lines, strict=True)]


def brought(served: Served) -> int:
    """How many entries are stored apart, before their head."""
    assert served.store().staged(served.log.origin) == served.stored().size
    return served.store().brought(served.log.origin, line_of(served.log.policy))


def info(served: Served, body: bytes, status: int) -> tuple[int, int]:
    """Size and next entry of an answer that says where to go on."""
    answer = add(served, body)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "text/x.tlog.mirror-info"), answer.text
    assert answer.headers["accept-encoding"] == "gzip"
    size, following, ticket, end = answer.content.split(b"\n")
    assert (ticket, end) == (b"", b"")
    return int(size), int(following)


def refused(served: Served, body: bytes, status: int, **headers: str) -> str:
    before = served.stored()
    answer = add(served, body, **headers)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    assert served.stored() == before
    return answer.json()["reason"]


def seen(served: Served, *sizes: int) -> None:
    """The witness has been shown these sizes of the log, which has grown so far."""
    known = max(served.store().observed(served.log.origin).size, served.stored().size)
    for size in sizes:
        served.log.grow(max(size - len(served.log.entries), 0))
        assert show(served, submission(served, known, size)).status_code == 200
        known = size
