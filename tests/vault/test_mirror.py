"""C2SP tlog-mirror `add-entries`: every status it has, uploads that break off and go on, and that the custodian's
cosignature comes only when everything is stored.
"""

from __future__ import annotations

import gzip
import random
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.log.merkle import HASH_SIZE, CompactRange
from audit.log.notes import parse_note, parse_signature_lines
from audit.log.reader import HttpReader, open_head, read_entries
from audit.log.subtree import subtree_proof
from audit.log.tiles import frame
from audit.protocol.refused import Refused
from tests.loopback import serving
from tests.vault.conftest import CUSTODIANS, LOG, NOW, TOKEN, WITNESS, Growing, Served
from tests.vault.fixed_keys import FixedKeys
from tests.vault.sources import Shown
from tests.vault.test_witness import add as show
from tests.vault.test_witness import submission
from vault.custodian import standard_calls
from vault.custodian.folder_mending import MendableFolder
from vault.custodian.mending import Scrub
from vault.custodian.mirror import Mirror, NoPackage, Packages, parse_beginning
from vault.custodian.serve import custodian_app
from vault.custodian.stored import line_of

OCTETS = {"Content-Type": "application/octet-stream", "Authorization": f"Bearer {TOKEN}"}


def beginning(origin: str, start: int, end: int, ticket: bytes = b"") -> bytes:
    name = origin.encode()
    sizes = start.to_bytes(8, "big") + end.to_bytes(8, "big")
    return len(name).to_bytes(2, "big") + name + sizes + len(ticket).to_bytes(2, "big") + ticket


def packages(log: Growing, start: int, end: int) -> list[bytes]:
    """The canonical sequence, as the specification has it."""
    source, made = log.source, []
    for first in range(start // 256 * 256, end, 256):
        last = min(first + 256, end)
        proof = subtree_proof(source, first, last, end)
        entries = frame(log.entries[max(start, first) : last])
        made.append(entries + len(proof).to_bytes(1, "big") + b"".join(proof))
    return made


def upload(served: Served, start: int, end: int, most: int | None = None, **kwargs: bytes) -> bytes:
    return beginning(served.log.origin, start, end, **kwargs) + b"".join(packages(served.log, start, end)[:most])


def add(served: Served, body: bytes, **headers: str):
    return served.client.post("/add-entries", content=body, headers={**OCTETS, **headers})


def cosigned(served: Served, body: bytes, **headers: str) -> list[int]:
    """The times in the custodian's lines over the tree that the upload leads to."""
    answer = add(served, body, **headers)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/plain; charset=utf-8"), answer.text
    assert answer.headers["accept-encoding"] == "gzip"
    lines = parse_signature_lines(answer.content)
    text = served.log.head(served.stored().size).text
    return [key.verifier.verify(text, line.sig) for key, line in zip(CUSTODIANS[0], lines, strict=True)]


def brought(served: Served) -> int:
    """How many entries are stored apart, before their head."""
    assert served.store().staged(served.log.origin) == served.stored().size
    return served.store().brought(served.log.origin, line_of(served.log.policy))


def info(served: Served, body: bytes, status: int) -> tuple[int, int]:
    """Size and next entry of an answer that says where to go on."""
    answer = add(served, body)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "text/x.tlog.mirror-info"), answer.text
    assert answer.headers["accept-encoding"] == "gzip"
    size, following, ticket, end = answer.content.split(b"\n")
    assert (ticket, end) == (b"", b"")
    return int(size), int(following)


def refused(served: Served, body: bytes, status: int, **headers: str) -> str:
    before = served.stored()
    answer = add(served, body, **headers)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    assert served.stored() == before
    return answer.json()["reason"]


def seen(served: Served, *sizes: int) -> None:
    """The witness has been shown these sizes of the log, which has grown so far."""
    known = max(served.store().observed(served.log.origin).size, served.stored().size)
    for size in sizes:
        served.log.grow(max(size - len(served.log.entries), 0))
        assert show(served, submission(served, known, size)).status_code == 200
        known = size


@pytest.mark.parametrize("size", [1, 255, 256, 257, 700])
def test_a_log_is_brought_whole_and_cosigned_by_the_custodian(served: Served, size: int) -> None:
    seen(served, size)
    assert served.stored().size == 0
    served.time += 5
    assert cosigned(served, upload(served, 0, size)) == [served.time] * 2
    served.restart()
    assert served.stored().size == size
    assert served.store().entries(served.log.origin, 0, size + 1) == served.log.entries
    assert served.stored().root == served.log.head().root


@pytest.mark.parametrize("sizes", [(3, 4), (200, 600), (256, 512), (300, 1000), (511, 513)])
def test_it_grows_from_one_upload_to_the_next(served: Served, sizes: tuple[int, ...]) -> None:
    held = 0
    for size in sizes:
        seen(served, size)
        cosigned(served, upload(served, held, size))
        held = size
    assert served.store().entries(served.log.origin, 0, held) == served.log.entries


def test_append_and_upload_follow_one_another(served: Served) -> None:
    served.fill(3)
    seen(served, 300)
    cosigned(served, upload(served, 3, 300))
    old = served.log.grow(10)
    served.cosigned(served.log.append(old))
    seen(served, 600)
    assert info(served, upload(served, 310, 600, most=1), 202) == (600, 512)
    # The entries up to 512 are there already; the append brings the same.
    served.cosigned(served.log.append(310, 400))
    served.cosigned(served.log.append(400))
    assert served.store().entries(served.log.origin, 0, 600) == served.log.entries
    assert served.stored().root == served.log.head().root


def test_the_lines_are_the_custodians_and_never_the_witnesss(served: Served) -> None:
    seen(served, 3)
    answer = add(served, upload(served, 0, 3)).content.decode()
    assert answer.count(CUSTODIANS[0][0].name) == answer.count("\n") == 2
    assert WITNESS.name not in answer


def test_asked_again_it_states_the_same_time(served: Served) -> None:
    seen(served, 3)
    first = cosigned(served, upload(served, 0, 3))
    served.time += 60
    assert cosigned(served, upload(served, 0, 3)) == cosigned(served, beginning(served.log.origin, 3, 3)) == first


def test_without_the_token_nothing_is_taken_and_nothing_cosigned(served: Served) -> None:
    """Whoever has stolen the log's keys alone can show a tree, and not have it held."""
    seen(served, 300)
    for token in ("", "Bearer x"):
        assert refused(served, upload(served, 0, 300), 401, Authorization=token) == "no-token"
        assert brought(served) == 0


def test_an_unknown_log_is_not_found(served: Served) -> None:
    assert refused(served, beginning("vote.example/another", 0, 0), 404) == "unknown-log"


def test_before_any_checkpoint_there_is_nothing_to_prove_entries_by(served: Served) -> None:
    served.log.grow(3)
    assert refused(served, upload(served, 0, 3), 422) == "nothing-seen"
    assert refused(served, beginning(served.log.origin, 0, 0), 422) == "nothing-seen"


def test_an_end_that_was_never_seen_is_told_the_size_that_was(served: Served) -> None:
    seen(served, 5, 8)
    assert info(served, upload(served, 0, 7), 409) == (8, 0)
    assert info(served, beginning(served.log.origin, 0, 2**63), 409) == (8, 0)


def test_an_end_below_what_is_held_is_told_so(served: Served) -> None:
    seen(served, 5, 8)
    cosigned(served, upload(served, 0, 8))
    assert info(served, upload(served, 0, 5), 409) == (8, 8)


def test_a_start_beyond_the_next_entry_is_told_the_next(served: Served) -> None:
    seen(served, 5, 300)
    assert info(served, upload(served, 1, 300), 409) == (300, 0)
    cosigned(served, upload(served, 0, 5))
    assert info(served, upload(served, 6, 300), 409) == (300, 5)


def test_an_older_end_is_as_good_while_it_is_not_held(served: Served) -> None:
    seen(served, 5, 8, 300)
    assert len(cosigned(served, upload(served, 0, 8))) == 2
    assert served.stored().size == 8
    cosigned(served, upload(served, 8, 300))


def test_a_start_far_below_the_next_entry_is_told_the_next(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vault.custodian.mirror.MAX_PACKAGES", 1)
    seen(served, 257, 300)
    cosigned(served, upload(served, 0, 257))
    assert info(served, upload(served, 0, 300), 409) == (300, 257)
    cosigned(served, upload(served, 1, 300))


def test_an_upload_goes_on_where_it_broke_off_even_after_a_restart(served: Served) -> None:
    seen(served, 1000)
    assert info(served, upload(served, 0, 1000, most=2), 202) == (1000, 512)
    assert served.stored().size == 0
    served.restart()
    assert info(served, upload(served, 512, 1000, most=1), 202) == (1000, 768)
    cosigned(served, upload(served, 768, 1000))
    assert served.store().entries(served.log.origin, 0, 1000) == served.log.entries


@pytest.mark.parametrize("seed", range(4))
def test_an_upload_may_break_off_after_any_byte(served: Served, seed: int) -> None:
    dice = random.Random(seed)
    seen(served, 300, 700)
    following = 0
    while following < 700:
        body = upload(served, following, 700)
        body = body[: dice.randrange(len(body) + 1)]
        answer = add(served, body)
        if answer.status_code == 202:
            reached = int(answer.content.split(b"\n")[1])
            assert reached > following
            following = reached
        elif answer.status_code == 400:
            assert brought(served) == following
            if dice.random() < 0.5:
                assert add(served, upload(served, following, 700)).status_code == 200
                break
        else:
            assert answer.status_code == 200
            break
    cosigned(served, beginning(served.log.origin, 700, 700))
    assert served.stored().root == served.log.head().root


def test_thirty_two_packages_are_the_most_of_one_call(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    assert standard_calls.MAX_PACKAGES == 32
    monkeypatch.setattr(standard_calls, "MAX_PACKAGES", 2)
    seen(served, 1000)
    assert info(served, upload(served, 0, 1000), 202) == (1000, 512)
    cosigned(served, upload(served, 512, 1000))


def test_8192_entries_come_in_one_call(in_folder: Served) -> None:
    seen(in_folder, 8192)
    cosigned(in_folder, upload(in_folder, 0, 8192))
    assert in_folder.store().hashes(in_folder.log.origin, 1, 0, 33) == [
        in_folder.log.source(8, i) for i in range(8192 // 256)
    ]


def test_a_changed_entry_or_hash_is_refused_and_nothing_of_it_is_stored(served: Served) -> None:
    seen(served, 600)
    good = packages(served.log, 0, 600)
    head = beginning(served.log.origin, 0, 600)
    for place in (5, len(good[1]) - 1, len(good[1]) - 2 * HASH_SIZE):
        broken = bytearray(good[1])
        broken[place] ^= 1
        body = head + good[0] + bytes(broken) + good[2]
        assert refused(served, body, 422) == "wrong-proof"
        # What was proven before stays, and the next call goes on from there.
        assert brought(served) == 256
    assert refused(served, beginning(served.log.origin, 256, 600) + good[2] + good[1], 400) == "syntax"
    cosigned(served, upload(served, 256, 600))


def test_entries_of_another_tree_are_refused_whatever_their_proof(served: Served) -> None:
    seen(served, 300)
    truth = list(served.log.entries)
    served.log.entries[3] = b"rewritten"
    assert refused(served, upload(served, 0, 300), 422) == "wrong-proof"
    assert brought(served) == 0
    served.log.entries[:] = truth
    cosigned(served, upload(served, 0, 300))


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


@pytest.mark.parametrize("headers", [{"Content-Encoding": "br"}, {"Content-Type": "text/plain"}])
def test_another_form_is_not_read(served: Served, headers: dict[str, str]) -> None:
    seen(served, 2)
    assert refused(served, upload(served, 0, 2), 415, **headers) in ("bad-encoding", "wrong-type")


def test_a_clock_that_went_backwards_signs_nothing_and_keeps_what_came(served: Served) -> None:
    seen(served, 2)
    served.time -= 1
    assert refused(served, upload(served, 0, 2), 503) == "clock-backwards"
    served.time += 1
    assert cosigned(served, beginning(served.log.origin, 2, 2)) == [served.time] * 2


def test_many_uploads_of_the_same_entries_at_once_store_them_once(served: Served) -> None:
    seen(served, 800)
    body = upload(served, 0, 800)
    with serving(custodian_app(served.custodian, [served.log.origin], TOKEN)) as url, ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(lambda _: httpx.post(f"{url}/add-entries", content=body, headers=OCTETS), range(6)))
    assert {answer.status_code for answer in answers} == {200}
    assert served.store().entries(served.log.origin, 0, 900) == served.log.entries


def test_an_upload_towards_another_tree_than_the_one_that_is_held_gets_no_further(served: Served) -> None:
    """What was only seen, and brought, keeps no append of another tree out, and no upload of what follows that."""
    served.restart(witness=())
    seen(served, 600)
    truth = list(served.log.entries)
    served.log.entries[3] = b"rewritten"
    served.cosigned(served.log.append(0, 256))
    served.log.entries[:] = truth
    assert info(served, upload(served, 256, 600, most=1), 202) == (600, 512)
    assert refused(served, upload(served, 512, 600), 422) == "fork"
    served.log.entries[3] = b"rewritten"
    served.log.entries[300] = b"rewritten, too"
    served.cosigned(served.log.append(256, 500))
    served.cosigned(served.log.append(500))
    served.log.grow(300)
    assert show(served, submission(served, 600)).status_code == 200
    cosigned(served, upload(served, 600, 900))
    assert served.store().entries(served.log.origin, 0, 901) == served.log.entries


def test_entries_that_only_came_before_a_head_keep_no_place_from_what_is_appended(served: Served) -> None:
    """As if the log's keys were stolen: the false tree and its entries came first."""
    truth = Growing(served.log.origin)
    truth.grow(590)
    served.fill(10)
    served.log.grow(590)
    served.log.entries[20] = b"made up"
    seen(served, 600)
    assert info(served, upload(served, 10, 600, most=2), 202) == (600, 512)
    served.log.entries[:] = truth.entries
    for old, size in ((10, 200), (200, 400), (400, 590)):
        served.cosigned(served.log.append(old, size))
    served.restart()
    assert served.stored().root == served.log.head().root
    assert served.store().entries(served.log.origin, 0, 600) == truth.entries
    assert served.store().hashes(served.log.origin, 0, 0, 600) == [truth.source(0, i) for i in range(590)]
    assert served.store().hashes(served.log.origin, 1, 0, 2) == [truth.source(8, i) for i in range(2)]
    # Nor is what came of any use to those who brought it.
    assert refused(served, beginning(served.log.origin, 590, 600), 400) == "syntax"


def test_an_upload_goes_on_although_what_it_began_with_was_appended_meanwhile(served: Served) -> None:
    seen(served, 300, 700)
    assert info(served, upload(served, 0, 700, most=1), 202) == (700, 256)
    served.cosigned(served.log.append(0, 200))
    assert info(served, upload(served, 256, 700, most=1), 202) == (700, 512)
    served.cosigned(served.log.append(200, 400))
    cosigned(served, upload(served, 512, 700))
    served.restart()
    assert served.store().entries(served.log.origin, 0, 701) == served.log.entries
    assert served.store().hashes(served.log.origin, 1, 0, 3) == [served.log.source(8, i) for i in range(2)]


def test_no_append_waits_for_an_upload_that_is_read_and_neither_undoes_the_other(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen(served, 300, 700)
    info(served, upload(served, 0, 700, most=2), 202)
    real, kept = Mirror._read, served.custodian.kept
    appends = iter([(0, 200), (200, 400)])

    def read(*args):
        ready = real(*args)
        for old, size in appends:
            assert kept.deciding.acquire(timeout=10)
            kept.deciding.release()
            served.custodian.append(served.log.origin, served.log.append(old, size))
            break
        return ready

    monkeypatch.setattr(Mirror, "_read", read)
    cosigned(served, upload(served, 512, 700))
    assert [next(appends, None)] == [None]
    served.restart()
    assert served.store().entries(served.log.origin, 0, 701) == served.log.entries
    assert served.stored().root == served.log.head().root


def test_what_came_before_its_head_and_changed_on_disk_is_not_signed(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen(served, 700)
    info(served, upload(served, 0, 700, most=2), 202)
    kind = type(served.store())
    for call, what in (("brought_entries", b"rotten"), ("brought_hashes", bytes(HASH_SIZE))):
        real = getattr(kind, call)
        with monkeypatch.context() as patch:
            patch.setattr(kind, call, lambda *a, real=real, what=what: [what, *real(*a)[1:]])
            answer = add(served, upload(served, 512, 700))
            assert answer.status_code == 500 and CUSTODIANS[0][0].name.encode() not in answer.content
            assert served.stored().size == 0
    cosigned(served, upload(served, 512, 700))


def test_no_more_is_taken_ahead_of_what_is_held_than_there_may_be(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vault.custodian.mirror.MOST_AHEAD", 512)
    seen(served, 500, 600)
    assert refused(served, upload(served, 0, 600), 422) == "too-far-ahead"
    assert brought(served) == 512
    cosigned(served, upload(served, 500, 500))
    cosigned(served, upload(served, 512, 600))


def test_mirrors_readers_are_shown_what_is_published_with_the_custodians_lines(served: Served) -> None:
    hashed = sha256(served.log.origin.encode()).hexdigest()
    assert served.client.get(f"/mirror/{hashed}/checkpoint").status_code == 404
    seen(served, 300)
    cosigned(served, upload(served, 0, 300))
    assert served.client.get(f"/mirror/{hashed}/checkpoint").status_code == 404
    assert served.post("publish", served.log.witnessed()).status_code == 204
    shown = served.client.get(f"/mirror/{hashed}/checkpoint")
    note = parse_note(shown.content)
    assert note.text == served.log.head().text
    assert [line.name for line in note.signatures] == [key.name for key in (*LOG, *CUSTODIANS[0])]
    assert served.client.get(f"/mirror/{hashed}/checkpoint").headers["etag"] == shown.headers["etag"]
    for tile in ("tile/0/000", "tile/1/000.p/1", "tile/entries/001.p/44"):
        assert served.client.get(f"/mirror/{hashed}/{tile}").content == served.get(tile).content != b""


def test_a_reader_verifies_what_was_uploaded(served: Served) -> None:
    seen(served, 700)
    cosigned(served, upload(served, 0, 700))
    served.post("publish", served.log.witnessed())
    with serving(custodian_app(served.custodian, [served.log.origin], TOKEN)) as url:
        reader = HttpReader(f"{url}/{served.log.origin}")
        head = open_head(reader, served.log.policy, exact=True)
        assert head is not None
        assert list(read_entries(reader, CompactRange(), head)) == served.log.entries


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


def test_the_folder_of_a_half_uploaded_log_opens(in_folder: Served) -> None:
    seen(in_folder, 600)
    info(in_folder, upload(in_folder, 0, 600, most=1), 202)
    assert (brought(in_folder), in_folder.stored().size) == (256, 0)


@pytest.mark.parametrize("lost", [False, True], ids=["changed", "gone"])
def test_what_was_brought_into_a_folder_is_mended_like_all_else(in_folder: Served, tmp_path: Path, lost: bool) -> None:
    served, origin = in_folder, in_folder.log.origin
    seen(served, 300, 700)
    info(served, upload(served, 0, 700, most=1), 202)
    info(served, upload(served, 256, 700, most=1), 202)
    # Held in two steps, the first of which ends within a file.
    cosigned(served, beginning(origin, 300, 300))
    cosigned(served, upload(served, 512, 700))
    served.fill(5)
    whole = served.store().entries(origin, 0, 706)
    (file,) = tmp_path.glob("logs/*/brought-*/000/000/000/256")
    if lost:
        file.unlink()
    else:
        raw = bytearray(file.read_bytes())
        raw[-40] ^= 1
        file.write_bytes(raw)
    peer = Shown(served.log).show()
    said: list[str] = []
    store = served.store()
    assert isinstance(store, MendableFolder)
    scrub = Scrub(store, FixedKeys(served.log.policy), [peer], said.append, clock=lambda: NOW)
    assert scrub.run() == 3, said
    assert served.store().entries(origin, 0, 706) == whole == served.log.entries
    assert Scrub(served.store(), FixedKeys(served.log.policy), [], said.append, clock=lambda: NOW).run() == 0


@pytest.mark.parametrize("lost", [False, True])
def test_what_was_brought_and_is_held_in_part_is_mended_and_the_rest_comes_again(
    in_folder: Served, tmp_path: Path, lost: bool
) -> None:
    served, origin = in_folder, in_folder.log.origin
    seen(served, 200, 700)
    assert info(served, upload(served, 0, 700, most=2), 202) == (700, 512)
    # Of the first file as much is held as the smaller tree has, of the second nothing.
    cosigned(served, upload(served, 0, 200))
    note = served.log.witnessed(200)
    assert served.post("publish", note).status_code == 204
    (file,) = tmp_path.glob("logs/*/brought-*/000/000/000/000")
    if lost:
        file.unlink()
    else:
        raw = bytearray(file.read_bytes())
        raw[-40] ^= 1
        file.write_bytes(raw)
    peer = Shown(Growing(origin, served.log.entries[:200])).show()
    said: list[str] = []
    store = served.store()
    assert isinstance(store, MendableFolder)
    assert Scrub(store, FixedKeys(served.log.policy), [peer], said.append, clock=lambda: NOW).run() == 3, said
    served.restart()
    assert store.entries(origin, 0, 200) == served.log.entries[:200]
    assert info(served, upload(served, 512, 700), 409) == (700, 200)
    cosigned(served, upload(served, 200, 700))
    assert store.entries(origin, 0, 700) == served.log.entries
    assert Scrub(served.store(), FixedKeys(served.log.policy), [], said.append, clock=lambda: NOW).run() == 0
