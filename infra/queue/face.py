"""What the two faces of the queue have in common: the settings each of them is given, which name its own port, its own
role in the database and its own token."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from infra.database import check_url
from infra.http import parse_listen
from infra.private import check_private

MOST_ENTRIES = 256
"""Entries in one `put`, and rows in one `take`."""


@dataclass(frozen=True)
class FaceConfig:
    """`listen`: ADDRESS:PORT; `database`: URL without password; `passfile`, `token`: files of mode 0600; `private`:
    ADDRESS:PORT of its health and figures.
    """

    listen: str
    database: str
    passfile: Path
    token: Path
    private: str | None = None

    def __post_init__(self) -> None:
        parse_listen(self.listen)
        check_private(self.private, self.listen)
        check_url(self.database)
