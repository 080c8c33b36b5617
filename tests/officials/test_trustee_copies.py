"""A trustee's folder is copied, lost and put back; what is not its copy, or not whole, is refused and named."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import pytest

from audit.protocol.refused import Refused
from infra.sealed import SealedError, new_key_file, read_lock, write_sealed
from tally.officials import share_copies
from tally.officials.share_copies import Copy, back_up, check_copy, open_copy, restore
from tests.officials.clients import Clients
from tests.officials.hall import Hall

HOLDINGS = {"A1": ("common", 5), "A2": ("common", 30), "A3": ("common", 700)}


@pytest.fixture
def clients(hall: Hall) -> Clients:
    made = Clients(hall, HOLDINGS)
    new_key_file(made.folder / "copy.lock")
    return made


def copied(clients: Clients, name: str = "trustee-1") -> Path:
    """A copy of this trustee's folder, by the command."""
    out = clients.folder / f"{name}.copy"
    signer = next(one for one in clients.hall.parties.trustees if one.name == name)
    clients.run("trustee", "backup", "--state", clients.folder / name, *clients.keys([signer]), *sealed(clients, out))
    return out


def sealed(clients: Clients, out: Path) -> list[str | Path]:
    return ["--out", out, "--unlock", clients.folder / "copy.lock"]


def put_back(clients: Clients, copy: Path, name: str = "trustee-1") -> list[str | Path]:
    signer = next(one for one in clients.hall.parties.trustees if one.name == name)
    where: list[str | Path] = ["--election", clients.card, "--state", clients.folder / name, "--wait", "5"]
    return ["trustee", "restore", copy, *where, *clients.keys([signer]), "--unlock", clients.folder / "copy.lock"]


def test_it_decrypts_after_its_folder_was_lost(clients: Clients, hall: Hall) -> None:
    clients.opened()
    copy = copied(clients)
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    folder = clients.folder / "trustee-1"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    share = before["share"]
    assert share not in copy.read_bytes()
    shutil.rmtree(folder)
    assert "trustee-1, attempt 1" in clients.run(*put_back(clients, copy))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    clients.closed()
    clients.trustee("decrypt", hall.parties.trustees[0])
    assert list(hall.election.shares) == ["trustee-1"]


def test_it_answers_once_though_its_folder_has_forgotten(clients: Clients, hall: Hall) -> None:
    clients.opened()
    copy = copied(clients)
    clients.closed()
    clients.trustee("decrypt", hall.parties.trustees[0])
    entries = len(hall.entries)
    shutil.rmtree(clients.folder / "trustee-1")
    assert "has decrypted already" in clients.run(*put_back(clients, copy))
    assert not (clients.folder / "trustee-1" / "decrypt").exists()
    clients.trustee("decrypt", hall.parties.trustees[0])
    assert len(hall.entries) == entries


def test_in_the_middle_of_the_ceremony(clients: Clients, hall: Hall) -> None:
    clients.founded()
    for trustee in hall.parties.trustees[:1]:
        with pytest.raises(Exception, match="commit"):
            clients.run(
                "trustee", "join", "--election", clients.card, "--state", clients.folder / trustee.name,
                "--wait", "1", *clients.keys([trustee]),
            )  # fmt: skip
    copy = copied(clients)
    shutil.rmtree(clients.folder / "trustee-1")
    clients.run(*put_back(clients, copy))
    clients.keyed()
    assert hall.election.ceremony.complete and hall.election.ceremony.attempt == 1


class TestRefused:
    @pytest.fixture
    def made(self, clients: Clients) -> tuple[Clients, Path, Copy]:
        clients.keyed() if clients.card.exists() else clients.founded().keyed()
        copy = copied(clients)
        return clients, copy, open_copy(copy, read_lock(clients.folder / "copy.lock"))

    def check(self, clients: Clients, copy: Copy, **changes: object) -> str:
        with pytest.raises(Refused) as refused:
            ceremony = clients.hall.election.ceremony
            manifest = clients.hall.election.manifest.hash
            check_copy(Copy(**{**vars(copy), **changes}), Path("copy"), manifest, "trustee-1", ceremony)  # type: ignore[arg-type]
        return refused.value.reason

    def test_what_it_is_bound_to(self, made: tuple[Clients, Path, Copy]) -> None:
        clients, _, copy = made
        assert self.check(clients, copy, manifest=bytes(32)) == "another-election"
        assert self.check(clients, copy, trustee="trustee-2") == "wrong-signers"
        assert self.check(clients, copy, attempt=2) == "wrong-attempt"

    def test_a_share_that_is_not_its_own(self, made: tuple[Clients, Path, Copy]) -> None:
        clients, _, copy = made
        other = (clients.folder / "trustee-2" / "share").read_bytes()
        assert self.check(clients, copy, files={**copy.files, "share": other}) == "wrong-secret"

    def test_another_trustees_folder_is_not_copied_as_ones_own(self, made: tuple[Clients, Path, Copy]) -> None:
        clients, _, _ = made
        lock = read_lock(clients.folder / "copy.lock")
        with pytest.raises(Refused, match="holds the share of trustee-2"):
            back_up(clients.folder / "trustee-2", "trustee-1", clients.folder / "x.copy", lock)
        assert not (clients.folder / "x.copy").exists()

    def test_damaged_cut_off_or_another_lock(self, made: tuple[Clients, Path, Copy]) -> None:
        clients, path, _ = made
        lock, raw = read_lock(clients.folder / "copy.lock"), path.read_bytes()
        new_key_file(clients.folder / "other.lock")
        with pytest.raises(SealedError, match="another one, or the file has been changed"):
            open_copy(path, read_lock(clients.folder / "other.lock"))
        for wrong in (raw[:-1], raw[:-1] + bytes([raw[-1] ^ 1]), raw[:20], b""):
            path.write_bytes(wrong)
            with pytest.raises(Exception, match=str(path)):
                open_copy(path, lock)

    def test_a_sealed_file_that_is_no_copy(self, clients: Clients) -> None:
        path, lock = clients.folder / "register", read_lock(clients.folder / "copy.lock")
        write_sealed(path, b"account,number", lock)
        with pytest.raises(Refused, match="this is no copy of a trustee's folder"):
            open_copy(path, lock)

    def test_a_name_that_leads_elsewhere(self, made: tuple[Clients, Path, Copy]) -> None:
        clients, _, copy = made
        path, lock = clients.folder / "evil.copy", read_lock(clients.folder / "copy.lock")
        evil = Copy(copy.manifest, copy.trustee, copy.attempt, {**copy.files, "../share": b"x"})
        write_sealed(path, share_copies.canonical(share_copies._to_json(evil)), lock)
        with pytest.raises(Refused, match="no name of a file"):
            open_copy(path, lock)

    def test_nothing_is_overwritten(self, made: tuple[Clients, Path, Copy]) -> None:
        clients, path, copy = made
        with pytest.raises(FileExistsError):
            restore(copy, clients.folder / "trustee-1")
        with pytest.raises(FileExistsError):
            back_up(clients.folder / "trustee-1", "trustee-1", path, read_lock(clients.folder / "copy.lock"))

    def test_the_restored_folder_is_on_disk_under_its_name(
        self, made: tuple[Clients, Path, Copy], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        clients, _, copy = made
        back, synced, sync = clients.folder / "back", [], os.fsync
        monkeypatch.setattr(
            os, "fsync", lambda fd: (synced.append((os.readlink(f"/proc/self/fd/{fd}"), back.exists())), sync(fd))
        )
        restore(copy, back)
        assert synced[-1] == (str(clients.folder.resolve()), True)

    def test_a_crash_in_the_middle_leaves_nothing(
        self, made: tuple[Clients, Path, Copy], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        clients, _, copy = made

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(share_copies.os, "rename", full)
        with pytest.raises(OSError, match="No space"):
            restore(copy, clients.folder / "back")
        assert not [path for path in clients.folder.iterdir() if "back" in path.name]
