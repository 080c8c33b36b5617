"""The mail server that messages are handed to, over SMTP (RFC 5321) and never in the clear: the connection is encrypted
by STARTTLS (RFC 3207) with a certificate that is verified, before anything about a holder, or a password, is said.
"""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path

from infra.keys import KeyFileError, read_secret

TIMEOUT = 60.0
LONGEST_REPLY = 200


class MailServerError(Exception):
    """The server cannot be reached or used at all; the message says why."""


class NotTaken(Exception):
    """The server has surely not taken this message; `lasting` if it would not take it later either."""

    def __init__(self, code: int, reply: bytes | str) -> None:
        super().__init__(f"{code} {printable(reply)}")
        self.lasting = code >= 500


class Dropped(Exception):
    """The connection is gone, or the server wants it to be; the message was surely not taken."""


class Unreachable(Dropped):
    """There was no connection, or it ended before it could be used."""


class Unanswered(Exception):
    """The message was handed over, and the connection ended before the answer: it may have been taken."""


@dataclass(frozen=True)
class Login:
    """Whose mail the server takes."""

    user: str
    password: str = field(repr=False)


def read_login(path: Path) -> Login:
    """The login in a file of two lines, user and password. KeyFileError."""
    lines = read_secret(path).decode("utf-8", errors="replace").splitlines()
    if len(lines) != 2 or not all(line and line.isascii() for line in lines):
        raise KeyFileError(f"{path}: must hold two lines of ASCII, the user and the password")
    return Login(*lines)


def tls(cafile: Path | None) -> ssl.SSLContext:
    """Verifies certificates and names, against the authorities in `cafile` or else those of the machine.

    MailServerError for a file that holds none.
    """
    try:
        context = ssl.create_default_context(cafile=cafile)
    except (OSError, ssl.SSLError) as error:
        raise MailServerError(f"{cafile}: holds no certificates that can be read ({error})") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


@dataclass
class MailServer:
    """Connects when first needed, and again after it was dropped."""

    host: str
    port: int
    context: ssl.SSLContext
    login: Login | None = None
    timeout: float = TIMEOUT
    _client: smtplib.SMTP | None = None

    def send(self, sender: str, to: str, message: EmailMessage, handing: Callable[[], None]) -> None:
        """Returns once the server has taken the message; `handing` is called just before it could.

        NotTaken, Dropped, Unanswered; MailServerError if no message would be taken.
        """
        client = self._connected()
        raw = message.as_bytes()
        options = ["SMTPUTF8"] if not (sender + to).isascii() else []
        if options and not client.has_extn("smtputf8"):
            raise NotTaken(553, "the server takes no address beyond ASCII (it lacks SMTPUTF8)")
        try:
            code, reply = client.mail(sender, options)
            if code >= 500:
                raise MailServerError(f"{self.where} takes nothing from {sender}: {code} {printable(reply)}")
            self._expect(code, reply)
            self._expect(*client.rcpt(to))
        except (OSError, smtplib.SMTPException) as error:
            raise self._dropped(error) from None
        handing()
        try:
            code, reply = client.data(raw)
        except smtplib.SMTPDataError as error:
            # Refused before a byte of the message was sent.
            self._expect(error.smtp_code, error.smtp_error)
            raise AssertionError("DATA is answered by 354, or refused") from None
        except (OSError, smtplib.SMTPException) as error:
            self.close()
            raise Unanswered(printable(str(error).encode())) from None
        if code == 421:
            # The server is going away: most have then not taken the message, and some have.
            self.close()
            raise Unanswered(printable(reply))
        self._expect(code, reply)

    @property
    def where(self) -> str:
        return f"{self.host}:{self.port}"

    def close(self) -> None:
        """Ends the connection."""
        client, self._client = self._client, None
        if client is not None:
            with suppress(OSError, smtplib.SMTPException):
                client.quit()
            client.close()

    def _connected(self) -> smtplib.SMTP:
        if self._client is None:
            self._client = self._connect()
        return self._client

    def _connect(self) -> smtplib.SMTP:
        where = self.where
        try:
            client = smtplib.SMTP(self.host, self.port, timeout=self.timeout)
        except (OSError, smtplib.SMTPException) as error:
            raise Unreachable(f"{where} cannot be reached: {_cause(error)}") from None
        try:
            client.ehlo()
            if not client.has_extn("starttls"):
                raise MailServerError(f"{where} offers no STARTTLS: nothing was sent, for it would go in the clear")
            client.starttls(context=self.context)
            client.ehlo()
            if self.login is not None:
                client.login(self.login.user, self.login.password)
        except ssl.SSLError as error:
            client.close()
            raise MailServerError(f"{where} is not encrypted as it must be: {_cause(error)}") from None
        except smtplib.SMTPAuthenticationError as error:
            client.close()
            reply = f"{error.smtp_code} {printable(error.smtp_error)}"
            raise MailServerError(f"{where} refuses the login: {reply}") from None
        except smtplib.SMTPResponseException as error:
            client.close()
            reply = f"{error.smtp_code} {printable(error.smtp_error)}"
            raise MailServerError(f"{where} refuses STARTTLS: {reply}; nothing was sent, try later") from None
        except smtplib.SMTPNotSupportedError as error:
            client.close()
            raise MailServerError(f"{where}: {_cause(error)}") from None
        except (OSError, smtplib.SMTPException) as error:
            client.close()
            raise Unreachable(f"{where} ended the connection: {_cause(error)}") from None
        except BaseException:
            client.close()
            raise
        return client

    def _expect(self, code: int, reply: bytes | str) -> None:
        if 200 <= code < 300:
            return
        if code == 421:
            raise self._dropped(smtplib.SMTPServerDisconnected(f"421 {printable(reply)}"))
        assert self._client is not None
        # The next message begins anew.
        with suppress(OSError, smtplib.SMTPException):
            self._client.rset()
        raise NotTaken(code, reply)

    def _dropped(self, error: Exception) -> Dropped:
        self.close()
        return Dropped(f"{self.where} ended the connection: {_cause(error)}")


def printable(reply: bytes | str) -> str:
    """What a server said, in one line of plain signs."""
    text = " ".join(_octets(reply).decode("utf-8", errors="replace").split())
    return "".join(sign if sign.isprintable() else "?" for sign in text)[:LONGEST_REPLY]


def _cause(error: Exception) -> str:
    return printable(getattr(error, "strerror", None) or str(error) or type(error).__name__)


def _octets(reply: bytes | str) -> bytes:
    return reply.encode() if isinstance(reply, str) else reply
