"""What anybody may read of a log that a custodian keeps: the published checkpoint, and the tiles under it, which never
change, so that any cache may keep them (C2SP tlog-tiles).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from fastapi import APIRouter, Request, Response

from audit.log.tiles import parse_path
from audit.protocol.refused import Refused
from infra.cached import ASK_AGAIN, FOREVER, cached
from infra.http import Problem
from vault.custodian.custody import Custodian

TEXT = "text/plain; charset=utf-8"
OCTETS = "application/octet-stream"
_METHODS = ["GET", "HEAD"]


def add_public(router: APIRouter, custodian: Custodian, origin: str) -> None:
    """The published checkpoint, where in the log keys were changed, and the tiles."""
    add_checkpoint_of(router, lambda: custodian.checkpoint(origin))
    add_tiles(router, custodian, origin)

    @router.api_route("/rekeys", methods=_METHODS)
    def rekeys(request: Request) -> Response:
        return cached(request, custodian.rekeys(origin), TEXT, ASK_AGAIN)


def add_checkpoint_of(router: APIRouter, show: Callable[[], bytes | None]) -> None:
    """A checkpoint, 404 while there is none."""

    @router.api_route("/checkpoint", methods=_METHODS)
    def checkpoint(request: Request) -> Response:
        raw = show()
        if raw is None:
            raise Problem(404, "not-found", "nothing of this log yet")
        return cached(request, raw, TEXT, ASK_AGAIN)


def add_tiles(router: APIRouter, custodian: Custodian, origin: str) -> None:
    """The tiles and entry bundles of the published tree, and of every smaller one."""

    @router.api_route("/tile/{rest:path}", methods=_METHODS)
    def tile(request: Request, rest: str) -> Response:
        content: bytes | None = None
        with suppress(Refused):
            wanted = parse_path(f"tile/{rest}")
            if wanted.level is None:
                content = custodian.bundle(origin, wanted.index, wanted.width)
            else:
                content = custodian.tile(origin, wanted.level, wanted.index, wanted.width)
        if content is None:
            raise Problem(404, "not-found", "the log has no such entries here")
        return cached(request, content, OCTETS, FOREVER)
