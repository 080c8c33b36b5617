"""`psephos register email`: an issuer's numbers go out by e-mail, so that letter and number travel two ways."""

from __future__ import annotations

import secrets
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from audit.protocol.refused import Refused
from infra.progress import bar
from infra.sealed import lock_for
from intake.register.letters_addressees import read_addressees
from intake.register.letters_commands import (
    CardFile,
    Link,
    Name,
    NoteFile,
    Numbers,
    OtherSender,
    RegisterFile,
    Sender,
    Unlock,
    opened,
    warn_of_missing,
)
from intake.register.letters_occasion import Occasion
from intake.register.mail_journal import open_journal
from intake.register.mail_message import mailbox
from intake.register.mail_sending import NotAllSent, Sending
from intake.register.mail_server import MailServer, read_login, tls

SUBMISSION = 587

Server = Annotated[str, typer.Option("--smtp", help="The mail server; port 587 if none is given.", metavar="HOST:PORT")]
From = Annotated[str, typer.Option("--from", help="The address the e-mails come from.", metavar="ADDRESS")]
JournalFile = Annotated[Path, typer.Option("--journal", help="What has been sent; begun if there is none.")]
CREDENTIALS_HELP = "User and password for the mail server, two lines."
Credentials = Annotated[Path | None, typer.Option("--credentials", help=CREDENTIALS_HELP, metavar="FILE")]
CA_HELP = "The authorities that may vouch for the mail server, in place of the machine's."
CaFile = Annotated[Path | None, typer.Option("--cafile", help=CA_HELP, metavar="FILE.pem")]
Rate = Annotated[float, typer.Option("--rate", min=0, help="At most so many e-mails a minute; 0: no limit.")]
Again = Annotated[bool, typer.Option("--again", help="Send also what may have been sent when a run was broken off.")]


def register(register_group: typer.Typer) -> None:
    """Adds `email` to the group `register`."""
    register_group.command("email")(email)


def email(
    election: CardFile,
    manifest: NoteFile,
    issuer: Name,
    register: RegisterFile,
    numbers: Numbers,
    link: Link,
    smtp: Server,
    from_address: From,
    journal: JournalFile,
    unlock: Unlock = None,
    credentials: Credentials = None,
    cafile: CaFile = None,
    sender: Sender = "",
    other_sender: OtherSender = "",
    rate: Rate = 0,
    again: Again = False,
) -> None:
    """Sends every account its number by e-mail, over an encrypted connection; may be stopped and started again."""
    host, port = server_address(smtp)
    found = opened(election, manifest)
    occasion = Occasion.of(found, issuer, link, sender, other_sender)
    origin = mailbox(from_address, occasion.issuer)
    context, login = tls(cafile), read_login(credentials) if credentials else None
    to = read_addressees(register, numbers, lock_for(numbers, unlock), found)
    with open_journal(journal, found.hash, issuer) as kept, bar("e-mails", len(to)) as progress:
        sending = Sending(
            server=MailServer(host, port, context, login),
            journal=kept,
            occasion=occasion,
            sender=origin,
            again=again,
            every=60 / rate if rate else 0,
            new_id=lambda: f"<{secrets.token_hex(16)}@{origin.domain}>",
            now=lambda: datetime.now(UTC),
            clock=time.monotonic,
            sleep=time.sleep,
        )
        outcome = sending.run(to, progress.advance)
    print(f"{outcome.sent} e-mails sent, {outcome.before} had been sent before")
    warn_of_missing("e-mail address", outcome.without)
    if outcome.faults:
        raise NotAllSent(outcome.faults)


def server_address(text: str) -> tuple[str, int]:
    """Host and port in `host`, `host:port` or `[address]:port`. Refused `syntax`."""
    host, colon, port = text.rpartition(":") if text.count(":") == 1 or "]:" in text else (text, "", "")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not host.isascii() or (colon and not (port.isdecimal() and 0 < int(port) < 1 << 16)):
        raise Refused("syntax", f"{text} is no mail server: expected a host, or host:port")
    return host, int(port) if colon else SUBMISSION
