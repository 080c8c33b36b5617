"""The fields of every kind of entry, as shapes.

Two kinds are only partly taken apart here: a ballot and the ceremony's messages, whose inner lists depend on the
election and are parsed by `audit.protocol`. The rows of a mix become bytes at once, for there are many. Every
body but the manifest's names the manifest by its hash, so that nothing said in one election, a rehearsal with the same
origin included, can be replayed in another.
"""

from __future__ import annotations

from typing import Any

from audit.protocol.ballot import MAX_REVISION
from audit.protocol.canonical import MAX_INTEGER
from audit.protocol.group import Element, element_from
from audit.protocol.refused import Refused
from audit.protocol.shuffle_rows import MixedRow, ShuffleProof
from audit.record.manifest_shape import IDENTIFIER, MANIFEST, NAME, TIME, VKEY
from audit.record.shapes import Shape, anything, array, inside, integer, octets, one_of, record, string, table, text

HASH = octets(32)
ELEMENT = octets(32)
SCALAR = octets(32)
PROOF = record(c=SCALAR, z=SCALAR)
COUNT = integer(0, MAX_INTEGER)
SHARE = record(D=ELEMENT, c=SCALAR, z=SCALAR)
LAST_TIME = 253_402_300_799  # the last second of the year 9999, which is as far as a date can be shown
REASON = string(60, r"[a-z]+(-[a-z]+)*")
PART = record(hash=HASH, index=COUNT, of=integer(1, 1 << 20))


def bound(**fields: Shape) -> Shape:
    return record(manifest=HASH, **fields)


def said_by(**fields: Shape) -> Shape:
    """What several might say in the same words: each names itself, so that no two entries have one text."""
    return bound(signer=NAME, **fields)


def roll(value: object, path: str) -> dict[str, object]:
    """A chunk of a roll: the first issuer's carries the encrypted weights and the total of their randomness, others' do
    not.
    """
    first = isinstance(value, dict) and "total" in value
    row = {"K": ELEMENT, "proof": PROOF}
    if first:
        row["E"] = array(ELEMENT, 2, 2)
    fields = {"class": NAME, "first": COUNT, "part": PART, "revision": COUNT, "rows": array(record(**row), 1)}
    if first:
        fields["total"] = SCALAR
    parsed: dict[str, object] = bound(**fields)(value, path)
    return parsed


def element(value: Any, path: str) -> Element:
    """An element, which may be the identity."""
    octets(None)(value, path)
    try:
        return element_from(value)
    except Refused as refusal:
        raise refusal.at(path) from None


def mixed_rows(value: Any, path: str) -> bytes:
    """The rows of a mix, at least one, as 224 bytes each."""
    rows = array(anything, 1)(value, path)
    return b"".join(MixedRow.from_json(row, inside(path, i)).raw for i, row in enumerate(rows))


MIX = said_by(
    **{"class": NAME},
    attempt=COUNT,
    before=HASH,
    first=COUNT,
    generator=element,
    part=PART,
    proof=ShuffleProof.from_json,
    rows=mixed_rows,
)


OPENED_ROLL = {"generator": element, "hash": HASH, "revision": COUNT, "rows": COUNT}
LAST_MIX = {"first": COUNT, "last": COUNT, "mix": HASH}


def opened_roll(value: object, path: str) -> dict[str, object]:
    """What the opening says of a roll; of one that nobody mixes there is no last mix, and None is read."""
    mixed = isinstance(value, dict) and "mix" in value
    parsed: dict[str, object] = record(**OPENED_ROLL, **(LAST_MIX if mixed else {}))(value, path)
    return {**dict.fromkeys(LAST_MIX), **parsed}


# What a notice is about, and who says it.
NOTICES = {
    "access-report": "officials",
    "adjournment": "officials",
    "incident": "officials",
    "register-destroyed": "issuer",
    "served-pages": "officials",
    "software-release": "officials",
}


def notice(value: object, path: str) -> dict[str, object]:
    """What is said for the record and changes nothing; that of an issuer names it."""
    fields = {"subject": one_of(*NOTICES), "text": text(2_000, least=1)}
    own = isinstance(value, dict) and NOTICES.get(str(value.get("subject"))) != "officials"
    parsed: dict[str, object] = (said_by if own else bound)(**fields)(value, path)
    return parsed


def rekey(value: object, path: str) -> dict[str, object]:
    """Whose keys change, from which to which; `to` is the name of another custodian that takes the place."""
    vkeys = array(VKEY, 1, 4)
    fields = {"kind": one_of("custodian", "intake", "log"), "name": NAME, "new": vkeys, "old": vkeys}
    if isinstance(value, dict) and "to" in value:
        fields["to"] = NAME
    parsed: dict[str, object] = bound(**fields)(value, path)
    return parsed


# Of a class in a register: its accounts, those of them that vote, its shares and the treasury's in units of the last
# decimal, and its votes.
SNAPPED = record(accounts=COUNT, id=IDENTIFIER, shares=COUNT, treasury=COUNT, votes=COUNT, voting=COUNT)

BODIES: dict[str, Shape] = {
    "manifest": MANIFEST,
    "trustee-commit": said_by(attempt=COUNT, commitment=HASH, key=octets(32)),
    "trustee-deal": said_by(attempt=COUNT, commitments=array(ELEMENT, 1), proof=PROOF, shares=table(octets(None))),
    "trustee-confirm": said_by(attempt=COUNT, key=ELEMENT),
    "trustee-complaint": said_by(attempt=COUNT, dealer=NAME),
    "trustee-answer": said_by(attempt=COUNT, receiver=NAME, share=SCALAR),
    "roll": roll,
    "roll-signed": said_by(**{"class": NAME, "hash": HASH}),
    "mix": MIX,
    "open": bound(key=element, rolls=table(opened_roll), size=COUNT),
    "ballot": bound(
        contests=anything, pseudonym=ELEMENT, revision=integer(0, MAX_REVISION), roll=NAME, signature=anything
    ),
    "closing": bound(size=COUNT),
    "reconcile": said_by(count=COUNT, root=HASH),
    "close": bound(overruled=array(NAME), size=COUNT),
    "decrypt": said_by(closing=HASH, contests=table(table(SHARE)), present=table(SHARE)),
    "certify": bound(result=anything),
    # `leaf`: the RFC 6962 leaf hash of the refused entry as tally had it, which the identity of a ballot does not fix.
    "refusal": bound(detail=string(500), identity=HASH, intake=string(200), kind=string(40), leaf=HASH, reason=REASON),
    "notice": notice,
    "rekey": rekey,
    "receipt": bound(deadline=COUNT, identity=HASH, kind=string(40), leaf=HASH),
    # Never in the log either: the officials let it go on without some of its custodians, after its ledger was lost.
    "restart": bound(least=COUNT, until=integer(0, LAST_TIME), without=array(NAME, 1)),
    # Never in the log: whoever keeps a register signs what it held on the record date.
    "snapshot": said_by(classes=array(SNAPPED, 1, 50), record_date=TIME, register=HASH),
}
