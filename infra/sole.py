"""Which of several processes works on the tables of a log: the one whose session in PostgreSQL holds the log's lock. It
stops being the one when that session ends, and so with its process.

Nothing else keeps two of them apart. So the one asks now and then whether it still is: the server may have been started
anew, and another have been quicker.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

from sqlalchemy import ColumnElement, Connection, Engine, func, select, text
from sqlalchemy.exc import OperationalError

KEEP_SECONDS = 1.0
"""Between two questions whether it is still the one."""
PATIENCE_SECONDS = 10.0
"""How long a session may outlive its process that was killed in the middle of a statement."""
ALIVE = {"tcp_keepalives_idle": "10", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "3"}
"""Settings of a session whose end the server is to notice though its host has died; of a socket file it does anyway."""


class Occupied(Exception):
    """Another process is the one; the message says what to do."""


class Sole:
    """The session of one process at the tables of the log `origin`, with these `settings`. `purpose` tells the locks of
    one database apart. Methods raise SQLAlchemyError when the database cannot be used.
    """

    def __init__(
        self, engine: Engine, origin: str, settings: Mapping[str, str] | None = None, purpose: int = 0
    ) -> None:
        self._engine, self._origin, self._purpose = engine, origin, purpose
        self._settings = ALIVE if settings is None else settings
        self._session: Connection | None = None
        self._kept = 0.0
        # `keep` and `expect` may be asked by several threads, and a session answers one.
        self._turn = threading.Lock()
        self._lost = False

    @property
    def held(self) -> bool:
        """Whether this process is the one, as far as it knows."""
        return self._session is not None

    def seize(self) -> bool:
        """Whether this process is the one from now on; False while another is."""
        self.leave()
        session = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        try:
            for name, value in self._settings.items():
                session.execute(text(f"SET {name} TO '{value}'"))
            mine = session.scalar(select(func.pg_try_advisory_lock(_lock(self._origin, self._purpose))))
        except BaseException:
            _end(session)
            raise
        if not mine:
            _end(session)
            return False
        self._session = session
        return True

    def confirm(self) -> None:
        """Says that this process lives. SQLAlchemyError if it is not the one any more."""
        assert self._session is not None
        self._session.execute(select(1))

    def keep(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Returns if this process is the one, or is again; it asks once a second at most. Occupied. It raises at least
        once whenever this process was not the one in between, also if that was `expect`'s finding.
        """
        with self._turn:
            if self._lost:
                self._lost = False
                raise Occupied("another process may have been at work on these tables")
            if self.held and clock() < self._kept + KEEP_SECONDS:
                return
            if self.held:
                self._ask()
            elif not self.seize():
                raise Occupied("another process is at work on these tables")
            self._kept = clock()

    def expect(self) -> None:
        """Returns if this process is the one, and asks each time: for who is about to write. Occupied if it is not, and
        does not become it: for it has first to read what another may have written.
        """
        with self._turn:
            if not self.held:
                raise Occupied("another process may be at work on these tables")
            try:
                self._ask()
            except OperationalError:
                self._lost = True
                raise

    def _ask(self) -> None:
        try:
            self.confirm()
        except OperationalError:
            self.leave()
            raise

    def leave(self) -> None:
        """Lets another take over; nothing if this process is not the one."""
        session, self._session = self._session, None
        if session is not None:
            _end(session)


def seize_within(connection: Connection, origin: str, purpose: int) -> bool:
    """As `Sole.seize`, for the caller's transaction: it is the one until that ends."""
    return bool(connection.scalar(select(func.pg_try_advisory_xact_lock(_lock(origin, purpose)))))


def _lock(origin: str, purpose: int) -> ColumnElement[int]:
    return func.hashtextextended(origin, purpose)


def _end(session: Connection) -> None:
    # The session itself ends: given back to the pool, it would keep the lock.
    session.invalidate()
    session.close()
