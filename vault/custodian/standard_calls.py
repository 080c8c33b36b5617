"""The calls of C2SP tlog-witness and tlog-mirror, for all logs of one custodian: `POST /add-checkpoint`, `POST
/add-entries`, and what they promise to show under the SHA-256 of an origin, `GET /witness/HASH/checkpoint` and `GET
/mirror/HASH/...`.

`add-entries` asks for the custodian's token, as `append` does: it makes the custodian cosign, and whoever has stolen
the log's keys could have it cosign entries that tally never checked. The others ask for none: what the log has not
signed gets nowhere, and what anybody can do is keep us busy, which is bounded.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import AsyncIterator, Iterable, Sequence
from functools import partial
from hashlib import sha256

from fastapi import APIRouter, FastAPI, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from audit.log.keys import Signer
from audit.protocol.refused import Refused
from infra.http import Problem, problem, read_body, require_token
from vault.custodian.cosign import MAX_HEADER
from vault.custodian.custody import Custodian
from vault.custodian.mirror import (
    MAX_PACKAGES,
    Beginning,
    Elsewhere,
    Mirror,
    NoPackage,
    Package,
    Packages,
    Unfinished,
    parse_beginning,
)
from vault.custodian.public import OCTETS, TEXT, add_checkpoint_of, add_tiles
from vault.custodian.uploads import Upload, Uploads
from vault.custodian.witness import Witness, parse_submission

MAX_UPLOADS = 8
"""At once, see `uploads`. Each keeps at most a package, of up to 17 MB, in memory."""
STEP = 1 << 18
"""Bytes that are unpacked at a time."""
GZIP = {"Accept-Encoding": "gzip"}
_PACKED = ("gzip", "x-gzip")


def add_standard_calls(
    app: FastAPI, custodian: Custodian, origins: Iterable[str], token: str, witness: Sequence[Signer]
) -> None:
    """Adds them to a custodian's service; `witness` are the keys that answer `add-checkpoint`."""
    app.add_exception_handler(Elsewhere, _on_elsewhere)
    seeing, mirror = Witness(custodian.kept, witness), Mirror(custodian.kept)
    uploads = Uploads(MAX_UPLOADS, time.monotonic)

    @app.post("/add-checkpoint")
    async def add_checkpoint(request: Request) -> Response:
        body = await read_body(request, MAX_HEADER)
        try:
            submission = parse_submission(body)
        except Refused as refusal:
            # An empty tree with another root than the empty tree's is a false checkpoint, the rest is none.
            return problem(422 if refusal.reason == "wrong-root" else 400, refusal.reason, refusal.detail)
        return Response(await run_in_threadpool(seeing.add_checkpoint, submission), media_type=TEXT)

    @app.post("/add-entries")
    async def add_entries(request: Request) -> Response:
        require_token(request, token)
        _check_form(request)
        with uploads.place() as upload:
            return await _upload(mirror, upload, _unpacked(request, upload))

    for origin in origins:
        witnessed, mirrored = APIRouter(), APIRouter()
        add_checkpoint_of(witnessed, partial(seeing.checkpoint, origin))
        add_checkpoint_of(mirrored, partial(custodian.mirrored, origin))
        add_tiles(mirrored, custodian, origin)
        hashed = sha256(origin.encode()).hexdigest()
        app.include_router(witnessed, prefix=f"/witness/{hashed}")
        app.include_router(mirrored, prefix=f"/mirror/{hashed}")


async def _upload(mirror: Mirror, upload: Upload, chunks: AsyncIterator[bytes]) -> Response:
    beginning, packages = await _begin(chunks)
    target = await run_in_threadpool(mirror.begin, beginning)
    taken = 0
    async for package in _packages(packages, chunks):
        upload.new += await run_in_threadpool(mirror.take, beginning.origin, target, package)
        taken += 1
    if packages.whole:
        lines = await run_in_threadpool(mirror.finish, beginning.origin, target)
        return Response(lines, headers=GZIP, media_type=TEXT)
    if not taken:
        raise Problem(400, "syntax", "the body ends before its first package does")
    raise Unfinished(target.size, await run_in_threadpool(mirror.stored, beginning.origin, target.line))


async def _begin(chunks: AsyncIterator[bytes]) -> tuple[Beginning, Packages]:
    """What the body begins with, and the packages that follow. Problem 400 if it has no such beginning."""
    raw = b""
    async for chunk in chunks:
        raw += chunk
        beginning = parse_beginning(raw)
        if beginning is not None:
            packages = Packages(beginning.start, beginning.end)
            packages.add(raw[beginning.length :])
            return beginning, packages
    raise Problem(400, "syntax", "the body does not say whose entries it brings")


async def _packages(packages: Packages, chunks: AsyncIterator[bytes]) -> AsyncIterator[Package]:
    """Package after package, up to as many as one call may bring. Whatever comes that is no package ends the body."""
    taken = 0
    while not packages.whole and taken < MAX_PACKAGES:
        try:
            package = packages.next()
            if package is None:
                packages.add(await anext(chunks))
                continue
        except (StopAsyncIteration, NoPackage):
            return
        yield package
        taken += 1


async def _unpacked(request: Request, upload: Upload) -> AsyncIterator[bytes]:
    """The body as it comes, without its content encoding, up to where it breaks off, or its place is taken."""
    unpack = _member() if _encoding(request) in _PACKED else None
    try:
        async for chunk in upload.chunks(request.stream()):
            if unpack is None:
                yield chunk
                continue
            while chunk:
                yield unpack.decompress(chunk, STEP)
                chunk = unpack.unconsumed_tail
                if unpack.eof:
                    # Another member may follow, now or later (RFC 1952, 2.2).
                    chunk, unpack = unpack.unused_data, _member()
    except (ClientDisconnect, zlib.error):
        return


def _member() -> zlib._Decompress:
    return zlib.decompressobj(wbits=31)


def _encoding(request: Request) -> str:
    # Without regard to case, as media types are (RFC 9110, 8.4.1 and 8.3.1).
    return request.headers.get("content-encoding", "identity").strip().lower()


def _check_form(request: Request) -> None:
    """Problem 415 for a body of another type, or in an encoding that is not read here."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != OCTETS:
        raise Problem(415, "wrong-type", "the body must be application/octet-stream")
    if _encoding(request) not in ("identity", *_PACKED):
        raise Problem(415, "bad-encoding", "the body may be packed with gzip, or not at all")


async def _on_elsewhere(_: Request, error: Exception) -> Response:
    assert isinstance(error, Elsewhere)
    # As a header, since a media type of text would be given a charset.
    headers = {"Content-Type": "text/x.tlog.mirror-info", **GZIP}
    return Response(error.info, 202 if isinstance(error, Unfinished) else 409, headers)
