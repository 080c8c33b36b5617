"""A record in a bucket of an S3-compatible store, every object of it under Object Lock: until its date nobody, the
bucket's owner included, can delete or change what is there.

The files are those of an exported record, under their paths, so any tlog-tiles client reads the bucket by its address.
Every tile and bundle is put once; one that is there already must have the same bytes. The checkpoint is written last,
as another version if it has changed: after a crash the old record stands, with some files of the new one beside it that
nobody asks for yet, and the next export goes on from there.

What the capture of its keys buys an attacker: new objects and new versions, a marker that hides an object; none of what
was written before is lost, and a reader verifies every byte.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from audit.log.checkpoint import LogPolicy, open_note, parse_checkpoint
from audit.log.export import RecordFiles
from audit.log.merkle import CompactRange
from audit.log.notes import MAX_NOTE, parse_note
from audit.log.reader import Head, Reader, open_head, read_entries
from audit.log.sources import CHECKPOINT, REKEYS, rekeys_text
from audit.log.tiles import MAX_BUNDLE
from audit.protocol.refused import Refused

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

MODES = ("GOVERNANCE", "COMPLIANCE")
AT_ONCE = 8
"""Objects that are written at a time."""
SLACK = timedelta(days=1)
"""By how much less than asked for an object may be kept, so that a daily export does not extend everything again."""
FOREVER = "public, max-age=31536000, immutable"
NOT_KEPT = "no-cache"

Progress = Callable[[int, int], None]

_ADDRESS = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/([A-Za-z0-9._-]+(?:/[A-Za-z0-9._-]+)*))?/?")


class BucketError(Exception):
    """The bucket cannot be used, or does not keep what it was given. `where` is the object's address, `reason` a
    kebab-case code.
    """

    def __init__(self, detail: str, where: str, reason: str = "bucket") -> None:
        super().__init__(detail, where, reason)
        self.detail, self.where, self.reason = detail, where, reason

    def __str__(self) -> str:
        return f"{self.where}: {self.detail}"


@dataclass(frozen=True)
class Lock:
    """How long every object is kept from now on: `mode` of MODES, `until` with its time zone."""

    mode: str
    until: datetime

    @classmethod
    def for_days(cls, mode: str, days: int, now: datetime) -> Lock:
        """ValueError for another mode, or no day at all."""
        if mode not in MODES:
            raise ValueError(f"the mode of retention is one of {', '.join(MODES)}, not {mode}")
        if days < 1:
            raise ValueError("objects are kept for a day at least")
        # Whole seconds: that is all a store remembers.
        return cls(mode, now.replace(microsecond=0) + timedelta(days=days))


class Bucket:
    """The objects of one record under `s3://NAME/PREFIX`. Every method raises BucketError."""

    def __init__(self, client: Any, address: str, lock: Lock) -> None:
        """`client` is boto3's for S3. BucketError if `address` is none, or the bucket has no Object Lock."""
        found = _ADDRESS.fullmatch(address)
        if found is None:
            raise BucketError("is not an address of the form s3://NAME/PREFIX", address, "syntax")
        self._client, self._lock = client, lock
        self._name, self._prefix = found[1], f"{found[2]}/" if found[2] else ""
        answer = self._call("get_object_lock_configuration", "", absent="ObjectLockConfigurationNotFoundError")
        if (answer or {}).get("ObjectLockConfiguration", {}).get("ObjectLockEnabled") != "Enabled":
            detail = "has no Object Lock, so that whoever has its keys could delete the record"
            raise BucketError(detail, f"s3://{self._name}", "no-object-lock")

    def where(self, path: str) -> str:
        """The address of an object, as errors name it."""
        return f"s3://{self._name}/{self._prefix}{path}" if path else f"s3://{self._name}"

    def get(self, path: str, most: int) -> bytes | None:
        """The object's newest version, None if there is none; at most `most` bytes."""
        answer = self._call("get_object", path, absent="NoSuchKey")
        return None if answer is None else self._body(answer, path, most)

    def put_once(self, path: str, data: bytes) -> None:
        """Stores an object that never changes, or sees that it is there with these bytes, and locked long enough."""
        answer = self._call("get_object", path, absent="NoSuchKey")
        if answer is None:
            if self._put(path, data, FOREVER, IfNoneMatch="*") is not None:
                self._check_lock(path, self._call("head_object", path) or {})
                return
            # Another export has put it in the meantime.
            answer = self._call("get_object", path) or {}
        if self._body(answer, path, MAX_BUNDLE) != data:
            raise BucketError("holds other bytes than the log", self.where(path), "wrong-bytes")
        self._keep(path, answer)

    def _keep(self, path: str, answer: dict[str, Any]) -> None:
        """Has the version that was got kept as long as is asked for."""
        if _kept(answer) < self._lock.until - SLACK:
            retention = {"Mode": self._lock.mode, "RetainUntilDate": self._lock.until}
            self._call("put_object_retention", path, Retention=retention, VersionId=answer["VersionId"])
            self._check_lock(path, self._call("head_object", path, VersionId=answer["VersionId"]) or {})

    def put_newest(self, path: str, data: bytes) -> None:
        """Has these bytes as the newest version of an object: as another one, and those before it stay, locked as they
        are; or, if it is these bytes already, kept for longer.
        """
        held = self._call("get_object", path, absent="NoSuchKey")
        if held is not None and self._body(held, path, MAX_BUNDLE) == data:
            self._keep(path, held)
            return
        answer = self._put(path, data, NOT_KEPT) or {}
        self._check_lock(path, self._call("head_object", path, VersionId=answer.get("VersionId", "")) or {})

    def _put(self, path: str, data: bytes, cache: str, **more: str) -> dict[str, Any] | None:
        return self._call(
            "put_object",
            path,
            absent="PreconditionFailed",
            Body=data,
            CacheControl=cache,
            ContentType="text/plain; charset=utf-8" if path in (CHECKPOINT, REKEYS) else "application/octet-stream",
            # The store refuses bytes that changed on the way.
            ChecksumAlgorithm="SHA256",
            ObjectLockMode=self._lock.mode,
            ObjectLockRetainUntilDate=self._lock.until,
            **more,
        )

    def _check_lock(self, path: str, answer: dict[str, Any]) -> None:
        # A store that does not know Object Lock takes the object and says nothing.
        if answer.get("ObjectLockMode") not in MODES or _kept(answer) < self._lock.until - SLACK:
            raise BucketError("was stored, but is not locked until the date asked for", self.where(path), "not-locked")

    def _body(self, answer: dict[str, Any], path: str, most: int) -> bytes:
        from botocore.exceptions import BotoCoreError

        try:
            raw = answer["Body"].read(most + 1)
        except (BotoCoreError, OSError) as error:
            raise BucketError(f"cannot be read: {type(error).__name__}", self.where(path)) from None
        if len(raw) > most:
            raise BucketError(f"is longer than the {most} bytes it may have", self.where(path), "wrong-bytes")
        return bytes(raw)

    def _call(self, call: str, path: str, absent: str = "", **options: Any) -> dict[str, Any] | None:
        """The store's answer; None for the error code `absent`. The key is given unless `path` is empty."""
        from botocore.exceptions import BotoCoreError, ClientError

        named = {"Bucket": self._name, **({"Key": self._prefix + path} if path else {}), **options}
        try:
            answer: dict[str, Any] = getattr(self._client, call)(**named)
            return answer
        except ClientError as error:
            if absent and _code(error) == absent:
                return None
            raise BucketError(f"the store refuses {call}: {_code(error)}", self.where(path), "refused") from None
        except BotoCoreError as error:
            raise BucketError(f"the store cannot be used: {error}", self.where(path), "unreachable") from None


def client(endpoint: str | None = None, profile: str | None = None) -> Any:
    """boto3's client for S3, its credentials from the usual files, or the machine's role; never from the environment,
    where every process of the account could read them. BucketError.
    """
    import boto3
    import botocore.session
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    try:
        session = botocore.session.Session(profile=profile)
        session.get_component("credential_provider").remove("env")
        retries: Any = {"mode": "standard", "max_attempts": 5}
        config = Config(connect_timeout=10, read_timeout=60, retries=retries, max_pool_connections=AT_ONCE)
        return boto3.Session(botocore_session=session).client("s3", endpoint_url=endpoint, config=config)
    except (BotoCoreError, ValueError) as error:
        raise BucketError(f"no client for the store: {error}", endpoint or "s3") from None


def export_to_bucket(
    reader: Reader,
    policy: LogPolicy,
    bucket: Bucket,
    progress: Progress = lambda done, total: None,
    *,
    past: Callable[[int], LogPolicy] | None = None,
    rekeys: Sequence[int] = (),
) -> Head | None:
    """Writes the log up to the reader's newest checkpoint to the bucket; None if none is published.

    `policy` is whose signatures count over it, `past` those that counted over so many entries, if others did; `rekeys`,
    where keys were changed, is written beside the tiles for readers who look for it. The tiles are computed from the
    verified entries. A record that is there already must be a beginning of this one: BucketError `fork` if it is of
    another tree, `newer` if it is longer. ReadError as `open_head` and `read_entries`; BucketError.
    """
    head = open_head(reader, policy, exact=True)
    if head is None:
        return None
    held = _held(bucket, past or (lambda size: policy))
    size, root = (0, b"") if held is None else (held.size, held.root)
    if size > head.size:
        detail = f"is of {size} entries, more than the {head.size} of {reader}"
        raise BucketError(detail, bucket.where(CHECKPOINT), "newer")
    with ThreadPoolExecutor(AT_ONCE, "put") as threads:
        writing = _Writing(bucket, threads)
        record = RecordFiles(writing.write)
        for entry in read_entries(reader, CompactRange(), head):
            record.add(entry)
            if record.size == size and record.root() != root:
                detail = f"is of another tree of {size} entries, signed by the same log: keep both"
                raise BucketError(detail, bucket.where(CHECKPOINT), "fork")
            if record.size % 256 == 0:
                progress(record.size, head.size)
        record.end()
        writing.end()
    if rekeys:
        bucket.put_newest(REKEYS, rekeys_text(rekeys))
    bucket.put_newest(CHECKPOINT, head.note.raw)
    progress(head.size, head.size)
    return head


def _held(bucket: Bucket, policy: Callable[[int], LogPolicy]) -> Head | None:
    raw = bucket.get(CHECKPOINT, MAX_NOTE)
    if raw is None:
        return None
    try:
        note = parse_note(raw)
        return Head(open_note(note, policy(parse_checkpoint(note.text).size), exact=True), note)
    except Refused as refusal:
        raise BucketError(str(refusal), bucket.where(CHECKPOINT), refusal.reason) from None


class _Writing:
    """Objects on their way, a few at a time, so that memory does not grow with the log."""

    def __init__(self, bucket: Bucket, threads: ThreadPoolExecutor) -> None:
        self._bucket, self._threads = bucket, threads
        self._under_way: deque[Future[None]] = deque()

    def write(self, path: str, data: bytes) -> None:
        while len(self._under_way) >= 2 * AT_ONCE:
            self._under_way.popleft().result()
        self._under_way.append(self._threads.submit(self._bucket.put_once, path, data))

    def end(self) -> None:
        """Returns once everything is stored; BucketError of the first that is not."""
        while self._under_way:
            self._under_way.popleft().result()


def _kept(answer: dict[str, Any]) -> datetime:
    until: datetime | None = answer.get("ObjectLockRetainUntilDate")
    return datetime.min.replace(tzinfo=UTC) if until is None else until


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", "unknown"))[:60]
