"""One custodian's entries, read for no longer than their number is worth: who gives them may have made up how many."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import monotonic

from tally.sequencer.custodian import Unavailable
from tally.sequencer.ledger import PAGE

GRACE_SECONDS, PAGE_SECONDS = 60.0, 10.0
"""For how long one custodian's entries are waited for, and how much longer for each 256 that it has given of those that
W have cosigned.
"""


def checked(entries: Iterator[bytes], check: Callable[[], None]) -> Iterator[bytes]:
    """These entries; `check` raises to give up."""
    for raw in entries:
        check()
        yield raw


def in_time(
    entries: Iterator[bytes], believed: int = 0, patient: bool = False, clock: Callable[[], float] = monotonic
) -> Iterator[bytes]:
    """These entries, the first `believed` of which W have cosigned; Unavailable once whoever gives them has been waited
    for too long, for as many as those are. What an honest sequencer has signed beyond what W publish is one stage:
    after 256 more, the time in which they are checked counts, too, unless `patient`, so that no size that is claimed,
    and no flood of entries that the rules would take, is read for long.
    """
    waited, count, last = 0.0, 0, clock()
    while True:
        start = clock() if patient or count < believed + PAGE else last
        raw = next(entries, None)
        last = clock()
        waited += last - start
        if raw is None:
            return
        count += 1
        if waited > GRACE_SECONDS + PAGE_SECONDS * min(count, believed) / PAGE:
            raise Unavailable("too slow")
        yield raw
