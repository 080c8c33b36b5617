"""The end of a register: it is gone from the disk, the log says so, and the election is verified as before."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from typer.testing import CliRunner

from audit.log.keys import Signer
from audit.log.reader import HttpReader
from audit.protocol.group import b64
from audit.protocol.refused import Refused
from audit.record.entries import parse_entry
from audit.verify import verify_record
from audit.verify_report import trusted
from infra.commands import root
from infra.keys import KeyFileError
from intake.register.destroying import destroy_files, expect_files
from tests.officials.clients import Clients
from tests.officials.hall import Hall
from tests.simulator.parties import ORIGIN

HOLDINGS = {"A1": ("common", 5), "A2": ("common", 30), "A3": ("common", 700)}


class TestFiles:
    """What is found is overwritten and removed, and nothing before all of it is found."""

    @pytest.fixture
    def letters(self, tmp_path: Path) -> Path:
        folder = tmp_path / "letters"
        (folder / "b" / "empty").mkdir(parents=True)
        for name in ("a.pdf", "b/c.pdf"):
            (folder / name).write_bytes(b"AAAAA-BBBBB" * 1000)
        return folder

    def test_a_folder_is_destroyed_with_all_in_it(self, letters: Path) -> None:
        held = letters.parent / "held"
        held.hardlink_to(letters / "a.pdf")
        files = expect_files([letters])
        assert files == [letters / "a.pdf", letters / "b" / "c.pdf"]
        destroy_files(files, [letters])
        assert list(letters.parent.iterdir()) == [held]
        assert held.read_bytes() == b""

    def test_a_file_is_overwritten_before_it_is_cut(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path, held = tmp_path / "numbers", tmp_path / "held"
        path.write_bytes(b"A" * (3 << 20))
        held.hardlink_to(path)
        seen: list[bytes] = []
        monkeypatch.setattr("os.fsync", lambda descriptor: seen.append(held.read_bytes()))
        destroy_files([path], [])
        assert len(seen[0]) == 3 << 20 and b"AAAAAAAA" not in seen[0] and not path.exists()

    def test_everything_that_is_not_there_is_named(self, letters: Path) -> None:
        with pytest.raises(KeyFileError) as caught:
            expect_files([letters / "x", letters, letters / "y"])
        assert [line.partition(": ")[0] for line in str(caught.value).split("\n")] == [
            str(letters / "x"),
            str(letters / "y"),
        ]

    def test_what_a_link_leads_to_is_not_touched(self, letters: Path) -> None:
        (letters / "link").symlink_to(letters.parent)
        for path in (letters, letters / "link"):
            with pytest.raises(KeyFileError, match="link: is neither a file nor a folder"):
                expect_files([path])


def command(clients: Clients, signer: Signer, *files: Path) -> list[str | Path]:
    return ["register", "destroy", "--election", clients.card, *clients.keys([signer]), "--wait", "5", *files]


def destroy(clients: Clients, issuer: int, *files: Path) -> str:
    return clients.run(*command(clients, clients.hall.parties.issuers[issuer], *files), "--yes")


def test_a_register_is_destroyed(hall: Hall, tmp_path: Path) -> None:
    clients = Clients(hall, HOLDINGS).opened()
    first, second = hall.parties.issuers
    clients.run(*clients.vote_args(clients.batch({"A1": ["for"], "A2": ["against"]}), tmp_path / "receipts"))
    secrets = [clients.register, clients.numbers(first), clients.lock(first.name), clients.openings]
    kept = [path.read_bytes() for path in secrets]
    with pytest.raises(Refused, match="kept until the result is certified; the election is open now"):
        destroy(clients, 0, *secrets)
    clients.closed()
    for trustee in hall.parties.trustees[:2]:
        clients.trustee("decrypt", trustee)
    clients.act("certify", "--result", tmp_path / "result.json")
    for wrong, error in (([hall.key(first)], Refused), ([tmp_path / "typo"], KeyFileError)):
        with pytest.raises(error):
            destroy(clients, 0, *secrets, *wrong)
    with pytest.raises(Refused, match="chair, with this key, is no issuer"):
        clients.run(*command(clients, hall.parties.officials[0], *secrets), "--yes")
    assert "Destroy these 4 files for good?" in clients.fails(*command(clients, first, *secrets))
    assert [path.read_bytes() for path in secrets] == kept

    said = destroy(clients, 0, *secrets)
    assert "4 files are overwritten and removed" in said and "backups may hold" in said
    assert not any(path.exists() for path in secrets)
    notice = parse_entry(hall.entries[-1])
    assert notice.kind == "notice"
    assert (notice.fields["subject"], notice.fields["signer"]) == ("register-destroyed", first.name)

    destroy(clients, 0)
    destroy(clients, 1, clients.numbers(second))
    assert [entry.kind for entry in map(parse_entry, hall.entries[-3:])] == ["certify", "notice", "notice"]
    with ThreadPoolExecutor(1) as executor:
        report = verify_record(HttpReader(f"{hall.url}/{ORIGIN}"), hall.election.manifest.hash, executor)
    assert report.certified and report.result is not None
    assert report.result["contests"] == {"nominee-1": {"abstain": 0, "against": 30, "for": 5}}
    assert any("issuer-1's word that its register" in sentence for sentence in trusted(report))

    for printed, out in (("letters", tmp_path / "letters"), ("merge", tmp_path / "merge.csv")):
        who = ["--election", clients.card, "--manifest", clients.draft, "--issuer", first.name]
        files = [
            "--register",
            clients.register,
            "--numbers",
            clients.numbers(first),
            "--unlock",
            clients.lock(second.name),
        ]
        with pytest.raises((OSError, KeyFileError)):
            clients.run("register", printed, *who, *files, "--link", "https://vote.example/", "--out", out)
        assert not out.exists()


def test_the_exported_record_of_an_election_whose_register_is_gone_is_verified(hall: Hall, tmp_path: Path) -> None:
    """Everything that was kept offline is destroyed; from the log alone a stranger verifies all of it."""
    clients = Clients(hall, HOLDINGS).opened()
    clients.run(*clients.vote_args(clients.batch({"A1": ["for"], "A2": ["against"]}), tmp_path / "receipts"))
    clients.closed()
    for trustee in hall.parties.trustees[:2]:
        clients.trustee("decrypt", trustee)
    clients.act("certify", "--result", tmp_path / "result.json")
    destroy(clients, 0, clients.register, clients.numbers(hall.parties.issuers[0]), clients.openings)
    destroy(clients, 1, clients.numbers(hall.parties.issuers[1]))
    record, pinned = tmp_path / "record", ["--manifest", b64(hall.election.manifest.hash)]
    auditor("export-record", f"{hall.url}/{ORIGIN}", *pinned, "--folder", str(record))
    hall.close()
    said = auditor("verify", str(record), *pinned, "--result", str(tmp_path / "result.json"))
    assert "issuer-1's word that its register" in said and "issuer-2's word that its register" in said


def auditor(*arguments: str) -> str:
    """What a command printed, in one line."""
    result = CliRunner().invoke(root(), arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())
