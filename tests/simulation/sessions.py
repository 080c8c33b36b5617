"""The ledger's database server as those see it who ask which of them leads. The real `Leading` asks it for a lock; the
session that holds it ends as one of PostgreSQL's does.

That is: when its client ends it, or dies, which the server may notice some seconds later; when it has said nothing for
as long as it was asked to wait, as one whose client is stopped or cut off; and when the server is started anew. The
client finds out by the next thing that it says.
"""

from __future__ import annotations

import re
from math import inf
from typing import Any, Protocol

from sqlalchemy import TextClause

from tests.simulation.disk import failing
from tests.simulation.kernel import Kernel, Process

SET_IDLE = re.compile("SET idle_session_timeout TO '([0-9]+)s'")
PATIENCE = 8.0
"""For an answer of the server."""
NOTICED_SECONDS = 10.0
"""In which the server notices that a client has gone."""


class Host(Protocol):
    """Where a client runs. `reach` raises OperationalError if it is cut off from the server for so many seconds."""

    process: Process

    @property
    def cut_off(self) -> bool: ...

    def reach(self, patience: float = 0.0) -> None: ...


class Server:
    """`locks`: the lock is one session's at a time; else whoever asks is given it, and nothing keeps two from
    sequencing but the compare-and-swap. `starts`: how often it was started anew.
    """

    def __init__(self, kernel: Kernel, locks: bool) -> None:
        self.kernel, self.locks = kernel, locks
        self.starts = 0
        self.holder: Session | None = None

    def start_anew(self) -> None:
        """Whoever was connected is so no more, and has no lock."""
        self.starts += 1

    def end_holder(self) -> None:
        """Of all sessions the one that has the lock ends, as when an administrator ends it."""
        if self.holder is not None:
            self.holder.terminate()

    def lock(self, session: Session) -> bool:
        """Whether it is this session's now."""
        if self.locks and self.holder is not None and self.holder.alive:
            return False
        self.holder = session
        return True


class Session:
    """As a connection of SQLAlchemy's, of a process at this host."""

    def __init__(self, server: Server, host: Host) -> None:
        self._server, self.host = server, host
        self._started, self._life = server.starts, host.process.lives
        self._heard = server.kernel.now
        self._idle = self._end = inf

    @property
    def alive(self) -> bool:
        """As far as the server has noticed."""
        return self._started == self._server.starts and self._server.kernel.now < min(
            self._end, self._heard + self._idle
        )

    def execution_options(self, **_: object) -> Session:
        return self

    def execute(self, statement: Any) -> None:
        self._say()
        if isinstance(statement, TextClause) and (setting := SET_IDLE.fullmatch(statement.text)):
            self._idle = float(setting[1])

    def scalar(self, statement: Any) -> bool:
        """The lock, which is all that is asked for."""
        self._say()
        return self._server.lock(self)

    def invalidate(self) -> None:
        """A process that has died does so, too, but not by what its code does on its way out."""
        if self._life == self.host.process.lives and not self.host.cut_off:
            self.end()

    def close(self) -> None:
        pass

    def end(self) -> None:
        """Its client has gone."""
        dice = self._server.kernel.dice
        late = NOTICED_SECONDS * dice.random() if dice.random() < 0.3 else 0.0
        self._end = min(self._end, self._server.kernel.now + late)

    def terminate(self) -> None:
        """The server ends it."""
        self._end = min(self._end, self._server.kernel.now)

    def _say(self) -> None:
        self.host.reach(PATIENCE)
        if not self.alive:
            raise failing("the session has ended")
        self._heard = self._server.kernel.now


class Engine:
    """As SQLAlchemy's, with one connection."""

    def __init__(self, server: Server, host: Host) -> None:
        self._server, self._host = server, host
        self.session: Session | None = None

    def connect(self) -> Session:
        self._host.reach(PATIENCE)
        self.session = Session(self._server, self._host)
        return self.session

    def lost(self) -> None:
        """The process has died."""
        if self.session is not None and not self._host.cut_off:
            self.session.end()
