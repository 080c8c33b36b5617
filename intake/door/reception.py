"""Where an entry is handed in: checked in the order that costs an attacker most and us least, stored, then promised.

For a ballot: size, syntax, whose election, phase, known pseudonym, revision, and only then, in worker processes, its
signature and its proofs. Every other kind is rare and signed by an office: its signatures are checked before anything
dear. The rules run against the log as read so far; tally runs them again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Protocol

from sqlalchemy import Engine

from audit.log.notes import Note
from audit.protocol.elgamal import Ciphertext
from audit.protocol.group import parse_element
from audit.protocol.refused import Refused
from audit.record.election import Election, check_binding
from audit.record.entries import MAX_ENTRY, Entry, parse_entry, read_text
from audit.record.manifest import Manifest
from infra.http import Problem
from infra.log import failure
from infra.seen import SqlSeen
from intake.door.key import DoorKey
from intake.door.outbox import Accepted, Drained, Outbox
from intake.door.receipt import deadline, make_receipt
from intake.door.standing import Standing

Accept = Callable[[Entry, int], Awaitable[Accepted | Drained]]
ATTEMPTS = 3
"""How often a ballot is given to those that check proofs, if they die over it."""


class Pool(Protocol):
    """Checks a ballot's text in another process; see `infra.workers.CheckingPool`."""

    def submit_text(self, text: bytes, weight: Ciphertext) -> Future[list[Refused | None]]: ...

    def patience(self, given: Future[list[Refused | None]]) -> float: ...

    def replace(self, silent: Future[list[Refused | None]]) -> None: ...


@dataclass(frozen=True)
class Answer:
    """The receipt's note, intake's line on a ballot ("" for others' entries), and whether this is the first time."""

    receipt: bytes
    line: str
    new: bool


class Reception:
    """`accept` stores an entry in the outbox, `pool` gives the processes that check ballots once voting is open,
    `expect` raises before anything is written if another process may be at work on the outbox.
    """

    def __init__(
        self,
        manifest: Manifest,
        key: DoorKey,
        standing: Standing,
        engine: Engine,
        outbox: Outbox,
        accept: Accept,
        pool: Callable[[], Pool],
        clock: Callable[[], float] = time.time,
        expect: Callable[[], None] = lambda: None,
    ) -> None:
        self._manifest = manifest
        self._key = key
        self._standing = standing
        self._engine = engine
        self._outbox = outbox
        self._accept = accept
        self._pool = pool
        self._clock = clock
        self._expect = expect
        self._busy: dict[bytes, asyncio.Future[Answer]] = {}

    async def hand_in(self, raw: bytes) -> Answer:
        """Takes an entry and promises that it will be in the log. Refused by the first rule that it breaks.

        The same text again is answered with the same receipt, also at the same time and after the vote.
        """
        with no_fault_of_ours("read"):
            entry = read_handed_in(raw)
            check_binding(self._manifest.origin, self._manifest.hash, entry)
        # In this order: an election that was begun anew in between is not ready.
        election = self._standing.election
        self._expect_ready(entry)
        key = entry.leaf
        if key in self._busy:
            first = await asyncio.shield(self._busy[key])
            return Answer(first.receipt, first.line, new=False)
        self._busy[key] = answer = asyncio.get_running_loop().create_future()
        try:
            with self._judged_by(election):
                result = await (self._ballot(entry) if entry.kind == "ballot" else self._other(entry))
            answer.set_result(result)
            return result
        except BaseException as error:
            answer.set_exception(error if isinstance(error, Exception) else ConnectionAbortedError())
            answer.exception()  # nobody else may have been waiting
            raise
        finally:
            del self._busy[key]

    def _expect_ready(self, entry: Entry) -> None:
        if self._standing.ended:
            raise Problem(
                503, "ended", "a part of this intake has ended, so it takes nothing until it is started again"
            )
        if self._standing.broken:
            raise Problem(503, "wrong-log", "the log breaks the rules of this election, so this intake takes nothing")
        if not self._standing.ready:
            raise _still_reading()
        if not self._key.counts and entry.kind != "rekey":
            raise Problem(503, "wrong-key", "the key of this intake does not count in this election now; try another")

    @contextmanager
    def _judged_by(self, election: Election) -> Iterator[None]:
        """Where the watch has begun anew meanwhile, a refusal may be by a log of which little was read: Problem 503."""
        try:
            yield
        except Refused:
            if self._standing.election is not election:
                raise _still_reading() from None
            raise

    async def _ballot(self, ballot: Entry) -> Answer:
        try:
            self._standing.check_phase()
            # Parsed here and not only with the rest, so that what is no element is not taken for an unknown one.
            check_pseudonym(ballot)
            weight = self._standing.weight(ballot)
            self._standing.check_revision(ballot)
        except Refused as refusal:
            return await self._again(ballot, refusal)
        self._standing.check_room(ballot.kind)
        await self._prove(ballot, weight)
        before = self._standing.reserve(ballot)
        try:
            # It took a while: nothing is promised by who has begun anew, or is not what it was.
            self._expect_ready(ballot)
            self._standing.check_phase()
            return await self._promise(self._signed(ballot))
        except BaseException:
            # Also when it is stored and only the news of it is lost: then handing it in again finds it standing.
            self._standing.release(ballot, before)
            raise

    async def _again(self, ballot: Entry, refusal: Refused) -> Answer:
        """The receipt given before for exactly this text, and it is kept, should nothing wait any more that keeps it;
        if there is none, the refusal. The promise may be of the line of a key that was replaced since: then that line
        is answered, unless the present key's is to take its place.

        Refused `duplicate` for a ballot that has come into the log another way, or with a line that can no longer be
        made here: no other one stands there. Problem 503 while what waits is to be signed anew.
        """
        if refusal.reason in ("identity", "bad-element", "unknown-roll", "unknown-pseudonym"):
            raise refusal
        standing = await asyncio.to_thread(self._outbox.find, ballot.identity)
        signed = self._signed(ballot)
        if standing is not None and (line := self._key.line_of(ballot.text, standing.leaf)) is not None:
            if await asyncio.to_thread(self._is_owed, standing):
                return await self._renewed(signed, standing)
            if line not in signed.signatures and await asyncio.to_thread(self._outbox.waits, ballot.identity):
                raise _not_yet()
            return self._answer(replace(ballot, signatures=(line,)), standing, new=False)
        through = await asyncio.to_thread(self._recorded_through, ballot)
        if through is not None:
            raise Refused("duplicate", f"this ballot is in the log already, as {through} passed it on")
        raise refusal

    async def _renewed(self, signed: Entry, promised: Accepted) -> Answer:
        try:
            standing = await asyncio.to_thread(self._renew, signed, promised.deadline)
        finally:
            self._key.stored([signed])
        if standing.leaf != signed.leaf:
            # The key was replaced meanwhile, and somebody else was quicker.
            raise _not_yet()
        return self._answer(signed, standing, new=False)

    def _renew(self, entry: Entry, deadline: int) -> Accepted:
        self._expect()
        return self._outbox.renew(entry, deadline)

    async def _prove(self, ballot: Entry, weight: Ciphertext) -> None:
        """Problem 503 if those that check it die, or fall silent, again and again: it is neither taken nor refused."""
        for _ in range(ATTEMPTS):
            pool = self._pool()
            with suppress(BrokenProcessPool):
                submitted = pool.submit_text(ballot.text, weight)
                checked = asyncio.wrap_future(submitted)
                # Nobody hears what comes too late; nor is it cancelled then, which the pool does not bear.
                checked.add_done_callback(lambda late: late.cancelled() or late.exception())
                while not submitted.done() and (left := pool.patience(submitted)) > 0:
                    await asyncio.wait([checked], timeout=left)
                if not submitted.done():
                    pool.replace(submitted)
                    continue
                (verdict,) = submitted.result()
                if verdict is not None:
                    raise verdict
                return
        raise Problem(503, "busy", "the processes that check ballots are being started anew; come again in a moment")

    async def _other(self, entry: Entry) -> Answer:
        standing = await asyncio.to_thread(self._outbox.find, entry.identity)
        if standing is None:
            self._standing.check_room(entry.kind)
            await asyncio.to_thread(self._judge, entry)
            return await self._promise(entry)
        if await asyncio.to_thread(self._refused_before, entry):
            await asyncio.to_thread(self._judge, entry)
            standing = await asyncio.to_thread(self._renew, entry, self._deadline())
        check_same(entry, standing)
        return self._answer(entry, standing, new=False)

    def _judge(self, entry: Entry) -> None:
        with no_fault_of_ours("checked"):
            self._standing.election.check(entry)
        with self._engine.connect() as connection, self._standing.lock:
            # Whether a whole mix is proved takes minutes for a large roll. Tally sees to it: the log then refuses it.
            self._standing.election.admit_unproven(entry, SqlSeen(connection, self._manifest.origin))

    def _is_owed(self, promised: Accepted) -> bool:
        """Whether a ballot that was promised is on no way into the log, which has neither recorded it nor refused these
        very bytes, and may still do so.
        """
        # In this order: a row goes with the same transaction that notes why.
        if self._standing.election.phase not in ("open", "closing") or self._outbox.waits(promised.identity):
            return False
        with self._engine.connect() as connection:
            seen = SqlSeen(connection, self._manifest.origin)
            refused = seen.refused(promised.identity, self._key.name)
            return seen.recorded(promised.identity) is None and promised.leaf not in refused

    def _recorded_through(self, ballot: Entry) -> str | None:
        with self._engine.connect() as connection:
            return SqlSeen(connection, self._manifest.origin).recorded(ballot.identity)

    def _refused_before(self, entry: Entry) -> bool:
        """Whether tally found this act too early, once: that is not final, and its time may have come."""
        with self._engine.connect() as connection:
            seen = SqlSeen(connection, self._manifest.origin)
            return seen.recorded(entry.identity) is None and bool(seen.refused(entry.identity, ""))

    def _deadline(self) -> int:
        return deadline(self._clock(), self._manifest.batch_wait)

    async def _promise(self, entry: Entry) -> Answer:
        """Stores, then answers: no receipt exists before what it promises is on disk."""
        accepted = await self._accept(entry, self._deadline())
        if isinstance(accepted, Drained):
            raise Refused("closed", "voting is closed: this ballot came too late", "type")
        check_same(entry, accepted)
        return self._answer(entry, accepted, accepted.new)

    def _signed(self, ballot: Entry) -> Entry:
        """The ballot as it will stand in the log, with this intake's line. Refused `too-long`."""
        line = self._key.signer.sign(ballot.text)
        raw = Note(ballot.text, (line,)).raw
        if len(raw) > MAX_ENTRY:
            raise Refused("too-long", f"with this intake's line the entry has {len(raw)} bytes, more than {MAX_ENTRY}")
        return replace(ballot, signatures=(line,), raw=raw)

    def _answer(self, entry: Entry, accepted: Accepted, new: bool) -> Answer:
        origin, manifest = self._manifest.origin, self._manifest.hash
        receipt = make_receipt(self._key.signer, origin, manifest, entry.kind, accepted)
        line = entry.signatures[0].line if entry.kind == "ballot" else ""
        return Answer(receipt, line, new)


def _still_reading() -> Problem:
    return Problem(503, "not-ready", "this intake is still reading the log; please try again in a moment")


def _not_yet() -> Problem:
    return Problem(503, "not-ready", "this intake's key was replaced, and it signs this ballot anew; please try again")


@contextmanager
def no_fault_of_ours(what: str) -> Iterator[None]:
    """Where nothing but the entry is looked at, whatever fails is the entry's fault: Refused `syntax`, and reported."""
    try:
        yield
    except Refused:
        raise
    except Exception as error:
        failure(error)
        raise Refused("syntax", f"this entry cannot be {what}") from None


def read_handed_in(raw: bytes) -> Entry:
    """The entry in a request: the three lines of a ballot, or the whole signed note of any other kind.

    Refused as `parse_entry`; `wrong-signers` for a ballot that bears a line, or another kind that bears none.
    """
    if b"\n\n" not in raw:
        entry = read_text(raw)
        if entry.kind != "ballot":
            raise Refused("wrong-signers", f"{entry.kind} is handed in signed; this one bears no line", "signatures")
        return entry
    entry = parse_entry(raw)
    if entry.kind == "ballot":
        raise Refused("wrong-signers", "a ballot is handed in without lines; the intake adds its own", "signatures")
    return entry


def check_same(entry: Entry, accepted: Accepted) -> None:
    """Refused `duplicate` if what was promised under this identity is another leaf: a receipt would not be for this."""
    if accepted.leaf != entry.leaf:
        ballot = entry.kind == "ballot"
        detail = "ballot was handed in before, with another signature" if ballot else "was handed in before by others"
        raise Refused("duplicate", f"this {detail}", "signature" if ballot else "signatures")


def check_pseudonym(ballot: Entry) -> None:
    """Refused `bad-element` or `identity` for what can be nobody's pseudonym."""
    try:
        parse_element(ballot.fields["pseudonym"], identity_ok=False)
    except Refused as refusal:
        raise refusal.at("pseudonym") from None
