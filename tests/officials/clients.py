"""The clients' commands, run as a user runs them, against a hall; and the steps of an election made of them."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import typer
from typer.testing import CliRunner

import intake.register.commands
import intake.voter.commands
import tally.officials.commands
from audit.log.keys import Signer
from infra.card import Card
from infra.control_numbers import to_csv
from infra.sealed import new_key_file, read_lock, read_sealed, write_sealed
from intake.register.holdings import COLUMNS
from tests.officials.hall import Hall, agenda_toml
from tests.simulator.meeting import Meeting

Holdings = dict[str, tuple[str, int]]  # account -> class, shares


def app() -> typer.Typer:
    made = typer.Typer()
    for room in (tally.officials.commands, intake.register.commands, intake.voter.commands):
        room.register(made)
    return made


class Clients:
    """One folder, in which everybody keeps their own files."""

    def __init__(self, hall: Hall, holdings: Holdings, contests: list[dict[str, Any]] | None = None) -> None:
        self.hall = hall
        self.folder = hall.folder
        self.holdings = holdings
        self.contests = contests
        self.card = self.folder / "card.toml"
        self.draft = self.folder / "manifest"
        self.register = self.folder / "register.csv"
        self.openings = self.folder / "openings"

    def run(self, *args: str | Path) -> str:
        """What the command printed; raises what it raised, AssertionError if it exited otherwise than with 0."""
        result = CliRunner().invoke(app(), [str(arg) for arg in args])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result.output

    def fails(self, *args: str | Path) -> str:
        """What the command printed when it exited with 1."""
        result = CliRunner().invoke(app(), [str(arg) for arg in args])
        assert result.exit_code == 1 and isinstance(result.exception, SystemExit), result.output
        return result.output

    def keys(self, signers: Sequence[Signer]) -> list[str | Path]:
        return [arg for signer in signers for arg in ("--key", self.hall.key(signer))]

    def created(self) -> Clients:
        """The draft, and the card for it."""
        votes: dict[str, int] = {}
        for share_class, shares in self.holdings.values():
            votes[share_class] = votes.get(share_class, 0) + shares
        agenda = self.folder / "agenda.toml"
        agenda.write_text(agenda_toml(self.hall.parties, votes, self.contests))
        self.run("election", "create", agenda, "--out", self.draft)
        where = ("--intake", self.hall.url, "--custodian", self.hall.url)
        self.run("election", "card", self.draft, *where, "--out", self.card)
        return self

    def seated(self, held: Meeting) -> Clients:
        """At an election that has come so far without them."""
        for raw in held.entries[len(self.hall.entries) :]:
            self.hall.record(raw)
        card = Card(held.origin, held.manifest.hash, (self.hall.url,), (self.hall.url,))
        self.card.write_text(card.to_toml())
        return self

    def founded(self) -> Clients:
        """The manifest recorded."""
        self.created()
        for official in self.hall.parties.officials[:2]:
            self.run("election", "sign", self.draft, *self.keys([official]))
        self.run("election", "submit", self.draft, "--election", self.card)
        return self

    def keyed(self) -> Clients:
        """The trustees' key complete: all of them join at once."""
        with ThreadPoolExecutor() as pool:
            list(pool.map(self.join, self.hall.parties.trustees))
        return self

    def join(self, trustee: Signer) -> None:
        """Not through the command line, which takes the process's output for itself."""
        tally.officials.commands.join(self.card, self.hall.key(trustee), self.folder / trustee.name, 20)

    def trustee(self, command: str, trustee: Signer, *more: str) -> str:
        where = ("--election", self.card, "--state", self.folder / trustee.name)
        return self.run("trustee", command, *where, *self.keys([trustee]), "--wait", "20", *more)

    def enrolled(self) -> Clients:
        """The roll published and signed."""
        self.write_register()
        for issuer in self.hall.parties.issuers:
            self.issue(issuer)
        for witness in self.hall.parties.issuers[1:] + self.hall.parties.inspectors:
            self.sign_roll(witness)
        return self

    def mixed(self) -> Clients:
        """The roll mixed by every mixer."""
        for mixer in self.hall.parties.mixers:
            self.mix(mixer)
        return self

    def mix_args(self, mixer: Signer, wait: float = 20) -> list[str | Path]:
        where: list[str | Path] = ["--election", self.card, "--state", self.folder / mixer.name]
        return ["mix", *where, *self.keys([mixer]), "--wait", str(wait)]

    def mix(self, mixer: Signer) -> str:
        return self.run(*self.mix_args(mixer))

    def write_register(self) -> None:
        with self.register.open("w", newline="") as file:
            writer = csv.DictWriter(file, tuple(COLUMNS), restval="")
            writer.writeheader()
            for account, (share_class, shares) in self.holdings.items():
                row = {"account_id": account, "holder_id": f"H-{account}", "class": share_class, "shares": shares}
                writer.writerow({**row, "name": f"Holder of {account}", "language": "en"})

    def numbers(self, issuer: Signer) -> Path:
        return self.folder / f"{issuer.name}.sealed"

    def lock(self, owner: str) -> Path:
        """The key file of somebody's sealed files, or of the openings that all share."""
        path = self.folder / f"{owner}.lock"
        if not path.exists():
            new_key_file(path)
        return path

    def read_rows(self, path: Path, owner: str) -> list[dict[str, str]]:
        """The rows of a sealed table."""
        return list(csv.DictReader(read_sealed(path, read_lock(self.lock(owner))).decode().splitlines()))

    def write_rows(self, path: Path, owner: str, rows: list[dict[str, str]]) -> None:
        """Seals other rows in its place, as who has the lock can."""
        path.unlink(missing_ok=True)
        table = to_csv(tuple(rows[0]), [tuple(row.values()) for row in rows])
        write_sealed(path, table, read_lock(self.lock(owner)))

    def number_rows(self, issuer: Signer) -> list[dict[str, str]]:
        return self.read_rows(self.numbers(issuer), issuer.name)

    def snapshot(self, signer: Signer, register: Path | None = None) -> Path:
        """The signer's note that freezes this register."""
        register = register or self.register
        path = self.folder / f"{signer.name}-{register.stem}.snapshot"
        if not path.exists():
            files = ("--register", register, "--out", path)
            self.run("register", "freeze", "--election", self.card, *self.keys([signer]), *files, "--wait", "5")
        return path

    def kept(self, signer: Signer, register: Path | None = None) -> list[str | Path]:
        """The options that name what a signer keeps of the register."""
        files: list[str | Path] = ["--register", register or self.register, "--snapshot"]
        files.append(self.snapshot(signer, register))
        shared: list[str | Path] = ["--openings", self.openings, "--openings-unlock", self.lock("openings")]
        return ["--election", self.card, *self.keys([signer]), *files, *shared, "--wait", "5"]

    def issue(self, issuer: Signer, register: Path | None = None) -> str:
        own = ("--numbers", self.numbers(issuer), "--unlock", self.lock(issuer.name))
        return self.run("register", "issue", *self.kept(issuer, register), *own)

    def own(self, signer: Signer, numbers: Path | None = None) -> list[str | Path]:
        """The options that name an issuer's numbers; none for others."""
        if signer not in self.hall.parties.issuers:
            return []
        return ["--numbers", numbers or self.numbers(signer), "--unlock", self.lock(signer.name)]

    def sign_roll(self, witness: Signer, register: Path | None = None) -> str:
        return self.run("register", "sign", *self.kept(witness, register), *self.own(witness))

    def act(self, kind: str, *more: str | Path) -> str:
        """An act of the officials, two of whom sign."""
        keys = self.keys(self.hall.parties.officials[:2])
        return self.run("election", kind, "--election", self.card, *keys, "--wait", "5", *more)

    def opened(self) -> Clients:
        self.founded().keyed().enrolled().mixed().act("open")
        return self

    def batch(self, rows: dict[str, Sequence[str]], contests: Sequence[str] = ("nominee-1",)) -> Path:
        """A batch file: account -> its words for every contest."""
        path = self.folder / "batch.csv"
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("account_id", *contests))
            writer.writerows((account, *words) for account, words in rows.items())
        return path

    def vote_args(self, batch: Path, out: Path) -> list[str | Path]:
        numbers: list[str | Path] = []
        for issuer in self.hall.parties.issuers:
            numbers += ["--numbers", self.numbers(issuer), "--unlock", self.lock(issuer.name)]
        return ["vote", "--election", self.card, "--batch", batch, *numbers, "--out", out, "--wait", "5"]

    def closed(self) -> Clients:
        self.act("closing")
        self.hall.reconcile()
        self.act("close")
        return self
