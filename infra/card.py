"""The election card: the few public facts by which a client finds an election and cannot be shown another one.

A TOML file with the log's origin, the hash of the manifest, and where intakes and custodians are reached. It stands in
every letter and on every trustee's disk. Only the hash in it is trusted: whatever answers under these addresses is
checked against the manifest that has it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from audit.protocol.group import b64
from infra.config import load

SCHEMES = ("http://", "https://")


@dataclass(frozen=True)
class Card:
    """`manifest` is SHA-256 of the manifest's text (32 bytes); the addresses are base URLs, tried one by one."""

    origin: str
    manifest: bytes
    intakes: tuple[str, ...]
    custodians: tuple[str, ...]

    def __post_init__(self) -> None:
        if not _plain(self.origin):
            raise ValueError("`origin` is the log's name: ASCII without spaces")
        if len(self.manifest) != 32:
            raise ValueError("`manifest` is the hash of the manifest, 32 bytes in base64url")
        for name, addresses in (("intakes", self.intakes), ("custodians", self.custodians)):
            if not addresses:
                raise ValueError(f"`{name}` names at least one address")
            for address in addresses:
                if not address.startswith(SCHEMES) or not _plain(address):
                    raise ValueError(f"`{name}`: {address} is not http:// or https:// and ASCII without spaces")

    @property
    def doors(self) -> tuple[str, ...]:
        """Where entries are handed in, one URL for each intake."""
        return tuple(f"{base.rstrip('/')}/{self.origin}/entries" for base in self.intakes)

    @property
    def logs(self) -> tuple[str, ...]:
        """Where the log is read, one URL for each custodian."""
        return tuple(f"{base.rstrip('/')}/{self.origin}" for base in self.custodians)

    def to_toml(self) -> str:
        """The text of the file; `load_card` reads it back."""
        return "".join([
            f"origin = {json.dumps(self.origin)}\n",
            f"manifest = {json.dumps(b64(self.manifest))}\n",
            f"intakes = {_texts(self.intakes)}\n",
            f"custodians = {_texts(self.custodians)}\n",
        ])


def load_card(path: Path) -> Card:
    """The card in a TOML file; ConfigError naming the file and all that is wrong with it."""
    return load(Card, path)


def _plain(text: str) -> bool:
    return bool(text) and text.isascii() and text.isprintable() and " " not in text


def _texts(values: Sequence[str]) -> str:
    # An ASCII JSON string is a TOML basic string.
    return "[" + ", ".join(json.dumps(value) for value in values) + "]"
