"""A mixer's part: it takes the last list of every roll from the log, hides which row became which, and proves that
nothing else was done.

It believes nobody: the log, the rolls' proofs and all earlier mixes are verified first, so that it never works for a
list that is not the issuers'. Permutation, exponent and randomness are drawn afresh for each roll, are never written
down, and are gone when the command ends; whoever had them from every mixer could trace every pseudonym to its row. What
is kept, in files of mode 0600, are the signed entries, before the first of them is handed in: after a crash the same
ones are handed in again. A crash before leaves nothing, and another mix is made.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audit.commands import executor
from audit.log.keys import Signer
from audit.log.tiles import frame, unframe
from audit.protocol.group import b64
from audit.protocol.refused import Refused
from audit.protocol.shuffle import mix
from audit.protocol.shuffle_secret import new_secret
from audit.protocol.shuffle_statement import CHUNK
from audit.record.election import Election
from audit.record.entries import make_text, parse_entry, seal
from audit.record.mixes import RollRows, mix_chunks, mix_head
from audit.record.mixing import next_mixer, place_of, unsigned_by
from audit.record.rolls import Roll
from infra.desk import Desk, stored
from infra.progress import bar
from tally.officials.trustee import fresh_scalar
from tally.officials.verified import verified

MOST_ENTRIES = 1 << 20


@dataclass(frozen=True)
class Mixer:
    """One mixer at its desk; `folder` is where its signed entries are kept."""

    desk: Desk
    signer: Signer
    folder: Path
    draw: Callable[[], int] = fresh_scalar

    @property
    def name(self) -> str:
        return self.signer.name

    def expect_office(self) -> None:
        """Refuses a key that is not one of the manifest's mixers."""
        if self.signer.verifier not in self.desk.manifest.mixers:
            raise Refused("wrong-signers", f"{self.name}, with this key, is no mixer of this election")
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def mix(self, report: Callable[[str], None]) -> None:
        """Mixes every roll, each when all that must precede it is recorded, and returns when the mixes are. Refused as
        the log says; NotVerified if it breaks a rule; GaveUp when others stay away."""
        self.expect_office()
        self.desk.wait_for(lambda: not missing(self.desk.election, self.name), self.waiting_for)
        if not left(self.desk.election, self.name):
            report(f"{self.name} has mixed every roll already")
            return
        with executor() as workers:
            election = verified(self.desk, lambda found: not missing(found.election, self.name), workers).election
            for roll in left(election, self.name):
                raws = list(unframe(self.entries(election, roll, workers), MOST_ENTRIES))
                self.desk.record(*raws)
                count = f"{len(roll.rows)} rows, {len(raws)} entries"
                report(f"{self.name}'s mix of the roll of {roll.share_class} is recorded: {count}")

    def waiting_for(self) -> str:
        return "; ".join(missing(self.desk.election, self.name))

    def entries(self, election: Election, roll: Roll, workers: Executor) -> bytes:
        """The signed entries of the mix of this list, framed: those kept, or else of a mix that is made and kept now.

        The log may hold part of a mix that is kept nowhere, of a mixer that lost its folder: that one begins anew.
        """
        begun = election.mixings.get(roll.share_class)
        attempt = 0 if begun is None else begun.attempt
        if begun is not None and kept_hash(self.file(roll, attempt)) != begun.hash:
            attempt += 1
        return stored(self.file(roll, attempt), lambda: self.made(election, roll, attempt, workers))

    def file(self, roll: Roll, attempt: int) -> Path:
        return self.folder / f"mix-{roll.share_class}-{b64(roll.hash)[:22]}-{attempt}"

    def made(self, election: Election, roll: Roll, attempt: int, workers: Executor) -> bytes:
        """A fresh mix of this list, signed. Its secrets are this function's own and end with it."""
        rows = RollRows.of(roll)
        pieces = 3 * -(-len(rows) // CHUNK)
        with bar(f"mixing the roll of {roll.share_class}", pieces) as progress:
            counting = Counting(workers, progress.advance)
            secret = new_secret(rows, self.draw, counting)
            done = mix(place_of(election, roll, self.name), rows, secret, counting)
        head = mix_head(election.manifest.hash, roll, self.name, attempt, done.generator, done.proof)
        return frame(self.sealed(body) for body in mix_chunks(head, done.rows()))

    def sealed(self, body: dict[str, Any]) -> bytes:
        return seal(make_text("mix", self.desk.card.origin, body), [self.signer])


class Counting(Executor):
    """Hands work on to another executor, and tells of every piece that is done."""

    def __init__(self, workers: Executor, step: Callable[[], None]) -> None:
        self._workers, self._step = workers, step

    def submit(self, work: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        future = self._workers.submit(work, *arguments, **named)
        future.add_done_callback(lambda _: self._step())
        return future


def kept_hash(path: Path) -> str:
    """The hash of the whole that the entries in this file are of, "" if there is none."""
    if not path.exists():
        return ""
    first = next(iter(unframe(path.read_bytes(), MOST_ENTRIES)))
    return str(parse_entry(first).body["part"]["hash"])


def left(election: Election, mixer: str) -> list[Roll]:
    """The rolls that this mixer has yet to mix."""
    return [roll for c in election.manifest.classes if mixer not in (roll := election.roll(c.id)).mixers]


def missing(election: Election, mixer: str) -> list[str]:
    """What must still be recorded before this mixer may mix every roll that is left to it, a sentence each."""
    found = []
    for share_class in election.manifest.classes:
        roll = election.rolls.get(share_class.id)
        if roll is None:
            found.append(f"the issuers to publish the roll of {share_class.id}")
        elif mixer not in roll.mixers:
            found += [f"{name} to sign the roll of {share_class.id}" for name in unsigned_by(election, share_class.id)]
            due = next_mixer(election.manifest, roll)
            if due != mixer:
                found.append(f"{due} to mix the roll of {share_class.id}")
    return found
