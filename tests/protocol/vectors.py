"""How the vectors under tests/vectors/protocol are run: for each file a function from a case's input to its output.

A case is {"what", "input", "output"}, or {"what", "input", "reason", "field"} for an input that is refused. Bytes stand
in hex where they are not part of a message, scalars and elements of messages as they stand there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from audit.protocol.ballot import (
    BallotContext,
    ContestForm,
    make_ballot,
    parse_ballot,
    unsigned_text,
    verify_proofs,
    verify_signature,
)
from audit.protocol.canonical import canonical, parse_canonical
from audit.protocol.ceremony import Ceremony
from audit.protocol.control_number import new_control_number, parse_control_number
from audit.protocol.decryption import DecryptionShare, combine, decryption_share, verify_decryption_share
from audit.protocol.discrete_log import DiscreteLog
from audit.protocol.elgamal import Ciphertext, encrypt
from audit.protocol.group import b64, element_from, scalar_bytes, scalar_from, unb64
from audit.protocol.one_of_many import OneOfMany, expect_one_of_many, prove_one_of_many, verify_one_of_many
from audit.protocol.roll import (
    Half,
    anonymous_roll_hash,
    check_total,
    credential,
    make_half,
    verify_half,
    weight_randomness,
)
from audit.protocol.sigma import Equality, Schnorr, prove_equality, prove_schnorr, verify_equality, verify_schnorr
from audit.protocol.transcript import Context, Item, Transcript, labelled_hash, labelled_scalar
from tests.protocol.shuffle_vectors import run_shuffles

Run = Callable[[dict[str, Any]], Any]


def context_of(given: dict[str, Any]) -> Context:
    Y, roll = given.get("Y"), given.get("roll hash")
    return Context(
        bytes.fromhex(given["manifest"]), element_from(Y) if Y else None, bytes.fromhex(roll) if roll else None
    )


def item_of(item: dict[str, Any]) -> Item:
    ((kind, value),) = item.items()
    parse: dict[str, Callable[[Any], Item]] = {
        "hex": bytes.fromhex,
        "text": str,
        "integer": int,
        "element": element_from,
    }
    return parse[kind](value)


def draws(scalars: list[str]) -> Callable[[], int]:
    return map(scalar_from, scalars).__iter__().__next__


def run_canonical(given: dict[str, Any]) -> Any:
    if "value" in given:
        return canonical(given["value"]).decode()
    return parse_canonical(bytes.fromhex(given["hex"]) if "hex" in given else given["text"].encode())


def run_base64url(given: dict[str, Any]) -> Any:
    return unb64(given["text"], given.get("length")).hex()


def run_elements(given: dict[str, Any]) -> Any:
    return element_from(given["text"], identity_ok=given["identity allowed"] == "yes").raw.hex()


def run_scalars(given: dict[str, Any]) -> Any:
    return str(scalar_from(given["text"]))


def run_control_numbers(given: dict[str, Any]) -> Any:
    if "entropy" in given:
        return new_control_number(bytes.fromhex(given["entropy"]))
    return parse_control_number(given["typed"])


def run_hashes(given: dict[str, Any]) -> Any:
    items = [item_of(item) for item in given["items"]]
    hashed = labelled_hash(given["label"], *items).hex()
    return {"hash": hashed, "scalar": b64(scalar_bytes(labelled_scalar(given["label"], *items)))}


def run_transcripts(given: dict[str, Any]) -> Any:
    transcript, drawn = Transcript(given["proof"], context_of(given)), []
    for step in given["steps"]:
        if step["do"] == "absorb":
            transcript.absorb(step["label"], item_of(step["item"]))
        elif step["do"] == "challenge":
            drawn.append(b64(scalar_bytes(transcript.challenge(step["label"]))))
        else:
            drawn.append(transcript.short_challenge(step["label"]).to_bytes(16, "little").hex())
    return drawn


def run_ciphertexts(given: dict[str, Any]) -> Any:
    if "pair" in given:
        return Ciphertext.from_json(given["pair"], "C").raw.hex()
    return encrypt(given["m"], element_from(given["Y"]), scalar_from(given["r"])).to_json()


def run_schnorr(given: dict[str, Any]) -> Any:
    transcript, base = Transcript(given["transcript"], context_of(given)), element_from(given["base"])
    if "w" in given:
        return prove_schnorr(transcript, base, scalar_from(given["x"]), scalar_from(given["w"])).to_json()
    verify_schnorr(transcript, base, element_from(given["X"]), Schnorr.from_json(given["proof"], "proof"))
    return "proved"


def run_equality(given: dict[str, Any]) -> Any:
    transcript = Transcript(given["transcript"], context_of(given))
    G, H = element_from(given["G"]), element_from(given["H"])
    if "w" in given:
        return prove_equality(transcript, G, H, scalar_from(given["x"]), scalar_from(given["w"])).to_json()
    X, D = element_from(given["X"]), element_from(given["D"])
    verify_equality(transcript, G, X, H, D, Equality.from_json(given["proof"], "proof"))
    return "proved"


def run_one_of_many(given: dict[str, Any]) -> Any:
    transcript, Y = Transcript(given["transcript"], context_of(given)), element_from(given["Y"])
    S = [Ciphertext.from_json(pair, "S") for pair in given["S"]]
    if "u" in given:
        draw = draws(given["draws"])
        w, others = draw(), [(draw(), draw()) for _ in S[1:]]
        return prove_one_of_many(transcript, Y, S, given["u"], scalar_from(given["R"]), w, others).to_json()
    expect_one_of_many(given["proof"], len(S), "proof")
    verify_one_of_many(transcript, Y, S, OneOfMany.from_json(given["proof"], "proof"))
    return "proved"


def ballot_context(given: dict[str, Any]) -> BallotContext:
    return BallotContext(
        bytes.fromhex(given["manifest"]),
        given["origin"],
        element_from(given["Y"]),
        given["class"],
        bytes.fromhex(given["roll hash"]),
        element_from(given["generator"]),
        tuple(ContestForm(f["id"], f["form"], f["choices"], f["limit"]) for f in given["contests"]),
    )


def run_ballots(given: dict[str, Any]) -> Any:
    here, weight = ballot_context(given["context"]), Ciphertext.from_json(given["weight"])
    if "draws" in given:
        selections = {contest: tuple(a) for contest, a in given["selections"].items()}
        revision, draw = given["revision"], draws(given["draws"])
        body = make_ballot(here, scalar_from(given["s"]), weight, selections, revision, draw)
        return {"body": body, "unsigned text": unsigned_text(here.origin, body).decode()}
    ballot = parse_ballot(here, given["body"])
    if given.get("signature") != "passed over":
        verify_signature(here, ballot, given["body"])
    verify_proofs(here, ballot, weight)
    return "accepted"


def run_credentials(given: dict[str, Any]) -> Any:
    place = (bytes.fromhex(given["manifest"]), given["class"], given["revision"], given["code"])
    return {name: b64(scalar_bytes(f(*place))) for name, f in (("s", credential), ("r", weight_randomness))}


def run_halves(given: dict[str, Any]) -> Any:
    here, place = context_of(given), (given["class"], given["revision"], given["row"], given["issuer"])
    if "w" in given:
        return make_half(here, *place, scalar_from(given["s"]), scalar_from(given["w"])).to_json()
    verify_half(here, *place, Half.from_json(given["half"], "half"))
    return "proved"


def run_rolls(given: dict[str, Any]) -> Any:
    weights = [Ciphertext.from_json(row["E"], "E") for row in given["rows"]]
    check_total(weights, given["votes"], scalar_from(given["total"]), element_from(given["Y"]))
    keys = [element_from(row["K"]) for row in given["rows"]]
    return anonymous_roll_hash(element_from(given["generator"]), zip(keys, weights, strict=True)).hex()


def run_ceremonies(given: dict[str, Any]) -> Any:
    ceremony = Ceremony.start(bytes.fromhex(given["manifest"]), tuple(given["trustees"]), given["t"])
    for message in given["messages"]:
        ceremony = ceremony.step(message["type"], message["by"], message["body"])
    keys = {name: b64(key.raw) for name, key in ceremony.Y_j.items()} if ceremony.complete else {}
    shown: dict[str, Any] = {"phase": ceremony.phase, "attempt": ceremony.attempt, "out": list(ceremony.faulty)}
    return {**shown, "keys of shares": keys, "joint key": b64(ceremony.Y.raw) if keys else ""}


def run_decryption(given: dict[str, Any]) -> Any:
    C = Ciphertext.from_json(given["C"])
    if "shares" in given:
        shares = {int(j): element_from(D) for j, D in given["shares"].items()}
        return DiscreteLog(given["bound"]).find(combine(shares, C, given["t"]))
    here, closing = context_of(given), bytes.fromhex(given["closing"])
    if "w" in given:
        x_j, w = scalar_from(given["x_j"]), scalar_from(given["w"])
        return decryption_share(here, x_j, given["contest"], given["choice"], closing, C, given["j"], w).to_json()
    share, Y_j = DecryptionShare.from_json(given["share"], "share"), element_from(given["Y_j"])
    contest, choice = given["contest"], given["choice"]
    verify_decryption_share(here, given["trustee"], contest, choice, closing, C, given["j"], Y_j, share)
    return "proved"


RUN: dict[str, Run] = {
    "ballots": run_ballots,
    "base64url": run_base64url,
    "canonical": run_canonical,
    "ceremonies": run_ceremonies,
    "ciphertexts": run_ciphertexts,
    "control-numbers": run_control_numbers,
    "credentials": run_credentials,
    "decryption": run_decryption,
    "elements": run_elements,
    "equality": run_equality,
    "halves": run_halves,
    "hashes": run_hashes,
    "one-of-many": run_one_of_many,
    "rolls": run_rolls,
    "scalars": run_scalars,
    "schnorr": run_schnorr,
    "shuffles": run_shuffles,
    "transcripts": run_transcripts,
}
