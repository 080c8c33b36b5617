"""Counting rules: what totals mean. Exact integers throughout.

Majority of votes cast: For / (For + Against) compared with the threshold; abstentions and no vote have no effect.
Plurality: the n choices with most votes; a tie over the last seats is reported, not broken.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from audit.record.manifest import Contest

NOT_DECRYPTED = "not decrypted"
NOT_A_CANDIDATE = ("withhold", "against", "abstain")


def outcome(contest: Contest, totals: Mapping[str, int]) -> str | dict[str, list[str]]:
    """What the totals of a contest decide: for a majority a word, for plurality who is elected.

    `totals` holds every choice of the contest, in votes.
    """
    if contest.rule["name"] == "plurality":
        return plurality(totals, contest.rule["seats"])
    carried = majority(totals["for"], totals["against"], contest.rule)
    words = ("elected", "not elected") if contest.kind == "director" else ("passed", "not passed")
    return words[0] if carried else words[1]


def majority(in_favour: int, against: int, rule: Mapping[str, Any]) -> bool:
    """Whether For exceeds (or reaches, by the comparator) the threshold's share of For + Against; nothing cast carries
    nothing.
    """
    numerator, denominator = rule["threshold"]
    cast = in_favour + against
    if cast == 0:
        return False
    left: int = in_favour * denominator
    right: int = cast * numerator
    return left >= right if rule["comparator"] == ">=" else left > right


def plurality(totals: Mapping[str, int], seats: int) -> dict[str, list[str]]:
    """`elected`: the choices whose votes decide one of the `seats` for them; `tied`: those among whom a last seat is
    undecided.

    A choice without a vote is never elected. Both lists are in agenda order.
    """
    ranked = sorted((c for c in totals if c not in NOT_A_CANDIDATE and totals[c] > 0), key=lambda c: -totals[c])
    elected, tied = set(ranked[:seats]), set[str]()
    if len(ranked) > seats and totals[ranked[seats - 1]] == totals[ranked[seats]]:
        tied = {c for c in ranked if totals[c] == totals[ranked[seats]]}
    return {"elected": [c for c in totals if c in elected - tied], "tied": [c for c in totals if c in tied]}
