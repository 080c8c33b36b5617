"""Who hands entries in, remembers what was acknowledged, and at the end counts it in the log of every custodian."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

import httpx

from audit.log.export import check_tiles
from audit.log.merkle import CompactRange
from audit.log.notes import Note, parse_note
from audit.log.reader import HttpReader, ReadError, open_head, read_entries
from audit.log.tiles import frame
from audit.log.treehead import parse_checkpoint
from audit.protocol.refused import Refused
from tally.sequencer.ledger import Ledger
from tests.faults.stores import false_trees, holds, noted_by
from tests.faults.zones import TOKEN, Zones

PATIENCE = 90.0
LENGTH = 300
"""Bytes of an entry."""
TIMEOUT = httpx.Timeout(5.0)
PATIENT = httpx.Timeout(30.0)


class Client:
    """Hands in at intake's door, entry by entry, and at the queue's ingress, as an intake does, in batches.

    `acknowledged` are entries that one of them has answered for; `offered` are all that either may have seen; `checked`
    are those of the acknowledged that were looked for in every log, `lost` how many of them were not there at last;
    `turned_away`: how often none of them answered so.
    """

    def __init__(self, zones: Zones) -> None:
        self.zones = zones
        self.acknowledged: set[bytes] = set()
        self.offered: set[bytes] = {zones.meeting.entries[0]}
        self.checked: set[bytes] = set()
        self.lost = 0
        self.turned_away = 0
        self._numbers = itertools.count()
        self._lock = threading.Lock()

    def found(self) -> None:
        """Has the log begin: its entry 0 through the queue, until it is published, and all intakes know it."""
        self.put([self.zones.meeting.entries[0]])
        self.wait(lambda: all(self.size(name) >= 1 for name in self.zones.custodians if self.zones.zones[name].alive))
        intakes = [name for name in self.zones.intakes if self.zones.zones[name].alive]
        self.wait(lambda: all(self.zones.said(name, "log-read") for name in intakes))

    def entries(self, count: int) -> list[bytes]:
        """So many notices, each another."""
        meeting, made = self.zones.meeting, []
        bound = {"manifest": meeting.hash, "subject": "incident"}
        with self._lock:
            for number in itertools.islice(self._numbers, count):
                text = f"{number:010d}".ljust(LENGTH - 210, ".")
                made.append(meeting.signed("notice", {**bound, "text": text}, meeting.parties.officials[0]))
        return made

    def put(self, entries: Sequence[bytes], patience: float = PATIENCE) -> bool:
        """Puts a batch into the queue, again until it is acknowledged; whether it was in time."""
        return self._until_acknowledged(
            entries, lambda http: http.post(f"{self.zones.url('ingress')}/put", content=frame(entries)), {204}, patience
        )

    def hand_in(
        self, entry: bytes, patience: float = PATIENCE, at: str = "intake", recorded: bytes | None = None
    ) -> bool:
        """Hands an entry in at an intake's door, again until there is a receipt; whether there was one in time.
        `recorded`: what the log is to hold of it, if not the very same.
        """
        url = f"{self.zones.url(at)}/{self.zones.meeting.origin}/entries"
        promised = [entry if recorded is None else recorded]
        return self._until_acknowledged(promised, lambda http: http.post(url, content=entry), {200, 201}, patience)

    def _until_acknowledged(
        self,
        entries: Sequence[bytes],
        post: Callable[[httpx.Client], httpx.Response],
        good: set[int],
        patience: float,
    ) -> bool:
        end = time.monotonic() + patience
        headers = {"Authorization": f"Bearer {TOKEN}"}
        with self._lock:
            self.offered.update(entries)
        with httpx.Client(timeout=TIMEOUT, headers=headers, trust_env=False) as http:
            while True:
                try:
                    answer = post(http)
                    if answer.status_code in good:
                        with self._lock:
                            self.acknowledged.update(entries)
                        return True
                    assert answer.status_code == 503, (answer.status_code, answer.text)
                except httpx.HTTPError:
                    pass
                with self._lock:
                    self.turned_away += 1
                if time.monotonic() > end:
                    return False
                time.sleep(0.1)

    @contextmanager
    def load(self, pause: float = 0.2, batch: int = 5) -> Iterator[None]:
        """Batches at the queue and entries at the door for as long as the block lasts; after it nothing is open."""
        stop, faults = threading.Event(), list[str]()

        def repeat(hand_in: Callable[[], bool], wait: float) -> None:
            try:
                while not stop.wait(wait):
                    assert hand_in(), "an entry was never acknowledged"
            except Exception as error:
                faults.append(f"{type(error).__name__}: {error}")

        works = [(lambda: self.put(self.entries(batch)), pause), (lambda: self.hand_in(*self.entries(1)), pause / 2)]
        threads = [threading.Thread(target=repeat, args=work, daemon=True) for work in works]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            for thread in threads:
                thread.join(PATIENCE)
        assert not faults, faults

    def size(self, name: str) -> int:
        """How many entries a custodian serves under W cosignatures; 0 while it does not answer."""
        try:
            with self._reader(name) as reader:
                head = open_head(reader, self.zones.meeting.manifest.log)
                return head.size if head else 0
        except (ReadError, Refused):
            return 0

    def held(self, name: str) -> int:
        """How many entries a custodian has stored, published or not, as it says to the log itself."""
        note = self._held(name)
        return 0 if note is None else parse_checkpoint(note.text).size

    def cosigns(self, name: str) -> bool:
        """Whether a custodian signs what it has stored."""
        note = self._held(name)
        return note is not None and any(signature.name == name for signature in note.signatures)

    def _held(self, name: str) -> Note | None:
        url = f"{self.zones.url(name)}/{self.zones.meeting.origin}/held"
        answer = httpx.get(url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=PATIENT, trust_env=False)
        return None if answer.status_code == 204 else parse_note(answer.content)

    def grows(self, name: str = "custodian-0", by: int = 1, patience: float = PATIENCE) -> None:
        """Returns once a custodian serves so many entries more than now."""
        before = self.size(name)
        self.wait(lambda: self.size(name) >= before + by, patience)

    def stands_still(self, name: str = "custodian-0", seconds: float = 3.0) -> int:
        """The size of a custodian's log that has not grown for so long, whatever was still under way before."""
        size, since = self.size(name), time.monotonic()
        end = since + PATIENCE
        while time.monotonic() - since < seconds:
            assert time.monotonic() < end, f"{name} never stands still"
            time.sleep(0.2)
            now = self.size(name)
            if now > size:
                size, since = now, time.monotonic()
        return size

    def emptied(self, *names: str) -> None:
        """Returns once these stores, outboxes or the queue, hold nothing any more: what is published is deleted there
        a moment later.
        """
        self.wait(lambda: not any(holds(self.zones, name) for name in names))

    def log(self, name: str) -> list[bytes]:
        """The whole published log of a custodian, from its tiles alone, every byte under its root."""
        with self._reader(name) as reader:
            head = open_head(reader, self.zones.meeting.manifest.log, exact=True)
            return list(read_entries(reader, CompactRange(), head)) if head else []

    def check(self, *without: str, patience: float = PATIENCE) -> None:
        """Nothing that was acknowledged is lost, as `count` counts."""
        if lost := self.count(*without, patience=patience):
            sizes = {name: self.size(name) for name in self.zones.custodians}
            alive = {name: zone.alive for name, zone in self.zones.zones.items()}
            raise AssertionError(f"{lost} of {len(self.acknowledged)} not recorded; {sizes}; alive: {alive}")

    def count(self, *without: str, patience: float = PATIENCE) -> int:
        """Waits until all custodians but some have published all that was acknowledged; then every log is read and
        proven. How many entries are lost: acknowledged, and not in all of these logs. If none is, all logs are one, in
        which is nothing twice, and nothing that nobody handed in; and every tile, and every root that is stored beside
        the entries, is the one that they make.
        """
        names = [name for name in self.zones.custodians if name not in without]
        with self._lock:
            acknowledged, offered = set(self.acknowledged), set(self.offered)
        logs: dict[str, list[bytes]] = {}

        def whole() -> bool:
            return len({self.size(name) for name in names}) == 1 and read() and len(set(map(len, logs.values()))) == 1

        def read() -> bool:
            """Whether all that was acknowledged is in all logs, as far as they can be read now."""
            logs.clear()
            for name in names:
                with suppress(ReadError):
                    logs[name] = self.log(name)
            return all(acknowledged.issubset(logs.get(name, ())) for name in names)

        try:
            self.wait(whole, patience)
        except AssertionError:
            read()
        lost = {entry for name in names for entry in acknowledged.difference(logs.get(name, ()))}
        self.checked |= acknowledged
        self.lost = len(lost)
        if lost:
            return self.lost
        one = logs[names[0]]
        for name in names:
            self._check_trees(name, one)
        assert all(log == one for log in logs.values()), "custodians serve different logs"
        twice = [raw for raw, times in Counter(one).items() if times > 1]
        assert not twice, f"{len(twice)} entries are recorded more than once"
        assert set(one) <= offered, "the log holds what nobody handed in"
        return 0

    def check_ledger(self) -> None:
        """The ledger holds what custodians publish, and each of its stages has the root of its entries."""
        ledger = Ledger(self.zones.databases["tally"].engine, self.zones.meeting.origin)
        published = self.log(self.zones.custodians[0])
        staged = list(ledger.all_entries())
        assert staged[: len(published)] == published
        self._check_roots("tally", staged)

    def _check_trees(self, name: str, log: Sequence[bytes]) -> None:
        """Every tile that a custodian serves, and every head that it has stored, is of this log."""
        with self._reader(name) as reader:
            head = open_head(reader, self.zones.meeting.manifest.log, exact=True)
            assert head is not None
            check_tiles(reader, head)
        self._check_roots(name, log)

    def _check_roots(self, name: str, log: Sequence[bytes]) -> None:
        false = false_trees(noted_by(self.zones, name), log)
        assert not false, f"{name} notes other trees of {false} entries"

    def wait(self, done: Callable[[], bool], patience: float = PATIENCE) -> None:
        end = time.monotonic() + patience
        while not done():
            assert time.monotonic() < end, "waited in vain"
            time.sleep(0.05)

    @contextmanager
    def _reader(self, name: str) -> Iterator[HttpReader]:
        reader = HttpReader(f"{self.zones.url(name)}/{self.zones.meeting.origin}", seconds=10.0)
        try:
            yield reader
        finally:
            reader.close()
