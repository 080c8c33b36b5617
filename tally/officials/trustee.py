"""What a trustee does, as steps that may be repeated after a crash: its part in the key ceremony, and its one answer
after the close.

Its folder holds, each in a file of its own and written before anything that depends on it is handed in: the secret of
an attempt, every entry it signed, and at the end its share of the key. What the folder's capture buys an attacker: one
share of t; what its loss costs: this trustee can no longer decrypt.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from audit.log.keys import Signer
from audit.protocol.canonical import canonical
from audit.protocol.decryption import PRESENT
from audit.protocol.group import G, b64, wide_scalar
from audit.protocol.refused import Refused
from audit.protocol.threshold import (
    Ceremony,
    CeremonySecret,
    KeyShare,
    decryption_share,
    finish,
    new_secret,
    next_messages,
)
from audit.record.election import Election
from audit.record.entries import make_text, parse_entry, seal
from audit.record.outcome import slots, sums_of
from audit.record.seen import MemorySeen
from infra.desk import Desk, stored
from tally.officials.verified import verified

Message = tuple[str, dict[str, Any]]


def fresh_scalar() -> int:
    """A uniform scalar from the system's generator."""
    return wide_scalar(os.urandom(64))


@dataclass(frozen=True)
class Trustee:
    """One trustee at its desk; `folder` is its own and for this election alone."""

    desk: Desk
    signer: Signer
    folder: Path
    draw: Callable[[], int] = fresh_scalar

    @property
    def name(self) -> str:
        return self.signer.name

    @property
    def ceremony(self) -> Ceremony:
        return self.desk.election.ceremony

    def expect_office(self) -> None:
        """Refuses a key that is not one of the manifest's trustees, and a folder that holds another election's secrets.
        """
        if self.signer.verifier not in self.desk.manifest.trustees.keys:
            raise Refused("wrong-signers", f"{self.name}, with this key, is no trustee of this election")
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        mark = stored(self.folder / "manifest", lambda: b64(self.desk.card.manifest).encode())
        if mark != b64(self.desk.card.manifest).encode():
            raise Refused("another-election", f"{self.folder} holds what was made for another election")

    def join(self, report: Callable[[str], None]) -> KeyShare:
        """Takes part until the key is complete; the share, by then stored. Refused for who is put out; GaveUp when
        others stay away.
        """
        self.expect_office()
        while not self.ceremony.complete:
            for kind, body in self.due():
                if self.hand_in(kind, body):
                    report(f"{kind} of attempt {body['attempt']} is recorded")
            self.desk.wait_for(lambda: self.ceremony.complete or bool(self.due()), self.waiting_for)
        return self.finish()

    def due(self) -> list[Message]:
        """What this trustee has to hand in now, by the log as it was last read."""
        return next_messages(self.ceremony, self.secret(), self.draw())

    def hand_in(self, kind: str, body: dict[str, Any]) -> bool:
        """Hands in a message that is due; whether it still was. Another's answer may have ended the attempt meanwhile.
        """
        try:
            self.desk.record(self.entry(kind, body))
        except Refused:
            if self.ceremony.attempt == body["attempt"]:
                raise
            return False
        return True

    def waiting_for(self) -> str:
        return "; ".join(self.ceremony.waiting_for())

    def secret(self) -> CeremonySecret:
        """The secret of the present attempt, drawn and stored at first. Refused `wrong-secret` if it is lost."""

        def make() -> bytes:
            if self.name in self.ceremony.commits:
                raise Refused("wrong-secret", self.lost())
            coefficients = [self.draw() for _ in range(self.ceremony.t)]
            return canonical(new_secret(self.ceremony, self.name, coefficients, os.urandom(32)).to_json())

        return CeremonySecret.from_json(json.loads(stored(self.secret_file(self.ceremony.attempt), make)))

    def lost(self) -> str:
        """What remains when this folder does not hold what the log shows this trustee to have made."""
        text = f"{self.folder} does not hold the secrets by which {self.name} took part in the key ceremony: "
        t = self.ceremony.t
        remedy = "the ceremony cannot be completed, and the officials begin with a new manifest"
        if self.ceremony.complete:
            enough = len(self.ceremony.participants) > t
            remedy = f"{t} of the other trustees can decrypt without it" if enough else "no total can be decrypted"
        return f"{text}name the folder that does; if it is lost, {remedy}"

    def secret_file(self, attempt: int) -> Path:
        return self.folder / f"ceremony-{attempt}"

    def entry(self, kind: str, body: dict[str, Any]) -> bytes:
        """The signed entry of a message: the one signed first, if there is one, so that nobody gets two deals of one
        attempt.
        """
        about = body.get("dealer") or body.get("receiver") or ""
        path = self.folder / f"{kind}-{body['attempt']}{about and '-'}{quote(about, safe='')}"
        return stored(path, lambda: self.sealed(kind, body))

    def sealed(self, kind: str, body: dict[str, Any]) -> bytes:
        return seal(make_text(kind, self.desk.card.origin, body), [self.signer])

    def finish(self) -> KeyShare:
        """The share of the key. The polynomials and ceremony keys are deleted once it is stored: nobody can complain
        any more.
        """
        path = self.folder / "share"
        kept = stored(path, lambda: canonical(finish(self.ceremony, self.secret()).to_json()))
        share = KeyShare.from_json(json.loads(kept))
        for attempt in range(1, self.ceremony.attempt + 1):
            self.secret_file(attempt).unlink(missing_ok=True)
        return share

    def decrypt(self) -> bool:
        """Verifies the whole log once it is closed, and answers once for its sums; whether that was still to do.

        Refused `not-complete` without a share, `wrong-secret` if it is lost, `duplicate` if it has answered for another
        log: then it never answers again.
        """
        self.expect_office()
        if not (self.folder / "share").exists():
            if self.name in self.ceremony.commits and not self.secret_file(self.ceremony.attempt).exists():
                raise Refused("wrong-secret", self.lost())
            raise Refused("not-complete", f"{self.folder} holds no share of the key: join the ceremony first")
        election = self.desk.election
        self.desk.wait_for(lambda: election.closing_root is not None, lambda: "the close")
        if self.name in election.shares:
            return False
        raw = stored(self.folder / "decrypt", lambda: self.sealed("decrypt", self.answer(self.checked())))
        if parse_entry(raw).fields["closing"] != election.closing_root:
            raise Refused("duplicate", "this trustee answers once, and has for another closing head", "closing")
        self.desk.record(raw)
        return True

    def checked(self) -> Election:
        """The election after its close, by a log of which this trustee believes nothing."""
        return verified(self.desk, lambda report: report.election.closing_root is not None).election

    def answer(self, election: Election) -> dict[str, Any]:
        """The body of `decrypt`: a share with its proof for every sum behind which enough pseudonyms stand."""
        share = self.finish()
        if (share.trustee, share.x_j * G) != (self.name, election.ceremony.Y_j[self.name]):
            raise Refused("wrong-secret", f"{self.folder / 'share'} is not this trustee's share of the key in the log")
        closing = election.closing_root
        assert closing is not None
        contests: dict[str, dict[str, Any]] = {}
        present: dict[str, Any] = {}
        for (contest, choice), C in slots(election, sums_of(election, MemorySeen())):
            made = decryption_share(election.context, share.x_j, contest, choice, closing, C, share.j, self.draw())
            (present if contest == PRESENT else contests.setdefault(contest, {}))[choice] = made.to_json()
        manifest = b64(election.manifest.hash)
        bound = {"closing": b64(closing), "manifest": manifest, "signer": self.name}
        return {**bound, "contests": contests, "present": present}
