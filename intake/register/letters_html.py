"""Letters as HTML: the same page, for who prints from a browser or sends the page on.

A file is whole by itself: it fetches nothing and runs nothing, and says so in its policy, so that the number in it
stays in it. Its type is the reader's; so it can print every script, which the PDF cannot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from html import escape
from typing import BinaryIO

from intake.register.letters_addressees import Addressee
from intake.register.letters_occasion import Occasion
from intake.register.letters_qr import Code
from intake.register.letters_words import FINGERPRINT, TYPING, Words

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
STYLE = """
@page { size: A4; margin: 0 }
* { box-sizing: border-box }
body { margin: 0; background: #e8e8e8; color: #000;
  font: 10pt/1.36 "Noto Sans", "Segoe UI", "Helvetica Neue", Arial, sans-serif }
main { position: relative; width: 210mm; min-height: 296.5mm; margin: 8mm auto; padding: 100mm 20mm 10mm 25mm;
  background: #fff; break-after: page; break-inside: avoid; overflow-wrap: anywhere }
h1 { margin: 0 0 1.5mm; font-size: 1.4em; line-height: 1.3 }
h2 { margin: 3mm 0 .5mm; font-size: 1.1em }
p { margin: 0 0 .7mm }
ol { margin: 0; padding: 0 0 0 5mm }
li { padding-left: 1mm; margin-bottom: .5mm }
li::marker { font-weight: bold }
small, .small { font-size: 8pt; color: #555 }
a { color: inherit }
code, .number { font-family: "Noto Sans Mono", "DejaVu Sans Mono", Menlo, Consolas, monospace }
.company { position: absolute; left: 25mm; right: 20mm; top: 14mm; margin: 0; font-size: 13pt; font-weight: bold }
.window { position: absolute; left: 25mm; top: 58.5mm; width: 78mm; height: 31mm; font-size: 10.5pt;
  font-style: normal; line-height: 1.25 }
.window small { display: block; margin-bottom: 2mm; font-size: 6.5pt }
.facts { position: absolute; left: 128mm; right: 20mm; top: 46mm; margin: 0 }
dt { font-size: 7pt; color: #555 }
dd { margin: 0 0 .8mm; font-size: 9pt }
dd:last-child { font-weight: bold }
.box { display: flex; justify-content: space-between; align-items: center; gap: 3mm; margin: 3mm -4mm 4mm;
  padding: 2mm 4mm; border: .5pt solid #b3b3b3; border-radius: 2mm }
.box svg { width: 38mm; height: 38mm; flex: none }
.box p { margin: 1mm 0 }
.number { font-size: 16pt; font-weight: bold; white-space: nowrap }
.fingerprint { display: grid; grid-template-columns: repeat(8, max-content); column-gap: 3mm; font-size: 13pt;
  font-weight: bold }
.dense { font-size: 8.5pt }
.dense .company { font-size: 10pt }
.dense .window { font-size: 8.5pt; line-height: 1.2 }
@media print { body { background: none } main { margin: 0 } }
"""
DENSE, MANY = 320, 6
"""So many signs of company, title and page, or lines of an address, and all of it is set smaller."""


def write_pages(file: BinaryIO, occasion: Occasion, letters: Iterable[Addressee], step: Callable[[], None]) -> None:
    """Writes one HTML page that prints a sheet for each letter, one after the other, calling `step` after each."""
    head = (
        f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="referrer" content="no-referrer">\n<meta name="viewport" content="width=device-width">\n'
        f"<title>{escape(Words(occasion).heading)}</title>\n<style>{STYLE}</style>\n"
    )
    file.write(head.encode())
    for to in letters:
        file.write(sheet(Words(occasion), to).encode())
        step()


def sheet(words: Words, to: Addressee) -> str:
    """One letter, as an element of the page."""
    occasion = words.occasion
    link = occasion.link(to.code, to.account.weight)
    address = "<br>".join(escape(line) for line in (to.name, *to.address))
    facts = "".join(f"<dt>{name}<dd>{escape(value)}" for name, value in words.facts(to))
    groups = "".join(f"<span>{group}</span>" for group in occasion.fingerprint)
    long = len(occasion.title) + len(occasion.company) + len(occasion.page) > DENSE or len(to.address) >= MANY
    return f"""<main{' class="dense"' if long else ""}>
<p class="company">{escape(occasion.company)}</p>
<address class="window"><small>{escape(occasion.sender)}</small>{address}</address>
<dl class="facts">{facts}</dl>
<h1>{escape(words.heading)}</h1>
<p>{escape(words.worth(to))}</p>
<section class="box"><div><small>Control number</small><p class="number">{escape(to.number)}</p><small>{TYPING}</small>
<p><b>Voting closes: {escape(words.closes)}</b></p></div>
<a href="{escape(link)}" rel="noreferrer">{svg(Code.of(link))}</a></section>
<h2>How to vote</h2>
<ol>{"".join(f"<li>{escape(step)}</li>" for step in words.steps())}</ol>
<h2>{words.secrecy_heading}</h2>
<p>{escape(words.secrecy)}</p>
<p>{escape(words.lost)}</p>
<h2>The fingerprint of this vote</h2>
<code class="fingerprint">{groups}</code>
<p class="small">{FINGERPRINT}<br><code>{escape(occasion.manifest)}</code></p>
</main>
"""


def svg(code: Code) -> str:
    """The code as a picture in the page."""
    path = "".join(f"M{x} {y}h{length}v1h-{length}z" for x, y, length in code.bars())
    label = "QR code: opens the voting page with this number filled in"
    return f'<svg viewBox="0 0 {code.size} {code.size}" role="img" aria-label="{label}"><path d="{path}"/></svg>'
