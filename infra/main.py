"""Where the `psephos` command starts. Loading all that it can do takes a second, and whoever stops it in that second is
told no more than afterwards: nothing.
"""

from __future__ import annotations

import sys

INTERRUPTED = 130
"""As a shell says it of a command that SIGINT has ended."""


def main() -> None:
    """Loads and runs the command line; exits as `infra.commands.main` does, or 130 if it is interrupted."""
    try:
        # Loaded within, so that no moment is left in which an interruption would be a traceback.
        from infra import commands

        commands.main()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
