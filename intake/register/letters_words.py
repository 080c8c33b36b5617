"""The words of a letter, once for paper, page and e-mail. They say what the holder is to do, and what the number is
worth.
"""

from __future__ import annotations

from dataclasses import dataclass

from intake.register.letters_addressees import Addressee
from intake.register.letters_occasion import Occasion

SCAN = "Scan the code with a phone, or open {page} and type the number in."
OPEN = "Open {page} and type the number in, or copy and paste it."
BOTH = "Enter your other number too, the one that {other} sends you, in any order."
COMPARE = "Compare the fingerprint on the page with the one in this {medium}. If they differ, stop and tell us."
CHOOSE = "Choose on every item, send, wait until the page says your vote is recorded, and keep the receipt."
AGAIN = (
    "You may vote again until voting closes: only your last vote counts. Come back once it has closed: the page says "
    "whether your vote counts, and warns you if anybody else has voted with your numbers."
)
TYPING = "Capitals and hyphens do not matter when you type it; the last sign does."
TWO = (
    "You receive two numbers: this one from us, the other from {other}, separately. It takes both to vote, so that "
    "nobody who sees one of them, and neither of us who send them, can vote for you. Keep them apart, and give them to "
    "nobody who is not to vote for you."
)
ONE = (
    "This is your only number: whoever has it can vote for you, and so could {issuer}, who drew it. Keep it as you "
    "would keep cash, and give it to nobody who is not to vote for you."
)
LOST = "If you lose this {medium}, tell {issuer} at once."
FINGERPRINT = (
    "These signs stand for the rules of this vote: its items, dates, and everyone who runs it. Nobody can change one "
    "of them and keep the fingerprint. In one piece, as programs write it:"
)


@dataclass(frozen=True)
class Words:
    """`medium` is what the holder reads: a letter or an e-mail."""

    occasion: Occasion
    medium: str = "letter"

    @property
    def heading(self) -> str:
        which = "One of your two control numbers" if self.occasion.other else "Your control number"
        return f"{which} for the {self.title}"

    @property
    def title(self) -> str:
        """The title within a sentence: `annual meeting 2026`, but `AGM 2026` and `Extraordinary General Meeting`."""
        first, _, rest = self.occasion.title.partition(" ")
        plain = first.istitle() and rest and not any(word[0].isupper() for word in rest.split())
        return f"{first.lower()} {rest}" if plain else self.occasion.title

    def worth(self, to: Addressee) -> str:
        """What can be done with the number."""
        printed = self.occasion.votes(to.account.weight)
        votes = "the one vote" if printed == "1" else f"the {printed} votes"
        needed = "this number and your other one" if self.occasion.other else "this number"
        return f"With {needed} you cast {votes} of account {to.account.id} ({to.account.share_class} shares)."

    @property
    def closes(self) -> str:
        """The deadline."""
        return self.occasion.closes or "as the company announces"

    def facts(self, to: Addressee) -> list[tuple[str, str]]:
        """What is voted and when, each with its name; a date that is not announced is left out."""
        account = to.account
        votes = self.occasion.votes(account.weight)
        dates = [("Record date", self.occasion.record_date), ("Voting opens", self.occasion.opens)]
        return [
            ("Account", account.id),
            ("Shares", account.share_class),
            ("Votes", votes),
            *((name, date) for name, date in dates if date),
            ("Voting closes", self.closes),
        ]

    def steps(self) -> list[str]:
        """How to vote, step by step."""
        both = [BOTH] if self.occasion.other else []
        first = SCAN if self.medium == "letter" else OPEN
        page, other = self.occasion.page, self.occasion.other
        steps = [first, *both, COMPARE, CHOOSE, AGAIN]
        return [step.format(page=page, other=other, medium=self.medium) for step in steps]

    @property
    def secrecy_heading(self) -> str:
        return "What your other number is for" if self.occasion.other else "Keep this number to yourself"

    @property
    def secrecy(self) -> str:
        """What the other number is for; or, with one issuer, what that means."""
        return (TWO if self.occasion.other else ONE).format(other=self.occasion.other, issuer=self.occasion.issuer)

    @property
    def lost(self) -> str:
        return LOST.format(issuer=self.occasion.issuer, medium=self.medium)
