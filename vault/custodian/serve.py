"""A custodian's HTTP service: what the log may ask of it with a token, and the public tiles that anybody may read.

Under `/ORIGIN/` of every log it keeps: `POST append` and `POST publish` with the bearer token, `GET held...`, what it
stores beyond what is published, with it too; `GET checkpoint` and `GET tile/...` for all (C2SP tlog-tiles), and `GET
rekeys`, which says where in the log keys were changed. Tiles never change, so any cache may keep them.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from time import time

from fastapi import APIRouter, FastAPI, Request, Response
from starlette.concurrency import run_in_threadpool

from audit.log.notes import MAX_NOTE
from audit.log.tiles import parse_path
from audit.protocol.refused import Refused
from audit.record.manifest import load_manifest
from infra.config import load
from infra.http import Problem, application, problem, read_body, refusal, require_token, serve
from infra.keys import read_signer, read_token
from vault.custodian.config import CustodianConfig, announced, check_office, open_store
from vault.custodian.cosign import MAX_APPEND, WrongOldSize
from vault.custodian.custody import Custodian
from vault.custodian.keys import stored_keys

FOREVER = {"Cache-Control": "public, max-age=31536000, immutable"}
NOT_KEPT = {"Cache-Control": "no-cache"}

# As tlog-witness answers; other refusals are 422.
STATUS = {"unknown-log": 404, "not-signed-by-log": 403, "old-size-above": 400, "clock-backwards": 503}


def run(path: Path) -> None:
    """Serves until told to stop. ConfigError, KeyFileError, Refused, Unsafe, OSError or SQLAlchemyError if it cannot
    begin."""
    config = load(CustodianConfig, path)
    manifests = [load_manifest(manifest)[0] for manifest in config.manifests]
    signers = [read_signer(key) for key in config.keys]
    store = open_store(config, [manifest.origin for manifest in manifests])
    logs = {manifest.origin: stored_keys(store, manifest) for manifest in manifests}
    check_office(path, [announced(keys.manifest, config.rekeys) for keys in logs.values()], signers)
    custodian = Custodian(store, logs, signers, lambda: int(time()))
    serve(custodian_app(custodian, [m.origin for m in manifests], read_token(config.token)), config.listen)


def custodian_app(custodian: Custodian, origins: Iterable[str], token: str) -> FastAPI:
    """The service of one custodian, for the logs of these origins."""
    app = application("custodian")
    app.add_exception_handler(WrongOldSize, _on_wrong_old_size)
    app.add_exception_handler(Refused, _on_refused)
    for origin in origins:
        app.include_router(_log_routes(custodian, origin, token), prefix=f"/{origin}")
    return app


def _log_routes(custodian: Custodian, origin: str, token: str) -> APIRouter:
    router = APIRouter()

    @router.post("/append")
    async def append(request: Request) -> Response:
        require_token(request, token)
        body = await read_body(request, MAX_APPEND)
        lines = await run_in_threadpool(custodian.append, origin, body)
        return Response(lines, media_type="text/plain; charset=utf-8")

    @router.post("/publish")
    async def publish(request: Request) -> Response:
        require_token(request, token)
        await run_in_threadpool(custodian.publish, origin, await read_body(request, MAX_NOTE))
        return Response(status_code=204)

    @router.get("/held")
    def held(request: Request) -> Response:
        require_token(request, token)
        return _note(custodian.held(origin))

    @router.get("/held/{start}/{end}")
    def held_entries(request: Request, start: int, end: int) -> Response:
        require_token(request, token)
        return _octets(custodian.held_entries(origin, start, end), NOT_KEPT)

    add_public(router, custodian, origin)
    return router


def add_public(router: APIRouter, custodian: Custodian, origin: str) -> None:
    """What anybody may read: the published checkpoint and the tiles under it."""

    @router.get("/checkpoint")
    def checkpoint() -> Response:
        return _note(custodian.checkpoint(origin))

    @router.get("/rekeys")
    def rekeys() -> Response:
        return Response(custodian.rekeys(origin), headers=NOT_KEPT, media_type="text/plain; charset=utf-8")

    @router.get("/tile/{rest:path}")
    def tile(rest: str) -> Response:
        content: bytes | None = None
        with suppress(Refused):
            wanted = parse_path(f"tile/{rest}")
            if wanted.level is None:
                content = custodian.bundle(origin, wanted.index, wanted.width)
            else:
                content = custodian.tile(origin, wanted.level, wanted.index, wanted.width)
        return _octets(content, FOREVER)


def _octets(content: bytes | None, headers: dict[str, str]) -> Response:
    if content is None:
        raise Problem(404, "not-found", "the log has no such entries here")
    return Response(content, headers=headers, media_type="application/octet-stream")


def _note(raw: bytes | None) -> Response:
    if raw is None:
        raise Problem(404, "not-found", "nothing of this log yet")
    return Response(raw, headers=NOT_KEPT, media_type="text/plain; charset=utf-8")


async def _on_wrong_old_size(_: Request, error: Exception) -> Response:
    assert isinstance(error, WrongOldSize)
    # As a header, since a media type of text would be given a charset, which tlog-witness does not have here.
    return Response(f"{error.size}\n", 409, {"Content-Type": "text/x.tlog.size"})


async def _on_refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    if error.reason not in STATUS:
        return refusal(error)
    return problem(STATUS[error.reason], error.reason, error.detail, error.field)
