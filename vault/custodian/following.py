"""A custodian that anybody may run: it pulls from others' public tiles instead of being pushed to, and trusts none of
them.

It stores only what is under a head with the log's signatures and W cosignatures that continues what it holds, so it
serves as good a copy as any. Since it remembers, it finds out what a reader who comes once cannot: that the log signed
two heads that contradict each other, that a source serves less than it did, or other bytes. It does not cosign: no
manifest names it, so its line would count for nobody.

What its loss buys an attacker: one copy, and a memory of what the sources once showed. What its capture buys: nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from audit.log.checkpoint import LogPolicy, open_note
from audit.log.encoding import encode_base64
from audit.log.merkle import consistency_proof, frontier, verify_consistency
from audit.log.notes import Note, parse_note
from audit.log.proving import TreeTiles
from audit.log.reader import Head as SignedHead
from audit.log.reader import Reader, ReadError
from audit.log.tiles import WIDTH
from audit.log.treehead import parse_checkpoint
from audit.protocol.refused import Refused
from infra import log
from vault.custodian.alarms import Alarms, write_whole
from vault.custodian.comparing import Comparison
from vault.custodian.cosign import Head
from vault.custodian.keys import Keys
from vault.custodian.pulling import Progress, pull
from vault.custodian.storage import Damaged, Store
from vault.custodian.stored import StoreReader, check_head, root_at, tree

Clock = Callable[[], float]


class Fork(Exception):
    """The log signed two heads that contradict each other; `evidence` is the file that holds both notes."""

    def __init__(self, text: str, evidence: Path) -> None:
        super().__init__(f"{text}; both notes are kept in {evidence}")
        self.evidence = evidence


@dataclass
class Source:
    """One custodian to pull from. `largest`: the most entries it ever showed; `answered`: when it last did; `cursor`:
    the bundle that is compared next; `shown`: the note it gave last.
    """

    reader: Reader
    largest: int = 0
    answered: float = 0.0
    cursor: int = 0
    shown: bytes = b""

    @property
    def label(self) -> str:
        """A word for the log."""
        return log.word(urlsplit(str(self.reader)).netloc.rpartition("@")[2] or str(self.reader))


class Follower:
    """Follows the log of `keys` into `store`. `clock` gives seconds, of which only differences count; `now` POSIX
    seconds; `choose(n)` any number below n. `memory` is the file in which it remembers what each source showed;
    `published` is told when there is a newer checkpoint to serve.

    Not for several threads. Figures: `alarms.raised`, `size`, `compared` (bundles), `rounds`.
    """

    def __init__(
        self,
        store: Store,
        keys: Keys,
        readers: Sequence[Reader],
        alarms: Alarms,
        memory: Path,
        *,
        clock: Clock,
        now: Callable[[], int],
        choose: Callable[[int], int],
        silence: float,
        sample: int,
        published: Callable[[], None] = lambda: None,
    ) -> None:
        self._store, self._keys, self.alarms = store, keys, alarms
        self._memory, self._clock, self._now, self._choose = memory, clock, now, choose
        self._silence, self._sample, self._published = silence, sample, published
        self.sources = [Source(reader, answered=clock()) for reader in readers]
        self._grew = clock()
        self.size = self.compared = self.rounds = 0
        self._recall()

    def round(self) -> None:
        """Asks every source once. Fork, after which nothing more is stored; SQLAlchemyError or OSError of the store."""
        for source in self.sources:
            try:
                self._ask(source)
            except ReadError as error:
                self.alarms.unusable(source.label, error.reason)
            except Refused as refusal:
                self.alarms.unusable(source.label, refusal.reason)
            except Damaged:
                self.alarms("damaged", what="stored")
        self._remember()
        self._listen()
        self.rounds += 1

    def _ask(self, source: Source) -> None:
        held = self._held()
        raw = source.reader.checkpoint()
        source.answered = self._clock()
        if raw is None:
            if source.largest:
                self.alarms("shrunken", source=source.label, size=0, was=source.largest)
            return
        note = parse_note(raw)
        head, policy = self._open(source.reader, note)
        if head.size < source.largest:
            self.alarms("shrunken", source=source.label, size=head.size, was=source.largest)
        if head.size <= held.size:
            if head.size and root_at(self._store, self._keys.origin, held, head.size) != head.root:
                proof = consistency_proof(tree(self._store, self._keys.origin, held), head.size, held.size)
                self._fork(source, held, head, "held", root_at(self._store, self._keys.origin, held, head.size), proof)
        else:
            held = self._grow(source, held, head, policy)
        if head.size > self._store.published(self._keys.origin)[0]:
            # After the head is stored; a crash between the two is made good by the next round.
            self._witnessed(source.reader, head, self._keys.at(head.size))
            self._store.publish(self._keys.origin, head.size, note.raw)
            self._published()
        source.largest, source.shown = max(source.largest, head.size), raw
        self._compare(source, min(head.size, held.size))

    def _open(self, reader: Reader, note: Note) -> tuple[SignedHead, LogPolicy]:
        """The head of a note that the log signed, and whose signatures count over it. Refused; ReadError.

        The log must not contradict itself, whoever has cosigned what: so its own signatures are enough here.
        """
        size = parse_checkpoint(note.text).size
        policy = self._keys.at(size)
        try:
            return SignedHead(open_note(note, policy, witnessed=False), note), policy
        except Refused:
            policy = self._keys.claimed(reader, size)
            return SignedHead(open_note(note, policy, witnessed=False), note), policy

    def _witnessed(self, reader: Reader, head: SignedHead, policy: LogPolicy) -> LogPolicy:
        """By whose signatures the log and W custodians stand for a head: `policy`, or what the reader shows has
        replaced some of it. Refused; ReadError.
        """
        try:
            open_note(head.note, policy, exact=True)
        except Refused:
            policy = self._keys.claimed(reader, head.size)
            open_note(head.note, policy, exact=True)
        return policy

    def _held(self) -> Head:
        held = self._store.newest(self._keys.origin)
        check_head(held, self._keys.at(held.size))
        self.size = held.size
        return held

    def _grow(self, source: Source, held: Head, head: SignedHead, policy: LogPolicy) -> Head:
        """Stores what the source has beyond what is held, if W custodians stand for it."""
        try:
            policy = self._witnessed(source.reader, head, policy)
        except (Refused, ReadError):
            # The log has signed it: whoever has not cosigned it, it must continue what is held.
            with suppress(ReadError):
                self._check_fork(source, held, head)
            raise
        try:
            patience = self._patience(source.reader)
            new = pull(self._store, self._keys, source.reader, head, policy, self._now(), patience)
        except ReadError as error:
            if error.reason == "wrong-root":
                self._check_fork(source, held, head)
            if error.reason in ("wrong-root", "wrong-entry"):
                self.alarms("changed", source=source.label, what=error.reason, number=held.size)
            raise
        self._grew, self.size = self._clock(), new.size
        self.alarms.stored(source.label, new.size, new.size - held.size)
        return new

    def _patience(self, reader: Reader) -> Progress:
        """Lets no source hold up the others, and the alarm for silence, by being slow: what it has given stays, and the
        next round goes on from there.
        """
        end = self._clock() + self._silence / 2

        def progress(done: int, total: int) -> None:
            if self._clock() > end and done < total:
                raise ReadError(f"has given {done} of {total} entries in {self._silence / 2:g} s", str(reader), "slow")

        return progress

    def _check_fork(self, source: Source, held: Head, head: SignedHead) -> None:
        """Fork if the source's own tiles prove that its head does not continue the held one. Otherwise they prove
        nothing: whoever serves them may have made them up.
        """
        if not held.size:
            return
        tiles = TreeTiles(source.reader, head)
        root = frontier(tiles, held.size).root()
        proof = consistency_proof(tiles, held.size, head.size)
        if root == held.root:
            return
        try:
            verify_consistency(held.size, root, head.size, head.root, proof)
        except Refused:
            return
        self._fork(source, held, head, "other", root, proof)

    def _fork(
        self, source: Source, held: Head, head: SignedHead, larger: str, root: bytes, proof: Sequence[bytes]
    ) -> None:
        """Keeps both notes, and of the larger tree the root over as many entries as the smaller has, with the proof:
        it is not the smaller one's, which shows the contradiction to anybody.
        """
        evidence = {
            "held": held.note.decode(),
            "other": head.note.raw.decode(),
            "source": str(source.reader),
            "larger": larger,
            "root": encode_base64(root),
            "proof": [encode_base64(value) for value in proof],
        }
        file = self.alarms.keep("fork", evidence)
        self.alarms("fork", source=source.label, size=head.size, held=held.size)
        text = f"{source.reader} shows a tree of {head.size} entries that contradicts the {held.size} held, both signed"
        raise Fork(f"FORK: {text} by {self._keys.origin}", file)

    def _compare(self, source: Source, size: int) -> None:
        """Reads again some of what is held: the next bundles in order, and one anywhere."""
        bundles = -(-size // WIDTH)
        if not bundles:
            return
        comparison = Comparison(StoreReader(self._store, self._keys.origin), source.reader, self.alarms, source.label)
        places = [(source.cursor + step) % bundles for step in range(min(self._sample, bundles))]
        source.cursor = (source.cursor + len(places)) % bundles
        for place in dict.fromkeys([*places, self._choose(bundles)]):
            lacking = comparison.of_bundle(place, size)
            # Who serves files may have put others in the place of partial ones since: the next round asks for those.
            if lacking and source.reader.checkpoint() == source.shown:
                self.alarms("shrunken", source=source.label, size=place * WIDTH, was=source.largest)
            self.compared += 1

    def _listen(self) -> None:
        """Silence: nothing new from anybody, or no answer from one, for longer than the limit."""
        time = self._clock()
        if time - self._grew >= self._silence:
            self.alarms("silence", source="all", seconds=int(self._silence))
        for source in self.sources:
            if time - source.answered >= self._silence:
                self.alarms("silence", source=source.label, seconds=int(self._silence))

    def _recall(self) -> None:
        """What each source showed before a restart. A file that cannot be read is as if there were none."""
        try:
            shown = json.loads(self._memory.read_bytes())
            sizes = {str(url): int(size) for url, size in shown.items()}
        except (OSError, ValueError, AttributeError, TypeError):
            sizes = {}
        for source in self.sources:
            source.largest = sizes.get(str(source.reader), 0)
        self._remembered = sizes

    def _remember(self) -> None:
        sizes = {str(source.reader): source.largest for source in self.sources}
        if sizes != self._remembered:
            write_whole(self._memory, json.dumps(sizes, indent=1, sort_keys=True).encode() + b"\n")
            self._remembered = sizes
