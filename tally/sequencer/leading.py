"""Who of several tally processes on one ledger sequences: the one whose session in PostgreSQL holds the log's lock. The
others stand by and take over when that session ends, which it does with its process.

The lock only spares work. What protects the log is the ledger's compare-and-swap: two that both believe themselves to
be the one cannot continue the same size twice. A process that is stopped, and not dead, keeps its session open but says
nothing in it; the server ends such a session after a while, and when the process goes on it finds out.
"""

from __future__ import annotations

from sqlalchemy import Engine

from infra.sole import Sole

BEAT_SECONDS = 1.0
"""Between two words of the one that sequences to the server."""
SILENT_SECONDS = 10
"""After which the server ends the session of one that says nothing."""


class Leading(Sole):
    """The session of one process, for the log `origin`. Methods raise SQLAlchemyError when the database cannot be
    used.
    """

    def __init__(self, engine: Engine, origin: str) -> None:
        super().__init__(engine, origin, {"idle_session_timeout": f"{SILENT_SECONDS}s"})
