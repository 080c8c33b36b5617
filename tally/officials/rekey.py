"""The officials replace a key: what they sign, and the note that a new custodian is given before it is recorded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from audit.protocol.group import b64
from audit.protocol.refused import Refused
from audit.record.entries import make_text, read_text
from audit.record.rekeying import WHOSE, holders, rekeyed
from infra.card import load_card
from infra.desk import WAIT_HELP, Desk, open_desk
from infra.keys import read_signer
from tally.officials.acts import draft_or_perform


def rekey_text(desk: Desk, office: str, name: str, new: Sequence[str], to: str | None) -> bytes:
    """The text of a rekey of `name` as the log stands now; `to` is the name of who takes the place. Refused by the
    rules, before anybody signs.
    """
    held = holders(desk.manifest, office).get(name) if office in WHOSE else None
    if held is None:
        whose = WHOSE.get(office)
        text = f"{name} is not the name of {whose} of this election" if whose else f"one of {', '.join(sorted(WHOSE))}"
        raise Refused("unknown-key", text, "--name" if whose else "--office")
    body: dict[str, Any] = {
        "kind": office,
        "manifest": b64(desk.manifest.hash),
        "name": name,
        "new": list(new),
        "old": [key.vkey for key in held],
    }
    made = make_text("rekey", desk.card.origin, body | ({} if to in (None, name) else {"to": to}))
    rekeyed(desk.manifest, read_text(made), desk.election.size)
    return made


def stands(desk: Desk, office: str, name: str, new: Sequence[str], to: str | None) -> bool:
    """Whether this very rekey is recorded and counts still: the command was run before. Keys that count without one,
    as the manifest names them, are none: who hands them in again means to be rid of them.
    """
    taker = to or name
    counts = [key.vkey for key in holders(desk.manifest, office).get(taker, ())] == list(new)
    recorded = [past.rekey for past in desk.manifest.history if past.rekey is not None]
    return counts and any(
        (rekey.office, rekey.name, rekey.to) == (office, name, taker) and [key.vkey for key in rekey.new] == list(new)
        for rekey in recorded
    )


def rekey(
    election: Annotated[Path, typer.Option("--election", help="The election card.", metavar="CARD.toml")],
    office: Annotated[str, typer.Option("--office", help="Whose keys: intake, log or custodian.")],
    name: Annotated[str, typer.Option("--name", help="The name under which the old keys count.")],
    new: Annotated[list[str], typer.Option("--new", help="A new public key; each of them.", metavar="VKEY")],
    to: Annotated[str | None, typer.Option("--to", help="The name of the custodian that takes the place.")] = None,
    draft: Annotated[
        Path | None, typer.Option("--draft", help="Write a draft for others to sign.", metavar="FILE")
    ] = None,
    key: Annotated[
        list[Path] | None, typer.Option("--key", help="Sign with this key and submit; once per official.")
    ] = None,
    wait: Annotated[float | None, typer.Option("--wait", help=WAIT_HELP, metavar="SECONDS")] = None,
) -> None:
    """Replaces the keys of an intake, of the log or of a custodian, or a custodian by another one."""
    if (draft is None) == (not key):
        raise typer.BadParameter("give either --draft, for others to sign, or --key for each official who signs")
    signers = [read_signer(path) for path in key or []]
    with open_desk(load_card(election), patience=wait) as desk:
        desk.begin()
        if office in WHOSE and stands(desk, office, name, new, to):
            print("rekey is recorded already")
            return
        print(draft_or_perform(desk, lambda: rekey_text(desk, office, name, new, to), draft, signers))
