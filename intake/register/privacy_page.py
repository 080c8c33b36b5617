"""The estimate as one HTML page that needs nothing else: no script, no network, the plot drawn as inline SVG with its
figures in a table beside it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from intake.register.privacy_estimate import Estimate, Rate
from intake.register.privacy_report import (
    COLUMNS,
    NOTES,
    RISK_COLUMNS,
    headline,
    method,
    named_largest,
    rows_at_risk,
    rows_of_measures,
    rows_of_turnouts,
    skipped_note,
    verdict,
    withheld_notes,
)

STYLE = """
:root { color-scheme: light dark; --ink: #1b1b1b; --paper: #fff; --line: #767676; --grid: #d9d9d9;
  --a: #b3261e; --b: #00538a; --c: #6b5200; }
@media (prefers-color-scheme: dark) { :root { --ink: #ececec; --paper: #161616; --line: #9a9a9a; --grid: #3a3a3a;
  --a: #ff8a80; --b: #7cc4f5; --c: #e0c060; } }
body { margin: 2rem auto; padding: 0 1rem; max-width: 72rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.25; } h2 { font-size: 1.2rem; margin-top: 2.2rem; }
p, li { max-width: 48rem; } .take { font-weight: 600; }
figure { margin: 1rem 0; } svg { width: 100%; max-width: 46rem; height: auto; }
svg text { fill: var(--ink); font: 13px system-ui, sans-serif; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; } caption { text-align: left; padding-bottom: .4rem; }
th, td { border-bottom: 1px solid var(--grid); padding: .3rem .8rem .3rem 0; text-align: right; vertical-align: top; }
thead th { border-bottom: 2px solid var(--line); vertical-align: bottom; }
td { white-space: nowrap; }
th.word, td.word { text-align: left; font-weight: inherit; } thead th.word { font-weight: bold; }
"""

LEFT, RIGHT, TOP, BOTTOM = 56, 700, 20, 300
"""Edges of the plot's area in the 720 x 400 drawing."""


def page(estimate: Estimate, skipped: Sequence[str]) -> str:
    """The page's HTML."""
    title = f"What exact totals give away: {headline(estimate)}"
    measures = ["what is done", *(f"at {turnout.percent}%" for turnout in estimate.turnouts)]
    risks = estimate.at_risk
    return "\n".join([
        "<!doctype html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(title)}</title>",
        f"<style>{STYLE}</style>",
        "</head>",
        "<body>",
        "<main>",
        f"<h1>{escape(title)}</h1>",
        f'<p class="take">{escape(verdict(estimate))}</p>',
        *(f"<p>{escape(text)}</p>" for text in (method(estimate), *skipped_note(skipped))),
        "<h2>What follows, by turnout</h2>",
        plot(estimate),
        table("Turnout in percent of the accounts; in brackets the 95% interval.", COLUMNS, rows_of_turnouts(estimate)),
        *(f"<p>{escape(text)}</p>" for text in withheld_notes(estimate)),
        "<h2>Accounts at risk</h2>",
        table(
            "Accounts of which something was proven to follow, with the turnout where it did most often.",
            RISK_COLUMNS,
            rows_at_risk(risks, estimate),
            words=2,
        )
        if risks
        else "<p>Nothing was proven to follow of any account that was judged.</p>",
        "<h2>What would change it</h2>",
        table(
            f"Of the votes of the {named_largest(estimate)}, how many follow.", measures, rows_of_measures(estimate)
        ),
        "<h2>What kind of number is which</h2>",
        "<ul>",
        *(f"<li>{escape(note)}</li>" for note in NOTES),
        "</ul>",
        "</main>",
        "</body>",
        "</html>",
        "",
    ])


def table(caption: str, columns: Sequence[str], rows: Sequence[Sequence[str]], words: int = 1) -> str:
    """An HTML table; the first column heads the rows, and the first `words` columns are words, the others figures."""

    def kind(place: int) -> str:
        return ' class="word"' if place < words else ""

    head = "".join(f'<th scope="col"{kind(place)}>{escape(name)}</th>' for place, name in enumerate(columns))
    # Wider than a narrow screen it scrolls, for who has no pointer too.
    scroll = f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(caption)}">'
    lines = [f"{scroll}<table><caption>{escape(caption)}</caption>", f"<thead><tr>{head}</tr></thead>", "<tbody>"]
    for name, *values in rows:
        cells = "".join(f"<td{kind(place)}>{escape(value)}</td>" for place, value in enumerate(values, 1))
        lines.append(f'<tr><th scope="row" class="word">{escape(name)}</th>{cells}</tr>')
    return "\n".join([*lines, "</tbody></table></div>"])


def plot(estimate: Estimate) -> str:
    """The rates over the turnouts: all votes, and those of the largest, by the totals and knowing who took part."""
    base, attended = estimate.measures[:2]
    series = [
        ("a", "M-5,-5h10v10h-10z", "", f"votes of the {named_largest(estimate)} that follow", base.largest),
        ("b", "M0,-6L6,5H-6z", "7 4", "the same, for one who knows who took part", attended.largest),
        ("c", "M0,-6L6,0L0,6L-6,0z", "2 4", "all votes follow", base.everything),
    ]
    turnouts = [turnout.percent for turnout in estimate.turnouts]
    lines = [
        '<figure><svg viewBox="0 0 720 400" role="img" aria-labelledby="plot-title plot-text">',
        '<title id="plot-title">How often votes follow from the totals, by turnout</title>',
        '<desc id="plot-text">Three lines over the turnout with 95% intervals; the table below has the figures.</desc>',
        *axes(turnouts),
        *(
            f'<text x="{across(turnout.percent)}" y="{BOTTOM - 8}" text-anchor="middle">withheld</text>'
            for turnout, rate in zip(estimate.turnouts, base.everything, strict=True)
            if rate is None
        ),
    ]
    for place, (color, mark, dashes, label, rates) in enumerate(series):
        # Side by side, so that intervals of equal rates do not hide each other.
        lines += line(f"var(--{color})", mark, dashes, turnouts, rates, (place - 1) * 7)
        y = BOTTOM + 55 + 20 * place
        lines.append(f'<path d="M{LEFT},{y}h36" {stroke(f"var(--{color})", dashes)}/>')
        lines.append(f'<path d="{mark}" transform="translate({LEFT + 18},{y})" fill="var(--{color})"/>')
        lines.append(f'<text x="{LEFT + 46}" y="{y + 4}">{escape(label)}</text>')
    caption = "Marks: what is proven to follow. Boxes: what was shown neither way. Bars: 95% intervals."
    return "\n".join([*lines, f"</svg><figcaption>{caption}</figcaption></figure>"])


def axes(turnouts: Sequence[int]) -> list[str]:
    lines = []
    for share in range(0, 101, 20):
        y = height(share / 100)
        lines.append(f'<path d="M{LEFT},{y}H{RIGHT}" stroke="var(--grid)"/>')
        lines.append(f'<text x="{LEFT - 8}" y="{y + 4}" text-anchor="end">{share}%</text>')
    for percent in turnouts:
        x = across(percent)
        lines.append(f'<path d="M{x},{BOTTOM}v6" stroke="var(--line)"/>')
        lines.append(f'<text x="{x}" y="{BOTTOM + 20}" text-anchor="middle">{percent}%</text>')
    lines.append(f'<path d="M{LEFT},{BOTTOM}H{RIGHT}" stroke="var(--line)"/>')
    lines.append(f'<text x="{(LEFT + RIGHT) // 2}" y="{BOTTOM + 37}" text-anchor="middle">turnout</text>')
    return lines


def line(
    color: str, mark: str, dashes: str, turnouts: Sequence[int], rates: Sequence[Rate | None], aside: int
) -> list[str]:
    """One series: its line, broken where nothing is published, a bar for each interval, a box for what is undecided,
    and the marks.
    """
    lines, path = [], ""
    for percent, rate in zip(turnouts, rates, strict=True):
        if rate is None:
            path += " "
            continue
        x, low, high = across(percent) + aside, *map(height, rate.interval)
        bottom, top = height(rate.low), height(rate.high)
        path += f"{'L' if path and path[-1] != ' ' else 'M'}{x},{bottom}"
        lines.append(f'<path d="M{x},{low}V{high}M{x - 3},{low}h6M{x - 3},{high}h6" stroke="{color}" fill="none"/>')
        if bottom > top:
            box = f'x="{x - 3}" y="{top}" width="6" height="{round(bottom - top, 1)}"'
            lines.append(f'<rect {box} fill="{color}" fill-opacity="0.35"/>')
        lines.append(f'<path d="{mark}" transform="translate({x},{bottom})" fill="{color}"/>')
    return [f'<path d="{path.strip()}" {stroke(color, dashes)}/>', *lines] if path.strip() else []


def stroke(color: str, dashes: str) -> str:
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    return f'stroke="{color}" stroke-width="2" fill="none"{dashed}'


def across(percent: int) -> float:
    return round(LEFT + (RIGHT - LEFT - 14) * percent / 100, 1)


def height(share: float) -> float:
    return round(BOTTOM - (BOTTOM - TOP) * share, 1)
