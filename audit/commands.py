"""The auditor's commands. They need no key, no account and no service of the election: a log, or a copy of one, is enough."""

from __future__ import annotations

import typer

from audit import receipts, verify


def register(app: typer.Typer) -> None:
    """Adds `verify` and `verify-receipt`."""
    verify.register(app)
    receipts.register(app)
