"""A record in a bucket with Object Lock, against a real server of the S3 protocol on loopback: what is stored stands
until its date, other bytes are never taken for it, and any reader verifies it by the bucket's address.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError
from moto.server import ThreadedMotoServer
from typer.testing import CliRunner

from audit.log import bucket as buckets
from audit.log.bucket import Bucket, BucketError, Lock, export_to_bucket
from audit.log.export import check_tiles
from audit.log.merkle import CompactRange
from audit.log.notes import MAX_NOTE
from audit.log.reader import HttpReader, open_head, read_entries
from infra.commands import root
from tests.log.sample import POLICY, MemoryReader, some_entries
from tests.simulator.dice import Dice
from tests.simulator.meeting import Meeting
from tests.simulator.record import files_of, write
from tests.simulator.rekeys import rekey

NOW = datetime.now(UTC).replace(microsecond=0)
LOCK = Lock("COMPLIANCE", NOW + timedelta(days=30))
KEYS = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing", "region_name": "us-east-1"}
_numbers = itertools.count()


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture
def s3(endpoint: str):
    return boto3.client("s3", endpoint_url=endpoint, **KEYS)


@pytest.fixture
def name(s3) -> str:
    made = f"record-{next(_numbers)}"
    s3.create_bucket(Bucket=made, ObjectLockEnabledForBucket=True)
    # As the owner of a public record does: anybody may read.
    everybody = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{made}/*"}
    s3.put_bucket_policy(Bucket=made, Policy=json.dumps({"Version": "2012-10-17", "Statement": [everybody]}))
    return made


def retention(s3, **place: str) -> tuple[str, datetime]:
    """Mode and date of an object's lock, as the store tells it."""
    found = s3.head_object(**place)
    return found["ObjectLockMode"], found["ObjectLockRetainUntilDate"]


def test_a_reader_verifies_the_record_by_the_address_of_the_bucket(s3, name: str, endpoint: str) -> None:
    source = MemoryReader(some_entries(600))
    head = export_to_bucket(source, POLICY, Bucket(s3, f"s3://{name}/vote/one", LOCK))
    reader = HttpReader(f"{endpoint}/{name}/vote/one")
    found = open_head(reader, POLICY, exact=True)
    assert found == head
    check_tiles(reader, found)
    assert list(read_entries(reader, CompactRange(), found)) == some_entries(600)
    keys = {item["Key"] for item in s3.list_objects_v2(Bucket=name)["Contents"]}
    assert keys == {f"vote/one/{path}" for path in source.files}


def test_every_object_is_locked_until_its_date(s3, name: str) -> None:
    export_to_bucket(MemoryReader(some_entries(300)), POLICY, Bucket(s3, f"s3://{name}", LOCK))
    versions = s3.list_object_versions(Bucket=name)["Versions"]
    assert len(versions) == 6
    for version in versions:
        place = {"Bucket": name, "Key": version["Key"], "VersionId": version["VersionId"]}
        assert retention(s3, **place) == ("COMPLIANCE", LOCK.until)
        with pytest.raises(ClientError, match="AccessDenied"):
            s3.delete_object(**place)


def test_a_grown_log_adds_what_is_new_and_puts_nothing_twice(s3, name: str, endpoint: str) -> None:
    bucket = Bucket(s3, f"s3://{name}", LOCK)
    first = MemoryReader(some_entries(300))
    for source in (first, first, MemoryReader(some_entries(700))):
        export_to_bucket(source, POLICY, bucket)
    versions = s3.list_object_versions(Bucket=name)["Versions"]
    keys = [version["Key"] for version in versions]
    # The same checkpoint again is no new version.
    assert sorted(key for key in keys if keys.count(key) > 1) == ["checkpoint"] * 2
    found = open_head(HttpReader(f"{endpoint}/{name}"), POLICY, exact=True)
    assert found is not None
    assert found.size == 700


def test_a_checkpoint_is_written_after_all_that_it_covers(s3, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = Bucket(s3, f"s3://{name}", LOCK)
    puts = []
    once, newest = Bucket.put_once, Bucket.put_newest
    monkeypatch.setattr(Bucket, "put_once", lambda b, path, data: (once(b, path, data), puts.append(path)))
    monkeypatch.setattr(Bucket, "put_newest", lambda b, path, data: (puts.append(path), newest(b, path, data)))
    export_to_bucket(MemoryReader(some_entries(600)), POLICY, bucket)
    assert puts[-1] == "checkpoint"
    assert set(puts) == set(MemoryReader(some_entries(600)).files)


def test_other_bytes_under_a_name_are_never_taken_for_the_record(s3, name: str) -> None:
    s3.put_object(Bucket=name, Key="tile/entries/001", Body=b"other")
    with pytest.raises(BucketError) as error:
        export_to_bucket(MemoryReader(some_entries(600)), POLICY, Bucket(s3, f"s3://{name}", LOCK))
    assert error.value.reason == "wrong-bytes"
    assert error.value.where == f"s3://{name}/tile/entries/001"
    assert "checkpoint" not in {item["Key"] for item in s3.list_objects_v2(Bucket=name)["Contents"]}


def test_an_object_that_somebody_put_without_a_lock_is_locked(s3, name: str) -> None:
    path = "tile/entries/000"
    s3.put_object(Bucket=name, Key=path, Body=MemoryReader(some_entries(600)).files[path])
    export_to_bucket(MemoryReader(some_entries(600)), POLICY, Bucket(s3, f"s3://{name}", LOCK))
    assert retention(s3, Bucket=name, Key=path) == ("COMPLIANCE", LOCK.until)
    assert len(s3.list_object_versions(Bucket=name, Prefix=path)["Versions"]) == 1


def test_another_tree_is_a_fork_and_leaves_the_record_as_it_is(s3, name: str) -> None:
    bucket = Bucket(s3, f"s3://{name}", LOCK)
    first = MemoryReader(some_entries(5))
    export_to_bucket(first, POLICY, bucket)
    other = MemoryReader([*some_entries(4), b"another", b"and more"])
    with pytest.raises(BucketError) as error:
        export_to_bucket(other, POLICY, bucket)
    assert error.value.reason == "fork"
    assert bucket.get("checkpoint", MAX_NOTE) == first.files["checkpoint"]


def test_a_shorter_log_replaces_nothing(s3, name: str) -> None:
    bucket = Bucket(s3, f"s3://{name}", LOCK)
    export_to_bucket(MemoryReader(some_entries(5)), POLICY, bucket)
    with pytest.raises(BucketError, match="more than the 4") as error:
        export_to_bucket(MemoryReader(some_entries(4)), POLICY, bucket)
    assert error.value.reason == "newer"


def test_a_bucket_without_object_lock_is_refused(s3) -> None:
    s3.create_bucket(Bucket="without-lock")
    with pytest.raises(BucketError) as error:
        Bucket(s3, "s3://without-lock/x", LOCK)
    assert error.value.reason == "no-object-lock"


def test_a_store_that_takes_the_lock_and_forgets_it_is_found_out(s3, name: str) -> None:
    class Forgetful:
        def __getattr__(self, call: str):
            def ask(**options):
                kept = {key: value for key, value in options.items() if not key.startswith("ObjectLock")}
                return getattr(s3, call)(**kept)

            return ask

    with pytest.raises(BucketError) as error:
        export_to_bucket(MemoryReader(some_entries(5)), POLICY, Bucket(Forgetful(), f"s3://{name}", LOCK))
    assert error.value.reason == "not-locked"


@pytest.mark.parametrize("address", ["http://x/y", "s3://", "s3://Name/x", "s3://name//x", "s3://name/x y"])
def test_another_address_is_refused(s3, address: str) -> None:
    with pytest.raises(BucketError) as error:
        Bucket(s3, address, LOCK)
    assert error.value.reason == "syntax"


def test_a_lock_is_of_a_known_mode_and_for_a_day_at_least() -> None:
    for mode, days in (("NONE", 1), ("COMPLIANCE", 0)):
        with pytest.raises(ValueError, match="mode of retention|a day at least"):
            Lock.for_days(mode, days, NOW)


@pytest.fixture
def aws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials as they are kept: in a file. What stands in the environment is wrong."""
    file = tmp_path / "credentials"
    file.write_text("[default]\naws_access_key_id = from-the-file\naws_secret_access_key = from-the-file\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "from-the-environment")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "from-the-environment")


def test_credentials_come_from_files_and_never_from_the_environment(aws: None, endpoint: str) -> None:
    made = buckets.client(endpoint)
    assert made._request_signer._credentials.access_key == "from-the-file"


def test_the_command_exports_and_verify_reads_it_back(
    s3, name: str, endpoint: str, aws: None, tmp_path: Path
) -> None:
    meeting = Meeting().found().ceremony()
    folder = write(files_of(meeting.entries, meeting.parties, meeting.origin), tmp_path / "record")
    address = f"s3://{name}/{meeting.origin}"
    command = ["export-record", str(folder), "--bucket", address, "--endpoint", endpoint, "--manifest", meeting.hash]
    done = CliRunner().invoke(root(), [*command, "--mode", "governance", "--retain-days", "2"])
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith(f"{meeting.origin}: {len(meeting.entries)} entries, root ")
    assert retention(s3, Bucket=name, Key=f"{meeting.origin}/checkpoint")[0] == "GOVERNANCE"
    again = CliRunner().invoke(root(), ["verify", f"{endpoint}/{name}/{meeting.origin}", "--manifest", meeting.hash])
    assert again.exit_code == 0, again.output
    assert "VERIFIED" in again.stdout


def test_a_record_grows_over_a_change_of_keys(s3, name: str, endpoint: str, aws: None, tmp_path: Path) -> None:
    meeting = Meeting().found().ceremony()
    address = f"s3://{name}/{meeting.origin}"
    for part in ("before", "after", "again"):
        folder = write(files_of(meeting.entries, meeting.parties, meeting.origin), tmp_path / part)
        command = ["export-record", str(folder), "--bucket", address, "--endpoint", endpoint]
        done = CliRunner().invoke(root(), command)
        assert done.exit_code == 0, done.exception
        if part == "before":
            rekey(meeting, "log", "log", Dice(70).log_keys("log"))
    again = CliRunner().invoke(root(), ["verify", f"{endpoint}/{name}/{meeting.origin}", "--manifest", meeting.hash])
    assert again.exit_code == 0, again.output
    assert s3.get_object(Bucket=name, Key=f"{meeting.origin}/rekeys")["Body"].read() == b"10\n"
    # What has not changed is no new version.
    assert len(s3.list_object_versions(Bucket=name, Prefix=f"{meeting.origin}/rekeys")["Versions"]) == 1
