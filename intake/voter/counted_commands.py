"""`psephos counted`: whether what was cast here is what counts."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from audit.record.entries import Entry
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
from intake.voter.witnessed import WitnessedLog

KEPT_HELP = "Where `vote` has kept what was cast; again for every other such folder; none if nothing was cast."


def register(app: typer.Typer) -> None:
    """Adds `counted`."""
    app.command("counted")(counted)


def counted(
    election: Annotated[Path, typer.Option("--election", help="The election card.", metavar="CARD.toml")],
    numbers: Annotated[list[Path], typer.Option("--numbers", help=NUMBERS_HELP, metavar="FILE")],
    out: Annotated[list[Path] | None, typer.Option("--out", help=KEPT_HELP, metavar="DIR")] = None,
    batch: Annotated[Path | None, typer.Option("--batch", help=BATCH_HELP, metavar="FILE.csv")] = None,
    unlock: Annotated[list[Path] | None, typer.Option("--unlock", help=UNLOCK_HELP, metavar="FILE")] = None,
) -> None:
    """Says whether the ballot kept here is the one that counts; exits 1, with an alarm, if the log holds another."""
    card = load_card(election)
    codes = codes_in(numbers) if batch is None else []
    tables = [] if batch is None else read_tables(numbers, locks_for(numbers, unlock or []))
    kept = kept_ballots(out or [])
    with open_booth(card) as booth:
        orders = [Order(SINGLE, codes, None, {})] if batch is None else batch_orders(booth.manifest, tables, batch)
        wrong = check(booth, orders, kept)
    if wrong:
        raise typer.Exit(1)


def check(booth: Booth, orders: Sequence[Order], kept: Sequence[Entry]) -> int:
    """Prints what stands of each order; of how many it is not what was cast here. `kept`: all ballots that are."""
    holders, failed = find_holders(booth.opening, orders)
    for name, why in failed.items():
        print(f"psephos: {name}: {why}", file=sys.stderr)
    if not holders:
        return len(orders)
    own: dict[bytes, list[Entry]] = defaultdict(list)
    for ballot in kept:
        own[ballot.fields["pseudonym"]].append(ballot)
    wanted = {name: holder.pseudonym.raw for name, holder in holders.items()}
    identities = {ballot.identity for P in wanted.values() for ballot in own[P]}
    history = booth.history(booth.opening.place + 1, set(wanted.values()), identities)
    found = {name: standing(holder, own[wanted[name]], history) for name, holder in holders.items()}
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
    show_reading(booth.log)
    return len(orders) - sum(stands.holds for stands in found.values())


def show_reading(log: WitnessedLog) -> None:
    """Says what has been read, so that its age can be seen, and who could not be asked for more."""
    when = datetime.fromtimestamp(log.cosigned, UTC)
    print(f"as of {when:%Y-%m-%d %H:%M:%S} UTC, when the log had {log.size} entries: what came later is not looked at")
    show_faults(log)


def show_faults(log: WitnessedLog) -> None:
    """Says which custodians could not be asked last time."""
    for fault in log.faults:
        print(f"psephos: a custodian could not be asked: {fault}", file=sys.stderr)
