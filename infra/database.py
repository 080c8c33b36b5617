"""How every service reaches its PostgreSQL: one engine with a small bounded pool, named after the service, logging in
with a password that only libpq reads, from a file. Statements' values are kept out of every error and log line.

A name of no schema is PostgreSQL's own, for a service: who owns the database could otherwise answer in its place, by a
table, a function or an operator of his own that is found first, or fits the arguments better.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.engine.interfaces import ExceptionContext
from sqlalchemy.exc import ArgumentError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from infra.keys import read_secret
from infra.log import Log, Seldom, failure, word

_log = Log("infra.database", database_unavailable=("database", "cause"))

UNAVAILABLE = (OperationalError, PoolTimeout)
"""Raised while the database cannot be used."""
RETRY_SECONDS = 1.0
"""Between two tries of a service whose database is away."""
SAID_AGAIN_SECONDS = 10

# What libpq and the server say, in no SQLSTATE, when there is no connection at all.
CAUSES = (
    ("password authentication failed", "wrong-password"),
    ("no password supplied", "no-password"),
    ("no pg_hba.conf entry", "not-let-in"),
    ('database "', "no-such-database"),
    ('role "', "no-such-role"),
    ("resolve host", "unknown-host"),
    ("translate host name", "unknown-host"),
    ("No such file or directory", "no-server-there"),
    ("Connection refused", "no-server-there"),
    ("timeout", "no-answer"),
)
POOL_WAIT_SECONDS = 10
CONNECT_SECONDS = 10
NAMESPACE = "public"
"""The schema of all tables."""
SEARCHED = "pg_catalog,pg_temp"
"""Where a service's connection looks for names. Unless it is named, `pg_temp` comes first."""
# What a connection begins with wins over what the database or the role is set to. That a backslash in a string stands
# for itself is one of these settings.
_SERVICE = f"-c search_path={SEARCHED} -c standard_conforming_strings=on"
# What is made is made in the first; what is looked for is looked for in PostgreSQL's own before.
_OWNER = f"-c search_path={NAMESPACE},pg_temp"


def engine(url: str, passfile: Path, *, name: str, connections: int = 4, owner: bool = False) -> Engine:
    """An engine for `url` (`postgresql+psycopg://ROLE@/DATABASE?host=SOCKET_FOLDER`), logging in with `passfile`.

    `name` shows as the connection's application name; at most `connections` are open, and asking for one more waits
    10 seconds, then raises sqlalchemy.exc.TimeoutError. A connection that died while idle is replaced when taken. That
    the database cannot be reached is logged, with the reason, however often it is tried. Tables are those of the schema
    `public`; a statement in words says so, but for the `owner`, who makes them.
    NoDatabaseUrl as `check_url`; KeyFileError if the passfile is not there, or open to others: libpq would pass over it
    without a word.
    """
    parsed = check_url(url)
    read_secret(passfile)
    made = create_engine(
        parsed,
        connect_args={
            "passfile": str(passfile),
            "application_name": name,
            "connect_timeout": CONNECT_SECONDS,
            "options": _OWNER if owner else _SERVICE,
        },
        execution_options={"schema_translate_map": {None: NAMESPACE}},
        pool_size=connections,
        max_overflow=0,
        pool_timeout=POOL_WAIT_SECONDS,
        pool_pre_ping=True,
        # An error's text would otherwise carry the row it failed on.
        hide_parameters=True,
    )
    event.listen(made, "handle_error", _teller(word(parsed.database or "")))
    return made


def cause(error: BaseException) -> str:
    """Why the database cannot be used, as a word: from the SQLSTATE, or from what libpq says where there is none."""
    state = getattr(error, "sqlstate", None)
    if state:
        return f"sqlstate-{word(state)}"
    text = str(error)
    return next((cause for said, cause in CAUSES if said in text), "no-connection")


def tell(error: BaseException) -> None:
    """Logs what ended a try, for who goes on trying: all but what an engine has logged already."""
    if not isinstance(error, OperationalError):
        failure(error)


def _teller(database: str) -> Callable[[ExceptionContext], None]:
    seldom = Seldom(SAID_AGAIN_SECONDS)

    def note(context: ExceptionContext) -> None:
        if isinstance(context.sqlalchemy_exception, OperationalError):
            why = cause(context.original_exception)
            if seldom.due(why):
                _log.error("database-unavailable", database=database, cause=why)

    return note


class NoDatabaseUrl(ValueError):
    """Text that is not the URL of a database; the message does not repeat it, for a password may stand in it."""


def check_url(url: str) -> URL:
    """The URL of a database, parsed. NoDatabaseUrl if it is of another kind, or holds a password or `options`, which
    would be passed over: a connection begins with its own.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise NoDatabaseUrl("the database URL cannot be read") from None
    if parsed.drivername != "postgresql+psycopg":
        raise NoDatabaseUrl("the database URL must start with postgresql+psycopg://")
    if parsed.password is not None:
        raise NoDatabaseUrl("the database URL must not hold a password: it stands in the passfile")
    if "options" in parsed.query:
        raise NoDatabaseUrl("the database URL must not hold `options`: set them by ALTER ROLE ... SET")
    return parsed
