"""Makes an empty custodian whole again from others' published tiles, so that the log can go on pushing to it.

Its entries are public; what it has cosigned is not. A custodian that forgot it could be led to cosign another tree of
the same size. So it signs nothing before the others have shown that no tree with W cosignatures is left behind of which
one was its own. Such a tree bears W - 1 others', and any N - W + 1 of the N - 1 others have one of those among them.
Each of them, by cosigning after this rebuild began, states which is the largest tree it has seen, and that continues
every tree it cosigned before. Once N - W + 1 have done so over trees that are held here, whatever had W cosignatures by
then is a beginning of what is held.

What that cannot exclude: a tree that it signed with fewer than W, and that a dishonest log has kept back until another
custodian signs it, too. Nothing but its own memory could; a custodian without one counts as one that may equivocate.

It costs: silence until the log has grown by a batch or two. Where the log is idle or over, or as many others are gone,
`at_once` goes without that, and trusts the log's keys not to have signed two trees.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime

from audit.log.merkle import CompactRange, frontier
from audit.log.reader import Reader, ReadError
from audit.protocol.refused import Refused
from infra import failpoints
from vault.custodian.clock import LEAP
from vault.custodian.cosign import Head, check_clock
from vault.custodian.keys import Keys
from vault.custodian.peers import Peer, line_times
from vault.custodian.pulling import Progress, fill
from vault.custodian.storage import REBUILDING, Damaged, DamagedCheckpoint, Store
from vault.custodian.stored import by_log

SKEW = LEAP
"""By how many seconds others' clocks may be ahead of this one's. Of one that is ahead by more, too, only a line
counts that is later than the first that was seen of it.
"""

Report = Callable[[str], None]


class Unfinished(Exception):
    """A rebuild was broken off: to be pushed to now would make of it a custodian that forgot what it signed."""


def check_finished(store: Store, origin: str) -> None:
    """Unfinished if entries are staged and no head is there."""
    unfinished = False
    # Over damage nothing is signed: the examination finds it.
    with suppress(Damaged):
        unfinished = store.staged(origin) > 0 and not store.newest(origin).size
    if unfinished:
        raise Unfinished(f"the rebuild of {origin} was broken off: run `psephos custodian rebuild` again first")


class Rebuild:
    """Fills `store` with the log of `keys` from `readers`. `names` are this custodian's, `clock` gives POSIX seconds.

    `step` is to be called until it returns the head from which on this custodian may sign; every step may be the last
    before a crash, and the next process goes on with what is stored, and waits for new cosignatures of its own.
    Refused `not-empty`.
    """

    def __init__(
        self,
        store: Store,
        keys: Keys,
        readers: Sequence[Reader],
        names: Collection[str],
        clock: Callable[[], int],
        report: Report,
        *,
        at_once: bool = False,
        progress: Progress = lambda done, total: None,
    ) -> None:
        self._store, self._keys, self._readers, self._names = store, keys, readers, names
        self._clock, self._report, self._at_once, self._progress = clock, report, at_once, progress
        self._origin = keys.origin
        # What is published where nobody is noted that has begun is a broken-off rebuild's own.
        keeper = store.keeper(self._origin)
        begun = keeper is not None and not keeper.startswith(REBUILDING)
        published = begun and store.published(self._origin)[0]
        if store.newest(self._origin).size or store.observed(self._origin).size or published:
            text = f"this custodian holds heads of {self._origin}; only an empty one is rebuilt, others are scrubbed"
            raise Refused("not-empty", text)
        self._after = clock() + SKEW
        self._first: dict[str, int] = {}
        self._since: dict[str, int] = {}
        self._own = 0
        self._grown = CompactRange()
        # Also what was shown to a run that was broken off.
        self._largest = _published(store, self._origin)
        self._said: set[str] = set()
        self._said_before: set[str] = set()

    @property
    def vouching(self) -> list[str]:
        """The other custodians that have cosigned, since this began, a tree that is held here."""
        return sorted(self._since)

    def step(self) -> Head | None:
        """Reads what the peers publish, stores what is new; the head if this custodian may sign from now on.

        ReadError if there is nothing that can be read of any peer; Refused `fork` if two contradict each other;
        `clock-backwards` if this custodian has signed at a later time than it is.
        """
        self._said_before, self._said = self._said, set()
        peers = sorted(self._peers(), key=lambda peer: peer.head.size, reverse=True)
        if peers[0].head.size == 0:
            raise ReadError("the log is empty there: there is nothing to rebuild from", str(peers[0]), "empty")
        if peers[0].head.size > self._largest:
            # Not forgotten with this process: this custodian may have signed that one.
            self._largest = peers[0].head.size
            self._store.publish(self._origin, self._largest, peers[0].head.note.raw)
        best = self._store_from(peers)
        head, policy = best.head, best.policy
        times = [(peer, line_times(peer.head.note, peer.policy)) for peer in peers]
        first = {name: max(shown.get(name, 0) for _, shown in times) for _, shown in times for name in shown}
        # What is seen of one at first may be from before this began, whatever its clock says.
        self._first = first | self._first
        for peer, shown in times:
            if peer.head.size <= head.size:
                self._take_times(shown)
        # Who was replaced since has no say; who took its place speaks for itself.
        in_office = {name for name, _ in policy.custodians}
        self._since = {name: time for name, time in self._since.items() if name in in_office}
        needed = len(policy.custodians) - policy.W + 1
        if len(self._since) < needed and not self._at_once:
            said = ", ".join(self.vouching) or "none"
            then = datetime.fromtimestamp(self._after, UTC).isoformat(sep=" ", timespec="seconds")
            waiting = f"waiting until {needed} other custodians have cosigned one more tree each after {then}"
            waiting += f" (by now: {said}); where nothing more is recorded: --at-once"
            self._say(f"{self._origin}: {head.size} entries stored; {waiting}")
            return None
        if head.size < self._largest:
            # This custodian may have signed that one, too.
            waiting = f"waiting for the others of {self._largest}, under a checkpoint that was shown"
            self._say(f"{self._origin}: {head.size} entries stored; {waiting}")
            return None
        return self._finish(best, self._grown)

    def _say(self, line: str) -> None:
        """Reports a line, unless the step before did."""
        if line not in self._said | self._said_before:
            self._report(line)
        self._said.add(line)

    def _store_from(self, peers: Sequence[Peer]) -> Peer:
        """The first of the peers, the largest first, whose entries are stored by now: one that does not give them, or
        whose tiles do not show that the checkpoints of the others are of the same log, is passed over.
        """
        faults = []
        for peer in peers:
            try:
                for other in peers:
                    if other.head.size <= peer.head.size:
                        self._check_consistent(other, peer)
                if peer.head.root != self._grown.root():
                    self._grown = fill(self._store, self._keys, peer.reader, peer.head, peer.policy, self._progress)
                return peer
            except ReadError as error:
                faults.append(str(error))
                self._say(str(error))
        raise ReadError("; ".join(faults), self._origin, "unusable")

    def _peers(self) -> list[Peer]:
        peers, faults = [], []
        for reader in self._readers:
            try:
                peers.append(Peer(reader, self._keys))
            except ReadError as error:
                faults.append(str(error))
                self._say(str(error))
        if not peers:
            raise ReadError("; ".join(faults), self._origin, "unreachable")
        return peers

    def _check_consistent(self, peer: Peer, larger: Peer) -> None:
        """Refused `fork` if the tiles of `larger` prove that another tree than the peer's is a beginning of its own;
        ReadError if they prove nothing: whoever serves them may have made them up.
        """
        size, root = peer.head.size, peer.head.root
        try:
            larger.tiles.consistency(size, root)
        except ReadError as error:
            if error.reason != "bad-proof":
                raise
            other = frontier(larger.tiles, size).root() if size < larger.head.size else larger.head.root
            if other == root:
                raise
            larger.tiles.consistency(size, other)
            text = f"{peer} and {larger} do not show one log: keep both notes; this custodian stays as it is"
            raise Refused("fork", text) from None

    def _take_times(self, shown: Mapping[str, int]) -> None:
        for name, time in shown.items():
            if name in self._names:
                self._own = max(self._own, time)
            elif time > max(self._after, self._first[name]):
                self._since[name] = time

    def _finish(self, largest: Peer, grown: CompactRange) -> Head:
        head, now = largest.head, self._clock()
        # What it has signed before stands on published notes; to state an earlier time now would contradict it.
        check_clock(self._own, now)
        new = Head(0, head.size, head.root, grown.to_bytes(), by_log(largest.policy, head.note).raw, now)
        failpoints.at("rebuild.publishing")
        self._store.publish(self._origin, head.size, head.note.raw)
        # The head is the last: what a crash leaves without one is not begun with, and is rebuilt further.
        failpoints.at("rebuild.published")
        self._store.append(self._origin, new, [], [])
        failpoints.at("rebuild.stored")
        return new


def _published(store: Store, origin: str) -> int:
    """Of how many entries the newest published checkpoint is, whether it can be read or not."""
    try:
        return store.published(origin)[0]
    except DamagedCheckpoint as damaged:
        return damaged.size
