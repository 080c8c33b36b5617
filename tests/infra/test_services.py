"""The table of several services: what is ready and what is not, and why."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from fastapi import Response
from fastapi.responses import JSONResponse
from typer.testing import CliRunner

from infra.commands import root
from infra.config import ConfigError
from infra.http import application
from infra.metrics import Metrics
from infra.private import Counting, Private, shown
from infra.services import MOST, Condition, condition, table, written
from tests.loopback import serving


def free() -> str:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return f"127.0.0.1:{taken.getsockname()[1]}"


def config(folder: Path, **settings: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "config.toml"
    path.write_text("".join(f'{key} = "{value}"\n' for key, value in settings.items()))
    return path


def metrics() -> Metrics:
    made = Metrics()
    made.level("log_size", "Entries.").set(1234)
    made.level("log_phase", "Phase.", phase=["open", "closed"]).only({"open": 1})
    depth = made.level("outbox_depth", "Waiting.", kind=["ballot"])
    depth.set(3, kind="ballot")
    depth.set(1, kind="other")
    made.level("outbox_oldest_seconds", "Oldest.").unknown()
    made.count("refusals", "Refused.", reason=["closed"]).add(2, reason="closed")
    requests = made.count("requests", "Requests.", route=["/a"], status=["2xx", "5xx"])
    requests.add(5, route="/a", status="2xx")
    requests.add(1, route="/a", status="5xx")
    return made


def test_one_that_is_ready_and_one_that_is_not(tmp_path: Path) -> None:
    addresses = free(), free()
    paths = [config(tmp_path / name, private=at) for name, at in zip(("intake", "other"), addresses, strict=True)]
    with (
        shown(Private(addresses[0], metrics(), lambda: "")),
        shown(Private(addresses[1], Metrics(), lambda: "wrong-log")),
    ):
        rows = [condition(path).row() for path in paths]
    assert rows[0] == ("intake/config", "yes", "1,234", "open", "4", "?", "", "2", "1")
    assert rows[1][:3] == ("other/config", "wrong-log", "")
    assert condition(paths[0]).reason == "no-answer"


def test_one_that_was_captured_says_nothing_to_the_terminal(tmp_path: Path) -> None:
    app = application("captured")
    reason, figures = "wrong\x1b[2J", 'psephos_log_phase{phase="open\x1b]0;x"} 1\npsephos_requests_total{} 1\n'

    @app.get("/readyz")
    def readyz() -> JSONResponse:
        return JSONResponse({"reason": reason}, 503)

    @app.get("/metrics")
    def shows() -> Response:
        return Response(figures)

    with serving(app) as url:
        path = config(tmp_path / "captured", private=url.removeprefix("http://"))
        row = condition(path).row()
        assert (row[1], row[3]) == ("wrong--2j", "open--0-x")


@pytest.mark.parametrize("at", ["/readyz", "/metrics"])
@pytest.mark.parametrize("beyond", [0, 1])
def test_an_answer_is_read_to_its_limit_and_no_further(tmp_path: Path, at: str, beyond: int) -> None:
    """What it says is true, and would be read, were it shorter by one byte."""
    app = application("captured")
    answers = {"/readyz": b'{"reason": "full"}', "/metrics": b"psephos_log_size 7\n"}
    answers[at] += b"\n" * (MOST + beyond - len(answers[at]))

    @app.get("/readyz")
    def readyz() -> Response:
        return Response(answers["/readyz"], 503)

    @app.get("/metrics")
    def shows() -> Response:
        return Response(answers["/metrics"])

    with serving(app) as url:
        row = condition(config(tmp_path / "captured", private=url.removeprefix("http://"))).row()
    assert row[1:3] == (("no-answer", "") if beyond else ("full", "7"))


def test_what_an_honest_service_says_is_far_below_the_limit() -> None:
    """As many routes as a service may come to have, and every reason there is."""
    app, made = application("large"), Metrics()
    for i in range(50):
        app.get(f"/a-path-of-common-length/{i}")(lambda: None)
    Counting(app, made)
    for i in range(10):
        made.spread(f"of_a_kind_{i}", "Took.", custodian=["1", "2", "3", "4", "5"])
    assert len(made.text()) < MOST // 2


def test_tallys_file_says_how_it_is_unless_it_is_old(tmp_path: Path) -> None:
    status = tmp_path / "status.json"
    path = config(tmp_path, status="status.json")
    assert condition(path).reason == "no-file"
    for time, leading, reason in ((99, 1, ""), (99, 0, "standing-by"), (90, 1, "old-file")):
        lines = f"psephos_written_time {time}\npsephos_leading {leading}\npsephos_log_size 7.0\n"
        status.with_suffix(".prom").write_text(lines)
        found = written("tally", status, now=100)
        assert (found.reason, found.row()[2]) == (reason, "7")
    status.with_suffix(".prom").write_text("psephos_leading 1\n" + "# \n" * MOST)
    assert written("tally", status, now=0) == Condition("tally", "no-file")
    status.with_suffix(".prom").write_text("{{{")
    assert written("tally", status, now=100).reason in ("no-file", "old-file")


@pytest.mark.parametrize(("settings", "said"), [({}, "missing key `private`"), ({"private": "80"}, "ADDRESS:PORT")])
def test_a_file_that_does_not_say_where_to_ask_is_named(tmp_path: Path, settings: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=rf"config\.toml: .*{said}"):
        condition(config(tmp_path, listen="127.0.0.1:80", **settings))


def test_the_command_fails_if_one_is_not_ready(tmp_path: Path) -> None:
    app, address = root(), free()
    path = str(config(tmp_path / "intake", private=address))
    with shown(Private(address, metrics(), lambda: "")):
        done = CliRunner().invoke(app, ["services", path])
    assert done.exit_code == 0
    assert done.stdout.splitlines()[1].split() == ["intake/config", "yes", "1,234", "open", "4", "?", "2", "1"]
    assert CliRunner().invoke(app, ["services", path]).exit_code == 1


def test_the_table_has_its_columns_in_line() -> None:
    row = ("a/config", "yes", "1", "", "", "", "", "", "12")
    assert table([row]).splitlines()[1] == "a/config  yes      1                                               12"
