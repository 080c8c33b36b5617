"""A log with a large anonymous roll, made without mixing: what the rules would refuse, and a reader of the opening
cannot know. Its chunks hold one row each, so that a few hundred rows fill several bundles.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from audit.log.tiles import WIDTH, bundle_path, frame, unframe
from audit.protocol.elgamal import encrypt
from audit.protocol.group import ORDER, Element, G, b64
from audit.protocol.roll import credential
from audit.protocol.shuffle_rows import MixedRow, ShuffleProof
from audit.record.entries import make_text, seal
from tests.simulator.dice import Dice
from tests.simulator.meeting import Meeting
from tests.simulator.parties import Parties, contest
from tests.simulator.record import MemoryReader, files_of

GHAT = 7 * G
VOTERS = 5
MIXES = {"common": b64(bytes(32)), "preferred": b64(bytes(31) + b"\1")}


class Crowd:
    """`rows` rows of the class common, five of them the voters' own; the class preferred has three rows, none theirs.
    """

    def __init__(self, rows: int = 700, seed: int = 5) -> None:
        self.dice = Dice(seed)
        items = [contest("nominee-1", classes=["common", "preferred"])]
        parties = Parties.drawn(Dice(2), mixers=2)
        self.meeting = Meeting({"common": (5, 30), "preferred": (9, 4)}, items, parties=parties).found().ceremony()
        self.setup = list(self.meeting.entries)
        self.voters = [[self.dice.code() for _ in range(2)] for _ in range(VOTERS)]
        own = [self.key(codes) for codes in self.voters]
        self.keys = sorted([*own, *strangers(rows - VOTERS)], key=lambda K: K.raw)
        self.others = sorted(strangers(3, 1_000_003), key=lambda K: K.raw)

    def key(self, codes: Sequence[str], share_class: str = "common", revision: int = 0) -> Element:
        s = sum(credential(self.meeting.manifest.hash, share_class, revision, code) for code in codes) % ORDER
        return s * GHAT

    def mix(self, keys: Sequence[Element], share_class: str, **head: Any) -> list[dict[str, Any]]:
        """The bodies of the last mix."""
        body = {
            "attempt": 0,
            "before": b64(bytes(32)),
            "class": share_class,
            "generator": b64(GHAT.raw),
            "manifest": self.meeting.hash,
            "proof": ShuffleProof(1, 1, 1, 1, 1, 1).to_json(),
            "signer": "mixer-2",
            **head,
        }
        rows = [MixedRow(K, encrypt(1, G, i + 1), G, G, 1, 1).to_json() for i, K in enumerate(keys)]
        places = [{"hash": MIXES[share_class], "index": i, "of": len(rows)} for i in range(len(rows))]
        parts = enumerate(zip(rows, places, strict=True))
        return [{**body, "first": i, "part": part, "rows": [row]} for i, (row, part) in parts]

    def sealed(self, kind: str, body: dict[str, Any], *signers: Any) -> bytes:
        return seal(make_text(kind, self.meeting.origin, body), signers)

    def chunks(self, shuffle: int = 0, keys: Sequence[Element] | None = None, **head: Any) -> list[bytes]:
        """The entries of the mix of common. `shuffle`: how far they may stray from their order."""
        mixer = self.meeting.parties.mixers[1]
        made = [self.sealed("mix", body, mixer) for body in self.mix(keys or self.keys, "common", **head)]
        order = random.Random(1)
        places = sorted(range(len(made)), key=lambda i: i + order.randint(0, shuffle))
        return [made[i] for i in places]

    def opening(self, first: int, last: int, signers: int = 2, **body: Any) -> bytes:
        """An opening that names entries `first` to `last` as those of both mixes."""
        roll = {"first": first, "generator": b64(GHAT.raw), "hash": b64(bytes(32)), "last": last, "revision": 0}
        said = {
            "key": b64(self.meeting.election.Y.raw),
            "manifest": self.meeting.hash,
            "rolls": {name: {**roll, "mix": mix, "rows": len(self.keys)} for name, mix in MIXES.items()},
            "size": last + 1,
            **body,
        }
        return self.sealed("open", said, *self.meeting.parties.officials[:signers])

    def log(self, chunks: Sequence[bytes] | None = None, ballots: int = 600, **body: Any) -> list[bytes]:
        """The log: the key, the mixes, the opening, and ballots that nobody reads."""
        first = len(self.setup)
        mixer = self.meeting.parties.mixers[1]
        other = [self.sealed("mix", chunk, mixer) for chunk in self.mix(self.others, "preferred")]
        mixes = [*(self.chunks(20) if chunks is None else chunks), *other]
        opening = self.opening(first, first + len(mixes) - 1, **body)
        return [*self.setup, *mixes, opening, *(filler("ballot", i) for i in range(ballots))]

    def reader(self, entries: Sequence[bytes]) -> Asked:
        return Asked(files_of(entries, self.meeting.parties, self.meeting.origin))


class Asked(MemoryReader):
    """A custodian that knows which bundles were read whole."""

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(files)
        self.whole: list[int] = []

    def bundle(self, index: int, width: int) -> bytes:
        full = self.files.get(bundle_path(index))
        if width < WIDTH and full is not None:
            # As our custodians do, which compute a bundle when it is read.
            return frame(list(unframe(full))[:width])
        self.whole.append(index)
        return super().bundle(index, width)


def strangers(count: int, start: int = 1_000) -> list[Element]:
    return [n * G for n in range(start, start + count)]


def filler(kind: str, number: int) -> bytes:
    """An entry that is only looked at from afar."""
    return f"psephos/v1 {kind}\n{number}\n".encode()


