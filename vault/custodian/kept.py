"""What the callers of one custodian have in common: which logs it keeps and whose signatures count, its store, its
clock, and that it decides one thing at a time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress

from audit.log.keys import Signer
from audit.log.notes import parse_note
from audit.log.treehead import Checkpoint, parse_checkpoint
from audit.protocol.refused import Refused
from infra import failpoints, log
from vault.custodian.cosign import EMPTY, Head, WrongOldSize, check_clock, cosignatures
from vault.custodian.keys import Keys, held_size, in_office, learn_stored, of_all_times
from vault.custodian.storage import Damaged, Overtaken, Store
from vault.custodian.stored import by_log, check_edge, check_head, check_seen, line_of

_log = log.Log("vault.custody", another_tree_seen=("size",))

Clock = Callable[[], int]
Examined = Callable[[], None]
"""Refused unless all that was held when the process began has been read again and found right."""


class Kept:
    """The logs of `logs` (origin -> whose signatures count) in `store`, cosigned with those of `signers` that count.
    `clock` gives POSIX seconds; `examined` is asked before anything is signed.

    `deciding` is held from reading what is stored until what follows from it is stored.

    Whoever takes more than one of them takes them in this order: `deciding`; `_learning`, which is held while it is
    changed whose signatures count, or what the newest head is; what the store takes for one call (a connection, a
    transaction, a name in the folder) and gives back before it returns. A store calls nobody back, so none of them is
    ever waited for by who holds a later one. Of one transaction's rows the head comes first: of two appends that start
    from one size, or end in one, the second waits there and holds nothing.
    """

    def __init__(
        self,
        store: Store,
        logs: Mapping[str, Keys],
        signers: Sequence[Signer],
        clock: Clock,
        examined: Examined = lambda: None,
    ) -> None:
        self.store, self._logs, self._signers = store, logs, signers
        self.deciding, self._learning = threading.Lock(), threading.Lock()
        self._newest: dict[str, Head] = {}
        # The logs of which more may be stored, now or in a moment, than this process was told: as many entries.
        self._in_doubt: dict[str, int] = {}
        self._clock, self.examined = clock, examined

    def keys(self, origin: str) -> Keys:
        """Whose signatures count, as far as the log is held. Refused `unknown-log`."""
        keys = self._logs.get(origin)
        if keys is None:
            raise Refused("unknown-log", "this custodian does not keep that log")
        with self._learning:
            if origin in self._in_doubt:
                # A rekey may be among it: by the keys of before, what is held could neither be signed nor continued.
                learn_stored(self.store, keys)
                # A database may store what it was handed after the connection broke: until then it is asked each time.
                if held_size(self.store, origin)[0] >= self._in_doubt[origin]:
                    del self._in_doubt[origin]
        return keys

    def learn(self, origin: str, entries: Iterable[tuple[int, bytes]]) -> None:
        """Takes note of entries that are stored now, by number: some may change a key. Of two threads that learn at one
        time neither forgets what the other has learned. Refused.
        """
        keys = self._logs[origin]
        with self._learning:
            for index, entry in entries:
                keys.learn(index, entry)

    def lines(self, origin: str, head: Head) -> bytes:
        """The custodian's cosignatures over a head that is stored with all its entries. Refused as `examined`; Damaged
        if it is not one that the log signed, or has a time at which another was the largest.
        """
        # Also if the head was cosigned before: what has changed on disk since is no longer held.
        self.examined()
        if head != self._newest.get(origin):
            # Else who owns the database could have any text signed, by writing it there for a note.
            check_head(head, self.keys(origin).at(head.size))
            # Else an old tree could be stated anew as the largest, as if what followed it had never been signed.
            if head.time > self.newest(origin).time:
                raise Damaged(f"the head of {head.size} entries is damaged: its time is after that of the newest")
            self._check_order(origin, head)
        return cosignatures(in_office(self._signers, self.keys(origin).at(head.size)), head)

    def _check_order(self, origin: str, head: Head) -> None:
        """Damaged unless the head's time is between those of the one that it follows and of the one that follows it, or
        of the next ones that have a time.
        """
        before = self.store.head_at(origin, head.old_size)
        while before is not None and not before.time:
            before = self.store.head_at(origin, before.old_size)
        after = self.store.head_after(origin, head.size)
        while after is not None and not after.time:
            after = self.store.head_after(origin, after.size)
        if before is not None and before.time > head.time:
            raise Damaged(f"the head of {head.size} entries is damaged: its time is before that of a smaller one")
        if after is not None and after.time < head.time:
            raise Damaged(f"the head of {head.size} entries is damaged: its time is after that of a larger one")

    def newest(self, origin: str) -> Head:
        """The newest head, on which everything that is signed is built.

        Damaged if it is not the one that was stored: if a bit of it changed, or if it, or all after it, is gone. What
        this process has seen, and what is published, is remembered: no smaller tree is signed over.
        """
        last, held = self._newest.get(origin, EMPTY), self.store.newest(origin)
        if held != last:
            # Another caller may be storing: what was published, or seen, by now was stored before the next line reads.
            published = self.store.published(origin)[0]
            held = self.store.newest(origin)
            check_head(held, self.keys(origin).at(held.size))
            largest = max(last.size, published)
            if held.size < largest:
                raise Damaged(f"heads are missing: {held.size} entries are held, of {largest} that were")
            was = held if held.size == last.size else self.store.head_at(origin, last.size)
            if last.size and (was is None or (was.root, was.time) != (last.root, last.time)):
                raise Damaged(f"the head of {last.size} entries is another than it was while this process ran")
            self._remember(origin, held)
        return held

    def _remember(self, origin: str, head: Head) -> None:
        """Of several callers none makes this process forget the larger tree that another has seen, or stored."""
        with self._learning:
            if head.size >= self._newest.get(origin, EMPTY).size:
                self._newest[origin] = head

    def seen(self, origin: str) -> Head:
        """The largest tree of which this custodian knows that the log's keys of now have signed it, its entries held
        or not: in the terms of C2SP tlog-mirror, the pending checkpoint. As large as what is held, it is that.
        """
        held, observed = self.newest(origin), self.store.observed(origin, self.line(origin))
        return observed if observed.size > held.size or not held.note else held

    def line(self, origin: str) -> str:
        """Where it is kept what the log's keys of now have signed."""
        return line_of(self.keys(origin).at(self.newest(origin).size))

    def compare(self, origin: str, stored: Head, note: bytes) -> None:
        """As `contradicted`, of a stored head of as many entries; nothing if it is not as it was stored."""
        with suppress(Damaged):
            check_seen(origin, stored, of_all_times(self.keys(origin)))
            self.contradicted(Checkpoint(origin, stored.size, stored.root), note)

    def contradicted(self, here: Checkpoint, note: bytes) -> None:
        """Keeps a note by which the log has signed another tree than `here`, of as many entries, which was verified to
        be the one here, as evidence beside that one, and says so. The first by each set of the log's keys: it shows
        that these have signed two trees, and whoever has stolen them fills no disk with more. Nothing if it is by none
        that the log has had, or says no such thing: the row that it stood in may be another than was stored.
        """
        for policy in of_all_times(self.keys(here.origin)):
            with suppress(Refused, Overtaken):
                signed = by_log(policy, parse_note(note))
                other = parse_checkpoint(signed.text)
                if (other.origin, other.size) == (here.origin, here.size) and other.root != here.root:
                    new = Head(0, other.size, other.root, b"", note, 0)
                    self.store.contradict(here.origin, line_of(policy), new)
                    _log.error("another-tree-seen", size=other.size)
                return

    def time_to_sign(self) -> int:
        """The time of the next cosignature. Refused `clock-backwards`, or as the clock or `examined` refuses."""
        self.examined()
        now = self._clock()
        # Of a head that was mended only the head itself says the time.
        check_clock(max([self.store.last_time(), *(head.time for head in list(self._newest.values()))]), now)
        return now

    def keep(
        self,
        origin: str,
        new: Head,
        leaves: Sequence[bytes],
        entries: Sequence[bytes],
        staged: int,
        line: str | None = None,
    ) -> None:
        """Stores a head and its entries, those left out that are staged, or brought towards the trees of `line`, which
        are so many from the first on. When this returns the head may be cosigned.

        WrongOldSize if another process was faster; Damaged if what they are put beside has changed on disk.
        """
        check_edge(self.store, origin, self._newest.get(origin, EMPTY))
        missing = max(new.size - max(staged, new.old_size), 0)
        first = len(entries) - min(missing, len(entries))
        failpoints.at("custodian.storing")
        try:
            self.store.append(origin, new, leaves[first:], entries[first:], line)
        except Exception as error:
            # Whatever was reported, it may be stored; if it was overtaken, the other is.
            with self._learning:
                size = 0 if isinstance(error, Overtaken) else new.size
                self._in_doubt[origin] = max(size, self._in_doubt.get(origin, 0))
            if isinstance(error, Overtaken):
                raise WrongOldSize(self.store.newest(origin).size) from None
            raise
        self._remember(origin, new)
        # A crash here leaves a stored head without a cosignature: the log asks again and gets it then.
        failpoints.at("custodian.stored")
