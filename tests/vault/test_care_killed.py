"""`psephos custodian rebuild` and `scrub` fail, and are killed, between any two of their writes; run again, they come
to the same end.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from audit.log.export import check_tiles
from infra import failpoints
from tests.databases import Database
from tests.faults.processes import Spawner, spawner
from tests.loopback import PATIENCE, serving
from tests.vault.conftest import NOW, Growing, Served
from tests.vault.damage import Damage
from tests.vault.fixed_keys import FixedKeys
from tests.vault.sources import Shown
from tests.vault.test_care_commands import Town
from tests.vault.test_mirror import cosigned, info, seen, upload
from vault.custodian.config import check_keeper
from vault.custodian.folder_mending import MendableFolder
from vault.custodian.mending import Scrub
from vault.custodian.rebuilding import check_finished
from vault.custodian.stored import StoreReader, signed_head

REBUILD = {
    "pull.staging": True,
    "pull.staged": False,
    "rebuild.publishing": True,
    "rebuild.published": True,
    "rebuild.stored": False,
}
"""And whether a second run comes there again: not if what was reported lost was stored."""
SCRUB = {"folder": ["scrub.set-aside", "scrub.mended"], "database": ["scrub.mending", "scrub.mended"]}
BY_HAND = ["scrub.dropped"]


@pytest.fixture(scope="module")
def spawned() -> Iterator[Spawner]:
    with spawner() as made:
        yield made


@pytest.fixture(params=["folder", "database"])
def town(request: pytest.FixtureRequest, tmp_path: Path) -> Town:
    return Town(tmp_path, request.getfixturevalue("database") if request.param == "database" else None)


def strikes(spawned: Spawner, town: Town, point: str, *words: str, **fault: list[int]) -> bool:
    """Whether a command comes to this point, at which it then fails or is killed."""
    log = town.folder / "command.log"
    log.unlink(missing_ok=True)
    command = ["custodian", *words, "--config", town.config]
    process = spawned.command(*command, log=log, at=point, tells=[point], **fault)
    assert process.wait(PATIENCE), f"{words} does not end at {point}"
    said = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    return any(line.get("at") == point for line in said)


def check_whole(town: Town) -> None:
    """What is held is the log, of this custodian, and the service may begin with it."""
    store, origin = town.opened(), town.meeting.origin
    check_keeper(store, [origin], [town.name])
    check_finished(store, origin)
    check_tiles(StoreReader(store, origin), signed_head(store.newest(origin)))
    size = len(town.meeting.entries)
    assert store.published(origin)[0] == store.newest(origin).size == size
    assert town.run("scrub") == (0, f"{origin}: all right, {size} entries\n")


def test_these_are_all_the_points() -> None:
    mine = {name for name in failpoints.SELDOM if name.startswith(("rebuild.", "scrub."))}
    assert mine == {*REBUILD, *SCRUB["folder"], *SCRUB["database"], *BY_HAND} - {"pull.staging", "pull.staged"}


@pytest.mark.parametrize("point", REBUILD)
def test_a_rebuild_that_was_killed_is_run_again(town: Town, spawned: Spawner, point: str) -> None:
    with serving(town.app()) as url:
        words = ("rebuild", "--from", url, "--at-once")
        assert strikes(spawned, town, point, *words, fail=[1])
        assert strikes(spawned, town, point, *words, kill=[1]) == REBUILD[point]
        if REBUILD[point]:
            said = f"rebuilt, {len(town.meeting.entries)} entries; it may be started"
            assert town.run(*words) == (0, f"{town.meeting.origin}: {said}\n")
        check_whole(town)
        assert town.run(*words)[0] == 1


def harm(town: Town, database: Database | None) -> None:
    """An entry and the published checkpoint."""
    origin = town.meeting.origin
    if database is not None:
        damage = Damage(database, origin)
        damage.flip("entry", "data", "index = 1")
        damage.flip("published", "note", "size > 0", 40)
        return
    for kind, byte in (("staged", -40), ("published", 60)):
        (file,) = [path for path in town.kept.glob(f"logs/*/{kind}/**/*") if path.is_file()]
        raw = bytearray(file.read_bytes())
        raw[byte] ^= 1
        file.write_bytes(raw)


@pytest.mark.parametrize(("town", "point"), [(kind, at) for kind in SCRUB for at in SCRUB[kind]], indirect=["town"])
def test_a_scrub_that_was_killed_is_run_again(
    town: Town, spawned: Spawner, request: pytest.FixtureRequest, point: str
) -> None:
    with serving(town.app()) as url:
        assert town.run("rebuild", "--from", url, "--at-once")[0] == 0
        harm(town, request.getfixturevalue("database") if "database =" in town.config.read_text() else None)
        # Of two things that are damaged it mends the one, and then the other.
        for fault in ({"fail": [1]}, {"kill": [1]}):
            assert strikes(spawned, town, point, "scrub", "--peer", url, **fault)
        assert town.run("scrub", "--peer", url)[0] == (0 if point == "scrub.mended" else 3)
        check_whole(town)


class Killed(BaseException):
    """The process ends here."""


def test_a_scrub_killed_between_what_it_drops_and_what_it_mends_is_run_again(in_folder: Served, tmp_path: Path) -> None:
    served, origin = in_folder, in_folder.log.origin
    seen(served, 200, 1000)
    assert info(served, upload(served, 0, 1000, most=3), 202) == (1000, 768)
    cosigned(served, upload(served, 0, 200))
    assert served.post("publish", served.log.witnessed(200)).status_code == 204
    (file,) = tmp_path.glob("logs/*/brought-*/000/000/000/000")
    raw = bytearray(file.read_bytes())
    raw[-40] ^= 1
    file.write_bytes(raw)
    peer, keys = Shown(Growing(origin, served.log.entries[:200])).show(), FixedKeys(served.log.policy)

    def hook(name: str) -> None:
        if name == "scrub.dropped":
            raise Killed

    for left in (512, 256):
        failpoints.set(hook)
        try:
            with pytest.raises(Killed):
                scrubbed(served, keys, peer)
        finally:
            failpoints.set(None)
        (log,) = tmp_path.glob("logs/*/brought-*")
        assert {int("".join(path.parts[-4:])) for path in log.rglob("*") if path.is_file()} == set(range(0, left, 256))
    assert scrubbed(served, keys, peer) == 0
    cosigned(served, upload(served, 200, 1000))
    assert served.store().entries(origin, 0, 1000) == served.log.entries


def scrubbed(served: Served, keys: FixedKeys, peer: Shown) -> int:
    store = served.store()
    assert isinstance(store, MendableFolder)
    return Scrub(store, keys, [peer], lambda line: None, clock=lambda: NOW).run()
