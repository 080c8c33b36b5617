"""A start that waits for a custodian says for which, and why: in the log, and in the figures that `psephos services`
reads.
"""

from __future__ import annotations

import threading
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from audit.record.restart import Restart
from infra.services import written
from tally.sequencer.custodian import Custodian
from tally.sequencer.ledger import Ledger
from tally.sequencer.status import Report
from tests.sequencer.house import HostDisk, House
from tests.sequencer.test_forks import another, shows


class Pauses(Exception):
    """It would wait now."""


def begins(house: House, behind: bool = False, word: Restart | None = None) -> list[list[str]]:
    """For which custodians a start waits, as often as that changes, until it pauses or goes on."""
    told = list[list[str]]()

    def awaits(custodians: Collection[Custodian]) -> None:
        told.append([custodian.label for custodian in custodians])

    def pause() -> None:
        raise Pauses

    made = replace(house.term(*([word] if word else [])), awaits=awaits)
    try:
        made.begin(behind, pause)
    except Pauses:
        return told
    finally:
        house.hang_up(made)
    assert told[-1] == []
    return told


def test_one_that_does_not_answer(open_house: House, other_ledger: Ledger, capsys: pytest.CaptureFixture[str]) -> None:
    label = open_house.vault.urls[2].removeprefix("http://")
    after = replace(open_house, ledger=other_ledger)
    open_house.vault.down(2)
    assert begins(after) == [[label]]
    assert f'"event": "asking", "custodian": "{label}", "reason": "status-503"' in capsys.readouterr().err
    open_house.vault.up(2)
    assert begins(after) == [[]]


def test_one_that_claims_more_than_it_gives(open_house: House, capsys: pytest.CaptureFixture[str]) -> None:
    """And not those that are honest."""
    label, size = open_house.vault.urls[2].removeprefix("http://"), open_house.ledger.newest().size + 1
    shows(open_house, 2, another(open_house, size))
    assert begins(replace(open_house, mark=HostDisk()), behind=True) == [[label]]
    said = capsys.readouterr().err
    assert f'"event": "claims-more", "custodian": "{label}", "size": {size}' in said
    assert all(url.removeprefix("http://") not in said for url in open_house.vault.urls[:2])


def test_all_where_none_shows_as_much_as_the_officials_know_of(open_house: House, other_ledger: Ledger) -> None:
    size = open_house.ledger.newest().size
    word = Restart(frozenset({"custodian-c"}), size + 1, 1 << 40)
    assert len(begins(replace(open_house, ledger=other_ledger), word=word)[-1]) == 3


def test_it_is_not_ready_meanwhile(tmp_path: Path) -> None:
    custodians: Any = [SimpleNamespace(label=label) for label in ("one:1", "two:2")]
    report = Report(tmp_path / "status.json", [custodian.label for custodian in custodians])
    for awaited, reason in (((), ""), (custodians[1:], "custodian-awaited"), ((), "")):
        report.awaits(awaited)
        report.write()
        assert written("tally", tmp_path / "status.json").reason == reason
        said = f'psephos_custodian_awaited{{custodian="2"}} {float(bool(awaited))}\n'
        assert said in (tmp_path / "status.prom").read_text()


def test_of_a_turn_that_is_lost_nothing_is_awaited(open_house: House, other_ledger: Ledger) -> None:
    told, over = list[int](), threading.Event()

    def awaits(custodians: Collection[Custodian]) -> None:
        told.append(len(custodians))
        over.set()

    open_house.vault.down(2)
    made = replace(replace(open_house, ledger=other_ledger).term(), awaits=awaits)
    made.serve(over, behind=False)
    open_house.hang_up(made)
    assert told == [1, 0]
