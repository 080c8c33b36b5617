"""The demo calls a result equal only if every figure of it is the published one."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console

from infra.demo.published import published
from infra.demo.report import differences, print_result

FIGURES = published()
EQUAL: dict[str, Any] = {
    "present": FIGURES.present,
    "ballots": 400,
    "contests": FIGURES.result,
    "outcome": {n.id: "elected" if n.elected else "not elected" for n in FIGURES.nominees},
}

CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "^110,697,243 shares present": lambda r: r.update(present=r["present"] - 1),
    "^Nominee 3, abstain: counted 1, published 214228$": lambda r: r["contests"]["nominee-3"].update(abstain=1),
    "^Nominee 9, for: counted None": lambda r: r["contests"].pop("nominee-9"),
    "^Nominee 2: elected, published not elected$": lambda r: r["outcome"].update({"nominee-2": "elected"}),
    "^Nominee 1: None, published elected$": lambda r: r["outcome"].pop("nominee-1"),
}


def shown(result: dict[str, Any]) -> str:
    console = Console(record=True, width=100, force_terminal=False)
    print_result(console, result, FIGURES)
    return console.export_text()


def test_equal_figures_are_called_equal() -> None:
    assert differences(EQUAL, FIGURES) == []
    assert "Equal to the published figures, to the share." in shown(EQUAL)
    assert "Not elected: Nominee 2." in shown(EQUAL)


@pytest.mark.parametrize("sentence", CHANGES)
def test_one_figure_that_differs_is_named(sentence: str) -> None:
    result = copy.deepcopy(EQUAL)
    CHANGES[sentence](result)
    found = differences(result, FIGURES)
    assert any(re.search(sentence, line) for line in found), found
    assert "Equal to" not in shown(result)
