"""A mail server on loopback as the world has them: STARTTLS, a login, mailboxes; and one thing wrong, if a test asks.

Certificates are made for it: an authority, and a certificate of it for `localhost`.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP as POLICY
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

USER, PASSWORD = "registrar", "a password nobody guesses"


@dataclass
class Authority:
    """Vouches for servers; `pem` is what clients trust."""

    folder: Path
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    name: x509.Name = field(default_factory=lambda: _name("Tests"))

    @property
    def pem(self) -> Path:
        path = self.folder / "authority.pem"
        path.write_bytes(self._certificate(self.name, self.key, x509.BasicConstraints(True, None)))
        return path

    def context(self, host: str = "localhost") -> ssl.SSLContext:
        """For a server that is called so."""
        key = ec.generate_private_key(ec.SECP256R1())
        chain = self.folder / f"{host}.pem"
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        called = x509.SubjectAlternativeName([x509.DNSName(host)])
        chain.write_bytes(private + self._certificate(_name(host), key, called))
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(chain)
        return context

    def _certificate(self, name: x509.Name, key: ec.EllipticCurvePrivateKey, extension: x509.ExtensionType) -> bytes:
        now = datetime.now(UTC)
        made = x509.CertificateBuilder(self.name, name, key.public_key(), x509.random_serial_number())
        made = made.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        return made.add_extension(extension, True).sign(self.key, hashes.SHA256()).public_bytes(Encoding.PEM)


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


@dataclass
class Mailhouse:
    """`taken`: every message the server has said yes to, with its recipients. `rcpt` and `data` by address: what it
    answers instead. `lose`: it takes the message for this address and ends the connection without a word. `cut`: it
    ends the connection when this address is named, so many times. `hold`: it falls silent over the message to this
    address.
    """

    port: int = 0
    taken: list[tuple[list[str], EmailMessage]] = field(default_factory=list)
    logins: list[tuple[str, str]] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)
    mail: str = ""
    rcpt: dict[str, str] = field(default_factory=dict)
    data: dict[str, str] = field(default_factory=dict)
    lose: set[str] = field(default_factory=set)
    cut: dict[str, int] = field(default_factory=dict)
    hold: str = ""
    held: threading.Event = field(default_factory=threading.Event)

    def messages(self, address: str) -> list[EmailMessage]:
        return [message for to, message in self.taken if to == [address]]

    @property
    def addresses(self) -> list[str]:
        return [address for to, _ in self.taken for address in to]

    async def handle_MAIL(self, server: SMTP, session: Session, envelope: Envelope, address: str, options: Any) -> str:
        if self.mail:
            return self.mail
        self.encrypted.append(session.ssl is not None)
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(self, server: SMTP, session: Session, envelope: Envelope, address: str, options: Any) -> str:
        if self.cut.get(address):
            self.cut[address] -= 1
            server.transport.abort()
        if address in self.rcpt:
            return self.rcpt[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        (address,) = envelope.rcpt_tos
        if address in self.data:
            return self.data[address]
        assert isinstance(envelope.content, bytes)
        message = message_from_bytes(envelope.content, policy=POLICY)
        self.taken.append((envelope.rcpt_tos, message))
        if address == self.hold:
            self.held.set()
            await asyncio.sleep(30)
        if address in self.lose:
            server.transport.abort()
        return "250 OK"

    def authenticate(self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        self.logins.append((data.login.decode(), data.password.decode()))
        return AuthResult(success=self.logins[-1] == (USER, PASSWORD), handled=False)


class Unwilling(SMTP):
    """Offers STARTTLS, and refuses it."""

    async def smtp_STARTTLS(self, arg: str) -> None:
        await self.push("454 4.7.0 TLS not available")


@contextmanager
def open_mailhouse(context: ssl.SSLContext | None, kind: type[SMTP] = SMTP) -> Iterator[Mailhouse]:
    """A server on loopback, without STARTTLS if there is no context."""
    house = Mailhouse()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def protocol() -> SMTP:
        options = {"tls_context": context, "require_starttls": True} if context else {"auth_require_tls": False}
        return kind(house, hostname="localhost", authenticator=house.authenticate, auth_required=True,
                    enable_SMTPUTF8=True, loop=loop, **options)  # fmt: skip

    async def listen() -> asyncio.Server:
        return await loop.create_server(protocol, "localhost", 0, family=2)

    server = asyncio.run_coroutine_threadsafe(listen(), loop).result(10)
    house.port = server.sockets[0].getsockname()[1]
    try:
        yield house
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
