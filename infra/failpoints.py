"""The places at which a test may end, or fail, a process: every step between two writes of what must not be lost.

`at` does nothing unless a hook is set in this process. Production code never sets one, and no setting does.
"""

from __future__ import annotations

from collections.abc import Callable

NAMES = (
    # An intake: an entry is promised once its outbox is committed; it leaves the outbox once the log holds it.
    "outbox.committing",
    "outbox.committed",
    "mover.offered",
    "mover.put",
    "mover.passed-on",
    "outbox.settling",
    "outbox.settled",
    # The queue.
    "queue.storing",
    "queue.stored",
    "queue.deleting",
    "queue.deleted",
    # The sequencer's round, in its order.
    "sequencer.taken",
    "sequencer.checked",
    "sequencer.staging",
    "sequencer.staged",
    "sequencer.marked",
    "sequencer.signed",
    "sequencer.signature-stored",
    "sequencer.pushed",
    "sequencer.witnessed",
    "sequencer.witness-stored",
    "sequencer.published",
    "sequencer.acknowledged",
    # A custodian.
    "custodian.storing",
    "custodian.committing",
    "custodian.stored",
    "custodian.cosigned",
    "custodian.publishing",
    "custodian.published",
)
"""What every entry comes by, one after another."""

SELDOM = (
    # An intake: a promise is made anew; what waits is signed anew; the account of ballots is given, once for all; what
    # was forgotten is learned from the log; a copy is taken in.
    "outbox.renewing",
    "outbox.renewed",
    "outbox.signing-again",
    "outbox.signed-again",
    "outbox.draining",
    "outbox.drained",
    "outbox.learning",
    "outbox.restoring",
    "outbox.restored",
    # The queue takes in a copy.
    "queue.restoring",
    "queue.restored",
    # A custodian that follows: it remembers the manifest; it pulls, as one does that is rebuilt, the log from others'
    # tiles; it publishes what it pulled, and remembers what its sources showed.
    "follower.learned",
    "pull.staging",
    "pull.staged",
    "pull.storing",
    "pull.stored",
    "follower.publishing",
    "follower.published",
    "follower.remembering",
    "follower.remembered",
    # A custodian that is rebuilt begins to sign; what is found damaged is mended.
    "rebuild.publishing",
    "rebuild.published",
    "rebuild.stored",
    "scrub.dropped",
    "scrub.set-aside",
    "scrub.mending",
    "scrub.mended",
    # The log is read back; what was staged until then is at `sequencer.staging`.
    "sequencer.adopted",
)
"""What is come by only when something befalls an election: the end of voting, another key, a loss."""

Hook = Callable[[str], None]

_hook: Hook | None = None


def set(hook: Hook | None) -> None:
    """Has `hook` called with the name of every failpoint that this process comes to; None ends that. For tests."""
    global _hook
    _hook = hook


def at(name: str) -> None:
    """The process is at this point: what was written before it stands, what comes after it has not begun."""
    if _hook is not None:
        _hook(name)
