"""What befalls an intake seldom, its key replaced, its outbox lost and restored, the end of the vote: it fails at every
step of that twice, and is killed there, and keeps what it has promised all the same. So does who restores a queue.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select

from audit.record.entries import parse_entry
from infra.keys import write_secret
from infra.postgres import Cluster
from infra.queue.schema import queued
from intake.door.outbox import Outbox
from intake.door.schema import accepted
from tests.faults.client import PATIENCE, Client
from tests.faults.conftest import Counted, new_origin
from tests.faults.voting import Voting
from tests.faults.zones import Zones, zones
from tests.simulator.dice import Dice
from tests.simulator.rekeys import rekeying, take_over

BALLOTS = 3


@pytest.fixture(scope="module")
def begun(cluster: Cluster) -> Iterator[Voting]:
    """Two intakes, and voting is open."""
    with zones(cluster, new_origin(), intakes=2) as town:
        town.start()
        made = Voting(Client(town))
        made.begin()
        yield made


@pytest.fixture
def voting(begun: Voting, counted: Counted) -> Voting:
    begun.client.zones.mend()
    counted(begun.client)
    return begun


def fails_and_dies(town: Zones, name: str, *points: str) -> None:
    """A zone that does not run, and is left so."""
    for point in points:
        # Before a commit, what failed is lost; after it, it is stored and reported lost.
        town.start(name, at=point, fail=[1, 2], kill=[3])
        assert town.process(name).wait(PATIENCE), f"{name} does not come to {point} three times"
        assert not town.said(name, "broke"), f"{name} ends by itself at {point}"


def psephos(town: Zones, *words: object, **fault: object) -> str:
    """What a command said, which may have been killed."""
    log = town.folder / "command.log"
    log.unlink(missing_ok=True)
    town.faults += bool(fault)
    process = town.spawner.command(*words, log=log, **fault)
    assert process.wait(PATIENCE), f"does not end: {words}"
    return log.read_text()


def restored(town: Zones, what: str, copy: Path, config: Path, *points: str) -> None:
    """Takes in a copy, after it has failed twice, and was killed, at each step of that."""
    for point in points:
        for fault in ({"fail": [1]}, {"fail": [1]}, {"kill": [1]}):
            said = psephos(town, what, "restore", copy, "--config", config, at=point, **fault)
            assert f"{copy}: " not in said, said
    said = psephos(town, what, "restore", copy, "--config", config)
    assert said.startswith(f"{copy}: "), said


def test_what_waits_is_signed_by_another_key(voting: Voting) -> None:
    client, town, meeting = voting.client, voting.client.zones, voting.meeting
    (new,) = Dice(31).signers("intake-2")
    write_secret(town.folder / "next.key", new.private + "\n")
    town.kill("intake-1")
    town.write_intake("intake-1", next_key="next.key")
    town.start("intake-1")
    town.cut("intake-1", "ingress")
    rekey = rekeying(meeting, "intake", "intake-2", [new])
    old = voting.key("intake-1")
    take_over(meeting, "intake", "intake-2", [new])
    for account in voting.accounts(BALLOTS):
        # What it promises with the old key, the log is to hold with the new one.
        voting.vote(account, "intake-1")
    town.kill("intake-1")
    assert client.hand_in(rekey)
    client.wait(lambda: rekey in voting.recorded("rekey"))
    fails_and_dies(town, "intake-1", "outbox.signing-again", "outbox.signed-again")
    town.network.heal()
    town.start("intake-1")
    client.check()
    assert voting.key("intake-1") != old


def test_a_lost_outbox_learns_from_the_log_and_from_its_copy(voting: Voting) -> None:
    client, town = voting.client, voting.client.zones
    config, copy = town.zones["intake"].config, town.folder / "outbox.copy"
    for account in voting.accounts(BALLOTS):
        voting.vote(account, "intake")
    client.check()
    # None of these gets out before the loss.
    town.cut("intake", "ingress")
    for account in voting.accounts(BALLOTS):
        voting.vote(account, "intake")
    assert f"{copy}: " in psephos(town, "outbox", "backup", "--config", config, "--out", copy)
    town.kill("intake")
    town.lose_disk("intake")
    fails_and_dies(town, "intake", "outbox.learning")
    restored(town, "outbox", copy, config, "outbox.restoring", "outbox.restored")
    town.network.heal()
    town.start("intake")
    client.check()
    # It reads them a moment after they are published.
    client.wait(lambda: promised(town, "intake") == len(voting.passed["intake"]))


def promised(town: Zones, intake: str) -> int | None:
    """How many ballots an intake knows that it has promised."""
    with town.databases[intake].engine.connect() as connection:
        return connection.scalar(select(func.count()).where(accepted.c.kind == "ballot"))


def test_a_lost_queue_takes_in_its_copy(voting: Voting) -> None:
    client, town = voting.client, voting.client.zones
    copy = town.folder / "queue.copy"
    client.emptied("queue")
    town.kill("egress")
    assert client.put(client.entries(20))
    assert psephos(town, "queue", "backup", "--config", town.zones["egress"].config, "--out", copy)
    town.kill("ingress")
    town.lose_disk("queue")
    restored(town, "queue", copy, town.zones["ingress"].config, "queue.restoring", "queue.restored")
    with town.databases["queue"].engine.connect() as connection:
        # Twice made and reported lost, once made and killed, and once made.
        assert connection.scalar(select(func.count()).select_from(queued)) == 4 * 20
    town.start()
    client.check()


def test_a_closing_that_came_too_early_once_and_the_accounts_of_ballots(voting: Voting) -> None:
    client, town = voting.client, voting.client.zones
    client.check()
    # Drawn up over ballots of which tally has not heard.
    closing = voting.act("closing", client.size("custodian-0") + 1 + BALLOTS)
    Outbox(town.databases["intake"].engine, voting.meeting.origin).accept([(parse_entry(closing), 1)])
    client.wait(lambda: bool(voting.recorded("refusal")))
    voting.expect(*voting.recorded("refusal"))
    for account in voting.accounts(BALLOTS):
        voting.vote(account, "intake-1")
    client.check()
    client.emptied("queue")
    town.kill("tally", *town.intakes)
    for point in ("outbox.renewing", "outbox.renewed"):
        town.start("intake", at=point, fail=[1, 2], kill=[3])
        while town.zones["intake"].alive:
            assert not client.hand_in(closing, patience=0), f"acknowledged although it failed at {point}"
    town.start("intake")
    assert client.hand_in(closing)
    client.wait(lambda: voting.waiting("closing") == 1)
    town.kill("intake")
    town.start("tally")
    client.wait(lambda: bool(voting.recorded("closing")))

    voting.expect(*map(voting.account, town.intakes))
    for name in town.intakes:
        fails_and_dies(town, name, "outbox.draining")
        # Made once for all, it is not made again when it is reported lost.
        town.start(name, at="outbox.drained", fail=[1], tells=["outbox.drained"])
    client.check()
    client.check_ledger()
    assert voting.replayed().phase == "closing"
    assert [len(town.said(name, "came-to")) for name in town.intakes] == [1, 1]
