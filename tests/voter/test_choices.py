"""Choices in words: what a contest's form does not allow is named, and nothing is taken for a vote that is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from audit.protocol.refused import Refused
from audit.record.manifest import Contest, Manifest
from infra.config import ConfigError
from infra.table import TableError
from intake.voter.choices import of_class, read_choices, read_instructions, selection
from tests.simulator.meeting import Meeting
from tests.simulator.parties import contest, plural

CONTESTS = [
    contest("nominee-1", classes=["common", "preferred"]),
    plural("committee", "choose-up-to", 2),
    plural("board", "cumulative", 3),
]


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    return Meeting({"common": (60, 40), "preferred": (7,)}, CONTESTS).found().manifest


@pytest.fixture(scope="module")
def one(manifest: Manifest) -> dict[str, Contest]:
    return {found.id: found for found in manifest.contests}


@pytest.mark.parametrize(
    ("id", "words", "numbers"),
    [
        ("nominee-1", "for", (1, 0, 0)),
        ("nominee-1", " abstain ", (0, 0, 1)),
        ("nominee-1", "", (0, 0, 0)),
        ("committee", "ann", (1, 0, 0)),
        ("committee", "cem; ann", (1, 0, 1)),
        ("committee", " ; ", (0, 0, 0)),
        ("board", "ann=3", (3, 0, 0)),
        ("board", "cem = 1;ben=2", (0, 2, 1)),
        ("board", "ann=0", (0, 0, 0)),
    ],
)
def test_words_are_numbers(one: dict[str, Contest], id: str, words: str, numbers: tuple[int, ...]) -> None:
    assert selection(one[id], words) == numbers


@pytest.mark.parametrize(
    ("id", "words", "why"),
    [
        ("nominee-1", "For", "the choices are for, against, abstain, or nothing"),
        ("nominee-1", "withhold", "the choices are"),
        ("nominee-1", "for; against", "one choice may be named, or none"),
        ("nominee-1", "for; for", "for stands there twice"),
        ("nominee-1", "for=1", "only where they are cumulative"),
        ("committee", "ann; ben; cem", "at most 2 choices may be named"),
        ("board", "ann", "votes are given as ann=NUMBER"),
        ("board", "ann=-1", "votes are given as ann=NUMBER"),
        ("board", "ann=\u0663", "votes are given as ann=NUMBER"),
        ("board", "ann=2; ben=2", "at most 3 votes a share may be given"),
    ],
)
def test_words_that_are_no_vote(one: dict[str, Contest], id: str, words: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        selection(one[id], words)


def test_a_choices_file(tmp_path: Path, manifest: Manifest) -> None:
    path = tmp_path / "choices.toml"
    path.write_text('[choices]\nnominee-1 = "against"\nboard = "ann=1"\n')
    found = read_choices(path, manifest.contests)
    assert found == {"nominee-1": (0, 1, 0), "committee": (0, 0, 0), "board": (1, 0, 0)}


def test_a_choices_file_with_faults_names_all(tmp_path: Path, manifest: Manifest) -> None:
    path = tmp_path / "choices.toml"
    path.write_text('[choices]\nnominee-1 = "yes"\nnominee-2 = "for"\nboard = "ann=9"\n')
    with pytest.raises(Refused) as caught:
        read_choices(path, manifest.contests)
    assert [line.partition(": ")[2][:30] for line in caught.value.detail.split("\n")] == [
        "there is no contest 'nominee-2",
        "nominee-1 = 'yes': the choices",
        "board = 'ann=9': at most 3 vot",
    ]
    path.write_text('[choice]\nnominee-1 = "for"\n')
    with pytest.raises(ConfigError, match="unknown key `choice`"):
        read_choices(path, manifest.contests)


def test_a_batch_with_wrong_rows_names_all(tmp_path: Path, manifest: Manifest) -> None:
    path = tmp_path / "batch.csv"
    path.write_text("account_id,nominee-1,committee,board\nA1,for,,\nA2,yes,,ann\nA1,,,\nA3,,,\n-,,,\nA4,,,\n")
    issuers = range(len(manifest.issuers))
    numbers = {"A1": issuers, "A2": issuers, "A3": issuers[1:]}
    with pytest.raises(TableError) as caught:
        read_instructions(path, manifest, numbers)
    assert caught.value.faults == [
        "line 3, column 2 (nominee-1) = 'yes': the choices are for, against, abstain, or nothing for no vote",
        "line 3, column 4 (board) = 'ann': votes are given as ann=NUMBER",
        "line 4, column 1 (account_id) = 'A1': stands in line 2 already",
        f"line 5, column 1 (account_id) = 'A3': has {len(issuers) - 1} control numbers of {len(issuers)}",
        "line 6, column 1 (account_id) = '-': an account is 1 to 60 letters, digits, and . _ - within",
        f"line 7, column 1 (account_id) = 'A4': has 0 control numbers of {len(issuers)}",
    ]
    path.write_text("account_id,nominee-1,nominee-2\n")
    with pytest.raises(TableError, match="nominee-2': no such column"):
        read_instructions(path, manifest, numbers)


def test_a_class_votes_on_its_own_contests(manifest: Manifest) -> None:
    none = {"committee": (0, 0, 0), "board": (0, 0, 0)}
    assert of_class(manifest, {"nominee-1": (1, 0, 0), **none}, "preferred") == {"nominee-1": (1, 0, 0)}
    with pytest.raises(Refused, match="shares of class preferred do not vote on board"):
        of_class(manifest, {"nominee-1": (1, 0, 0), **none, "board": (1, 0, 0)}, "preferred")
