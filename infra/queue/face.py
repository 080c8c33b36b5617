"""What the two faces of the queue have in common: the settings each of them is given, which name its own port, its own
role in the database and its own tokens."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Engine, text

from infra.config import ConfigError
from infra.database import UNAVAILABLE, check_url
from infra.http import parse_listen
from infra.log import WORD
from infra.private import check_private

MOST_ENTRIES = 256
"""Entries in one `put`, and rows in one `take`."""


MOST_INTAKES = 50
"""As many as a manifest may name."""


@dataclass(frozen=True, kw_only=True)
class FaceConfig:
    """`listen`: ADDRESS:PORT; `database`: URL without password; `passfile`: a file of mode 0600; `private`:
    ADDRESS:PORT of its health and figures.
    """

    listen: str
    database: str
    passfile: Path
    private: str | None = None

    def __post_init__(self) -> None:
        parse_listen(self.listen)
        check_private(self.private, self.listen)
        check_url(self.database)


@dataclass(frozen=True, kw_only=True)
class EgressConfig(FaceConfig):
    """`token`: the file of the token that tally shows, of mode 0600."""

    token: Path


@dataclass(frozen=True, kw_only=True)
class IngressConfig(FaceConfig):
    """`intakes`: of each intake, by the name under which it is told of, the file of its token, of mode 0600. `token`,
    one for all of them, is no more.
    """

    intakes: dict[str, Path] = field(default_factory=dict)
    token: Path | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.token is not None or not self.intakes:
            do = '`intakes = { "NAME" = "TOKEN-FILE" }`, with a token of its own for each intake'
            raise ValueError(f"write {do}; one `token` for all would let any of them fill the queue for the others")
        if len(self.intakes) > MOST_INTAKES:
            raise ValueError(f"`intakes` names {MOST_INTAKES} at most")
        for name in self.intakes:
            if not WORD.fullmatch(name):
                allowed = "up to 40 lower-case letters, digits and `.:-`, for it stands in log lines"
                raise ValueError(f"key `intakes`: {name[:60]!r} is not the name of an intake: {allowed}")


def check_role(path: Path, engine: Engine, face: str, right: str) -> None:
    """ConfigError for the settings at `path` unless their role has the `right` (INSERT, DELETE) that the face needs:
    it would otherwise start, and do nothing. A database that cannot be reached is not looked at, as by `Schema.check`.
    """
    try:
        with engine.connect() as connection:
            asked = text("SELECT current_user, has_table_privilege('public.queued', :right)")
            role, may = connection.execute(asked, {"right": right}).one()
    except UNAVAILABLE:
        return
    if not may:
        do = f"give the one that `psephos schema queue` was told for --{face}"
        raise ConfigError(path, [f"key `database`: {role} is not {face}'s role, it may not {right}: {do}"])
