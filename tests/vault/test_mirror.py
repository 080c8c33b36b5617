"""C2SP tlog-mirror `add-entries`: every status it has, uploads that break off and go on, and that the custodian's
cosignature comes only when everything is stored.
"""

from __future__ import annotations

import random
from hashlib import sha256

import pytest

from audit.log.merkle import HASH_SIZE, CompactRange
from audit.log.notes import parse_note
from audit.log.reader import HttpReader, open_head, read_entries
from tests.loopback import serving
from tests.vault.conftest import CUSTODIANS, LOG, TOKEN, WITNESS, Served
from tests.vault.uploading import add, beginning, brought, cosigned, info, packages, refused, seen, upload
from vault.custodian import standard_calls
from vault.custodian.serve import custodian_app


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


def test_a_clock_that_went_backwards_signs_nothing_and_keeps_what_came(served: Served) -> None:
    seen(served, 2)
    served.time -= 1
    assert refused(served, upload(served, 0, 2), 503) == "clock-backwards"
    served.time += 1
    assert cosigned(served, beginning(served.log.origin, 2, 2)) == [served.time] * 2


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
