"""A thread that a service cannot do without: what ends it is seen and reported; its own return is its own affair."""

from __future__ import annotations

import sys
import threading

import pytest

from infra import lasting


@pytest.mark.parametrize("kind", [RuntimeError, MemoryError, SystemExit])
def test_what_ends_it_is_seen_and_reported(kind: type[BaseException], capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> None:
        raise kind("pseudonym 8a8a8a")

    ended = threading.Event()
    lasting.start("mover", work, ended.set).join()
    said = capsys.readouterr().err
    assert ended.is_set() and f'"kind": "{kind.__name__.lower()}"' in said and "8a8a8a" not in said


def test_it_is_seen_also_where_nothing_can_be_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    ended = threading.Event()
    lasting.start("mover", lambda: sys.exit(1), ended.set).join()
    assert ended.is_set()


def test_one_that_is_done_has_not_failed() -> None:
    ended = threading.Event()
    lasting.start("mover", lambda: None, ended.set).join()
    assert not ended.is_set()
