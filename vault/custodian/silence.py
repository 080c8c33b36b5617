"""When a follower raises the alarm for silence: a source gives nothing, nobody cosigns, or it is the follower itself
that cannot store or read what it holds, each for longer than a limit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

from audit.log.notes import parse_note
from audit.protocol.refused import Refused
from vault.custodian.alarms import Alarms
from vault.custodian.keys import Keys
from vault.custodian.peers import line_times
from vault.custodian.sources import Source
from vault.custodian.storage import Store
from vault.custodian.stored import readable_published


class Silence:
    """Raises `silence` after `limit` seconds of `clock`, and, unless `idle` is None, where nobody has cosigned for
    `idle` seconds; `now` gives POSIX seconds.
    """

    def __init__(
        self,
        store: Store,
        keys: Keys,
        alarms: Alarms,
        *,
        clock: Callable[[], float],
        now: Callable[[], int],
        limit: float,
        idle: float | None,
    ) -> None:
        self._store, self._keys, self._alarms = store, keys, alarms
        self._clock, self._now, self._limit, self._idle = clock, now, limit, idle
        self._signed, self._followed = (0, now()), clock()

    def followed(self) -> None:
        """A round was gone through with nothing wrong here."""
        self._followed = self._clock()

    def check_followed(self, began: float) -> None:
        """Of this follower, in whose round, which began then, something was wrong here."""
        if began - self._followed >= self._limit:
            self._alarms("silence", source="here", seconds=int(self._limit))

    def check(self, sources: Sequence[Source], began: float) -> None:
        """Of a source that gives nothing, or stands behind what others gave, for longer than the limit. A log in which
        nothing happens is not silent, unless somebody has said within what time it is to go on.

        `began`: when this round did. However long others keep it, whoever has given something is not silent for that,
        nor in the next round, for nobody has asked it in between.
        """
        for source in sources:
            if source.gave:
                source.heard = self._clock()
            elif began - source.heard >= self._limit:
                self._alarms("silence", source=source.label, seconds=int(self._limit))
        if self._idle is not None and self._now() - self._signed_at() >= self._idle:
            self._alarms("silence", source="all", seconds=int(self._idle))

    def _signed_at(self) -> int:
        """When the newest checkpoint was cosigned, by the custodian that says the earliest time; when this process
        began if there is none. Of W custodians one that is honest suffices: it has not signed since.
        """
        size, raw = readable_published(self._store, self._keys.origin)
        if size != self._signed[0]:
            with suppress(Refused):
                times = line_times(parse_note(raw), self._keys.at(size))
                self._signed = size, min(times.values(), default=self._signed[1])
        return self._signed[1]
