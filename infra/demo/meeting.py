"""The meeting, from the notice to the certified result: each step is a command that its office would run itself."""

from __future__ import annotations

import secrets
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
from infra.keys import write_secret
from infra.sealed import new_key_file

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
    """The roll: both issuers draw control numbers, each from its own register; the second signs the whole; then nobody
    can tell any more whose row is whose.
    """
    seconds = allowed(len(accounts))
    register = stage.desk / "register.csv"
    write_register(register, accounts, seed)
    make_locks(stage)
    with stage.timer.step("register: frozen for the record date by both issuers"):
        for number, key in enumerate(stage.offices.issuers, start=1):
            freeze: list[str | Path] = ["--key", key.file, "--register", register, "--out", snapshot(stage, number)]
            stage.run(f"register-freeze-{number}", "register", "freeze", *freeze)
    with stage.timer.step("roll: two issuers, a control number from each for every account"):
        for number in (1, 2):
            stage.run(f"register-issue-{number}", "register", "issue", *issuing(stage, number), seconds=seconds)
        stage.run("register-sign", "register", "sign", *issuing(stage, 2), seconds=seconds)
    with stage.timer.step("mixing: three mixers, each verifies the log and mixes the roll at its turn"):
        mixers = enumerate(stage.offices.mixers, start=1)
        stage.run_all({f"mixer-{k}": mixing(stage, k, key) for k, key in mixers}, seconds)
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


def confirm(stage: Stage) -> None:
    """Every voter's own check: that what counts is what it has cast, and nobody else has voted with its numbers."""
    with stage.timer.step("voters: each finds its own ballot counted, and no other under its numbers"):
        ballots = stage.desk / "ballots.csv"
        stage.run("counted", "counted", *holding(stage, ballots), seconds=LEAST_SECONDS, show=True)


def verify(stage: Stage, record: Path, result: Path, ballots: int) -> str:
    """Exports the record from one custodian's tiles alone and verifies it as anyone would; what the verifier said."""
    with stage.timer.step("export: the record, from one custodian's tiles"):
        reader = HttpReader(stage.record_url)
        export_record(reader, load_manifest(stage.manifest)[0].log, record)
    with stage.timer.step("verification: the whole record, by nobody's word"):
        command = ["verify", str(record), "--manifest", stage.manifest_hash, "--result", str(result)]
        return stage.processes.run("verify", command, allowed(ballots), show=True)


def make_locks(stage: Stage) -> None:
    """What seals the secrets of the register: a passphrase for one issuer, a key file for the other, one that both have
    for what the first tells the second.
    """
    write_secret(numbers_lock(stage, 1), f"{secrets.token_urlsafe(24)}\n")
    new_key_file(numbers_lock(stage, 2))
    new_key_file(openings_lock(stage))


def issuing(stage: Stage, number: int) -> list[str | Path]:
    """What an issuer says in every command: its key, its register as frozen, its numbers, and what both of them know.
    """
    own: list[str | Path] = ["--key", stage.offices.issuers[number - 1].file, "--register", stage.desk / "register.csv"]
    shared: list[str | Path] = ["--openings", openings(stage), "--openings-unlock", openings_lock(stage)]
    own += ["--numbers", numbers_file(stage, number), "--unlock", numbers_lock(stage, number)]
    return [*own, "--snapshot", snapshot(stage, number), *shared]


def voting(stage: Stage, ballots: Path) -> list[str | Path]:
    return ["vote", *holding(stage, ballots), "--concurrency", str(CONCURRENCY)]


def holding(stage: Stage, ballots: Path) -> list[str | Path]:
    """What all voters have: their numbers, and what they keep of what they cast."""
    numbers: list[str | Path] = []
    for number in (1, 2):
        numbers += ["--numbers", numbers_file(stage, number), "--unlock", numbers_lock(stage, number)]
    return ["--batch", ballots, *numbers, "--out", stage.desk / "receipts"]


def openings(stage: Stage) -> Path:
    """What the first issuer tells the second."""
    return stage.desk / "openings"


def openings_lock(stage: Stage) -> Path:
    return stage.desk / "openings.lock"


def numbers_file(stage: Stage, issuer: int) -> Path:
    return stage.desk / f"numbers-{issuer}"


def numbers_lock(stage: Stage, issuer: int) -> Path:
    return stage.desk / f"numbers-{issuer}.lock"


def snapshot(stage: Stage, issuer: int) -> Path:
    return stage.desk / f"snapshot-{issuer}"


def mixing(stage: Stage, k: int, key: Key) -> list[str | Path]:
    return ["mix", "--key", key.file, "--state", stage.desk / f"mixer-{k}"]


def trustee(act: str, stage: Stage, j: int, key: Key) -> list[str | Path]:
    return ["trustee", act, "--key", key.file, "--state", stage.desk / f"trustee-{j}"]


def allowed(ballots: int) -> float:
    return LEAST_SECONDS + SECONDS_A_BALLOT * ballots
