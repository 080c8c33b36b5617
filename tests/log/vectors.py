"""How the vectors of checkpoints, cosignatures and receipts are run: from the JSON of a case to the JSON of what comes
of it. `shared` is what all cases of a file have in common.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from audit.log.checkpoint import LogPolicy, cosigned_by, open_note
from audit.log.encoding import encode_base64
from audit.log.keys import parse_vkey
from audit.log.notes import parse_note, parse_signature_lines, verify_signature
from audit.receipts import open_kept
from audit.record.manifest import open_manifest

Json = dict[str, Any]


def policy_of(shared: Mapping[str, Any]) -> LogPolicy:
    custodians = [tuple(map(parse_vkey, keys)) for keys in shared["custodians"]]
    log = tuple(map(parse_vkey, shared["log"]))
    return LogPolicy(shared["origin"], log, tuple((keys[0].name, keys) for keys in custodians), shared["W"])


def run_checkpoint(shared: Mapping[str, Any], case: Mapping[str, Any]) -> Json:
    policy = policy_of(shared)
    lines = "".join(shared["lines"][name] for name in case["lines"])
    note = parse_note((case.get("text", shared["text"]) + "\n" + lines).encode())
    head = open_note(note, policy, witnessed="unwitnessed" not in case, exact="exact" in case)
    return {"size": head.size, "root": encode_base64(head.root), "custodians": cosigned_by(note, policy)}


def run_cosignature(shared: Mapping[str, Any], case: Mapping[str, Any]) -> Json:
    (line,) = parse_signature_lines(case["line"].encode())
    text = case.get("text", shared["text"]).encode()
    return {"time": verify_signature(parse_vkey(case["vkey"]), text, line)}


def run_receipt(shared: Mapping[str, Any], case: Mapping[str, Any]) -> Json:
    manifest, _ = open_manifest(shared["manifest"].encode())
    return open_kept(case["file"].encode(), manifest).to_json()


RUN: dict[str, Callable[[Mapping[str, Any], Mapping[str, Any]], Json]] = {
    "checkpoints": run_checkpoint,
    "cosignatures": run_cosignature,
    "receipts": run_receipt,
}
