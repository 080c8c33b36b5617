"""An agenda file: what is wrong with it is named at once, with line, column, field and value."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.record.entries import make_text, read_text
from audit.record.manifest import parse_manifest
from infra.config import ConfigError
from tally.officials.agenda import manifest_text, template
from tally.officials.places import place_of, places, steps, value_at
from tests.officials.hall import agenda_toml
from tests.simulator.dice import Dice
from tests.simulator.parties import ORIGIN, Parties, contest, plural

ELECTION = bytes(range(16))
PARTIES = Parties.drawn(Dice(1))
CONTESTS = [contest("nominee-1"), plural("board", "cumulative", 3)]


def agenda(tmp_path: Path, *changes: tuple[str, str]) -> Path:
    """A good agenda in a file, with these texts in it replaced."""
    text = agenda_toml(PARTIES, {"common": 735}, CONTESTS)
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    path = tmp_path / "agenda.toml"
    path.write_text(text)
    return path


def faults(path: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        manifest_text(path, ELECTION)
    assert all(line.startswith(f"{path}: line ") for line in str(caught.value).split("\n"))
    return [fault.partition(": ")[2] for fault in caught.value.faults]


def test_a_good_agenda_is_a_manifest(tmp_path: Path) -> None:
    manifest = parse_manifest(read_text(manifest_text(agenda(tmp_path), ELECTION)))
    assert manifest.officials.names == ("chair", "secretary", "counsel")
    assert [found.id for found in manifest.contests] == ["nominee-1", "board"]


def test_what_it_is_mended_from_is_right_itself() -> None:
    parse_manifest(read_text(make_text("manifest", "vote.example/template", template())))


def test_two_elections_of_one_agenda_have_two_manifests(tmp_path: Path) -> None:
    assert manifest_text(agenda(tmp_path), ELECTION) != manifest_text(agenda(tmp_path), bytes(16))


def test_every_wrong_value_is_named_at_once(tmp_path: Path) -> None:
    path = agenda(
        tmp_path,
        ('kind = "annual"', 'kind = "yearly"'),
        ("min = 8", 'min = "8"'),
        ('id = "nominee-1"', 'id = "Nominee 1"'),
        ("seats = 2", "seats = 0"),
        ("votes = 735", "votes = 1.5"),
        ('comparator = ">", ', ""),
    )
    assert faults(path) == [
        "batch.min = '8': expected an integer, found a string",
        "classes[0].votes = 1.5: expected an integer, found a fraction",
        "contests[0].id = 'Nominee 1': must match [a-z0-9][a-z0-9-]*",
        "contests[0].rule.comparator: this field is required",
        "contests[1].rule.seats = 0: must be from 1 to 1000",
        "meeting.kind = 'yearly': must be one of annual, special",
    ]


def test_what_values_mean_together_is_named_at_once_too(tmp_path: Path) -> None:
    path = agenda(
        tmp_path,
        ('classes = ["common"]', 'classes = ["preferred"]'),
        ("limit = 3", "limit = 1, extra-votes = 1"),
    )
    assert faults(path) == [
        "contests[0].classes[0] = 'preferred': there is no class preferred",
        "contests[1].extra-votes = 1: no such field is known here",
    ]
    path = agenda(tmp_path, ('classes = ["common"]', 'classes = ["preferred"]'), ("seats = 2", "seats = 9"))
    assert faults(path) == [
        "contests[0].classes[0] = 'preferred': there is no class preferred",
        "contests[1].rule.seats = 9: more seats than choices",
    ]


def test_forms_and_meanings_are_named_at_once(tmp_path: Path) -> None:
    path = agenda(
        tmp_path,
        *[("threshold = 2", "threshold = 5")] * 3,
        ('choices = ["for", "against", "abstain"]', 'choices = ["for", "against", "against"]'),
        ('id = "board"', 'id = "nominee-1"'),
        ('kind = "annual"', 'kind = "yearly"'),
        ("min = 8", 'min = "8"'),
        ("votes = 735", "votes = -1"),
    )
    assert sorted(faults(path)) == [
        "batch.min = '8': expected an integer, found a string",
        "classes[0].votes = -1: must be from 1 to 1099511627775",
        "contests[0].choices[2] = 'against': stands in this list twice",
        "contests[1] = {id = 'nominee-1', ...}: stands in this list twice",
        "custodians.threshold = 5: 5 must sign, but there are 3 keys",
        "meeting.kind = 'yearly': must be one of annual, special",
        "officials.threshold = 5: 5 must sign, but there are 3 keys",
        "trustees.threshold = 5: 5 must sign, but there are 3 keys",
    ]


def test_what_follows_from_a_mended_value_is_not_said(tmp_path: Path) -> None:
    """Two wrong choices become two right ones, which are alike; a class that lost its name has no contest."""
    path = agenda(tmp_path, ('"against", "abstain"', '"A", "B"'), ('id = "common"', 'id = "Common"'))
    assert sorted(fault.partition(" = ")[0] for fault in faults(path)) == [
        "classes[0].id",
        "contests[0].choices[1]",
        "contests[0].choices[2]",
    ]


def test_a_field_left_out_is_said_to_be(tmp_path: Path) -> None:
    path = agenda(tmp_path, (f"origin = {json.dumps(ORIGIN)}", ""))
    assert faults(path) == ["origin: this field is required"]


def test_the_column_is_that_of_the_value_at_fault(tmp_path: Path) -> None:
    path = agenda(tmp_path, ('"against", "abstain"', '"against", "against"'))
    (line,) = [n for n, line in enumerate(path.read_text().split("\n"), 1) if line.startswith("contests")]
    column = path.read_text().split("\n")[line - 1].rindex('"against"') + 1
    with pytest.raises(ConfigError, match=rf"line {line}, column {column}: contests\[0\]\.choices\[2\] = 'against'"):
        manifest_text(path, ELECTION)


def test_an_origin_that_is_none(tmp_path: Path) -> None:
    path = agenda(tmp_path, ("vote.example/annual-2026", "Vote example"), ("min = 8", "min = 0"))
    assert [fault.partition(" = ")[0] for fault in faults(path)] == ["origin", "batch.min"]


def test_a_file_that_is_no_toml(tmp_path: Path) -> None:
    path = tmp_path / "agenda.toml"
    path.write_text("origin = ")
    with pytest.raises(ConfigError, match="is not TOML"):
        manifest_text(path, ELECTION)


TEXT = '''origin = "x"
text = """
title = "no key"
"""
[meeting]
  title = "a"
[[contests]]
id = "one"
choices = [
  "for",
]
[contests.rule]
name = "x"
[[contests]]
"id" = "two"
'''


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("origin", (1, 1)),
        ("title", (1, 1)),
        ("meeting", (5, 1)),
        ("meeting.title", (6, 3)),
        ("contests[0].choices", (9, 1)),
        ("contests[0].choices[0]", (10, 3)),
        ("contests[0].choices[1]", (9, 1)),
        ("contests[0].rule.name", (13, 1)),
        ("contests[0].rule.seats", (12, 1)),
        ("contests[1].id", (15, 1)),
        ("contests[7]", (1, 1)),
    ],
)
def test_where_a_value_stands(path: str, place: tuple[int, int]) -> None:
    assert place_of(places(TEXT), path) == place


@given(st.text(max_size=200))
def test_any_text_has_places(text: str) -> None:
    assert place_of(places(text), "contests[0].id") >= (1, 1)


def test_a_path_is_its_steps() -> None:
    assert steps("contests[12].rule.threshold[0]") == ["contests", 12, "rule", "threshold", 0]
    assert value_at({"a": [{"b": "c"}]}, "a[0].b") == "'c'"
    assert value_at({"a": []}, "a[0].b") is None
