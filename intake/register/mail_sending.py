"""Sends every account its number by e-mail, once: what was sent before is passed over, what may have been sent is
named, and what fails for one does not keep the others from being sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage

from audit.protocol.refused import Refused
from intake.register.letters_addressees import Addressee
from intake.register.letters_occasion import Occasion
from intake.register.mail_journal import Journal, State
from intake.register.mail_message import message
from intake.register.mail_server import Dropped, MailServer, MailServerError, NotTaken, Unanswered, Unreachable

PAUSES = (1.0, 5.0)
"""Seconds before a message is tried again whose connection was dropped."""
MOST_IN_A_ROW = 10
"""So many messages that a server does not take now, and it is left alone."""
MOST_SHOWN = 1_000
UNCERTAIN = "may have been sent: the connection or the run ended before the server answered; --again sends it once more"


class NotAllSent(Exception):
    """Some messages were not, or not surely, sent; `faults` holds one sentence for each."""

    def __init__(self, faults: list[str]) -> None:
        self.faults = faults
        more = [f"and {len(faults) - MOST_SHOWN} more"] if len(faults) > MOST_SHOWN else []
        super().__init__("\n".join([*faults[:MOST_SHOWN], *more]))


@dataclass
class Outcome:
    """What became of the messages; `faults` in the order of the accounts."""

    sent: int = 0
    before: int = 0
    without: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


@dataclass
class Sending:
    """One run. `again`: send also what may have been sent. `every`: least seconds from one message to the next.

    new_id: a Message-ID nobody has; now: for the Date of a message; clock and sleep in seconds.
    """

    server: MailServer
    journal: Journal
    occasion: Occasion
    sender: Address
    again: bool
    every: float
    new_id: Callable[[], str]
    now: Callable[[], datetime]
    clock: Callable[[], float]
    sleep: Callable[[float], None]
    outcome: Outcome = field(default_factory=Outcome)
    _failed: int = 0
    _next: float = 0.0

    def run(self, letters: Iterable[Addressee], step: Callable[[], None]) -> Outcome:
        """Sends to each account in turn, calling `step` after each. MailServerError is noted, and ends the run."""
        rest = iter(letters)
        try:
            for to in rest:
                self.one(to)
                step()
                if self._failed >= MOST_IN_A_ROW:
                    raise MailServerError(f"{self.server.where} did not take {MOST_IN_A_ROW} messages in a row")
        except MailServerError as error:
            self.outcome.faults.append(f"{error}; the run ended there, and goes on when it is begun again")
        finally:
            self.server.close()
        return self.outcome

    def one(self, to: Addressee) -> None:
        """Sends to one account, unless that is done."""
        mark = self.journal.of(to.account.id, to.code)
        uncertain = mark is not None and mark.state == State.HANDED
        if mark is not None and mark.state == State.SENT:
            self.outcome.before += 1
        elif not to.email:
            self.outcome.without.append(to.account.id)
        elif uncertain and not self.again:
            self.fault(to, UNCERTAIN)
        else:
            # A message that may be there already comes under the same name, so that a mailbox can tell.
            message_id = mark.message if mark is not None and uncertain else self.new_id()
            try:
                made = message(self.occasion, to, self.sender, message_id, self.now())
            except Refused as refusal:
                self.fault(to, str(refusal))
                return
            self.deliver(to, made, message_id, uncertain)

    def deliver(self, to: Addressee, made: EmailMessage, message_id: str, uncertain: bool) -> None:
        """Hands one message over, and notes what became of it."""
        handed = False

        def handing() -> None:
            nonlocal handed
            self.journal.note(to.account.id, to.code, State.HANDED, message_id)
            handed = True

        try:
            self._try(to, made, handing)
        except NotTaken as error:
            if handed and not uncertain:
                self.journal.note(to.account.id, to.code, State.REFUSED, message_id)
            self._failed = 0 if error.lasting else self._failed + 1
            self.fault(to, f"was not taken: {error}" if error.lasting else f"was put off, try later: {error}")
        except Dropped as error:
            self._failed += 1
            self.fault(to, str(error))
        except Unanswered:
            self._failed += 1
            self.fault(to, UNCERTAIN)
        else:
            self.journal.note(to.account.id, to.code, State.SENT, message_id)
            self._failed = 0
            self.outcome.sent += 1

    def _try(self, to: Addressee, made: EmailMessage, handing: Callable[[], None]) -> None:
        for pause in (*PAUSES, None):
            self._wait()
            try:
                self.server.send(self.sender.addr_spec, to.email, made, handing)
                return
            except Dropped as error:
                if pause is None and isinstance(error, Unreachable):
                    raise MailServerError(str(error)) from None
                if pause is None:
                    raise
                self.sleep(pause)

    def _wait(self) -> None:
        if (early := self._next - self.clock()) > 0:
            self.sleep(early)
        self._next = self.clock() + self.every

    def fault(self, to: Addressee, what: str) -> None:
        self.outcome.faults.append(f"{to.account.id}, {to.email}: {what}")
