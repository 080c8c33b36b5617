"""A follower as a process: one thread asks the sources, the others serve what is held as tiles, to anybody.

It ends with exit code 3 at once when the log has forked, since whatever comes after that is of no log. Any other alarm
is logged and counted while it goes on; when it is told to stop, its exit code is that of the worst (`alarms.CODES`), 0
if there was none. Should it follow no more, for a fault that nobody foresaw, it ends, too: with exit code 1, if there
was no alarm.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from fastapi import APIRouter, FastAPI

from audit.log.reader import HttpReader, Reader, ReadError, unverified_first_entry
from audit.protocol.refused import Refused
from audit.record.manifest import Manifest, load_manifest, open_manifest
from infra import failpoints, lasting, log
from infra.config import load
from infra.database import UNAVAILABLE, tell
from infra.http import application
from infra.metrics import Metrics
from infra.private import Private, serve
from infra.stopping import on_signal
from vault.custodian.alarms import Alarms, write_whole
from vault.custodian.config import FollowConfig, open_store
from vault.custodian.custody import Custodian
from vault.custodian.figures import add_custody, add_following, follower_readiness
from vault.custodian.following import Follower, Fork
from vault.custodian.keys import stored_keys
from vault.custodian.public import add_public
from vault.custodian.sources import label

_log = log.Log("vault.follow", following=("sources", "held"), ended=("code",))
FIGURES_SECONDS = 1.0


def run(path: Path, urls: Sequence[str]) -> int:
    """Follows until told to stop, or the log forks; returns the exit code. ConfigError, KeyFileError, ReadError (no
    address), Refused (another election's manifest), Unsafe, OSError or SQLAlchemyError if it cannot begin.
    """
    config = load(FollowConfig, path)
    readers = [HttpReader(url) for url in urls]
    stop = threading.Event()
    on_signal(stop.set)
    alarms = Alarms(config.memory)
    manifest = learn_manifest(readers, config, stop, alarms)
    if manifest is None:
        return alarms.code
    store = open_store(config, [manifest.origin])
    keys = stored_keys(store, manifest)
    served = Custodian(store, {manifest.origin: keys}, (), lambda: int(time.time()))
    follower = Follower(
        store,
        keys,
        readers,
        alarms,
        config.memory / "shown.json",
        clock=time.monotonic,
        now=lambda: int(time.time()),
        choose=random.SystemRandom().randrange,
        silence=config.silence,
        idle=config.idle,
        sample=config.sample,
        published=lambda: served.refresh(manifest.origin),
    )
    _log.info("following", sources=len(readers), held=store.newest(manifest.origin).size)
    metrics = Metrics(FIGURES_SECONDS)
    add_custody(metrics, store, [manifest.origin], config.folder)
    add_following(metrics, follower)
    private = Private(config.private, metrics, follower_readiness(follower))
    ended = threading.Event()

    def end() -> None:
        ended.set()
        _end_service()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        # Not before the server heeds the signal that ends it.
        thread = lasting.start("follow", lambda: _follow(follower, config.interval, stop), end)
        try:
            yield
        finally:
            stop.set()
            await asyncio.to_thread(thread.join)

    app = copy_app(served, manifest.origin)
    app.router.lifespan_context = lifespan
    serve(app, config.listen, private)
    code = alarms.code or int(ended.is_set())
    _log.info("ended", code=code)
    return code


def copy_app(served: Custodian, origin: str) -> FastAPI:
    """The tiles of one log, for anybody."""
    app, router = application("follower"), APIRouter()
    add_public(router, served, origin)
    app.include_router(router, prefix=f"/{origin}")
    return app


def learn_manifest(
    readers: Sequence[Reader], config: FollowConfig, stop: threading.Event, alarms: Alarms
) -> Manifest | None:
    """The manifest of the pinned hash, from the memory or from a source; None if told to stop before one answers.

    Refused `another-election` if no source shows that one, and each shows something.
    """
    kept = config.memory / "manifest"
    if kept.exists():
        return load_manifest(kept, config.manifest_hash)[0]
    began = time.monotonic()
    while not stop.is_set():
        refusals: list[Refused] = []
        for reader in readers:
            try:
                raw = unverified_first_entry(reader)
                if raw is None:
                    # Nothing is published yet; or it is another origin than this source has.
                    alarms.unusable(label(reader), "not-found")
                    continue
                manifest, _ = open_manifest(raw, config.manifest_hash)
                write_whole(kept, raw)
                failpoints.at("follower.learned")
                return manifest
            except Refused as refusal:
                alarms.unusable(label(reader), refusal.reason)
                refusals.append(Refused(refusal.reason, f"{reader}: {refusal.detail}", refusal.field))
            except ReadError as error:
                alarms.unusable(label(reader), error.reason)
        if len(refusals) == len(readers):
            raise refusals[0]
        if time.monotonic() - began >= config.silence:
            alarms("silence", source="all", seconds=int(config.silence))
        stop.wait(config.interval)
    return None


def _follow(follower: Follower, interval: float, stop: threading.Event) -> None:
    while not stop.is_set():
        try:
            follower.round()
        except Fork as fork:
            with suppress(OSError, ValueError):
                # Where nobody can be told, the exit code tells.
                print(f"psephos: {fork}", flush=True)
            break
        except UNAVAILABLE as error:
            tell(error)
        except Exception as error:
            # Of the disk, or of an answer that nobody foresaw: the next round asks again.
            log.failure(error)
        stop.wait(interval)
    if not stop.is_set():
        _end_service()


def _end_service() -> None:
    # The server of this process, which serves from the main thread, is told as anybody would.
    os.kill(os.getpid(), signal.SIGTERM)
