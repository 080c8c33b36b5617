"""Writes the vectors again: `python -m tests.protocol.make_vectors`. What changes in them is a change of the protocol.

Only the sealed shares of a ceremony differ from run to run, for their ephemeral keys cannot be given.
"""

from __future__ import annotations

import json
from pathlib import Path

from audit.protocol.refused import Refused
from tests.protocol.shuffle_vectors import shuffles
from tests.protocol.vector_elections import ballots, ceremonies, credentials, decryption, halves, rolls
from tests.protocol.vector_proofs import (
    base64url,
    canonical,
    ciphertexts,
    control_numbers,
    elements,
    equality,
    hashes,
    one_of_many,
    scalar_texts,
    schnorr,
    transcripts,
)
from tests.protocol.vectors import RUN

FOLDER = Path(__file__).parents[1] / "vectors" / "protocol"

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
    "shuffles": (shuffles, "A roll mixed, and mixes verified. `pi`, `x` and `seed` are all that a mixer draws."),
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
