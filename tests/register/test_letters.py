"""Letters: what is printed is this issuer's number and no other's, readable by people and by phones, on one page."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pypdfium2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.protocol.control_number import LENGTH, SYMBOLS, format_control_number, parse_control_number
from audit.protocol.group import b64
from audit.protocol.refused import Refused
from audit.record.manifest import Manifest
from intake.register.holdings import Account
from intake.register.letters_addressees import address_lines
from intake.register.letters_html import write_pages
from intake.register.letters_layout import (
    ADDRESS,
    BOTTOM,
    CODE,
    LEFT,
    MM,
    RIGHT,
    SENDER,
    WINDOW,
    WINDOW_END,
    letter_page,
)
from intake.register.letters_occasion import Occasion, checked_page, printed_time
from intake.register.letters_pdf import write_letters
from tests.register.paper import HOLDERS, PAGE, addressee, html_codes, number, occasion, pdf_codes, pdf_texts
from tests.simulator.dice import Dice
from tests.simulator.meeting import Meeting
from tests.simulator.parties import Parties

NOTHING: Callable[[], None] = lambda: None  # noqa: E731


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    return Meeting({"common": (10, 11, 12)}).found().manifest


@pytest.fixture(scope="module")
def one_issuer() -> Manifest:
    return Meeting({"common": (10,)}, parties=Parties.drawn(Dice(3), issuers=1)).found().manifest


def pdf(tmp_path: Path, of: Occasion, *places: int) -> Path:
    path = tmp_path / "letters.pdf"
    with path.open("wb") as file:
        write_letters(file, of, [addressee(i) for i in places], NOTHING)
    return path


def html(of: Occasion, *places: int, **changes: Any) -> str:
    file = io.BytesIO()
    write_pages(file, of, [addressee(i, **changes) for i in places], NOTHING)
    return file.getvalue().decode()


def words(text: str) -> str:
    """What a browser shows of a page."""
    shown = re.sub(r"<style>.*?</style>|<svg.*?</svg>", "", text, flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", shown)).split())


def test_a_page_for_each_account(tmp_path: Path, manifest: Manifest) -> None:
    of = occasion(manifest)
    printed = pdf_texts(pdf(tmp_path, of, 0, 1, 2))
    assert len(printed) == 3
    for i, text in enumerate(printed):
        for expected in (
            HOLDERS[i][0],
            number(i),
            f"the {10 + i} votes of account A{i}",
            "Voting closes: 2 June 2026, 12:00 UTC",
            "annual meeting 2026",
            "Example plc",
            PAGE,
            manifest.hash.hex().upper()[:4],
            b64(manifest.hash),
            "the one that issuer-2 sends you",
        ):
            assert expected in text, expected
        digits = re.search(r"The fingerprint of this vote ((?:[0-9A-F]{4} ){16})", text)
        assert digits is not None and bytes.fromhex(digits[1]) == manifest.hash
        assert not any(number(j) in text for j in range(3) if j != i)


def test_html_says_the_same(tmp_path: Path, manifest: Manifest) -> None:
    """Word for word, but for the order in which they are found, and the numbers that a list gives its steps."""
    of = occasion(manifest)
    on_paper, on_screen = pdf_texts(pdf(tmp_path, of, 0))[0], words(html(of, 0))
    steps = {f"{i}." for i in range(1, 6)}
    assert set(re.findall(r"[\w@:/.-]+", on_paper)) - steps == set(re.findall(r"[\w@:/.-]+", on_screen))


def test_a_phone_reads_the_code(tmp_path: Path, manifest: Manifest) -> None:
    of = occasion(manifest)
    links = [[of.link(parse_control_number(number(i)), 10 + i)] for i in range(3)]
    assert pdf_codes(pdf(tmp_path, of, 0, 1, 2)) == links
    assert [[link] for link in html_codes(html(of, 0, 1, 2))] == links


@given(st.text(SYMBOLS, min_size=LENGTH, max_size=LENGTH), st.integers(1, 1 << 40))
def test_number_and_weight_stand_in_the_fragment_alone(code: str, weight: int) -> None:
    """Whatever the check symbol is, and read as a browser's page reads it."""
    of = Occasion(bytes(32), "", "", "", "", "", "", "", "", "https://vote.example/annual?lang=en", 0)
    parts = urlsplit(of.link(code, weight))
    assert parts._replace(fragment="").geturl() == "https://vote.example/annual?lang=en"
    found = parse_qs(parts.fragment, strict_parsing=True)
    assert found == {"number": [format_control_number(code)], "weight": [str(weight)]}
    assert parse_control_number(found["number"][0]) == code


@pytest.mark.parametrize(
    ("url", "page"),
    [
        ("https://vote.example", "https://vote.example/"),
        ("https://vote.example/a?b=c", "https://vote.example/a?b=c"),
        ("http://127.0.0.1:8080/vote", "http://127.0.0.1:8080/vote"),
        ("http://localhost", "http://localhost/"),
    ],
)
def test_voting_pages(url: str, page: str) -> None:
    assert checked_page(url) == page


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("http://vote.example/", "must be reached by https://"),
        ("javascript://vote.example/", "must be reached by https://"),
        ("https://vote.example/#a", "without spaces, @ or #"),
        ("https://vote.example@evil.example/", "without spaces, @ or #"),
        ("https://vote.example/ a", "without spaces, @ or #"),
        ("https://vöte.example/", "ASCII"),
        ("vote.example", "a URL"),
        ("https://", "a URL"),
        ("https://[::1", "a URL"),
        (f"https://vote.example/{'a' * 150}", "at most 150"),
    ],
)
def test_pages_that_are_none(url: str, what: str) -> None:
    with pytest.raises(Refused, match=what) as caught:
        checked_page(url)
    assert caught.value.reason == "syntax"


@pytest.mark.parametrize(
    ("time", "printed"),
    [
        ("2026-06-02", "2 June 2026"),
        ("2026-06-02T12:00Z", "2 June 2026, 12:00 UTC"),
        ("2026-12-31T23:59:59+02:00", "31 December 2026, 23:59 UTC+02:00"),
        ("2026-06-02T12:00", "2 June 2026, 12:00 local time"),
        ("2026-13-40", "2026-13-40"),
        ("", ""),
    ],
)
def test_dates_are_printed_for_people(time: str, printed: str) -> None:
    assert printed_time(time) == printed


def test_votes_are_printed_in_shares_and_linked_in_units(manifest: Manifest) -> None:
    of = replace(occasion(manifest), decimals=3)
    text = html(of, 0, account=Account("A0", "common", 1_234_500))
    assert words(text).count("1,234.500") == 2 and "&weight=1234500" in html_codes(text)[0]


def test_a_deadline_not_announced_is_not_invented(manifest: Manifest) -> None:
    text = words(html(replace(occasion(manifest), closes="", opens=""), 0))
    assert "Voting closes: as the company announces" in text and "Voting opens" not in text


def test_the_only_issuer_says_what_it_could_do(tmp_path: Path, one_issuer: Manifest) -> None:
    of = occasion(one_issuer)
    for text in (pdf_texts(pdf(tmp_path, of, 0))[0], words(html(of, 0))):
        assert "so could issuer-1, who drew it" in text and "With this number you cast" in text
        assert "other" not in text


@pytest.mark.parametrize("issuer", ["issuer-3", "chair", ""])
def test_letters_are_an_issuers(manifest: Manifest, issuer: str) -> None:
    with pytest.raises(Refused, match="the issuers of this election are issuer-1, issuer-2") as caught:
        occasion(manifest, issuer)
    assert caught.value.reason == "wrong-signers"


def test_senders_are_called_as_they_wish(manifest: Manifest, one_issuer: Manifest) -> None:
    of = Occasion.of(manifest, "issuer-2", PAGE, "Registrars Ltd, 1 Quay,\nDublin", "Trust AG")
    assert (of.sender, of.issuer, of.other) == ("Registrars Ltd, 1 Quay, Dublin", "Registrars Ltd", "Trust AG")
    with pytest.raises(Refused, match="nobody else sends a number"):
        Occasion.of(one_issuer, "issuer-1", PAGE, "", "Trust AG")
    with pytest.raises(Refused, match="one line of at most 120"):
        Occasion.of(manifest, "issuer-1", PAGE, "x" * 121)


@given(
    name=st.text(st.characters(codec="latin-1", categories=("L", "P", "Zs")), min_size=1, max_size=300),
    address=st.text(st.sampled_from("äß ,.\n12abcWW"), max_size=400),
    weight=st.integers(1, 1 << 40),
)
@settings(max_examples=60, deadline=None)
def test_a_letter_keeps_to_its_page(manifest: Manifest, name: str, address: str, weight: int) -> None:
    """And its address, without the rest, to the window; or it is refused, saying so."""
    to = addressee(0, name=name, address=address_lines(address), account=Account("A" * 60, "c" * 60, weight))
    try:
        page = letter_page(occasion(manifest), to)
    except Refused as refusal:
        assert refusal.reason == "not-supported" and "window" in refusal.detail
        return
    inside = (20 * MM, 105 * MM, 45 * MM, 90 * MM)
    shown = [line for line in page.lines if line.x < inside[1] and inside[2] < line.y < inside[3]]
    assert min(line.y for line in shown) >= SENDER - 10
    assert all(SENDER - 10 <= line.y <= WINDOW_END for line in shown)
    assert all(line.y <= BOTTOM for line in page.lines)
    left, top, side = page.code
    assert (left + side, side) == (RIGHT, CODE) and page.box[0] < top and top + side < page.box[1]


def test_long_titles_are_set_smaller_and_endless_ones_refused(manifest: Manifest) -> None:
    wide = "Extraordinary general meeting of the members " * 6
    page = letter_page(replace(occasion(manifest), title=wide, company=wide), addressee())
    assert min(line.size for line in page.lines) >= 6
    assert all(line.x >= LEFT and line.y <= BOTTOM for line in page.lines)
    with pytest.raises(Refused, match="leave no room") as caught:
        letter_page(replace(occasion(manifest), title=wide * 8), addressee())
    assert caught.value.reason == "not-supported"


def test_an_address_larger_than_the_window(manifest: Manifest) -> None:
    assert ADDRESS < WINDOW_END and WINDOW < 85 * MM
    with pytest.raises(Refused, match="account A0: name and address take more lines than the window"):
        letter_page(occasion(manifest), addressee(address=("line",) * 12))


@pytest.mark.parametrize(
    ("changes", "signs"),
    [
        ({"name": "山田 花子"}, "山 (U+5C71), 田 (U+7530), 花 (U+82B1), 子 (U+5B50)"),
        ({"address": ("שלום",)}, "ש (U+05E9)"),
        ({"name": "x\u0337"}, "U+0337"),
    ],
)
def test_signs_that_the_fonts_do_not_have(manifest: Manifest, changes: dict[str, Any], signs: str) -> None:
    """Never printed as empty boxes. A page in a browser has the reader's fonts, so it takes them."""
    with pytest.raises(Refused) as caught:
        letter_page(occasion(manifest), addressee(**changes))
    assert caught.value.reason == "not-supported"
    assert signs in str(caught.value) and "Latin, Greek and Cyrillic" in str(caught.value)
    assert number(0) in html(occasion(manifest), 0, **changes)
    with pytest.raises(Refused, match="U\\+5C71") as caught:
        letter_page(replace(occasion(manifest), company="山"), addressee())
    assert caught.value.reason == "not-supported"


EUROPE = "ÀÆÇÐÑØÞßĀĄĆČĎĐĒĘĚĞĢĦĮİĲĶĽŁŃŇŊŐŒŘŞŠŢŤŦŮŰŲŴŶŹŻŽƏȘȚḂẀẞỲ ΆΈΉΊΌΎΏΪΫ ЂЃЄЅІЇЈЉЊЋЌЎЏҐ €№’–“”«»"


def test_names_of_europe_are_printed(tmp_path: Path, manifest: Manifest) -> None:
    """Also where the register writes an accent as a sign of its own."""
    to = addressee(name=EUROPE, address=("Ne\u030ccova\u0301", EUROPE.replace("İ", "").lower()))
    with (tmp_path / "letters.pdf").open("wb") as file:
        write_letters(file, occasion(manifest), [to], NOTHING)
    text = pdf_texts(tmp_path / "letters.pdf")[0].replace(" ", "")
    assert EUROPE.replace(" ", "") in text and "Něcová" in text


@pytest.mark.parametrize(
    ("address", "lines"),
    [
        ("1 High Street, Dublin 2", ("1 High Street", "Dublin 2")),
        ("Flat 2, 1 High Street\nDublin 2\n", ("Flat 2, 1 High Street", "Dublin 2")),
        (" , ,", ()),
        ("", ()),
    ],
)
def test_address_lines(address: str, lines: tuple[str, ...]) -> None:
    assert address_lines(address) == lines


def test_a_name_is_text_in_html(manifest: Manifest) -> None:
    bad = "</main><script>alert(1)</script><img src=https://evil.example/>\"'&"
    text = html(occasion(manifest), 0, name=bad, address=(bad,), account=Account("A0", bad, 3))
    assert "<script" not in text and "<img" not in text and words(text).count(bad) == 4


def test_html_fetches_and_runs_nothing(manifest: Manifest) -> None:
    text = html(occasion(manifest), 0, 1)
    assert "default-src 'none'; style-src 'unsafe-inline'" in text
    assert not re.search(r"<script|<link|<img|<iframe|@import|url\(|\ssrc=", text)
    assert set(re.findall(r'href="([^"#]*)#', text)) == {PAGE} and text.count("href=") == 2


def test_the_same_letters_make_the_same_file(tmp_path: Path, manifest: Manifest) -> None:
    """So that a second printing can be compared; and no file tells when it was made."""
    one = pdf(tmp_path, occasion(manifest), 0, 1).read_bytes()
    assert one == pdf(tmp_path, occasion(manifest), 0, 1).read_bytes()
    document = pypdfium2.PdfDocument(one)
    assert document[0].get_size() == pytest.approx((595.3, 841.9), abs=0.1)
    document.close()
