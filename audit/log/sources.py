"""Where the files of a log come from: a custodian's address, or the folder of an exported record. Nothing here is
verified.

What cannot be had, or cannot be what was asked for, is a `ReadError` naming the address or the file: another custodian
can be asked then. Nothing read once is kept, so a fault of one moment does not outlive it.
"""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import httpx

from audit.log.deadline import Deadline, client_with
from audit.log.encoding import parse_decimal
from audit.log.merkle import HASH_SIZE
from audit.log.notes import MAX_NOTE
from audit.log.tiles import MAX_BUNDLE, WIDTH, bundle_path, tile_path, unframe
from audit.protocol.refused import Refused

CHECKPOINT = "checkpoint"
REKEYS = "rekeys"
"""What a custodian serves beside the tiles: where in the log a key was changed, a number on each line."""
MAX_REKEYS = 1 << 14
TIMEOUT = httpx.Timeout(10.0, connect=5.0)
TRIES = 2
MAX_CAUSE = 200
SECONDS = 60.0
"""In which a file must be there whole, tries included: the longest bundle over a slow line, and no longer."""
_LOOPBACK = ("all://127.0.0.1", "all://[::1]", "all://localhost")


class ReadError(Exception):
    """What was read is missing, unreachable or wrong. `where` is the address or file, `reason` a kebab-case code."""

    def __init__(self, detail: str, where: str = "", reason: str = "unreadable") -> None:
        super().__init__(detail, where, reason)
        self.detail, self.where, self.reason = detail, where, reason

    def __str__(self) -> str:
        return f"{self.where}: {self.detail}" if self.where else self.detail


class Reader(Protocol):
    """The static files of one log, unverified. `str` of a reader is the address or folder that errors name. Raises
    ReadError.
    """

    def checkpoint(self) -> bytes | None:
        """The newest checkpoint, a note; None if nothing has been published yet."""

    def rekeys(self) -> Sequence[int] | None:
        """Where in the log a key was changed, as far as is said: numbers of entries, ascending; None if it is not."""

    def tile(self, level: int, index: int, width: int) -> bytes:
        """`width` hashes of a tile, exactly 32 * width bytes. Only for a tile that a verified checkpoint demands."""

    def bundle(self, index: int, width: int) -> bytes:
        """The first `width` entries of a bundle, framed (see `tiles.unframe`)."""


class HttpReader:
    """The log under `url`, a custodian's address, a slash and the origin. Keeps its connections.

    May be used by several threads.
    """

    def __init__(self, url: str, seconds: float = SECONDS) -> None:
        """`seconds`: how long any one file may take. ReadError if `url` is no address, or carries a name or a password,
        which would stand in logs and errors.
        """
        self._url, self._seconds = url.rstrip("/"), seconds
        try:
            address = httpx.URL(self._url)
        except httpx.InvalidURL as error:
            raise ReadError(f"is not an address: {error}", url.rpartition("@")[2]) from None
        if address.scheme not in ("http", "https") or not address.host:
            where = url.rpartition("@")[2]
            raise ReadError("is not an address that begins with http:// or https://", where)
        if address.userinfo:
            raise ReadError("must not carry a name or a password", url.rpartition("@")[2])
        # A proxy of the environment cannot reach what listens on this machine only.
        self._deadline = Deadline()
        self._client = client_with(self._deadline, TIMEOUT, _LOOPBACK, headers={"Accept-Encoding": "gzip"})

    def __str__(self) -> str:
        return self._url

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()

    def checkpoint(self) -> bytes | None:
        return self._get(CHECKPOINT, MAX_NOTE)

    def rekeys(self) -> Sequence[int] | None:
        raw = self._get(REKEYS, MAX_REKEYS)
        return None if raw is None else parse_rekeys(raw, f"{self}/{REKEYS}")

    def tile(self, level: int, index: int, width: int) -> bytes:
        raw = self._get(tile_path(level, index, width), WIDTH * HASH_SIZE)
        if raw is None and width < WIDTH:
            # C2SP tlog-tiles: a partial tile may be deleted once the full one is there.
            raw = (self._get(tile_path(level, index), WIDTH * HASH_SIZE) or b"")[: width * HASH_SIZE] or None
        return _whole_tile(raw, width, f"{self}/{tile_path(level, index, width)}")

    def bundle(self, index: int, width: int) -> bytes:
        where = f"{self}/{bundle_path(index, width)}"
        raw = self._get(bundle_path(index, width), MAX_BUNDLE)
        if raw is None and width < WIDTH:
            raw = self._get(bundle_path(index), MAX_BUNDLE)
        return _cut_bundle(raw, width, where)

    def _get(self, path: str, most: int) -> bytes | None:
        """The body of a 200, None for a 404."""
        where = f"{self._url}/{path}"
        self._deadline.set(self._seconds)
        for left in reversed(range(TRIES)):
            try:
                return self._get_once(where, most)
            except httpx.TransportError as error:
                # A kept connection may have been closed from the other side at any moment: asking again costs nothing.
                if self._deadline.over:
                    detail = f"is not there whole after {self._seconds:g} seconds"
                    raise ReadError(detail, where, "unreachable") from None
                if not left:
                    raise ReadError(f"cannot be reached: {cause(error)}", where, "unreachable") from None
            except httpx.HTTPError as error:
                raise ReadError(f"cannot be read: {cause(error)}", where) from None
            except ReadError:
                raise
            except Exception as error:
                # Nothing but httpx's work on a stranger's answer: whatever it stumbles over, another can be asked.
                raise ReadError(f"cannot be read: {type(error).__name__}", where) from error
        raise AssertionError("unreachable code")

    def _get_once(self, where: str, most: int) -> bytes | None:
        with self._client.stream("GET", where) as answer:
            if answer.status_code == 404:
                return None
            if answer.status_code != 200:
                raise ReadError(f"answered {answer.status_code}", where, "unreachable")
            body = bytearray()
            for part in _unpacked(answer, most, where):
                body += part
                if len(body) > most:
                    raise ReadError(f"is longer than the {most} bytes it may have", where, "wrong-length")
            return bytes(body)


class FolderReader:
    """An exported record: the files of one log in a folder. None of them is, or stands under, a symbolic link: so it
    has no more than are there, whatever size its checkpoint claims.
    """

    def __init__(self, path: Path) -> None:
        self._path = Path(path)

    def __str__(self) -> str:
        return str(self._path)

    def checkpoint(self) -> bytes | None:
        if not self._path.is_dir():
            raise ReadError("is not a folder", str(self._path), "not-found")
        return self._read(CHECKPOINT, MAX_NOTE)

    def rekeys(self) -> Sequence[int] | None:
        """A record says it by its entries alone."""
        return None

    def tile(self, level: int, index: int, width: int) -> bytes:
        path = tile_path(level, index, width)
        return _whole_tile(self._read(path, width * HASH_SIZE), width, str(self._path / path))

    def bundle(self, index: int, width: int) -> bytes:
        path = bundle_path(index, width)
        raw, where = self._read(path, MAX_BUNDLE), str(self._path / path)
        if raw is None and (other := self._bundle_of_another_width(index)):
            raise ReadError(
                f"is missing, but {other} is there: checkpoint and tiles are of different sizes", where, "not-found"
            )
        return _cut_bundle(raw, width, where, exactly=True)

    def _bundle_of_another_width(self, index: int) -> str | None:
        """The path of one that is there: then rather the checkpoint is wrong than that a file was lost."""
        partial = Path(bundle_path(index, 1)).parent
        found = [bundle_path(index), *(str(partial / str(width)) for width in range(1, WIDTH))]
        return next((path for path in found if (self._path / path).is_file()), None)

    def _read(self, path: str, most: int) -> bytes | None:
        file = self._path / path
        if os.path.realpath(file) != os.path.join(os.path.realpath(self._path), path):
            raise ReadError("is not a regular file in a folder that is one", str(file), "unexpected-file")
        try:
            with file.open("rb") as stream:
                raw = stream.read(most + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ReadError(error.strerror or "cannot be read", str(file)) from None
        if len(raw) > most:
            raise ReadError(f"is longer than the {most} bytes it may have", str(file), "wrong-length")
        return raw


def open_reader(source: str) -> HttpReader | FolderReader:
    """The reader of an address that begins with http:// or https://, otherwise of a folder. ReadError for no address,
    and for nothing.
    """
    if not source:
        raise ReadError("an empty SOURCE names neither a folder nor an address")
    return HttpReader(source) if source.startswith(("http://", "https://")) else FolderReader(Path(source))


def rekeys_text(places: Iterable[int]) -> bytes:
    """What a custodian serves as `rekeys`; `parse_rekeys` reads it."""
    return "".join(f"{index}\n" for index in places).encode()


def parse_rekeys(raw: bytes, where: str) -> list[int]:
    """The numbers in a file `rekeys`, each larger than the one before. ReadError."""
    try:
        lines = raw.decode("ascii", "replace").split("\n")
        if lines.pop():
            raise Refused("syntax", "does not end in a newline")
        places = [parse_decimal(line, "a number") for line in lines]
    except Refused as refusal:
        raise ReadError(refusal.detail, where, refusal.reason) from None
    if places != sorted(set(places)):
        raise ReadError("its numbers do not ascend", where, "syntax")
    return places


def _unpacked(answer: httpx.Response, most: int, where: str) -> Iterator[bytes]:
    """The body's parts, unpacked if they are gzip, and never more than `most` bytes and one at a time: httpx would
    unpack whatever a few bytes hold, again and again, before anybody could look at its length. ReadError.
    """
    packing = answer.headers.get("content-encoding", "identity").strip().lower()
    if packing == "identity":
        yield from answer.iter_raw()
        return
    if packing != "gzip":
        raise ReadError(f"is packed as {packing[:40]!r}, which nobody asked for", where, "bad-encoding")
    unpacking = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        for part in answer.iter_raw():
            yield unpacking.decompress(part, most + 1)
            if unpacking.unconsumed_tail:
                raise ReadError(f"is longer than the {most} bytes it may have", where, "wrong-length")
            # Not at the end alone: zlib keeps whatever comes after it.
            if unpacking.unused_data:
                break
    except zlib.error:
        raise ReadError("is not the gzip it says it is", where, "bad-encoding") from None
    if not unpacking.eof or unpacking.unused_data:
        raise ReadError("ends before its gzip does, or goes on after it", where, "bad-encoding")


def cause(error: httpx.HTTPError) -> str:
    """What it says, in words: the number that the system gives it says nothing that they do not. No more than
    MAX_CAUSE characters, for it may quote whoever answered.
    """
    return re.sub(r"^\[Errno -?\d+\] ", "", str(error))[:MAX_CAUSE] or type(error).__name__


def _whole_tile(raw: bytes | None, width: int, where: str) -> bytes:
    if raw is None:
        raise ReadError("is missing", where, "not-found")
    if len(raw) != width * HASH_SIZE:
        raise ReadError(f"has {len(raw)} bytes, not {width * HASH_SIZE}", where, "wrong-length")
    return raw


def _cut_bundle(raw: bytes | None, width: int, where: str, exactly: bool = False) -> bytes:
    """The first `width` entries of a bundle, still framed; `exactly` refuses a longer one."""
    if raw is None:
        raise ReadError("is missing", where, "not-found")
    found = end = 0
    try:
        for entry in unframe(raw):
            found, end = found + 1, end + 2 + len(entry)
            if found == width and not exactly:
                break
    except Refused as refusal:
        raise ReadError(refusal.detail, where, refusal.reason) from None
    if found != width:
        raise ReadError(f"has {found} entries, not {width}", where, "wrong-length")
    return raw[:end]
