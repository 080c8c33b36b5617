"""The journal of e-mails: what a crash leaves in it, whose it is, and how fast messages follow one another."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.protocol.refused import Refused
from infra.keys import KeyFileError
from intake.register.letters_occasion import Occasion
from intake.register.mail_journal import Journal, State, open_journal, tag
from intake.register.mail_message import mailbox
from intake.register.mail_sending import Sending
from intake.register.mail_server import Dropped, NotTaken, Unanswered
from tests.register.paper import addressee

HASH = bytes(range(32))
CODE = "0" * 25


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "journal"
    with open_journal(path, HASH, "issuer-2") as journal:
        journal.note("A0", CODE, State.HANDED, "<0@x>")
        journal.note("A0", CODE, State.SENT, "<0@x>")
        journal.note("A1", CODE, State.HANDED, "<1@x>")
    return path


def states(path: Path) -> dict[str, State]:
    with open_journal(path, HASH, "issuer-2") as journal:
        return {account: mark.state for account, mark in journal.marks.items()}


def test_the_newest_line_counts(path: Path) -> None:
    assert states(path) == {"A0": State.SENT, "A1": State.HANDED}
    with open_journal(path, HASH, "issuer-2") as journal:
        mark = journal.of("A1", CODE)
        assert mark is not None and mark.message == "<1@x>"
        assert journal.of("A1", "1" * 25) is None and journal.of("A9", CODE) is None


def test_a_line_cut_short_never_was(path: Path) -> None:
    """At every byte of it: nothing had begun that it announced."""
    whole = path.read_bytes()
    last = whole[:-1].rfind(b"\n") + 1
    for end in range(last, len(whole)):
        path.write_bytes(whole[:end])
        assert states(path) == {"A0": State.SENT}
        assert path.read_bytes() == whole[:last]
    with open_journal(path, HASH, "issuer-2") as journal:
        journal.note("A1", CODE, State.SENT, "<1@x>")
    assert states(path) == {"A0": State.SENT, "A1": State.SENT}


def test_an_empty_file_is_begun(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    path.touch(mode=0o600)
    assert states(path) == {}
    path.write_bytes(path.read_bytes()[:10])
    assert states(path) == {}


@pytest.mark.parametrize(("manifest", "issuer"), [(bytes(32), "issuer-2"), (HASH, "issuer-1")])
def test_another_elections_or_issuers(path: Path, manifest: bytes, issuer: str) -> None:
    with pytest.raises(Refused) as caught, open_journal(path, manifest, issuer):
        pass
    assert caught.value.reason == "another-election"


GOOD = {"account": "A2", "message": "<2@x>", "number": tag(CODE), "state": "sent"}


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        json.dumps({**GOOD, "state": "lost"}).encode(),
        json.dumps({**GOOD, "more": ""}).encode(),
        json.dumps({**GOOD, "account": 2}).encode(),
        json.dumps({name: value for name, value in GOOD.items() if name != "number"}).encode(),
    ],
)
def test_a_line_that_is_none(path: Path, line: bytes) -> None:
    """Nothing is sent by a journal that cannot be read: it could be sent twice."""
    path.write_bytes(path.read_bytes() + line + b"\n")
    with pytest.raises(Refused, match="journal, line 5: is no line of a journal") as caught:
        states(path)
    assert caught.value.reason == "syntax"


def test_one_run_at_a_time(path: Path) -> None:
    refused = pytest.raises(Refused, match="another run is sending")
    with open_journal(path, HASH, "issuer-2"), refused as caught, open_journal(path, HASH, "issuer-2"):
        pass
    assert caught.value.reason == "duplicate" and len(states(path)) == 2


def test_a_journal_that_others_can_read(path: Path) -> None:
    path.chmod(0o644)
    with pytest.raises(KeyFileError, match="must have mode 0600"):
        states(path)


def test_a_journal_that_cannot_be_written_sends_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    server = Server()
    with open_journal(path, HASH, "issuer-2") as journal:
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            sending(server, journal).one(addressee(1))
    assert server.taken == []


class Server:
    """In place of the mail server: does for each message what it is told, in turn, then takes all."""

    where = "mail.example:587"

    def __init__(self, *does: Exception | tuple[str, Exception]) -> None:
        self.does: Iterator[Any] = iter(does)
        self.taken: list[str] = []

    def send(self, sender: str, to: str, message: Any, handing: Any) -> None:
        what = next(self.does, None)
        if isinstance(what, Exception):
            raise what
        handing()
        self.taken.append(to)
        if what is not None:
            raise what[1]

    def close(self) -> None:
        pass


def sending(server: Server, journal: Journal, every: float = 0, time: list[float] | None = None) -> Sending:
    passed = time if time is not None else [0.0]

    def sleep(seconds: float) -> None:
        passed[0] += seconds

    occasion = Occasion(HASH, "Example plc", "Annual meeting", "Us", "Us", "", "", "", "", "https://x.example/", 0)
    ids = iter(range(1_000))
    return Sending(
        server=server,  # type: ignore[arg-type]
        journal=journal,
        occasion=occasion,
        sender=mailbox("votes@registrar.example"),
        again=False,
        every=every,
        new_id=lambda: f"<{next(ids)}@x>",
        now=lambda: datetime(2026, 1, 1, tzinfo=UTC),
        clock=lambda: passed[0],
        sleep=sleep,
    )


@given(st.integers(0, 12), st.floats(0.1, 60))
def test_a_rate_is_kept(tmp_path_factory: pytest.TempPathFactory, messages: int, every: float) -> None:
    time, at = [0.0], []
    with open_journal(tmp_path_factory.mktemp("rate") / "journal", HASH, "issuer-2") as journal:
        run = sending(Server(), journal, every, time)
        letters = [addressee(i, email=f"h{i}@example.com") for i in range(messages)]
        run.run(letters, lambda: at.append(time[0]))
    assert at == pytest.approx([i * every for i in range(messages)])


@pytest.mark.parametrize(
    ("does", "state"),
    [
        (NotTaken(550, "no"), None),
        (("after DATA", NotTaken(554, "no")), State.REFUSED),
        (("after DATA", Unanswered("gone")), State.HANDED),
        (("after DATA", KeyboardInterrupt()), State.HANDED),
    ],
)
def test_what_each_end_leaves(tmp_path: Path, does: Any, state: State | None) -> None:
    path = tmp_path / "journal"
    with open_journal(path, HASH, "issuer-2") as journal:
        run = sending(Server(does), journal)
        if isinstance(does, tuple) and isinstance(does[1], KeyboardInterrupt):
            with pytest.raises(KeyboardInterrupt):
                run.run([addressee(0)], lambda: None)
        else:
            assert len(run.run([addressee(0)], lambda: None).faults) == 1
    assert states(path).get("A0") == state


def test_waiting_grows_before_a_dropped_message_is_given_up(tmp_path: Path) -> None:
    time = [0.0]
    with open_journal(tmp_path / "journal", HASH, "issuer-2") as journal:
        server = Server(*[Dropped("gone")] * 3)
        outcome = sending(server, journal, 0, time).run([addressee(0), addressee(1)], lambda: None)
    assert outcome.faults == ["A0, lucja@example.com: gone"] and outcome.sent == 1 and time == [6.0]
