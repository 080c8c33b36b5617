"""What a custodian's file says: which logs it keeps, where, and with which keys. The service and the commands that look
after what it holds read the same file.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from audit.log.keys import Signer
from audit.record.manifest import Manifest
from infra.config import ConfigError
from infra.database import check_url, engine
from infra.http import parse_listen
from vault.custodian.folder_store import FolderStore
from vault.custodian.sql_store import SqlStore
from vault.custodian.storage import Store

CONNECTIONS = 8


@dataclass(frozen=True)
class CustodianConfig:
    """`manifests`: the signed manifest note of every log to keep; `keys`: this custodian's private keys, as named
    there. It keeps the logs in `database`, reached with `passfile`, or else in `folder`. `witness_key` is the private
    key of the witness that it is beside, if it is one.
    """

    listen: str
    token: Path
    manifests: tuple[Path, ...]
    keys: tuple[Path, ...]
    database: str | None = None
    passfile: Path | None = None
    folder: Path | None = None
    witness_key: Path | None = None

    def __post_init__(self) -> None:
        parse_listen(self.listen)
        if (self.database is None) == (self.folder is None):
            raise ValueError("a custodian has either `database` and `passfile`, or `folder`")
        if (self.database is None) != (self.passfile is None):
            raise ValueError("`database` and `passfile` go together")
        if self.database is not None:
            check_url(self.database)


def open_store(config: CustodianConfig, origins: Sequence[str]) -> Store:
    """The place where the logs of these origins are kept. Unsafe if it may lose them; OSError, KeyFileError or
    SQLAlchemyError if it cannot be used.
    """
    store: Store
    if config.folder is not None:
        store = FolderStore(str(config.folder.resolve()), origins)
    else:
        assert config.database is not None and config.passfile is not None
        store = SqlStore(engine(config.database, config.passfile, name="psephos-custodian", connections=CONNECTIONS))
    store.check_safe()
    return store


def check_office(path: Path, manifests: Iterable[Manifest], signers: Iterable[Signer]) -> None:
    """ConfigError unless these are exactly the keys of one custodian of every manifest: its cosignature must count."""
    mine = {signer.verifier for signer in signers}
    faults = [
        f"key `keys` holds other keys than those of any custodian of {manifest.origin}"
        for manifest in manifests
        if not any(set(keys) == mine for _, keys in manifest.log.custodians)
    ]
    if faults:
        raise ConfigError(path, faults)
