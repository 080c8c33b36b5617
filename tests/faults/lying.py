"""What a custodian does that is not honest, or not quick: done to this process's own, before it serves."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from vault.custodian.cosign import Head
from vault.custodian.custody import Custodian
from vault.custodian.kept import Kept

SLOW_SECONDS = 4.0
"""Longer than who asks waits for an answer here."""


def slow() -> None:
    """It does all that it is asked, too late."""
    for name in ("append", "publish", "held", "checkpoint"):
        _wrap(Custodian, name, lambda honest: lambda *arguments: (time.sleep(SLOW_SECONDS), honest(*arguments))[1])


def garbage() -> None:
    """It stores, and says that a line that nobody signed is its cosignature."""
    _wrap(Kept, "lines", lambda honest: lambda *arguments: b"\xe2\x80\x94 custodian-1 AAAAAAAA\n")


def equivocate() -> None:
    """It cosigns another tree of the size that it is asked for."""

    def lines(honest: Callable[..., bytes]) -> Callable[..., bytes]:
        def other(self: Kept, origin: str, head: Head) -> bytes:
            note = head.note.split(b"\n", 3)
            note[2] = b"A" * 43 + b"="
            return honest(self, origin, replace(head, note=b"\n".join(note), root=bytes(32)))

        return other

    _wrap(Kept, "lines", lines)


def forget() -> None:
    """It shows, whoever asks, that it holds nothing and has published nothing."""
    for name in ("held", "checkpoint"):
        _wrap(Custodian, name, lambda honest: lambda *arguments: None)


def pretend() -> None:
    """It says that it has published what it has not, and shows what it published first for ever."""
    first: dict[str, bytes | None] = {}

    def publish(honest: Callable[..., Any]) -> Callable[..., None]:
        return lambda *arguments: None

    def checkpoint(honest: Callable[..., bytes | None]) -> Callable[..., bytes | None]:
        return lambda self, origin: first.setdefault(origin, honest(self, origin))

    _wrap(Custodian, "publish", publish)
    _wrap(Custodian, "checkpoint", checkpoint)


def _wrap(whose: type, name: str, lie: Callable[[Any], Any]) -> None:
    setattr(whose, name, lie(getattr(whose, name)))


LIES: dict[str, Callable[[], None]] = {
    "slow": slow,
    "garbage": garbage,
    "equivocate": equivocate,
    "forget": forget,
    "pretend": pretend,
}
