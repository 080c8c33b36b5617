"""One simulated election, held once for all tests of its record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

import pytest

from audit.protocol.group import b64
from audit.verify import NotVerified, verify_record
from audit.verify_report import Report
from tests.simulator.ceremonies import with_complaint
from tests.simulator.meeting import Meeting
from tests.simulator.parties import contest
from tests.simulator.record import MemoryReader, files_of
from tests.verify.disputing import Voter

FOR, AGAINST, ABSTAIN = ({"nominee-1": choice} for choice in ((1, 0, 0), (0, 1, 0), (0, 0, 1)))


@pytest.fixture(scope="session")
def held() -> Meeting:
    """With a complaint that was answered, a ballot refused, two ballots replaced, and one cast while closing."""
    holdings = {"common": (5, 30, 700, 11), "preferred": (2, 3)}
    items = [contest("nominee-1", classes=["common", "preferred"]), contest("nominee-2")]
    meeting = with_complaint(Meeting(holdings, items).found()).rolls().open()
    a, b, c, d, e, f = meeting.accounts
    for account, choice in ((a, FOR), (b, AGAINST), (c, FOR), (e, ABSTAIN), (f, FOR)):
        meeting.vote(account, choice)
    fields = {"detail": "", "identity": b64(b"\x01" * 32), "intake": "intake-1", "kind": "ballot"}
    meeting.act("refusal", {**fields, "leaf": b64(b"\x02" * 32), "reason": "bad-proof"}, meeting.parties.log[0])
    meeting.vote(a, {"nominee-1": (0, 1, 0), "nominee-2": (1, 0, 0)}, revision=1)
    meeting.vote(c, AGAINST, revision=3, intake=meeting.parties.intakes[1])
    meeting.closing()
    meeting.vote(d, FOR)
    return meeting.reconcile().close().decrypt().certify()


@pytest.fixture(scope="session")
def executor() -> Iterator[Executor]:
    with ThreadPoolExecutor(1) as workers:
        yield workers


@pytest.fixture(scope="session")
def files(held: Meeting) -> dict[str, bytes]:
    return files_of(held.entries, held.parties, held.origin)


class Auditor:
    """Verifies what is shown to it, pinned to the manifest of the election that was held."""

    def __init__(self, meeting: Meeting, executor: Executor) -> None:
        self.meeting, self.executor = meeting, executor

    def verify(self, files: Mapping[str, bytes]) -> Report:
        return verify_record(MemoryReader(files), self.meeting.manifest.hash, self.executor)

    def verify_signed(self, entries: Sequence[bytes]) -> Report:
        """A log over these entries, for which log and custodians have signed without looking."""
        return self.verify(files_of(entries, self.meeting.parties, self.meeting.origin))

    def fault(self, entries: Sequence[bytes]) -> NotVerified:
        with pytest.raises(NotVerified) as caught:
            self.verify_signed(entries)
        return caught.value


@pytest.fixture(scope="session")
def auditor(held: Meeting, executor: Executor) -> Auditor:
    return Auditor(held, executor)


@pytest.fixture
def meeting() -> Meeting:
    return Meeting().prepared()


@pytest.fixture
def voter(tmp_path: Path, meeting: Meeting) -> Voter:
    return Voter(tmp_path, meeting)
