"""Damage in what a custodian's folder has ahead of its head, and every append reads: it is found, and scrub takes away
what comes again.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from unittest.mock import ANY

import pytest

from audit.protocol.refused import Refused
from tests.vault.conftest import CUSTODIANS, NOW, Served
from tests.vault.fixed_keys import FixedKeys
from tests.vault.test_folder_scrubbing import Kept
from tests.vault.uploading import add, brought, cosigned, info, seen, upload
from tests.vault.witnessing import add as add_checkpoint
from tests.vault.witnessing import cosigned as cosigned_by_witness
from tests.vault.witnessing import refused, submission, told_size
from vault.custodian.cosign import Head
from vault.custodian.custody import Custodian
from vault.custodian.disk import RealDisk
from vault.custodian.examining import Examiner
from vault.custodian.folder_mending import MendableFolder
from vault.custodian.mending import Scrub
from vault.custodian.storage import Damaged
from vault.custodian.stored import line_of


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    """With three files of eighty entries each staged beyond the head of 700."""
    made = Kept(tmp_path / "kept")
    made.log.grow(240)
    for start in (700, 780, 860):
        leaves = [made.log.source(0, index) for index in range(start, start + 80)]
        made.store.stage(made.log.origin, start, leaves, made.log.entries[start : start + 80])
    return made


def flip(file: Path, byte: int = 40) -> None:
    raw = bytearray(file.read_bytes())
    raw[byte] ^= 1
    file.write_bytes(raw)


def scrub(served: Served) -> tuple[int, list[str]]:
    said: list[str] = []
    store = served.store()
    assert isinstance(store, MendableFolder)
    return Scrub(store, FixedKeys(served.log.policy), [], said.append, clock=lambda: NOW).run(), said


def examined(store: MendableFolder, origin: str, keys: FixedKeys) -> Examiner:
    examiner = Examiner(store, {origin: keys})
    examiner.run()
    return examiner


@pytest.mark.parametrize("byte", [40, -40, None], ids=["what it says", "its hashes", "gone"])
@pytest.mark.parametrize("start", [700, 780, 860])
def test_what_was_staged_is_taken_away_with_what_follows_it(kept: Kept, start: int, byte: int | None) -> None:
    origin, file = kept.log.origin, kept.file("staged", start)
    if byte is None:
        file.unlink()
    else:
        flip(file, byte)
    gone = byte is None
    if gone and start == 860:
        # Nothing says that there was one.
        assert kept.scrub() == 0
    else:
        with pytest.raises(Damaged):
            kept.custodian.append(origin, kept.log.append(700))
        with pytest.raises(Refused, match="before their head"):
            examined(kept.store, origin, kept.keys).check()
        assert kept.scrub() == 3, kept.said
        assert len(list((kept.folder / "aside").iterdir())) == (940 - start) // 80 - gone
    assert kept.store.staged(origin) == start
    kept.open()
    kept.custodian.append(origin, kept.log.append(700))
    assert kept.store.entries(origin, 0, 940) == kept.log.entries
    kept.check_whole()


def test_while_what_is_held_is_damaged_nothing_is_taken_away(kept: Kept) -> None:
    kept.flip("heads", 200, 8_000)
    kept.flip("staged", 780, 40)
    assert kept.scrub() == 4
    assert not (kept.folder / "aside").exists()
    assert kept.scrub(kept.peer) == 3, kept.said
    assert kept.store.staged(kept.log.origin) == 780


def observed(folder: Path) -> Path:
    """The file that says that a tree of 5 entries was seen after one of 3."""
    (file,) = folder.glob("logs/*/observed-*/000/000/000/004")
    return file


@pytest.mark.parametrize("byte", [40, -40], ids=["first copy", "second copy"])
def test_which_tree_was_seen_is_known_from_the_other_copy(in_folder: Served, tmp_path: Path, byte: int) -> None:
    served, origin = in_folder, in_folder.log.origin
    served.fill(3)
    seen(served, 5)
    file = observed(tmp_path)
    right = file.read_bytes()
    flip(file, byte)
    store, keys = served.store(), FixedKeys(served.log.policy)
    assert isinstance(store, MendableFolder)
    with pytest.raises(Refused, match="head that was seen, number 4: cannot be read"):
        examined(store, origin, keys).check()
    # Nothing of it is forgotten meanwhile, nor afterwards.
    true, other = list(served.log.entries), [*served.log.entries[:3], b"other", b"other"]
    for code, told in ((3, "observed 4: mended from its other copy"), (0, "all right")):
        served.log.entries[:] = other
        served.restart()
        assert refused(served, submission(served, 5), 422) == "wrong-root"
        assert told_size(served, submission(served, 3)) == b"5\n"
        served.log.entries[:] = true
        assert cosigned_by_witness(served, submission(served, 5)) == served.time
        assert scrub(served) == (code, [ANY, f"{origin}: {told}"] if code else [f"{origin}: {told}, 3 entries"])
        assert file.read_bytes() == right
    examined(store, origin, keys).check()
    served.cosigned(served.log.append(3))


def test_which_tree_was_seen_nobody_else_knows(in_folder: Served, tmp_path: Path) -> None:
    served, origin = in_folder, in_folder.log.origin
    served.fill(3)
    seen(served, 5)
    file = observed(tmp_path)
    for byte in (40, -40):
        flip(file, byte)
    store, keys = served.store(), FixedKeys(served.log.policy)
    assert isinstance(store, MendableFolder)
    with pytest.raises(Damaged):
        Custodian(store, {origin: keys}, CUSTODIANS[0], lambda: NOW).append(origin, served.log.append(3))
    with pytest.raises(Refused, match="head that was seen, number 4: cannot be read"):
        examined(store, origin, keys).check()
    code, said = scrub(served)
    assert code == 4
    (told,) = [line for line in said if "file 4 alone says which tree was seen" in line]
    assert "rebuild this custodian" in told
    assert file.exists()


def test_a_tree_that_an_earlier_version_saw_is_known_from_its_one_copy(in_folder: Served, tmp_path: Path) -> None:
    served = in_folder
    served.fill(3)
    seen(served, 5)
    file = observed(tmp_path)
    raw = file.read_bytes()
    file.write_bytes(raw[: len(raw) // 2])
    assert scrub(served)[0] == 0
    served.restart()
    assert cosigned_by_witness(served, submission(served, 5)) == served.time


def test_evidence_against_a_log_is_read_from_either_copy(in_folder: Served, tmp_path: Path) -> None:
    served = in_folder
    served.fill(3)
    served.log.entries[0] = b"rewritten"
    add_checkpoint(served, submission(served, 0))
    line = line_of(served.log.policy)
    kept = served.store().contradicted(served.log.origin, line)
    assert kept is not None
    (file,) = tmp_path.glob("logs/*/against-*/000/000/000/000")
    right = file.read_bytes()
    flip(file)
    assert served.store().contradicted(served.log.origin, line) == kept
    code, said = scrub(served)
    assert (code, said[0].partition(": ")[2]) == (3, "evidence that the log contradicts itself: cannot be read")
    assert file.read_bytes() == right


@pytest.mark.parametrize("copies", [1, 2])
def test_evidence_that_is_lost_is_taken_away_and_ends_nothing(in_folder: Served, tmp_path: Path, copies: int) -> None:
    """Of the version before there is one copy only."""
    served, origin = in_folder, in_folder.log.origin
    served.fill(3)
    store, keys, other = served.store(), FixedKeys(served.log.policy), Head(-1, 1, bytes(32), b"", b"note", 0)
    assert isinstance(store, MendableFolder)
    store.contradict(origin, "line", other)
    (file,) = tmp_path.glob("logs/*/against-line/000/000/000/000")
    raw = file.read_bytes()
    file.write_bytes(raw[: len(raw) // 2 * copies])
    for byte in (40, -40)[:copies]:
        flip(file, byte)
    with pytest.raises(Refused, match="evidence that the log contradicts itself: cannot be read"):
        examined(store, origin, keys).check()
    damaged = file.read_bytes()
    code, said = scrub(served)
    assert (code, said[1:]) == (3, [f"{origin}: against 0: taken away, for it is in neither copy"])
    assert [one.read_bytes() for one in (tmp_path / "aside").iterdir()] == [damaged]
    examined(store, origin, keys).check()
    # What else it is caught at is kept.
    assert store.contradicted(origin, "line") is None
    store.contradict(origin, "line", other)
    assert store.contradicted(origin, "line") == other


def test_a_line_that_is_lost_keeps_no_other_from_being_mended(in_folder: Served, tmp_path: Path) -> None:
    served, origin = in_folder, in_folder.log.origin
    served.fill(3)
    store = served.store()
    head = Head(3, 6, bytes(32), b"", b"note", served.time)
    right = {}
    for line in "abc":
        store.observe(origin, line, head)
        (file,) = tmp_path.glob(f"logs/*/observed-{line}/000/000/000/004")
        right[line] = file, file.read_bytes()
        for byte in (40,) if line == "b" else (40, -40):
            flip(file, byte)
    code, said = scrub(served)
    assert code == 4
    assert right["b"][0].read_bytes() == right["b"][1]
    (told,) = [line for line in said if "alone says which tree was seen" in line]
    assert "observed-a: file 4" in told and "observed-c: file 4" in told


@pytest.mark.parametrize("held", [0, 100])
def test_what_was_brought_is_taken_away_and_comes_again(in_folder: Served, tmp_path: Path, held: int) -> None:
    served, origin = in_folder, in_folder.log.origin
    seen(served, 100, 600)
    info(served, upload(served, 0, 600, most=2), 202)
    if held:
        cosigned(served, upload(served, 0, held))
    (file,) = tmp_path.glob("logs/*/brought-*/000/000/000/256")
    flip(file)
    served.client._transport.raise_server_exceptions = False  # type: ignore[attr-defined]
    assert add(served, upload(served, 512, 600)).status_code == 500
    code, said = scrub(served)
    assert code == 3, said
    served.restart()
    assert brought(served) == 256
    cosigned(served, upload(served, 256, 600))
    assert served.store().entries(origin, 0, 600) == served.log.entries
    assert scrub(served)[0] == 0


def test_what_comes_beside_an_examination_is_no_damage(in_folder: Served) -> None:
    # It begins where the head ends that came meanwhile.
    served, origin = in_folder, in_folder.log.origin
    served.fill(10)
    seen(served, 300)
    info(served, upload(served, 10, 300, most=1), 202)
    store = served.store()
    assert isinstance(store, MendableFolder)
    served.cosigned(served.log.append(10, 260))
    seen(served, 700)
    info(served, upload(served, 260, 700, most=1), 202)
    assert {right for _, _, right in store.ahead(origin, 10)} == {True}


class Watched(RealDisk):
    """Of a process that scrubs; `meanwhile` comes once, when a file has just been put aside, or is refused that."""

    meanwhile: Callable[[], None] | None = None

    def link(self, path: str, new: str) -> None:
        super().link(path, new)
        if "/aside/" in new:
            self.at_once()

    def at_once(self) -> None:
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile:
            meanwhile()


def test_what_a_head_comes_to_cover_beside_a_scrub_is_not_taken_away(in_folder: Served, tmp_path: Path) -> None:
    served, origin = in_folder, in_folder.log.origin
    seen(served, 768, 1000)
    info(served, upload(served, 0, 1000, most=3), 202)
    (file,) = tmp_path.glob("logs/*/brought-*/000/000/000/256")
    flip(file)

    def cover() -> None:
        for start, end in ((0, 256), (256, 512), (512, 600)):
            served.cosigned(served.log.append(start, end))
        cosigned(served, upload(served, 600, 768))

    disk, said = Watched(), list[str]()
    disk.meanwhile = cover
    store = MendableFolder(str(tmp_path), [origin], disk)
    assert Scrub(store, FixedKeys(served.log.policy), [], said.append, clock=lambda: NOW).run() == 4
    assert f"{origin}: another process works in {tmp_path}: stop the custodian, then scrub once more" in said
    # Nothing was taken away that it then covers, and what it has covered alone stays.
    disk.at_once()
    assert served.stored().size == 768
    assert served.store().entries(origin, 0, 768) == served.log.entries[:768]
    # In the same process as the custodian, which does nothing meanwhile.
    assert scrub(served)[0] == 0


@pytest.mark.parametrize("byte", [40, -40])
def test_what_a_head_has_come_to_cover_since_all_was_examined_stays(
    in_folder: Served, tmp_path: Path, byte: int
) -> None:
    served, origin = in_folder, in_folder.log.origin
    seen(served, 300, 1000)
    info(served, upload(served, 0, 1000, most=3), 202)
    cosigned(served, upload(served, 0, 300))
    (file,) = tmp_path.glob("logs/*/brought-*/000/000/000/256")
    flip(file, byte)
    store = served.store()
    assert isinstance(store, MendableFolder)
    with pytest.raises(Damaged):
        store.mend_ahead(origin, "brought", 256, lambda start, end: [])
    assert file.exists()
    assert not (tmp_path / "aside").exists()
