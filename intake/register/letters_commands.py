"""`psephos register letters` and `merge`: control numbers go on paper. Both work without a network."""

from __future__ import annotations

import sys
from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from audit.record.manifest import Manifest, load_manifest
from infra.card import load_card
from infra.keys import secret_file
from infra.progress import bar
from infra.sealed import lock_for
from intake.register import letters_addressees
from intake.register.letters_addressees import Addressee, read_addressees
from intake.register.letters_merge import write_merge
from intake.register.letters_occasion import Occasion
from intake.register.numbers import read_lost

CardFile = Annotated[Path, typer.Option("--election", help="The election card.", metavar="CARD.toml")]
NoteFile = Annotated[Path, typer.Option("--manifest", help="The signed manifest, checked by the card.", metavar="FILE")]
Name = Annotated[str, typer.Option("--issuer", help="Whose numbers these are: the name in the manifest.")]
RegisterFile = Annotated[Path, typer.Option("--register", help="The share register.", metavar="FILE.csv")]
Numbers = Annotated[Path, typer.Option("--numbers", help="This issuer's control numbers, sealed.", metavar="FILE")]
UNLOCK_HELP = "Holds the passphrase or the key of the numbers; asked for if not given."
Unlock = Annotated[Path | None, typer.Option("--unlock", help=UNLOCK_HELP, metavar="FILE")]
Link = Annotated[str, typer.Option("--link", help="The voting page that holders open.", metavar="URL")]
SENDER_HELP = "Who sends this, as printed: name, street, town. The name in the manifest if not given."
Sender = Annotated[str, typer.Option("--sender", help=SENDER_HELP)]
OTHER_HELP = "What the issuer of the holders' other numbers is called. The name in the manifest if not given."
OtherSender = Annotated[str, typer.Option("--other-sender", help=OTHER_HELP)]
Folder = Annotated[Path, typer.Option("--out", help="An empty folder for the letters.", metavar="DIR")]
Table = Annotated[Path, typer.Option("--out", help="The table to write.", metavar="FILE.csv")]
PerFile = Annotated[int, typer.Option("--per-file", min=1, max=5_000, help="Letters in one file; 1: a file each.")]
WITHOUT_HELP = "Only accounts without an e-mail address in the register."
WithoutEmail = Annotated[bool, typer.Option("--without-email", help=WITHOUT_HELP)]
ONLY_HELP = "Only these accounts, as after a reissue: one id a line."
Only = Annotated[Path | None, typer.Option("--only", help=ONLY_HELP, metavar="FILE")]
AGAIN_HELP = "Only accounts whose numbers are of the newest revision: after a reissue, those that lost theirs."
Reissued = Annotated[bool, typer.Option("--reissued", help=AGAIN_HELP)]
LANGUAGE = "en"
MOST_NAMED = 20


class Format(StrEnum):
    """What letters are printed as."""

    PDF = "pdf"
    HTML = "html"


Formats = Annotated[list[Format], typer.Option("--format", help="May be given twice.")]


def register(register_group: typer.Typer) -> None:
    """Adds `letters` and `merge` to the group `register`."""
    register_group.command("letters")(letters)
    register_group.command("merge")(merge)


def letters(
    election: CardFile,
    manifest: NoteFile,
    issuer: Name,
    register: RegisterFile,
    numbers: Numbers,
    link: Link,
    out: Folder,
    unlock: Unlock = None,
    sender: Sender = "",
    other_sender: OtherSender = "",
    format: Formats = [Format.PDF],  # noqa: B006 (typer copies it)
    per_file: PerFile = 500,
    without_email: WithoutEmail = False,
    only: Only = None,
    reissued: Reissued = False,
) -> None:
    """Prints a letter for every account that votes: its number, how to vote, and how to know the right election."""
    # No other command waits for fonts to be loaded.
    from intake.register.letters_files import empty_folder, expect_addresses, write_files
    from intake.register.letters_html import write_pages
    from intake.register.letters_pdf import write_letters

    writers = {Format.PDF: write_letters, Format.HTML: write_pages}
    found = opened(election, manifest)
    occasion = Occasion.of(found, issuer, link, sender, other_sender)
    to = chosen(read_addressees(register, numbers, lock_for(numbers, unlock), found), without_email, only, reissued)
    if Format.PDF in format:
        expect_addresses(register, to)
    warn_of_languages(to)
    warn_of_missing("postal address", [one.account.id for one in to if not one.address])
    empty_folder(out)
    kinds = {kind.value: writers[kind] for kind in dict.fromkeys(format)}
    with bar("letters", len(to) * len(kinds)) as progress:
        files = write_files(out, occasion, to, per_file, kinds, progress.advance)
    print(f"{len(to)} letters of {issuer} are in {files} files in {out}, which only their owner can read")


def merge(
    election: CardFile,
    manifest: NoteFile,
    issuer: Name,
    register: RegisterFile,
    numbers: Numbers,
    link: Link,
    out: Table,
    unlock: Unlock = None,
    sender: Sender = "",
    other_sender: OtherSender = "",
    without_email: WithoutEmail = False,
    only: Only = None,
    reissued: Reissued = False,
) -> None:
    """Writes what stands in the letters as a table, for a template or a printer; it is as secret as the numbers."""
    found = opened(election, manifest)
    occasion = Occasion.of(found, issuer, link, sender, other_sender)
    to = chosen(read_addressees(register, numbers, lock_for(numbers, unlock), found), without_email, only, reissued)
    with bar("rows", len(to)) as progress, secret_file(out) as file:
        write_merge(file, occasion, to, progress.advance)
    print(f"{len(to)} letters of {issuer} are rows of {out}, which only its owner can read")


def opened(card: Path, note: Path) -> Manifest:
    """The manifest in the signed note that has the card's hash. Errors as `load_card` and `load_manifest`."""
    return load_manifest(note, load_card(card).manifest)[0]


def chosen(to: list[Addressee], without_email: bool, only: Path | None, again: bool) -> list[Addressee]:
    """Those that get a letter. Errors as `read_lost`, and with `again` as `reissued`."""
    named = read_lost(only, [one.account for one in to]) if only else None
    to = letters_addressees.reissued(to) if again else to
    return [one for one in to if not (without_email and one.email) and (named is None or one.account.id in named)]


def warn_of_languages(to: list[Addressee]) -> None:
    """Says on standard error how many holders have a language that these letters are not written in."""
    others = Counter(one.language for one in to if one.language and one.language.split("-")[0] != LANGUAGE)
    if others:
        told = ", ".join(f"{language} ({number})" for language, number in sorted(others.items()))
        print(f"psephos: letters are in English; by the register holders have other languages: {told}", file=sys.stderr)


def warn_of_missing(what: str, accounts: list[str]) -> None:
    """Names on standard error the accounts of which the register has no such thing."""
    if accounts:
        more = f" and {len(accounts) - MOST_NAMED} more" if len(accounts) > MOST_NAMED else ""
        text = f"the register has no {what} of {', '.join(accounts[:MOST_NAMED])}{more}"
        print(f"psephos: {text}", file=sys.stderr)
