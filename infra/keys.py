"""Secrets on disk: private keys, passwords and bearer tokens, each in a file of its own that only its owner may read.
A secret is written whole or not at all and never over another one; a file that others may read is refused rather than
used, since whoever could read it may already have done so."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from audit.log.keys import Signer, parse_private_key
from audit.protocol.refused import Refused

TOKEN_BYTES = 32


class KeyFileError(Exception):
    """A secret's file that is missing, empty, exists already or is open to others; the message names file and cause."""


def write_secret(path: Path, secret: str | bytes) -> None:
    """Stores `secret` at `path` with mode 0600; KeyFileError if anything is there already.

    A crash leaves either nothing under `path` or the whole secret, and at worst an unreadable-to-others `.part` file.
    """
    with secret_file(path) as file:
        file.write(secret.encode() if isinstance(secret, str) else secret)


@contextmanager
def secret_file(path: Path) -> Iterator[BinaryIO]:
    """A file of mode 0600 to write into, which stands at `path` once the block has ended well; else as
    `write_secret`.
    """
    path = Path(path)
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise KeyFileError(f"{path}: {error.strerror}") from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        # link, unlike rename, fails when the name is taken.
        os.link(part, path)
    except FileExistsError:
        raise KeyFileError(f"{path}: exists already and is not overwritten") from None
    finally:
        os.unlink(part)
    sync_folder(path.parent)


def read_secret(path: Path) -> bytes:
    """The bytes of the secret at `path`; KeyFileError if it is missing, empty, or readable by others than its owner."""
    path = Path(path)
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & 0o077:
                raise KeyFileError(f"{path}: mode {mode:04o} lets others read it; it must be 0600 (chmod 600)")
            secret = file.read()
    except OSError as error:
        raise KeyFileError(f"{path}: {error.strerror}") from None
    if not secret:
        raise KeyFileError(f"{path}: is empty")
    return secret


def new_token(path: Path) -> str:
    """A fresh bearer token (43 characters, 256 bits, RFC 6750 alphabet), also stored at `path`."""
    token = secrets.token_urlsafe(TOKEN_BYTES)
    write_secret(path, token + "\n")
    return token


def read_token(path: Path) -> str:
    """The bearer token stored at `path`; KeyFileError as `read_secret`, or if it is not one line of a token's
    alphabet."""
    token = read_secret(path).decode("ascii", errors="replace").strip()
    if len(token) < TOKEN_BYTES or not token.replace("-", "").replace("_", "").isalnum():
        wanted = f"one line of at least {TOKEN_BYTES} letters, digits, - and _"
        raise KeyFileError(f"{path}: is no bearer token, which is {wanted} (`psephos key token` makes one)")
    return token


def read_signer(path: Path) -> Signer:
    """The signer whose private key is stored at `path`; KeyFileError as `read_secret`, or if it holds no private
    key."""
    try:
        return parse_private_key(read_secret(path).decode("utf-8", errors="replace").removesuffix("\n"))
    except Refused as refusal:
        raise KeyFileError(f"{path}: {refusal.detail}") from None


def sync_folder(folder: Path) -> None:
    """When it returns the names in this folder are on disk. OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
