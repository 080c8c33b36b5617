"""`psephos privacy`: before the vote, what exact totals would give away about the votes of the holders on a register.

Offline, on whoever's machine has the register. What comes out names accounts and what they hold, so the page is written
for its owner alone; nothing of it belongs into the log.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, cast

import typer
from rich.console import Console

from audit.record.manifest import Manifest
from infra.keys import KeyFileError, write_secret
from infra.progress import bar
from intake.register.holdings import read_register
from intake.register.privacy_agenda import read_agenda
from intake.register.privacy_estimate import MOST_SEARCHED, Settings, default_pools, default_units, estimate
from intake.register.privacy_page import page
from intake.register.privacy_report import print_report, to_json
from intake.register.privacy_votes import Electorate

TURNOUTS = [20, 40, 60, 80, 100]
Percent = Annotated[
    list[int] | None,
    typer.Option("--turnout", help="Percent of the accounts that vote; may be repeated.", min=1, max=100),
]
Unit = Annotated[
    list[int] | None, typer.Option("--unit", help="Try counting in units of so many votes; may be repeated.", min=2)
]
Pool = Annotated[
    list[int] | None, typer.Option("--pool", help="Try this least number of ballots; may be repeated.", min=2)
]


def register(app: typer.Typer) -> None:
    """Adds `privacy`."""
    app.command("privacy")(privacy)


def privacy(
    holdings: Annotated[Path, typer.Argument(help="The share register.", metavar="REGISTER.csv")],
    agenda: Annotated[Path, typer.Option("--agenda", help="The agenda of the vote.", metavar="AGENDA.toml")],
    turnout: Percent = None,
    votes: Annotated[int | None, typer.Option("--votes", help="Votes to simulate at each turnout.", min=1)] = None,
    support: Annotated[float, typer.Option("--support", help="Odds of an item's first choice.", min=0, max=1)] = 0.7,
    largest: Annotated[int, typer.Option("--largest", help="How many of the largest holders to judge.", min=1)] = 10,
    unit: Unit = None,
    pool: Pool = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the simulated votes: the same gives the same.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    html: Annotated[Path | None, typer.Option("--html", help="Write a page with a plot.", metavar="FILE")] = None,
) -> None:
    """Estimates, before the vote, which votes would follow from its exact totals, and what would change that."""
    if html is not None and html.exists():
        raise KeyFileError(f"{html}: exists already and is not overwritten")
    asked = read_agenda(agenda)
    # Of the manifest only the classes are read, and no key of an election need be settled yet.
    accounts = read_register(holdings, cast("Manifest", asked))
    electorate = Electorate(tuple(accounts), asked.items)
    settings = Settings(
        turnouts=tuple(sorted(set(turnout or TURNOUTS))),
        votes=votes or default_votes(len(accounts), len(asked.items)),
        support=support,
        largest=largest,
        seed=seed,
        pools=tuple(pool or default_pools(electorate)),
        units=tuple(unit or default_units(electorate)),
    )
    with bar("simulated votes", len(settings.turnouts) * settings.votes) as progress:
        found = estimate(electorate, asked, settings, progress.advance)
    if html is not None:
        write_secret(html, page(found, asked.skipped))
    if as_json:
        print(json.dumps(to_json(found, asked.skipped)))
    else:
        print_report(Console(), found, asked.skipped)


def default_votes(accounts: int, items: int) -> int:
    """As many as take a minute or two, just below the most that are searched a few: there one costs most."""
    if accounts <= MOST_SEARCHED - 10:
        return 100
    sampled_once = accounts > MOST_SEARCHED and items == 1
    return 20 if accounts <= MOST_SEARCHED - 4 or sampled_once else 10
