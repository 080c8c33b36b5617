"""Runs every vector under tests/vectors/record; another implementation can run the same files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from audit.protocol.refused import Refused
from tests.record.vectors import RUN, hold

FOLDER = Path(__file__).parents[1] / "vectors" / "record"
CASES = [(name, case) for name in RUN for case in json.loads((FOLDER / f"{name}.json").read_text())["cases"]]
ELECTION = json.loads((FOLDER / "elections.json").read_text())


@pytest.mark.parametrize(("name", "case"), CASES, ids=[f"{name}: {case['what']}" for name, case in CASES])
def test_vector(name: str, case: dict[str, Any]) -> None:
    if "output" in case:
        assert RUN[name](case["input"]) == case["output"]
        return
    with pytest.raises(Refused) as caught:
        RUN[name](case["input"])
    assert (caught.value.reason, caught.value.field) == (case["reason"], case["field"])


@pytest.mark.parametrize("case", ELECTION["cases"], ids=[case["what"] for case in ELECTION["cases"]])
def test_election(case: dict[str, Any]) -> None:
    expected = {name: value for name, value in case.items() if name not in ("what", "order")}
    assert hold(ELECTION["log"], case["order"], ELECTION["manifest"]) == expected


def test_every_file_is_run_and_holds_valid_and_invalid_cases() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == {*RUN, "elections"}
    for name in RUN:
        assert {"output" in case for of, case in CASES if of == name} == {True, False}
    assert {"phase" in case for case in ELECTION["cases"]} == {True, False}
