"""`psephos trustee backup` and `psephos trustee restore`: a trustee's folder copied, sealed, and put back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from infra.card import load_card
from infra.desk import open_desk
from infra.keys import read_signer
from infra.sealed import lock_for
from tally.officials import share_copies
from tally.officials.draft import expect_free

Unlock = Annotated[
    Path | None,
    typer.Option("--unlock", help="A file with the passphrase or key; asked for otherwise.", metavar="FILE"),
]
Key = Annotated[Path, typer.Option("--key", help="The trustee's private key, which no copy holds.", metavar="FILE")]


def backup(
    state: Annotated[Path, typer.Option("--state", help="The trustee's folder.", metavar="DIR")],
    key: Key,
    out: Annotated[Path, typer.Option("--out", help="The sealed copy to write.", metavar="FILE")],
    unlock: Unlock = None,
) -> None:
    """Copies a trustee's folder to a sealed file, of use to nobody without its passphrase or key file."""
    expect_free(out)
    copy = share_copies.back_up(state, read_signer(key).name, out, lock_for(out, unlock))
    share = "with" if "share" in copy.files else "without"
    print(f"{out}: {copy.trustee}, attempt {copy.attempt} at the key, {share} its share of it")


def restore(
    copy: Annotated[Path, typer.Argument(help="A sealed copy.", metavar="COPY")],
    election: Annotated[Path, typer.Option("--election", help="The election card.", metavar="CARD.toml")],
    key: Key,
    state: Annotated[Path, typer.Option("--state", help="The folder to make.", metavar="DIR")],
    unlock: Unlock = None,
    wait: Annotated[float, typer.Option("--wait", help="Seconds to wait for the log.", metavar="SECONDS")] = 60,
) -> None:
    """Puts a trustee's folder back, if the copy is of this election, this trustee and the key that the log shows."""
    held, name = share_copies.open_copy(copy, lock_for(copy, unlock)), read_signer(key).name
    with open_desk(load_card(election), patience=wait) as desk:
        desk.begin()
        share_copies.check_copy(held, copy, desk.card.manifest, name, desk.election.ceremony)
        answered = name in desk.election.shares
    share_copies.restore(held, state)
    print(f"{state}: {name}, attempt {held.attempt} at the key")
    if answered:
        print(f"{name} has decrypted already: the log holds its answer, and it gives no other")
