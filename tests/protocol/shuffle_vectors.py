"""The vectors of the proof of shuffle: which cases there are, and how one is run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from audit.protocol.elgamal import Ciphertext
from audit.protocol.group import ORDER, G, b64, element_from, scalar_bytes, scalar_from
from audit.protocol.numbered import generators_key, numbered_element
from audit.protocol.shuffle import mix, verify_shuffle
from audit.protocol.shuffle_rows import MixedRow, Row, ShuffleProof
from audit.protocol.shuffle_secret import MixSecret
from audit.protocol.shuffle_statement import Place
from audit.protocol.transcript import Context
from tests.protocol.plain_shuffle import HERE, MIXER, PlainMixer, Published, X, permutation_matrix, place, roll
from tests.protocol.sample import MANIFEST, REHEARSAL, Y, not_reduced, plus_one, replaced

PI = [2, 0, 1]


def run_shuffles(given: dict[str, Any]) -> Any:
    """Derives generators, or mixes, for a case with a secret; otherwise verifies."""
    if "generators" in given:
        key = generators_key(bytes.fromhex(given["manifest"]))
        return [b64(numbered_element(key, i).raw) for i in range(given["generators"])]
    before = [Row(element_from(row["K"]), Ciphertext.from_json(row["E"], "E")) for row in given["before"]]
    context = Context(bytes.fromhex(given["manifest"]), element_from(given["Y"]))
    at = Place(context, given["class"], given["mixer"], given["k"], element_from(given["generator"]), len(before))
    if "seed" in given:
        made = mix(at, before, MixSecret(given["pi"], scalar_from(given["x"]), bytes.fromhex(given["seed"])), HERE)
        return published(Published(made.generator, made.proof, list(made.rows())))
    new = given["published"]
    proof = ShuffleProof.from_json(new["proof"], "proof")
    rows = [MixedRow.from_json(row, f"rows[{j}]") for j, row in enumerate(new["rows"])]
    verify_shuffle(at, element_from(new["generator"]), proof, before, rows, HERE)
    return "proved"


def shuffles() -> Iterator[tuple[str, Any]]:
    before = roll(3)
    here: dict[str, Any] = {
        "manifest": MANIFEST.hex(),
        "Y": b64(Y.raw),
        "class": "common",
        "mixer": MIXER,
        "k": 1,
        "generator": b64(G.raw),
        "before": [{"E": row.E.to_json(), "K": b64(row.K.raw)} for row in before],
    }
    yield "h, h_1, h_2, h_3", {"manifest": MANIFEST.hex(), "generators": 4}
    made = {**here, "pi": PI, "x": b64(scalar_bytes(X)), "seed": bytes(range(32)).hex()}
    new = run_shuffles(made)
    yield "mixed", made
    yield "true", {**here, "published": new}
    yield "true, with other nonces", {**here, "published": published(lying())}
    for name, value in (
        ("manifest", REHEARSAL.hex()),
        ("class", "preferred"),
        ("mixer", "mixer-2.vote.example"),
        ("k", 2),
        ("generator", b64((G + G).raw)),
        ("Y", b64((Y + G).raw)),
        ("before", [here["before"][1], here["before"][0], here["before"][2]]),
    ):
        yield f"in another place: {name}", {**here, name: value, "published": new}

    def changed(*path: str | int, to: Any) -> dict[str, Any]:
        return {**here, "published": replaced(new, path, to)}

    for part in fields(ShuffleProof):
        yield f"{part.name} changed", changed("proof", part.name, to=plus_one)
    for name in ("s_hat", "s_prime"):
        yield f"{name} of a row changed", changed("rows", 1, name, to=plus_one)
        yield f"{name} of a row not reduced", changed("rows", 1, name, to=not_reduced(new["rows"][1][name]))
    for name in ("K", "c", "c_hat"):
        yield f"{name} of a row changed", changed("rows", 1, name, to=b64((element_from(new["rows"][1][name]) + G).raw))
        yield f"{name} of a row no element", changed("rows", 1, name, to=b64(b"\x01" * 32))
    first, second, third = new["rows"]
    exchanged = [{**first, "E": second["E"]}, {**second, "E": first["E"]}, third]
    yield "weights exchanged", changed("rows", to=exchanged)
    yield "a row missing", changed("rows", to=new["rows"][:2])
    yield "a row too many", changed("rows", to=[*new["rows"], new["rows"][0]])
    yield "a key twice", changed("rows", 2, "K", to=new["rows"][0]["K"])
    yield "a key that is the identity", changed("rows", 2, "K", to=b64(bytes(32)))
    yield "the exponent 0", changed("generator", to=b64(bytes(32)))
    yield "the exponent 1", changed("generator", to=b64(G.raw))
    yield "a row mixed with another exponent", {**here, "published": published(lying(x_rows={1: X + 1}))}
    yield "a weight not its key's", {**here, "published": published(lying(M_weights=permutation_matrix([0, 2, 1])))}
    halved = [[2, 0, 0], [0, pow(2, -1, ORDER), 0], [0, 0, 1]]
    yield "a matrix that is no permutation", {**here, "published": published(lying(M=halved))}


def lying(**lies: Any) -> Published:
    return PlainMixer(lies.pop("M", permutation_matrix(PI)), **lies).mix(place(3), roll(3))


def published(of: Published) -> dict[str, Any]:
    rows = [row.to_json() for row in of.rows]
    return {"generator": b64(of.generator.raw), "proof": of.proof.to_json(), "rows": rows}
