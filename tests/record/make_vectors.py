"""Writes tests/vectors/record anew: `python -m tests.record.make_vectors`. What they expect is to be read by people.

The seeds are fixed, but shares are sealed with fresh keys and so each run writes another election.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from audit.protocol.group import G, b64
from audit.protocol.refused import Refused
from audit.record.chunks import whole_hash
from audit.record.entries import parse_entry, seal
from tests.record.test_chunks import CHANGES, HEAD
from tests.record.test_entries import SIGNERS, TEXT, WRONG, raw_of
from tests.record.test_manifest import WRONG as WRONG_MANIFESTS
from tests.record.test_manifest import changed, note
from tests.record.vectors import RUN, hold
from tests.simulator.dice import Dice
from tests.simulator.meeting import Meeting
from tests.simulator.mixers import swapped, told
from tests.simulator.parties import Parties

FOLDER = Path(__file__).parents[1] / "vectors" / "record"
Case = dict[str, Any]
FEW = (
    "2^40 votes",
    "a class that is not there",
    "a cosignature key for a trustee",
    "a field left out",
    "a majority of more than all",
    "a mixer twice",
    "a quorum of none",
    "an official is a trustee",
    "another key id",
    "no decimals said twice",
    "t beyond the trustees",
    "two units",
)
"""Of what is wrong with a manifest, what the vectors show: by name, so that one case more changes none of them."""


def case(name: str, what: str, given: Any) -> Case:
    """The case with what this implementation says now, to be read before it is committed."""
    try:
        return {"what": what, "input": given, "output": RUN[name](given)}
    except Refused as refusal:
        return {"what": what, "input": given, "reason": refusal.reason, "field": refusal.field}


def entries() -> list[Case]:
    good = [("one line", raw_of()), ("three lines", raw_of(json.loads(TEXT.split(b"\n")[2]), *SIGNERS))]
    wrong = [(what, seal(text, SIGNERS[:1])) for what, (text, _) in sorted(WRONG.items())]
    lines = raw_of(json.loads(TEXT.split(b"\n")[2]), *SIGNERS[:2])
    text, separator, signed = lines.rpartition(b"\n\n")
    head, (first, second) = text + separator, signed.splitlines(keepends=True)
    wrong += [("lines in another order", head + second + first), ("no line", TEXT)]
    return [case("entries", what, raw.decode()) for what, raw in good + wrong]


def manifests() -> list[Case]:
    meeting = Meeting()
    cases = [("as it should be", note(meeting, meeting.body))]
    cases += [(what, note(*changed(WRONG_MANIFESTS[what][0]))) for what in FEW]
    return [case("manifests", what, raw.decode()) for what, raw in cases]


def chunks() -> list[Case]:
    """Three chunks of a row each, and of four rows, cut elsewhere."""
    rows: list[Case] = [{"K": letter, "n": n} for n, letter in enumerate("abcd")]

    def cut(*ends: int) -> list[Case]:
        starts = (0, *ends[:-1])
        whole = b64(whole_hash(HEAD, rows[: ends[-1]]))
        parts = [{"hash": whole, "index": i, "of": len(ends)} for i in range(len(ends))]
        return [
            {**HEAD, "first": start, "part": part, "rows": rows[start:end]}
            for start, end, part in zip(starts, ends, parts, strict=True)
        ]

    three = cut(1, 2, 3)
    good = {"one chunk": cut(4), "three chunks": three, "in another order": three[::-1], "cut elsewhere": cut(3, 4)}
    cases = [case("chunks", what, bodies) for what, bodies in good.items()]
    for what, (change, _) in sorted(CHANGES.items()):
        bodies = copy.deepcopy(three)
        change(bodies)
        cases.append(case("chunks", what, bodies))
    cases.append(case("chunks", "a chunk twice", [*three, three[1]]))
    cases.append(case("chunks", "a chunk left out", three[:2]))
    cases.append(case("chunks", "none", []))
    cases.append(case("chunks", "chunks of two wholes", [three[0], cut(1, 2, 4)[1], three[2]]))
    longer = {**three[1], "rows": rows[1:3]}
    cases.append(case("chunks", "a row more than there is room for", [three[0], longer, three[2]]))
    return cases


def elections() -> list[Case]:
    meeting = Meeting(parties=Parties.drawn(Dice(1), mixers=2)).prepared()
    for account, choice in zip(meeting.accounts, ((1, 0, 0), (0, 1, 0), (0, 0, 0)), strict=True):
        meeting.vote(account, {"nominee-1": choice})
    meeting.vote(meeting.accounts[0], {"nominee-1": (0, 0, 1)}, revision=1)
    meeting.counted()
    log = [raw.decode() for raw in meeting.entries]
    at = {parse_entry(raw).kind: i for i, raw in reversed(list(enumerate(meeting.entries)))}
    changes: dict[str, Callable[[list[str]], object]] = {
        "the whole election": lambda log: None,
        "under way": lambda log: log.__delitem__(slice(at["closing"], None)),
        "without the manifest": lambda log: log.pop(0),
        "a ballot removed": lambda log: log.pop(at["ballot"]),
        "a ballot twice": lambda log: log.insert(at["closing"], log[at["ballot"]]),
        "a lower revision later": lambda log: log.insert(at["ballot"], log.pop(at["closing"] - 1)),
        "a ballot after the close": lambda log: log.insert(at["close"] + 1, log.pop(at["ballot"])),
        "no closing": lambda log: log.pop(at["closing"]),
        "a roll not countersigned": lambda log: log.pop(at["roll-signed"]),
        "mixed before it is countersigned": lambda log: log.insert(at["roll-signed"], log.pop(at["mix"])),
        "one mixer has mixed": lambda log: log.pop(at["mix"] + 1),
        "the first mixer left out": lambda log: log.pop(at["mix"]),
        "mixed twice by one": lambda log: log.insert(at["mix"] + 1, log[at["mix"]]),
        "two mixes swapped": lambda log: swap(log, at["mix"], at["mix"] + 1),
        "mixed after the opening": lambda log: log.insert(at["open"], log.pop(at["open"] - 1)),
        "one trustee has answered": lambda log: log.pop(at["decrypt"]),
        "opened twice": lambda log: log.insert(at["open"], log[at["open"]]),
        "two ballots swapped": lambda log: swap(log, at["ballot"], at["ballot"] + 1),
    }
    other = {kind: len(log) + n for n, kind in enumerate(("mix", "open"))}
    changes |= {
        "a mix that is not sorted": lambda log: log.__setitem__(at["mix"], str(other["mix"])),
        "an opening with another generator": lambda log: log.__setitem__(at["open"], str(other["open"])),
    }
    made: list[Case] = []
    for what, change in changes.items():
        order = [str(i) for i in range(len(log))]
        change(order)
        made.append({"what": what, "order": [int(i) for i in order]})
    log += [unsorted(meeting, at["mix"]).decode(), opened_otherwise(meeting, at["open"]).decode()]
    shared = {"manifest": meeting.hash, "log": log}
    return [{**shared, "cases": [{**one, **hold(log, one["order"], meeting.hash)} for one in made]}]


def unsorted(meeting: Meeting, place: int) -> bytes:
    """The mix at this place with its first two rows exchanged."""
    (body,) = told([parse_entry(meeting.entries[place]).body], swapped)
    return meeting.signed("mix", body, meeting.parties.mixers[0])


def opened_otherwise(meeting: Meeting, place: int) -> bytes:
    """The opening at this place with another generator for a roll."""
    body = copy.deepcopy(parse_entry(meeting.entries[place]).body)
    body["rolls"]["common"]["generator"] = b64(G.raw)
    return meeting.signed("open", body, *meeting.parties.officials[:2])


def swap(log: list[str], i: int, j: int) -> None:
    log[i], log[j] = log[j], log[i]


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    about = {
        "entries": "Whole entries, as notes. Only syntax is judged, not who signed. `output` is kind and identity.",
        "manifests": "Whole manifests, as notes; their signatures are not judged here. `output` is the hash.",
        "chunks": "The bodies of chunks in the order in which they came. `output` is what they are together.",
    }
    for name, make in (("entries", entries), ("manifests", manifests), ("chunks", chunks)):
        write(name, {"about": about[name], "cases": make()})
    (election,) = elections()
    said = "The log of an election. A case is an order of its entries: how it ends, or which entry is refused and why."
    write("elections", {"about": f"{said} Its last two entries are false.", **election})


def write(name: str, content: Case) -> None:
    text = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=True)
    (FOLDER / f"{name}.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
