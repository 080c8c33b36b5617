"""An election on a desk without a network: a card, a signed manifest, a share register and one issuer's numbers; and
how a test reads what was printed from them.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pypdfium2
import zxingcpp
from PIL import Image

from audit.protocol.control_number import new_control_number, parse_control_number
from audit.record.manifest import Manifest
from infra.card import Card
from infra.control_numbers import COLUMNS as NUMBER_COLUMNS
from infra.control_numbers import to_csv
from infra.sealed import new_key_file, read_lock, write_sealed
from intake.register.holdings import COLUMNS, Account
from intake.register.letters_addressees import Addressee
from intake.register.letters_occasion import Occasion
from tests.simulator.dice import Dice
from tests.simulator.meeting import Meeting
from tests.simulator.parties import Parties

PAGE = "https://vote.example.com/annual"
HOLDERS = (
    ("Łucja Ňěmcová-Öztürk", "ul. Świętokrzyska 1\nGdańsk\nPolska", "lucja@example.com", "pl"),
    ("Séamus Ó Briain", "1 High Street, Dublin 2", "seamus@example.com", "ga"),
    ("Ελένη Παππά", "Οδός Ερμού 5, Αθήνα", "", "el"),
)


def number(i: int) -> str:
    """The i-th number of these tests, as printed."""
    return new_control_number(bytes([i + 1]) * 16)


@dataclass(frozen=True)
class Desk:
    """Where the files of one issuer lie, and what is in them."""

    folder: Path
    manifest: Manifest

    @classmethod
    def laid(cls, folder: Path, holders: Sequence[tuple[str, str, str, str]] = HOLDERS, issuers: int = 2) -> Desk:
        """Account A0 has 10 shares, A1 11, and so on."""
        parties = Parties.drawn(Dice(3), issuers=issuers)
        meeting = Meeting({"common": [10 + i for i in range(len(holders))]}, parties=parties).found()
        desk = cls(folder, meeting.manifest)
        (folder / "manifest").write_bytes(meeting.entries[0])
        card = Card(desk.manifest.origin, desk.manifest.hash, ("https://intake.example",), ("https://log.example",))
        (folder / "card.toml").write_text(card.to_toml())
        with (folder / "register.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            for i, (name, address, email, language) in enumerate(holders):
                writer.writerow((f"A{i}", f"H{i}", "", "", "common", 10 + i, name, email, address, language))
        new_key_file(folder / "lock")
        desk.seal([(f"A{i}", number(i)) for i in range(len(holders))])
        return desk

    def seal(self, numbers: Sequence[tuple[str, str]], revisions: Sequence[int] = ()) -> None:
        """Keeps these accounts' numbers in place of others; of revision 0 if no others are given."""
        (self.folder / "numbers").unlink(missing_ok=True)
        drawn_for = revisions or [0] * len(numbers)
        rows = [
            (account, "common", revision, drawn)
            for (account, drawn), revision in zip(numbers, drawn_for, strict=True)
        ]
        write_sealed(self.folder / "numbers", to_csv(tuple(NUMBER_COLUMNS), rows), read_lock(self.folder / "lock"))

    def arguments(self, command: str, **changes: str) -> list[str]:
        """What `psephos` is called with, all options but the command's own."""
        options = {
            "election": str(self.folder / "card.toml"),
            "manifest": str(self.folder / "manifest"),
            "issuer": "issuer-1",
            "register": str(self.folder / "register.csv"),
            "numbers": str(self.folder / "numbers"),
            "unlock": str(self.folder / "lock"),
            "link": PAGE,
            **changes,
        }
        return ["register", command, *(part for name, value in options.items() for part in (f"--{name}", value))]


def occasion(manifest: Manifest, issuer: str = "issuer-1", page: str = PAGE) -> Occasion:
    return Occasion.of(manifest, issuer, page)


def addressee(i: int = 0, **changes: Any) -> Addressee:
    """The i-th holder, with the words of a test in place of its own."""
    name, _, email, language = HOLDERS[i % len(HOLDERS)]
    values: dict[str, Any] = {
        "account": Account(f"A{i}", "common", 10 + i),
        "name": name,
        "address": ("1 High Street", "Dublin"),
        "email": email,
        "language": language,
        "line": i + 2,
        "code": parse_control_number(number(i)),
        **changes,
    }
    return Addressee(**values)


def pdf_texts(path: Path) -> list[str]:
    """What is written on each page, with every break in it a space."""
    document = pypdfium2.PdfDocument(path)
    texts = [" ".join(page.get_textpage().get_text_bounded().split()) for page in document]
    document.close()
    return texts


def pdf_codes(path: Path) -> list[list[str]]:
    """What the QR codes on each page say, read from a picture of it."""
    document = pypdfium2.PdfDocument(path)
    found = [codes(page.render(scale=200 / 72).to_pil()) for page in document]
    document.close()
    return found


def html_codes(text: str) -> list[str]:
    """What the codes in a page say, drawn from their paths."""
    found: list[str] = []
    for side, path in re.findall(r'viewBox="0 0 (\d+) \1".*?<path d="([^"]*)"', text):
        picture = Image.new("L", (int(side), int(side)), 255)
        for x, y, length in re.findall(r"M(\d+) (\d+)h(\d+)v1h-\3z", path):
            picture.paste(0, (int(x), int(y), int(x) + int(length), int(y) + 1))
        found += codes(picture.resize((int(side) * 4, int(side) * 4), Image.Resampling.NEAREST))
    return found


def codes(picture: Image.Image) -> list[str]:
    return [code.text for code in zxingcpp.read_barcodes(picture.convert("L"))]
