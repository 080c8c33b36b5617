"""The tally service's settings and figures, and what the command line adds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from audit.protocol.refused import Refused
from infra.commands import root
from infra.config import ConfigError
from tally.sequencer.service import Place, TallyConfig, check_office, run
from tally.sequencer.status import Figures, write_status
from tests.simulator.meeting import Meeting

DATABASE = "postgresql+psycopg://tally@/tally"


@pytest.fixture(scope="module")
def meeting() -> Meeting:
    return Meeting().found()


def settings(custodians: int = 3, workers: int = 1) -> TallyConfig:
    place, path = Place("http://127.0.0.1:1", Path("token")), Path("file")
    return TallyConfig(path, b"", DATABASE, path, place, (path, path), (place,) * custodians, workers, path)


def test_only_the_logs_own_keys_in_their_order_will_do(meeting: Meeting) -> None:
    log = meeting.parties.log
    check_office(Path("tally.toml"), settings(), meeting.manifest, log)
    for wrong in (log[:1], log[::-1], meeting.parties.custodians[0], (*log, *log)):
        with pytest.raises(ConfigError, match=r"tally\.toml: key `keys`"):
            check_office(Path("tally.toml"), settings(), meeting.manifest, wrong)


@pytest.mark.parametrize("custodians", [0, 2, 4])
def test_every_custodian_of_the_manifest_has_a_place(meeting: Meeting, custodians: int) -> None:
    with pytest.raises(ConfigError, match="`custodians`"):
        check_office(Path("tally.toml"), settings(custodians), meeting.manifest, meeting.parties.log)


def test_no_workers_is_a_fault() -> None:
    with pytest.raises(ValueError, match="workers"):
        settings(workers=0)


def test_a_manifest_of_another_hash_is_refused(meeting: Meeting, tmp_path: Path) -> None:
    (tmp_path / "manifest").write_bytes(meeting.entries[0])
    (tmp_path / "tally.toml").write_text(
        'manifest = "manifest"\nmanifest_hash = "AAAA"\npassfile = "x"\nkeys = []\nworkers = 1\n'
        f'database = "{DATABASE}"\n'
        'status = "x"\ncustodians = []\negress = {url = "", token = "x"}\n'
    )
    with pytest.raises(Refused) as refused:
        run(tmp_path / "tally.toml")
    assert refused.value.reason == "another-election"


def test_a_setting_nobody_declared_is_named_with_its_file(tmp_path: Path) -> None:
    (tmp_path / "tally.toml").write_text('listen = "127.0.0.1:80"\n')
    with pytest.raises(ConfigError, match=r"tally\.toml: unknown key `listen`"):
        run(tmp_path / "tally.toml")


def test_the_figures_replace_the_file_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    write_status(path, Figures(size=1))
    write_status(path, Figures(size=2, custodians={"127.0.0.1:1": 2}))
    figures = json.loads(path.read_text())
    assert (figures["size"], figures["custodians"]) == (2, {"127.0.0.1:1": 2})
    assert list(tmp_path.iterdir()) == [path]


def test_the_rooms_commands_are_there() -> None:
    groups = {g.name: {c.name for c in g.typer_instance.registered_commands} for g in root().registered_groups}
    assert {"tally", "custodian"} <= groups["serve"]
    assert {"tally", "custodian"} <= groups["schema"]
