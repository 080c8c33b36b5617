"""`psephos register email`, to a mail server as there are: every number goes out once, encrypted; and what may have
gone out is never sent again in silence.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from audit.protocol.refused import Refused
from infra.keys import KeyFileError, write_secret
from intake.register import mail_sending
from intake.register.mail_sending import NotAllSent
from tests.register.mailhouse import PASSWORD, USER, Authority, Mailhouse, Unwilling, open_mailhouse
from tests.register.paper import PAGE, Desk, number
from tests.register.test_letters_commands import run

HOLDERS = tuple((f"Holder {i}", f"{i} High Street", f"holder{i}@example.com", "en") for i in range(5))
UNCERTAIN = "may have been sent: the connection or the run ended before the server answered; --again sends it once more"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def house(authority: Authority) -> Iterator[Mailhouse]:
    with open_mailhouse(authority.context()) as house:
        yield house


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setattr(mail_sending, "PAUSES", (0.0, 0.0))
    write_secret(tmp_path / "login", f"{USER}\n{PASSWORD}\n")
    return Desk.laid(tmp_path, HOLDERS)


def arguments(desk: Desk, authority: Authority, house: Mailhouse, **changes: str) -> list[str]:
    options = {
        "issuer": "issuer-2",
        "smtp": f"localhost:{house.port}",
        "from": "votes@registrar.example",
        "journal": str(desk.folder / "journal"),
        "credentials": str(desk.folder / "login"),
        "cafile": str(authority.pem),
        **changes,
    }
    return desk.arguments("email", **options)


def faults(*args: str) -> list[str]:
    with pytest.raises(NotAllSent) as caught:
        run(*args)
    assert str(caught.value) == "\n".join(caught.value.faults)
    return caught.value.faults


def journal(desk: Desk) -> str:
    return (desk.folder / "journal").read_text()


def test_every_account_gets_its_number_once(desk: Desk, authority: Authority, house: Mailhouse) -> None:
    args = arguments(desk, authority, house)
    assert "5 e-mails sent, 0 had been sent before" in run(*args)
    assert house.addresses == [f"holder{i}@example.com" for i in range(5)]
    assert house.logins == [(USER, PASSWORD)] and house.encrypted == [True] * 5
    for i, (_, message) in enumerate(house.taken):
        assert message["To"] == f"Holder {i} <holder{i}@example.com>"
        assert message["From"] == "issuer-2 <votes@registrar.example>"
        assert message["Subject"] == "Example plc: control number for the annual meeting 2026"
        assert message["Auto-Submitted"] == "auto-generated" and message["Date"].datetime is not None
        for kind in ("plain", "html"):
            body = message.get_body((kind,)).get_content()
            assert number(i) in body and f"the {10 + i} votes of account A{i}" in body
            assert not any(number(j) in body for j in range(5) if j != i)
            assert "the one that issuer-1 sends you" in body and "2 June 2026, 12:00 UTC" in body
            # The page by its address alone: filters on the way would write down a link with the number.
            assert PAGE in body and "#number" not in body and "href" not in body and "src=" not in body
    assert len({message["Message-ID"] for _, message in house.taken}) == 5
    assert all(re.fullmatch(r"<[0-9a-f]{32}@registrar\.example>", m["Message-ID"]) for _, m in house.taken)
    assert "0 e-mails sent, 5 had been sent before" in run(*args) and len(house.taken) == 5
    kept = desk.folder / "journal"
    assert kept.stat().st_mode & 0o777 == 0o600 and not any(number(i)[:31] in journal(desk) for i in range(5))


def test_a_number_replaced_is_sent_anew(desk: Desk, authority: Authority, house: Mailhouse) -> None:
    args = arguments(desk, authority, house)
    run(*args)
    desk.seal([(f"A{i}", number(9 if i == 3 else i)) for i in range(5)])
    assert "1 e-mails sent, 4 had been sent before" in run(*args)
    first, second = house.messages("holder3@example.com")
    assert number(9) in second.get_body(("plain",)).get_content() and first["Message-ID"] != second["Message-ID"]


def test_a_server_without_encryption_is_told_nothing(desk: Desk, authority: Authority) -> None:
    with open_mailhouse(None) as plain:
        found = faults(*arguments(desk, authority, plain))
        assert len(found) == 1 and "offers no STARTTLS" in found[0]
        assert (plain.taken, plain.logins, plain.encrypted) == ([], [], [])


def test_a_server_that_refuses_encryption_is_told_nothing(desk: Desk, authority: Authority) -> None:
    with open_mailhouse(authority.context(), Unwilling) as unwilling:
        (found,) = faults(*arguments(desk, authority, unwilling))
        assert "refuses STARTTLS: 454 4.7.0 TLS not available; nothing was sent, try later" in found
        assert (unwilling.taken, unwilling.logins, unwilling.encrypted) == ([], [], [])


@pytest.mark.parametrize(
    ("stranger", "host", "what"),
    [(True, "localhost", "certificate verify failed"), (False, "mail.example", "Hostname mismatch")],
)
def test_a_certificate_that_shows_nothing(
    desk: Desk, authority: Authority, tmp_path: Path, stranger: bool, host: str, what: str
) -> None:
    """An authority nobody named, or another server's name."""
    shown = Authority(tmp_path) if stranger else authority
    with open_mailhouse(shown.context(host)) as other:
        (found,) = faults(*arguments(desk, authority, other))
        assert what in found and "not encrypted as it must be" in found
        assert (other.taken, other.logins) == ([], [])


def test_a_password_that_is_wrong(desk: Desk, authority: Authority, house: Mailhouse) -> None:
    write_secret(desk.folder / "wrong", f"{USER}\nanother password\n")
    (found,) = faults(*arguments(desk, authority, house, credentials=str(desk.folder / "wrong")))
    assert "refuses the login: 535" in found and "another password" not in found and house.taken == []


@pytest.mark.parametrize("login", ["registrar\n", "registrar\n\n", "registrar\nsésame\n", "a\nb\nc\n"])
def test_a_login_that_is_none(desk: Desk, authority: Authority, house: Mailhouse, login: str) -> None:
    write_secret(desk.folder / "bad", login)
    with pytest.raises(KeyFileError, match="two lines of ASCII"):
        run(*arguments(desk, authority, house, credentials=str(desk.folder / "bad")))


def test_an_address_refused_keeps_no_other_from_being_sent(
    desk: Desk, authority: Authority, house: Mailhouse
) -> None:
    house.rcpt["holder1@example.com"] = "550 5.1.1 no such mailbox"
    house.data["holder3@example.com"] = "554 5.7.1 looks like spam"
    house.rcpt["holder4@example.com"] = "450 4.2.0 greylisted"
    args = arguments(desk, authority, house)
    assert faults(*args) == [
        "A1, holder1@example.com: was not taken: 550 5.1.1 no such mailbox",
        "A3, holder3@example.com: was not taken: 554 5.7.1 looks like spam",
        "A4, holder4@example.com: was put off, try later: 450 4.2.0 greylisted",
    ]
    assert house.addresses == ["holder0@example.com", "holder2@example.com"]
    house.rcpt.clear(), house.data.clear()
    assert "3 e-mails sent, 2 had been sent before" in run(*args)
    assert sorted(house.addresses) == [f"holder{i}@example.com" for i in range(5)]


def test_a_sender_refused_ends_the_run(desk: Desk, authority: Authority, house: Mailhouse) -> None:
    house.mail = "553 5.7.1 not your address"
    (found,) = faults(*arguments(desk, authority, house))
    assert "takes nothing from votes@registrar.example: 553 5.7.1 not your address; the run ended there" in found


def test_a_server_that_puts_everything_off_is_left_alone(
    desk: Desk, authority: Authority, house: Mailhouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mail_sending, "MOST_IN_A_ROW", 3)
    house.mail = "451 4.7.1 slow down"
    found = faults(*arguments(desk, authority, house))
    assert [fault.split(",")[0] for fault in found[:3]] == ["A0", "A1", "A2"]
    assert len(found) == 4 and "did not take 3 messages in a row; the run ended there" in found[3]


def test_a_connection_that_ends_before_the_message_is_made_again(
    desk: Desk, authority: Authority, house: Mailhouse
) -> None:
    house.cut["holder2@example.com"] = 2
    assert "5 e-mails sent" in run(*arguments(desk, authority, house))
    assert len(house.taken) == 5 and len(house.logins) == 3


def test_an_address_at_which_connections_always_end(desk: Desk, authority: Authority, house: Mailhouse) -> None:
    house.cut["holder2@example.com"] = 99
    args = arguments(desk, authority, house)
    (found,) = faults(*args)
    assert found.startswith("A2, holder2@example.com: localhost:") and "ended the connection" in found
    house.cut.clear()
    assert "1 e-mails sent, 4 had been sent before" in run(*args)


def test_no_server_at_all(desk: Desk, authority: Authority) -> None:
    with open_mailhouse(authority.context()) as house:
        port = house.port
    (found,) = faults(*arguments(desk, authority, Mailhouse(port=port)))
    assert found.startswith(f"localhost:{port} cannot be reached: ") and "goes on when it is begun again" in found


def test_an_answer_that_was_lost_is_said(desk: Desk, authority: Authority, house: Mailhouse) -> None:
    """The server may or may not have taken the message: it is named, and sent again only when that is asked for, under
    the same name.
    """
    house.lose.add("holder2@example.com")
    args = arguments(desk, authority, house)
    for before in ("4 e-mails sent, 0", "0 e-mails sent, 4"):
        assert faults(*args) == [f"A2, holder2@example.com: {UNCERTAIN}"], before
        assert len(house.messages("holder2@example.com")) == 1
    house.lose.clear()
    assert "1 e-mails sent, 4 had been sent before" in run(*args, "--again")
    first, second = house.messages("holder2@example.com")
    assert first["Message-ID"] == second["Message-ID"]
    assert "0 e-mails sent, 5 had been sent before" in run(*args, "--again") and len(house.taken) == 6


def test_refused_at_the_second_try_it_stays_uncertain(desk: Desk, authority: Authority, house: Mailhouse) -> None:
    """For the first may have arrived all the same."""
    house.lose.add("holder2@example.com")
    args = arguments(desk, authority, house)
    faults(*args)
    house.data["holder2@example.com"] = "554 no"
    assert faults(*args, "--again") == ["A2, holder2@example.com: was not taken: 554 no"]
    assert faults(*args) == [f"A2, holder2@example.com: {UNCERTAIN}"]


def test_killed_between_message_and_answer(desk: Desk, authority: Authority, house: Mailhouse) -> None:
    """The process is gone, without a chance to write anything."""
    house.hold = "holder2@example.com"
    args = arguments(desk, authority, house)
    code = "from infra.commands import main; main()"
    process = subprocess.Popen([sys.executable, "-c", code, *args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        assert house.held.wait(60)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate(timeout=20)
    house.hold = ""
    found = faults(*args)
    assert found == [f"A2, holder2@example.com: {UNCERTAIN}"]
    assert sorted(house.addresses) == [f"holder{i}@example.com" for i in range(5)]
    run(*args, "--again")
    first, second = house.messages("holder2@example.com")
    assert first["Message-ID"] == second["Message-ID"] and len(house.taken) == 6


def test_what_is_handed_over_is_on_disk_before(
    desk: Desk, authority: Authority, house: Mailhouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what was taken, before the next is begun."""
    steps: list[str] = []
    sync, taken = os.fsync, house.handle_DATA

    def fsync(descriptor: int) -> None:
        sync(descriptor)
        if lines := journal(desk).splitlines()[1:]:
            steps.append(re.sub(r'.*"account": "(\w+)".*"state": "(\w+)".*', r"\1 \2", lines[-1]))

    async def data(server: Any, session: Any, envelope: Any) -> str:
        steps.append(f"{envelope.rcpt_tos[0]} taken")
        return await taken(server, session, envelope)

    house.handle_DATA = data  # type: ignore[method-assign]
    monkeypatch.setattr("intake.register.mail_journal.os.fsync", fsync)
    run(*arguments(desk, authority, house))
    wanted = [(f"A{i} handed", f"holder{i}@example.com taken", f"A{i} sent") for i in range(5)]
    assert steps == [step for three in wanted for step in three]


def test_addresses_that_are_none_and_accounts_without(
    tmp_path: Path, authority: Authority, house: Mailhouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    holders = (
        ("Ann", "", "a,b@example.com", ""),
        ("Ben", "", "", ""),
        ("Cem", "", "<cem@example.com>", ""),
        ("Dee", "", "dee@example.com", ""),
        ("Eve", "", '"e"@example.com', ""),
        ("Zoë", "", "zoë@exämple.com", ""),
    )
    write_secret(tmp_path / "login", f"{USER}\n{PASSWORD}\n")
    args = arguments(Desk.laid(tmp_path, holders), authority, house)
    assert faults(*args) == [
        "A0, a,b@example.com: 'a,b@example.com' is no e-mail address that mail can be sent to",
        "A2, <cem@example.com>: '<cem@example.com>' is no e-mail address that mail can be sent to",
        "A4, \"e\"@example.com: '\"e\"@example.com' is no e-mail address that mail can be sent to",
    ]
    assert house.addresses == ["dee@example.com", "zoë@exämple.com"]


def test_accounts_without_an_address_are_named(tmp_path: Path, authority: Authority, house: Mailhouse) -> None:
    write_secret(tmp_path / "login", f"{USER}\n{PASSWORD}\n")
    desk = Desk.laid(tmp_path, (HOLDERS[0], ("Ben", "1 High Street", "", "")))
    assert "the register has no e-mail address of A1\n" in run(*arguments(desk, authority, house))


@pytest.mark.parametrize("address", ["a@b\nBcc: c@d", "votes", "a@b, c@d", ""])
def test_a_sender_that_is_none(desk: Desk, authority: Authority, house: Mailhouse, address: str) -> None:
    with pytest.raises(Refused, match="is no e-mail address"):
        run(*arguments(desk, authority, house, **{"from": address}))
    assert not (desk.folder / "journal").exists()


@pytest.mark.parametrize("address", ["", ":25", "localhost:", "localhost:0", "localhost:65536", "a:smtp", "é:25"])
def test_a_mail_server_that_is_none(desk: Desk, authority: Authority, house: Mailhouse, address: str) -> None:
    with pytest.raises(Refused, match="is no mail server"):
        run(*arguments(desk, authority, house, smtp=address))
