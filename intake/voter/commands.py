"""`psephos vote`: the reference client, for one account or for many; `counted` stands beside it."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from audit.protocol.refused import Refused
from audit.verify_report import in_shares
from infra.card import load_card
from infra.progress import bar
from intake.voter import counted_commands
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
from intake.voter.booth import Booth, History, open_booth, open_readers
from intake.voter.casting import Ballot, Caster, Tally
from intake.voter.choices import read_choices
from intake.voter.keeping import Keepsake, keep_manifest
from intake.voter.opening import Opening
from intake.voter.orders import Order, take_up
from intake.voter.weight import read_issued, weigh

OUT_HELP = "Where receipts and proofs are kept."
CHOICES_HELP = "A TOML file with a table `choices`: a word for each contest; left out means no vote on it."
WAIT_HELP = "Seconds without progress before giving up; unset, 120, and what intakes promise is waited for."
WEIGHT_HELP = "Cast nothing, but say how many votes the row of these numbers carries; the whole issued roll is read."


def register(app: typer.Typer) -> None:
    """Adds `vote` and `counted`."""
    app.command("vote")(vote)
    counted_commands.register(app)


def vote(
    election: Annotated[Path, typer.Option("--election", help="The election card.", metavar="CARD.toml")],
    numbers: Annotated[list[Path], typer.Option("--numbers", help=NUMBERS_HELP, metavar="FILE")],
    out: Annotated[Path | None, typer.Option("--out", help=OUT_HELP, metavar="DIR")] = None,
    choices: Annotated[Path | None, typer.Option("--choices", help=CHOICES_HELP, metavar="FILE.toml")] = None,
    batch: Annotated[Path | None, typer.Option("--batch", help=BATCH_HELP, metavar="FILE.csv")] = None,
    unlock: Annotated[list[Path] | None, typer.Option("--unlock", help=UNLOCK_HELP, metavar="FILE")] = None,
    check_weight: Annotated[bool, typer.Option("--check-weight", help=WEIGHT_HELP)] = False,
    concurrency: Annotated[int, typer.Option("--concurrency", help="Ballots handed in at once.", min=1, max=256)] = 8,
    wait: Annotated[float | None, typer.Option("--wait", help=WAIT_HELP)] = None,
) -> None:
    """Casts a ballot, or many, and keeps for each the proof that it is recorded. Run again after a fault, it goes on.
    """
    if check_weight:
        if not (choices is batch is out is None):
            raise typer.BadParameter("--check-weight casts nothing: of the other options it takes --numbers alone")
        show_weight(election, numbers)
        return
    if out is None:
        raise typer.BadParameter("give --out, where receipts and proofs are kept")
    if (choices is None) == (batch is None):
        raise typer.BadParameter("give either --choices, for one account, or --batch, for many")
    card = load_card(election)
    # Whatever can be wrong with the voter's own files is, before anything is waited for.
    for path in filter(None, (choices, batch)):
        path.open("rb").close()
    codes = codes_in(numbers) if batch is None else []
    tables = [] if batch is None else read_tables(numbers, locks_for(numbers, unlock or []))
    with open_booth(card, patience=wait, connections=concurrency + 1) as booth:
        manifest = booth.manifest
        warn(booth.opening)
        counted_commands.show_faults(booth.log)
        if choices is not None:
            orders = [Order(SINGLE, codes, None, read_choices(choices, manifest.contests))]
        else:
            assert batch is not None
            orders = batch_orders(manifest, tables, batch)
        keep_manifest(out, booth.opening.founding)
        begun = time.monotonic()
        tally = cast(booth, orders, out, concurrency)
        report(tally, time.monotonic() - begun, out)


def show_weight(election: Path, numbers: Sequence[Path]) -> None:
    """Prints how many votes the row of these numbers carries."""
    card, codes = load_card(election), codes_in(numbers)
    with open_readers(card) as readers:
        issued = read_issued(readers, card.manifest)
    found = weigh(issued, codes)
    votes = in_shares(found.votes, issued.election.manifest.decimals)
    row = f"row {found.row + 1} of the {found.rows} that were issued"
    print(f"{votes} votes on the roll of {found.share_class}: {row}")


def cast(booth: Booth, orders: Sequence[Order], out: Path, concurrency: int) -> Tally:
    """Casts them all, those not yet done, with progress. An order that what is kept stands in the way of has failed."""
    ballots: list[Ballot] = []
    holders, failed = find_holders(booth.opening, orders)
    kept = {order.name: Keepsake(out, order.name) for order in orders}
    begun = [holder.pseudonym.raw for name, holder in holders.items() if kept[name].any]
    # Only of what an earlier run left here: who votes for the first time need not read what others have cast.
    history = booth.history(booth.opening.place + 1, begun) if begun else History()
    for order in orders:
        if order.name not in holders:
            continue
        try:
            ballot = take_up(booth, order, holders[order.name], kept[order.name], history)
        except Refused as refusal:
            failed[order.name] = str(refusal)
        else:
            ballots += [] if ballot is None else [ballot]
    if done := len(orders) - len(ballots) - len(failed):
        print(f"{done} of {len(orders)} are recorded already; to vote again, give another --out")
    tally = Tally()
    if ballots:
        start = booth.opening.place + 1 if begun else booth.log.size
        with bar("ballots recorded", len(ballots)) as progress:
            tally = Caster(booth, start, concurrency, progress.advance).cast(ballots)
    tally.failed.update(failed)
    return tally


def report(tally: Tally, seconds: float, out: Path) -> None:
    """Prints what became of the ballots; exits 1 if any failed."""
    waits, recorded = sorted(tally.waits), len(tally.places)
    if list(tally.places) == [SINGLE]:
        print(f"recorded as entry {tally.places[SINGLE]} of the log; {Keepsake(out, SINGLE).proof} proves it: keep it")
    elif recorded:
        print(f"{recorded} ballots recorded in {seconds:.1f} s, {recorded / seconds:.1f}/s; their proofs are in {out}")
    if len(waits) > 1:
        half, most = waits[len(waits) // 2], waits[min(len(waits) - 1, len(waits) * 99 // 100)]
        print(f"from posting to proof: p50 {half:.2f} s, p99 {most:.2f} s")
    for name, others in sorted(tally.others.items()):
        shown = ", ".join(f"entry {number} (revision {entry.fields['revision']})" for number, entry in others)
        print(f"psephos: {name}: the log held other ballots of this account before: {shown}", file=sys.stderr)
    for name, why in sorted(tally.failed.items()):
        print(f"psephos: {name}: {why}", file=sys.stderr)
    if tally.failed:
        raise typer.Exit(1)


def warn(opening: Opening) -> None:
    """What a voter has to trust here beyond the rules."""
    manifest = opening.manifest
    for roll in opening.rolls.values():
        if roll.count < manifest.minimum_roll:
            text = f"the roll of {roll.share_class} has {roll.count} rows: too few to hide who votes"
            print(f"psephos: {text}", file=sys.stderr)
    if not manifest.mixers:
        who = " and ".join(key.name for key in manifest.issuers)
        print(f"psephos: the roll is not mixed: {who} can tell who votes, not what a ballot says", file=sys.stderr)
    if len(manifest.issuers) == 1:
        name = manifest.issuers[0].name
        print(f"psephos: {name} is the only issuer: it alone can vote for every account", file=sys.stderr)
