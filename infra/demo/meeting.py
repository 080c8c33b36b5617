"""The meeting, from the notice to the certified result: each step is a command that its office would run itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from audit.log.export import export_record
from audit.log.reader import HttpReader
from audit.record.manifest import load_manifest
from infra.demo.holdings import Account
from infra.demo.offices import TRUSTEES_DECRYPT, Key
from infra.demo.published import Published
from infra.demo.register import write_ballots, write_register
from infra.demo.stage import Stage

CONCURRENCY = 16
LEAST_SECONDS = 300.0
SECONDS_A_BALLOT = 3.0
"""Allowed, not expected: a demo that hangs ends, and a slow machine is not taken for a hanging one."""


def prepare(stage: Stage) -> None:
    """The manifest becomes entry 0; the trustees make the key."""
    with stage.timer.step("notice: the manifest is entry 0 of the log"):
        stage.run("election-submit", "election", "submit", stage.manifest)
    with stage.timer.step("key ceremony: three trustees, any two of whom can decrypt"):
        trustees = enumerate(stage.offices.trustees, start=1)
        stage.run_all({f"trustee-{j}-join": trustee("join", stage, j, key) for j, key in trustees})


def issue(stage: Stage, accounts: Sequence[Account], seed: int) -> None:
    """The roll: both issuers draw control numbers, each from its own register; the second signs the whole."""
    seconds = allowed(len(accounts))
    register = stage.desk / "register.csv"
    write_register(register, accounts, seed)
    with stage.timer.step("roll: two issuers, a control number from each for every account"):
        first, second = stage.offices.issuers
        stage.run("register-issue-1", *issuing(stage, first, 1), seconds=seconds)
        stage.run("register-issue-2", *issuing(stage, second, 2), seconds=seconds)
        sign: list[str | Path] = ["register", "sign", "--key", second.file, "--register", register]
        stage.run("register-sign", *sign, "--openings", openings(stage), seconds=seconds)
    with stage.timer.step("opening"):
        stage.run("election-open", "election", "open", *stage.officials())


def cast(stage: Stage, accounts: Sequence[Account], figures: Published) -> None:
    """Every account present casts its ballot over HTTP, and waits until it is on the disks of two custodians."""
    ballots = stage.desk / "ballots.csv"
    write_ballots(ballots, accounts, figures)
    present = sum(account.present for account in accounts)
    with stage.timer.step(f"voting: {present} ballots"):
        stage.run("vote", *voting(stage, ballots), seconds=allowed(present), show=True)


def count(stage: Stage, ballots: int) -> Path:
    """Closing, decryption and certificate; the file of the result."""
    result = stage.desk / "result.json"
    seconds = allowed(ballots)
    with stage.timer.step("closing: intake says what it passed on, and the log holds all of it"):
        stage.run("election-closing", "election", "closing", *stage.officials())
        stage.run("election-close", "election", "close", *stage.officials())
    with stage.timer.step("decryption: two trustees each verify every ballot, then answer once"):
        trustees = enumerate(stage.offices.trustees[:TRUSTEES_DECRYPT], start=1)
        stage.run_all({f"trustee-{j}-decrypt": trustee("decrypt", stage, j, key) for j, key in trustees}, seconds)
    with stage.timer.step("certificate"):
        certify = ["election", "certify", *stage.officials(), "--result", result]
        stage.run("election-certify", *certify, seconds=seconds)
    return result


def verify(stage: Stage, record: Path, result: Path, ballots: int) -> str:
    """Exports the record from one custodian's tiles alone and verifies it as anyone would; what the verifier said."""
    with stage.timer.step("export: the record, from one custodian's tiles"):
        reader = HttpReader(stage.record_url)
        export_record(reader, load_manifest(stage.manifest)[0].log, record)
    with stage.timer.step("verification: the whole record, by nobody's word"):
        command = ["verify", str(record), "--manifest", stage.manifest_hash, "--result", str(result)]
        return stage.processes.run("verify", command, allowed(ballots), show=True)


def issuing(stage: Stage, key: Key, number: int) -> list[str | Path]:
    files: list[str | Path] = ["--register", stage.desk / "register.csv", "--numbers", numbers_file(stage, number)]
    return ["register", "issue", "--key", key.file, *files, "--openings", openings(stage)]


def voting(stage: Stage, ballots: Path) -> list[str | Path]:
    numbers: list[str | Path] = ["--numbers", numbers_file(stage, 1), "--numbers", numbers_file(stage, 2)]
    return ["vote", "--batch", ballots, *numbers, "--out", stage.desk / "receipts", "--concurrency", str(CONCURRENCY)]


def openings(stage: Stage) -> Path:
    """What the first issuer tells the second."""
    return stage.desk / "openings.csv"


def numbers_file(stage: Stage, issuer: int) -> Path:
    return stage.desk / f"numbers-{issuer}.csv"


def trustee(act: str, stage: Stage, j: int, key: Key) -> list[str | Path]:
    return ["trustee", act, "--key", key.file, "--state", stage.desk / f"trustee-{j}"]


def allowed(ballots: int) -> float:
    return LEAST_SECONDS + SECONDS_A_BALLOT * ballots
