"""A follower goes on when the officials replace keys of the log or of a custodian, and not with keys that are over."""

from __future__ import annotations

from pathlib import Path

import pytest

from audit.log.keys import Signer
from audit.log.sources import rekeys_text
from tests.simulator.dice import Dice
from tests.simulator.meeting import Meeting
from tests.simulator.record import MemoryReader, files_of
from tests.simulator.rekeys import rekey
from tests.vault.conftest import NOW
from vault.custodian.alarms import Alarms
from vault.custodian.folder_mending import MendableFolder
from vault.custodian.following import Follower
from vault.custodian.keys import stored_keys


class Town:
    def __init__(self, folder: Path) -> None:
        (folder / "kept").mkdir(mode=0o700)
        self.folder = folder
        self.meeting = Meeting().found().ceremony()
        self.reader = MemoryReader({})
        self.show()
        self.manifest = self.meeting.manifest
        self.begin()

    def show(self, *rekeys: int) -> None:
        self.reader.files = files_of(self.meeting.entries, self.meeting.parties, self.meeting.origin)
        self.reader.files["rekeys"] = rekeys_text(rekeys)

    def begin(self) -> None:
        store = MendableFolder(str(self.folder / "kept"), [self.manifest.origin])
        self.keys = stored_keys(store, self.manifest)
        self.store, self.alarms = store, Alarms(self.folder / "memory")
        self.follower = Follower(
            store,
            self.keys,
            [self.reader],
            self.alarms,
            self.folder / "shown.json",
            clock=lambda: 0.0,
            now=lambda: NOW,
            choose=lambda n: 0,
            silence=100,
            sample=2,
        )

    def held(self) -> int:
        self.follower.round()
        return self.store.newest(self.manifest.origin).size


@pytest.fixture
def town(tmp_path: Path) -> Town:
    return Town(tmp_path)


NEW = [("log", "log", Dice(70).log_keys("log")), ("custodian", "custodian-a", Dice(71).custodian_keys("custodian-a"))]


@pytest.mark.parametrize(("office", "name", "new"), NEW)
def test_new_keys_are_learned_from_the_log_and_known_after_a_restart(
    town: Town, office: str, name: str, new: tuple[Signer, ...]
) -> None:
    meeting = town.meeting
    before = town.held()
    assert before == len(meeting.entries)
    rekey(meeting, office, name, new)
    town.show(before)
    assert town.held() == before + 1
    town.begin()
    assert list(town.keys.places()) == [before]
    rekey(meeting, "intake", "intake-1", Dice(72).signers("intake-1"))
    town.show(before, before + 1)
    assert town.held() == before + 2
    assert not town.alarms.raised


def test_a_head_by_keys_that_its_own_entries_replace_is_not_stored(town: Town) -> None:
    meeting = town.meeting
    before, old = town.held(), meeting.parties
    rekey(meeting, "log", "log", Dice(70).log_keys("log"))
    meeting.parties = old
    town.show(before)
    assert town.held() == before
    # Nor if nobody says that there is a rekey: it is found when the entries are read.
    town.show()
    assert town.held() == before
