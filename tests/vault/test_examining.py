"""What a custodian may not sign: what it has not read, whoever asks and however often it was signed before."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from audit.log.notes import parse_note
from audit.protocol.refused import Refused
from infra import failpoints
from tests.databases import Database
from tests.vault.conftest import CUSTODIANS, LOG, Served
from tests.vault.damage import Damage
from tests.vault.fixed_keys import FixedKeys
from tests.vault.uploading import add, info, seen, upload
from vault.custodian.custody import Custodian
from vault.custodian.examining import Examiner
from vault.custodian.mirror import Mirror


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture
def kill() -> Iterator[Callable[[str], None]]:
    """Ends the process at the failpoint of this name."""

    def at(name: str) -> None:
        def hook(here: str) -> None:
            if here == name:
                raise Killed

        failpoints.set(hook)

    yield at
    failpoints.set(None)


def names(lines: bytes) -> set[str]:
    return {line.split(" ")[1] for line in lines.decode().splitlines()}


def test_a_head_stored_by_a_process_that_was_killed_is_not_signed_over_damage(
    in_database: Served, database: Database, kill: Callable[[str], None]
) -> None:
    served, origin = in_database, in_database.log.origin
    served.fill(3)
    old = served.log.grow(2)
    body = served.log.append(old)
    kill("custodian.stored")
    with pytest.raises(Killed):
        served.custodian.append(origin, body)
    failpoints.set(None)
    Damage(database, origin).flip("entry", "data", "index = 4")
    keys, store = {origin: FixedKeys(served.log.policy)}, served.store()
    examiner = Examiner(store, keys)
    custodian = Custodian(store, keys, CUSTODIANS[0], lambda: served.time, examiner.check)
    mirror, target = Mirror(custodian.kept), store.newest(origin)
    assert target.size == 5

    def check_refused(reason: str) -> None:
        for ask in (
            lambda: custodian.append(origin, body),
            lambda: custodian.mirrored(origin),
            lambda: mirror.finish(origin, target),
        ):
            with pytest.raises(Refused) as refusal:
                ask()
            assert refusal.value.reason == reason
        shown = custodian.held(origin)
        assert shown is not None
        assert {line.name for line in parse_note(shown).signatures} == {LOG[0].name}

    check_refused("examining")
    examiner.run()
    check_refused("damaged")
    Damage(database, origin).flip("entry", "data", "index = 4")
    examiner = Examiner(store, keys)
    examiner.run()
    custodian = Custodian(store, keys, CUSTODIANS[0], lambda: served.time, examiner.check)
    assert names(custodian.append(origin, body)) == {CUSTODIANS[0][0].name}
    shown = custodian.held(origin)
    assert shown is not None
    assert names(shown.removeprefix(target.note)) == {CUSTODIANS[0][0].name}


@pytest.mark.parametrize("column", ["data", "leaf"])
def test_entries_that_changed_since_they_came_get_under_no_head(
    in_database: Served, database: Database, column: str
) -> None:
    served, origin = in_database, in_database.log.origin
    served.log.grow(300)
    seen(served, 300)
    assert info(served, upload(served, 0, 300, 1), 202) == (300, 256)
    Damage(database, origin).flip("brought", column, "index = 7")
    assert add(served, upload(served, 256, 300)).status_code == 500
    assert served.stored().size == 0
    # The log brings them itself, and they are as they should be.
    served.cosigned(served.log.append(0, 200))
    assert served.store().entries(origin, 0, 200) == served.log.entries[:200]
