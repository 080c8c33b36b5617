"""The officials' word on which tally, whose ledger is lost, goes on without custodians that cannot answer any more.

It is a draft like any other, signed in turn or at once, and then a file that tally's settings name; it is never handed
in. Everything is done offline: there may be no log to read just then.
"""

from __future__ import annotations

from pathlib import Path
from time import time
from typing import Annotated

import typer

from audit.record.manifest import load_manifest
from audit.record.restart import restart_text
from infra.keys import read_signer
from tally.officials.draft import check_draft, new_draft, sign_draft, summary

Without = Annotated[list[str], typer.Option("--without", help="A custodian that need not answer.", metavar="NAME")]
DAY = 86_400
LEAST = "How many entries the log is known to have had, as far as anybody has seen."


def restart_word(
    manifest: Annotated[Path, typer.Argument(help="The signed manifest.", metavar="MANIFEST")],
    without: Without,
    out: Annotated[Path, typer.Option("--out", help="The word to write.", metavar="WORD")],
    least: Annotated[int, typer.Option("--least", help=LEAST, metavar="ENTRIES", min=0)] = 0,
    days: Annotated[int, typer.Option("--days", help="For how long it counts.", metavar="DAYS", min=1, max=30)] = 7,
    key: Annotated[list[Path] | None, typer.Option("--key", help="Sign with this official's key.")] = None,
) -> None:
    """Writes the word on which a tally that has lost its ledger goes on without these custodians, for a quorum to sign.
    """
    known, _ = load_manifest(manifest)
    signers = [read_signer(path) for path in key or []]
    entry = new_draft(out, restart_text(known, without, least, int(time()) + days * DAY))
    if signers:
        entry = sign_draft(out, signers, known)
    print("\n".join(summary(entry, check_draft(out, entry, known))))
    print(f"{out}: {known.officials.threshold} officials sign it; then `restart` in tally's settings names it")
