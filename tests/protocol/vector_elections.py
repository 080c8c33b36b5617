"""What the vectors of ballots, rolls, ceremonies and decryption are made of: (what, input) of every case."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from audit.protocol.control_number import new_control_number, parse_control_number
from audit.protocol.elgamal import Ciphertext, encrypt
from audit.protocol.group import IDENTITY, G, b64
from audit.protocol.trustee import finish
from tests.protocol.sample import (
    FORMS,
    MANIFEST,
    NO_VOTE,
    ORIGIN,
    REHEARSAL,
    ROLL_HASH,
    SELECTIONS,
    TRUSTEES,
    E,
    Trustees,
    Y,
    not_reduced,
    plus_one,
    replaced,
    s,
    scalars,
)
from tests.protocol.vector_proofs import ELECTION, TOP, TWICE, Inputs, text
from tests.protocol.vectors import RUN


def ballots() -> Inputs:
    forms = [{"id": f.id, "form": f.form, "choices": f.choices, "limit": f.limit} for f in FORMS]
    place: dict[str, Any] = {**ELECTION, "origin": ORIGIN, "class": "common", "roll hash": ROLL_HASH.hex()}
    place |= {"generator": text(G), "contests": forms}
    cast = {"context": place, "weight": E.to_json()}
    draw = scalars("vectors of ballots")
    for what, selections, revision in (("votes", SELECTIONS, 0), ("no vote on anything", NO_VOTE, 3)):
        drawn = [text(draw()) for _ in range(63)]
        made: dict[str, Any] = {**cast, "s": text(s), "selections": {id: list(a) for id, a in selections.items()}}
        made |= {"revision": revision, "draws": drawn}
        body = RUN["ballots"](made)["body"]
        yield f"made: {what}", made
        yield f"true: {what}", {**cast, "body": body}
        if revision == 0:
            first = body
    yield from refused_ballots(cast, first)


def refused_ballots(cast: dict[str, Any], body: dict[str, Any]) -> Inputs:
    def changed(*path: str | int, to: Any) -> dict[str, Any]:
        return {**cast, "body": replaced(body, path, to)}

    def without(value: dict[str, Any], name: str) -> dict[str, Any]:
        return {key: item for key, item in value.items() if key != name}

    one = ("contests", "director-1")
    for name in body:
        yield f"without {name}", {**cast, "body": without(body, name)}
    yield "a field too many", changed(to=lambda all: {**all, "weight": E.to_json()})
    yield "a contest left out", changed("contests", to=lambda all: without(all, "board"))
    yield "a contest too many", changed("contests", to=lambda all: {**all, "item-9": all["board"]})
    yield "another manifest", changed("manifest", to=b64(REHEARSAL))
    yield "another roll", changed("roll", to="preferred")
    yield "a negative revision", changed("revision", to=-1)
    yield "a revision too many", changed("revision", to=100)
    yield "another revision", changed("revision", to=1)
    yield "the identity as pseudonym", changed("pseudonym", to=text(IDENTITY))
    yield "a pseudonym not canonical", changed("pseudonym", to=b64(TOP))
    yield "another pseudonym", changed("pseudonym", to=text(TWICE))
    yield "signature: c changed", changed("signature", "c", to=plus_one)
    yield "signature: z not reduced", changed("signature", "z", to=not_reduced)
    yield "a ciphertext short", changed(*one, "C", to=lambda C: C[1:])
    yield "a ciphertext too many", changed(*one, "C", to=lambda C: [*C, C[0]])
    yield "an element not canonical", changed(*one, "C", 1, 0, to=b64(TOP))
    yield "a proof short", changed("contests", "board", "proofs", to=lambda proofs: proofs[1:])
    yield "a surplus challenge", changed(*one, "proofs", 0, "c", to=lambda c: [*c, c[0]])
    yield "a challenge not reduced", changed(*one, "proofs", 0, "c", 3, to=not_reduced)
    yield "a changed ciphertext breaks the signature", changed(*one, "C", 0, 1, to=text(G))
    passed = {"signature": "passed over"}
    yield "the identity as ciphertext proves nothing", changed(*one, "C", 0, to=[text(IDENTITY)] * 2) | passed
    for id, last in (("director-1", 0), ("board", 4), ("spread", 3)):
        yield f"{id}: a changed ciphertext", changed("contests", id, "C", 0, 1, to=text(G)) | passed
        for name in ("c", "z"):
            yield f"{id}: {name} changed", changed("contests", id, "proofs", last, name, 0, to=plus_one) | passed
    yield "another weight", {**cast, "weight": (E + encrypt(0, Y, 1)).to_json(), "body": body}
    for name, value in (("roll hash", REHEARSAL.hex()), ("generator", text(TWICE)), ("Y", text(TWICE))):
        yield f"another {name}", {**cast, "context": {**cast["context"], name: value}, "body": body}
        other = {**cast, "context": {**cast["context"], name: value}, "body": body}
        yield f"another {name}, its proofs", other | passed
    yield "another origin", {**cast, "context": {**cast["context"], "origin": "vote.example/other"}, "body": body}


def codes() -> Iterator[str]:
    for entropy in (bytes(range(16)), b"\xff" * 16):
        yield parse_control_number(new_control_number(entropy))


def credentials() -> Inputs:
    for code in codes():
        for roll, revision in (("common", 0), ("common", 1), ("preferred", 0)):
            place = {"manifest": MANIFEST.hex(), "class": roll, "revision": revision, "code": code}
            yield f"{code[:5]}, {roll}, revision {revision}", place
    yield "a code as printed", {**place, "code": new_control_number(bytes(16))}
    yield "a code in lower case", {**place, "code": code.lower()}


def halves() -> Inputs:
    place: dict[str, Any] = {**ELECTION, "class": "common", "revision": 1, "row": 3, "issuer": 1}
    made = {**place, "s": text(0x5EC), "w": text(0x4E04)}
    half = RUN["halves"](made)
    yield "made", made
    yield "true", {**place, "half": half}
    others = {"class": "preferred", "revision": 0, "row": 4, "issuer": 0, "manifest": REHEARSAL.hex()}
    for name, value in others.items():
        yield f"another {name}", {**place, name: value, "half": half}
    yield "another K", {**place, "half": {**half, "K": text(TWICE)}}
    yield "the identity as K", {**place, "half": {**half, "K": text(IDENTITY)}}
    yield "c = 0", {**place, "half": replaced(half, ("proof", "c"), text(0))}
    yield "z changed", {**place, "half": replaced(half, ("proof", "z"), plus_one)}
    yield "no proof", {**place, "half": {"K": half["K"]}}


def rolls() -> Inputs:
    weights, r = (17, 1, 2**39), (5, 6, 7)
    rows = [
        {"K": text((i + 2) * G), "E": encrypt(w, Y, r_i).to_json()}
        for i, (w, r_i) in enumerate(zip(weights, r, strict=True))
    ]
    roll = {"Y": text(Y), "generator": text(G), "votes": sum(weights), "total": text(sum(r)), "rows": rows}
    yield "true", roll
    yield "rows in another order", {**roll, "rows": rows[::-1]}
    yield "another generator", {**roll, "generator": text(TWICE)}
    yield "one vote more", {**roll, "votes": sum(weights) + 1}
    yield "another R", {**roll, "total": text(sum(r) + 1)}
    yield "a row left out", {**roll, "rows": rows[1:]}
    yield "another key of the trustees", {**roll, "Y": text(TWICE)}


def ceremonies() -> Inputs:
    run, messages = Trustees(), []
    while not run.state.complete:
        for name in TRUSTEES:
            for kind, body in run.messages(name):
                messages.append({"type": kind, "by": name, "body": body})
                run.say(kind, name, body)
    start = {"manifest": MANIFEST.hex(), "trustees": list(TRUSTEES), "t": 2}
    for n in (0, 3, 6, len(messages)):
        yield f"after {n} messages", {**start, "messages": messages[:n]}
    accused = {"type": "trustee-complaint", "by": TRUSTEES[1]}
    accused["body"] = {"attempt": 1, "dealer": TRUSTEES[0], "manifest": b64(MANIFEST), "signer": TRUSTEES[1]}  # type: ignore[assignment]
    share = sum(a * 2**k for k, a in enumerate(run.secrets[TRUSTEES[0]].coefficients))
    for what, said in (("cleared", share), ("put out", share + 1)):
        body = {
            "attempt": 1,
            "manifest": b64(MANIFEST),
            "receiver": TRUSTEES[1],
            "share": text(said),
            "signer": TRUSTEES[0],
        }
        answer = {"type": "trustee-answer", "by": TRUSTEES[0], "body": body}
        yield f"the accused dealer is {what}", {**start, "messages": [*messages[:6], accused, answer]}
    yield from refused_messages(start, messages)


def refused_messages(start: dict[str, Any], messages: list[dict[str, Any]]) -> Inputs:
    def changed(n: int, *path: str | int, to: Any) -> dict[str, Any]:
        return {**start, "messages": [*messages[:n], replaced(messages[n], path, to)]}

    yield "a threshold of 0", {**start, "t": 0, "messages": []}
    yield "a trustee named twice", {**start, "trustees": [TRUSTEES[0]] * 3, "messages": []}
    yield "a stranger", changed(0, "by", to="stranger")
    yield "a message in another's name", changed(0, "by", to=TRUSTEES[1])
    yield "a commit sent twice", {**start, "messages": [messages[0], messages[0]]}
    yield "a deal before all have committed", {**start, "messages": [*messages[:2], messages[3]]}
    yield "another manifest", changed(0, "body", "manifest", to=b64(REHEARSAL))
    yield "another attempt", changed(0, "body", "attempt", to=2)
    yield "a sealing key of small order", changed(0, "body", "key", to=b64(bytes(32)))
    yield "commitments in another order", changed(3, "body", "commitments", to=lambda A: A[::-1])
    yield "a commitment short", changed(3, "body", "commitments", to=lambda A: A[1:])
    yield "the identity as A_0", changed(3, "body", "commitments", 0, to=text(IDENTITY))
    yield "a proof of A_0 changed", changed(3, "body", "proof", "z", to=plus_one)
    yield "a share too long", changed(3, "body", "shares", TRUSTEES[1], to=b64(bytes(81)))
    yield "another key confirmed", changed(6, "body", "key", to=text(G))


def decryption() -> Inputs:
    run = Trustees().until("complete")
    keys = [finish(run.state, run.secrets[name]) for name in TRUSTEES]
    C = encrypt(4211, run.state.Y, 0xAB) + encrypt(17, run.state.Y, 0xCD)
    key, draw, sums = keys[1], scalars("vectors of decryption"), {"C": C.to_json()}
    place: dict[str, Any] = {
        "manifest": MANIFEST.hex(),
        "Y": text(run.state.Y),
        "closing": bytes(range(32)).hex(),
        **sums,
    }
    place |= {"contest": "director-1", "choice": "for", "j": key.j}
    made = {**place, "x_j": text(key.x_j), "w": text(draw())}
    share = RUN["decryption"](made)
    said = {**place, "trustee": key.trustee, "Y_j": text(run.state.Y_j[key.trustee]), "share": share}
    yield "made", made
    yield "true", said
    for name, value in (("contest", "present"), ("choice", "against"), ("j", 1), ("closing", MANIFEST.hex())):
        yield f"another {name}", {**said, name: value}
    yield "another sum", {**said, "C": Ciphertext(C.a, C.b + G).to_json()}
    yield "another trustee's key", {**said, "Y_j": text(run.state.Y_j[TRUSTEES[0]])}
    yield "a wrong D", {**said, "share": {**share, "D": text(TWICE)}}
    yield "D not canonical", {**said, "share": {**share, "D": b64(TOP)}}
    yield "z changed", {**said, "share": {**share, "z": plus_one(share["z"])}}
    D = {str(k.j): text(k.x_j * C.a) for k in keys}
    yield "two shares open the sum", {**sums, "shares": {j: D[j] for j in ("1", "3")}, "t": 2, "bound": 10_000}
    yield "so do three", {**sums, "shares": D, "t": 2, "bound": 10_000}
    yield "one does not", {**sums, "shares": {"2": D["2"]}, "t": 2, "bound": 10_000}
    yield "nor does a wrong one", {**sums, "shares": {**D, "1": text(G)}, "t": 2, "bound": 10_000}
    yield "a bound too low", {**sums, "shares": D, "t": 2, "bound": 4228}
