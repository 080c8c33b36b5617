"""`psephos register`: what the issuers of control numbers, and the inspector, do offline with the share register."""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path
from typing import Annotated

import typer

from audit.protocol.group import wide_scalar
from audit.protocol.refused import Refused
from audit.record.entries import seal
from audit.record.manifest import Manifest
from infra.card import load_card
from infra.commands import group
from infra.desk import Desk, open_desk, stored
from infra.keys import read_signer
from infra.progress import bar
from intake.register import privacy
from intake.register.holdings import read_register
from intake.register.issuing import Issuer, check_roll, signature_text, unframe_entries
from intake.register.numbers import numbers_of
from intake.register.openings import Opening, draw_rows, read_openings, write_openings

CardFile = Annotated[Path, typer.Option("--election", help="The election card.", metavar="CARD.toml")]
KeyFile = Annotated[Path, typer.Option("--key", help="The signer's private key.", metavar="FILE")]
RegisterFile = Annotated[Path, typer.Option("--register", help="The signer's own share register.", metavar="FILE.csv")]
OPENINGS_HELP = "Rows and weights: the first issuer writes them, the others read them."
Openings = Annotated[Path, typer.Option("--openings", help=OPENINGS_HELP, metavar="FILE")]
Numbers = Annotated[Path, typer.Option("--numbers", help="This issuer's control numbers, to be kept.", metavar="FILE")]
Wait = Annotated[float, typer.Option("--wait", help="Seconds to wait for others before giving up.", metavar="SECONDS")]


def register(app: typer.Typer) -> None:
    """Adds the group `register`."""
    register_group = group(app, "register", "The share register becomes control numbers and the public roll.")
    register_group.command("issue")(issue)
    register_group.command("sign")(sign)
    privacy.register(app)


def issue(
    election: CardFile,
    key: KeyFile,
    register: RegisterFile,
    numbers: Numbers,
    openings: Openings,
    wait: Wait = 600,
) -> None:
    """Draws this issuer's control numbers and publishes its half of the roll; may be stopped and started again.

    The first issuer of the manifest also draws the order of rows, encrypts the weights, and writes the openings for the
    others.
    """
    signer = read_signer(key)
    with open_desk(load_card(election), patience=wait) as desk:
        manifest = desk.begin()
        warn_if_alone(manifest)
        accounts = read_register(register, manifest)
        wait_for_key(desk)
        issuer = Issuer.at(manifest, desk.election.context, signer)
        codes = numbers_of(numbers, accounts, os.urandom)
        if issuer.first and not openings.exists():
            placed = draw_rows(accounts, secrets.SystemRandom().shuffle)
            rows = [Opening(a, row, issuer.randomness(a.share_class, codes[a.id])) for a, row in placed]
            write_openings(openings, rows)
        opened = read_openings(openings, accounts)

        def make() -> bytes:
            with bar("rows", len(accounts)) as progress:
                return issuer.entries(opened, codes, lambda: wide_scalar(os.urandom(64)), progress.advance)

        raws = list(unframe_entries(stored(numbers.with_name(f"{numbers.name}.entries"), make)))
        issuer.expect_own(raws, opened, codes)
        desk.record(*raws)
        print(f"{signer.name}'s half of the roll is recorded: {len(accounts)} accounts, {len(raws)} entries")


def sign(election: CardFile, key: KeyFile, register: RegisterFile, openings: Openings, wait: Wait = 600) -> None:
    """Recomputes every weight on the roll from the signer's own register, and signs the roll if all are right."""
    signer = read_signer(key)
    with open_desk(load_card(election), patience=wait) as desk:
        manifest = desk.begin()
        if signer.verifier not in manifest.issuers[1:] + manifest.inspectors:
            text = f"{signer.name}, with this key, is neither a further issuer nor an inspector of this election"
            raise Refused("wrong-signers", text)
        accounts = read_register(register, manifest)
        opened = read_openings(openings, accounts)
        wait_for_key(desk)
        wait_for_rolls(desk)
        raws: list[bytes] = []
        with bar("rows", len(accounts)) as progress:
            for share_class in manifest.classes:
                roll = desk.election.roll(share_class.id)
                check_roll(roll, opened, desk.election.context, progress.advance)
                raws.append(seal(signature_text(manifest, roll, signer.name), [signer]))
        desk.record(*raws)
        print(f"{signer.name} has signed {len(raws)} rolls: {len(accounts)} accounts hold what they hold in {register}")


def wait_for_key(desk: Desk) -> None:
    desk.wait_for(lambda: desk.election.ceremony.complete, lambda: "; ".join(desk.election.ceremony.waiting_for()))


def wait_for_rolls(desk: Desk) -> None:
    def missing() -> list[str]:
        return [c.id for c in desk.manifest.classes if c.id not in desk.election.rolls]

    desk.wait_for(lambda: not missing(), lambda: f"all issuers to publish the roll of {', '.join(missing())}")


def warn_if_alone(manifest: Manifest) -> None:
    """Said at every step, because it is the issuer that voters then have to trust."""
    if len(manifest.issuers) == 1:
        name = manifest.issuers[0].name
        print(f"psephos: {name} is the only issuer: it alone can vote for, and trace, every account", file=sys.stderr)
