"""Letters as PDF. Many share a file; its pages are kept in memory until it is whole, so who writes a long run cuts it
into files of so many letters, and needs no more memory for the last than for the first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import BinaryIO

from reportlab.lib.pagesizes import A4
from reportlab.pdfgen.canvas import Canvas

from intake.register.letters_addressees import Addressee
from intake.register.letters_layout import LEFT, MM, RIGHT, Page, letter_page
from intake.register.letters_occasion import Occasion
from intake.register.letters_qr import Code

HEIGHT = A4[1]
# Where a letter is folded for DL, and where it is punched (DIN 5008 form B, ISO 838).
MARKS = ((105 * MM, 5 * MM), (148.5 * MM, 8 * MM), (210 * MM, 5 * MM))
PALE = 0.7


def write_letters(file: BinaryIO, occasion: Occasion, letters: Iterable[Addressee], step: Callable[[], None]) -> None:
    """Writes one PDF with a page for each letter, calling `step` after each; the same letters make the same bytes.

    Errors as `letter_page`.
    """
    canvas = Canvas(file, pagesize=A4, invariant=1, pageCompression=1, lang="en")
    canvas.setTitle(f"Control numbers: {occasion.title}")
    canvas.setAuthor(occasion.issuer)
    canvas.setSubject(occasion.company)
    for to in letters:
        draw(canvas, letter_page(occasion, to), Code.of(occasion.link(to.code, to.account.weight)))
        canvas.showPage()
        step()
    canvas.save()


def draw(canvas: Canvas, page: Page, code: Code) -> None:
    """Draws one page."""
    canvas.setStrokeGray(PALE)
    canvas.setLineWidth(0.5)
    for y, length in MARKS:
        canvas.line(4 * MM, HEIGHT - y, 4 * MM + length, HEIGHT - y)
    top, bottom = page.box
    canvas.roundRect(LEFT - 4 * MM, HEIGHT - bottom, RIGHT - LEFT + 8 * MM, bottom - top, 2 * MM)
    for line in page.lines:
        canvas.setFillGray(line.grey)
        canvas.setFont(line.font, line.size)
        canvas.drawString(line.x, HEIGHT - line.y, line.text)
    left, top, side = page.code
    draw_code(canvas, code, left, top, side)


def draw_code(canvas: Canvas, code: Code, left: float, top: float, side: float) -> None:
    """One path for all modules, so that no seam shows between them."""
    module = side / code.size
    path = canvas.beginPath()
    for x, y, length in code.bars():
        path.rect(left + x * module, HEIGHT - top - (y + 1) * module, length * module, module)
    canvas.setFillGray(0)
    canvas.drawPath(path, stroke=0, fill=1)
