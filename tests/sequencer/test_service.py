"""The tally service's settings and figures, and what the command line adds."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest

from audit.protocol.refused import Refused
from audit.record.restart import Restart
from infra.commands import root
from infra.config import ConfigError
from infra.exchange import Answer
from infra.log import Seldom
from infra.metrics import series
from tally.sequencer import status, term
from tally.sequencer.decide import Decision
from tally.sequencer.mark import NotMarked
from tally.sequencer.service import Place, TallyConfig, check_office, counting, run
from tally.sequencer.status import Figures, Report, write_status
from tally.sequencer.survey import NOBODY
from tests.databases import Database
from tests.sequencer.house import House
from tests.sequencer.process import Tally
from tests.simulator.meeting import Meeting


@dataclass
class Shown:
    """A sequencer, as far as its report sees it."""

    figures: Figures

    def write_status(self, write: Callable[[Figures], None]) -> None:
        write(self.figures)


DATABASE = "postgresql+psycopg://tally@/tally"


@pytest.fixture(scope="module")
def meeting() -> Meeting:
    return Meeting().found()


def settings(custodians: int = 3, workers: int = 1) -> TallyConfig:
    path, places = Path("file"), [Place(f"http://127.0.0.1:{port}", Path("token")) for port in range(1, custodians + 2)]
    return TallyConfig(path, b"", DATABASE, path, places[0], (path, path), tuple(places[1:]), workers, path)


def test_only_keys_of_the_logs_own_name_will_do_and_no_fewer_than_two(meeting: Meeting) -> None:
    log = meeting.parties.log
    check_office(Path("tally.toml"), settings(), meeting.manifest, log)
    for wrong in (log[:1], meeting.parties.custodians[0], (*log, *meeting.parties.custodians[0])):
        with pytest.raises(ConfigError, match=r"tally\.toml: key `keys`"):
            check_office(Path("tally.toml"), settings(), meeting.manifest, wrong)


@pytest.mark.parametrize("custodians", [0, 2, 4])
def test_every_custodian_of_the_manifest_has_a_place(meeting: Meeting, custodians: int) -> None:
    with pytest.raises(ConfigError, match="`custodians`"):
        check_office(Path("tally.toml"), settings(custodians), meeting.manifest, meeting.parties.log)


def test_custodians_that_cannot_be_told_apart_are_refused(meeting: Meeting) -> None:
    """Evidence against one would name the other."""
    places = [Place(f"https://v.example/{path}", Path("token")) for path in ("one", "two", "three")]
    one_host = dataclasses.replace(settings(), custodians=tuple(places))
    with pytest.raises(ConfigError, match=r"`custodians` names v\.example twice"):
        check_office(Path("tally.toml"), one_host, meeting.manifest, meeting.parties.log)


def test_no_workers_is_a_fault() -> None:
    with pytest.raises(ValueError, match="workers"):
        settings(workers=0)


def test_an_address_that_carries_a_password_is_refused_and_not_repeated() -> None:
    """It would be sent in place of the token."""
    with pytest.raises(ValueError, match="must not carry a name or a password") as error:
        Place("http://name:word@q", Path("token"))
    assert "word@" not in str(error.value)


def test_a_manifest_of_another_hash_is_refused(meeting: Meeting, tmp_path: Path) -> None:
    (tmp_path / "manifest").write_bytes(meeting.entries[0])
    (tmp_path / "tally.toml").write_text(
        'manifest = "manifest"\nmanifest_hash = "AAAA"\npassfile = "x"\nkeys = []\nworkers = 1\n'
        f'database = "{DATABASE}"\n'
        'status = "x"\ncustodians = []\negress = {url = "http://q", token = "x"}\n'
    )
    with pytest.raises(Refused) as refused:
        run(tmp_path / "tally.toml")
    assert refused.value.reason == "another-election"


def test_a_setting_nobody_declared_is_named_with_its_file(tmp_path: Path) -> None:
    (tmp_path / "tally.toml").write_text('listen = "127.0.0.1:80"\n')
    with pytest.raises(ConfigError, match=r"tally\.toml: unknown key `listen`"):
        run(tmp_path / "tally.toml")


def test_the_officials_word_counts_until_it_is_over(capsys: pytest.CaptureFixture[str]) -> None:
    word = Restart(frozenset({"custodian-c"}), 7, 1_800_000_000)
    assert counting(word, 1_800_000_000) == word
    assert '"custodians-left-out", "count": 1' in capsys.readouterr().err
    # Kept by somebody, and named in the settings again at another loss.
    assert counting(word, 1_800_000_001) == NOBODY
    assert '"restart-word-over", "until": 1800000000' in capsys.readouterr().err
    assert counting(NOBODY, 1_800_000_000) == NOBODY
    assert capsys.readouterr().err == ""


def test_the_figures_replace_the_file_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    write_status(path, Figures(size=1))
    write_status(path, Figures(size=2, custodians={"127.0.0.1:1": 2}))
    figures = json.loads(path.read_text())
    assert (figures["size"], figures["custodians"]) == (2, {"127.0.0.1:1": 2})
    assert list(tmp_path.iterdir()) == [path]


def test_the_metrics_say_what_the_status_says(tmp_path: Path) -> None:
    figures = Figures(size=9, phase="open", ballots=5, custodians={"host:1": 9, "host:2": 4}, published={"host:1": 7})
    report = Report(tmp_path / "status.json", ["host:1", "host:2", "host:3"])
    report(Shown(figures))  # type: ignore[arg-type]
    text = (tmp_path / "status.prom").read_text()
    for line in (
        "psephos_leading 1.0",
        "psephos_log_size 9.0",
        "psephos_log_ballots 5.0",
        'psephos_log_phase{phase="open"} 1.0',
        'psephos_log_phase{phase="noticed"} 0.0',
        'psephos_custodian_behind{custodian="1"} 0.0',
        'psephos_custodian_behind{custodian="2"} 5.0',
        'psephos_custodian_behind{custodian="3"} 9.0',
        'psephos_custodian_unpublished{custodian="1"} 2.0',
        'psephos_custodian_unpublished{custodian="2"} 9.0',
    ):
        assert f"{line}\n" in text, line
    assert "host" not in text
    assert json.loads((tmp_path / "status.json").read_text())["size"] == 9
    assert {path.name for path in tmp_path.iterdir()} == {"status.json", "status.prom"}


def test_a_tree_of_which_a_crash_has_left_the_name_alone_is_kept_again(tmp_path: Path) -> None:
    (tmp_path / "status.fork-1").write_bytes(b"")
    Report(tmp_path / "status.json", ["host:1"]).forked("host:1", b"one tree")
    assert (tmp_path / "status.fork-1").read_bytes() == b"one tree"


def test_another_tree_is_on_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a crash may leave the name alone, and whoever asks for the evidence gets none."""
    done, fsync, replace = list[str](), os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda file: (done.append("on disk"), fsync(file)))
    monkeypatch.setattr(Path, "replace", lambda part, path: (done.append("named"), replace(part, path)))
    Report(tmp_path / "status.json", ["host:1"]).forked("host:1", b"one tree")
    assert done == ["on disk", "named", "on disk"]


def test_another_tree_is_kept_as_it_was_first_shown_and_told(tmp_path: Path) -> None:
    figures = Figures()
    report = Report(tmp_path / "status.json", ["host:1", "host:2"])
    report.forked("host:2", b"one tree")
    report.forked("host:2", b"another")
    report(Shown(figures))  # type: ignore[arg-type]
    assert (tmp_path / "status.fork-2").read_bytes() == b"one tree"
    text = (tmp_path / "status.prom").read_text()
    assert 'psephos_custodian_forks{custodian="2"} 1.0\n' in text
    assert 'psephos_custodian_forks{custodian="1"} 0.0\n' in text
    assert json.loads((tmp_path / "status.json").read_text())["forks"] == ["host:2"]


def test_refusals_are_counted_by_a_reason_that_is_known(tmp_path: Path) -> None:
    report = Report(tmp_path / "status.json", ["host:1"])
    before = series(report.metrics.text())
    refusals = [SimpleNamespace(kind="refusal", fields={"reason": reason}) for reason in ("closed", "closed", "8a8a8a")]
    report.round(Decision([*refusals, SimpleNamespace(kind="ballot")], repeated=2, foreign=1), 0.2)  # type: ignore
    text = report.metrics.text()
    assert b'psephos_refusals_total{reason="closed"} 2.0' in text
    assert b'psephos_refusals_total{reason="other"} 1.0' in text
    assert b"psephos_batch_entries_sum 4.0" in text
    assert b"psephos_rows_repeated_total 2.0\n" in text
    assert b"psephos_rows_foreign_total 1.0\n" in text
    assert series(text) == before


def test_how_long_a_custodian_takes_to_cosign_is_noted_and_nothing_else_of_it(tmp_path: Path) -> None:
    report = Report(tmp_path / "status.json", ["host:1", "host:2"])
    statuses = {"append": 200, "held": 200, "publish": 204}
    second = report.timed(2, lambda method, path, content, most: Answer(statuses[path], "8a8a8a", b"8a8a8a"))
    for path in statuses:
        second("POST", path, b"8a8a8a", 1)
    statuses["append"] = 409
    second("POST", "append", b"8a8a8a", 1)
    text = report.metrics.text()
    assert b'psephos_cosignature_seconds_count{custodian="2"} 1.0\n' in text
    assert b"8a8a8a" not in text


def test_where_nothing_can_be_written_the_log_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Report(tmp_path / "nowhere" / "status.json", [])(Shown(Figures()))  # type: ignore[arg-type]
    said = json.loads(capsys.readouterr().err)
    assert (said["event"], said["cause"]) == ("status-not-written", "no-such-file-or-directory")


def test_a_full_disk_lets_the_service_begin_and_a_missing_folder_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(FileNotFoundError):
        Report(tmp_path / "nowhere" / "status.json", []).begin()

    def full(path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(status, "replace", full)
    Report(tmp_path / "status.json", []).begin()


def test_where_the_mark_can_never_be_written_it_ends_with_one_sentence(
    open_house: House, ledger_databases: list[Database], tmp_path: Path
) -> None:
    missing = tmp_path / "nowhere" / "status.json"
    tally = Tally(tmp_path, open_house, ledger_databases[0], "http://127.0.0.1:1", missing)
    with tally.running() as process:
        assert process.wait(20) == 1
    wrong = f"key `status`: {missing} cannot be written: No such file or directory"
    assert tally.said_last == f"psephos: {tmp_path / 'tally.toml'}: {wrong}"
    assert not tally.said("leading")


def test_a_mark_that_can_no_longer_be_written_is_told_by_what_is_wrong_and_seldom(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(term, "_unmarked", Seldom(10))
    left = iter([False, False, True])

    class Blocked:
        def follow(self) -> None:
            raise NotMarked("Permission denied")

    stop = SimpleNamespace(is_set=lambda: next(left), wait=lambda seconds: None)
    term.sequence(Blocked(), stop, lambda sequencer: None)  # type: ignore[arg-type]
    (line,) = capsys.readouterr().err.splitlines()
    assert (json.loads(line)["event"], json.loads(line)["cause"]) == ("mark-unusable", "permission-denied")


def test_the_rooms_commands_are_there() -> None:
    groups = {g.name: {c.name for c in g.typer_instance.registered_commands} for g in root().registered_groups}
    assert {"tally", "custodian"} <= groups["serve"]
    assert {"tally", "custodian"} <= groups["schema"]
