"""What a custodian's file says: which logs it keeps, where, and with which keys. The service and the commands that look
after what it holds read the same file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from audit.log.keys import COSIGNATURE, ML_DSA_44, Signer, Verifier
from audit.protocol.refused import Refused
from audit.record.entries import parse_entry
from audit.record.heads import succeed
from audit.record.manifest import Manifest, Rekey
from infra.config import ConfigError
from infra.database import check_url, engine
from infra.http import parse_listen
from infra.private import check_private
from vault.custodian.folder_mending import MendableFolder
from vault.custodian.folder_store import make_folder
from vault.custodian.keys import held_size
from vault.custodian.schema import SCHEMA
from vault.custodian.sql_store import SqlStore
from vault.custodian.storage import FOLLOWER, REBUILDING, WHAT_TO_DO, Mendable, Store, Unsafe

CONNECTIONS = 8


@dataclass(frozen=True)
class CustodianConfig:
    """`manifests`: the signed manifest note of every log to keep; `keys`: this custodian's private keys, as named
    there. It keeps the logs in `database`, reached with `passfile`, or else in `folder`. `witness_key` is the private
    key of the witness that it is beside, if it is one. `rekeys`: the officials' notes by which keys of `keys` are in
    office, or will be, as far as they are not in the log that is held. `private`: ADDRESS:PORT of its health and
    figures.
    """

    listen: str
    token: Path
    manifests: tuple[Path, ...]
    keys: tuple[Path, ...]
    database: str | None = None
    passfile: Path | None = None
    folder: Path | None = None
    witness_key: Path | None = None
    rekeys: tuple[Path, ...] = ()
    private: str | None = None

    def __post_init__(self) -> None:
        parse_listen(self.listen)
        check_private(self.private, self.listen)
        check_place(self)


@dataclass(frozen=True)
class FollowConfig:
    """A custodian that follows: `manifest_hash` (32 bytes) is all it is told of the election. In the folder `memory` it
    keeps the manifest, what each source showed, and evidence. Every `interval` seconds it asks each source, and reads
    `sample` bundles again. It is an alarm if for `silence` seconds a source gives nothing that is of use, or stands
    still behind what others gave; and if for `idle` seconds nobody has anything new, which is said for a log that is
    expected to go on. `private`: as above.
    """

    listen: str
    manifest_hash: bytes
    memory: Path
    database: str | None = None
    passfile: Path | None = None
    folder: Path | None = None
    interval: float = 10.0
    silence: float = 3600.0
    idle: float | None = None
    sample: int = 4
    private: str | None = None

    def __post_init__(self) -> None:
        parse_listen(self.listen)
        check_private(self.private, self.listen)
        check_place(self)
        if len(self.manifest_hash) != 32:
            raise ValueError("`manifest_hash` must have 32 bytes")
        if self.interval <= 0 or self.silence < self.interval or self.sample < 1:
            raise ValueError("`interval` is above 0, `silence` not below it, and `sample` at least 1")
        if self.idle is not None and self.idle < self.interval:
            raise ValueError("`idle` is not below `interval`")


def check_place(config: CustodianConfig | FollowConfig) -> None:
    """ValueError unless it says of one place where logs are kept."""
    if (config.database is None) == (config.folder is None):
        raise ValueError("a custodian has either `database` and `passfile`, or `folder`")
    if (config.database is None) != (config.passfile is None):
        raise ValueError("`database` and `passfile` go together")
    if config.database is not None:
        check_url(config.database)


def open_store(config: CustodianConfig | FollowConfig, origins: Sequence[str], *, will_be: bool = False) -> Mendable:
    """The place where the logs of these origins are kept, or, if nothing is there yet, or it is lost, `will_be`. Unsafe
    if it may lose them, or if they are not kept there; WrongSchema, OSError, KeyFileError or SQLAlchemyError if it
    cannot be used.
    """
    store: Mendable
    if config.folder is not None:
        root = str(config.folder.resolve())
        if will_be or isinstance(config, FollowConfig):
            make_folder(root)
        store = MendableFolder(root, origins)
    else:
        assert config.database is not None and config.passfile is not None
        made = engine(config.database, config.passfile, name="psephos-custodian", connections=CONNECTIONS)
        SCHEMA.check(made)
        store = SqlStore(made)
    store.check_safe()
    if isinstance(config, FollowConfig):
        for origin in origins:
            # It signs nothing, so that it does not matter what it forgets.
            store.keep(origin, FOLLOWER)
        check_keeper(store, origins, [FOLLOWER])
    for origin in () if will_be else origins:
        if not is_kept(store, origin):
            check_not_lost(store, origin)
            raise Unsafe(f"{store}: the log {origin} is not kept here. {WHAT_TO_DO}")
    return store


def is_kept(store: Store, origin: str) -> bool:
    """Whether a custodian keeps a log there: one that holds a head does, noted or not; one without a head only if it
    was noted that it is new, for it cannot know what it has signed.
    """
    keeper = store.keeper(origin)
    return (keeper is not None and not keeper.startswith(REBUILDING)) or any(held_size(store, origin))


def check_not_lost(store: Store, origin: str) -> None:
    """Unsafe if what was held of a log that is not kept there is lost: it has begun to be rebuilt."""
    if store.keeper(origin) is not None:
        text = "its rebuild was broken off: run `psephos custodian rebuild` again, to its end"
        raise Unsafe(f"{store}: the log {origin} is not kept here, for {text}")


def check_keeper(store: Store, origins: Iterable[str], names: Sequence[str]) -> None:
    """Unsafe if it is another custodian that keeps these logs there: what that one has signed is held there, and not
    what this one has. Where it is not noted, by an earlier version, it is now.
    """
    for origin in origins:
        keeper = store.keeper(origin)
        if keeper is None:
            store.keep(origin, names[0])
        elif (keeper := keeper.removeprefix(REBUILDING)) not in names:
            who = f"the custodian {keeper}" if keeper else "one that follows"
            raise Unsafe(f"{store}: {who} keeps {origin} there, and not the one that these settings are of")


def announced(manifest: Manifest, rekeys: Iterable[Path]) -> Manifest:
    """The manifest with the keys that these notes, signed by the officials, will make it once they are recorded. Good
    for telling whose keys one holds, and for nothing else: what counts stands in the log. OSError; Refused with the
    path in front.
    """
    for path in rekeys:
        raw = path.read_bytes()
        try:
            entry = parse_entry(raw)
            if entry.origin == manifest.origin and not any(entry.fields["new"] == made(r) for r in manifest.rekeys):
                manifest = succeed(manifest, raw, manifest.rekey.index + 1 if manifest.rekey else 1)
        except Refused as refusal:
            raise Refused(refusal.reason, f"{path}: {refusal.detail}", refusal.field) from None
    return manifest


def made(rekey: Rekey) -> tuple[str, ...]:
    return tuple(key.vkey for key in rekey.new)


def check_office(path: Path, manifests: Iterable[Manifest], signers: Iterable[Signer]) -> None:
    """ConfigError unless these are exactly the keys of one custodian of every manifest, or those that it has had and
    has: its cosignature must count.
    """
    mine = {signer.verifier for signer in signers}
    faults = [
        f"key `keys` holds other keys than those of any custodian of {manifest.origin}"
        for manifest in manifests
        if not mine or not any(mine == whole for whole in _held(manifest, mine))
    ]
    if faults:
        raise ConfigError(path, faults)


def _held(manifest: Manifest, mine: set[Verifier]) -> Iterator[set[Verifier]]:
    """Of each custodian, who takes the place of the one before, all its keys of one time or another that are ours."""
    for place in range(len(manifest.log.custodians)):
        times = [set(past.log.custodians[place][1]) for past in manifest.history]
        yield set().union(*(keys for keys in times if keys <= mine))


def check_witness(path: Path, manifests: Iterable[Manifest], witness: Sequence[Signer]) -> None:
    """ConfigError unless the witness is a cosigner of its own: a line of its key must never count as a custodian's,
    nor as the log's.
    """
    faults = []
    for signer in witness:
        if signer.verifier.type not in (COSIGNATURE, ML_DSA_44):
            faults.append("key `witness_key` is not of the type cosignature or ml-dsa-44")
        for manifest in manifests:
            keys = [key for past in manifest.history for key in past.log.verifiers]
            if any(signer.name == key.name or signer.verifier.public == key.public for key in keys):
                faults.append(f"key `witness_key` has the name or the key of another signer of {manifest.origin}")
    if faults:
        raise ConfigError(path, faults)
