"""`psephos register letters` and `merge`: whole files that only their owner can read, for exactly the accounts that
vote, in memory that does not grow with them.
"""

from __future__ import annotations

import csv
import tracemalloc
from pathlib import Path

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import intake.register.commands
from audit.protocol.refused import Refused
from infra.keys import KeyFileError
from infra.sealed import SealedError, new_key_file
from infra.table import TableError
from intake.register.letters_files import parts, write_files
from intake.register.letters_html import write_pages
from intake.register.letters_merge import COLUMNS, FORMULA, safe
from intake.register.letters_pdf import write_letters
from tests.register.paper import HOLDERS, PAGE, Desk, addressee, html_codes, number, occasion, pdf_codes, pdf_texts


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk.laid(tmp_path)


def run(*arguments: str) -> str:
    """What the command printed; raises what it raised."""
    app = typer.Typer()
    intake.register.commands.register(app)
    result = CliRunner().invoke(app, arguments)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def letters(desk: Desk, *arguments: str, **changes: str) -> dict[str, Path]:
    """The files that were printed, by name."""
    out = desk.folder / "letters"
    run(*desk.arguments("letters", out=str(out), **changes), *arguments)
    assert out.stat().st_mode & 0o777 == 0o700
    found = {path.name: path for path in sorted(out.iterdir())}
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in found.values())
    return found


def table(desk: Desk, *arguments: str) -> list[dict[str, str]]:
    out = desk.folder / "merge.csv"
    run(*desk.arguments("merge", out=str(out)), *arguments)
    assert out.stat().st_mode & 0o777 == 0o600
    with out.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file, strict=True))


def test_letters_of_all_accounts_in_one_file(desk: Desk) -> None:
    found = letters(desk)
    assert list(found) == ["letters-1-3.pdf"]
    for i, text in enumerate(pdf_texts(found["letters-1-3.pdf"])):
        assert HOLDERS[i][0] in text and number(i) in text and f"the {10 + i} votes" in text
    assert len(pdf_codes(found["letters-1-3.pdf"])) == 3


def test_a_file_each_in_both_formats(desk: Desk) -> None:
    found = letters(desk, "--per-file", "1", "--format", "pdf", "--format", "html")
    assert list(found) == ["A0.html", "A0.pdf", "A1.html", "A1.pdf", "A2.html", "A2.pdf"]
    for i in range(3):
        (code,) = html_codes(found[f"A{i}.html"].read_text())
        assert [[code]] == pdf_codes(found[f"A{i}.pdf"])
        assert code.startswith(f"{PAGE}#number=") and code.endswith(f"&weight={10 + i}")


def test_so_many_a_file(desk: Desk) -> None:
    found = letters(desk, "--per-file", "2")
    assert list(found) == ["letters-1-2.pdf", "letters-3-3.pdf"]
    assert [len(pdf_texts(path)) for path in found.values()] == [2, 1]


@given(st.integers(0, 60), st.integers(1, 70))
def test_parts_hold_every_letter_once_and_sort(accounts: int, most: int) -> None:
    to = [addressee(i) for i in range(accounts)]
    found = list(parts(to, most))
    assert [one for _, part in found for one in part] == to
    assert all(len(part) <= most for _, part in found)
    names = [name for name, _ in found]
    assert len(set(names)) == len(names) and (most == 1 or sorted(names) == names)


def test_memory_does_not_grow_with_the_letters(desk: Desk) -> None:
    def peak(letters: int) -> int:
        to = [addressee(i) for i in range(letters)]
        folder = desk.folder / f"letters-{letters}"
        folder.mkdir()
        kinds = {"pdf": write_letters, "html": write_pages}
        tracemalloc.start()
        write_files(folder, occasion(desk.manifest), to, 5, kinds, lambda: None)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(5)
    assert peak(40) < 1.3 * peak(10)


def test_progress_counts_every_letter_of_every_format(desk: Desk) -> None:
    folder, steps = desk.folder / "letters", []
    folder.mkdir()
    kinds = {"pdf": write_letters, "html": write_pages}
    to = [addressee(i) for i in range(5)]
    files = write_files(folder, occasion(desk.manifest), to, 2, kinds, lambda: steps.append(1))
    assert (files, len(steps)) == (6, 10)


def test_only_those_without_an_address_for_the_other_way(desk: Desk) -> None:
    """The issuer that sends its numbers by e-mail writes to the others."""
    found = letters(desk, "--without-email", issuer="issuer-2")
    (text,) = pdf_texts(found["letters-1-1.pdf"])
    assert "Ελένη Παππά" in text and "the one that issuer-1 sends you" in text
    assert [row["account_id"] for row in table(desk, "--without-email")] == ["A2"]


def test_a_folder_with_something_in_it_is_left_alone(desk: Desk) -> None:
    (printed,) = letters(desk).values()
    before = printed.read_bytes()
    with pytest.raises(Refused, match="letters is not empty") as caught:
        letters(desk)
    assert caught.value.reason == "duplicate" and printed.read_bytes() == before


def test_a_letter_that_fails_leaves_no_file_in_part(desk: Desk) -> None:
    folder = desk.folder / "letters"
    folder.mkdir()
    to = [addressee(0), addressee(1, name="山")]
    with pytest.raises(Refused, match="U\\+5C71"):
        write_files(folder, occasion(desk.manifest), to, 2, {"pdf": write_letters}, lambda: None)
    assert list(folder.iterdir()) == []


def test_every_address_that_cannot_be_printed_is_named_before_anything_is(tmp_path: Path) -> None:
    bad = (("山田", "1 High Street", "", "ja"), HOLDERS[1], ("Ann", "\n".join("line" for _ in range(20)), "", "en"))
    desk = Desk.laid(tmp_path, bad)
    with pytest.raises(TableError) as caught:
        letters(desk)
    assert caught.value.faults == [
        "line 2: account A0: letters in PDF print Latin, Greek and Cyrillic, which has no 山 (U+5C71), 田 (U+7530)",
        "line 4: account A2: name and address take more lines than the window of an envelope shows",
    ]
    assert not (tmp_path / "letters").exists()
    assert len(html_codes(letters(desk, "--format", "html")["letters-1-3.html"].read_text())) == 3


def test_accounts_without_a_postal_address_are_named(tmp_path: Path) -> None:
    desk = Desk.laid(tmp_path, (("Ann", "", "", "en"), HOLDERS[1]))
    printed = run(*desk.arguments("letters", out=str(tmp_path / "letters")))
    assert "the register has no postal address of A0\n" in printed and "2 letters of issuer-1" in printed


def test_numbers_of_other_accounts_are_not_printed(desk: Desk) -> None:
    desk.seal([("A0", number(0)), ("A1", number(1)), ("A7", number(2))])
    for command in ("letters", "merge"):
        with pytest.raises(Refused, match="holds the numbers of other accounts than the register") as caught:
            run(*desk.arguments(command, out=str(desk.folder / "out")))
        assert caught.value.reason == "another-register"
        assert not (desk.folder / "out").exists()


def test_numbers_that_others_can_read_are_not_printed(desk: Desk) -> None:
    (desk.folder / "numbers").chmod(0o640)
    with pytest.raises(KeyFileError, match="lets others read it"):
        letters(desk)


def test_another_key_opens_no_numbers(desk: Desk) -> None:
    new_key_file(desk.folder / "other")
    with pytest.raises(SealedError, match="the key is another one"):
        letters(desk, unlock=str(desk.folder / "other"))


def test_only_the_accounts_named(desk: Desk) -> None:
    """As after a reissue, when all others have their letter."""
    only = desk.folder / "lost"
    only.write_text("A1\n")
    found = letters(desk, "--only", str(only))
    assert number(1) in pdf_texts(found["letters-1-1.pdf"])[0] and len(found) == 1
    only.write_text("A9\n")
    with pytest.raises(TableError, match="no such account votes"):
        table(desk, "--only", str(only))


def test_only_the_accounts_issued_again(desk: Desk) -> None:
    """Of two reissues the newest: A0 was issued again before, and has its letter."""
    drawn = [(f"A{i}", number(i)) for i in range(3)]
    for command in ("letters", "merge"):
        with pytest.raises(Refused, match="none of these numbers was issued again") as caught:
            run(*desk.arguments(command, out=str(desk.folder / "none")), "--reissued")
        assert caught.value.reason == "missing-field" and not (desk.folder / "none").exists()
    desk.seal(drawn, revisions=(1, 2, 0))
    assert [row["account_id"] for row in table(desk, "--reissued")] == ["A1"]
    found = letters(desk, "--reissued")
    assert number(1) in pdf_texts(found["letters-1-1.pdf"])[0] and len(found) == 1


def test_languages_that_no_letter_is_written_in_are_said(desk: Desk) -> None:
    said = run(*desk.arguments("letters", out=str(desk.folder / "letters")))
    assert "letters are in English; by the register holders have other languages: el (1), ga (1), pl (1)" in said


def test_the_manifest_is_the_cards(desk: Desk, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    Desk.laid(other, HOLDERS[:2])
    with pytest.raises(Refused, match="this manifest has the hash") as caught:
        letters(desk, manifest=str(other / "manifest"))
    assert caught.value.reason == "another-election"


def test_a_table_to_merge(desk: Desk) -> None:
    found = table(desk)
    assert tuple(found[0]) == COLUMNS and len(found) == 3
    assert [row["control_number"] for row in found] == [number(i) for i in range(3)]
    first = found[0]
    assert [first[f"address_{i}"] for i in range(1, 9)] == ["ul. Świętokrzyska 1", "Gdańsk", "Polska"] + [""] * 5
    assert (first["name"], first["email"], first["language"]) == (HOLDERS[0][0], HOLDERS[0][2], "pl")
    assert (first["votes"], first["class"], first["voting_closes"]) == ("10", "common", "2 June 2026, 12:00 UTC")
    assert bytes.fromhex(first["fingerprint"]) == desk.manifest.hash
    assert first["link"].startswith(f"{PAGE}#number=") and first["other_sender"] == "issuer-2"


def test_a_table_is_not_overwritten(desk: Desk) -> None:
    table(desk)
    with pytest.raises(KeyFileError, match="exists already"):
        table(desk)


def test_a_long_address_loses_no_line(tmp_path: Path) -> None:
    desk = Desk.laid(tmp_path, (("Ann", "\n".join(f"line {i}" for i in range(1, 11)), "", ""),))
    assert table(desk)[0]["address_8"] == "line 8, line 9, line 10"


FORMULAS = ("=1+1", "+1", "-1", "@SUM(A1)", "\uff1dcmd", "  =HYPERLINK(\"https://evil.example\")", "=\"a\"\r\n,=2")


def test_what_looks_like_a_formula_is_text(tmp_path: Path) -> None:
    """In every column whose value somebody else wrote, also behind a separator or a quote."""
    holders = tuple((value.replace("\r\n", " "), value.replace("\r", ""), "=a@example.com", "en") for value in FORMULAS)
    for row, (name, *_) in zip(table(Desk.laid(tmp_path, holders)), holders, strict=True):
        assert row["name"] == f"'{' '.join(name.split())}" and row["email"] == "'=a@example.com"
        assert row["address_1"].startswith("'")
        assert not [value for value in row.values() if value[:1] in FORMULA and value]


@given(st.text(max_size=20))
def test_no_value_begins_like_a_formula(value: str) -> None:
    found = safe(value)
    assert found in (value, f"'{value}")
    assert not found.lstrip() or found.lstrip()[0] not in FORMULA
