"""A custodian's HTTP service: what the log may ask of it with a token, and the public tiles that anybody may read.

Under `/ORIGIN/` of every log it keeps: `POST append` and `POST publish` with the bearer token, `GET held...`, what it
stores beyond what is published, with it too; `GET checkpoint` and `GET tile/...` for all (C2SP tlog-tiles), and `GET
rekeys`, which says where in the log keys were changed (public.py). Beside these the standard calls of a witness and a
mirror (standard_calls.py).
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from pathlib import Path

from fastapi import APIRouter, FastAPI, Request, Response
from starlette.concurrency import run_in_threadpool

from audit.log.keys import Signer
from audit.log.notes import MAX_NOTE
from audit.protocol.refused import Refused
from audit.record.manifest import load_manifest
from infra.config import load
from infra.http import Places, Problem, application, problem, read_body, refusal, require_token
from infra.keys import read_signer, read_token
from infra.metrics import Metrics
from infra.private import Private, serve
from vault.custodian.clock import system_clock
from vault.custodian.config import CustodianConfig, announced, check_keeper, check_office, check_witness, open_store
from vault.custodian.cosign import MAX_APPEND, WrongOldSize
from vault.custodian.custody import Custodian
from vault.custodian.examining import Examiner
from vault.custodian.figures import Append, add_custody, readiness, timed
from vault.custodian.keys import stored_keys
from vault.custodian.public import OCTETS, TEXT, add_public
from vault.custodian.rebuilding import check_finished
from vault.custodian.standard_calls import add_standard_calls
from vault.custodian.watching import Watch

MOST_APPENDS = 8
"""Of up to 17 MB, to one log at a time; tally makes one after another."""
FIGURES_SECONDS = 1.0
# As tlog-witness answers; other refusals are 422.
STATUS = {
    "unknown-log": 404,
    "not-signed-by-log": 403,
    "old-size-above": 400,
    "clock-backwards": 503,
    "clock-leapt": 503,
    "examining": 503,
    "damaged": 503,
    "unsafe": 503,
    "ended": 503,
}


def run(path: Path) -> None:
    """Serves until told to stop. ConfigError, KeyFileError, Refused, Unsafe, Unfinished, OSError or SQLAlchemyError if
    it cannot begin."""
    config = load(CustodianConfig, path)
    manifests = [load_manifest(manifest)[0] for manifest in config.manifests]
    signers = [read_signer(key) for key in config.keys]
    store = open_store(config, [manifest.origin for manifest in manifests])
    logs = {manifest.origin: stored_keys(store, manifest) for manifest in manifests}
    check_office(path, [announced(keys.manifest, config.rekeys) for keys in logs.values()], signers)
    witness = [] if config.witness_key is None else [read_signer(config.witness_key)]
    check_witness(path, [keys.manifest for keys in logs.values()], witness)
    check_keeper(store, logs, [signer.name for signer in signers])
    for origin in logs:
        check_finished(store, origin)
    examiner = Examiner(store, logs)
    watch = Watch(store.check_safe)
    ended = threading.Event()

    def may_sign() -> None:
        if ended.is_set():
            text = "a part of this custodian, which looks after what it holds, has ended"
            raise Refused("ended", f"{text}: it signs nothing until it is started again")
        examiner.check()
        watch.check()

    custodian = Custodian(store, logs, signers, system_clock(), may_sign)
    examiner.start(ended.set)
    watch.start(ended.set)
    origins, metrics = list(logs), Metrics(FIGURES_SECONDS)
    watch.add_figure(metrics)
    examiner.add_figures(metrics)
    app = custodian_app(custodian, origins, read_token(config.token), witness, metrics)
    add_custody(metrics, store, origins, config.folder)
    serve(app, config.listen, Private(config.private, metrics, readiness(custodian, origins)))


def custodian_app(
    custodian: Custodian,
    origins: Iterable[str],
    token: str,
    witness: Sequence[Signer] = (),
    metrics: Metrics | None = None,
) -> FastAPI:
    """The service of one custodian, for the logs of these origins; `witness` are the keys of the witness beside it.
    What it stores is counted in `metrics`.
    """
    origins = list(origins)
    append = timed(metrics or Metrics(), custodian.append)
    app = application("custodian")
    app.add_exception_handler(WrongOldSize, _on_wrong_old_size)
    app.add_exception_handler(Refused, _on_refused)
    for origin in origins:
        app.include_router(_log_routes(custodian, origin, token, append), prefix=f"/{origin}")
    add_standard_calls(app, custodian, origins, token, witness)
    return app


def _log_routes(custodian: Custodian, origin: str, token: str, store: Append) -> APIRouter:
    router, places = APIRouter(), Places(MOST_APPENDS)

    @router.post("/append")
    async def append(request: Request) -> Response:
        require_token(request, token)
        with places:
            body = await read_body(request, MAX_APPEND)
            lines = await run_in_threadpool(store, origin, body)
        return Response(lines, media_type=TEXT)

    @router.post("/publish")
    async def publish(request: Request) -> Response:
        require_token(request, token)
        await run_in_threadpool(custodian.publish, origin, await read_body(request, MAX_NOTE))
        return Response(status_code=204)

    @router.get("/held")
    def held(request: Request) -> Response:
        require_token(request, token)
        note = custodian.held(origin)
        # Not 404, which a wrong address gives, too: on the word that nothing is held a log may begin again.
        return Response(status_code=204) if note is None else _kept_by_nobody(note, TEXT)

    @router.get("/held/{start}/{end}")
    def held_entries(request: Request, start: int, end: int) -> Response:
        require_token(request, token)
        return _kept_by_nobody(custodian.held_entries(origin, start, end), OCTETS)

    add_public(router, custodian, origin)
    return router


def _kept_by_nobody(content: bytes | None, media_type: str) -> Response:
    if content is None:
        raise Problem(404, "not-found", "this custodian holds no such thing")
    return Response(content, headers={"Cache-Control": "no-store"}, media_type=media_type)


async def _on_wrong_old_size(_: Request, error: Exception) -> Response:
    assert isinstance(error, WrongOldSize)
    # As a header, since a media type of text would be given a charset, which tlog-witness does not have here.
    return Response(f"{error.size}\n", 409, {"Content-Type": "text/x.tlog.size"})


async def _on_refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    if error.reason not in STATUS:
        return refusal(error)
    return problem(STATUS[error.reason], error.reason, error.detail, error.field)
