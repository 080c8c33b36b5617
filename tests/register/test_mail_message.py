"""One e-mail: whatever a register says in a name or an address, it goes to that address alone and adds no header."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_string
from email.message import EmailMessage
from email.policy import SMTPUTF8
from email.utils import getaddresses
from html import unescape
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from audit.protocol.refused import Refused
from audit.record.manifest import Manifest
from intake.register.letters_occasion import Occasion, one_line
from intake.register.mail_message import mailbox, message
from tests.register.paper import addressee, number, occasion
from tests.simulator.meeting import Meeting

HEADERS = ["From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type"]
DATE = datetime(2026, 5, 1, 12, tzinfo=UTC)
NASTY = 'Eve <eve@evil.example>, "x" (y) <z@evil.example>; ' * 3


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    return Meeting({"common": (10, 11, 12)}).found().manifest


def sent(of: Occasion, **changes: Any) -> EmailMessage:
    """What arrives."""
    sender = mailbox("votes@registrar.example", of.issuer)
    raw = message(of, addressee(**{"email": "ann@example.com", **changes}), sender, "<1@registrar.example>", DATE)
    found = message_from_string(raw.as_bytes().decode(), policy=SMTPUTF8)
    assert isinstance(found, EmailMessage)
    return found


@given(name=st.text(max_size=300), local=st.sampled_from(["ann", "a.nn+x", "änn"]))
@example(name=NASTY, local="ann")
@example(name=NASTY, local="änn")
@example(name="ż" + NASTY, local="änn")
@example(name="x\r\nBcc: eve@evil.example\r\n\r\nhello", local="ann")
@example(name="=?utf-8?q?=0D=0ABcc=3A_eve=40evil.example?=", local="ann")
def test_a_name_adds_no_header_and_no_recipient(manifest: Manifest, name: str, local: str) -> None:
    email = f"{local}@example.com"
    found = sent(occasion(manifest), name=name, email=email)
    assert [*found.keys()][: len(HEADERS)] == HEADERS and len(found.keys()) == len(HEADERS)
    assert [address.addr_spec for address in found["To"].addresses] == [email]
    # As a reader without this library's care would take it.
    assert [address for _, address in getaddresses([str(found["To"])])] == [email]
    assert found["Message-ID"] == "<1@registrar.example>" and found.is_multipart()


@given(title=st.text(max_size=300), company=st.text(max_size=300))
@example(title="a\r\nBcc: eve@evil.example", company="b\n\nbody")
def test_a_title_adds_no_header(manifest: Manifest, title: str, company: str) -> None:
    of = replace(occasion(manifest), title=one_line(title), company=one_line(company), issuer=title)
    found = sent(of)
    assert [*found.keys()] == HEADERS
    assert [address.addr_spec for address in found["From"].addresses] == ["votes@registrar.example"]


@pytest.mark.parametrize("email", ["ann@example.com", "o'neil+votes@sub.example.ie", "zoë@exämple.com", "a@localhost"])
def test_addresses(email: str) -> None:
    assert mailbox(email, "Ann").addr_spec == email


@pytest.mark.parametrize(
    "email",
    ["", "ann", "@example.com", "ann@", "a b@example.com", "a@b@c", "ann@example.com\n", "ann@example.com\r\nBcc: x",
     "<ann@example.com>", "ann@example.com,eve@evil.example", "ann@[127.0.0.1]", '"ann"@example.com',
     "a..b@example.com", ".a@example.com", "ann@example..com", "ann@-example.com", "a\u200bnn@example.com",
     f"{'a' * 65}@example.com"],
)  # fmt: skip
def test_addresses_that_are_none(email: str) -> None:
    with pytest.raises(Refused, match="is no e-mail address") as caught:
        mailbox(email)
    assert caught.value.reason == "syntax"


def test_both_parts_say_the_same(manifest: Manifest) -> None:
    found = sent(occasion(manifest), name="Łucja <b>", email="lucja@example.com")
    plain = found.get_body(("plain",)).get_content()
    html = found.get_body(("html",)).get_content()
    assert found.get_content_type() == "multipart/alternative"
    shown = one_line(unescape(html.replace("<", " <")))
    for words in (number(0), "Łucja <b>", "A0", "2 June 2026, 12:00 UTC", *occasion(manifest).fingerprint):
        assert words in plain and words in shown
    assert "<b>" not in html and all(len(line) <= 78 for line in found.as_bytes().split(b"\r\n"))


def test_the_only_issuer_says_so(manifest: Manifest) -> None:
    text = sent(replace(occasion(manifest), other="")).get_body(("plain",)).get_content()
    assert "so could issuer-1, who drew it" in text and "other" not in text
