"""A row that somebody who may write to the ledger's database has put between two stages while a sequencer runs: the
tables take none, and no custodian is accused by one that stands there all the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from audit.log.merkle import CompactRange, leaf_hash
from audit.log.notes import parse_note
from audit.log.treehead import parse_checkpoint
from tally.sequencer.courier import Fork
from tally.sequencer.ledger import Damaged, Ledger
from tally.sequencer.signed_root import signed_root
from tests.databases import Database
from tests.loopback import wait_until
from tests.sequencer.house import House, until_it_ends
from tests.sequencer.test_forks import another, shows
from tests.sequencer.test_staged import another_frontier

COLUMNS = "origin, size, old_size, root, frontier"
STAGE = f"INSERT INTO public.stage ({COLUMNS}) VALUES (:origin, :size, :old_size, :root, :frontier)"


def add(connection: Connection, origin: str, old_size: int, size: int) -> None:
    frontier = another_frontier(size)
    root = CompactRange.from_bytes(frontier).root()
    row = {"origin": origin, "old_size": old_size, "size": size, "root": root, "frontier": frontier}
    connection.execute(text(STAGE), row)


def put_between(database: Database, origin: str, old_size: int, size: int, table: str = "stage") -> None:
    """As the owner of the tables can, who takes the constraint away for it."""
    with database.owner.begin() as connection:
        connection.execute(text("ALTER TABLE public.stage DROP CONSTRAINT stage_follows"))
        add(connection, origin, old_size, size)
        again = "FOREIGN KEY (origin, follows) REFERENCES public.stage (origin, size) NOT VALID"
        connection.execute(text(f"ALTER TABLE public.stage ADD CONSTRAINT stage_follows {again}"))


@pytest.fixture
def read_back(open_house: House, other_ledger: Ledger) -> House:
    """Its ledger, read back from the custodians, has one stage, so that there is room before it for another. Custodian
    2 says that it holds a tree of two entries less, which it does.
    """
    size = open_house.ledger.newest().size
    open_house.sequence(open_house.ballot(0), open_house.ballot(1))
    note = open_house.ledger.signed(size)
    assert note is not None
    after = replace(open_house, ledger=other_ledger)
    after.sequence()
    assert [stage.old_size for stage in other_ledger.stages(0, size + 2)] == [0]
    shows(after, 2, note)
    return after


@pytest.mark.parametrize("place", ["between", "twice at one size"])
def test_a_stage_has_no_place_but_the_end(open_house: House, ledger_databases: Sequence[Database], place: str) -> None:
    size = open_house.ledger.newest().size
    old_size = size + 1 if place == "between" else open_house.ledger.newest().old_size
    with pytest.raises(IntegrityError), ledger_databases[0].engine.begin() as connection:
        add(connection, open_house.meeting.origin, old_size, size + 2)
    with ledger_databases[0].engine.begin() as connection:
        add(connection, open_house.meeting.origin, size, size + 2)
        connection.rollback()


def test_by_a_false_stage_no_custodian_is_accused(
    read_back: House, ledger_databases: Sequence[Database], capsys: pytest.CaptureFixture[str]
) -> None:
    newest = read_back.ledger.newest().size
    size = newest - 2
    with read_back.opened() as sequencer:
        courier = sequencer._push._couriers[2]
        wait_until(lambda: courier.heard)
        put_between(ledger_databases[1], read_back.meeting.origin, size - 1, size)
        # At a size that it does not touch, another tree is a fork as before.
        held = parse_checkpoint(parse_note(another(read_back, size - 1)).text)
        assert isinstance(courier._doubt(held, *sequencer._push.sent()), Fork)
        courier.forget()
        read_back.queue.put(read_back.ballot(2))
        with pytest.raises(Damaged, match=f"tree of {size} entries .* empty database"):
            sequencer.step()
            until_it_ends(sequencer)
    assert '"event": "fork"' not in capsys.readouterr().err


@pytest.mark.parametrize("page", [256, 3])
def test_a_tree_of_any_size_is_known_from_what_the_log_has_signed(
    read_back: House, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    """However far the stages are apart, no more than a page of entries is in memory."""
    read = Ledger.entries

    def paged(ledger: Ledger, start: int, end: int) -> list[bytes]:
        assert end - start <= page
        return read(ledger, start, end)

    for module in ("ledger", "signed_root"):
        monkeypatch.setattr(f"tally.sequencer.{module}.PAGE", page)
    monkeypatch.setattr(Ledger, "entries", paged)
    ledger, manifest = read_back.ledger, read_back.meeting.manifest
    newest, tree = ledger.newest().size, CompactRange()
    for size, raw in enumerate(ledger.all_entries(), start=1):
        tree.append(leaf_hash(raw))
        assert signed_root(ledger, manifest, size) == tree.root()
    assert signed_root(ledger, manifest, newest + 1) is None
