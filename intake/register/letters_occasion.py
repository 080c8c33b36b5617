"""What every letter of one issuer says alike: which meeting, until when, and by which fingerprint its election is
known.

All of it is taken from the manifest, but for the address of the voting page and what sender and other issuer are called
on paper.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from urllib.parse import SplitResult, quote, urlsplit

from audit.protocol.control_number import format_control_number
from audit.protocol.group import b64
from audit.protocol.refused import Refused
from audit.record.manifest import Manifest
from audit.verify_report import in_shares

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
MOST_PAGE, MOST_SENDER = 150, 120


@dataclass(frozen=True)
class Occasion:
    """`hash` is the manifest's, 32 bytes. `sender` stands over the address, `issuer` is its first part, a name.

    `other` is what the issuer of the holder's other number is called, empty if there is none; dates are as printed,
    empty where the manifest announces none. `page` is where votes are cast, a URL; votes have so many `decimals`.
    """

    hash: bytes
    company: str
    title: str
    sender: str
    issuer: str
    other: str
    opens: str
    closes: str
    record_date: str
    page: str
    decimals: int

    @classmethod
    def of(cls, manifest: Manifest, issuer: str, page: str, sender: str = "", other_sender: str = "") -> Occasion:
        """The occasion as announced by the issuer of this name in the manifest.

        sender: name and place, parted by commas; both senders default to the names in the manifest. Refused
        `wrong-signers` if there is no such issuer, `syntax` for a page or a sender that cannot stand in a letter.
        """
        names = [key.name for key in manifest.issuers]
        if issuer not in names:
            raise Refused("wrong-signers", f"the issuers of this election are {', '.join(names)}; {issuer} is none")
        others = [name for name in names if name != issuer]
        if other_sender and not others:
            raise Refused("wrong-signers", f"{issuer} is the only issuer: nobody else sends a number")
        sender = one_line(sender) or issuer
        return cls(
            hash=manifest.hash,
            company=one_line(manifest.meeting["issuer"]),
            title=one_line(manifest.title),
            sender=_short(sender),
            issuer=sender.split(",")[0],
            other=_short(one_line(other_sender)) or " ".join(others),
            opens=printed_time(manifest.times["open"]),
            closes=printed_time(manifest.times["close"]),
            record_date=printed_time(manifest.times["record_date"]),
            page=checked_page(page),
            decimals=manifest.decimals,
        )

    @property
    def manifest(self) -> str:
        """The hash as commands and election cards write it."""
        return b64(self.hash)

    @property
    def fingerprint(self) -> tuple[str, ...]:
        """The hash for people to compare: sixteen groups of four hexadecimal digits."""
        digits = self.hash.hex().upper()
        return tuple(digits[i : i + 4] for i in range(0, len(digits), 4))

    def votes(self, weight: int) -> str:
        """A weight as printed: votes, in shares."""
        return in_shares(weight, self.decimals)

    def link(self, code: str, weight: int) -> str:
        """The voting page with number (25 symbols) and weight filled in.

        Both stand behind the `#`, in the fragment, which a browser keeps to itself: it is sent to no server, so none
        can log it (RFC 9110, 7.1).
        """
        return f"{self.page}#number={quote(format_control_number(code), safe='-')}&weight={weight}"


def checked_page(url: str) -> str:
    """The same URL. Refused `syntax` unless it is https, without anything behind a `#`; http for this machine alone."""
    parts = _split(url)
    if parts is None or "#" in url or "@" in parts.netloc or not parts.hostname:
        text = f"the voting page is a URL of at most {MOST_PAGE} ASCII signs, without spaces, @ or #"
        raise Refused("syntax", text)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOOPBACK):
        # Whoever is on the way could otherwise change the page, and so read what the browser keeps from servers.
        raise Refused("syntax", f"the voting page must be reached by https://, and {url} is not")
    return url if parts.path else f"{url}/"


def _split(url: str) -> SplitResult | None:
    if not url.isascii() or not url.isprintable() or " " in url or len(url) > MOST_PAGE:
        return None
    try:
        return urlsplit(url)
    except ValueError:
        return None


def printed_time(time: str) -> str:
    """A date or time of the manifest as a letter prints it: `2 June 2026, 12:00 UTC`. What is no date stays as it
    is.
    """
    try:
        moment = datetime.fromisoformat(time)
    except ValueError:
        return time
    day = f"{moment.day} {MONTHS[moment.month - 1]} {moment.year}"
    return f"{day}, {moment:%H:%M} {moment.tzname() or 'local time'}" if "T" in time else day


def one_line(text: str) -> str:
    """The words of a text, parted by single spaces."""
    return " ".join(text.split())


def _short(sender: str) -> str:
    if len(sender) > MOST_SENDER or not sender.isprintable():
        raise Refused("syntax", f"a sender is one line of at most {MOST_SENDER} printable signs")
    return sender
