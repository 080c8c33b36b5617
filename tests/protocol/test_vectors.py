"""Runs every vector under tests/vectors/protocol; another implementation of the protocol can run the same files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from audit.protocol.canonical import canonical
from audit.protocol.group import G, hash_to_element, parse_element, sum_elements
from audit.protocol.refused import Refused
from tests.protocol.vectors import RUN

FOLDER = Path(__file__).parents[1] / "vectors" / "protocol"
RFC9496 = json.loads((FOLDER / "rfc9496.json").read_text())
CASES = [(name, case) for name in RUN for case in json.loads((FOLDER / f"{name}.json").read_text())["cases"]]


@pytest.mark.parametrize(("name", "case"), CASES, ids=[f"{name}: {case['what']}" for name, case in CASES])
def test_vector(name: str, case: dict[str, Any]) -> None:
    if "output" in case:
        assert RUN[name](case["input"]) == case["output"]
        return
    with pytest.raises(Refused) as caught:
        RUN[name](case["input"])
    assert (caught.value.reason, caught.value.field) == (case["reason"], case["field"])


def test_every_file_is_run_and_holds_valid_and_invalid_cases() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == {*RUN, "rfc9496"}
    for name in RUN:
        kinds = {"output" in case for of, case in CASES if of == name}
        # What is hashed has no invalid form.
        assert kinds == ({True} if name in ("hashes", "transcripts") else {True, False}), name


def test_rfc_9496_multiples_of_the_generator() -> None:
    for n, encoding in enumerate(RFC9496["multiples"]):
        P = parse_element(bytes.fromhex(encoding))
        assert n * G == P == sum_elements([G] * n)


@pytest.mark.parametrize("case", RFC9496["invalid"], ids=lambda case: f"{case['what']}: {case['encoding'][:8]}")
def test_rfc_9496_invalid_encodings(case: dict[str, str]) -> None:
    with pytest.raises(Refused) as caught:
        parse_element(bytes.fromhex(case["encoding"]))
    assert caught.value.reason == case["reason"]


@pytest.mark.parametrize("case", RFC9496["derived"], ids=lambda case: case["uniform"][:8])
def test_rfc_9496_derived_elements(case: dict[str, str]) -> None:
    assert hash_to_element(bytes.fromhex(case["uniform"])).raw.hex() == case["element"]


def test_rfc_8785_sorts_and_escapes() -> None:
    """Section 3.2.3 of the RFC, without the names outside ASCII that are refused here."""
    value = {"1": "One", "\r": "Carriage Return", "</script>": "Browser Challenge"}
    assert canonical(value) == b'{"\\r":"Carriage Return","1":"One","</script>":"Browser Challenge"}'
