"""Files that are encrypted at rest: control numbers, and what opens the roll. Whoever takes the disk, a backup or the
file alone has nothing without the passphrase or the key file, and a changed byte is noticed.

A file is a line that names the format, a line of canonical JSON with the parameters, and the ciphertext:
ChaCha20-Poly1305 (RFC 8439) under a key made afresh for every file, by scrypt (RFC 7914) from a passphrase or by
HKDF-SHA256 (RFC 5869) from a key file. Both lines are authenticated with it. The parameters are bounded, so that a file
from elsewhere can neither ask for a guessable key nor for all of the memory. Losing passphrase or key file loses what
is in the file.
"""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from audit.protocol.canonical import canonical, parse_canonical
from audit.protocol.group import b64, unb64
from audit.protocol.refused import Refused
from audit.record.shapes import Shape, integer, octets, one_of, record
from infra.keys import KeyFileError, read_secret, write_secret

FORMAT = b"psephos/v1 sealed\n"
KEY_PREFIX = "psephos-key-"
KEY_SIZE, SALT_SIZE, NONCE_SIZE = 32, 32, 12
LOG_N, R, P = 17, 8, 1
"""scrypt: 2^17 blocks of 1 KiB, 128 MiB and about half a second for every guess."""
LEAST_PASSPHRASE = 12
LONGEST_HEADER = 500

SALTED: dict[str, Shape] = {"nonce": octets(NONCE_SIZE), "salt": octets(SALT_SIZE)}
SCRYPT = record(kdf=one_of("scrypt"), log_n=integer(15, 18), p=integer(P, P), r=integer(R, R), **SALTED)
HKDF_SHA256 = record(kdf=one_of("hkdf-sha256"), **SALTED)


class SealedError(Exception):
    """A sealed file that cannot be opened, or a lock that cannot be used; the message names file and cause."""


@dataclass(frozen=True)
class Lock:
    """What opens a sealed file: `secret` is a passphrase in UTF-8, or the 32 bytes of a key file."""

    kdf: str
    secret: bytes = field(repr=False)

    def key(self, header: dict[str, Any]) -> bytes:
        """The key of the file with this header (32 bytes)."""
        if self.kdf == "scrypt":
            return Scrypt(header["salt"], KEY_SIZE, 1 << header["log_n"], header["r"], header["p"]).derive(self.secret)
        return HKDF(SHA256(), KEY_SIZE, header["salt"], FORMAT).derive(self.secret)


def passphrase_lock(passphrase: str) -> Lock:
    """SealedError for a passphrase of less than 12 characters, or of more than one line."""
    if len(passphrase) < LEAST_PASSPHRASE or not passphrase.isprintable():
        raise SealedError(f"a passphrase is one line of at least {LEAST_PASSPHRASE} characters")
    return Lock("scrypt", passphrase.encode())


def read_lock(path: Path) -> Lock:
    """The lock in a file: a key made by `new_key_file`, or else a passphrase. SealedError, KeyFileError."""
    try:
        text = read_secret(path).decode("utf-8").removesuffix("\n")
        if text.startswith(KEY_PREFIX):
            return Lock("hkdf-sha256", unb64(text.removeprefix(KEY_PREFIX), KEY_SIZE))
        return passphrase_lock(text)
    except UnicodeDecodeError:
        raise SealedError(f"{path}: holds neither a key nor a passphrase in UTF-8") from None
    except Refused as refusal:
        raise SealedError(f"{path}: is no key file ({refusal.detail})") from None
    except SealedError as error:
        raise SealedError(f"{path}: {error}") from None


def new_key_file(path: Path) -> None:
    """Draws a key (256 bits) and stores it, mode 0600. KeyFileError if anything is there already."""
    write_secret(path, f"{KEY_PREFIX}{b64(os.urandom(KEY_SIZE))}\n")


def lock_for(path: Path, unlock: Path | None) -> Lock:
    """The lock of the sealed file at `path`: what is in the file `unlock`, or a passphrase asked for at the terminal,
    twice if the file is still to be made. SealedError, KeyFileError.
    """
    if unlock is not None:
        return read_lock(unlock)
    if not sys.stdin.isatty():
        raise SealedError(f"{path}: no terminal to ask for its passphrase; name a file that holds passphrase or key")
    passphrase = getpass.getpass(f"Passphrase of {path}: ")
    if not path.exists() and getpass.getpass("Once more: ") != passphrase:
        raise SealedError("the two passphrases differ")
    return passphrase_lock(passphrase)


def seal(plain: bytes, lock: Lock, entropy: Callable[[int], bytes]) -> bytes:
    """The bytes of a sealed file. entropy: gives so many random bytes; both drawn here are for this file alone."""
    fields: dict[str, Any] = {"kdf": lock.kdf, "nonce": entropy(NONCE_SIZE), "salt": entropy(SALT_SIZE)}
    if lock.kdf == "scrypt":
        fields |= {"log_n": LOG_N, "p": P, "r": R}
    written = {name: b64(value) if isinstance(value, bytes) else value for name, value in fields.items()}
    header = FORMAT + canonical(written) + b"\n"
    return header + ChaCha20Poly1305(lock.key(fields)).encrypt(fields["nonce"], plain, header)


def unseal(raw: bytes, lock: Lock) -> bytes:
    """What was sealed. SealedError for any other bytes, parameters or lock; which of the last two it was, none can
    tell.
    """
    header, fields = _header(raw)
    if fields["kdf"] != lock.kdf:
        wanted = "passphrase" if fields["kdf"] == "scrypt" else "key file"
        raise SealedError(f"is sealed with a {wanted}, and that was not given")
    try:
        return ChaCha20Poly1305(lock.key(fields)).decrypt(fields["nonce"], raw[len(header) :], header)
    except InvalidTag:
        what = "passphrase" if lock.kdf == "scrypt" else "key"
        raise SealedError(f"the {what} is another one, or the file has been changed") from None


def _header(raw: bytes) -> tuple[bytes, dict[str, Any]]:
    end = raw.find(b"\n", len(FORMAT), LONGEST_HEADER)
    if not raw.startswith(FORMAT) or end < 0:
        raise SealedError("is not a sealed file")
    try:
        fields = parse_canonical(raw[len(FORMAT) : end])
        shape = SCRYPT if isinstance(fields, dict) and fields.get("kdf") == "scrypt" else HKDF_SHA256
        return raw[: end + 1], shape(fields, "")
    except Refused as refusal:
        raise SealedError(f"its header is none of this release ({refusal})") from None


def write_sealed(path: Path, plain: bytes, lock: Lock) -> None:
    """Stores `plain` sealed at `path`, whole or not at all, mode 0600. KeyFileError if anything is there already."""
    write_secret(path, seal(plain, lock, os.urandom))


def read_sealed(path: Path, lock: Lock) -> bytes:
    """What is sealed in the file at `path`. SealedError, KeyFileError."""
    try:
        return unseal(read_secret(path), lock)
    except SealedError as error:
        raise SealedError(f"{path}: {error}") from None


def stored_sealed(path: Path, make: Callable[[], bytes], lock: Lock) -> bytes:
    """What is sealed at `path`, made and kept there before anybody sees it if there is nothing yet."""
    if not path.exists():
        # Taken already, if another process was quicker: then what it keeps is what counts.
        with suppress(KeyFileError):
            write_sealed(path, make(), lock)
    return read_sealed(path, lock)
