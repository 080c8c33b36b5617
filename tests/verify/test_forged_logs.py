"""Logs that the log and custodians have signed although the rules forbid them."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

import pytest

from audit.protocol.ballot import make_ballot
from audit.protocol.group import G, b64, element_from
from audit.record.entries import parse_entry
from audit.verify import NotVerified, verify_record
from tests.simulator.meeting import Meeting
from tests.simulator.record import MemoryReader, files_of
from tests.verify.conftest import FOR, Auditor
from tests.verify.tampering import flipped, kinds, place, swap_responses


def test_an_entry_removed(held: Meeting, auditor: Auditor) -> None:
    for i, kind in enumerate(kinds(held)[:-1]):
        fault = auditor.fault(held.entries[:i] + held.entries[i + 1 :])
        assert fault.number is not None and fault.number >= i, (i, kind)
        if kind in ("ballot", "refusal"):
            # The officials had seen it when they drew the closing up; what comes later, an intake passed on.
            seen = i < place(held, "closing")
            assert fault.number == place(held, "closing" if seen else "close") - 1, (i, kind)
            assert ("drawn up over" if seen else "passed on") in fault.detail


def test_an_entry_added_again(held: Meeting, auditor: Auditor) -> None:
    for i in range(len(held.entries)):
        for at in {i + 1, len(held.entries)}:
            fault = auditor.fault(held.entries[:at] + [held.entries[i]] + held.entries[at:])
            assert fault.number == at


def test_two_entries_swapped(held: Meeting, auditor: Auditor) -> None:
    names = kinds(held)
    for i in range(len(names) - 1):
        entries = held.entries[:i] + [held.entries[i + 1], held.entries[i]] + held.entries[i + 2 :]
        if names[i : i + 2] == ["decrypt", "decrypt"]:
            # Trustees answer in any order: this is the same election.
            assert auditor.verify_signed(entries).result == held.election.result
            continue
        assert auditor.fault(entries).number is not None


def test_a_byte_of_each_entry(held: Meeting, auditor: Auditor) -> None:
    dice = random.Random(4)
    for i, raw in enumerate(held.entries):
        for at in [dice.randrange(len(raw)) for _ in range(3)]:
            changed = flipped(raw, at, dice.randrange(7))
            assert auditor.fault([*held.entries[:i], changed, *held.entries[i + 1 :]]).number == i


def test_a_ballot_from_a_rehearsal_of_the_same_origin(held: Meeting, auditor: Auditor) -> None:
    rehearsal = Meeting(seed=5, parties=held.parties).prepared()
    raw = rehearsal.signed("ballot", rehearsal.ballot(rehearsal.accounts[0], FOR), held.intake)
    at = place(held, "closing")
    fault = auditor.fault([*held.entries[:at], raw, *held.entries[at:]])
    assert (fault.number, fault.kind, fault.reason) == (at, "ballot", "another-election")


def test_another_election_whole(held: Meeting, auditor: Auditor, executor: Executor) -> None:
    other = Meeting(seed=5, parties=held.parties).prepared().counted()
    files = files_of(other.entries, other.parties, other.origin)
    with pytest.raises(NotVerified) as caught:
        auditor.verify(files)
    assert (caught.value.number, caught.value.reason) == (0, "another-election")
    # Who pins nothing is shown an election that holds, and is told its hash.
    assert not verify_record(MemoryReader(files), None, executor).pinned


Change = Callable[[Meeting, dict[str, Any]], object]
FORGED: dict[str, tuple[str, Change, str]] = {
    "a result": ("certify", lambda m, b: b["result"].update(present=750), "wrong-result"),
    "a share": (
        "decrypt",
        lambda m, b: b["present"]["common"].update(D=b64((element_from(b["present"]["common"]["D"]) + G).raw)),
        "bad-proof",
    ),
    "shares of another closing head": ("decrypt", lambda m, b: b.update(closing=b64(bytes(32))), "another-election"),
    "an account": ("reconcile", lambda m, b: b.update(count=99), "not-complete"),
    "a row's key": ("roll", lambda m, b: b["rows"][0].update(K=b["rows"][1]["K"]), "bad-proof"),
    "a row's weight": ("roll", lambda m, b: b["rows"][0].update(E=b["rows"][1]["E"]), "not-complete"),
    "a countersigned hash": ("roll-signed", lambda m, b: b.update(hash=b64(bytes(32))), "another-roll"),
    "a confirmed key": ("trustee-confirm", lambda m, b: b.update(key=b64(G.raw)), "wrong-key"),
    "a ballot's proof": ("ballot", lambda m, b: swap_responses(b), "bad-signature"),
}


@pytest.mark.parametrize("what", sorted(FORGED))
def test_what_its_own_signer_forged(held: Meeting, auditor: Auditor, what: str) -> None:
    """Whoever should sign the entry signs another one; log and custodians play along."""
    kind, change, reason = FORGED[what]
    at = place(held, kind)
    original = parse_entry(held.entries[at])
    body = json.loads(json.dumps(original.body))
    change(held, body)
    parties = held.parties
    everybody = [*parties.officials, *parties.trustees, *parties.issuers, *parties.inspectors, *parties.intakes]
    signers = [next(s for s in everybody if s.name == line.name) for line in original.signatures]
    raw = held.signed(kind, body, *signers)
    fault = auditor.fault([*held.entries[:at], raw, *held.entries[at + 1 :]])
    assert fault.reason == reason
    late = {"an account": ("close", 0)}
    expected = place(held, *late[what]) if what in late else at
    assert fault.number == expected


def test_a_ballot_whose_proof_is_wrong_but_signed_by_its_voter(held: Meeting, auditor: Auditor) -> None:
    """The weight of another row: the voter signs a ballot for more votes than its row gives."""
    poor, rich = held.accounts[3], held.accounts[2]
    context = held.election.ballot_context("common")
    chosen = {"nominee-1": (1, 0, 0), "nominee-2": (0, 0, 0)}
    body = make_ballot(context, poor.s, rich.E, chosen, 9, held.dice.scalar)
    at = place(held, "closing")
    fault = auditor.fault([*held.entries[:at], held.signed("ballot", body, held.intake), *held.entries[at:]])
    assert (fault.number, fault.reason) == (at, "bad-proof")
    assert "contests.nominee-1" in fault.detail
