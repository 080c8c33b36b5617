"""The opening and one's own row: found in a fraction of the log, and nothing there believed that is not shown."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from audit.log.reader import ReadError
from audit.log.tiles import WIDTH
from audit.protocol.group import G, b64
from audit.protocol.refused import Refused
from audit.record.heads import open_head
from infra.follow import Unreadable, WrongLog
from intake.voter.holder import find_holder
from intake.voter.opening import Opening, find_opening, read_opening
from intake.voter.witnessed import WitnessedLog
from tests.simulator.dice import Dice
from tests.simulator.meeting import Meeting
from tests.simulator.parties import Parties, contest
from tests.simulator.record import MemoryReader, checkpoint_of, files_of
from tests.voter.crowd import GHAT, Asked, Crowd, filler

ITEMS = [contest("nominee-1", classes=["common", "preferred"])]


@pytest.fixture(scope="module")
def crowd() -> Crowd:
    return Crowd()


@pytest.fixture(scope="module")
def entries(crowd: Crowd) -> list[bytes]:
    return crowd.log()


@pytest.fixture
def reader(crowd: Crowd, entries: list[bytes]) -> Asked:
    return crowd.reader(entries)


def opened(crowd: Crowd, *readers: MemoryReader) -> Opening:
    return read_opening(readers, crowd.meeting.manifest.hash)


@pytest.mark.parametrize("mixers", [0, 1, 2])
def test_every_holder_of_a_real_election(mixers: int) -> None:
    """What the client finds is what the rules say."""
    holdings = {"common": tuple(range(1, 60)), "preferred": (9, 4)}
    meeting = Meeting(holdings, ITEMS, parties=Parties.drawn(Dice(2), mixers=mixers)).prepared()
    meeting.vote(meeting.accounts[0], {})
    reader = MemoryReader(files_of(meeting.entries, meeting.parties, meeting.origin))
    opening = read_opening([reader], meeting.manifest.hash)
    assert (opening.Y, opening.place) == (meeting.election.Y, len(meeting.entries) - 2)
    for account in meeting.accounts:
        holder, context = find_holder(opening, account.codes), meeting.election.ballot_context(account.share_class)
        assert opening.ballot_context(account.share_class) == context
        assert (holder.share_class, holder.s) == (account.share_class, account.s)
        assert meeting.election.weight(account.share_class, holder.pseudonym.raw) == holder.E


def test_only_what_is_needed_is_read(crowd: Crowd, reader: Asked) -> None:
    """Of five bundles two are read whole: that of the opening, and the one with the row; nothing of the ballots is."""
    opening = opened(crowd, reader)
    assert reader.whole == [opening.place // WIDTH]
    for codes in crowd.voters:
        assert find_holder(opening, codes, "common").pseudonym == crowd.key(codes)
    assert set(reader.whole) <= set(range(opening.place // WIDTH + 1))
    reader.whole.clear()
    one = opened(crowd, reader)
    find_holder(one, crowd.voters[0], "common")
    assert len(reader.whole) <= 2


@pytest.mark.parametrize("shuffle", [0, 300, 100_000])
def test_chunks_in_any_order(crowd: Crowd, shuffle: int) -> None:
    opening = opened(crowd, crowd.reader(crowd.log(crowd.chunks(shuffle))))
    for codes in crowd.voters:
        assert find_holder(opening, codes).pseudonym == crowd.key(codes)


@pytest.mark.parametrize("seed", range(100, 108))
def test_wrong_but_well_formed_numbers(crowd: Crowd, entries: list[bytes], seed: int) -> None:
    """Neighbours are shown between which the key would stand; at both ends, too."""
    dice = Dice(seed)
    with pytest.raises(Refused, match="not on this roll") as caught:
        find_holder(opened(crowd, crowd.reader(entries)), [dice.code(), dice.code()])
    assert caught.value.reason == "unknown-pseudonym"


@pytest.mark.parametrize("place", [0, 350, -1])
def test_a_key_beside_every_other(crowd: Crowd, entries: list[bytes], place: int) -> None:
    rows = opened(crowd, crowd.reader(entries)).rolls["common"].rows
    key = int.from_bytes(crowd.keys[place].raw, "big")
    for beside in (key - 1, key + 1):
        assert rows.find(beside.to_bytes(32, "big")) is None
    assert rows.find(crowd.keys[place].raw) is not None


def test_too_few_numbers(crowd: Crowd, reader: Asked) -> None:
    with pytest.raises(Refused, match="the 2 issuers sent a number each; 1 is given"):
        find_holder(opened(crowd, reader), crowd.voters[0][:1])


# What the log may not hold


OPENINGS: dict[str, tuple[Callable[[Crowd], dict[str, object]], str]] = {
    "one official": (lambda crowd: {"signers": 1}, "wrong-signers"),
    "another key": (lambda crowd: {"key": b64(G.raw)}, "wrong-opening"),
    "no roll": (lambda crowd: {"rolls": {}}, "wrong-opening"),
    "no last mix": (lambda crowd: {"rolls": unmixed(crowd)}, "wrong-opening"),
}


def unmixed(crowd: Crowd) -> dict[str, object]:
    """What an opening would say of rolls that nobody mixed."""
    roll = {"generator": b64(GHAT.raw), "hash": b64(bytes(32)), "revision": 0, "rows": len(crowd.keys)}
    return dict.fromkeys(("common", "preferred"), roll)


@pytest.mark.parametrize(("first", "last"), [(-1, 1), (1, 0), (-1, 1 << 52), (1 << 51, 1 << 52), (0, 0)])
def test_an_opening_of_chunks_that_are_not_before_it(crowd: Crowd, first: int, last: int) -> None:
    """`first` and `last` count from the number of the opening on, except where they are absurd."""
    place = len(crowd.setup)
    opening = crowd.opening(place + first, place + last)
    with pytest.raises(WrongLog) as caught:
        opened(crowd, crowd.reader([*crowd.setup, opening]))
    assert (caught.value.number, caught.value.refusal.reason) == (place, "wrong-opening")


@pytest.mark.parametrize("kind", OPENINGS)
def test_an_opening_that_does_not_hold(crowd: Crowd, kind: str) -> None:
    body, reason = OPENINGS[kind]
    with pytest.raises(WrongLog) as caught:
        opened(crowd, crowd.reader(crowd.log(crowd.chunks()[:5], **body(crowd))))
    assert (caught.value.kind, caught.value.refusal.reason) == ("open", reason)


# Custodians


def flipped(files: dict[str, bytes], path: str, at: int) -> dict[str, bytes]:
    raw = bytearray(files[path])
    raw[at] ^= 1
    return {**files, path: bytes(raw)}


@pytest.mark.parametrize("path", ["tile/entries/000", "tile/entries/002", "tile/0/000", "tile/0/002", "tile/1/000.p/5"])
def test_a_custodian_that_changes_a_byte(crowd: Crowd, reader: Asked, path: str) -> None:
    """Another is asked, and one alone is named."""
    liar = MemoryReader(flipped(reader.files, path, 40))
    assert opened(crowd, liar, reader).Y == crowd.meeting.election.Y
    with pytest.raises((Unreadable, ReadError), match="memory"):
        opened(crowd, liar)


def test_a_row_that_one_custodian_changes(crowd: Crowd, entries: list[bytes], reader: Asked) -> None:
    place = next(i for i, raw in enumerate(entries) if b64(crowd.key(crowd.voters[0]).raw).encode() in raw)
    path = f"tile/entries/{place // WIDTH:03d}"
    liar = MemoryReader(flipped(reader.files, path, reader.files[path].index(entries[place]) + 900))
    honest = opened(crowd, reader)
    cheated = Opening(
        WitnessedLog([liar], honest.log.head, honest.manifest), honest.founding, honest.Y, honest.place, honest.rolls
    )
    with pytest.raises(Unreadable, match=f"entry {place} is not the one that the checkpoint covers"):
        cheated.log.entries(place // WIDTH)
    both = WitnessedLog([liar, reader], honest.log.head, honest.manifest)
    assert both.entries(place // WIDTH)[place % WIDTH] == entries[place]


def test_a_checkpoint_that_one_custodian_signed(crowd: Crowd, reader: Asked, entries: list[bytes]) -> None:
    files = {**reader.files, "checkpoint": checkpoint_of(entries, crowd.meeting.parties, crowd.meeting.origin, 1)}
    with pytest.raises(Unreadable, match="cosigned by 1 of 2"):
        opened(crowd, MemoryReader(files))


def test_a_fork_is_seen(crowd: Crowd, entries: list[bytes], reader: Asked) -> None:
    log = opened(crowd, reader).log
    log.readers[0] = crowd.reader([*entries[:-1], filler("ballot", 9_999)])
    with pytest.raises(Refused) as caught:
        log.refresh()
    assert caught.value.reason == "fork"
    log.readers[0] = crowd.reader([*entries[:-1], filler("ballot", 9_999), filler("ballot", 10_000)])
    with pytest.raises(Unreadable, match="does not lead"):
        log.refresh()


def test_one_that_stands_still_hides_nothing(crowd: Crowd, entries: list[bytes], reader: Asked) -> None:
    log = opened(crowd, crowd.reader(entries[:-300]), MemoryReader({}), reader).log
    assert log.size == len(entries)
    log.readers[1:] = [crowd.reader([*entries, filler("ballot", 9_999)])]
    log.refresh()
    assert log.size == len(entries) + 1
    assert [number for number, _ in log.raws(len(entries) - 2)] == [len(entries) - 2, len(entries) - 1, len(entries)]


def test_another_election(crowd: Crowd, reader: Asked) -> None:
    with pytest.raises(Unreadable, match=f"hash {b64(crowd.meeting.manifest.hash)}, not {b64(bytes(32))}"):
        read_opening([reader], bytes(32))


@pytest.mark.parametrize("size", [1, 4, None])
def test_not_open_yet(crowd: Crowd, entries: list[bytes], size: int | None) -> None:
    early = entries[: size or len(crowd.setup) + 300]
    with pytest.raises(Refused, match="voting is not open yet") as caught:
        opened(crowd, crowd.reader(early))
    assert caught.value.reason == "not-open"
    # One that stands still is not the last word.
    assert opened(crowd, crowd.reader(early), crowd.reader(entries)).Y == crowd.meeting.election.Y


def test_nothing_published_yet(crowd: Crowd) -> None:
    with pytest.raises(Refused, match="memory has nothing of this election"):
        opened(crowd, MemoryReader({}))


@pytest.mark.parametrize("before", [1, 255, 256, 257, 700])
@pytest.mark.parametrize("after", [0, 1, 256, 700])
@pytest.mark.parametrize("notices", [0, 600])
def test_the_opening_wherever_it_stands(crowd: Crowd, before: int, after: int, notices: int) -> None:
    """Bundles that hold nothing but notices tell nothing, and are looked past."""
    kinds = ["roll"] * before + ["notice"] * notices
    opening = crowd.opening(0, 1)
    entries = [filler(kind, i) for i, kind in enumerate(kinds)]
    entries += [opening, *(filler("notice", i) for i in range(notices)), *(filler("ballot", i) for i in range(after))]
    reader = crowd.reader(entries)
    shown = open_head(reader, crowd.meeting.manifest)
    assert shown is not None
    place, found = find_opening(WitnessedLog([reader], *shown))
    assert (place, found.raw) == (len(kinds), opening)
