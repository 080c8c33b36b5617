"""Bodies of `add-entries`: in what form they may come, where they may end, and what is none."""

from __future__ import annotations

import asyncio
import gzip
import random
from collections.abc import AsyncIterator
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.log.merkle import HASH_SIZE
from audit.log.tiles import frame
from audit.protocol.refused import Refused
from tests.vault.conftest import Served
from tests.vault.uploading import add, beginning, cosigned, refused, seen, upload
from vault.custodian.mirror import NoPackage, Packages, parse_beginning
from vault.custodian.standard_calls import STEP, _unpacked
from vault.custodian.uploads import Upload


@pytest.mark.parametrize("cut", range(0, 60, 7))
def test_a_body_that_ends_before_its_first_package_is_a_bad_request(served: Served, cut: int) -> None:
    seen(served, 2)
    assert refused(served, upload(served, 0, 2)[:cut], 400) == "syntax"


def test_a_body_that_is_no_upload_is_a_bad_request(served: Served) -> None:
    seen(served, 2)
    origin = served.log.origin
    backwards = beginning(origin, 2, 1)
    no_text = b"\0\2\xff\xfe" + bytes(18)
    many_hashes = beginning(origin, 0, 2) + frame(served.log.entries) + b"\x40" + bytes(64 * HASH_SIZE)
    for body in (b"", backwards, no_text, many_hashes):
        assert refused(served, body, 400) == "syntax"


def test_sixty_three_hashes_are_the_most(served: Served) -> None:
    seen(served, 2)
    body = beginning(served.log.origin, 0, 2) + frame(served.log.entries) + b"\x3f" + bytes(63 * HASH_SIZE)
    assert refused(served, body, 422) == "wrong-proof"


def test_a_ticket_is_taken_and_not_needed(served: Served) -> None:
    seen(served, 2)
    cosigned(served, upload(served, 0, 2, ticket=b"\xff" * 65_535))


def test_a_body_may_be_packed(served: Served) -> None:
    seen(served, 600)
    cosigned(served, gzip.compress(upload(served, 0, 600)), **{"Content-Encoding": "gzip"})


def test_a_packed_body_that_breaks_off_is_taken_as_far_as_it_goes(served: Served) -> None:
    seen(served, 600)
    packed = gzip.compress(upload(served, 0, 600, most=1) + random.Random(1).randbytes(5000))
    answer = add(served, packed[:-3000], **{"Content-Encoding": "gzip"})
    assert (answer.status_code, answer.content) == (202, b"600\n256\n\n")
    assert refused(served, b"no gzip", 400, **{"Content-Encoding": "gzip"}) == "syntax"


def test_what_is_packed_without_end_is_not_unpacked_further_than_asked(served: Served) -> None:
    seen(served, 2)
    body = upload(served, 0, 2) + bytes(1 << 26)
    cosigned(served, gzip.compress(body, 9), **{"Content-Encoding": "gzip"})


@pytest.mark.parametrize("coding", ["GZIP", "x-gzip"])
def test_a_coding_is_named_in_any_case(in_folder: Served, coding: str) -> None:
    seen(in_folder, 2)
    cosigned(in_folder, gzip.compress(upload(in_folder, 0, 2)), **{"Content-Encoding": coding})


@pytest.mark.parametrize("kind", ["Application/Octet-Stream", "application/octet-stream ; x=y"])
def test_a_type_is_named_in_any_case_and_may_have_parameters(in_folder: Served, kind: str) -> None:
    seen(in_folder, 2)
    cosigned(in_folder, upload(in_folder, 0, 2), **{"Content-Type": kind})


@pytest.mark.parametrize("cut", [20, 5000])
def test_a_packed_body_may_have_several_members(in_folder: Served, cut: int) -> None:
    seen(in_folder, 600)
    body = upload(in_folder, 0, 600)
    packed = gzip.compress(body[:cut]) + gzip.compress(b"") + gzip.compress(body[cut:])
    cosigned(in_folder, packed, **{"Content-Encoding": "gzip"})


def test_a_packed_body_whose_second_member_is_none_is_taken_as_far_as_it_goes(in_folder: Served) -> None:
    seen(in_folder, 600)
    packed = gzip.compress(upload(in_folder, 0, 600, most=1)) + b"\x1f\x8b, and then no gzip"
    answer = add(in_folder, packed, **{"Content-Encoding": "gzip"})
    assert (answer.status_code, answer.content) == (202, b"600\n256\n\n")


def test_each_member_is_unpacked_in_steps() -> None:
    """The bound on what is unpacked at a time holds for each, and members that hold nothing take no room."""
    packed = gzip.compress(bytes(STEP * 3 + 7), 9) + gzip.compress(b"") * 1000 + gzip.compress(bytes(STEP * 5), 9)

    async def stream() -> AsyncIterator[bytes]:
        for at in range(0, len(packed), 4096):
            yield packed[at : at + 4096]

    request = SimpleNamespace(headers={"content-encoding": "gzip"}, stream=stream)

    async def unpacked() -> list[int]:
        return [len(piece) async for piece in _unpacked(request, Upload(0.0))]  # type: ignore[arg-type]

    lengths = asyncio.run(unpacked())
    assert sum(lengths) == STEP * 8 + 7
    assert max(lengths) == STEP


def test_a_log_that_is_not_kept_is_told_before_what_else_is_wrong(served: Served) -> None:
    assert refused(served, beginning("vote.example/another", 5, 2), 404) == "unknown-log"


@pytest.mark.parametrize("headers", [{"Content-Encoding": "br"}, {"Content-Type": "text/plain"}])
def test_another_form_is_not_read(served: Served, headers: dict[str, str]) -> None:
    seen(served, 2)
    assert refused(served, upload(served, 0, 2), 415, **headers) in ("bad-encoding", "wrong-type")


def test_what_is_left_of_the_beginning_is_waited_for() -> None:
    whole = beginning("vote.example/x", 3, 9, b"ticket")
    for cut in range(len(whole)):
        assert parse_beginning(whole[:cut]) is None
    found = parse_beginning(whole + b"rest")
    assert found is not None
    assert (found.origin, found.start, found.end, found.length) == ("vote.example/x", 3, 9, len(whole))


@given(st.binary(max_size=400), st.integers(0, 600), st.integers(0, 600), st.integers(1, 50))
def test_no_bytes_do_more_than_be_no_package(raw: bytes, start: int, length: int, step: int) -> None:
    found = Packages(start, start + length)
    for at in range(0, len(raw), step):
        found.add(raw[at : at + step])
        try:
            while (package := None if found.whole else found.next()) is not None:
                assert 0 < len(package.entries) <= 256
                assert start <= package.start < start + length
        except NoPackage:
            return


@given(st.binary(max_size=80))
def test_no_bytes_do_more_than_be_no_beginning(raw: bytes) -> None:
    try:
        found = parse_beginning(raw)
    except Refused as refusal:
        assert refusal.reason == "syntax"
        return
    assert found is None or found.length <= len(raw)


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=520), st.integers(0, 300), st.integers(1, 999))
def test_packages_come_back_however_the_bytes_are_cut(entries: list[bytes], start: int, step: int) -> None:
    raw, places = b"", []
    end = start + len(entries)
    for first in range(start // 256 * 256, end, 256):
        at, last = max(start, first), min(first + 256, end)
        raw += frame(entries[at - start : last - start]) + b"\x01" + bytes(HASH_SIZE)
        places.append(at)
    found, packages = Packages(start, end), []
    for at in range(0, len(raw), step):
        found.add(raw[at : at + step])
        while not found.whole and (package := found.next()) is not None:
            packages.append(package)
    assert found.whole
    assert [package.start for package in packages] == places
    assert [entry for package in packages for entry in package.entries] == entries
