"""The fields of the manifest, entry 0, which names every key and every rule of an election."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from audit.protocol.refused import Refused
from audit.record.shapes import Shape, array, integer, octets, one_of, record, string, text

NAME = string(120, r"[A-Za-z0-9][A-Za-z0-9._/-]*", least=1)
IDENTIFIER = string(60, r"[a-z0-9][a-z0-9-]*", least=1)
TEXT = text(20_000, lines=True)
TITLE = text(300, least=1)
VKEY = string(4_000, r"[^ +]+\+[0-9a-f]{8}\+[A-Za-z0-9+/=]+")
VOTES = integer(1, (1 << 40) - 1)
_TIME = string(40, r"([0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}(:[0-9]{2})?(Z|[+-][0-9]{2}:[0-9]{2})?)?)?")


def TIME(value: Any, path: str) -> str:
    """A date or a time of ISO 8601 that there is, or nothing: an announcement, after which nothing is decided."""
    found = str(_TIME(value, path))
    try:
        if found:
            datetime.fromisoformat(found)
    except ValueError:
        raise Refused("out-of-range", "there is no such date or time", path) from None
    return found


SMALL = integer(1, 1_000)

MAJORITY = record(
    abstain=one_of("ignored"),
    basis=one_of("cast"),
    comparator=one_of(">", ">="),
    name=one_of("majority"),
    threshold=array(SMALL, 2, 2),
)
PLURALITY = record(name=one_of("plurality"), seats=SMALL)


def rule(value: Any, path: str) -> Any:
    plural = isinstance(value, dict) and value.get("name") == "plurality"
    shape: Shape = PLURALITY if plural else MAJORITY
    return shape(value, path)


CONTEST = record(
    choices=array(IDENTIFIER, 1, 200),
    classes=array(IDENTIFIER, 1, 50),
    form=one_of("choose-one", "choose-up-to", "cumulative"),
    id=IDENTIFIER,
    kind=one_of("director", "resolution"),
    limit=SMALL,
    rule=rule,
    text=TEXT,
    title=TITLE,
)


def share_class(value: Any, path: str) -> dict[str, Any]:
    """`decimals`: to how many decimal places shares of fractions are counted, in units of the last; left out for whole
    shares.
    """
    fields: dict[str, Shape] = {"id": IDENTIFIER, "votes": VOTES, "votes_per_share": SMALL}
    if isinstance(value, dict) and "decimals" in value:
        fields["decimals"] = integer(1, 6)
    parsed: dict[str, Any] = record(**fields)(value, path)
    return parsed


MANIFEST = record(
    batch=record(min=integer(1, 10_000), wait_ms=integer(10, 600_000)),
    classes=array(share_class, 1, 50),
    contests=array(CONTEST, 1, 500),
    custodians=record(keys=array(array(VKEY, 1, 4), 1, 50), threshold=SMALL),
    election=octets(16),
    inspectors=array(VKEY, 0, 20),
    intakes=array(VKEY, 1, 50),
    issuers=array(VKEY, 1, 2),
    log=array(VKEY, 2, 2),
    meeting=record(issuer=TITLE, kind=one_of("annual", "special"), title=TITLE),
    minimum=record(pseudonyms=integer(1, 1_000_000), roll=integer(1, 1_000_000)),
    mixers=array(VKEY, 0, 20),
    officials=record(keys=array(VKEY, 1, 50), threshold=SMALL),
    times=record(close=TIME, open=TIME, record_date=TIME),
    trustees=record(keys=array(VKEY, 1, 50), threshold=SMALL),
)
