"""Small elections for tests of the protocol: seeded scalars, a key, all forms of contest, ballots, a ceremony."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from audit.protocol.ballot import BallotContext, make_ballot, parse_ballot, verify_proofs, verify_signature
from audit.protocol.ceremony import Ceremony
from audit.protocol.contest import ContestForm
from audit.protocol.elgamal import Ciphertext, encrypt
from audit.protocol.group import ORDER, Element, G, b64, hash_to_element, scalar_bytes, scalar_from, wide_scalar
from audit.protocol.refused import Refused, TrusteeFault
from audit.protocol.trustee import CeremonySecret, new_secret, next_messages

MANIFEST = hashlib.sha256(b"manifest").digest()
REHEARSAL = hashlib.sha256(b"manifest of the rehearsal").digest()
ROLL_HASH = hashlib.sha256(b"anonymous roll").digest()
ORIGIN = "vote.example/meeting"

x = 0x1D5C0DE  # the whole secret key, which nobody has outside tests
Y = x * G
s = 0x5EC2E7
WEIGHT = 4211
E = encrypt(WEIGHT, Y, 0xACC0)

DIRECTOR = ContestForm("director-1", "choose-one", 3, 1)
BOARD = ContestForm("board", "choose-up-to", 4, 2)
SPREAD = ContestForm("spread", "cumulative", 3, 3)
FORMS = (DIRECTOR, BOARD, SPREAD)
SELECTIONS = {"director-1": (0, 1, 0), "board": (1, 0, 0, 1), "spread": (2, 0, 1)}
NO_VOTE = {"director-1": (0, 0, 0), "board": (0, 0, 0, 0), "spread": (0, 0, 0)}


def scalars(seed: str) -> Callable[[], int]:
    """Draws scalars that are uniform and the same in every run."""
    count = 0

    def draw() -> int:
        nonlocal count
        count += 1
        return wide_scalar(hashlib.sha512(f"{seed} {count}".encode()).digest())

    return draw


def element(seed: str) -> Element:
    """An element of which nobody knows the logarithm."""
    return hash_to_element(hashlib.sha512(seed.encode()).digest())


def context(
    *forms: ContestForm,
    manifest: bytes = MANIFEST,
    roll: str = "common",
    roll_hash: bytes = ROLL_HASH,
    generator: Element = G,
) -> BallotContext:
    return BallotContext(manifest, ORIGIN, Y, roll, roll_hash, generator, forms or FORMS)


def ballot(
    of: BallotContext, selections: Mapping[str, tuple[int, ...]], revision: int = 0, seed: str = "ballot"
) -> dict[str, Any]:
    return make_ballot(of, s, E, selections, revision, scalars(seed))


def check(of: BallotContext, body: Any, weight: Ciphertext = E) -> None:
    """All that is checked of a ballot against manifest and roll."""
    parsed = parse_ballot(of, body)
    verify_signature(of, parsed, body)
    verify_proofs(of, parsed, weight)


@contextmanager
def refused(reason: str, field: str | None = None) -> Iterator[None]:
    """Expects exactly this refusal."""
    with pytest.raises(Refused) as caught:
        yield
    found = caught.value
    assert (found.reason, found.field if field is not None else None) == (reason, field), str(found)


def replaced(value: Any, path: tuple[str | int, ...], new: Any) -> Any:
    """A copy of a JSON value with the one at this path replaced; the original stays as it is."""
    if not path:
        return new(value) if callable(new) else new
    head, rest = path[0], path[1:]
    copy: Any = dict(value) if isinstance(value, dict) else list(value)
    copy[head] = replaced(value[head], rest, new)
    return copy


def leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Every string and integer in a JSON value, with its path."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from leaves(item, (*path, name))
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from leaves(item, (*path, i))
    else:
        yield path, value


def path_text(path: tuple[str | int, ...]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")


TRUSTEES = ("trustee-1", "trustee-2", "trustee-3")


class Trustees:
    """A key ceremony in memory: every trustee's secret, and the state that everybody sees."""

    def __init__(self, t: int = 2, manifest: bytes = MANIFEST) -> None:
        self.state = Ceremony.start(manifest, TRUSTEES, t)
        self.secrets: dict[str, CeremonySecret] = {}
        self.draw_secrets()

    def draw_secrets(self) -> None:
        """New secrets of all participants for the present attempt."""
        for name in self.state.participants:
            draw = scalars(f"{name} {self.state.attempt}")
            key = hashlib.sha256(f"{name} {self.state.attempt} key".encode()).digest()
            coefficients = [draw() for _ in range(self.state.t)]
            self.secrets[name] = new_secret(self.state, name, coefficients, key)

    def say(self, kind: str, trustee: str, body: Mapping[str, Any]) -> None:
        self.state = self.state.step(kind, trustee, body)

    def messages(self, trustee: str) -> list[tuple[str, dict[str, Any]]]:
        """What this trustee has to hand in now."""
        return next_messages(self.state, self.secrets[trustee], scalars(f"{trustee} proof")())

    def round(self, *trustees: str) -> None:
        """All given, or else all participants, hand in what they have to."""
        for name in trustees or self.state.participants:
            for kind, body in self.messages(name):
                self.say(kind, name, body)

    def until(self, phase: str) -> Trustees:
        while self.state.phase != phase:
            self.round()
        return self


def opened(C: Ciphertext) -> Element:
    """nG, with the whole secret key that no one has outside tests."""
    return C.b - x * C.a


def plus_one(text: str) -> str:
    """The JSON string of a scalar, one higher."""

    return b64(scalar_bytes(scalar_from(text) + 1))


def not_reduced(text: str) -> str:
    """The JSON string of the same scalar plus the order of the group."""

    return b64((scalar_from(text) + ORDER).to_bytes(32, "little"))


def by(trustee: str, **fields: Any) -> dict[str, Any]:
    """The body of a message by this trustee in the first attempt."""
    return {"manifest": b64(MANIFEST), "attempt": 1, "signer": trustee, **fields}


def blamed(trustee: str, reason: str, field: str | None = None) -> Any:
    """Expects a fault of exactly this trustee."""

    class Blamed:
        def __enter__(self) -> None:
            pass

        def __exit__(self, kind: object, error: object, trace: object) -> bool:
            assert isinstance(error, TrusteeFault), error
            assert (error.trustee, error.reason) == (trustee, reason), str(error)
            assert field is None or error.field == field
            assert trustee in error.detail
            return True

    return Blamed()
