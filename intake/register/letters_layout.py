"""Where everything stands on a letter: A4, the address where a window envelope shows it (DIN 5008 form B, which fits DL
and C6/5), text that is set smaller until all of it fits one page.

Places are in points from the top left corner of the page.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from audit.protocol.refused import Refused
from intake.register.letters_addressees import Addressee
from intake.register.letters_fonts import BOLD, MONO, MONO_BOLD, TEXT, composed, unprintable, wrapped
from intake.register.letters_occasion import Occasion
from intake.register.letters_words import FINGERPRINT, TYPING, Words

MM = 72 / 25.4
LEFT, RIGHT, BOTTOM = 25 * MM, 190 * MM, 286 * MM
COMPANY, SUBJECT = 14 * MM, 100 * MM
# The window is 85 mm by 45 mm, 20 mm from the left and 45 mm from the top; the lower 27.3 mm of it are the address's.
WINDOW, SENDER, ADDRESS, WINDOW_END = 77 * MM, 61 * MM, 66.5 * MM, 89 * MM
FACTS, FACTS_TOP = 128 * MM, 46 * MM
CODE, PADDING = 38 * MM, 2 * MM
INK, GREY = 0.0, 0.35
ADDRESS_SIZES = (10.5, 9.5, 8.5, 7.5)
SCALES = (1.0, 0.94, 0.88, 0.82, 0.76)
LEADING = 1.36
FINGERPRINT_ROW = 8


@dataclass(frozen=True)
class Line:
    """One line of text; `y` is its base line, `grey` 0 for black."""

    x: float
    y: float
    text: str
    font: str
    size: float
    grey: float = INK


@dataclass(frozen=True)
class Page:
    """`box` frames the number from the first height to the second, the code in it to the right."""

    lines: tuple[Line, ...]
    box: tuple[float, float]

    @property
    def code(self) -> tuple[float, float, float]:
        """Left and top of the QR code, and its side."""
        return RIGHT - CODE, self.box[0] + PADDING, CODE


@dataclass
class Column:
    """Text that flows down; `y` is how far it has come, `scale` by how much all of it is set smaller."""

    y: float
    scale: float = 1.0
    left: float = LEFT
    right: float = RIGHT
    lines: list[Line] = field(default_factory=list)

    def put(self, text: str, size: float, font: str = TEXT, grey: float = INK, indent: float = 0) -> None:
        """Adds a paragraph."""
        x, size = self.left + indent, size * self.scale
        for line in wrapped(composed(text), font, size, self.right - x):
            self.y += size * LEADING
            self.lines.append(Line(x, self.y, line, font, size, grey))

    def gap(self, points: float) -> None:
        self.y += points * self.scale


def letter_page(occasion: Occasion, to: Addressee) -> Page:
    """The page for one account. Refused `not-supported` for signs that the fonts do not have, and for what leaves no
    room for the rest.
    """
    if fault := address_fault(to):
        raise Refused("not-supported", f"account {to.account.id}: {fault}")
    lines = [*_head(occasion), *_address(to, _address_size(to)), *_facts(Words(occasion), to)]
    for scale in SCALES:
        body, box = _body(Words(occasion), to, scale)
        if body.y <= BOTTOM:
            page = Page((*lines, *body.lines), box)
            _expect_printable(line.text for line in page.lines)
            return page
    raise Refused("not-supported", "titles and the address of the voting page leave no room for the rest of the letter")


def address_fault(to: Addressee) -> str:
    """Why this name and address cannot be printed in a window, or nothing."""
    if signs := unprintable(" ".join((to.name, *to.address))):
        return unprintable_text(signs)
    if _address_size(to) is None:
        return "name and address take more lines than the window of an envelope shows"
    return ""


def unprintable_text(signs: Iterable[str]) -> str:
    """The sentence that names signs which cannot be printed."""
    names = ", ".join(f"{sign} (U+{ord(sign):04X})" for sign in signs)
    return f"letters in PDF print Latin, Greek and Cyrillic, which has no {names}"


def _expect_printable(texts: Iterable[str]) -> None:
    if signs := unprintable("".join(texts)):
        raise Refused("not-supported", unprintable_text(signs))


def _address_size(to: Addressee) -> float | None:
    """The largest type in which name and address fit the window; None if they do in none."""
    sizes = (size for size in ADDRESS_SIZES if list(_address(to, size))[-1].y <= WINDOW_END)
    return next(sizes, None)


def _address(to: Addressee, size: float | None) -> Iterator[Line]:
    assert size is not None
    lines = [line for part in (to.name, *to.address) for line in wrapped(composed(part), TEXT, size, WINDOW)]
    return (Line(LEFT, ADDRESS + i * size * 1.25, line, TEXT, size) for i, line in enumerate(lines))


def _head(occasion: Occasion) -> list[Line]:
    top = Column(COMPANY)
    top.put(occasion.company, 13 if len(occasion.company) < 150 else 9.5, BOLD)
    sender = wrapped(composed(occasion.sender), TEXT, 6.5, WINDOW)
    first = SENDER - 8 * (len(sender) - 1)
    return [*top.lines, *(Line(LEFT, first + 8 * i, line, TEXT, 6.5, GREY) for i, line in enumerate(sender))]


def _facts(words: Words, to: Addressee) -> list[Line]:
    column = Column(FACTS_TOP, left=FACTS)
    for name, value in words.facts(to):
        column.put(name, 7, grey=GREY)
        column.put(value, 9, BOLD if name == "Voting closes" else TEXT)
        column.gap(2.5)
    return column.lines


def _body(words: Words, to: Addressee, scale: float) -> tuple[Column, tuple[float, float]]:
    column = Column(SUBJECT, scale)
    column.put(words.heading, 14, BOLD)
    column.gap(5)
    column.put(words.worth(to), 10)
    column.gap(10)
    box = (column.y, column.y + CODE + 2 * PADDING)
    column.lines += _number(words, to, *box)
    column.y = box[1]
    column.gap(6)
    _heading(column, "How to vote")
    for place, step in enumerate(words.steps(), 1):
        column.lines.append(Line(LEFT, column.y + 10 * scale * LEADING, f"{place}.", BOLD, 10 * scale))
        column.put(step, 10, indent=5 * MM)
        column.gap(1.5)
    _heading(column, words.secrecy_heading)
    column.put(words.secrecy, 10)
    column.gap(1.5)
    column.put(words.lost, 10)
    _heading(column, "The fingerprint of this vote")
    groups = words.occasion.fingerprint
    for row in (groups[:FINGERPRINT_ROW], groups[FINGERPRINT_ROW:]):
        column.put(" ".join(row), 13, MONO_BOLD)
    column.gap(2)
    column.put(FINGERPRINT, 8, grey=GREY)
    column.put(words.occasion.manifest, 8, MONO)
    return column, box


def _heading(column: Column, text: str) -> None:
    column.gap(7)
    column.put(text, 11, BOLD)
    column.gap(1.5)


def _number(words: Words, to: Addressee, top: float, bottom: float) -> Sequence[Line]:
    """What stands in the box: in the middle of its height, beside the code."""
    column = Column((top + bottom) / 2 - 16 * MM, right=RIGHT - CODE - 3 * MM)
    column.put("Control number", 8.5, grey=GREY)
    column.gap(4)
    column.put(to.number, 16.5, MONO_BOLD)
    column.gap(4)
    column.put(TYPING, 8, grey=GREY)
    column.gap(5)
    column.put(f"Voting closes: {words.closes}", 9.5, BOLD)
    return column.lines
