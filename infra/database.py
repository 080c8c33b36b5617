"""How every service reaches its PostgreSQL: one engine with a small bounded pool, named after the service, logging in
with a password that only libpq reads, from a file. Statements' values are kept out of every error and log line."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Engine, create_engine
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

POOL_WAIT_SECONDS = 10
CONNECT_SECONDS = 10


def engine(url: str, passfile: Path, *, name: str, connections: int = 4) -> Engine:
    """An engine for `url` (`postgresql+psycopg://ROLE@/DATABASE?host=SOCKET_FOLDER`), logging in with `passfile`.

    `name` shows as the connection's application name; at most `connections` are open, and asking for one more waits
    10 seconds, then raises sqlalchemy.exc.TimeoutError. A connection that died while idle is replaced when taken.
    ValueError if the URL is not such a URL or holds a password.
    """
    return create_engine(
        _checked(url),
        connect_args={"passfile": str(passfile), "application_name": name, "connect_timeout": CONNECT_SECONDS},
        pool_size=connections,
        max_overflow=0,
        pool_timeout=POOL_WAIT_SECONDS,
        pool_pre_ping=True,
        # An error's text would otherwise carry the row it failed on.
        hide_parameters=True,
    )


def _checked(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ValueError("the database URL cannot be read") from None
    if parsed.drivername != "postgresql+psycopg":
        raise ValueError("the database URL must start with postgresql+psycopg://")
    if parsed.password is not None:
        raise ValueError("the database URL must not hold a password: it stands in the passfile")
    return parsed
