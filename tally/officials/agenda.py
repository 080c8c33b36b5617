"""An agenda in TOML becomes the manifest of an election, or all that is wrong with it is said at once.

The agenda holds the manifest's fields and the log's origin; `inspectors` and `mixers` may be left out for none, `limit`
of a contest for 1, `classes` of a contest for all. To find every fault the rules of the manifest, which stop at the
first, are asked again and again, each time with the faulty value mended from a small valid manifest. What is found in a
part that was mended before may come from the mending, and is not said.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

from audit.log.keys import COSIGNATURE, ED25519, ML_DSA_44, Signer
from audit.log.treehead import MAX_ORIGIN
from audit.protocol.group import b64
from audit.protocol.refused import Refused
from audit.record.entries import make_text, read_text
from audit.record.manifest import ORIGIN, parse_manifest
from audit.record.manifest_shape import MANIFEST
from audit.record.shapes import string
from infra.config import ConfigError, read_toml
from tally.officials.places import place_of, places, steps, value_at

MOST_FAULTS = 100
MAJORITY = {"abstain": "ignored", "basis": "cast", "comparator": ">", "name": "majority"}

Body = dict[str, Any]


def manifest_text(path: Path, election: bytes) -> bytes:
    """The text of the manifest entry for an agenda file. `election`: 16 bytes drawn for this election, so that no two
    are the same.

    ConfigError with a sentence for every fault: line, column, field and value.
    """
    source, agenda = read_toml(path)
    found = faults(copy.deepcopy(agenda), election)
    if found:
        where = places(source)
        ordered = sorted(found, key=lambda fault: place_of(where, fault.field))
        raise ConfigError(path, [_sentence(fault, agenda, place_of(where, fault.field)) for fault in ordered])
    origin, body = with_defaults(agenda, election)
    return make_text("manifest", origin, body)


def faults(agenda: Body, election: bytes) -> list[Refused]:
    """Everything wrong with an agenda, each with the path of its field: in the forms of values, and in what they mean
    together, as far as they have their form.
    """
    found: list[Refused] = []
    if "origin" not in agenda:
        found.append(Refused("missing-field", "this field is required", "origin"))
    else:
        try:
            string(MAX_ORIGIN, ORIGIN.pattern)(agenda["origin"], "origin")
        except Refused as refusal:
            found.append(refusal)
    if found:
        agenda["origin"] = "template"
    origin, body = with_defaults(agenda, election)
    found += _collect(lambda: MANIFEST(body, ""), lambda fault: mend_value(body, fault))
    try:
        MANIFEST(body, "")
    except Refused:
        # Too many faults, or one that could not be mended.
        return found
    mended = {part_of(fault.field) for fault in found}

    def judge() -> None:
        parse_manifest(read_text(make_text("manifest", origin, body)))

    meant = _collect(judge, lambda fault: mend_part(body, fault))
    return found + [fault for fault in meant if not follows_from(mended, fault)]


def part_of(path: str) -> str:
    """The contest, the class or the list of keys that a field belongs to: what is mended as a whole."""
    return ".".join(str(step) for step in steps(path)[: 2 if path.startswith(("contests[", "classes[")) else 1])


def follows_from(mended: set[str], fault: Refused) -> bool:
    """Whether a fault may be none of the agenda's: it is in a part that was mended, or about classes of which one
    was.
    """
    classes = any(part.startswith("classes") for part in mended)
    about_classes = fault.reason in ("unknown-roll", "missing-contest") or fault.field.endswith((".limit", ".decimals"))
    contests = fault.reason in ("missing-contest", "too-long") and any(part.startswith("contests") for part in mended)
    return part_of(fault.field) in mended or (classes and about_classes) or contests


def with_defaults(agenda: Body, election: bytes) -> tuple[Any, Body]:
    """(origin, body) of the manifest that an agenda stands for."""
    body = {"election": b64(election), "inspectors": [], "mixers": [], **agenda}
    origin = body.pop("origin", None)
    classes = [c.get("id") for c in _tables(body.get("classes"))]
    for contest in _tables(body.get("contests")):
        contest.setdefault("limit", 1)
        contest.setdefault("classes", classes)
    return origin, body


def _tables(value: Any) -> list[Body]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _collect(judge: Callable[[], Any], mend: Callable[[Refused], bool]) -> list[Refused]:
    found: list[Refused] = []
    while len(found) < MOST_FAULTS:
        try:
            judge()
        except Refused as fault:
            found.append(fault)
            if mend(fault):
                continue
        break
    return found


def mend_value(body: Body, fault: Refused) -> bool:
    """Takes the faulty field out, or puts one that is right in its place; whether that could be done."""
    path = steps(fault.field)
    try:
        *way, last = path
        holder = _walk(body, way)
        if fault.reason == "unknown-field":
            del holder[last]
            return True
        right = _right_value(body, path)
        # A fault that stays although the value is the right one lies elsewhere.
        if fault.reason != "missing-field" and holder[last] == right:
            return False
        holder[last] = right
    except (KeyError, IndexError, TypeError, ValueError):
        return False
    return True


def mend_part(body: Body, fault: Refused) -> bool:
    """As `mend_value` for a fault in what fields mean together: puts a whole contest, or a whole list of keys, in
    place.
    """
    path = steps(fault.field)
    known = template()
    if len(path) > 1 and path[0] == "contests" and isinstance(path[1], int):
        found, ids = body["contests"][path[1]], [c["id"] for c in body["classes"]]
        # Its id stays, so that one like it is still found; of what is wrong with the whole, the id is.
        mended = {**known["contests"][0], "id": found["id"], "classes": ids}
        if len(path) == 2:
            mended = {**found, "id": f"template-{path[1]}"}
        changed: bool = found != mended
        body["contests"][path[1]] = mended
        return changed
    if len(path) > 1 and path[0] == "classes" and isinstance(path[1], int):
        return mend_class(body, path[1], path[2:])
    if not path or path[0] not in known or path[0] in ("classes", "contests") or body[path[0]] == known[path[0]]:
        return False
    body[path[0]] = known[path[0]]
    return True


def mend_class(body: Body, place: int, way: list[str | int]) -> bool:
    """As `mend_part` for a class: another id if that was wrong or the whole is, otherwise one vote and no decimals of
    its own.
    """
    found = body["classes"][place]
    mended = {**found, "votes": 1, "votes_per_share": 1}
    mended.pop("decimals", None)
    if "decimals" in body["classes"][0]:
        mended["decimals"] = body["classes"][0]["decimals"]
    if not way:
        mended = {**found, "id": f"template-{place}"}
        for contest in body["contests"]:
            contest["classes"] = [*contest["classes"], mended["id"]]
    body["classes"][place] = mended
    return bool(found != mended)


def _walk(value: Any, way: list[str | int]) -> Any:
    for step in way:
        value = value[step]
    return value


def _right_value(body: Body, path: list[str | int]) -> Any:
    known = template()
    if path[0] == "contests" and "rule" in path:
        rule = _walk(body, path[: path.index("rule") + 1])
        if isinstance(rule, dict) and rule.get("name") == "plurality":
            known["contests"][0]["rule"] = {"name": "plurality", "seats": 1}
    return _walk(known, [0 if isinstance(step, int) else step for step in path])


def _sentence(fault: Refused, agenda: Body, place: tuple[int, int]) -> str:
    value = value_at(agenda, fault.field)
    shown = f"{fault.field} = {value}" if value is not None else fault.field or "the agenda"
    return f"line {place[0]}, column {place[1]}: {shown}: {fault.detail}"


def template() -> Body:
    """A small manifest that every rule accepts."""

    def key(name: str, type: int = ED25519) -> str:
        return Signer(f"template/{name}", type, name.encode().ljust(32, b".")).vkey

    return {
        "batch": {"min": 1, "wait_ms": 1000},
        "classes": [{"id": "template", "votes": 1, "votes_per_share": 1}],
        "contests": [
            {
                "choices": ["for", "against", "abstain"],
                "classes": ["template"],
                "form": "choose-one",
                "id": "template",
                "kind": "resolution",
                "limit": 1,
                "rule": dict(MAJORITY, threshold=[1, 2]),
                "text": "",
                "title": "template",
            }
        ],
        "custodians": {"keys": [[key("custodian", COSIGNATURE)]], "threshold": 1},
        "election": b64(bytes(16)),
        "inspectors": [],
        "intakes": [key("intake")],
        "issuers": [key("issuer")],
        "log": [key("log"), key("log", ML_DSA_44)],
        "meeting": {"issuer": "template", "kind": "annual", "title": "template"},
        "minimum": {"pseudonyms": 1, "roll": 1},
        "mixers": [],
        "officials": {"keys": [key("official")], "threshold": 1},
        "times": {"close": "", "open": "", "record_date": ""},
        "trustees": {"keys": [key("trustee")], "threshold": 1},
    }
