"""What the vectors of encodings and proofs are made of: (what, input) of every case."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from audit.protocol.control_number import new_control_number
from audit.protocol.elgamal import encrypt
from audit.protocol.group import IDENTITY, ORDER, Element, G, b64, scalar_bytes
from tests.protocol.sample import (
    MANIFEST,
    REHEARSAL,
    ROLL_HASH,
    E,
    Y,
    element,
    not_reduced,
    plus_one,
    replaced,
    scalars,
)
from tests.protocol.vectors import RUN

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
