"""Whole elections drawn at random: the log adds up to what counting in the open adds up to, and it is verified."""

from __future__ import annotations

import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from audit.protocol.group import b64
from audit.protocol.refused import Refused
from audit.verify import verify_record
from tests.simulator.dice import Dice
from tests.simulator.meeting import Account, Meeting
from tests.simulator.parties import Parties, contest, plural
from tests.simulator.record import MemoryReader, files_of

Choices = dict[str, tuple[int, ...]]


def drawn_items(dice: random.Random, classes: list[str]) -> list[dict[str, Any]]:
    """One item for all classes, and up to three of any form for some."""
    items = [contest("all", classes=classes)]
    for i in range(dice.randrange(4)):
        some = sorted(dice.sample(classes, dice.randint(1, len(classes))))
        made = [
            contest(f"item-{i}", classes=some, kind="resolution"),
            plural(f"item-{i}", "choose-up-to", dice.randint(1, 3), classes=some),
            plural(f"item-{i}", "cumulative", dice.randint(1, 3), classes=some),
        ]
        items.append(dice.choice(made))
    return items


def drawn_choice(dice: random.Random, item: dict[str, Any]) -> tuple[int, ...]:
    most = item["limit"] if item["form"] == "cumulative" else 1
    a = [0] * len(item["choices"])
    for _ in range(dice.randint(0, item["limit"])):
        j = dice.randrange(len(a))
        a[j] = min(most, a[j] + 1)
    return tuple(a)


def counted_in_the_open(
    items: list[dict[str, Any]], last: dict[int, Choices], accounts: list[Account]
) -> dict[str, dict[str, int]]:
    totals: dict[str, dict[str, int]] = {}
    for item in items:
        votes = Counter(dict.fromkeys(item["choices"], 0))
        voters = [i for i in last if accounts[i].share_class in item["classes"]]
        for i in voters:
            for choice, a in zip(item["choices"], last[i][item["id"]], strict=True):
                votes[choice] += a * accounts[i].weight
        if voters:
            totals[item["id"]] = dict(votes)
    return totals


@pytest.mark.parametrize("seed", range(12))
def test_the_log_counts_as_one_would_in_the_open(seed: int) -> None:
    dice = random.Random(seed)
    classes = ["common", "preferred"][: dice.randint(1, 2)]
    holdings = {c: [int(dice.paretovariate(0.8)) for _ in range(dice.randint(1, 6))] for c in classes}
    items = drawn_items(dice, classes)
    offices = {"issuers": dice.randint(1, 2), "trustees": dice.randint(2, 4), "mixers": dice.randint(0, 3)}
    parties = Parties.drawn(Dice(seed), **offices)
    meeting = Meeting(holdings, items, seed=seed, parties=parties, minimum=1).prepared()
    last: dict[int, Choices] = {}
    revisions: dict[int, int] = {}
    for _ in range(dice.randint(0, 10)):
        i, revision = dice.randrange(len(meeting.accounts)), dice.randint(0, 4)
        account = meeting.accounts[i]
        chosen = {item["id"]: drawn_choice(dice, item) for item in items if account.share_class in item["classes"]}
        try:
            meeting.vote(account, chosen, revision, dice.choice(parties.intakes))
        except Refused as refusal:
            assert refusal.reason in ("revision-lower", "revision-repeated")
            assert revision <= revisions[i]
            continue
        assert revision > revisions.get(i, -1)
        last[i], revisions[i] = chosen, revision
    if dice.random() < 0.5:
        fields = {"detail": "", "identity": b64(dice.randbytes(32)), "intake": "intake-2", "kind": "ballot"}
        meeting.act("refusal", {**fields, "leaf": b64(dice.randbytes(32)), "reason": "bad-proof"}, parties.log[0])
    result = meeting.counted().election.result
    assert result is not None
    assert result["contests"] == counted_in_the_open(items, last, meeting.accounts)
    assert (result["ballots"], result["present"]) == (len(last), sum(meeting.accounts[i].weight for i in last))
    with ThreadPoolExecutor(1) as executor:
        report = verify_record(
            MemoryReader(files_of(meeting.entries, parties, meeting.origin)), meeting.manifest.hash, executor
        )
    assert report.mixers == tuple(signer.name for signer in parties.mixers)
    assert (report.result, report.superseded) == (result, meeting.election.ballots - len(last))
