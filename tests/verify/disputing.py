"""A voter's folder and `psephos dispute` over it: what the tests of disputes begin with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer
from typer.testing import CliRunner, Result

from audit import dispute_command
from audit.log.keys import Signer
from audit.protocol.group import b64
from audit.record.entries import Entry, make_text, parse_entry, seal
from tests.simulator.meeting import Meeting
from tests.simulator.record import TIME, files_of, write

FOR, AGAINST = {"nominee-1": (1, 0, 0)}, {"nominee-1": (0, 1, 0)}
RECORDED, REFUSED, UNDECIDED, MISSING, OTHERWISE, SPOILED = 0, 3, 4, 5, 6, 7
BEFORE, AFTER = TIME - 1, TIME


class Voter:
    """A folder with what a voter keeps, and a copy of the log beside it."""

    def __init__(self, folder: Path, meeting: Meeting) -> None:
        self.folder, self.meeting = folder, meeting
        self.record = folder / "record"

    def ballot(self, account: int = 0, intake: int = 0, revision: int = 0) -> Entry:
        body = self.meeting.ballot(self.meeting.accounts[account], FOR, revision)
        return parse_entry(self.meeting.signed("ballot", body, self.intake(intake)))

    def act(self) -> Entry:
        """One of the officials, which needs no ballot box to be open."""
        body = {"manifest": self.meeting.hash, "subject": "incident", "text": "a line was down"}
        return parse_entry(self.meeting.signed("notice", body, *self.meeting.parties.officials[:2]))

    def intake(self, number: int) -> Signer:
        return self.meeting.parties.intakes[number]

    def receipt(self, entry: Entry, deadline: int = BEFORE, intake: int = 0, name: str = "A1.receipt") -> Path:
        ids = {"identity": b64(entry.identity), "kind": entry.kind, "leaf": b64(entry.leaf)}
        text = make_text("receipt", self.meeting.origin, {"deadline": deadline, "manifest": self.meeting.hash, **ids})
        return self.file(name, seal(text, [self.intake(intake)]))

    def refuse(self, entry: Entry, intake: str, signer: Signer | None = None, **changes: Any) -> bytes:
        """The log's refusal of the entry as this intake handed it in."""
        fields = {"detail": "a proof does not hold", "kind": entry.kind, "reason": "bad-proof", "intake": intake}
        ids = {"identity": b64(entry.identity), "leaf": b64(entry.leaf), "manifest": self.meeting.hash}
        body = {**fields, **ids, **changes}
        return self.meeting.signed("refusal", body, signer or self.meeting.parties.log[0])

    def file(self, name: str, content: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content)
        return path

    def export(self, entries: list[bytes] | None = None, name: str = "record") -> Path:
        """A record over these entries, the meeting's if None, for which log and custodians have signed."""
        meeting = self.meeting
        entries = meeting.entries if entries is None else entries
        return write(files_of(entries, meeting.parties, meeting.origin), self.folder / name)


def run(*arguments: object) -> Result:
    app = typer.Typer()
    dispute_command.register(app)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def asked(voter: Voter, file: Path, *more: object) -> tuple[int, dict[str, Any]]:
    """Exit code and JSON of a dispute over the meeting's log as it is now."""
    if not voter.record.exists():
        voter.export()
    pinned = b64(voter.meeting.manifest.hash)
    result = run(file, "--election", voter.record, "--manifest", pinned, "--json", *more)
    return result.exit_code, json.loads(result.stdout)


def offline(voter: Voter, evidence: Path, *more: object) -> tuple[int, dict[str, Any]]:
    result = run(evidence, "--manifest", b64(voter.meeting.manifest.hash), "--json", *more)
    return result.exit_code, json.loads(result.stdout)


def nothing(*arguments: object) -> str:
    """The reason why nothing could be decided."""
    result = run(*arguments, "--json")
    assert result.exit_code == 1
    return json.loads(result.stdout)["reason"]
