"""Who of several tally processes on one ledger sequences: the one whose session in PostgreSQL holds the log's lock. The
others stand by and take over when that session ends, which it does with its process.

The lock only spares work. What protects the log is the ledger's compare-and-swap: two that both believe themselves to
be the one cannot continue the same size twice. A process that is stopped, and not dead, keeps its session open but says
nothing in it; the server ends such a session after a while, and when the process goes on it finds out.
"""

from __future__ import annotations

from sqlalchemy import Connection, Engine, func, select, text

BEAT_SECONDS = 1.0
"""Between two words of the one that sequences to the server."""
SILENT_SECONDS = 10
"""After which the server ends the session of one that says nothing."""


class Leading:
    """The session of one process, for the log `origin`. Methods raise SQLAlchemyError when the database cannot be
    used.
    """

    def __init__(self, engine: Engine, origin: str) -> None:
        self._engine, self._origin = engine, origin
        self._session: Connection | None = None

    @property
    def held(self) -> bool:
        """Whether this process is the one, as far as it knows."""
        return self._session is not None

    def seize(self) -> bool:
        """Whether this process is the one from now on; False while another is."""
        self.leave()
        session = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        try:
            session.execute(text(f"SET idle_session_timeout TO '{SILENT_SECONDS}s'"))
            mine = session.scalar(select(func.pg_try_advisory_lock(func.hashtextextended(self._origin, 0))))
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

    def leave(self) -> None:
        """Lets another take over; nothing if this process is not the one."""
        session, self._session = self._session, None
        if session is not None:
            _end(session)


def _end(session: Connection) -> None:
    # The session itself ends: given back to the pool, it would keep the lock.
    session.invalidate()
    session.close()
