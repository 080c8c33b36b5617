"""A follower goes on when the officials replace keys of the log or of a custodian, and not with keys that are over."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from audit.log.keys import Signer
from audit.log.sources import rekeys_text
from tests.simulator.dice import Dice
from tests.simulator.meeting import Meeting
from tests.simulator.record import MemoryReader, files_of
from tests.simulator.rekeys import rekey
from tests.vault.conftest import NOW
from tests.vault.folders import opened
from vault.custodian.alarms import Alarms
from vault.custodian.following import Follower, Fork
from vault.custodian.keys import stored_keys


class Town:
    def __init__(self, folder: Path) -> None:
        (folder / "kept").mkdir(mode=0o700)
        self.folder, self.time = folder, 0.0
        self.meeting = Meeting().found().ceremony()
        self.reader = MemoryReader({})
        self.readers = [self.reader]
        self.show()
        self.manifest = self.meeting.manifest
        self.begin()

    def show(self, *rekeys: int) -> None:
        self.reader.files = files_of(self.meeting.entries, self.meeting.parties, self.meeting.origin)
        self.reader.files["rekeys"] = rekeys_text(rekeys)

    def begin(self) -> None:
        store = opened(self.folder / "kept", [self.manifest.origin])
        self.keys = stored_keys(store, self.manifest)
        self.store, self.alarms = store, Alarms(self.folder / "memory")
        self.follower = Follower(
            store,
            self.keys,
            self.readers,
            self.alarms,
            self.folder / "shown.json",
            clock=lambda: self.time,
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


def test_a_source_that_does_not_say_where_keys_changed_is_read_by_what_another_says(town: Town) -> None:
    before, hint = town.held(), MemoryReader({**town.reader.files, "rekeys": rekeys_text([town.held()])})
    rekey(town.meeting, "log", "log", Dice(70).log_keys("log"))
    town.show()
    del town.reader.files["rekeys"]
    assert town.held() == before
    town.readers.append(hint)
    town.begin()
    assert town.held() == before + 1
    assert not town.alarms.raised


def test_a_rekey_that_another_source_proves_where_something_else_is_held_is_an_alarm(town: Town) -> None:
    """The log's old key is stolen, and who follows is shown a log without the rekey. The other source's own head cannot
    be taken: otherwise it would be a fork.
    """
    meeting, honest = town.meeting, MemoryReader({})
    before, true, old = town.held(), list(town.meeting.entries), town.meeting.parties
    rekey(meeting, "log", "log", Dice(70).log_keys("log"))
    said = meeting.entries[before]
    honest.files = files_of(meeting.entries, meeting.parties, meeting.origin)
    honest.files["rekeys"] = rekeys_text([before])
    note = honest.files["checkpoint"].decode().splitlines(keepends=True)
    honest.files["checkpoint"] = "".join(line for line in note if " custodian-a " not in line).encode()
    meeting.entries[:], meeting.parties = [*true, b"made up", b"made up, too"], old
    town.show()
    assert town.held() == before + 2
    town.readers.append(honest)
    town.begin()
    assert town.held() == before + 2
    assert dict(town.alarms.raised) == {"rekey": 1}
    assert town.alarms.code == 8
    (file,) = (town.folder / "memory").glob("rekey-*.json")
    kept = json.loads(file.read_bytes())
    assert (kept["number"], kept["rekey"].encode()) == (before, said)


class Thief(MemoryReader):
    def __str__(self) -> str:
        return "thief"


@pytest.mark.parametrize("cosigned", [False, True], ids=["by-the-stolen-key-alone", "with-custodians"])
def test_a_tree_by_a_stolen_key_that_was_replaced_ends_nobody(town: Town, cosigned: bool) -> None:
    meeting, old, before = town.meeting, town.meeting.parties, town.held()
    false = [*meeting.entries[: before - 1], b"made up"]
    rekey(meeting, "log", "log", Dice(70).log_keys("log"))
    town.show(before)
    assert town.held() == before + 1
    thief = Thief(files_of(false, old, meeting.origin))
    if not cosigned:
        lines = thief.files["checkpoint"].decode().splitlines(keepends=True)
        thief.files["checkpoint"] = "".join(line for line in lines if " custodian-" not in line).encode()
    town.readers.insert(0, thief)
    town.begin()
    if cosigned:
        with pytest.raises(Fork):
            town.held()
        return
    meeting.entries.append(b"what comes after it")
    town.show(before)
    assert town.held() == before + 2
    assert dict(town.alarms.raised) == {"overruled": 1}
    assert town.alarms.code == 9
    assert list((town.folder / "memory").glob("overruled-*.json"))


class Inventor(MemoryReader):
    """Puts a rekey that it has seen into a tree of its own making."""

    def __str__(self) -> str:
        return "inventor"


@pytest.mark.parametrize(("office", "name", "new"), NEW)
def test_a_rekey_in_a_tree_that_the_log_has_not_signed_is_no_alarm(
    town: Town, office: str, name: str, new: tuple[Signer, ...]
) -> None:
    meeting, before = town.meeting, town.held()
    rekey(meeting, office, name, new)
    inventor = Inventor(files_of([b"made up", meeting.entries[before]], meeting.parties, meeting.origin))
    inventor.files["rekeys"] = rekeys_text([1])
    inventor.files["checkpoint"] = inventor.files["checkpoint"].replace("— log ".encode(), "— gol ".encode())
    town.readers.insert(0, inventor)
    # Nobody has shown it yet where it stands.
    town.begin()
    assert town.held() == before
    assert not town.alarms.raised


def test_one_that_names_rekeys_without_end_keeps_no_other_from_being_asked(town: Town) -> None:
    """It proves whatever it says, in a tree of its own making, and takes its time."""

    class Talker(MemoryReader):
        def bundle(self, index: int, width: int) -> bytes:
            town.time += 30
            return super().bundle(index, width)

    before = town.held()
    talker = Talker(dict(town.reader.files))
    rekey(town.meeting, "log", "log", Dice(70).log_keys("log"))
    made_up = [*town.meeting.entries[: before + 1], *town.meeting.entries[before:] * 200]
    talker.files = files_of(made_up, town.meeting.parties, town.meeting.origin)
    talker.files["checkpoint"] = talker.files["checkpoint"].replace(b" log ", b" gol ")
    talker.files["rekeys"] = rekeys_text(range(before, len(made_up)))
    town.show(before)
    town.readers.insert(0, talker)
    town.begin()
    assert town.held() == before + 1
    assert 0 < town.time <= 60
