"""An intake that is captured fills its own share of the queue and takes its own places at ingress: the others' stay."""

from __future__ import annotations

import re
import select
import socket
import threading
from collections.abc import Iterator, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, ProgrammingError

from audit.log.tiles import frame
from infra import config
from infra.connections import expect_body
from infra.keys import KeyFileError, write_secret
from infra.metrics import Metrics
from infra.migrations import WrongSchema
from infra.postgres import Cluster
from infra.queue import copies, ingress, schema
from infra.queue.egress import Outlet
from infra.queue.face import IngressConfig
from infra.queue.ingress import Inlet, ShareFull, counted, read_tokens
from infra.queue.schema import SCHEMA, install, queued
from tests.loopback import PATIENCE, serving, wait_until
from tests.queue.conftest import Queue, made_in
from tests.queue.test_egress import Clock
from tests.queue.test_figures import told
from tests.queue.test_limits import gated, roles_of, unfinished

CAPTURED, HONEST = "intake-1", "intake-2"
TOKENS = {CAPTURED: "captured" * 5, HONEST: "honest--" * 5}


@pytest.fixture
def small(cluster: Cluster) -> Iterator[Queue]:
    """A queue of 20 rows, 10 of each intake at most."""
    with made_in(cluster) as queue:
        with queue.owner.begin() as connection:
            schema.install(connection, *roles_of(queue), most=20, share=10)
        yield queue


def entries(count: int) -> list[bytes]:
    return [b"entry"] * count


def post(url: str, intake: str, *, count: int = 1) -> int:
    """The status of a put."""
    headers = {"Authorization": f"Bearer {TOKENS[intake]}"}
    return httpx.post(f"{url}/put", content=frame(entries(count)), headers=headers, timeout=PATIENCE).status_code


def test_who_has_filled_its_share_waits_and_the_others_do_not(small: Queue) -> None:
    inlet = Inlet(small.ingress)
    inlet.store(entries(9), CAPTURED)
    # All of a put or nothing.
    with pytest.raises(ShareFull):
        inlet.store(entries(2), CAPTURED)
    inlet.store(entries(1), CAPTURED)
    with pytest.raises(ShareFull):
        inlet.store(entries(1), CAPTURED)
    inlet.store(entries(10), HONEST)
    with pytest.raises(ShareFull):
        inlet.store(entries(1), HONEST)
    outlet = Outlet(small.egress, Clock())
    outlet.ack([row.key for row in outlet.take(256)])
    inlet.store(entries(10), CAPTURED)


def test_who_fills_its_share_again_and_again_has_another_wait_for_no_more_than_twice_as_many(queue: Queue) -> None:
    """Part of what it puts while tally goes through the table comes before a row that waits."""
    inlet, outlet = Inlet(queue.ingress, Random(1).randbytes), Outlet(queue.egress, Clock())
    for _ in range(schema.SHARE_ROWS // 256):
        inlet.store(entries(256), CAPTURED)
    with pytest.raises(ShareFull):
        inlet.store(entries(1), CAPTURED)
    # As far from where tally begins as a row can be.
    Inlet(queue.ingress, lambda size: b"\xff" * size).store([b"honest"], HONEST)
    before, rows = 0, outlet.take(256)
    while b"honest" not in [row.data for row in rows]:
        before += len(rows)
        outlet.ack([row.key for row in rows])
        inlet.store(entries(len(rows)), CAPTURED)
        rows = outlet.take(256)
    assert schema.SHARE_ROWS < before <= 2 * schema.SHARE_ROWS == 2048


def test_puts_beyond_the_share_leave_nothing_on_the_disk(small: Queue) -> None:
    inlet, size = Inlet(small.ingress), text("SELECT pg_total_relation_size('queued')")
    inlet.store(entries(10), CAPTURED)
    with small.owner.connect() as connection:
        before = connection.scalar(size)
        for _ in range(20):
            with pytest.raises(ShareFull):
                inlet.store([bytes(4000)] * 256, CAPTURED)
        assert connection.scalar(size) == before


def test_tally_cannot_see_whose_a_row_is(small: Queue) -> None:
    Inlet(small.ingress).store(entries(1), CAPTURED)
    rows = "FROM public.queued"
    for statement in (f"SELECT intake {rows}", f"SELECT * {rows}", f"DELETE {rows} WHERE intake = 'x'"):
        with small.egress.connect() as connection, pytest.raises(ProgrammingError, match="permission denied"):
            connection.execute(text(statement))


def test_what_is_restored_fills_nobodys_share(small: Queue, tmp_path: Path) -> None:
    inlet = Inlet(small.ingress)
    inlet.store(entries(10), CAPTURED)
    copies.back_up(small.egress, tmp_path / "copy")
    with small.owner.begin() as connection:
        connection.execute(queued.delete())
    assert copies.restore(small.ingress, tmp_path / "copy") == 10
    with small.owner.connect() as connection:
        assert connection.scalars(text("SELECT intake FROM queued")).all() == [None] * 10
    # In the same session, in which a share was asked for before.
    inlet.store(entries(9), CAPTURED)
    inlet.store(entries(1), HONEST)


def test_operators_see_whose_share_is_full(small: Queue, capfd: pytest.CaptureFixture[str]) -> None:
    metrics = Metrics()
    store = counted(Inlet(small.ingress), metrics, TOKENS)
    with serving(ingress.ingress(store, TOKENS)) as url:
        assert post(url, CAPTURED, count=10) == 204
        assert [post(url, CAPTURED) for _ in range(3)] == [503] * 3
        assert post(url, HONEST) == 204
    figures = metrics.text().decode()
    assert f'psephos_queue_share_full_total{{intake="{CAPTURED}"}} 3.0' in figures
    assert f'psephos_queue_share_full_total{{intake="{HONEST}"}} 0.0' in figures
    assert told(metrics)["queue_put_entries_count"] == 2
    (line,) = [line for line in capfd.readouterr().err.splitlines() if "share-full" in line]
    assert f'"intake": "{CAPTURED}"' in line


def test_who_sends_slowly_keeps_nobody_out_but_itself() -> None:
    app = ingress.ingress(lambda entries, intake: None, TOKENS)
    with serving(app) as url, unfinished(url, 2 * ingress.MOST_AT_ONCE, TOKENS[CAPTURED]):
        wait_until(lambda: post(url, CAPTURED) == 503)
        assert post(url, HONEST) == 204


def test_one_put_of_each_is_stored_at_a_time() -> None:
    stored, go_on = list[str](), threading.Event()

    def store(entries: Sequence[bytes], intake: str) -> None:
        stored.append(intake)
        if intake == CAPTURED:
            go_on.wait(PATIENCE)

    most, beyond = ingress.MOST_AT_ONCE, 3
    with serving(ingress.ingress(store, TOKENS)) as url, ThreadPoolExecutor(most + beyond) as threads:
        puts = [threads.submit(post, url, CAPTURED) for _ in range(most + beyond)]
        try:
            # Then all places of the one are taken, by what is stored and what waits.
            wait_until(lambda: sum(put.done() for put in puts) == beyond)
            assert post(url, HONEST) == 204
            assert sorted(stored) == [CAPTURED, HONEST]
        finally:
            go_on.set()
        assert sorted(put.result() for put in puts) == [204] * most + [503] * beyond
    assert stored.count(CAPTURED) == most


def test_many_puts_that_one_begins_do_not_cut_off_that_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingress.GatedProtocol, "most", most := 2 * ingress.MOST_AT_ONCE)
    stored, begun = list[str](), threading.Event()

    def expect(scope: MutableMapping[str, Any]) -> None:
        expect_body(scope)
        begun.set()

    monkeypatch.setattr(ingress, "expect_body", expect)
    body = frame(entries(1))
    head = f"POST /put HTTP/1.1\r\nHost: queue\r\nContent-Length: {len(body)}\r\n"
    with (
        gated(ingress.ingress(lambda entries, intake: stored.append(intake), TOKENS)) as where,
        socket.create_connection(where, PATIENCE) as put,
    ):
        put.sendall(f"{head}Authorization: Bearer {TOKENS[HONEST]}\r\n\r\n".encode() + body[:3])
        assert begun.wait(PATIENCE)
        with unfinished("http://{}:{}".format(*where), 5 * most, TOKENS[CAPTURED]) as connections:
            # All have been ended but those that found a place.
            wait_until(lambda: len(select.select(connections, (), (), 0)[0]) == 5 * most - ingress.MOST_AT_ONCE)
            put.sendall(body[3:])
            assert put.recv(1024) == ingress.ANSWER
    assert stored == [HONEST]


WRONG = {
    "one token for all": ("token = 't1'", "write `intakes = "),
    "one token beside": ("token = 't1'\nintakes = { a = 't1' }", "one `token` for all would let any of them fill"),
    "none": ("intakes = {}", "with a token of its own for each intake"),
    "a name for no log line": ("intakes = { Intake = 't1' }", "'Intake' is not the name of an intake"),
    "a name without quotes": ("intakes = { a.b = 't1' }", "key `intakes.a` must be text"),
    "too many": (f"intakes = {{ {', '.join(f'a{i} = {chr(39)}t{chr(39)}' for i in range(51))} }}", "names 50 at most"),
}


@pytest.mark.parametrize("case", WRONG)
def test_settings_that_give_nobody_a_share_say_what_to_write(tmp_path: Path, case: str) -> None:
    given, said = WRONG[case]
    path = tmp_path / "ingress.toml"
    plain = "listen = '127.0.0.1:1'\ndatabase = 'postgresql+psycopg://in@/queue'\npassfile = 'passfile'\n"
    path.write_text(plain + given)
    with pytest.raises(config.ConfigError, match=re.escape(said)):
        config.load(IngressConfig, path)


def test_two_with_one_token_are_refused(tmp_path: Path) -> None:
    for name, token in (("a", "x" * 43), ("b", "y" * 43), ("c", "x" * 43)):
        write_secret(tmp_path / name, token)
    files = {name: tmp_path / name for name in "abc"}
    with pytest.raises(KeyFileError, match="/c: holds the token of another intake"):
        read_tokens(files)
    assert read_tokens({"a": files["a"], "b": files["b"]}) == {"a": "x" * 43, "b": "y" * 43}


# What the release of version 3 installed, in its words: ingress said with each put how many intakes there were.
OF_VERSION_3 = """
CREATE OR REPLACE FUNCTION psephos_queue_share() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public AS $$
DECLARE
    whose text := current_setting('psephos.intake', true);
    held int;
BEGIN
    IF whose <> '' THEN
        SELECT count(*) INTO held FROM public.queued WHERE intake = whose;
        IF held + current_setting('psephos.entries')::int > 20 / current_setting('psephos.intakes')::int THEN
            RAISE EXCEPTION 'the share of this intake is full'
                USING ERRCODE = 'check_violation', CONSTRAINT = 'psephos_queue_share';
        END IF;
    END IF;
    RETURN NULL;
END $$; COMMENT ON TABLE queued IS 'psephos queue 3'
"""


def test_a_table_of_the_release_before_is_told_and_not_put_into(small: Queue) -> None:
    with small.owner.begin() as connection:
        connection.execute(text(OF_VERSION_3))
    with pytest.raises(WrongSchema, match="have version 3; .* version 4: run `psephos schema queue` as the owner"):
        SCHEMA.check(small.ingress)
    with pytest.raises(DBAPIError, match="psephos.intakes"):
        Inlet(small.ingress).store(entries(1), HONEST)
    with small.owner.begin() as connection:
        roles = (str(engine.url.username) for engine in (small.ingress, small.egress))
        assert install(connection, *roles, most=20, share=10) == (3, 4)
    SCHEMA.check(small.ingress)
    Inlet(small.ingress).store(entries(1), HONEST)
