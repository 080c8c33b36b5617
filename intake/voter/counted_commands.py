"""`psephos counted`: whether what was cast here is what counts."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from infra.card import load_card
from intake.voter.accounts import (
    BATCH_HELP,
    NUMBERS_HELP,
    SINGLE,
    UNLOCK_HELP,
    batch_orders,
    codes_in,
    find_holders,
    locks_for,
    read_tables,
)
from intake.voter.booth import Booth, open_booth
from intake.voter.counted import kept_ballots, standing
from intake.voter.orders import Order

KEPT_HELP = "Where `vote` has kept what was cast; again for each folder, of whoever has voted in several."


def register(app: typer.Typer) -> None:
    """Adds `counted`."""
    app.command("counted")(counted)


def counted(
    election: Annotated[Path, typer.Option("--election", help="The election card.", metavar="CARD.toml")],
    numbers: Annotated[list[Path], typer.Option("--numbers", help=NUMBERS_HELP, metavar="FILE")],
    out: Annotated[list[Path], typer.Option("--out", help=KEPT_HELP, metavar="DIR")],
    batch: Annotated[Path | None, typer.Option("--batch", help=BATCH_HELP, metavar="FILE.csv")] = None,
    unlock: Annotated[list[Path] | None, typer.Option("--unlock", help=UNLOCK_HELP, metavar="FILE")] = None,
) -> None:
    """Says whether the ballot kept here is the one that counts; exits 1, with an alarm, if the log holds another."""
    card = load_card(election)
    codes = codes_in(numbers) if batch is None else []
    tables = [] if batch is None else read_tables(numbers, locks_for(numbers, unlock or []))
    with open_booth(card) as booth:
        orders = [Order(SINGLE, codes, None, {})] if batch is None else batch_orders(booth.manifest, tables, batch)
        wrong = check(booth, orders, out)
    if wrong:
        raise typer.Exit(1)


def check(booth: Booth, orders: Sequence[Order], out: Sequence[Path]) -> int:
    """Prints what stands of each order; of how many it is not what was cast here."""
    holders, failed = find_holders(booth.opening, orders)
    kept = {name: kept_ballots(out, name) for name in holders}
    history = booth.history(
        booth.opening.place + 1,
        {holder.pseudonym.raw for holder in holders.values()},
        {ballot.identity for ballots in kept.values() for ballot in ballots},
    )
    found = {name: standing(holder, kept[name], history) for name, holder in holders.items()}
    final = "the vote is closed, and this is final" if history.closed else "the vote is not closed yet"
    if list(found) == [SINGLE]:
        print(f"{found[SINGLE]} ({final})")
    else:
        right = sum(stands.holds for stands in found.values())
        print(f"{right} of {len(orders)}: what was cast here is what counts ({final})")
    for name, stands in found.items():
        if stands.holds:
            continue
        if name != SINGLE:
            print(f"psephos: {name}: {stands}", file=sys.stderr)
        if stands.foreign:
            print(f"psephos: {name}: {stands.alarm()}", file=sys.stderr)
    for name, why in failed.items():
        print(f"psephos: {name}: {why}", file=sys.stderr)
    return len(orders) - sum(stands.holds for stands in found.values())
