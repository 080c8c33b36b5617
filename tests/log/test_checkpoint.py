"""Whose keys may make a checkpoint: a policy that could never be satisfied, or twice by one, is no policy."""

from __future__ import annotations

from typing import Any

import pytest

from audit.log import checkpoint
from audit.log.checkpoint import LogPolicy
from audit.log.keys import COSIGNATURE, ED25519, ML_DSA_44, Verifier
from audit.log.notes import MAX_SIGNATURES, Note, parse_note
from audit.log.treehead import Checkpoint
from audit.protocol.refused import Refused
from tests.log.sample import LOG, ORIGIN, POLICY, TIME, root_of, signer, some_entries

Custodians = tuple[tuple[str, tuple[Verifier, ...]], ...]


def custodians(count: int, keys: int) -> Custodians:
    """Public keys that nobody holds; most tests here never verify with them."""
    return tuple(
        (f"c{i}", tuple(Verifier(f"c{i}", COSIGNATURE, bytes([i, j]) * 16) for j in range(keys))) for i in range(count)
    )


def refused(*, log: tuple[Verifier, ...] = POLICY.log, held: Custodians = POLICY.custodians, W: int = 2) -> str:
    with pytest.raises(Refused) as error:
        LogPolicy(ORIGIN, log, held, W)
    return error.value.reason


@pytest.mark.parametrize(("count", "keys"), [(50, 2), (33, 3), (25, 4), (99, 1)])
def test_more_keys_than_a_note_has_lines(count: int, keys: int) -> None:
    assert refused(held=custodians(count, keys)) == "too-long"


@pytest.mark.parametrize(("count", "keys"), [(49, 2), (32, 3), (24, 4), (98, 1)])
def test_as_many_keys_as_a_note_has_lines(count: int, keys: int) -> None:
    policy = LogPolicy(ORIGIN, POLICY.log, custodians(count, keys), count)
    assert len(policy.verifiers) <= MAX_SIGNATURES


def test_a_note_that_all_have_signed_can_be_read() -> None:
    signers = [signer(f"c{i}", COSIGNATURE, 50 + i) for i in range(MAX_SIGNATURES - len(LOG))]
    policy = LogPolicy(ORIGIN, POLICY.log, tuple((key.name, (key.verifier,)) for key in signers), len(signers))
    text = Checkpoint(ORIGIN, 3, root_of(some_entries(3))).text
    note = Note(text, tuple(key.sign(text, TIME) for key in (*LOG, *signers)))
    assert checkpoint.open_checkpoint(parse_note(note.raw).raw, policy, exact=True).size == 3


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no key of the log": ({"log": ()}, "wrong-signers"),
    "a custodian without key": ({"held": (*POLICY.custodians, ("delta", ()))}, "wrong-signers"),
    "W of nobody": ({"W": 0}, "wrong-signers"),
    "more than there are": ({"W": 4}, "wrong-signers"),
    "no majority": ({"W": 1}, "wrong-signers"),
    "half of them": ({"held": POLICY.custodians[:2], "W": 1}, "wrong-signers"),
    "a log that signs as a cosigner": ({"log": (signer("log", COSIGNATURE).verifier,)}, "unknown-key"),
    "a custodian that signs notes": ({"held": (("c", (signer("c", ED25519).verifier,)),), "W": 1}, "unknown-key"),
    "a custodian twice": ({"held": (POLICY.custodians[0], POLICY.custodians[0])}, "duplicate"),
    "a key of two custodians": (
        {"held": (("a", (signer("a", ML_DSA_44).verifier,)), ("b", (signer("b", ML_DSA_44).verifier,)))},
        "duplicate",
    ),
    "a custodian's key is the log's": ({"held": (("c", (LOG[1].verifier,)),), "W": 1}, "duplicate"),
}


@pytest.mark.parametrize("what", sorted(WRONG))
def test_no_policy(what: str) -> None:
    how, reason = WRONG[what]
    assert refused(**how) == reason


def test_two_keys_of_one_custodian_with_one_id(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four bytes can be made to collide, and then no line could say which of the two it is by."""
    monkeypatch.setattr(Verifier, "key_id", property(lambda self: b"same"))
    assert refused(held=custodians(2, 2)) == "duplicate"
