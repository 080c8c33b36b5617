"""What intake tells of itself: whether it can take ballots, and figures that tell less than its batches."""

from __future__ import annotations

import dataclasses
import time

import httpx
import pytest

from infra.metrics import Metrics, series
from infra.private import Counting
from intake.door.figures import coarse, first_deadline, waiting
from tests.door.conftest import Client, Place
from tests.infra.test_private import told
from tests.loopback import serving, wait_until

MARK = "3fa5c1d2e4b60789"


class Watched:
    """A door with its figures, exact or as it tells them."""

    def __init__(self, place: Place, metrics: Metrics) -> None:
        self.metrics = metrics
        app, self.ready = place.door().opened(metrics)
        self.app = Counting(app, metrics)


def test_it_is_ready_once_it_has_read_the_log(place: Place) -> None:
    watched = Watched(place, Metrics())
    assert watched.ready() == "not-ready"
    with serving(watched.app):
        wait_until(lambda: watched.ready() == "")
        figures = told(watched.metrics)
    assert figures["log_size"] == len(place.meeting.entries)
    assert figures['log_phase{phase="open"}'] == 1


def test_it_is_not_ready_while_no_custodian_can_be_read(place: Place) -> None:
    watched = Watched(place, Metrics())
    with serving(watched.app):
        wait_until(lambda: watched.ready() == "")
        place.board.down = True
        wait_until(lambda: watched.ready() == "custodians-silent")
        assert told(watched.metrics)['alarm{alarm="custodians-silent"}'] == 1
        place.board.down = False
        wait_until(lambda: watched.ready() == "")


def test_what_waits_and_for_how_long_and_that_the_queue_is_silent(place: Place) -> None:
    watched, place.queue.silent = Watched(place, Metrics()), True
    with serving(watched.app) as url, httpx.Client(base_url=url) as http:
        client = Client(place, http)
        for account in range(2):
            client.accepted(place.text(account))
        wait_until(lambda: told(watched.metrics).get('alarm{alarm="queue-silent"}') == 1)
        assert waiting(place.engine, place.meeting.origin) == {"ballot": 2, "other": 0}
        deadline = first_deadline(place.engine, place.meeting.origin)
        assert deadline is not None and deadline >= time.time() - 60
        assert told(watched.metrics)['outbox_depth{kind="ballot"}'] == 2
        place.queue.silent = False
        wait_until(lambda: told(watched.metrics).get("batch_entries_sum") == 2)
        place.tally()
        place.board.publish()
        wait_until(lambda: "outbox_depth{kind=\"ballot\"}" not in told(watched.metrics))
        assert first_deadline(place.engine, place.meeting.origin) is None
        assert "outbox_oldest_seconds" not in told(watched.metrics)


def test_one_voter_shows_in_no_figure_until_a_batch_of_them_has_come(place: Place) -> None:
    manifest = dataclasses.replace(place.meeting.manifest, batch_min=8, batch_wait=0.0)
    watched, place.queue.silent = Watched(place, coarse(manifest)), True
    with serving(watched.app) as url, httpx.Client(base_url=url) as http:
        client = Client(place, http)
        wait_until(lambda: watched.ready() == "")
        text = place.text()
        before = of_voters(watched.metrics)
        for _ in range(5):
            assert client.post(text).is_success
        client.post(b"x")
        assert of_voters(watched.metrics) == before
        for _ in range(8):
            client.post(b"x")
        after = of_voters(watched.metrics)
    assert after['refusals_total{reason="syntax"}'] == 8


def of_voters(metrics: Metrics) -> dict[str, float]:
    figures = told(metrics)
    return {name: figures[name] for name in figures if name.startswith(("requests", "refusals", "outbox_depth"))}


def test_texts_are_as_far_apart_as_batches(place: Place) -> None:
    manifest = dataclasses.replace(place.meeting.manifest, batch_min=1, batch_wait=3600.0)
    metrics = coarse(manifest)
    requests = metrics.count("requests_here", "Requests.", coarse=True, route=["a"])
    first = metrics.text()
    requests.add(route="a")
    assert metrics.text() == first


def test_nothing_of_a_hostile_request_is_in_a_figure_or_in_the_log(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    watched = Watched(place, Metrics())
    with serving(watched.app) as url, httpx.Client(base_url=url) as http:
        client = Client(place, http)
        wait_until(lambda: watched.ready() == "")
        before = series(watched.metrics.text())
        body = place.body()
        marked = [
            MARK.encode(),
            place.write({**body, "pseudonym": MARK}),
            place.write({**body, MARK: MARK}),
            place.write({**body, "contests": {MARK: []}}),
            place.write(body, origin=f"vote.example/{MARK}"),
            place.text(0).replace(b'"revision":0', f'"revision":"{MARK}"'.encode()),
            place.text(0) + f"\n— {MARK} {MARK}\n".encode(),
        ]
        for raw in marked:
            assert not client.post(raw).is_success
            client.post(raw, origin=MARK)
            http.request("DELETE", f"/{MARK}", params={MARK: MARK}, headers={"User-Agent": MARK, "Host": MARK})
        assert series(watched.metrics.text()) == before
    assert MARK not in watched.metrics.text().decode() + capsys.readouterr().err
