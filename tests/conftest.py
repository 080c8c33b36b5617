"""What the tests of several subjects share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings

from infra.postgres import Cluster, temporary_cluster

# Property tests try the same examples in every run, and no clock decides whether they pass.
settings.register_profile("psephos", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("psephos")


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A running PostgreSQL cluster for the whole test run; each test makes databases of its own names in it."""
    with temporary_cluster("tests") as running:
        yield running
