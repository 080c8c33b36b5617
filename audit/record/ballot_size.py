"""How long the longest ballot of an election is, in bytes of the log, computed from the agenda alone.

All proofs of one form have the same length, whatever is voted: a ballot's size says nothing about its choices, and the
largest one is known before the election begins. An agenda whose ballots might not fit into an entry is refused then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from audit.protocol.ballot import MAX_REVISION
from audit.protocol.group import b64
from audit.protocol.refused import Refused
from audit.record.entries import make_text

if TYPE_CHECKING:
    from audit.protocol.ballot import ContestForm
    from audit.record.manifest import Manifest

MAX_BALLOT = 60_000
WORD = b64(bytes(32))  # an element or a scalar, as it stands in JSON
QUOTED = len(WORD) + 2
LINE = len("\u2014 ".encode()) + len(" \n") + 92  # a signature line but for its name: 68 bytes in base64


def largest_ballot(manifest: Manifest) -> int:
    """The bytes of the largest ballot that could be recorded: signed note, intake's line included."""
    name = max(len(key.name.encode()) for key in manifest.intakes)
    return max(longest_text(manifest, c.id) for c in manifest.classes) + len("\n") + LINE + name


def check_ballot_size(manifest: Manifest) -> None:
    """Refuses an agenda whose largest ballot would be over 60,000 bytes."""
    size = largest_ballot(manifest)
    if size > MAX_BALLOT:
        text = f"the largest ballot would have {size} bytes, more than {MAX_BALLOT}: the agenda must be smaller"
        raise Refused("too-long", text, "contests")


def longest_text(manifest: Manifest, share_class: str) -> int:
    contests = manifest.contests_of(share_class)
    proof = {"c": WORD, "z": WORD}
    body = {
        "contests": {contest.id: 0 for contest in contests},
        "manifest": WORD,
        "pseudonym": WORD,
        "revision": MAX_REVISION,
        "roll": share_class,
        "signature": proof,
    }
    frame = len(make_text("ballot", manifest.origin, body))
    return frame + sum(contest_size(contest.form) - len("0") for contest in contests)


def contest_size(form: ContestForm) -> int:
    """The characters of one contest in a ballot. Computed, not written out: an absurd agenda must not cost memory."""
    pairs = listed([listed([QUOTED] * 2)] * form.choices)
    return len('{"C":,"proofs":}') + pairs + listed([one_of_size(m) for m in form.proof_lengths])


def one_of_size(m: int) -> int:
    """The characters of a one-of-many proof over m statements: m challenges and m responses."""
    return len('{"c":,"z":}') + 2 * listed([QUOTED] * m)


def listed(sizes: list[int]) -> int:
    """The characters of an array of values, at least one, with these many characters."""
    return len("[]") + sum(sizes) + len(sizes) - 1
