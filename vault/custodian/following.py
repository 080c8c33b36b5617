"""A custodian that anybody may run: it pulls from others' public tiles instead of being pushed to, and trusts none of
them.

It stores only what is under a head with the log's signatures and W cosignatures that continues what it holds, so it
serves as good a copy as any. Since it remembers, it finds out what a reader who comes once cannot: that the log signed
two heads that contradict each other, that a source serves less than it did, or other bytes. It does not cosign: no
manifest names it, so its line would count for nobody.

What its loss buys an attacker: one copy, and a memory of what the sources once showed. What its capture buys: nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

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
from infra import failpoints
from vault.custodian.alarms import Alarms
from vault.custodian.comparing import Comparison
from vault.custodian.cosign import EMPTY, Head
from vault.custodian.keys import Keys
from vault.custodian.pulling import Progress, pull
from vault.custodian.silence import Silence
from vault.custodian.sources import Memory, Patient, Source
from vault.custodian.storage import Damaged, Store, Unsafe
from vault.custodian.stored import StoreReader, check_head, root_at, tree

Clock = Callable[[], float]


class Fork(Exception):
    """The log signed two heads that contradict each other; `evidence` is the file that holds both notes, None if as
    many of this source are kept already as may be.
    """

    def __init__(self, text: str, evidence: Path | None) -> None:
        super().__init__(f"{text}; both notes are kept in {evidence}" if evidence else text)
        self.evidence = evidence


class Follower:
    """Follows the log of `keys` into `store`. `clock` gives seconds, of which only differences count; `now` POSIX
    seconds; `choose(n)` any number below n. `memory` is the file in which it remembers what each source showed;
    `silence` and `idle` are seconds, see `FollowConfig`; `published` is told when there is a newer checkpoint to serve.

    Not for several threads. Figures: `alarms.raised`, `size`, `compared` (bundles), `rounds`; `whole`: whether the
    last round was gone through, with nothing wrong here.
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
        idle: float | None = None,
        sample: int,
        published: Callable[[], None] = lambda: None,
    ) -> None:
        self._store, self._keys, self.alarms = store, keys, alarms
        self._clock, self._now, self._choose = clock, now, choose
        self._sample, self._published = sample, published
        self._silence = Silence(store, keys, alarms, clock=clock, now=now, limit=silence, idle=idle)
        # A round with all of them slow takes half of `silence`, so that the alarm for it is not late.
        share = silence / 2 / max(len(readers), 1)
        self.sources = [Source(Patient(reader, clock, share), heard=clock()) for reader in readers]
        self._memory = Memory(memory, self.sources)
        self._newest = EMPTY
        self.size = self.compared = self.rounds = 0
        self.whole = False

    def round(self) -> None:
        """Asks every source once. Fork, after which nothing more is stored. What else goes wrong here, such as
        SQLAlchemyError or OSError of the store, is raised when all have been asked: it hides no fork and no silence.
        """
        began = self._clock()
        try:
            self._ask_all(began)
        except Exception:
            self.whole = False
            self._silence.check_followed(began)
            raise
        self._silence.followed()
        self.whole = True
        self.rounds += 1

    def _ask_all(self, began: float) -> None:
        fault: Exception | None = None
        for source in self.sources:
            source.reader.begin()
            source.gave = False
            try:
                self._ask(source)
            except Fork:
                raise
            except ReadError as error:
                self.alarms.unusable(source.label, error.reason)
            except Refused as refusal:
                self.alarms.unusable(source.label, refusal.reason)
            except Damaged:
                self.alarms("damaged", what="stored")
            except Exception as error:
                # It is here that nothing can be stored: no source is silent for that.
                source.gave = True
                fault = fault or error
        try:
            self._silence.check(self.sources, began)
        finally:
            self._memory.keep()
        if fault:
            raise fault

    def _ask(self, source: Source) -> None:
        raw = source.reader.checkpoint()
        held = self._held()
        if raw is None:
            if source.largest:
                self.alarms("shrunken", source=source.label, size=0, was=source.largest)
            self.alarms.unusable(source.label, "not-found")
            source.hear(0, held.size)
            return
        note = parse_note(raw)
        try:
            head, held = self._take(source, note, held)
        except (Refused, ReadError):
            self._check_rekeys(source, note, held)
            raise
        source.shown = raw
        source.hear(head.size, held.size)
        self._compare(source, min(head.size, held.size))

    def _take(self, source: Source, note: Note, held: Head) -> tuple[SignedHead, Head]:
        """The head that a source shows, and the one that is held after what it adds was stored."""
        head, policy = self._open(source, note)
        if head.size < source.largest:
            self.alarms("shrunken", source=source.label, size=head.size, was=source.largest)
        if head.size > held.size:
            held = self._grow(source, held, head, policy)
        elif head.size and root_at(self._store, self._keys.origin, held, head.size) != head.root:
            proof = consistency_proof(tree(self._store, self._keys.origin, held), head.size, held.size)
            self._fork(source, held, head, "held", root_at(self._store, self._keys.origin, held, head.size), proof)
        if head.size > self._store.published(self._keys.origin)[0]:
            # After the head is stored; a crash between the two is made good by the next round.
            self._witnessed(source, head, self._keys.at(head.size))
            failpoints.at("follower.publishing")
            self._store.publish(self._keys.origin, head.size, note.raw)
            failpoints.at("follower.published")
            self._published()
        return head, held

    def _check_rekeys(self, source: Source, note: Note, held: Head) -> None:
        """Raises an alarm if the source, whose head cannot be taken, proves in its tree that the officials have
        replaced keys where something else is held: then it is that which hides it, and by keys that may be over.
        """
        with suppress(Refused, ReadError):
            for index, entry in self._keys.shown(source.reader, note).items():
                if index < held.size:
                    evidence = {"note": note.raw.decode(), "number": index, "rekey": entry.decode()}
                    self.alarms("rekey", source=source.label, number=index)
                    self.alarms.keep("rekey", str(source.reader), evidence)

    def _others(self, source: Source) -> list[Reader]:
        return [other.reader for other in self.sources if other is not source]

    def _open(self, source: Source, note: Note) -> tuple[SignedHead, LogPolicy]:
        """The head of a note that the log signed, and whose signatures count over it. Refused; ReadError.

        The log must not contradict itself, whoever has cosigned what: so its own signatures are enough here. Where keys
        were replaced the other sources are asked, too, and each place is shown to be in the tree of this note.
        """
        size = parse_checkpoint(note.text).size
        policy = self._keys.at(size)
        try:
            return SignedHead(open_note(note, policy, witnessed=False), note), policy
        except Refused:
            policy = self._keys.claimed(source.reader, size, self._others(source))
            return SignedHead(open_note(note, policy, witnessed=False), note), policy

    def _witnessed(self, source: Source, head: SignedHead, policy: LogPolicy) -> LogPolicy:
        """By whose signatures the log and W custodians stand for a head: `policy`, or what the reader shows has
        replaced some of it. Refused; ReadError.
        """
        try:
            open_note(head.note, policy, exact=True)
        except Refused:
            policy = self._keys.claimed(source.reader, head.size, self._others(source))
            open_note(head.note, policy, exact=True)
        return policy

    def _held(self) -> Head:
        try:
            held = self._store.newest(self._keys.origin)
        except (OSError, SQLAlchemyError, Unsafe):
            # Nothing can be stored now; what the source shows must continue what was held all the same.
            if not self._newest.size:
                raise
            return self._newest
        check_head(held, self._keys.at(held.size))
        self._newest, self.size = held, held.size
        return held

    def _grow(self, source: Source, held: Head, head: SignedHead, policy: LogPolicy) -> Head:
        """Stores what the source has beyond what is held, if W custodians stand for it."""
        try:
            policy = self._witnessed(source, head, policy)
        except (Refused, ReadError):
            # The log has signed it: whoever has not cosigned it, it must continue what is held.
            with suppress(ReadError):
                self._check_fork(source, held, head)
            raise
        try:
            # What a slow one has given stays, and the next round goes on from there.
            new = pull(self._store, self._keys, source.reader, head, policy, self._now(), self._hearing(source))
        except ReadError as error:
            if error.reason == "wrong-root":
                self._check_fork(source, held, head)
            if error.reason in ("wrong-root", "wrong-entry"):
                self.alarms("changed", source=source.label, what=error.reason, number=held.size)
            raise
        except Exception:
            # What cannot be stored must continue what is held all the same.
            with suppress(Refused, ReadError):
                self._check_fork(source, held, head)
            raise
        self._newest, self.size = new, new.size
        self.alarms.stored(source.label, new.size, new.size - held.size)
        return new

    def _hearing(self, source: Source) -> Progress:
        def progress(done: int, total: int) -> None:
            source.gave = True

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
        it is not the smaller one's, which shows the contradiction to anybody. Fork, which ends this follower; Refused
        `overruled` if the officials have overruled that tree.
        """
        evidence = {
            "held": held.note.decode(),
            "other": head.note.raw.decode(),
            "larger": larger,
            "root": encode_base64(root),
            "proof": [encode_base64(value) for value in proof],
        }
        kind = "overruled" if self._overruled(held, head) else "fork"
        # The alarm first: on a full disk the evidence is tried for in every round, and it ends once that is kept.
        self.alarms(kind, source=source.label, size=head.size, held=held.size)
        file = self.alarms.keep(kind, str(source.reader), evidence)
        if kind == "overruled":
            raise Refused(kind, "is by keys of the log that the officials have replaced in the one that is held")
        text = f"{source.reader} shows a tree of {head.size} entries that contradicts the {held.size} held, both signed"
        raise Fork(f"FORK: {text} by {self._keys.origin}", file)

    def _overruled(self, held: Head, head: SignedHead) -> bool:
        """Whether a tree that contradicts the held one is by keys of the log that were replaced in that, and not by W
        custodians: who has stolen the old keys can make any, and must not end all that follow.
        """
        policy = self._keys.at(head.size)
        if policy.log == self._keys.at(held.size).log:
            return False
        try:
            open_note(head.note, policy)
        except Refused:
            return True
        return False

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
