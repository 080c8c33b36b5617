"""An election from agenda to certificate, by the commands that people run."""

from __future__ import annotations

import json
from pathlib import Path

from audit.receipts import Recorded, open_kept
from tests.officials.clients import Clients
from tests.officials.hall import Hall
from tests.simulator.parties import contest, plural

HOLDINGS = {"A1": ("common", 5), "A2": ("common", 30), "A3": ("common", 700), "A4": ("common", 11)}


def test_a_whole_election(hall: Hall, tmp_path: Path) -> None:
    contests = [contest("nominee-1"), plural("committee", "choose-up-to", 2), plural("board", "cumulative", 2)]
    clients = Clients(hall, HOLDINGS, contests).opened()
    rows = {
        "A1": ("for", "ann; cem", "ann=2"),
        "A2": ("against", "", "ann=1; ben=1"),
        "A3": ("", "ben", "cem=1"),
    }
    batch = clients.batch(rows, contests=("nominee-1", "committee", "board"))
    said = clients.run(*clients.vote_args(batch, tmp_path / "receipts"))
    assert "3 ballots recorded in " in said
    for account in rows:
        shown = open_kept((tmp_path / "receipts" / f"{account}.tlog-proof").read_bytes(), hall.election.manifest)
        assert isinstance(shown, Recorded) and shown.entry.kind == "ballot"
    clients.closed()
    for trustee in hall.parties.trustees[:2]:
        clients.trustee("decrypt", trustee)
    clients.act("certify", "--result", tmp_path / "result.json")
    assert json.loads((tmp_path / "result.json").read_text()) == {
        "ballots": 3,
        "contests": {
            "board": {"ann": 10 + 30, "ben": 30, "cem": 700},
            "committee": {"ann": 5, "ben": 700, "cem": 5},
            "nominee-1": {"abstain": 0, "against": 30, "for": 5},
        },
        "outcome": {
            "board": {"elected": ["ann", "cem"], "tied": []},
            "committee": {"elected": ["ben"], "tied": ["ann", "cem"]},
            "nominee-1": "not elected",
        },
        "present": 735,
    }
    assert hall.election.phase == "certified"
