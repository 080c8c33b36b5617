"""What the tests of several subjects share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from infra.postgres import Cluster, temporary_cluster


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A running PostgreSQL cluster for the whole test run; each test makes databases of its own names in it."""
    with temporary_cluster("tests") as running:
        yield running
