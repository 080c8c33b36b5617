"""`custodian create`, `scrub` and `rebuild`: each reads the file that the service runs by, and is for all its logs."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from audit.log.reader import ReadError
from audit.record.manifest import Manifest, load_manifest
from infra.config import ConfigError, load, read_toml
from infra.keys import read_signer
from infra.progress import bar
from vault.custodian.clock import system_clock
from vault.custodian.config import (
    CustodianConfig,
    FollowConfig,
    announced,
    check_keeper,
    check_not_lost,
    check_office,
    is_kept,
    open_store,
)
from vault.custodian.kept import Clock
from vault.custodian.keys import proven_keys, stored_keys
from vault.custodian.mending import CODES, Scrub
from vault.custodian.peers import reader_of
from vault.custodian.pulling import Progress
from vault.custodian.rebuilding import Rebuild
from vault.custodian.storage import REBUILDING, Unsafe

WAIT_SECONDS = 5.0
FROM_PEERS = ("entry", "leaf", "tile", "tree", "published", "staged")
"""Kinds of what may be mended by what another custodian has."""


def create(path: Path) -> None:
    """Has a custodian that is new begin, or keep a log more, in its folder, which is made, or in its database.

    ConfigError, KeyFileError, Refused, Unsafe, WrongSchema, OSError or SQLAlchemyError if it cannot; Unsafe also if
    all its logs are kept there, or one is to be rebuilt.
    """
    config = load(CustodianConfig, path)
    manifests = [load_manifest(file)[0] for file in config.manifests]
    signers = [read_signer(key) for key in config.keys]
    check_office(path, [announced(manifest, config.rekeys) for manifest in manifests], signers)
    origins = [manifest.origin for manifest in manifests]
    store = open_store(config, origins, will_be=True)
    new = [origin for origin in origins if not is_kept(store, origin)]
    for origin in new:
        check_not_lost(store, origin)
    if not new:
        raise Unsafe(f"{store}: the custodian is there already, with all its logs")
    for origin in new:
        store.keep(origin, signers[0].name)
        say(f"{origin}: {signers[0].name} keeps it in {store}, and has signed nothing yet")


def scrub(path: Path, peers: Sequence[str]) -> int:
    """Examines and mends every log of a custodian, or of a follower; the exit code, 0, or the worst of `mending.CODES`.

    ConfigError, KeyFileError, Refused, Unsafe, ReadError (no address), OSError or SQLAlchemyError if it cannot begin.
    """
    config, manifests = configured(path)
    store = open_store(config, [manifest.origin for manifest in manifests])
    names = {read_signer(key).name for key in config.keys} if isinstance(config, CustodianConfig) else set()
    codes, lacking = [], False
    for manifest in manifests:
        keeper = store.keeper(manifest.origin)
        if keeper is not None and store.keep(manifest.origin, keeper):
            say(f"{manifest.origin}: what says who keeps it: mended from its other copy")
            codes.append(CODES["mended"])
        readers = [reader_of(url, manifest.origin) for url in peers]
        with told("re-reading") as progress:
            keys = proven_keys(store, manifest, readers)
            work = Scrub(store, keys, readers, say, progress, clock=system_clock(), names=names)
            codes.append(work.run())
        lacking = lacking or any(fault.kind in FROM_PEERS for fault in work.faults)
    code = max(codes, default=CODES["whole"])
    if lacking and not peers:
        say("what is not repaired may need another custodian's bytes: give --peer URL")
    return code


def rebuild(path: Path, peers: Sequence[str], *, at_once: bool, clock: Clock | None = None) -> None:
    """Fills an empty custodian, of all its logs, from its peers; returns once it may be started. `clock` gives POSIX
    seconds, the system's if None.

    Refused `not-empty`, `fork` or `clock-backwards`; otherwise as `scrub`.
    """
    if not peers:
        raise ReadError("name the custodians to rebuild from, each with --from URL")
    config = load(CustodianConfig, path)
    manifests = [load_manifest(file)[0] for file in config.manifests]
    signers = [read_signer(key) for key in config.keys]
    store = open_store(config, [manifest.origin for manifest in manifests], will_be=True)
    clock = clock or system_clock()
    names = [signer.name for signer in signers]
    if not names:
        raise ConfigError(path, ["key `keys` names no key"])
    lost = [manifest for manifest in manifests if not store.newest(manifest.origin).size]
    for manifest in lost:
        # Before all else, and of all: one that has forgotten what it signed is not said to be new when this ends early.
        store.keep(manifest.origin, REBUILDING + names[0])
    check_keeper(store, [manifest.origin for manifest in manifests], names)
    for manifest in manifests:
        origin = manifest.origin
        if lost and manifest not in lost:
            # By an earlier run, or never lost.
            say(f"{origin}: is held")
            continue
        keys = stored_keys(store, manifest)
        with told("storing") as progress:
            readers = [reader_of(url, origin) for url in peers]
            _fill(Rebuild(store, keys, readers, names, clock, say, at_once=at_once, progress=progress))
        # By the rekeys that are held by now: the keys that it will sign with are those of one custodian.
        check_office(path, [announced(keys.manifest, config.rekeys)], signers)
        say(f"{origin}: rebuilt, {store.newest(origin).size} entries; it may be started")


def _fill(work: Rebuild) -> None:
    done = work.step()
    while done is None:
        time.sleep(WAIT_SECONDS)
        # What has begun waits for peers that are away, or of no use, too; it has said which.
        with suppress(ReadError):
            done = work.step()


def configured(path: Path) -> tuple[CustodianConfig | FollowConfig, list[Manifest]]:
    """The settings of a custodian or of a follower, and the logs it keeps."""
    _, table = read_toml(path)
    if "memory" not in table:
        config = load(CustodianConfig, path)
        return config, [load_manifest(file)[0] for file in config.manifests]
    follow = load(FollowConfig, path)
    kept = follow.memory / "manifest"
    if not kept.exists():
        raise ConfigError(path, [f"{kept} is not there: this follower has not learned its election yet"])
    return follow, [load_manifest(kept, follow.manifest_hash)[0]]


def say(line: str) -> None:
    """One line on standard output, at once: whoever waits sees it."""
    print(line, flush=True)


@contextmanager
def told(what: str) -> Iterator[Progress]:
    """Progress on standard error, with rate and remaining time; nothing of it where that is no terminal."""
    with bar(what, None) as drawn:
        yield drawn.at
