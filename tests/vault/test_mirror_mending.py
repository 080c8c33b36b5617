"""What was brought into a folder before its head is mended like all else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.vault.conftest import NOW, Growing, Served
from tests.vault.fixed_keys import FixedKeys
from tests.vault.sources import Shown
from tests.vault.uploading import beginning, brought, cosigned, info, seen, upload
from vault.custodian.folder_mending import MendableFolder
from vault.custodian.mending import Scrub


def test_the_folder_of_a_half_uploaded_log_opens(in_folder: Served) -> None:
    seen(in_folder, 600)
    info(in_folder, upload(in_folder, 0, 600, most=1), 202)
    assert (brought(in_folder), in_folder.stored().size) == (256, 0)


@pytest.mark.parametrize("lost", [False, True], ids=["changed", "gone"])
def test_what_was_brought_into_a_folder_is_mended_like_all_else(in_folder: Served, tmp_path: Path, lost: bool) -> None:
    served, origin = in_folder, in_folder.log.origin
    seen(served, 300, 700)
    info(served, upload(served, 0, 700, most=1), 202)
    info(served, upload(served, 256, 700, most=1), 202)
    # Held in two steps, the first of which ends within a file.
    cosigned(served, beginning(origin, 300, 300))
    cosigned(served, upload(served, 512, 700))
    served.fill(5)
    whole = served.store().entries(origin, 0, 706)
    (file,) = tmp_path.glob("logs/*/brought-*/000/000/000/256")
    if lost:
        file.unlink()
    else:
        raw = bytearray(file.read_bytes())
        raw[-40] ^= 1
        file.write_bytes(raw)
    peer = Shown(served.log).show()
    said: list[str] = []
    store = served.store()
    assert isinstance(store, MendableFolder)
    scrub = Scrub(store, FixedKeys(served.log.policy), [peer], said.append, clock=lambda: NOW)
    assert scrub.run() == 3, said
    assert served.store().entries(origin, 0, 706) == whole == served.log.entries
    assert Scrub(served.store(), FixedKeys(served.log.policy), [], said.append, clock=lambda: NOW).run() == 0


@pytest.mark.parametrize("lost", [False, True], ids=["changed", "gone"])
def test_a_file_that_is_mended_holds_no_more_than_a_bundle_however_much_came_later(
    in_folder: Served, tmp_path: Path, lost: bool
) -> None:
    served, origin = in_folder, in_folder.log.origin
    seen(served, 300)
    cosigned(served, upload(served, 0, 300))
    for _ in range(4):
        served.fill(250)
    (file,) = tmp_path.glob("logs/*/brought-*/000/000/000/256")
    if lost:
        file.unlink()
    else:
        raw = bytearray(file.read_bytes())
        raw[-40] ^= 1
        file.write_bytes(raw)
    peer, store, said = Shown(served.log).show(), served.store(), list[str]()
    assert isinstance(store, MendableFolder)
    assert Scrub(store, FixedKeys(served.log.policy), [peer], said.append, clock=lambda: NOW).run() == 3, said
    files = tmp_path.glob("logs/*/brought-*/000/000/000/*")
    assert sorted(json.loads(one.read_bytes().split(b"\n")[1])["end"] for one in files) == [256, 512]
    assert served.store().entries(origin, 0, 1300) == served.log.entries


@pytest.mark.parametrize("lost", [False, True])
def test_what_was_brought_and_is_held_in_part_is_mended_and_the_rest_comes_again(
    in_folder: Served, tmp_path: Path, lost: bool
) -> None:
    served, origin = in_folder, in_folder.log.origin
    seen(served, 200, 700)
    assert info(served, upload(served, 0, 700, most=2), 202) == (700, 512)
    # Of the first file as much is held as the smaller tree has, of the second nothing.
    cosigned(served, upload(served, 0, 200))
    note = served.log.witnessed(200)
    assert served.post("publish", note).status_code == 204
    (file,) = tmp_path.glob("logs/*/brought-*/000/000/000/000")
    if lost:
        file.unlink()
    else:
        raw = bytearray(file.read_bytes())
        raw[-40] ^= 1
        file.write_bytes(raw)
    peer = Shown(Growing(origin, served.log.entries[:200])).show()
    said: list[str] = []
    store = served.store()
    assert isinstance(store, MendableFolder)
    assert Scrub(store, FixedKeys(served.log.policy), [peer], said.append, clock=lambda: NOW).run() == 3, said
    served.restart()
    assert store.entries(origin, 0, 200) == served.log.entries[:200]
    assert info(served, upload(served, 512, 700), 409) == (700, 200)
    cosigned(served, upload(served, 200, 700))
    assert store.entries(origin, 0, 700) == served.log.entries
    assert Scrub(served.store(), FixedKeys(served.log.policy), [], said.append, clock=lambda: NOW).run() == 0


def test_what_follows_a_mended_file_that_is_held_to_its_end_stays(in_folder: Served, tmp_path: Path) -> None:
    served, origin = in_folder, in_folder.log.origin
    seen(served, 256, 1000)
    assert info(served, upload(served, 0, 1000, most=3), 202) == (1000, 768)
    cosigned(served, upload(served, 0, 256))
    (file,) = tmp_path.glob("logs/*/brought-*/000/000/000/000")
    raw = bytearray(file.read_bytes())
    raw[-40] ^= 1
    file.write_bytes(raw)
    peer, store, said = Shown(served.log).show(256), served.store(), list[str]()
    assert isinstance(store, MendableFolder)
    assert Scrub(store, FixedKeys(served.log.policy), [peer], said.append, clock=lambda: NOW).run() == 3, said
    served.restart()
    assert brought(served) == 768
    cosigned(served, upload(served, 768, 1000))
    assert store.entries(origin, 0, 1000) == served.log.entries
