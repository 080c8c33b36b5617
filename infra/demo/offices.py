"""Who takes part in the demo's meeting, each with a key of its own in a file of its own.

In a real election nobody holds more than one of these, and no two of them are made on one machine.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from audit.log.keys import COSIGNATURE, ED25519, ML_DSA_44, SEED_SIZE, Signer
from infra.keys import write_secret

DOMAIN = "demo.psephos.example"
ORIGIN = f"{DOMAIN}/corecivic-2019"
OFFICIALS, OFFICIALS_SIGN = 3, 2
TRUSTEES, TRUSTEES_DECRYPT = 3, 2
ISSUERS = 2
MIXERS = 3
CUSTODIANS, CUSTODIANS_SIGN = 3, 2


@dataclass(frozen=True)
class Key:
    """A private key's file, and the verifier key that goes with it."""

    file: Path
    vkey: str


@dataclass(frozen=True)
class Offices:
    """Every key of the election, by office."""

    officials: tuple[Key, ...]
    trustees: tuple[Key, ...]
    issuers: tuple[Key, ...]
    mixers: tuple[Key, ...]
    intake: Key
    log: tuple[Key, Key]  # Ed25519, ML-DSA-44
    custodians: tuple[Key, ...]


def make_offices(folder: Path, entropy: Callable[[int], bytes] = os.urandom) -> Offices:
    """Draws all keys and writes them into `folder`, mode 0600; `entropy` gives secret random bytes."""

    def make(name: str, type: int = ED25519, file: str = "") -> Key:
        signer = Signer(name if name == ORIGIN else f"{name}.{DOMAIN}", type, entropy(SEED_SIZE))
        path = folder / f"{file or name}.key"
        write_secret(path, signer.private + "\n")
        return Key(path, signer.vkey)

    def several(name: str, count: int, type: int = ED25519) -> tuple[Key, ...]:
        return tuple(make(f"{name}-{number}", type) for number in range(1, count + 1))

    return Offices(
        officials=several("official", OFFICIALS),
        trustees=several("trustee", TRUSTEES),
        issuers=several("issuer", ISSUERS),
        mixers=several("mixer", MIXERS),
        intake=make("intake-1"),
        # Named by its origin, as C2SP tlog-checkpoint advises and tlog-policy expects of a log's key.
        log=(make(ORIGIN, ED25519, "log-ed25519"), make(ORIGIN, ML_DSA_44, "log-ml-dsa-44")),
        custodians=several("custodian", CUSTODIANS, COSIGNATURE),
    )
