"""What a custodian serves: only trees that W custodians have cosigned, as static tiles."""

from __future__ import annotations

import httpx
import pytest

from audit.log.merkle import CompactRange
from audit.log.reader import HttpReader, open_head, read_entries
from audit.log.tiles import Tile, tiles_of, unframe
from tests.loopback import serving
from tests.vault.conftest import TOKEN, Served
from vault.custodian.serve import custodian_app


def test_nothing_is_served_before_it_is_published(served: Served) -> None:
    served.log.grow(3)
    served.cosigned(served.log.append(0))
    for path in ("checkpoint", "tile/0/000.p/3", "tile/entries/000.p/3"):
        assert served.get(path).status_code == 404
    witnessed = served.log.witnessed()
    assert served.post("publish", witnessed).status_code == 204
    assert served.get("checkpoint").content == witnessed
    assert list(unframe(served.get("tile/entries/000.p/3").content)) == served.log.entries


def test_a_checkpoint_that_fewer_than_w_have_cosigned_is_not_published(served: Served) -> None:
    served.log.grow(1)
    served.cosigned(served.log.append(0))
    assert served.refused("publish", served.log.witnessed(custodians=1), 422) == "not-witnessed"
    assert served.get("checkpoint").status_code == 404


def test_entries_that_are_not_held_are_not_published(served: Served) -> None:
    served.log.grow(1)
    answer = served.post("publish", served.log.witnessed())
    assert (answer.status_code, answer.content) == (409, b"0\n")


def test_another_tree_of_the_same_size_is_not_published(served: Served) -> None:
    served.log.grow(2)
    served.cosigned(served.log.append(0))
    served.log.entries[0] = b"rewritten"
    assert served.refused("publish", served.log.witnessed(), 422) == "wrong-root"


def test_an_older_checkpoint_changes_nothing_and_a_restart_forgets_nothing(served: Served) -> None:
    served.fill(1, 2)
    assert served.post("publish", served.log.witnessed(1)).status_code == 204
    served.restart()
    assert served.get("checkpoint").content == served.published


@pytest.mark.parametrize("steps", [(1,), (255,), (256,), (256, 1), (200, 200, 200), (256, 256, 256)])
def test_exactly_the_tiles_of_the_published_size_are_served(served: Served, steps: tuple[int, ...]) -> None:
    served.fill(*steps)
    size = sum(steps)
    for tile in tiles_of(size):
        answer = served.get(tile.path)
        assert answer.status_code == 200, tile.path
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    for tile in (Tile(0, size // 256, size % 256 + 1), Tile(None, size // 256 + 1), Tile(1, 0, size // 256 + 1)):
        assert served.get(tile.path).status_code == 404, tile.path


@pytest.mark.parametrize("path", ["0/0", "0/000.p/0", "0/000.p/256", "0/x000/000.p/3", "-1/000", "x/000", ""])
def test_another_name_for_a_tile_finds_nothing(served: Served, path: str) -> None:
    served.fill(3)
    assert served.get(f"tile/{path}").status_code == 404


def test_a_reader_over_http_verifies_the_whole_log(served: Served) -> None:
    served.fill(200, 200, 113)
    app = custodian_app(served.custodian, [served.log.origin], TOKEN)
    with serving(app) as url:
        reader = HttpReader(f"{url}/{served.log.origin}")
        head = open_head(reader, served.log.policy, exact=True)
        assert head is not None
        assert list(read_entries(reader, CompactRange(), head)) == served.log.entries


def test_the_checkpoint_is_never_cached(served: Served) -> None:
    served.fill(1)
    assert served.get("checkpoint").headers["cache-control"] == "no-cache"


def test_readers_need_no_token(served: Served) -> None:
    served.fill(1)
    del served.client.headers["Authorization"]
    assert served.get("checkpoint").status_code == served.get("tile/0/000.p/1").status_code == 200


def test_over_a_real_connection_a_head_sends_no_body_and_a_range_its_part(served: Served) -> None:
    served.fill(256)
    app = custodian_app(served.custodian, [served.log.origin], TOKEN)
    with serving(app) as url, httpx.Client(base_url=f"{url}/{served.log.origin}") as client:
        whole = client.get("tile/0/000")
        for path in ("tile/0/000", "tile/entries/000", "checkpoint", "rekeys"):
            head, got = client.head(path), client.get(path)
            assert (head.status_code, head.content) == (200, b"")
            assert {**head.headers, "date": ""} == {**got.headers, "date": ""}
            again = client.get(path, headers={"If-None-Match": got.headers["etag"]})
            assert (again.status_code, again.content) == (304, b"")
        part = client.get("tile/0/000", headers={"Range": "bytes=32-63", "If-Range": whole.headers["etag"]})
        assert (part.status_code, part.content) == (206, whole.content[32:64])
        assert client.get("tile/0/000", headers={"Range": "bytes=8192-"}).status_code == 416
        assert client.head("tile/0/001").status_code == 404
