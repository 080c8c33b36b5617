"""Uploads beside appends and beside one another: what was brought keeps no place, and neither undoes the other."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from audit.log.merkle import HASH_SIZE
from tests.loopback import serving
from tests.vault.conftest import CUSTODIANS, TOKEN, Growing, Served
from tests.vault.uploading import OCTETS, add, beginning, brought, cosigned, info, refused, seen, upload
from tests.vault.witnessing import add as show
from tests.vault.witnessing import submission
from vault.custodian.cosign import Head
from vault.custodian.mirror import Mirror
from vault.custodian.serve import custodian_app
from vault.custodian.stored import line_of


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


def test_no_tree_is_brought_or_signed_that_its_note_does_not_say(served: Served) -> None:
    """Who owns the database has written a true note beside another root, whose entries then come."""
    served.log.grow(10)
    note = served.log.note(served.log.head()).raw
    served.log.entries[5] = b"made up"
    origin, root = served.log.origin, served.log.head().root
    served.store().observe(origin, line_of(served.log.policy), Head(0, 10, root, b"", note, served.time))
    answer = add(served, upload(served, 0, 10))
    assert answer.status_code == 500 and CUSTODIANS[0][0].name.encode() not in answer.content
    assert served.stored().size == brought(served) == 0


def test_no_more_is_taken_ahead_of_what_is_held_than_there_may_be(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vault.custodian.mirror.MOST_AHEAD", 512)
    seen(served, 500, 600)
    assert refused(served, upload(served, 0, 600), 422) == "too-far-ahead"
    assert brought(served) == 512
    cosigned(served, upload(served, 500, 500))
    cosigned(served, upload(served, 512, 600))
