"""Everything at once, from a seed. `./run bench faults` goes on with it until 50,000 entries have been counted."""

from __future__ import annotations

import pytest

from infra.postgres import Cluster
from tests.faults.conftest import new_origin
from tests.faults.machines import machines
from tests.faults.storm import run, zone_of
from tests.faults.test_killed import points
from tests.faults.totals import KEY, Totals, total

SEED, ENTRIES, SECONDS = 1, 2_000, 25.0


def test_nothing_acknowledged_is_lost_in_a_storm(cluster: Cluster, request: pytest.FixtureRequest) -> None:
    with machines() as here:
        found = run(cluster, here, new_origin(), SEED, ENTRIES, SECONDS)
    request.node.user_properties.append((KEY, found.as_list()))
    assert found.lost == 0
    assert found.faults > 3


def test_a_failpoint_is_planted_where_it_is_come_to() -> None:
    for zone in ("intake", "ingress", "egress", "tally"):
        assert {zone_of(name) for name in points(zone)} == {zone}


def test_the_sum_over_all_runs() -> None:
    properties = [(KEY, [1, 2, 30, 0]), ("other", "x"), (KEY, [1, 4, 50, 1])]
    assert total(properties) == Totals(2, 6, 80, 1)
    assert str(total(properties)) == "2 runs, 6 faults, 80 entries acknowledged, 1 lost"
