"""One e-mail to one account, as text and as HTML.

It has no link that carries the number: filters on the way open links and write them down, and a number typed in is
written down nowhere. Whatever the register says stands in headers only through the library's own classes, which refuse
line breaks; so no name can add a header or a recipient.
"""

from __future__ import annotations

import re
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from html import escape

from audit.protocol.refused import Refused
from intake.register.letters_addressees import Addressee
from intake.register.letters_occasion import Occasion
from intake.register.letters_words import FINGERPRINT, TYPING, Words

MOST_LOCAL, MOST_NAME = 64, 60
# Without quoted local parts and addresses in brackets, which no register needs (RFC 5321, 4.1.2; RFC 6531, 3.3).
_ATOM = r"""[^\s"(),:;<>\[\]\\@.\x00-\x1f]+"""
_ADDRESS = re.compile(rf"{_ATOM}(\.{_ATOM})*@\w[\w-]*(\.\w[\w-]*)*")
MEDIUM = "e-mail"
STYLE = "max-width:38em;font:15px/1.5 'Segoe UI','Helvetica Neue',Arial,sans-serif;color:#000"
MONO = "font-family:Menlo,Consolas,'DejaVu Sans Mono',monospace;font-weight:bold"


def mailbox(email: str, name: str = "") -> Address:
    """The mailbox of an address, with the name before it as far as that can stand there without quotes. Refused
    `syntax` for what is no address.
    """
    if not _ADDRESS.fullmatch(email) or not email.isprintable() or len(email.partition("@")[0].encode()) > MOST_LOCAL:
        raise Refused("syntax", f"{email!r} is no e-mail address that mail can be sent to")
    username, _, domain = email.partition("@")
    # A long name whose quotes a fold leaves out would be read as further addresses (CVE-2025-1795), so it has no sign
    # that needs them.
    plain = "".join(sign if sign.isalnum() or sign in "-'&" else " " for sign in name)
    return Address(display_name=" ".join(plain.split())[:MOST_NAME].strip(), username=username, domain=domain)


def message(occasion: Occasion, to: Addressee, sender: Address, message_id: str, date: datetime) -> EmailMessage:
    """The message to an account that has an e-mail address. Refused `syntax` if the address is none."""
    words = Words(occasion, MEDIUM)
    found = EmailMessage(policy=SMTP if (to.email + sender.addr_spec).isascii() else SMTPUTF8)
    found["From"] = sender
    found["To"] = mailbox(to.email, to.name)
    found["Subject"] = f"{occasion.company}: control number for the {words.title}"
    found["Date"] = date
    found["Message-ID"] = message_id
    # So that no out-of-office answer, which would quote the message, is sent (RFC 3834, 5).
    found["Auto-Submitted"] = "auto-generated"
    found.set_content(text(words, to), cte="quoted-printable")
    found.add_alternative(html(words, to), subtype="html", cte="quoted-printable")
    return found


def text(words: Words, to: Addressee) -> str:
    """The message as text."""
    occasion = words.occasion
    groups = occasion.fingerprint
    facts = "\n".join(f"{name}: {value}" for name, value in words.facts(to))
    steps = "\n".join(f"{place}. {step}" for place, step in enumerate(words.steps(), 1))
    return f"""{to.name}

{words.heading}, {occasion.company}

{words.worth(to)}

    {to.number}

{TYPING}

{facts}

How to vote

{steps}

{words.secrecy_heading}

{words.secrecy} {words.lost}

The fingerprint of this vote

    {" ".join(groups[:8])}
    {" ".join(groups[8:])}

{FINGERPRINT}

    {occasion.manifest}

{occasion.sender}
"""


def html(words: Words, to: Addressee) -> str:
    """The message as HTML: it fetches nothing, so nobody sees when it is read."""
    occasion = words.occasion
    groups = occasion.fingerprint
    facts = "".join(f"<tr><td>{name}&emsp;</td><td>{escape(value)}</td></tr>" for name, value in words.facts(to))
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"></head><body><div style="{STYLE}">
<p>{escape(to.name)}</p>
<h1 style="font-size:20px">{escape(words.heading)}, {escape(occasion.company)}</h1>
<p>{escape(words.worth(to))}</p>
<p style="{MONO};font-size:20px;white-space:nowrap">{escape(to.number)}</p>
<p>{TYPING}</p>
<table style="font:inherit">{facts}</table>
<h2 style="font-size:16px">How to vote</h2>
<ol>{"".join(f"<li>{escape(step)}</li>" for step in words.steps())}</ol>
<h2 style="font-size:16px">{words.secrecy_heading}</h2>
<p>{escape(words.secrecy)} {escape(words.lost)}</p>
<h2 style="font-size:16px">The fingerprint of this vote</h2>
<p style="{MONO}">{" ".join(groups[:8])}<br>{" ".join(groups[8:])}</p>
<p>{FINGERPRINT}<br><code>{escape(occasion.manifest)}</code></p>
<p>{escape(occasion.sender)}</p>
</div></body></html>
"""
