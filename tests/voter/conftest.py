"""A hall for every test, closed at its end; and a vote that stays open for all tests of a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.officials.clients import Clients
from tests.officials.hall import Hall
from tests.voter.votes import HOLDINGS


@pytest.fixture
def hall(tmp_path: Path) -> Iterator[Hall]:
    opened = Hall(tmp_path)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clients]:
    """A vote that stays open; every test casts for an account of its own, or revises."""
    hall = Hall(tmp_path_factory.mktemp("open"))
    yield Clients(hall, HOLDINGS).opened()
    hall.close()


@pytest.fixture
def clients(opened: Clients) -> Iterator[Clients]:
    yield opened
    hall = opened.hall
    hall.hold, hall.wait, hall.script, hall.held, hall.intake, hall.refusing = 0, 60, [], [], 0, False
    hall.posts.clear()
    hall.asked.clear()
