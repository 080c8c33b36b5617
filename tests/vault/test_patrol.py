"""What changes on the disk of a custodian while it runs, and the log grows, is found without starting it again; from
then on it signs nothing, and goes on serving.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from sqlalchemy import text

from audit.protocol.refused import Refused
from infra.metrics import Metrics
from tests.infra.test_private import told
from tests.simulator.rekeys import rekey
from tests.vault import test_folder_scrubbing, test_scrubbing
from tests.vault.conftest import CUSTODIANS, NOW
from tests.vault.fixed_keys import FixedKeys
from tests.vault.folders import opened
from tests.vault.test_rekeys import NEW_LOG
from tests.vault.test_rekeys import Kept as Meeting
from vault.custodian.cosign import Head
from vault.custodian.custody import Custodian
from vault.custodian.examining import LONGEST_REST_SECONDS, PART, PIECE_SECONDS, Examiner, Sparing
from vault.custodian.keys import stored_keys
from vault.custodian.pages import by_index
from vault.custodian.scrubbing import Examination
from vault.custodian.storage import Damaged


class Running:
    """A custodian that was examined when it began, and whose log grows whenever the patrol rests."""

    def __init__(self, kept: test_scrubbing.Kept | test_folder_scrubbing.Kept) -> None:
        self.kept, self.origin = kept, kept.log.origin
        self.keys = {self.origin: FixedKeys(kept.log.policy)}
        self.now, self.due, self.refusals = itertools.count(), 0, list[str]()
        self.examiner = Examiner(kept.store, self.keys, lambda: next(self.now), self.rest)
        self.examiner.run()
        kept.custodian = Custodian(kept.store, self.keys, CUSTODIANS[0], lambda: kept.time, self.examiner.check)

    def rest(self, seconds: float) -> None:
        if self.due:
            self.due -= 1
            self.append(90)

    def append(self, count: int) -> None:
        """So many entries, if they are taken."""
        old = len(self.kept.log.entries)
        try:
            self.kept.append(count)
        except (Refused, Damaged) as error:
            del self.kept.log.entries[old:]
            self.refusals.append(error.reason if isinstance(error, Refused) else str(error))

    def patrol(self, appends: int = 0) -> None:
        self.due = appends
        self.examiner.patrol()

    def refused(self) -> str:
        with pytest.raises(Refused) as refusal:
            self.examiner.check()
        assert refusal.value.reason == "damaged"
        return refusal.value.detail

    def figures(self) -> tuple[float, float]:
        metrics = Metrics()
        self.examiner.add_figures(metrics)
        figures = told(metrics)
        # Those that are 0 are not among them.
        age, faults = (f'{name}{{log="{self.origin}"}}' for name in ("examined_age_seconds", "faults"))
        return figures[age], figures.get(faults, 0)


@pytest.fixture(params=["database", "folder"])
def running(request: pytest.FixtureRequest, tmp_path: Path) -> Running:
    if request.param == "folder":
        return Running(test_folder_scrubbing.Kept(tmp_path / "kept"))
    return Running(test_scrubbing.Kept(request.getfixturevalue("database")))


def flip(running: Running, *place: object) -> None:
    kept = running.kept
    if isinstance(kept, test_scrubbing.Kept):
        kept.damage.flip(*place)  # type: ignore[arg-type]
    else:
        kept.flip(*place)  # type: ignore[arg-type]


def test_a_log_that_grows_meanwhile_is_all_right_in_every_round(running: Running) -> None:
    assert running.figures() == (1, 0)
    for _ in range(3):
        running.patrol(appends=4)
        assert running.due == 0
    running.append(1)
    assert running.refusals == []
    assert len(running.kept.log.entries) == 700 + 12 * 90 + 1
    assert running.figures() == (1, 0)


IN_DATABASE = [
    (("entry", "data", "index = 300"), "entry 300"),
    (("entry", "leaf", "index = 300"), "leaf hash 300"),
    (("node", "hash", "level = 1 AND index = 1"), "tile hash 1/1"),
    (("head", "note", "size = 400"), "head of 400 entries"),
    (("head", "note", "size = 700"), "head of 700 entries"),
    (("published", "note", "size = 700"), "published checkpoint of 700 entries"),
]
IN_FOLDER = [
    (("heads", 200, 8_000), "entry 200"),
    (("heads", 200, -40), "entry 200"),
    (("heads", 200, 40), "entry 200"),
    (("staged", 600, 1000), "entry 600"),
    (("heads", 600, 40), "entry 600"),
    (("published", 700, 60), "published checkpoint of 700 entries"),
]
PLACES = [("database", *one) for one in IN_DATABASE] + [("folder", *one) for one in IN_FOLDER]


@pytest.mark.parametrize(("running", "place", "said"), PLACES, indirect=["running"])
def test_a_bit_that_changes_while_it_runs_is_found_and_nothing_is_signed_any_more(
    running: Running, place: tuple[object, ...], said: str
) -> None:
    kept, origin = running.kept, running.origin
    shown = kept.custodian.checkpoint(origin)
    flip(running, *place)
    running.patrol()
    assert running.refused().startswith(f"{said}")
    assert running.figures()[1] >= 1
    size = len(kept.log.entries)
    running.append(10)
    assert len(kept.log.entries) == size
    assert kept.custodian.checkpoint(origin) == shown
    # It goes on reading, and what is mended meanwhile is not signed over before somebody starts it again.
    assert kept.scrub(kept.peer) == 3, kept.said
    running.patrol()
    assert running.figures()[1] == 0
    assert running.refused().startswith(f"{said}")
    # A head that was mended has the time at which it was.
    kept.time += 9
    Running(kept).append(10)
    assert len(kept.log.entries) == 710


@pytest.mark.parametrize("place", [("entry", "data", "index = 3"), ("entry", "leaf", "index = 3")])
@pytest.mark.parametrize("running", ["database"], indirect=True)
def test_no_append_is_signed_while_the_rest_is_still_to_be_read(running: Running, place: tuple[object, ...]) -> None:
    running.append(90)
    flip(running, *place)
    size = len(running.kept.log.entries)
    running.patrol(appends=3)
    assert running.refusals == ["damaged"] * 3
    assert running.kept.store.newest(running.origin).size == size


EDGE = [
    ("database", ("entry", "data", "index = 650"), 1),
    ("database", ("entry", "data", "index = 650"), 100),
    ("database", ("entry", "leaf", "index = 650"), 100),
    ("database", ("head", "root", "size = 700"), 1),
    ("database", ("head", "frontier", "size = 700"), 1),
    ("database", ("head", "note", "size = 700"), 1),
    ("folder", ("staged", 600, 1000), 1),
    ("folder", ("staged", 600, -40), 100),
    ("folder", ("heads", 600, 40), 1),
]


@pytest.mark.parametrize(("running", "place", "count"), EDGE, indirect=["running"])
def test_nothing_is_put_beside_what_has_changed(running: Running, place: tuple[object, ...], count: int) -> None:
    # One entry completes no tile, a hundred do; nothing was examined since.
    flip(running, *place)
    running.append(count)
    assert len(running.kept.log.entries) == 700
    assert running.refusals != ["damaged"]


@pytest.mark.parametrize("running", ["database"], indirect=True)
def test_a_time_that_changes_while_it_runs_is_stated_by_nobody(running: Running) -> None:
    kept = running.kept
    assert isinstance(kept, test_scrubbing.Kept)
    running.append(1)
    kept.damage.do("head", "UPDATE head SET time = time - 9 WHERE origin = :o AND size = 701")
    running.append(1)
    assert running.refusals == ["the head of 701 entries is another than it was while this process ran"]


@pytest.mark.parametrize("running", ["database"], indirect=True)
def test_an_old_tree_is_not_stated_anew_as_the_largest(running: Running) -> None:
    kept, later = running.kept, "UPDATE head SET time = time + 9 WHERE origin = :o AND size = 400"
    assert isinstance(kept, test_scrubbing.Kept)
    again = kept.log.append(200, 400)
    kept.custodian.append(running.origin, again)
    kept.damage.do("head", later)
    with pytest.raises(Damaged, match="its time is after that of the newest"):
        kept.custodian.append(running.origin, again)


@pytest.mark.parametrize(
    ("size", "later", "found", "said"),
    [
        (400, 25, 600, "after that of a larger one"),
        (600, -25, 600, "before that of a smaller one"),
        (700, -25, 700, ""),
    ],
)
@pytest.mark.parametrize("running", ["database"], indirect=True)
def test_a_time_out_of_order_is_stated_by_nobody_found_and_not_made_up(
    running: Running, size: int, later: int, found: int, said: str
) -> None:
    kept = running.kept
    assert isinstance(kept, test_scrubbing.Kept)
    kept.damage.do("head", f"UPDATE head SET time = {NOW} + size / 10 WHERE origin = :o")
    custodian = Custodian(kept.store, running.keys, CUSTODIANS[0], lambda: kept.time)
    again = kept.log.append(size - 200 + size // 700 * 100, size)
    custodian.append(running.origin, again)
    kept.damage.do("head", f"UPDATE head SET time = time + {later} WHERE origin = :o AND size = {size}")
    if said:
        with pytest.raises(Damaged, match=said):
            custodian.append(running.origin, again)
    running.patrol()
    assert running.refused() == f"head of {found} entries: has an earlier time than one of fewer entries: " + (
        "this custodian signs nothing until it is scrubbed"
    )
    # Which of the two is false nothing here says.
    assert kept.scrub(kept.peer) == 4
    assert "not repaired" in kept.said[-1] and not any("mended" in line for line in kept.said)


@pytest.mark.parametrize(
    ("size", "moved", "said"),
    [(200, 45, "after that of a larger one"), (600, -45, "before that of a smaller one")],
)
@pytest.mark.parametrize("running", ["database"], indirect=True)
def test_a_time_out_of_order_beyond_a_head_that_has_none_is_stated_by_nobody(
    running: Running, size: int, moved: int, said: str
) -> None:
    kept = running.kept
    assert isinstance(kept, test_scrubbing.Kept)
    kept.damage.do("head", f"UPDATE head SET time = {NOW} + size / 10 WHERE origin = :o")
    # As of one that was lost and mended.
    kept.damage.do("head", "UPDATE head SET time = 0 WHERE origin = :o AND size = 400")
    custodian = Custodian(kept.store, running.keys, CUSTODIANS[0], lambda: kept.time)
    again = kept.log.append(size - 200, size)
    custodian.append(running.origin, again)
    kept.damage.do("head", f"UPDATE head SET time = time + {moved} WHERE origin = :o AND size = {size}")
    with pytest.raises(Damaged, match=said):
        custodian.append(running.origin, again)


@pytest.mark.parametrize("running", ["database"], indirect=True)
def test_a_head_that_was_mended_is_a_larger_one_too(running: Running) -> None:
    """Also if its row is gone, and only what it was mended with says its time."""
    kept = running.kept
    assert isinstance(kept, test_scrubbing.Kept)
    kept.damage.remove("head", "size = 700")
    assert kept.scrub() == 3, kept.said
    kept.start()
    kept.time += 50
    kept.append(1)
    kept.damage.do("head", "UPDATE head SET time = time + 20 WHERE origin = :o AND size = 600")
    with pytest.raises(Damaged, match="after that of a larger one"):
        kept.custodian.append(running.origin, kept.log.append(400, 600))


@pytest.mark.parametrize("middle", ["time", "0"], ids=["dated", "without a time"])
@pytest.mark.parametrize("running", ["database"], indirect=True)
def test_each_head_that_is_earlier_than_a_smaller_one_is_found(running: Running, middle: str) -> None:
    """Not only the first after it: by the next it would be in order again."""
    kept = running.kept
    assert isinstance(kept, test_scrubbing.Kept)
    kept.damage.do("head", f"UPDATE head SET time = {NOW} + size / 10 WHERE origin = :o")
    kept.damage.do("head", f"UPDATE head SET time = {NOW} + 65 WHERE origin = :o AND size = 200")
    kept.damage.do("head", f"UPDATE head SET time = {middle} WHERE origin = :o AND size = 400")
    earlier = [size for size in (400, 600) if size == 600 or middle != "0"]
    assert kept.found() == [
        f"head of {size} entries: has an earlier time than one of fewer entries" for size in earlier
    ]


def test_what_the_second_look_does_not_find_is_no_damage(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    store, looks = running.kept.store, [Damaged("a page of the database cannot be read")]
    newest = store.newest

    def once(origin: str) -> Head:
        if looks:
            raise looks.pop()
        return newest(origin)

    monkeypatch.setattr(store, "newest", once)
    running.patrol()
    running.append(1)
    assert (looks, running.refusals, running.figures()[1]) == ([], [], 0)


@pytest.mark.parametrize("running", ["database"], indirect=True)
def test_the_second_look_at_a_page_is_by_no_parallel_worker(running: Running) -> None:
    with by_index(running.kept.store._engine) as connection:  # type: ignore[union-attr]
        assert connection.scalar(text("SHOW max_parallel_workers_per_gather")) == "0"


def test_a_rekey_that_the_service_has_not_learned_yet_is_no_damage(tmp_path: Path) -> None:
    kept = Meeting(tmp_path)
    before = kept.size
    kept.append(0, before, kept.old_log)
    store = opened(tmp_path, [kept.meeting.origin])
    keys = stored_keys(store, kept.first)
    rekey(kept.meeting, "log", "log", NEW_LOG)
    assert kept.append(before, before + 1, NEW_LOG).status_code == 200
    assert Examination(store, keys).run().faults == []
    # It is the service that learns, and not who reads beside it.
    assert list(keys.places()) == []


def test_it_leaves_the_others_most_of_the_time() -> None:
    now, rested = [0.0], list[float]()

    def sleep(seconds: float) -> None:
        rested.append(seconds)
        now[0] += seconds

    rest = Sparing(lambda: now[0], sleep)
    for worked in (PIECE_SECONDS / 4, PIECE_SECONDS, 0.5, 400.0):
        now[0] += worked
        rest()
    first = PIECE_SECONDS * 1.25
    assert rested == pytest.approx([first * (1 / PART - 1), 0.5 * (1 / PART - 1), LONGEST_REST_SECONDS])
