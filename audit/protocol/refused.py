"""The one way in which rules say no: `Refused`, with a reason that programs match on and a sentence for people."""

from __future__ import annotations

import copy
from typing import Self


class Refused(Exception):
    """An input that the rules do not accept.

    reason: a kebab-case code, stable across releases; detail: one sentence saying what is wrong; field: the path of the
    JSON field at fault, or empty. No secret ever stands in any of them.
    """

    def __init__(self, reason: str, detail: str, field: str = "") -> None:
        super().__init__(reason, detail, field)
        self.reason, self.detail, self.field = reason, detail, field

    def __str__(self) -> str:
        return f"{self.field}: {self.detail}" if self.field else self.detail

    def at(self, path: str) -> Self:
        """The same refusal with `path` in front of its field."""
        moved = copy.copy(self)
        joint = "." if self.field and path and not self.field.startswith("[") else ""
        moved.field = f"{path}{joint}{self.field}"
        return moved


class TrusteeFault(Refused):
    """A refusal that shows which trustee's message is wrong. What it does not show stands in the detail."""

    def __init__(self, trustee: str, reason: str, detail: str, field: str = "") -> None:
        super().__init__(reason, detail, field)
        # The arguments by which a copy, or another process, makes this exception again.
        self.args = (trustee, reason, detail, field)
        self.trustee = trustee


class MixerFault(Refused):
    """A refusal that shows which mixer has not mixed as it must."""

    def __init__(self, mixer: str, reason: str, detail: str, field: str = "") -> None:
        super().__init__(reason, detail, field)
        self.args = (mixer, reason, detail, field)
        self.mixer = mixer
