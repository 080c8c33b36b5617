"""Writes the vectors again: `python -m tests.protocol.make_vectors`. What changes in them is a change of the protocol.

Only the sealed shares of a ceremony differ from run to run, for their ephemeral keys cannot be given.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from audit.protocol.control_number import new_control_number, parse_control_number
from audit.protocol.elgamal import Ciphertext, encrypt
from audit.protocol.group import IDENTITY, ORDER, Element, G, b64, scalar_bytes
from audit.protocol.refused import Refused
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
    element,
    not_reduced,
    plus_one,
    replaced,
    s,
    scalars,
)
from tests.protocol.vectors import RUN

FOLDER = Path(__file__).parents[1] / "vectors" / "protocol"
Inputs = Iterator[tuple[str, Any]]
ELECTION = {"manifest": MANIFEST.hex(), "Y": b64(Y.raw)}
HERE = {**ELECTION, "transcript": "vectors"}
TWICE = G + G
TOP = bytes([*G.raw[:31], G.raw[31] | 0x80])


def text(value: Element | int) -> str:
    return b64(value.raw if isinstance(value, Element) else scalar_bytes(value))


def canonical() -> Inputs:
    value = {"b": [1, -2, {"d": "\u20ac\n", "c": ""}], "a": {}, "A": [], "10": 10, "9": 2**53 - 1}
    yield "names sorted by bytes, nothing between", {"value": value}
    yield "escapes", {"value": '"\\\b\f\n\r\t\u001f\u007f\u2028\U0001d11e/'}
    yield "read", {"text": '{"a":[1,{"b":"\u20ac"}]}'}
    yield "a space", {"text": '{"a": 1}'}
    yield "names not sorted", {"text": '{"b":1,"a":2}'}
    yield "a name twice", {"text": '{"a":1,"a":1}'}
    yield "an escape that need not be", {"text": '"\\u0041"'}
    yield "minus zero", {"text": "-0"}
    yield "a number with an exponent", {"text": "1e3"}
    yield "a fraction", {"text": "[1.5]"}
    yield "true", {"text": '{"a":[true]}'}
    yield "null", {"text": "null"}
    yield "not a number", {"text": "[NaN]"}
    yield "too large", {"text": f'{{"n":{2**53}}}'}
    yield "a name outside ASCII", {"text": '{"\u00e9":1}'}
    yield "a lone surrogate", {"text": '"\\ud800"'}
    yield "not UTF-8", {"hex": "22ff22"}
    yield "a byte order mark", {"hex": "efbbbf7b7d"}
    yield "something after it", {"text": "{} "}
    yield "nothing", {"text": ""}


def base64url() -> Inputs:
    yield "no bytes", {"text": ""}
    yield "one byte", {"text": b64(b"\xff")}
    yield "both signs of its own", {"text": b64(b"\xfb\xff\xbf"), "length": 3}
    yield "padding", {"text": "_w=="}
    yield "the alphabet of base64", {"text": "+/+/"}
    yield "a bit set that is not part of a byte", {"text": "_x"}
    yield "a length that none has", {"text": "AAAAA"}
    yield "a space", {"text": "AA AA"}
    yield "a letter outside ASCII", {"text": "AAA\u00e9"}
    yield "another length", {"text": "AAAA", "length": 4}


def elements() -> Inputs:
    for what, raw, allowed in (
        ("the generator", G.raw, "no"),
        ("the identity where it may stand", bytes(32), "yes"),
        ("the identity where it may not", bytes(32), "no"),
        ("the generator with its highest bit set", TOP, "yes"),
        ("one, a negative field element", b"\x01" + bytes(31), "yes"),
        ("the field's prime", (2**255 - 19).to_bytes(32, "little"), "yes"),
        ("all bits", b"\xff" * 32, "yes"),
        ("31 bytes", G.raw[:31], "yes"),
        ("33 bytes", G.raw + b"\0", "yes"),
    ):
        yield what, {"text": b64(raw), "identity allowed": allowed}
    yield "padded", {"text": b64(G.raw) + "=", "identity allowed": "yes"}


def scalar_texts() -> Inputs:
    for what, n in (("zero", 0), ("one", 1), ("the largest", ORDER - 1), ("l", ORDER), ("2^256 - 1", 2**256 - 1)):
        yield what, {"text": b64(n.to_bytes(32, "little"))}
    yield "31 bytes", {"text": b64(bytes(31))}
    yield "33 bytes", {"text": b64(bytes(33))}
    yield "a set bit behind the last byte", {"text": b64(bytes(32))[:-1] + "B"}


def control_numbers() -> Inputs:
    for entropy in (bytes(16), bytes(range(16)), b"\xff" * 16):
        yield f"printed: {entropy.hex()}", {"entropy": entropy.hex()}
    printed = new_control_number(bytes(range(16)))
    yield "as printed", {"typed": printed}
    yield "in lower case, spaced", {"typed": printed.lower().replace("-", " ")}
    yield "with letters for digits", {"typed": printed.replace("0", "O").replace("1", "l")}
    yield "a symbol short", {"typed": printed[1:]}
    yield "without its check symbol", {"typed": printed[:-1]}
    yield "the letter U within", {"typed": "U" + printed[1:]}
    yield "a digit of another script", {"typed": "\u0663" + printed[1:]}
    yield "one symbol wrong", {"typed": ("7" if printed[0] != "7" else "8") + printed[1:]}
    place = next(i for i in range(4) if printed[i] != printed[i + 1])
    swapped = printed[:place] + printed[place + 1] + printed[place] + printed[place + 2 :]
    yield "two neighbours swapped", {"typed": swapped}


def hashes() -> Inputs:
    yield "no items", {"label": "x", "items": []}
    items = [{"hex": "00ff"}, {"text": "\u20ac"}, {"integer": 258}, {"element": text(G)}]
    yield "one of every kind", {"label": "every kind", "items": items}
    yield "an empty item", {"label": "x", "items": [{"hex": ""}]}


def transcripts() -> Inputs:
    steps = [
        {"do": "absorb", "label": "a", "item": {"hex": "01"}},
        {"do": "short", "label": "rho"},
        {"do": "challenge", "label": "c"},
        {"do": "absorb", "label": "", "item": {"integer": 7}},
        {"do": "challenge", "label": "c"},
    ]
    yield "an election without a key yet", {"proof": "p", "manifest": MANIFEST.hex(), "steps": steps}
    yield "with a key", {"proof": "p", **ELECTION, "steps": steps}
    yield "with an anonymous roll", {"proof": "p", **ELECTION, "roll hash": ROLL_HASH.hex(), "steps": steps}
    yield "another proof", {"proof": "q", **ELECTION, "roll hash": ROLL_HASH.hex(), "steps": steps}


def ciphertexts() -> Inputs:
    for m, r in ((0, 0), (0, 1), (4211, 0xABC), (2**40, ORDER - 1)):
        yield f"{m} votes", {"m": m, "r": text(r), "Y": text(Y)}
    yield "read", {"pair": E.to_json()}
    yield "two identities", {"pair": [text(IDENTITY), text(IDENTITY)]}
    yield "one element", {"pair": [text(G)]}
    yield "three elements", {"pair": [text(G)] * 3}
    yield "no list", {"pair": text(G)}
    yield "a number within", {"pair": [text(G), 1]}
    yield "not canonical", {"pair": [text(G), b64(TOP)]}


def schnorr() -> Inputs:
    x, w = 0x5EC, 0x4E04CE
    statement = {**HERE, "base": text(G), "X": text(x * G)}
    proof = RUN["schnorr"]({**HERE, "base": text(G), "x": text(x), "w": text(w)})
    yield "made", {**HERE, "base": text(G), "x": text(x), "w": text(w)}
    yield "true", {**statement, "proof": proof}
    yield "c changed", {**statement, "proof": {**proof, "c": plus_one(proof["c"])}}
    yield "z changed", {**statement, "proof": {**proof, "z": plus_one(proof["z"])}}
    yield "c not reduced", {**statement, "proof": {**proof, "c": not_reduced(proof["c"])}}
    yield "z not reduced", {**statement, "proof": {**proof, "z": not_reduced(proof["z"])}}
    yield "c = 0", {**statement, "proof": {**proof, "c": text(0)}}
    yield "no z", {**statement, "proof": {"c": proof["c"]}}
    yield "a field too many", {**statement, "proof": {**proof, "T": text(G)}}
    yield "another key", {**statement, "X": text(TWICE), "proof": proof}
    yield "another base", {**statement, "base": text(TWICE), "proof": proof}
    yield "another manifest", {**statement, "manifest": REHEARSAL.hex(), "proof": proof}
    yield "another place", {**statement, "transcript": "elsewhere", "proof": proof}
    nothing = RUN["schnorr"]({**HERE, "base": text(G), "x": text(0), "w": text(w)})
    yield "the identity as key", {**statement, "X": text(IDENTITY), "proof": nothing}


def equality() -> Inputs:
    x, w, H = 0x5EC, 0x4E04CE, element("H")
    made = {**HERE, "G": text(G), "H": text(H), "x": text(x), "w": text(w)}
    statement = {**HERE, "G": text(G), "X": text(x * G), "H": text(H), "D": text(x * H)}
    proof = RUN["equality"](made)
    yield "made", made
    yield "true", {**statement, "proof": proof}
    none = RUN["equality"]({**made, "H": text(IDENTITY)})
    yield "over no ballots", {**statement, "H": text(IDENTITY), "D": text(IDENTITY), "proof": none}
    for name in ("G", "X", "H", "D"):
        yield f"another {name}", {**statement, name: text(TWICE), "proof": proof}
    for name in ("c", "z"):
        yield f"{name} changed", {**statement, "proof": {**proof, name: plus_one(proof[name])}}
        yield f"{name} not reduced", {**statement, "proof": {**proof, name: not_reduced(proof[name])}}
    yield "another manifest", {**statement, "manifest": REHEARSAL.hex(), "proof": proof}
    yield "the identity as key", {**statement, "X": text(IDENTITY), "proof": proof}


def one_of_many() -> Inputs:
    draw = scalars("vectors of one-of-many")
    R = draw()
    for m, u in ((1, 0), (2, 1), (4, 2)):
        S = [encrypt(0, Y, R) if v == u else encrypt(v + 1, Y, v + 9) for v in range(m)]
        statement: dict[str, Any] = {**HERE, "S": [S_v.to_json() for S_v in S]}
        made = {**statement, "u": u, "R": text(R), "draws": [text(draw()) for _ in range(2 * m - 1)]}
        yield f"made, u = {u} of {m}", made
        proof = RUN["one-of-many"](made)
        yield f"true, u = {u} of {m}", {**statement, "proof": proof}
    for v in range(4):
        for name in ("c", "z"):
            yield f"{name}_{v} changed", {**statement, "proof": replaced(proof, (name, v), plus_one)}
    yield "c_1 not reduced", {**statement, "proof": replaced(proof, ("c", 1), not_reduced)}
    yield "a surplus challenge", {**statement, "proof": replaced(proof, ("c",), lambda c: [*c, c[0]])}
    yield "an answer short", {**statement, "proof": replaced(proof, ("z",), lambda z: z[1:])}
    yield "two statements swapped", {**statement, "S": [statement["S"][i] for i in (1, 0, 2, 3)], "proof": proof}
    yield "another key", {**statement, "Y": text(TWICE), "proof": proof}
    yield "another manifest", {**statement, "manifest": REHEARSAL.hex(), "proof": proof}


def ballots() -> Inputs:
    forms = [{"id": f.id, "form": f.form, "choices": f.choices, "limit": f.limit} for f in FORMS]
    place: dict[str, Any] = {**ELECTION, "origin": ORIGIN, "class": "common", "roll hash": ROLL_HASH.hex()}
    place |= {"generator": text(G), "contests": forms}
    cast = {"context": place, "weight": E.to_json()}
    draw = scalars("vectors of ballots")
    for what, selections, revision in (("votes", SELECTIONS, 0), ("no vote on anything", NO_VOTE, 3)):
        drawn = [text(draw()) for _ in range(66)]
        made = {**cast, "s": text(s), "selections": {id: list(a) for id, a in selections.items()}}
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
    place: dict[str, Any] = {**ELECTION, "class": "common", "row": 3, "issuer": 1}
    made = {**place, "s": text(0x5EC), "w": text(0x4E04)}
    half = RUN["halves"](made)
    yield "made", made
    yield "true", {**place, "half": half}
    for name, value in (("class", "preferred"), ("row", 4), ("issuer", 0), ("manifest", REHEARSAL.hex())):
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


MADE = {
    "ballots": (ballots, "Bodies of ballots. `made` gives every scalar in the order in which it is drawn."),
    "base64url": (base64url, "base64url without padding (RFC 4648, section 5): one text for the same bytes."),
    "canonical": (canonical, "Canonical JSON (RFC 8785) of objects, arrays, strings and integers."),
    "ceremonies": (
        ceremonies,
        "The trustees' key ceremony: the state after all messages, or why the last one is refused.",
    ),
    "ciphertexts": (ciphertexts, "E(m; r) = (rG, mG + rY)."),
    "control-numbers": (control_numbers, "Control numbers: printed from 16 random bytes; read as they are typed."),
    "credentials": (credentials, "The scalars derived from a control number."),
    "decryption": (decryption, "Shares of a sum, and what t of them open."),
    "elements": (elements, "Elements of ristretto255 in JSON."),
    "equality": (equality, "Proofs that X = xG and D = xH have the same x."),
    "halves": (halves, "An issuer's half of a row of the roll."),
    "hashes": (hashes, "Labelled SHA-256, and SHA-512 reduced to a scalar."),
    "one-of-many": (one_of_many, "Proofs that one of several ciphertexts encrypts 0."),
    "rolls": (rolls, "The total of a roll's weights, and the hash of the anonymous roll."),
    "scalars": (scalar_texts, "Scalars in JSON; the output is decimal."),
    "schnorr": (schnorr, "Proofs of knowledge of x in X = x base."),
    "transcripts": (transcripts, "Challenges in the order in which they are drawn; short ones in hex, little-endian."),
}


def main() -> None:
    for name, (inputs, about) in MADE.items():
        cases = []
        for what, given in inputs():
            try:
                cases.append({"what": what, "input": given, "output": RUN[name](given)})
            except Refused as refusal:
                cases.append({"what": what, "input": given, "reason": refusal.reason, "field": refusal.field})
        written = json.dumps({"about": about, "cases": cases}, indent=1, sort_keys=True, ensure_ascii=True)
        (FOLDER / f"{name}.json").write_text(written + "\n")


if __name__ == "__main__":
    main()
