"""The fonts letters are printed in: Noto Sans, reduced to Latin, Greek and Cyrillic, and Noto Sans Mono for what is
typed in or compared. They come with this package, so that a letter looks the same wherever it is printed.
"""

from __future__ import annotations

import unicodedata
from functools import cache, lru_cache
from pathlib import Path

from reportlab.pdfbase.pdfmetrics import registerFont, stringWidth
from reportlab.pdfbase.ttfonts import TTFont

FOLDER = Path(__file__).parent / "fonts"
TEXT, BOLD = "NotoSans-Regular", "NotoSans-Bold"
MONO, MONO_BOLD = "NotoSansMono-Regular", "NotoSansMono-Bold"


@cache
def _signs() -> frozenset[int]:
    """The code points that can be printed. Makes all four fonts known to reportlab."""
    for name in (TEXT, BOLD, MONO, MONO_BOLD):
        registerFont(TTFont(name, FOLDER / f"{name}.ttf"))
    return frozenset(TTFont(TEXT, FOLDER / f"{TEXT}.ttf").face.charToGlyph)


def composed(text: str) -> str:
    """The text with letters and accents in one sign each, as the fonts have them."""
    return unicodedata.normalize("NFC", text)


def unprintable(text: str) -> list[str]:
    """The signs of a text that no font here has, each once; what is to be printed has none."""
    signs = _signs()
    return [sign for sign in dict.fromkeys(composed(text)) if ord(sign) not in signs]


def width(text: str, font: str, size: float) -> float:
    """How wide a printed line is, in points."""
    _signs()
    return float(stringWidth(text, font, size))


# Most paragraphs of a letter are those of the one before.
@lru_cache(maxsize=1_000)
def wrapped(text: str, font: str, size: float, room: float) -> tuple[str, ...]:
    """The text in lines no wider than `room` points; a word that is wider is broken."""
    lines: list[str] = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".lstrip()
        if width(longer, font, size) <= room:
            lines[-1] = longer
            continue
        lines += [word] if lines[-1] else []
        lines[-1] = lines[-1] or word
        while width(lines[-1], font, size) > room:
            whole = lines.pop()
            fits = next(n for n in range(len(whole) - 1, 0, -1) if n == 1 or width(whole[:n], font, size) <= room)
            lines += [whole[:fits], whole[fits:]]
    return tuple(lines)
