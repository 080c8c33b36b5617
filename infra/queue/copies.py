"""Backup and restore of the queue: the entries in it, and nothing of when or in which order they came, which the table
does not know either.

Each face does what it may: egress, which may look, writes the copy; ingress, which may add, takes it in, under new
random keys. An old copy only has tally see entries again, which it recognises; what was put after the copy was made,
intake puts again. Whose a row was, egress cannot see, so what is restored is in no intake's share.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from psycopg.errors import InsufficientPrivilege
from sqlalchemy import Engine, select
from sqlalchemy.exc import ProgrammingError

from audit.protocol.group import b64
from audit.record.shapes import octets, record
from infra import config, database, failpoints
from infra.backup import BackupError, read_backup, write_backup
from infra.queue.face import EgressConfig, IngressConfig
from infra.queue.ingress import Inlet
from infra.queue.schema import queued

PAGE = 256
OF = {"of": "queue"}
ROW = record(entry=octets(None))


WRONG_FACE = "this role may not do that: egress's configuration makes a copy, ingress's takes it in"


def back_up(egress: Engine, path: Path) -> int:
    """Writes a copy of what waits at one moment; how many entries. KeyFileError if there is a file already; BackupError
    for a role that may not look.
    """
    with own_face():
        return write_backup(path, OF, ({"entry": b64(raw)} for raw in entries_in(egress)))


def restore(ingress: Engine, path: Path) -> int:
    """Puts the entries of a copy into the queue, all or none; how many. BackupError for a file that is damaged or of
    something else, and for a role that may not add; OSError.
    """
    inlet, count = Inlet(ingress), 0
    with own_face(), ingress.begin() as connection:
        rows = (row["entry"] for row in read_backup(path, OF, ROW))
        while page := list(islice(rows, PAGE)):
            inlet.store_within(connection, page)
            count += len(page)
        failpoints.at("queue.restoring")
    failpoints.at("queue.restored")
    return count


def entries_in(egress: Engine) -> Iterator[bytes]:
    """Every entry that waits, in the order of random keys."""
    with egress.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        found = connection.scalars(select(queued.c.data).order_by(queued.c.key), execution_options={"yield_per": PAGE})
        yield from map(bytes, found)


@contextmanager
def own_face() -> Iterator[None]:
    """BackupError where the database lets the other face's role alone."""
    try:
        yield
    except ProgrammingError as error:
        if not isinstance(error.orig, InsufficientPrivilege):
            raise
        raise BackupError(WRONG_FACE) from None


def opened(path: Path) -> Engine:
    """The database that a face's configuration names. ConfigError, KeyFileError."""
    _, table = config.read_toml(path)
    settings = config.load(IngressConfig if "intakes" in table else EgressConfig, path)
    return database.engine(settings.database, settings.passfile, name="queue-copy")
