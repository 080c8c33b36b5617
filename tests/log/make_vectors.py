"""Writes the vectors of checkpoints, cosignatures and receipts anew: `python -m tests.log.make_vectors`.

What they expect is to be read by people. The keys come from fixed seeds, but ML-DSA-44 signs at random.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from audit.log.encoding import encode_base64
from audit.log.keys import COSIGNATURE, ED25519, ML_DSA_44, SIGNATURE_SIZES, Signature, Signer, Verifier, signed_message
from audit.log.merkle import LeafHashes, inclusion_proof, leaf_hash
from audit.log.notes import Note
from audit.log.proof import Proof
from audit.log.treehead import Checkpoint
from audit.protocol.group import b64
from audit.protocol.refused import Refused
from audit.record.entries import make_text, parse_entry, seal
from tests.log.sample import ORIGIN, TIME, root_of, signer, some_entries
from tests.log.vectors import RUN, Json
from tests.simulator.meeting import Meeting

FOLDER = Path(__file__).parents[1] / "vectors" / "log"
HEAD = Checkpoint(ORIGIN, 300, root_of(some_entries(300)))
LOG = (signer("log.example", ED25519, 1), signer("log.example", ML_DSA_44, 2))
ALPHA = (signer("alpha.example", COSIGNATURE, 10), signer("alpha.example", ML_DSA_44, 20))
BETA, GAMMA = signer("beta.example", COSIGNATURE, 11), signer("gamma.example", COSIGNATURE, 12)
STRANGER = signer("stranger.example", COSIGNATURE, 13)


def judged(name: str, shared: Json, cases: Iterable[Json]) -> list[Json]:
    """The cases with what this implementation says of them now, to be read before it is committed."""
    found = []
    for case in cases:
        try:
            found.append({**case, "output": RUN[name](shared, case)})
        except Refused as refusal:
            found.append({**case, "reason": refusal.reason})
    return found


def over(key: Signer, text: bytes, time: int) -> Signature:
    """A line with this time, also one that a signer refuses to state."""
    verifier = key.verifier
    sig = key._key.sign(signed_message(verifier.name, verifier.type, text, time))
    return Signature(verifier.name, verifier.key_id, time.to_bytes(8, "big") + sig)


def checkpoints() -> Json:
    text = HEAD.text
    other = Checkpoint(ORIGIN, 300, bytes(32)).text
    lines = {
        "log ed25519": LOG[0].sign(text),
        "log ml-dsa-44": LOG[1].sign(text, TIME),
        "alpha cosignature": ALPHA[0].sign(text, TIME),
        "alpha ml-dsa-44": ALPHA[1].sign(text, TIME),
        "beta": BETA.sign(text, TIME),
        "beta, later": BETA.sign(text, TIME + 1),
        "beta, time 0": over(BETA, text, 0),
        "beta, another root": BETA.sign(other, TIME),
        "gamma": GAMMA.sign(text, TIME),
        "stranger": STRANGER.sign(text, TIME),
    }
    shared = {
        "origin": ORIGIN,
        "log": [key.vkey for key in LOG],
        "custodians": [[key.vkey for key in ALPHA], [BETA.vkey], [GAMMA.vkey]],
        "W": 2,
        "text": text.decode(),
        "lines": {name: line.line for name, line in lines.items()},
    }
    log, alpha = ["log ed25519", "log ml-dsa-44"], ["alpha cosignature", "alpha ml-dsa-44"]
    good = [*log, *alpha, "beta"]

    def case(what: str, names: list[str], **more: Any) -> Json:
        return {"what": what, "lines": names, **more}

    def text_case(what: str, changed: str) -> Json:
        return case(what, good, text=changed)

    origin, size, root = text.decode().splitlines()
    cases = [
        case("two of three custodians", good, exact=1),
        case("all custodians", [*good, "gamma"], exact=1),
        case("two custodians with one key each", [*log, "beta", "gamma"], exact=1),
        case("the log alone, before anybody has cosigned", log, unwitnessed=1),
        case("a stranger's line, which says nothing", [*good, "stranger"]),
        case("lines in another order, where that does not matter", good[::-1]),
        case("the log alone", log),
        case("one custodian", [*log, *alpha]),
        case("a custodian with one of its two keys", [*log, "alpha cosignature", "beta"]),
        case("a custodian twice", [*log, "beta", "beta, later"]),
        case("a cosignature of time 0", [*log, *alpha, "beta, time 0"]),
        case("without the log's ML-DSA-44 signature", ["log ed25519", *alpha, "beta"]),
        case("without the log's Ed25519 signature", ["log ml-dsa-44", *alpha, "beta"]),
        case("without the log", [*alpha, "beta"]),
        case("a custodian's line over another root", [*log, *alpha, "beta, another root"]),
        case("a wrong line beside enough right ones", [*log, *alpha, "beta, another root", "gamma"]),
        case("a stranger's line in a record", [*good, "stranger"], exact=1),
        case("lines in another order in a record", [*log, "beta", *alpha], exact=1),
        case("the log's lines swapped in a record", [*log[::-1], *alpha, "beta"], exact=1),
        case("a line twice in a record", [*good, "beta"], exact=1),
        case("two lines by one key in a record", [*log, *alpha, "beta", "beta, later"], exact=1),
        case("no line", []),
        text_case("another log", f"vote.example/other\n{size}\n{root}\n"),
        text_case("another size", f"{origin}\n301\n{root}\n"),
        text_case("a size with a leading zero", f"{origin}\n0300\n{root}\n"),
        text_case("a size of 2^63", f"{origin}\n{2**63}\n{root}\n"),
        text_case("a negative size", f"{origin}\n-1\n{root}\n"),
        text_case("a root of 31 bytes", f"{origin}\n{size}\n{encode_base64(bytes(31))}\n"),
        text_case("a root in base64 without padding", f"{origin}\n{size}\n{root.rstrip('=')}\n"),
        text_case("an empty tree with a root", f"{origin}\n0\n{root}\n"),
        text_case("an extension line", f"{origin}\n{size}\n{root}\nmore\n"),
        text_case("no origin", f"\n{size}\n{root}\n"),
        text_case("an origin of 256 bytes", f"{'x' * 256}\n{size}\n{root}\n"),
    ]
    return {**shared, "cases": judged("checkpoints", shared, cases)}


def cosignatures() -> Json:
    text, grown = HEAD.text, Checkpoint(ORIGIN, 301, HEAD.root).text
    shared = {"text": text.decode()}
    note, cosigner, quantum = LOG[0], ALPHA[0], ALPHA[1]

    def case(what: str, key: Verifier, line: Signature | str, **more: Any) -> Json:
        return {"what": what, "vkey": key.vkey, "line": line if isinstance(line, str) else line.line, **more}

    def made(key: Signer, sig: bytes) -> Signature:
        return Signature(key.name, key.verifier.key_id, sig)

    cases: list[Json] = []
    for kind, key in (("0x01", note), ("0x04", cosigner), ("0x06", quantum)):
        line = key.sign(text, TIME)
        short = made(key, line.sig[:-1])
        flipped = made(key, line.sig[:-1] + bytes([line.sig[-1] ^ 1]))
        cases += [
            case(f"type {kind}", key.verifier, line),
            case(f"type {kind}, a byte changed", key.verifier, flipped),
            case(f"type {kind}, a byte short", key.verifier, short),
            case(f"type {kind}, another text", key.verifier, line, text=grown.decode()),
            case(f"type {kind} by another key", key.verifier, signer(key.name, key.verifier.type, 99).sign(text, TIME)),
        ]
    other = Verifier("omega.example", ML_DSA_44, quantum.verifier.public)
    renamed = Signature(other.name, other.key_id, quantum.sign(text, TIME).sig)
    later = (TIME + 1).to_bytes(8, "big")
    line = cosigner.sign(text, TIME).line
    empty = f"\u2014 {cosigner.name} {encode_base64(cosigner.verifier.key_id)}\n"
    cases += [
        case("type 0x04, of time 0", cosigner.verifier, over(cosigner, text, 0)),
        case("type 0x06, of time 0", quantum.verifier, over(quantum, text, 0)),
        case("type 0x04, the last time", cosigner.verifier, over(cosigner, text, 2**63 - 1)),
        case("type 0x04, a time beyond", cosigner.verifier, over(cosigner, text, 2**63)),
        case("type 0x04, another time", cosigner.verifier, made(cosigner, later + cosigner.sign(text, TIME).sig[8:])),
        case("type 0x06, another time", quantum.verifier, made(quantum, later + quantum.sign(text, TIME).sig[8:])),
        case("type 0x06, the same key under another name", other, renamed),
        case("type 0x06, what is no checkpoint", quantum.verifier, quantum.sign(text, TIME), text="hello\n"),
        case("type 0x01 for a key of type 0x04", cosigner.verifier, made(cosigner, bytes(SIGNATURE_SIZES[ED25519]))),
        case("a hyphen for the em dash", cosigner.verifier, line.replace("\u2014", "-")),
        case("two spaces", cosigner.verifier, line.replace(" alpha", "  alpha")),
        case("no newline", cosigner.verifier, line[:-1]),
        case("base64 without padding", cosigner.verifier, line.rstrip("=\n") + "\n"),
        case("a key id and nothing", cosigner.verifier, empty),
    ]
    return {**shared, "cases": judged("cosignatures", shared, cases)}


def receipts() -> Json:
    meeting, rehearsal = Meeting(), Meeting(seed=2)
    parties = meeting.parties
    officials = parties.officials[:2]
    raws = [meeting.signed("manifest", meeting.body, *officials)]
    digest = b64(parse_entry(raws[0]).identity)
    for text in ("An incident.", "Another one."):
        raws.append(meeting.signed("notice", {"manifest": digest, "subject": "incident", "text": text}, *officials))
    leaves = [leaf_hash(raw) for raw in raws]

    def note(custodians: int = 2, size: int = 3) -> Note:
        text = Checkpoint(meeting.origin, size, root_of(raws[:size])).text
        signers = [*parties.log, *(key for keys in parties.custodians[:custodians] for key in keys)]
        return Note(text, tuple(key.sign(text, TIME) for key in signers))

    def kept(index: int, entry: bytes | None = None, head: Note | None = None) -> str:
        path = tuple(inclusion_proof(LeafHashes(leaves), index, 3))
        return Proof(index, path, head or note(), raws[index] if entry is None else entry).raw.decode()

    def promise(signers: Any = parties.intakes[:1], origin: str = meeting.origin, **changes: Any) -> str:
        body = {"deadline": 1_800_000_000, "identity": b64(bytes(32)), "leaf": b64(leaves[1]), "manifest": digest}
        body |= {"kind": "ballot"}
        return seal(make_text("receipt", origin, {**body, **changes}), signers).decode()

    unsigned = seal(parse_entry(raws[1]).text, officials[:1])
    files = {
        "a recorded manifest": kept(0),
        "a recorded notice": kept(1),
        "a promise": promise(),
        "a promise by the second intake": promise(parties.intakes[1:2]),
        "no entry": kept(1, b""),
        "another entry": kept(1, raws[2]),
        "an entry that too few have signed": kept(1, unsigned),
        "an entry of noise": kept(1, b"noise"),
        "one custodian": kept(1, head=note(1)),
        "another index": kept(1).replace("index 1\n", "index 2\n"),
        "an index beyond": kept(1).replace("index 1\n", "index 3\n"),
        "a header of another version": kept(1).replace("tlog-proof@v1", "tlog-proof@v2"),
        "another size in the checkpoint": kept(1).replace("\n3\n", "\n4\n"),
        "a promise by an official": promise(officials[:1]),
        "a promise by two intakes": promise(parties.intakes[:2]),
        "a promise with another deadline": promise().replace("1800000000", "1800000001"),
        "a promise in another election": promise(manifest=b64(bytes(32))),
        "a promise of another log": promise(origin="vote.example/other"),
        "a promise without leaf": promise(leaf=""),
        "a promise of a kind that is no text": promise(kind=1),
        "a promise with a deadline that is text": promise(deadline="soon"),
        "a promise with one more field": promise(more=1),
        "a promise of a rehearsal's intake": promise(rehearsal.parties.intakes[:1]),
        "an entry that is no receipt": raws[1].decode(),
        "nothing": "",
    }
    shared = {"manifest": raws[0].decode()}
    cases = ({"what": what, "file": file} for what, file in files.items())
    return {**shared, "cases": judged("receipts", shared, cases)}


ABOUT = {
    "checkpoints": "A checkpoint's text and the named lines under it. `exact`: as it stands in a record; "
    "`unwitnessed`: the log's signatures alone are demanded.",
    "cosignatures": "One signature line over a text by a verifier key, and the time that it states.",
    "receipts": "What a voter kept, in the election of this manifest: a proof with its entry, or intake's promise.",
}


def main() -> None:
    for name, content in (("checkpoints", checkpoints()), ("cosignatures", cosignatures()), ("receipts", receipts())):
        text = json.dumps({"about": ABOUT[name], **content}, indent=1, ensure_ascii=True)
        (FOLDER / f"{name}.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
