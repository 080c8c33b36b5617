"""Runs every vector under tests/vectors/wire; another implementation can run the same files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from audit.protocol.refused import Refused
from tests.wire.vectors import RUN

FOLDER = Path(__file__).parents[1] / "vectors" / "wire"
CASES = [(name, case) for name in RUN for case in json.loads((FOLDER / f"{name}.json").read_text())["cases"]]


@pytest.mark.parametrize(("name", "case"), CASES, ids=[f"{name}: {case['what']}" for name, case in CASES])
def test_vector(name: str, case: dict[str, Any]) -> None:
    raw = bytes.fromhex(case["input"])
    if "output" in case:
        assert RUN[name](raw) == case["output"]
        return
    with pytest.raises(Refused) as caught:
        RUN[name](raw)
    assert caught.value.reason == case["reason"]


def test_every_file_is_run_and_holds_valid_and_invalid_cases() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == set(RUN)
    for name in RUN:
        assert {"output" in case for of, case in CASES if of == name} == {True, False}
