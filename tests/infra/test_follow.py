"""Following the log through custodians that are away, behind, or lie."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from audit.log.reader import ReadError
from audit.record.entries import add_signatures, parse_entry
from infra import follow
from infra.follow import MOST, REST, Follower, Unreadable, WrongLog
from tests.door.board import Board
from tests.simulator.meeting import Meeting

FOR = (1, 0, 0)


@pytest.fixture
def meeting() -> Meeting:
    """Voting is open and one ballot is in the log."""
    meeting = Meeting().prepared()
    meeting.vote(meeting.accounts[0], {"nominee-1": FOR})
    return meeting


def board(meeting: Meeting, custodians: int = 2) -> Board:
    shown = Board(meeting, custodians)
    shown.publish()
    return shown


def read_all(follower: Follower) -> list[bytes]:
    return [entry.raw for entries in follower.catch_up() for entry in entries]


@pytest.mark.parametrize("full", [False, True])
def test_the_whole_log_is_read_once_and_leads_to_the_same_state(meeting: Meeting, full: bool) -> None:
    follower = Follower([board(meeting)], meeting.manifest.hash, full=full)
    assert read_all(follower) == meeting.entries
    assert follower.poll() == []
    assert follower.caught_up
    assert follower.election.phase == meeting.election.phase
    assert follower.election.head.root() == meeting.election.head.root()
    assert follower.seen.revision(meeting.accounts[0].pseudonym.raw) == 0


def test_what_is_new_is_read_when_it_is_published(meeting: Meeting) -> None:
    shown = board(meeting)
    follower = Follower([shown], meeting.manifest.hash)
    read_all(follower)
    entry = meeting.vote(meeting.accounts[1], {"nominee-1": FOR})
    assert follower.poll() == []
    shown.publish()
    assert [new.raw for new in follower.poll()] == [entry.raw]


def test_a_long_log_is_read_in_pieces() -> None:
    meeting = Meeting().prepared()
    ballots = [meeting.ballot(account, {}) for account in meeting.accounts]
    for number in range(MOST + 10):
        # Taken as recorded: a ballot's proofs are not what is tested here.
        body = {**ballots[number // 100], "revision": number % 100}
        meeting.entries.append(meeting.signed("ballot", body, meeting.intake))
    follower = Follower([board(meeting)], meeting.manifest.hash)
    pieces = list(follower.catch_up())
    assert [len(piece) for piece in pieces] == [MOST, len(meeting.entries) - MOST]


def test_nothing_is_published_yet(meeting: Meeting) -> None:
    follower = Follower([Board(meeting)], meeting.manifest.hash)
    assert follower.poll() == []
    assert follower.head is None
    assert not follower.caught_up


def test_a_custodian_that_is_away_is_passed_over(meeting: Meeting) -> None:
    away = board(meeting)
    away.down = True
    assert read_all(Follower([away, board(meeting)], meeting.manifest.hash)) == meeting.entries


def test_all_custodians_are_away_and_come_back(meeting: Meeting) -> None:
    shown = board(meeting)
    shown.down = True
    follower = Follower([shown], meeting.manifest.hash)
    with pytest.raises(Unreadable):
        follower.poll()
    shown.down = False
    assert read_all(follower) == meeting.entries


def test_a_custodian_that_stands_still_does_not_hold_it_back(meeting: Meeting) -> None:
    still, current = board(meeting), board(meeting)
    follower = Follower([still, current], meeting.manifest.hash)
    read_all(follower)
    entry = meeting.vote(meeting.accounts[1], {"nominee-1": FOR})
    current.publish()
    assert [new.raw for _ in range(2) for new in follower.poll()] == [entry.raw]


def test_a_custodian_that_falls_away_in_the_middle(meeting: Meeting) -> None:
    first, second = board(meeting), board(meeting)
    follower = Follower([first, second], meeting.manifest.hash)

    def gone(index: int, width: int) -> bytes:
        raise ReadError("does not answer", "first")

    first.bundle = gone  # type: ignore[method-assign]
    assert read_all(follower) == meeting.entries


def test_one_that_is_slow_holds_it_up_once(meeting: Meeting, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes as long for each file as it may, and the log is long."""
    monkeypatch.setattr(follow, "MOST", 4)
    slow, other, now = board(meeting), board(meeting), [0.0]
    asked, bundle = list[int](), slow.bundle

    def slowly(index: int, width: int) -> bytes:
        now[0] += 59.0
        asked.append(index)
        return bundle(index, width)

    slow.bundle = slowly  # type: ignore[method-assign]
    follower = Follower([slow, other], meeting.manifest.hash, clock=lambda: now[0])
    assert read_all(follower) == meeting.entries
    assert asked == [0, 0], "the manifest, and the first entries"


class Sluggish(Board):
    """A custodian that takes 59 s for each checkpoint, and shows nothing new or, `false`, one that is none."""

    def __init__(self, meeting: Meeting, now: list[float], false: bool) -> None:
        super().__init__(meeting)
        self.publish()
        self.now, self.false, self.asked = now, false, 0

    def checkpoint(self) -> bytes | None:
        self.asked += 1
        self.now[0] += 59.0
        return b"x" if self.false else super().checkpoint()


@pytest.mark.parametrize("false", [False, True])
def test_one_that_is_slow_in_vain_is_asked_seldom(meeting: Meeting, false: bool) -> None:
    now = [0.0]
    slow, other = Sluggish(meeting, now, false), board(meeting)
    follower = Follower([other, slow], meeting.manifest.hash, clock=lambda: now[0])
    read_all(follower)
    # The manifest and the entries were the other's; then its turn came once.
    took, asked = now[0], slow.asked
    assert (took, asked) == (2 * 59.0, 2)
    while now[0] < took * (1 + REST):
        assert slow.asked == asked
        follower.poll()
        now[0] += 1.0
    follower.poll()
    follower.poll()
    assert slow.asked == 2 * asked
    # If it is the only one that answers it is not waited for.
    entry = meeting.vote(meeting.accounts[1], {"nominee-1": FOR})
    slow.false, other.down = False, True
    slow.publish()
    assert [new.raw for new in follower.poll()] == [entry.raw]


def test_another_election_is_not_followed(meeting: Meeting) -> None:
    other = Meeting(seed=2).found()
    with pytest.raises(Unreadable, match="another-election|has the hash"):
        Follower([board(other)], meeting.manifest.hash).poll()


def test_an_unwitnessed_checkpoint_is_not_believed(meeting: Meeting) -> None:
    with pytest.raises(Unreadable, match="cosigned by 1 of 2 custodians"):
        Follower([board(meeting, custodians=1)], meeting.manifest.hash).poll()


def test_two_witnessed_trees_of_one_size_are_a_fork(meeting: Meeting) -> None:
    shown = board(meeting)
    follower = Follower([shown], meeting.manifest.hash)
    read_all(follower)
    meeting.entries[-1] = meeting.resolution("closing")
    shown.publish()
    with pytest.raises(Unreadable, match="two witnessed trees"):
        follower.poll()


def test_a_witnessed_tree_that_does_not_continue_the_one_held(meeting: Meeting) -> None:
    shown = board(meeting)
    follower = Follower([shown], meeting.manifest.hash)
    read_all(follower)
    meeting.entries[3:5] = reversed(meeting.entries[3:5])
    meeting.vote(meeting.accounts[1], {"nominee-1": FOR})
    shown.publish()
    with pytest.raises(Unreadable, match="lead to the root"):
        follower.poll()
    assert follower.election.size == len(meeting.entries) - 1


def exchanged(meeting: Meeting) -> None:
    """Opening before the second issuer and the inspector have signed the roll."""
    opening = next(i for i, raw in enumerate(meeting.entries) if raw.startswith(b"psephos/v1 open\n"))
    meeting.entries[opening - 1 : opening + 1] = reversed(meeting.entries[opening - 1 : opening + 1])


def unsigned(meeting: Meeting) -> None:
    """A closing that one official alone signed."""
    raw = meeting.resolution("closing")
    entry = parse_entry(raw)
    meeting.entries.append(add_signatures(entry.text, entry.signatures[:1]))


def no_entry(meeting: Meeting) -> None:
    meeting.entries.append(b"hello")


@pytest.mark.parametrize("wrong", [exchanged, unsigned, no_entry])
def test_a_witnessed_log_that_breaks_the_rules_is_named(meeting: Meeting, wrong: Callable[[Meeting], None]) -> None:
    wrong(meeting)
    follower = Follower([board(meeting)], meeting.manifest.hash)
    with pytest.raises(WrongLog):
        read_all(follower)


def test_proofs_are_believed_unless_everything_is_checked(meeting: Meeting) -> None:
    mine, other = meeting.accounts[1:3]
    body = meeting.ballot(mine, {"nominee-1": FOR})
    body["contests"] = meeting.ballot(other, {"nominee-1": FOR})["contests"]
    meeting.entries.append(meeting.signed("ballot", body, meeting.intake))
    assert read_all(Follower([board(meeting)], meeting.manifest.hash)) == meeting.entries
    with pytest.raises(WrongLog, match=f"entry {len(meeting.entries) - 1} of the log"):
        read_all(Follower([board(meeting)], meeting.manifest.hash, full=True))
