"""What a log sends to `add-checkpoint` (C2SP tlog-witness), and what it is answered."""

from __future__ import annotations

from hashlib import sha256

from audit.log.encoding import encode_base64
from audit.log.notes import parse_note, parse_signature_lines
from tests.vault.conftest import WITNESS, Served


def submission(served: Served, old: int, size: int | None = None, **changes: object) -> bytes:
    """The body that asks for a cosignature, each part of it as it should be unless changed."""
    log = served.log
    size = len(log.entries) if size is None else size
    proof = changes.get("proof", log.consistency(old, size) if old <= size else [])
    note = changes.get("note") or log.note(log.head(size))
    lines = "".join(f"{encode_base64(h)}\n" for h in proof)
    return f"old {old}\n{lines}\n".encode() + note.raw


def add(served: Served, body: bytes):
    del served.client.headers["Authorization"]
    answer = served.client.post("/add-checkpoint", content=body)
    served.client.headers["Authorization"] = served.authorization
    return answer


def cosigned(served: Served, body: bytes) -> int:
    """The time in the one line of the answer, which is the witness's."""
    answer = add(served, body)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/plain; charset=utf-8"), answer.text
    (line,) = parse_signature_lines(answer.content)
    return WITNESS.verifier.verify(parse_note(body.partition(b"\n\n")[2]).text, line.sig)


def refused(served: Served, body: bytes, status: int) -> str:
    """The reason of a refusal; nothing may have been stored."""
    before = served.store().observed(served.log.origin), served.stored()
    answer = add(served, body)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    assert (served.store().observed(served.log.origin), served.stored()) == before
    return answer.json()["reason"]


def told_size(served: Served, body: bytes) -> bytes:
    answer = add(served, body)
    assert (answer.status_code, answer.headers["content-type"]) == (409, "text/x.tlog.size")
    return answer.content


def monitored(served: Served) -> str:
    return f"/witness/{sha256(served.log.origin.encode()).hexdigest()}/checkpoint"
