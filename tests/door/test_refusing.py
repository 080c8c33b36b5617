"""Every bad input that a door can meet, over HTTP: refused with its own reason and the field at fault, and nothing
accepted before is lost.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine

from audit.protocol.ballot import make_ballot
from audit.protocol.group import ORDER, G, b64
from audit.protocol.refused import Refused
from audit.record.entries import MAX_ENTRY, add_signatures, make_text, parse_entry
from intake.door import reception
from intake.door.standing import Standing
from tests.door.conftest import AGAINST, FOR, Client, fresh_place, signed
from tests.simulator.meeting import Meeting
from tests.simulator.parties import contest

IDENTITY = b64(bytes(32))
NOT_CANONICAL = b64((2**255 - 18).to_bytes(32, "little"))  # 1 + p, a second way to write 1
NO_ELEMENT = b64(b"\x01" + bytes(31))
TOO_LARGE = b64((ORDER + 1).to_bytes(32, "little"))

C, P = "contests.nominee-1.C", "contests.nominee-1.proofs[0]"

Change = Callable[[dict[str, Any]], None]
Accepted = tuple[bytes, dict[str, str]]


@pytest.fixture(scope="module")
def client(engines: tuple[Engine, Engine]) -> Iterator[Client]:
    """A door while voting is open on two items, with one ballot accepted; the queue takes nothing."""
    place = fresh_place(engines, Meeting(contests=[contest("nominee-1"), contest("nominee-2")]).prepared())
    place.queue.silent = True
    with place.running() as client:
        yield client


@pytest.fixture(scope="module")
def accepted(client: Client) -> Accepted:
    """A ballot of account 0 with revision 3, and what the door answered."""
    raw = client.place.text(0, FOR, revision=3)
    return raw, client.accepted(raw)


@pytest.fixture(autouse=True)
def nothing_is_lost(client: Client, accepted: Accepted) -> Iterator[None]:
    """After every bad input: the ballot accepted before is in the outbox, alone, and has its receipt."""
    raw, answer = accepted
    yield
    assert list(client.place.outbox.ballots()) == [signed(raw, answer["line"]).raw]
    again = client.post(raw)
    assert (again.status_code, again.json()) == (200, answer)


def at(*path: Any) -> Callable[[Any], Change]:
    """A change that puts a value at this path of a ballot's body."""

    def put(value: Any) -> Change:
        def change(body: dict[str, Any]) -> None:
            place: Any = body
            for step in path[:-1]:
                place = place[step]
            place[path[-1]] = value

        return change

    return put


def cut(*path: Any) -> Change:
    """A change that takes the last item off a list."""

    def change(body: dict[str, Any]) -> None:
        place: Any = body
        for step in path:
            place = place[step]
        place.pop()

    return change


def grow(*path: Any) -> Change:
    def change(body: dict[str, Any]) -> None:
        place: Any = body
        for step in path:
            place = place[step]
        place.append(place[-1])

    return change


def without(*path: Any) -> Change:
    def change(body: dict[str, Any]) -> None:
        place: Any = body
        for step in path[:-1]:
            place = place[step]
        del place[path[-1]]

    return change


FIRST = ("contests", "nominee-1")
PROOF = (*FIRST, "proofs", 0)

BROKEN: dict[str, tuple[Change, str, str]] = {
    "a pseudonym that is not on the roll": (at("pseudonym")(b64(G.raw)), "unknown-pseudonym", "pseudonym"),
    "the identity as pseudonym": (at("pseudonym")(IDENTITY), "identity", "pseudonym"),
    "a pseudonym that is no element": (at("pseudonym")(NO_ELEMENT), "bad-element", "pseudonym"),
    "a pseudonym of 31 bytes": (at("pseudonym")(b64(bytes(31))), "wrong-length", "pseudonym"),
    "an element that is no element": (at(*FIRST, "C", 0, 1)(NO_ELEMENT), "bad-element", f"{C}[0][1]"),
    "an element not written canonically": (at(*FIRST, "C", 2, 0)(NOT_CANONICAL), "bad-element", f"{C}[2][0]"),
    "base64 with padding": (at(*FIRST, "C", 0, 0)("AAAA="), "bad-encoding", f"{C}[0][0]"),
    "a scalar beyond the order": (at(*PROOF, "z", 1)(TOO_LARGE), "bad-scalar", f"{P}.z[1]"),
    "a choice too few": (cut(*FIRST, "C"), "wrong-length", C),
    "a choice too many": (grow(*FIRST, "C"), "wrong-length", C),
    "a challenge too few": (cut(*PROOF, "c"), "wrong-length", f"{P}.c"),
    "a surplus challenge": (grow(*PROOF, "c"), "wrong-length", f"{P}.c"),
    "a response too few": (cut(*PROOF, "z"), "wrong-length", f"{P}.z"),
    "half a ciphertext": (cut(*FIRST, "C", 1), "wrong-length", f"{C}[1]"),
    "a surplus proof": (grow(*FIRST, "proofs"), "wrong-length", "contests.nominee-1.proofs"),
    "a contest left out": (without("contests", "nominee-2"), "missing-contest", "contests.nominee-2"),
    "a contest nobody knows": (at("contests", "nominee-3")({}), "unknown-contest", "contests.nominee-3"),
    "another manifest": (at("manifest")(IDENTITY), "another-election", "manifest"),
    "a roll that is not there": (at("roll")("preferred"), "unknown-roll", "roll"),
    "a field nobody knows": (at("weight")(7), "unknown-field", "weight"),
    "a field left out": (without("revision"), "missing-field", "revision"),
    "a revision that is text": (at("revision")("4"), "wrong-type", "revision"),
    "a negative revision": (at("revision")(-1), "out-of-range", "revision"),
    "a lower revision": (at("revision")(2), "revision-lower", "revision"),
    "another ballot of the same revision": (at("signature", "z")(IDENTITY), "revision-repeated", "revision"),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_ballot(client: Client, accepted: Accepted, broken: str) -> None:
    change, reason, field = BROKEN[broken]
    # Of account 0, which has voted with revision 3, unless the revision is not the point.
    revision = 3 if reason.startswith("revision") else 4
    body = copy.deepcopy(client.place.body(0, AGAINST, revision))
    change(body)
    problem = client.refused(client.place.write(body))
    assert (problem["reason"], problem["field"]) == (reason, field)


def test_a_changed_choice_breaks_the_signature(client: Client) -> None:
    body = client.place.body(1)
    first, second = body["contests"]["nominee-1"], body["contests"]["nominee-2"]
    first["C"], second["C"] = second["C"], first["C"]
    problem = client.refused(client.place.write(body))
    assert (problem["status"], problem["reason"], problem["field"]) == (422, "bad-signature", "signature")


def test_a_ballot_accepted_before_under_another_signature(client: Client, accepted: Accepted) -> None:
    body = json.loads(accepted[0].split(b"\n")[2])
    body["signature"]["z"] = IDENTITY
    problem = client.refused(client.place.write(body))
    assert (problem["reason"], problem["field"]) == ("revision-repeated", "revision")


def test_a_wrong_proof_under_a_true_signature(client: Client) -> None:
    meeting = client.place.meeting
    mine, other = meeting.accounts[:2]
    context = meeting.election.ballot_context("common")
    # The weight of another row: everything is well made, but it does not prove what the roll says of this voter.
    chosen = {"nominee-1": FOR, "nominee-2": FOR}
    body = make_ballot(context, mine.s, other.E, chosen, 4, meeting.dice.scalar)
    problem = client.refused(client.place.write(body))
    assert (problem["reason"], problem["field"]) == ("bad-proof", "contests.nominee-1.proofs[0]")


def test_a_ballot_of_a_rehearsal_with_the_same_origin(client: Client) -> None:
    rehearsal = Meeting(contests=[contest("nominee-1"), contest("nominee-2")], seed=2).prepared()
    body = rehearsal.ballot(rehearsal.accounts[0], {"nominee-1": FOR})
    problem = client.refused(client.place.write(body))
    assert (problem["reason"], problem["field"]) == ("another-election", "manifest")


def test_a_ballot_that_names_another_origin(client: Client) -> None:
    problem = client.refused(client.place.write(client.place.body(1), "vote.example/other"))
    assert (problem["reason"], problem["field"]) == ("another-election", "origin")


def test_an_address_of_another_origin(client: Client) -> None:
    problem = client.refused(client.place.text(1), "vote.example/other")
    assert (problem["status"], problem["reason"]) == (404, "not-found")


def test_over_65_535_bytes(client: Client) -> None:
    problem = client.refused(b"x" * (MAX_ENTRY + 1))
    assert (problem["status"], problem["reason"]) == (413, "too-long")


def test_over_65_535_bytes_in_chunks_of_no_announced_length(client: Client) -> None:
    answer = client.http.post(f"/{client.place.meeting.origin}/entries", content=(b"x" * 8192 for _ in range(9)))
    assert (answer.status_code, answer.json()["reason"]) == (413, "too-long")


TEXTS: dict[str, tuple[Callable[[bytes], bytes], int, str]] = {
    "nothing": (lambda raw: b"", 400, "syntax"),
    "no UTF-8": (lambda raw: raw.replace(b"common", b"\xff"), 400, "syntax"),
    "two lines": (lambda raw: raw.split(b"\n", 1)[1], 400, "syntax"),
    "no last newline": (lambda raw: raw[:-1], 400, "syntax"),
    "no JSON": (lambda raw: raw.replace(b"{", b"(", 1), 400, "syntax"),
    "a list": (lambda raw: b"\n".join([*raw.split(b"\n")[:2], b"[]", b""]), 422, "wrong-type"),
    "spaces in the JSON": (lambda raw: raw.replace(b":", b": ", 1), 400, "not-canonical"),
    "a field given twice": (lambda raw: raw.replace(b'"revision"', b'"revision":4,"revision"'), 400, "not-canonical"),
    "fields in another order": (lambda raw: reordered(raw), 400, "not-canonical"),
    "a fraction": (lambda raw: raw.replace(b'"revision":4', b'"revision":4.0'), 422, "wrong-type"),
    "beyond 2^53": (lambda raw: raw.replace(b'"revision":4', b'"revision":9007199254740993'), 422, "out-of-range"),
    "an unknown type": (lambda raw: raw.replace(b"v1 ballot", b"v1 lottery"), 422, "unknown-kind"),
    "another version": (lambda raw: raw.replace(b"v1 ballot", b"v2 ballot"), 422, "unknown-kind"),
    "a deep nest": (lambda raw: b"\n".join([*raw.split(b"\n")[:2], b"[" * 60_000, b""]), 400, "syntax"),
    "a carriage return": (lambda raw: raw.replace(b"\n", b"\r\n"), 422, "unknown-kind"),
}


def reordered(raw: bytes) -> bytes:
    head, origin, body, _ = raw.split(b"\n")
    fields = dict(reversed(json.loads(body).items()))
    return b"\n".join([head, origin, json.dumps(fields, separators=(",", ":")).encode(), b""])


@pytest.mark.parametrize("broken", TEXTS)
def test_a_broken_text(client: Client, broken: str) -> None:
    change, status, reason = TEXTS[broken]
    problem = client.refused(change(client.place.text(0, AGAINST, revision=4)))
    assert (problem["status"], problem["reason"]) == (status, reason)


def test_a_ballot_with_a_line_of_its_own(client: Client) -> None:
    raw = client.place.text(1)
    problem = client.refused(add_signatures(raw, [client.place.intake.sign(raw)]))
    assert (problem["reason"], problem["field"]) == ("wrong-signers", "signatures")


def test_an_official_act_that_nobody_has_signed(client: Client) -> None:
    meeting = client.place.meeting
    raw = parse_entry(meeting.resolution("closing")).text
    problem = client.refused(raw)
    assert (problem["reason"], problem["field"]) == ("wrong-signers", "signatures")


def test_an_official_act_that_too_few_have_signed(client: Client) -> None:
    meeting = client.place.meeting
    body = {"manifest": meeting.hash, "size": meeting.election.size}
    problem = client.refused(meeting.signed("closing", body, meeting.parties.officials[0]))
    assert (problem["reason"], problem["field"]) == ("wrong-signers", "signatures")


def test_an_official_act_under_a_false_signature(client: Client) -> None:
    meeting = client.place.meeting
    forger = Meeting(seed=9).parties.officials[:2]
    body = {"manifest": meeting.hash, "size": meeting.election.size}
    problem = client.refused(meeting.signed("closing", body, *forger))
    assert problem["reason"] == "unknown-key"


def test_an_official_act_out_of_its_phase(client: Client) -> None:
    meeting = client.place.meeting
    raw = meeting.resolution("close", overruled=[])
    problem = client.refused(raw)
    assert (problem["status"], problem["reason"], problem["field"]) == (409, "wrong-phase", "type")


def test_an_entry_that_is_in_the_log_already(client: Client) -> None:
    (opening,) = [raw for raw in client.place.meeting.entries if raw.startswith(b"psephos/v1 open\n")]
    problem = client.refused(opening)
    assert problem["status"] == 409


def test_a_receipt_is_no_entry(client: Client, accepted: Accepted) -> None:
    problem = client.refused(accepted[1]["receipt"].encode())
    assert problem["reason"] == "wrong-phase"


def test_another_method(client: Client) -> None:
    answer = client.http.get(f"/{client.place.meeting.origin}/entries")
    assert (answer.status_code, answer.json()["reason"]) == (405, "method-not-allowed")


def nested(depth: int, kind: bytes = b"ballot") -> bytes:
    """A text whose body is so deep in one place, and otherwise as a ballot's."""
    key = b64(bytes(32)).encode()
    rest = b',"manifest":"%s","pseudonym":"%s","revision":0,"roll":"common","signature":0}' % (key, key)
    return b"psephos/v1 %s\nvote.example/x\n" % kind + b'{"contests":' + b"[" * depth + b"]" * depth + rest + b"\n"


@pytest.mark.parametrize("depth", [17, 300, 800, *range(900, 1000, 7), 20_000])
def test_a_body_nested_in_any_depth(client: Client, depth: int) -> None:
    problem = client.refused(nested(depth))
    assert (problem["status"], problem["reason"]) == (400, "syntax")


def test_an_official_act_nested_too_deeply(client: Client) -> None:
    text = nested(900, b"closing")
    problem = client.refused(add_signatures(text, [client.place.meeting.parties.officials[0].sign(text)]))
    assert (problem["status"], problem["reason"]) == (400, "syntax")


@pytest.mark.parametrize("place", ["read_handed_in", "check_binding"])
def test_a_fault_that_an_entry_brings_to_light_is_answered_as_its_own(
    client: Client, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], place: str
) -> None:
    def stumbles(*_: object) -> None:
        raise RecursionError("what the voter wrote")

    with monkeypatch.context() as patch:
        patch.setattr(reception, place, stumbles)
        problem = client.refused_now(client.place.text(1))
    assert (problem["status"], problem["reason"]) == (400, "syntax")
    assert "what the voter wrote" not in capfd.readouterr().err


def test_a_failure_of_ours_is_503(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def stumbles(*_: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(Standing, "reserve", stumbles)
        answer = client.post(client.place.text(1))
    assert (answer.status_code, answer.json()["reason"]) == (503, "not-stored")
    assert answer.headers["content-type"] == "application/problem+json"


@given(raw=st.binary(max_size=300))
def test_arbitrary_bytes(client: Client, raw: bytes) -> None:
    assert 400 <= client.post(raw).status_code < 500


json_values = st.recursive(
    st.integers() | st.text(max_size=5) | st.none() | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=20,
)
KINDS = ["ballot", "open", "roll", "mix", "trustee-deal", "reconcile", "refusal", "notice", "manifest", "receipt"]


FIELDS = [*"CE", "contests", "manifest", "signature"]


@given(kind=st.sampled_from(KINDS), field=st.sampled_from(FIELDS), value=json_values)
def test_arbitrary_values_in_any_kind(client: Client, kind: str, field: str, value: Any) -> None:
    body = {"manifest": client.place.meeting.hash, field: value}
    try:
        text = make_text(kind, client.place.meeting.origin, body)
    except Refused:
        return
    raw = text if kind == "ballot" else add_signatures(text, [client.place.intake.sign(text)])
    assert 400 <= client.post(raw).status_code < 500
